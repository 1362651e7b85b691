//! The changes of one tenant, read once for all who listen to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mast_schemas::TenantId;
use sqlx::PgPool;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::position::Position;
use super::read::{self, Behind, Frame};
use super::snapshot::{self, Waiter};
use super::views::Views;
use super::{ALIVE, LOOK};

/// Frames of a feed a second, at most: four.
const PACE: Duration = Duration::from_millis(250);
/// Changes of a frame.
const FRAME: u16 = 5_000;
/// Changes that a listener reads for itself at once.
const OWN_FRAME: u16 = 1_000;
/// Frames that a listener may be behind before it has to read for itself.
const BEHIND: usize = 8;

/// What a feed has to say.
pub(super) enum News {
    /// Something changed, or nothing up to there.
    Frame(Frame),
    /// What was said before does not lead here: who listens is to look for itself.
    Anew,
    /// The database is away.
    Away,
    /// The tenant is gone.
    End,
}

/// A tenant's feed; it ends with its last listener.
pub(super) struct Feed {
    pool: PgPool,
    tenant: TenantId,
    /// Listeners read one after the other, so that others have connections too.
    reading: Arc<Semaphore>,
    news: broadcast::Sender<Arc<News>>,
    waiting: Mutex<Waiting>,
    follower: JoinHandle<()>,
}

/// Who waits for a snapshot.
#[derive(Default)]
struct Waiting {
    waiters: Vec<Waiter>,
    served: bool,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Feed {
    pub(super) fn start(
        pool: PgPool,
        tenant: TenantId,
        reading: Arc<Semaphore>,
        told: watch::Receiver<()>,
    ) -> Self {
        let (news, _) = broadcast::channel(BEHIND);
        let follower = Follower {
            pool: pool.clone(),
            tenant,
            at: None,
            said: None,
            news: news.clone(),
            spoke: Instant::now(),
            away: false,
        };
        Self {
            pool,
            tenant,
            reading,
            news,
            waiting: Mutex::default(),
            follower: tokio::spawn(follower.run(told)),
        }
    }

    /// What comes from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    /// The changes behind a position, for a listener that is not where the feed is.
    pub(super) async fn behind(&self, after: Position) -> Result<Behind, sqlx::Error> {
        // The semaphore is never closed.
        let _turn = self.reading.acquire().await;
        read::behind(&self.pool, self.tenant, after, OWN_FRAME).await
    }

    /// Sends a snapshot to a listener, with all others who wait for one. What comes is as [`Waiter::done`] says.
    pub(super) fn snapshot(
        self: &Arc<Self>,
        views: Views,
        to: mpsc::Sender<Bytes>,
    ) -> oneshot::Receiver<Option<Position>> {
        let (done, position) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.waiters.push(Waiter { views, to, done });
        if !std::mem::replace(&mut waiting.served, true) {
            tokio::spawn(Arc::clone(self).serve());
        }
        position
    }

    /// Sends snapshots for as long as somebody waits for one.
    async fn serve(self: Arc<Self>) {
        loop {
            let _turn = self.reading.acquire().await;
            let waiters = {
                let mut waiting = self.waiting();
                waiting.served = !waiting.waiters.is_empty();
                std::mem::take(&mut waiting.waiters)
            };
            if waiters.is_empty() {
                return;
            }
            snapshot::send(&self.pool, self.tenant, waiters).await;
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What reads for a feed.
struct Follower {
    pool: PgPool,
    tenant: TenantId,
    /// Behind what was read.
    at: Option<Position>,
    /// Behind what was said: the next frame goes on from there.
    said: Option<Position>,
    news: broadcast::Sender<Arc<News>>,
    spoke: Instant,
    away: bool,
}

impl Follower {
    async fn run(mut self, mut told: watch::Receiver<()>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            // What is told from here on is seen by the look after this one.
            told.mark_unchanged();
            match self.step().await {
                Ok(true) => continue,
                Ok(false) => self.away = false,
                Err(error) => self.troubled(&error),
            }
            // Where nobody tells it is looked for all the same.
            let _ = tokio::time::timeout(LOOK, told.changed()).await;
        }
    }

    /// Reads once; whether there is more to read.
    async fn step(&mut self) -> Result<bool, sqlx::Error> {
        let Some(at) = self.at else {
            return self.begin().await;
        };
        match read::behind(&self.pool, self.tenant, at, FRAME).await? {
            Behind::Known(mut frame) => {
                let more = frame.more;
                self.at = Some(frame.upto);
                frame.from = self.said.unwrap_or(frame.from);
                if !frame.is_empty() || self.spoke.elapsed() >= ALIVE {
                    self.said = self.at;
                    self.say(News::Frame(frame));
                }
                Ok(more)
            }
            Behind::Unknown => {
                self.at = None;
                Ok(true)
            }
            Behind::NoTenant => {
                self.say(News::End);
                Ok(false)
            }
        }
    }

    /// Begins at the head, and says so: who came before is to look what was before.
    async fn begin(&mut self) -> Result<bool, sqlx::Error> {
        let mut tx = mast_postgres::tenant_snapshot(&self.pool, self.tenant).await?;
        let head = read::head(&mut tx, self.tenant).await?;
        tx.commit().await?;
        let Some(head) = head else {
            self.say(News::End);
            return Ok(false);
        };
        self.at = Some(head.position);
        self.said = self.at;
        self.say(News::Anew);
        Ok(false)
    }

    fn troubled(&mut self, error: &sqlx::Error) {
        if !std::mem::replace(&mut self.away, true) {
            let tenant = self.tenant;
            tracing::warn!(%error, %tenant, "listeners hear nothing new until the database is back");
            self.say(News::Away);
        } else if self.spoke.elapsed() >= ALIVE {
            self.say(News::Away);
        }
    }

    fn say(&mut self, news: News) {
        self.spoke = Instant::now();
        // Between two listeners nobody hears it.
        let _ = self.news.send(Arc::new(news));
    }
}
