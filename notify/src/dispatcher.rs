//! The task that routes requests and sends deliveries, one a process; any number of processes share the queue.
//!
//! A message is claimed in a transaction of its own, sent, and its outcome is noted in another. A slow channel fills its own few
//! places and no others. While Postgres is away nothing is claimed; who has sent notes it as soon as it is back, until the
//! claim has passed. At a stop what is under way may end; what does not is left claimed, and sent again, marked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mast_postgres::is_passing;
use mast_schemas::TenantId;
use mast_schemas::metric::Metric;
use mast_schemas::notifications::AttemptOutcome;
use mast_secrets::{KeyProvider, SecretsError};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::backoff::{self, Bounds, Next};
use crate::outcome::Attempt;
use crate::secret::Secrets;
use crate::send::Sender;
use crate::store::{self, Claimed, Ended, Room};

/// What a dispatcher works with.
pub struct DispatcherConfig {
    /// Postgres, as the role `mast_api`.
    pub pool: PgPool,
    /// Opens the secrets of channels.
    pub keys: Arc<dyn KeyProvider>,
    /// Sends.
    pub sender: Sender,
    /// How long a delivery is tried for.
    pub bounds: Bounds,
    /// How long a claim lasts: longer than an attempt may take.
    pub claim: Duration,
    /// How often the queue is looked at.
    pub every: Duration,
}

impl DispatcherConfig {
    /// The defaults: a day and 12 attempts, claims of a minute and what an attempt may take, a look twice a second.
    pub fn new(pool: PgPool, keys: Arc<dyn KeyProvider>, sender: Sender) -> Self {
        let claim = sender.whole() + Duration::from_secs(60);
        Self {
            pool,
            keys,
            sender,
            bounds: Bounds::default(),
            claim,
            every: Duration::from_millis(500),
        }
    }
}

/// Messages under way at once: of one channel in all processes; of one tenant, and of all, in this one.
const PER_CHANNEL: usize = 2;
const PER_TENANT: usize = 32;
const ALL: usize = 256;
/// Pauses while Postgres is away.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often the backlog is measured, and what is old is dropped.
const MEASURE: Duration = Duration::from_secs(10);
const FORGET: Duration = Duration::from_secs(3_600);

/// A dispatcher that runs. Dropped, it ends at once, and leaves claimed what it was sending.
pub struct Dispatcher {
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<()>,
}

impl Dispatcher {
    /// Begins to route and to send.
    pub fn start(config: DispatcherConfig) -> Self {
        let (stop, stops) = watch::channel(None);
        let work = Work {
            config: Arc::new(config),
            under_way: JoinSet::new(),
            of: HashMap::new(),
            rounds: 0,
        };
        Self {
            stop,
            task: tokio::spawn(work.run(stops)),
        }
    }

    /// Claims nothing more, and ends when what is under way has ended or `patience` is over.
    pub async fn stop(mut self, patience: Duration) {
        self.stop.send_replace(Some(patience));
        // It ends by itself; one that panicked has said so.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Work {
    config: Arc<DispatcherConfig>,
    under_way: JoinSet<TenantId>,
    /// How many of each tenant are under way.
    of: HashMap<TenantId, usize>,
    rounds: usize,
}

impl Work {
    async fn run(mut self, mut stops: watch::Receiver<Option<Duration>>) {
        let (mut away, mut measure, mut forget) = (None, Instant::now(), Instant::now());
        loop {
            let mut done = self.round().await;
            let now = Instant::now();
            if done.is_ok() && now >= measure {
                measure = now + MEASURE;
                done = self.measure().await;
            }
            if done.is_ok() && now >= forget {
                forget = now + FORGET;
                done = store::forget(&self.config.pool).await.map(drop);
            }
            let pause = match done {
                Ok(()) => {
                    if away.take().is_some() {
                        tracing::info!("notifications are sent again");
                    }
                    self.config.every
                }
                Err(error) => {
                    Metric::PostgresErrors.add(&["notify"], 1);
                    if away.is_none() {
                        tracing::warn!(%error, passing = is_passing(&error), "notifications wait for Postgres");
                    }
                    let pause = away.map_or(AWAY.0, |pause: Duration| (pause * 2).min(AWAY.1));
                    away = Some(pause);
                    pause
                }
            };
            let wake = sleep(pause);
            tokio::pin!(wake);
            loop {
                tokio::select! {
                    () = &mut wake => break,
                    Some(ended) = self.under_way.join_next() => {
                        self.ended(ended);
                        // There is room for more; but not for asking Postgres at once while it is away.
                        if away.is_none() {
                            break;
                        }
                    }
                    () = stopped(&mut stops) => {
                        let patience = stops.borrow().unwrap_or_default();
                        return self.finish(patience).await;
                    }
                }
            }
        }
    }

