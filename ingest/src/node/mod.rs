//! An ingest node: holds partitions, knows their devices, keeps a task for each, follows changes.
//!
//! Bootstrap: first the end of the control topic is noted, then it is followed from there, and whenever a partition is
//! taken, Postgres is read. What is in both is told apart by the entity's version, so nothing is missed and nothing is
//! undone. While Postgres is away everything goes on as last known.

mod changes;
mod control;
mod health;
mod limits;
mod meter;
mod shares;
mod siblings;
mod tenure;
mod work;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mast_log::{Log, TopicSpec};
use mast_schemas::records::Outcome;
use mast_schemas::topics;
use mast_secrets::KeyProvider;
use routeros_api::TrustedRoots;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::{SystemClock, TimeSource};
use crate::error::IngestError;
use crate::poller::PollStats;
use crate::producer::{ProducerConfig, ProducerStats};
use crate::slower::Cadences;
use crate::spool::{Spool, SpoolConfig};
use crate::store::Store;
use crate::trust::LoginPace;
pub use health::Concern;
use health::Health;

/// What a node needs.
pub struct NodeConfig {
    /// Postgres as the role `mast_ingest`; one of its connections hears what other nodes say.
    pub pool: PgPool,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Opens credentials.
    pub keys: Arc<dyn KeyProvider>,
    /// The time.
    pub clock: Arc<dyn TimeSource>,
    /// Who this node is. The same over restarts only where a second process cannot run at once.
    pub holder: Uuid,
    /// Partitions of the telemetry topic, should it have to be made.
    pub partitions: u32,
    /// The CA that signs routers' certificates, if there is one.
    pub roots: Option<TrustedRoots>,
    /// Logins a second over all devices.
    pub logins_per_second: u32,
    /// How long the leases last without renewal.
    pub lease_ttl: Duration,
    /// How polls are batched.
    pub producer: ProducerConfig,
    /// How often the slower kinds are read.
    pub cadences: Cadences,
    /// Where polls wait while the log is full or away; null = in memory only.
    pub spool: Option<SpoolConfig>,
    /// Devices that this node may hold; null = as many as it may open files.
    pub capacity: Option<u64>,
    /// File descriptors that other parts of this process need, beyond some hundreds.
    pub other_descriptors: u64,
}

impl NodeConfig {
    /// The defaults of a standalone node, without a spool.
    pub fn new(pool: PgPool, log: Arc<dyn Log>, keys: Arc<dyn KeyProvider>) -> Self {
        Self {
            pool,
            log,
            keys,
            clock: Arc::new(SystemClock::default()),
            holder: Uuid::now_v7(),
            partitions: topics::STANDALONE_PARTITIONS,
            roots: None,
            logins_per_second: 500,
            lease_ttl: Duration::from_secs(15),
            producer: ProducerConfig::default(),
            cadences: Cadences::default(),
            spool: None,
            capacity: None,
            other_descriptors: 0,
        }
    }
}

/// What a node is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Polling nothing; the reason in words.
    Waiting(String),
    /// Polling the devices of so many partitions.
    Polling(u32),
    /// Ended.
    Stopped,
}

/// Counters of a node since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStats {
    /// What it is doing.
    pub status: Status,
    /// Devices polled.
    pub devices: u64,
    /// Polls in all.
    pub polls: u64,
    /// Polls that read nothing.
    pub polls_failed: u64,
    /// Polls by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 8],
    /// Rows of all kinds.
    pub rows: u64,
    /// Values that could not be typed.
    pub issues: u64,
    /// Polls in the log.
    pub polls_appended: u64,
    /// Polls dropped because the log was away too long.
    pub polls_dropped: u64,
    /// Bytes in the log.
    pub bytes: u64,
    /// Bytes waiting for the log in memory.
    pub waiting_bytes: u64,
    /// Bytes waiting for the log on disk.
    pub spool_bytes: u64,
    /// Polls waiting for the log on disk.
    pub spool_polls: u64,
    /// Open sessions.
    pub sessions: u64,
    /// Devices whose breaker is open.
    pub breakers_open: u64,
    /// The longest that a poll began late since the last call, milliseconds.
    pub late_ms: u64,
    /// What is wrong, with the remedy.
    pub troubles: Vec<(Concern, String)>,
}

/// An ingest node.
pub struct Node;

struct Inner {
    config: NodeConfig,
    store: Store,
    polls: Arc<PollStats>,
    producer: Arc<ProducerStats>,
    logins: Arc<LoginPace>,
    health: Health,
    status: Mutex<Status>,
    devices: AtomicU64,
    stop: CancellationToken,
}

