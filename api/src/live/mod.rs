//! Live views: a snapshot, and then every change in order, for as many listeners as there are.
//!
//! A commit of the dataflow writes what it changed to `view_change`, numbered by (epoch, n), in the transaction of the views.
//! Each tenant that somebody listens to has one feed, which reads what is new at most four times a second, encodes it once
//! and hands it to all. A listener is at a position, and is brought from there to the feed's by reading the table itself:
//! after connecting, after coming back, and after being too slow. The trap is the moment between both: so it takes the feed's
//! news from before it reads, and each frame says from where on it is; what does not join is read.

mod event;
mod feed;
mod listener;
mod position;
mod read;
mod row;
mod seats;
mod snapshot;
mod views;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use mast_schemas::{TenantId, Timestamp};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use event::Data;
pub(crate) use position::Position;
pub(crate) use seats::Full;
pub use seats::Listeners;
pub(crate) use views::Views;

use crate::http::kept::Kept;
use crate::token::{self, Identity};
use feed::Feed;
use listener::Listener;
use seats::Seats;

/// The channel on which the dataflow tells of a commit.
const CHANNEL: &str = "mast_view";
/// After so long somebody looks for commits that nobody has told of.
const LOOK: Duration = Duration::from_secs(1);
/// After so long without news a listener is told that it is still connected.
const ALIVE: Duration = Duration::from_secs(10);
/// How often it is asked whether listeners still may.
const CHECK: Duration = Duration::from_secs(5);
/// Events that wait for a listener to take them.
const AHEAD: usize = 2;

/// All feeds of a process, and all who listen to them.
pub(crate) struct Hub {
    pool: PgPool,
    feeds: Mutex<HashMap<TenantId, Weak<Feed>>>,
    seats: Arc<Seats>,
    reading: Arc<Semaphore>,
    told: watch::Sender<()>,
    /// Lists of before a commit that listeners hear of: they are read for what changed.
    kept: Arc<Kept>,
    /// What hears of commits and asks after tokens, from the first listener on. It ends with this.
    tasks: Mutex<JoinSet<()>>,
}

impl Hub {
    pub(crate) fn new(pool: PgPool, limits: Listeners, kept: Arc<Kept>) -> Self {
        let connections = pool.options().get_max_connections() as usize;
        Self {
            pool,
            feeds: Mutex::default(),
            seats: Seats::new(limits),
            reading: Arc::new(Semaphore::new((connections / 3).max(1))),
            told: watch::Sender::new(()),
            kept,
            tasks: Mutex::default(),
        }
    }

    /// What a new listener is told, who knows what was up to a position. It ends when it may listen no more.
    pub(crate) fn listen(
        &self,
        tenant: TenantId,
        identity: &Identity,
        views: Views,
        at: Option<Position>,
    ) -> Result<mpsc::Receiver<Bytes>, Full> {
        let seat = self.seats.take(tenant, identity.hash)?;
        self.work();
        let id = seat.id();
        let (to, told) = mpsc::channel(AHEAD);
        let listener = Listener {
            feed: self.feed(tenant),
            at,
            views,
            to,
            told: Instant::now(),
            _seat: seat,
        };
        let left = identity.expires_at - Timestamp::from_system(SystemTime::now());
        let left = Duration::from_micros(left.0.try_into().unwrap_or(0));
        let task = tokio::spawn(listener.run(left));
        self.seats.seated(id, task.abort_handle());
        Ok(told)
    }

    /// Ends all streams, and begins none any more.
    pub(crate) fn close(&self) {
        self.seats.close();
    }

    /// The feed of a tenant.
    fn feed(&self, tenant: TenantId) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(&tenant).and_then(Weak::upgrade) {
            return feed;
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let (reading, told) = (Arc::clone(&self.reading), self.told.subscribe());
        let feed = Arc::new(Feed::start(self.pool.clone(), tenant, reading, told));
        feeds.insert(tenant, Arc::downgrade(&feed));
        feed
    }

    fn work(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.is_empty() {
            let kept = Arc::clone(&self.kept);
            tasks.spawn(hear(self.pool.clone(), self.told.clone(), kept));
            tasks.spawn(check(self.pool.clone(), Arc::clone(&self.seats)));
        }
    }
}

/// Tells all feeds of each commit. Where it can't hear of them, feeds look by themselves, so its own errors are no news.
async fn hear(pool: PgPool, told: watch::Sender<()>, kept: Arc<Kept>) {
    loop {
        if let Err(error) = notifications(&pool, &told, &kept).await {
            tracing::debug!(%error, "commits are looked for instead of heard of");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn notifications(
    pool: &PgPool,
    told: &watch::Sender<()>,
    kept: &Kept,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    while listener.try_recv().await?.is_some() {
        kept.written();
        told.send_replace(());
    }
    Ok(())
}

/// Ends those whose token is no good any more. While the database is away nobody can say so, and nobody hears anything.
async fn check(pool: PgPool, seats: Arc<Seats>) {
    loop {
        tokio::time::sleep(CHECK).await;
        let tokens = seats.tokens();
        match token::good(&pool, &tokens).await {
            Ok(good) => {
                let bad: HashSet<_> = tokens.difference(&good).copied().collect();
                seats.bar(&bad);
            }
            Err(error) => tracing::debug!(%error, "tokens of listeners are not looked at"),
        }
    }
}
