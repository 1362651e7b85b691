//! An ingest node: takes the lease, knows the devices, keeps a task for each, follows changes.
//!
//! Bootstrap: first the end of the control topic is noted, then Postgres is read, then the topic is
//! followed from the noted offset. What is in both is told apart by the entity's version, so nothing is
//! missed and nothing is undone. While Postgres is away everything goes on as last known.

mod control;
mod limits;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mast_log::{Log, TopicSpec};
use mast_postgres::lease::{self, Lease};
use mast_schemas::control::Change;
use mast_schemas::records::Outcome;
use mast_schemas::{DeviceId, TenantId, Timestamp, topics};
use mast_secrets::KeyProvider;
use routeros_api::TrustedRoots;
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::{SystemClock, TimeSource};
use crate::error::IngestError;
use crate::marks::{self, Marks, PgMarks};
use crate::poller::{self, PollStats, Shared};
use crate::producer::{Producer, ProducerConfig, ProducerStats};
use crate::slower::{Cadences, Slower};
use crate::store::Store;
use crate::trust::{DeviceSpec, LoginPace, Manner, Trust};

/// The lease over all shards.
const LEASE: &str = "ingest/all";
/// How far this machine's clock may be from Postgres's.
const CLOCK_MS: i64 = 2_000;

/// What a node needs.
pub struct NodeConfig {
    /// Postgres as the role `mast_ingest`.
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
    /// How long the lease lasts without renewal.
    pub lease_ttl: Duration,
    /// How polls are batched.
    pub producer: ProducerConfig,
    /// How often the slower kinds are read.
    pub cadences: Cadences,
}

impl NodeConfig {
    /// The defaults of a standalone node.
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
        }
    }
}

/// What a node is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waiting for the lease, Postgres or the log; the reason in words.
    Waiting(String),
    /// Polling under this fencing epoch.
    Polling(u64),
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
    /// Bytes waiting for the log.
    pub waiting_bytes: u64,
    /// Open sessions.
    pub sessions: u64,
    /// The longest that a poll began late since the last call, milliseconds.
    pub late_ms: u64,
}

/// An ingest node.
pub struct Node;

struct Inner {
    config: NodeConfig,
    store: Store,
    polls: Arc<PollStats>,
    producer: Arc<ProducerStats>,
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
    /// [`IngestError::Log`] when the topics can't be made.
    pub async fn start(config: NodeConfig) -> Result<NodeHandle, IngestError> {
        let (log, partitions) = (Arc::clone(&config.log), config.partitions);
        let made = tokio::task::spawn_blocking(move || ensure_topics(log.as_ref(), partitions));
        made.await.unwrap_or(Ok(()))?;
        let inner = Arc::new(Inner {
            store: Store::new(config.pool.clone(), Arc::clone(&config.keys)),
            config,
            polls: Arc::default(),
            producer: Arc::default(),
            status: Mutex::new(Status::Waiting("starting".to_owned())),
            devices: AtomicU64::new(0),
            stop: CancellationToken::new(),
        });
        let task = tokio::spawn(supervise(Arc::clone(&inner)));
        Ok(NodeHandle { inner, task })
    }
}

fn ensure_topics(log: &dyn Log, partitions: u32) -> Result<(), mast_log::LogError> {
    for (name, partitions) in [(topics::TELEMETRY, partitions), (topics::CONTROL, 1)] {
        // An existing topic keeps the count that it was made with.
        if log.partitions(name).is_err() {
            log.ensure_topic(&TopicSpec {
                name: name.to_owned(),
                partitions,
            })?;
        }
    }
    Ok(())
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
            sessions: polls.sessions.load(Relaxed).max(0).unsigned_abs(),
            late_ms: polls.late_ms.swap(0, Relaxed),
        }
    }

    /// Stops in order: no more polls, what was read goes to the log with a goodbye, the lease ends.
    pub async fn stop(self) {
        self.inner.stop.cancel();
        let _ = self.task.await;
    }
}