/// A running node.
pub struct NodeHandle {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

impl Node {
    /// Starts a node; it waits by itself for what is not there yet.
    ///
    /// # Errors
    /// [`IngestError::Log`] when the topics can't be made and waiting does not help, [`IngestError::Spool`].
    pub async fn start(mut config: NodeConfig) -> Result<NodeHandle, IngestError> {
        let spool = config.spool.take();
        let spool = tokio::task::spawn_blocking(|| spool.map(Spool::open).transpose());
        let spool = spool.await.unwrap_or(Ok(None))?;
        match ensure_topics(&config).await {
            Err(IngestError::Log(error)) if error.is_passing() => {}
            made => made?,
        }
        let inner = Arc::new(Inner {
            store: Store::new(config.pool.clone(), Arc::clone(&config.keys)),
            logins: Arc::new(LoginPace::new(config.logins_per_second)),
            config,
            polls: Arc::default(),
            producer: Arc::default(),
            health: Health::default(),
            status: Mutex::new(Status::Waiting("starting".to_owned())),
            devices: AtomicU64::new(0),
            stop: CancellationToken::new(),
        });
        let task = tokio::spawn(run(Arc::clone(&inner), spool));
        Ok(NodeHandle { inner, task })
    }
}

/// Waits for the log, then works until stopped.
async fn run(inner: Arc<Inner>, mut spool: Option<Spool>) {
    let measuring = tokio::spawn(meter::run(Arc::clone(&inner)));
    let begun = loop {
        match work::begin(&inner, &mut spool).await {
            Ok(begun) => {
                inner.health.note(Concern::Log, None);
                break Some(begun);
            }
            Err(error) => {
                inner.health.note(Concern::Log, Some(error.to_string()));
                inner.set_status(Status::Waiting(error.to_string()));
            }
        }
        tokio::select! {
            () = inner.stop.cancelled() => break None,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    };
    if let Some(begun) = begun {
        Box::pin(work::run(&inner, begun)).await;
    }
    inner.set_status(Status::Stopped);
    measuring.abort();
    meter::measure(&inner);
}

async fn ensure_topics(config: &NodeConfig) -> Result<(), IngestError> {
    let (log, partitions) = (Arc::clone(&config.log), config.partitions);
    let make = move || {
        for (name, partitions) in [(topics::TELEMETRY, partitions), (topics::CONTROL, 1)] {
            // An existing topic keeps the count that it was made with.
            if log.partitions(name).is_err() {
                log.ensure_topic(&TopicSpec {
                    name: name.to_owned(),
                    partitions,
                })?;
            }
        }
        Ok::<(), mast_log::LogError>(())
    };
    let made = tokio::task::spawn_blocking(make).await;
    Ok(made.unwrap_or(Ok(()))?)
}

impl NodeHandle {
    /// The counters now.
    pub fn stats(&self) -> NodeStats {
        let (polls, producer) = (&self.inner.polls, &self.inner.producer);
        let outcomes: [u64; 8] = std::array::from_fn(|i| polls.outcomes[i].load(Relaxed));
        let reached = outcomes[Outcome::Ok as usize] + outcomes[Outcome::Partial as usize];
        let total: u64 = outcomes.iter().sum();
        NodeStats {
            status: self.inner.status(),
            devices: self.inner.devices.load(Relaxed),
            polls: total,
            polls_failed: total - reached,
            outcomes,
            rows: polls.rows.load(Relaxed),
            issues: polls.issues.load(Relaxed),
            polls_appended: producer.polls.load(Relaxed),
            polls_dropped: producer.dropped.load(Relaxed),
            bytes: producer.bytes.load(Relaxed),
            waiting_bytes: producer.waiting_bytes.load(Relaxed),
            spool_bytes: producer.spool_bytes.load(Relaxed),
            spool_polls: producer.spool_polls.load(Relaxed),
            sessions: polls.sessions.load(Relaxed).max(0).unsigned_abs(),
            breakers_open: polls.breakers.load(Relaxed).max(0).unsigned_abs(),
            late_ms: polls.late_ms.swap(0, Relaxed),
            troubles: self.inner.troubles(),
        }
    }

    /// Stops in order: no more polls, what was read goes to the log with a goodbye, the leases end.
    pub async fn stop(mut self) {
        self.inner.stop.cancel();
        let _ = (&mut self.task).await;
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

impl Inner {
    fn status(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waiting is said once, however often its words change.
    fn set_status(&self, status: Status) {
        let mut held = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*held, &status) {
            (Status::Waiting(_), Status::Waiting(_)) => {}
            (_, Status::Waiting(reason)) => tracing::warn!(reason, "ingest polls nothing"),
            (before, now) if before != now => tracing::info!(status = ?now, "ingest"),
            _ => {}
        }
        *held = status;
    }

    fn troubles(&self) -> Vec<(Concern, String)> {
        let mut all = self.health.all();
        let producer = self.producer.troubles();
        let of_log = producer.log.map(|why| (Concern::Log, why));
        all.extend(of_log);
        all.extend(producer.spool.map(|why| (Concern::Spool, why)));
        all
    }
}