    async fn finish(mut self, patience: Duration) {
        let all = async { while self.under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!(
                "notifications that were under way for too long are cut; they are repeated, marked"
            );
        }
    }

    fn ended(&mut self, ended: Result<TenantId, tokio::task::JoinError>) {
        match ended {
            Ok(tenant) => {
                if let Some(n) = self.of.get_mut(&tenant) {
                    *n -= 1;
                    if *n == 0 {
                        self.of.remove(&tenant);
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "a notification's task failed; it is repeated, marked");
                // Whose it was is not known: what is counted too high now is put right when nothing is under way.
                if self.under_way.is_empty() {
                    self.of.clear();
                }
            }
        }
    }

    /// Does what there is to do now.
    async fn round(&mut self) -> Result<(), sqlx::Error> {
        while let Some(ended) = self.under_way.try_join_next() {
            self.ended(ended);
        }
        let mut tenants = store::tenants(&self.config.pool).await?;
        // Another one is the first each time: there may not be room for the last.
        self.rounds = self.rounds.wrapping_add(1);
        let first = self.rounds % tenants.len().max(1);
        tenants.rotate_left(first);
        for tenant in tenants {
            match self.serve(tenant).await {
                // What is wrong with the rows of one holds up no other.
                Err(error) if !is_passing(&error) => {
                    Metric::PostgresErrors.add(&["notify"], 1);
                    tracing::error!(%error, %tenant, "notifications of a tenant are left where they are");
                }
                served => served?,
            }
        }
        Ok(())
    }

    /// Does what there is to do for a tenant.
    async fn serve(&mut self, tenant: TenantId) -> Result<(), sqlx::Error> {
        let pool = &self.config.pool;
        let routed = store::route(pool, tenant).await?;
        Metric::NotifyRouted.add(&[], routed as u64);
        let under_way = self.of.get(&tenant).copied().unwrap_or(0);
        let left = ALL
            .saturating_sub(self.under_way.len())
            .min(PER_TENANT.saturating_sub(under_way));
        if left == 0 {
            return Ok(());
        }
        let room = Room {
            tenant: left,
            channel: PER_CHANNEL,
            claim: self.config.claim,
            age: self.config.bounds.age,
        };
        for claimed in store::claim(pool, tenant, room).await? {
            *self.of.entry(tenant).or_default() += 1;
            self.under_way
                .spawn(tell(Arc::clone(&self.config), claimed));
        }
        Ok(())
    }

    async fn measure(&self) -> Result<(), sqlx::Error> {
        let backlog = store::backlog(&self.config.pool).await?;
        Metric::NotifyWaiting.set(&[], backlog.waiting as f64);
        Metric::NotifyOldest.set(&[], backlog.oldest.as_secs_f64() * 1_000.0);
        Ok(())
    }
}

/// Ends when told to stop, or when nobody is left to tell.
async fn stopped(stops: &mut watch::Receiver<Option<Duration>>) {
    let _ = stops.wait_for(Option::is_some).await;
}

/// Sends a message that is claimed, and notes what came of it.
async fn tell(config: Arc<DispatcherConfig>, claimed: Claimed) -> TenantId {
    let Claimed {
        tenant,
        claim,
        since,
        ..
    } = claimed;
    // A process that stood still meanwhile may find its claim passed, and the message sent by another.
    if since.elapsed() + config.sender.whole() >= config.claim {
        tracing::warn!(message = %claimed.message.id, "a notification's claim has nearly passed; it is left to who claims it next");
        return tenant;
    }
    let attempt = match opened(&*config.keys, &claimed) {
        Ok(secrets) => {
            let settings = claimed.settings.clone().with(secrets);
            config.sender.send(&settings, &claimed.message).await
        }
        Err(error) => locked(&error),
    };
    let ended = follow(&claimed, &attempt, config.bounds);
    observe(&claimed, &attempt, ended);
    let mut pause = AWAY.0;
    while since.elapsed() < config.claim {
        match store::record(&config.pool, tenant, claim, &attempt, ended).await {
            Ok(0) => {
                tracing::warn!(message = %claimed.message.id, "a notification's claim had passed when its outcome was known");
                break;
            }
            Ok(_) => break,
            Err(error) => {
                tracing::debug!(%error, message = %claimed.message.id, "the outcome of a notification is not noted yet");
                sleep(pause).await;
                pause = (pause * 2).min(AWAY.1);
            }
        }
    }
    tenant
}

fn opened(keys: &dyn KeyProvider, claimed: &Claimed) -> Result<Secrets, SecretsError> {
    let sealed = claimed.sealed.as_deref();
    sealed.map_or_else(
        || Ok(Secrets::default()),
        |sealed| Secrets::open(keys, claimed.tenant, sealed),
    )
}

/// What it means that secrets do not open.
fn locked(error: &SecretsError) -> Attempt {
    let outcome = match error {
        SecretsError::Unreadable | SecretsError::Form { .. } | SecretsError::Credentials => {
            AttemptOutcome::Refused
        }
        _ => AttemptOutcome::Failed,
    };
    let reply = match outcome {
        AttemptOutcome::Refused => {
            "the secrets of the channel do not open with this installation's key: enter them again"
        }
        _ => "the key that opens the secrets of the channel can't be had now",
    };
    tracing::warn!(%error, "a notification's channel is locked");
    Attempt {
        outcome,
        status: None,
        reply: reply.to_owned(),
        asked: None,
        took: Duration::ZERO,
    }
}

fn follow(claimed: &Claimed, attempt: &Attempt, bounds: Bounds) -> Ended {
    match attempt.outcome {
        AttemptOutcome::Delivered => Ended::Told,
        AttemptOutcome::Refused => Ended::Dead,
        AttemptOutcome::Failed | AttemptOutcome::Unknown => {
            let age = claimed.age.saturating_add(attempt.took);
            match backoff::next(
                claimed.message.id,
                claimed.attempt,
                age,
                attempt.asked,
                bounds,
            ) {
                Next::After(pause) => Ended::Again(pause),
                Next::GiveUp => Ended::Dead,
            }
        }
    }
}

fn observe(claimed: &Claimed, attempt: &Attempt, ended: Ended) {
    let answer = match attempt.outcome {
        AttemptOutcome::Delivered => "good",
        AttemptOutcome::Refused => "refused",
        AttemptOutcome::Failed | AttemptOutcome::Unknown => "failed",
    };
    Metric::NotifyAttempts.add(&[&claimed.kind, answer], 1);
    Metric::NotifyAttemptTime.observe(&[], attempt.took.as_secs_f64() * 1_000.0);
    if ended == Ended::Dead {
        Metric::NotifyDead.add(&[], claimed.message.notices.len() as u64);
        tracing::warn!(
            message = %claimed.message.id, tenant = %claimed.tenant, attempts = claimed.attempt, reason = attempt.reply,
            "a notification is given up"
        );
    }
}