impl Inner {
    fn status(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_status(&self, status: Status) {
        let mut held = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *held != status {
            match &status {
                Status::Waiting(reason) => tracing::warn!(reason, "ingest is waiting"),
                other => tracing::info!(status = ?other, "ingest"),
            }
            *held = status;
        }
    }
}

/// Holds the lease again and again until stopped.
async fn supervise(inner: Arc<Inner>) {
    while !inner.stop.is_cancelled() {
        if let Err(error) = Box::pin(lead(&inner)).await {
            inner.set_status(Status::Waiting(error.to_string()));
        }
        tokio::select! {
            () = inner.stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    inner.set_status(Status::Stopped);
}

/// One reign: from taking the lease to losing it or being stopped.
async fn lead(inner: &Arc<Inner>) -> Result<(), IngestError> {
    let held = take_lease(inner).await?;
    let log = Arc::clone(&inner.config.log);
    let from = tokio::task::spawn_blocking(move || log.ends(topics::CONTROL, 0)).await;
    let from = match from {
        Ok(ends) => ends?.next,
        Err(_) => return Ok(()),
    };
    let devices = inner.store.devices().await?;
    limits::check(devices.len());
    let stop = inner.stop.child_token();
    let config = &inner.config;
    let producer = Arc::new(Producer::new(
        Arc::clone(&config.log),
        Arc::clone(&config.clock),
        held.fencing_epoch,
        config.producer,
        Arc::clone(&inner.producer),
    )?);
    let marks = Arc::new(Marks::new(Arc::new(PgMarks(config.pool.clone()))));
    let shared = Arc::new(Shared {
        slower: Arc::new(Slower {
            cadences: config.cadences,
            marks: Arc::clone(&marks),
            clock: Arc::clone(&config.clock),
        }),
        producer: Arc::clone(&producer),
        clock: Arc::clone(&config.clock),
        trust: Trust {
            roots: config.roots.clone(),
            pins: Arc::new(inner.store.clone()),
            logins: LoginPace::new(config.logins_per_second),
        },
        kin: Arc::default(),
        lease_epoch: held.fencing_epoch,
        stats: Arc::clone(&inner.polls),
        stop: stop.clone(),
    });
    let writing = tokio::task::spawn_blocking({
        let producer = Arc::clone(&producer);
        move || producer.run()
    });
    let mut fleet = Fleet {
        shared,
        inner: Arc::clone(inner),
        tasks: JoinSet::new(),
        known: HashMap::new(),
        sequences: HashMap::new(),
        unread: Vec::new(),
    };
    for spec in devices.into_values() {
        fleet.upsert(spec);
    }
    inner.set_status(Status::Polling(held.fencing_epoch));
    let (changes_in, changes) = mpsc::channel(256);
    let keeping = tokio::spawn(marks::keep(
        Arc::clone(&marks),
        Arc::clone(&producer),
        stop.clone(),
    ));
    let following = control::follow(Arc::clone(&config.log), from, stop.clone(), changes_in);
    fleet.lead(held.clone(), changes).await;
    stop.cancel();
    while fleet.tasks.join_next().await.is_some() {}
    producer.stop();
    let _ = writing.await;
    let _ = following.await;
    let _ = keeping.await;
    // Whatever was read to the end is in the log now.
    marks.flush(&producer).await;
    if let Err(error) = lease::release(inner.store.pool(), &held).await {
        tracing::warn!(%error, "the lease was not given back; it ends by itself");
    }
    inner.devices.store(0, Relaxed);
    Ok(())
}

async fn take_lease(inner: &Inner) -> Result<Lease, IngestError> {
    let config = &inner.config;
    let before = config.clock.now();
    let held = lease::acquire(inner.store.pool(), LEASE, config.holder, config.lease_ttl).await?;
    let held = held.ok_or_else(|| IngestError::Held(LEASE.to_owned()))?;
    if let Err(error) = clock_agrees(before, held.database_now, config.clock.now()) {
        let _ = lease::release(inner.store.pool(), &held).await;
        return Err(error);
    }
    Ok(held)
}

/// Whether Postgres's clock, read between two of ours, is near them.
fn clock_agrees(before: Timestamp, theirs: Timestamp, after: Timestamp) -> Result<(), IngestError> {
    let off_ms = if theirs < before {
        (before - theirs).0 / 1_000
    } else {
        (theirs - after).0.max(0) / 1_000
    };
    if off_ms > CLOCK_MS {
        Err(IngestError::Clock(off_ms))
    } else {
        Ok(())
    }
}

/// A device that has a task.
struct Tended {
    tenant_id: TenantId,
    version: i64,
    credentials_version: i64,
    spec: watch::Sender<Arc<DeviceSpec>>,
}

/// All devices of a reign.
struct Fleet {
    shared: Arc<Shared>,
    inner: Arc<Inner>,
    tasks: JoinSet<()>,
    known: HashMap<DeviceId, Tended>,
    /// Last sequences used under this lease, also of devices that went and may come back.
    sequences: HashMap<DeviceId, Arc<AtomicU64>>,
    /// Changes whose credentials could not be read yet.
    unread: Vec<mast_schemas::control::Device>,
}

impl Fleet {
    /// Until the lease is lost or the node stops.
    async fn lead(&mut self, mut held: Lease, mut changes: mpsc::Receiver<Change>) {
        let stop = self.inner.stop.clone();
        let ttl = self.inner.config.lease_ttl;
        let mut renewal = tokio::time::interval(ttl / 3);
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = renewal.tick() => match self.renew(&held, ttl).await {
                    Some(renewed) => {
                        held = renewed;
                        for device in std::mem::take(&mut self.unread) {
                            self.changed(device).await;
                        }
                    }
                    None => return,
                },
                Some(change) = changes.recv() => self.change(change).await,
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    /// Null when the lease is another's now, or our clock went astray. While Postgres is away the lease
    /// counts as held: readers tell by the fencing epoch if it was not.
    async fn renew(&self, held: &Lease, ttl: Duration) -> Option<Lease> {
        let clock = &self.inner.config.clock;
        let before = clock.now();
        let answer = lease::renew(self.inner.store.pool(), held, ttl);
        match tokio::time::timeout(ttl / 3, answer).await {
            Ok(Ok(Some(renewed))) => {
                match clock_agrees(before, renewed.database_now, clock.now()) {
                    Ok(()) => Some(renewed),
                    Err(error) => {
                        tracing::error!(%error, "the lease is given up");
                        None
                    }
                }
            }
            Ok(Ok(None)) => {
                tracing::error!("the lease was lost to another node");
                None
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "PostgreSQL is away; polling goes on");
                Some(held.clone())
            }
            Err(_) => {
                tracing::warn!("PostgreSQL does not answer; polling goes on");
                Some(held.clone())
            }
        }
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::Device(device) => {
                let newer = self
                    .known
                    .get(&device.id)
                    .is_none_or(|t| device.version > t.version);
                if newer {
                    self.changed(device).await;
                }
            }
            Change::DeviceDeleted { id } => self.remove(id),
            Change::TenantDeleted { id } => {
                let theirs: Vec<DeviceId> = self
                    .known
                    .iter()
                    .filter(|(_, t)| t.tenant_id == id)
                    .map(|(d, _)| *d)
                    .collect();
                theirs.into_iter().for_each(|device| self.remove(device));
            }
            _ => {}
        }
    }

    /// Credentials are read anew only when they changed; else the old ones stay, Postgres away or not.
    async fn changed(&mut self, device: mast_schemas::control::Device) {
        let known = self.known.get(&device.id);
        let old = known.filter(|t| t.credentials_version == device.credentials_version);
        if let Some(old) = old {
            let before = old.spec.borrow().clone();
            self.upsert(DeviceSpec {
                device,
                ..(*before).clone()
            });
            return;
        }
        match self.inner.store.device(device.id).await {
            Ok(Some(spec)) => {
                // Postgres may be ahead of the topic; the topic's record of that change comes yet.
                let version = spec.device.version.max(device.version);
                self.upsert(spec);
                if let Some(tended) = self.known.get_mut(&device.id) {
                    tended.version = version;
                }
            }
            Ok(None) => {}
            Err(error) => {
                let reason = format!("its credentials could not be read: {error}");
                let credentials = Err(reason);
                self.unread.push(device.clone());
                self.upsert(DeviceSpec {
                    device,
                    credentials,
                    pin: None,
                    manner: Manner::default(),
                });
            }
        }
    }

    fn upsert(&mut self, spec: DeviceSpec) {
        let id = spec.device.id;
        if !spec.device.enabled {
            self.remove(id);
            return;
        }
        let (version, credentials_version) = (spec.device.version, spec.device.credentials_version);
        let tenant_id = spec.device.tenant_id;
        let spec = Arc::new(spec);
        if let Some(tended) = self.known.get_mut(&id) {
            (tended.version, tended.credentials_version) = (version, credentials_version);
            tended.spec.send_replace(spec);
            return;
        }
        let (sender, receiver) = watch::channel(spec);
        let shared = Arc::clone(&self.shared);
        let sequence = Arc::clone(self.sequences.entry(id).or_default());
        self.tasks.spawn(poller::run(shared, receiver, sequence));
        self.known.insert(
            id,
            Tended {
                tenant_id,
                version,
                credentials_version,
                spec: sender,
            },
        );
        self.inner.devices.store(self.known.len() as u64, Relaxed);
    }

    fn remove(&mut self, id: DeviceId) {
        // Dropping the sender ends the task.
        self.known.remove(&id);
        self.inner.devices.store(self.known.len() as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_two_seconds_off_holds_no_lease() {
        let at = Timestamp::from_millis;
        assert!(clock_agrees(at(10_000), at(10_050), at(10_100)).is_ok());
        assert!(clock_agrees(at(10_000), at(8_000), at(10_100)).is_ok());
        assert!(clock_agrees(at(10_000), at(7_999), at(10_100)).is_err());
        assert!(clock_agrees(at(10_000), at(12_100), at(10_100)).is_ok());
        assert!(clock_agrees(at(10_000), at(12_101), at(10_100)).is_err());
    }
}
