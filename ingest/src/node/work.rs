//! Which partitions this node holds, from moment to moment.
//!
//! A few times a minute: is the clock right, are the leases still ours, who else lives, who is to hold what. Any of it may
//! fail while Postgres is away; then everything is held on to, and readers tell by the fencing epochs if it was not ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::future::join_all;
use mast_postgres::ingest_nodes::{self, LiveNode};
use mast_postgres::lease::{self, Lease};
use mast_schemas::metric::{Histogram, Metric};
use mast_schemas::partition::{SHARDS, partition, shard};
use mast_schemas::{DeviceId, topics};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::health::Concern;
use super::shares::{Holder, shares};
use super::tenure::Tenure;
use super::{Inner, Status, control, ensure_topics, limits, siblings};
use crate::clock;
use crate::error::IngestError;
use crate::kin::Kin;
use crate::marks::{self, Marks, PgMarks};
use crate::poller::Shared;
use crate::producer::Producer;
use crate::slower::Slower;
use crate::spool::Spool;
use crate::trust::Trust;

/// Leases of partitions; the number follows.
const LEASES: &str = "ingest/telemetry/";
/// How often there is a look at what may be urgent.
const LOOK: Duration = Duration::from_millis(250);
/// How long a partition that is given up may take to be flushed: as long nobody else polls its devices.
const FLUSH: Duration = Duration::from_secs(2);
/// Changes of the control topic taken at once.
const CHANGES: usize = 256;
/// How long the numbers of devices by partition, on which only the room of nodes depends, are good for.
const WEIGHTS: Duration = Duration::from_secs(60);

/// What is there before the first lease.
pub(super) struct Begun {
    producer: Arc<Producer>,
    /// From where the control topic is followed.
    from: u64,
}

/// Notes where the control topic ends, before anything is read from Postgres.
pub(super) async fn begin(
    inner: &Arc<Inner>,
    spool: &mut Option<Spool>,
) -> Result<Begun, IngestError> {
    ensure_topics(&inner.config).await?;
    let log = Arc::clone(&inner.config.log);
    let ends = move || {
        log.partitions(topics::TELEMETRY)?;
        log.ends(topics::CONTROL, 0)
    };
    let ends = tokio::task::spawn_blocking(ends).await;
    let from = match ends {
        Ok(ends) => ends?.next,
        Err(_) => return Err(IngestError::Silent),
    };
    let config = &inner.config;
    let producer = Producer::new(
        Arc::clone(&config.log),
        Arc::clone(&config.clock),
        config.producer,
        spool.take(),
        Arc::clone(&inner.producer),
    )?;
    Ok(Begun {
        producer: Arc::new(producer),
        from,
    })
}

/// Works until the node is stopped, then gives everything back.
pub(super) async fn run(inner: &Arc<Inner>, begun: Begun) {
    let Begun { producer, from } = begun;
    let writing = tokio::task::spawn_blocking({
        let producer = Arc::clone(&producer);
        move || producer.run()
    });
    // Also where this future is dropped: the runtime waits for the thread.
    let ending = Ending(Arc::clone(&producer));
    let (news_in, mut news) = mpsc::channel(CHANGES);
    let following = control::follow(Arc::clone(inner), from, inner.stop.clone(), news_in);
    let config = &inner.config;
    let marks = Arc::new(Marks::new(Arc::new(PgMarks(config.pool.clone()))));
    let keeping = tokio::spawn(marks::keep(
        Arc::clone(&marks),
        Arc::clone(&producer),
        inner.stop.clone(),
    ));
    let (kin, sharing) = siblings::begin(inner);
    let mut work = Work {
        inner: Arc::clone(inner),
        producer: Arc::clone(&producer),
        trust: Arc::new(Trust {
            roots: config.roots.clone(),
            pins: Arc::new(inner.store.clone()),
            logins: Arc::clone(&inner.logins),
        }),
        kin,
        slower: Arc::new(Slower {
            cadences: config.cadences,
            sensors_each_poll: false,
            marks: Arc::clone(&marks),
            clock: Arc::clone(&config.clock),
        }),
        times: Metric::IngestPollTime.histogram(&[]),
        held: BTreeMap::new(),
        weights: None,
        expecting: false,
        read_anew: false,
    };
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = Instant::now();
    let mut batch = Vec::with_capacity(CHANGES);
    loop {
        tokio::select! {
            () = inner.stop.cancelled() => break,
            count = news.recv_many(&mut batch, CHANGES), if !news.is_closed() || !news.is_empty() => {
                if count > 0 {
                    work.apply(batch.drain(..)).await;
                }
            }
            _ = looks.tick() => {
                if Instant::now() >= next || config.clock.was_set() {
                    work.tick().await;
                    let wait = if work.expecting { LOOK } else { work.period() };
                    next = Instant::now() + wait;
                }
            }
        }
    }
    news.close();
    let _ = keeping.await;
    let _ = sharing.await;
    let all: Vec<u32> = work.held.keys().copied().collect();
    work.give_up(all).await;
    let left = ingest_nodes::leave(inner.store.pool(), config.holder);
    if work.within(left).await.is_err() {
        tracing::warn!("the node's row was not taken out; it expires by itself");
    }
    drop(ending);
    let _ = writing.await;
    let _ = following.await;
    work.measure();
}

/// Ends the producer's thread when dropped.
struct Ending(Arc<Producer>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stop();
    }
}

pub(super) struct Work {
    pub(super) inner: Arc<Inner>,
    producer: Arc<Producer>,
    trust: Arc<Trust>,
    kin: Arc<Kin>,
    slower: Arc<Slower>,
    times: Histogram,
    pub(super) held: BTreeMap<u32, Tenure>,
    /// Devices by partition, and since when that is known.
    weights: Option<(Instant, Vec<u64>)>,
    /// A partition is to be ours as soon as another lets it go.
    expecting: bool,
    /// Changes were missed: all devices are to be read anew.
    pub(super) read_anew: bool,
}

impl Work {
    /// Between two looks at the leases.
    fn period(&self) -> Duration {
        self.inner.config.lease_ttl / 6
    }

    /// The partition of a device.
    pub(super) fn place(&self, device: DeviceId) -> u32 {
        partition(shard(&device), self.producer.partitions())
    }

    /// An answer of Postgres, which has as long as a third of the leases' life.
    pub(super) async fn within<T, E: Into<IngestError>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, IngestError> {
        let patience = self.inner.config.lease_ttl / 3;
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Err(IngestError::Silent),
        }
    }

    async fn tick(&mut self) {
        let inner = Arc::clone(&self.inner);
        let health = &inner.health;
        self.expecting = false;
        match self.share().await {
            Ok(()) => {
                health.note(Concern::Postgres, None);
                health.note(Concern::Clock, None);
                self.catch_up().await;
            }
            Err(error @ IngestError::Clock { .. }) => {
                health.note(Concern::Postgres, None);
                health.note(Concern::Clock, Some(error.to_string()));
                inner.set_status(Status::Waiting(error.to_string()));
                let all: Vec<u32> = self.held.keys().copied().collect();
                self.give_up(all).await;
                let left = ingest_nodes::leave(inner.store.pool(), inner.config.holder);
                let _ = self.within(left).await;
            }
            Err(error) => {
                let reason =
                    format!("PostgreSQL is away; polling goes on with what is known: {error}");
                health.note(Concern::Postgres, Some(reason));
                if self.held.is_empty() {
                    inner.set_status(Status::Waiting(error.to_string()));
                }
            }
        }
        self.measure();
    }

    /// Renews what is held, gives up what others are to hold, takes what is ours.
    async fn share(&mut self) -> Result<(), IngestError> {
        self.check_clock().await?;
        self.renew().await?;
        let inner = Arc::clone(&self.inner);
        let (config, pool) = (&inner.config, inner.store.pool());
        let descriptors = limits::descriptors();
        Metric::IngestDescriptorLimit.set_count(&[], descriptors);
        let room = descriptors.saturating_sub(limits::OTHERS + config.other_descriptors);
        let me = LiveNode {
            holder: config.holder,
            name: process_name(),
            capacity: config.capacity.unwrap_or(room).min(i64::MAX as u64),
        };
        self.within(ingest_nodes::live(pool, &me, config.lease_ttl))
            .await?;
        let nodes = self.within(ingest_nodes::all(pool)).await?;
        let holders = self.within(lease::holders(pool, LEASES)).await?;
        let weights = self.weights().await?;
        let now_held_by = by_partition(&holders, weights.len());
        let able = |node: &LiveNode| Holder {
            id: node.holder,
            capacity: node.capacity,
        };
        let nodes: Vec<Holder> = nodes.iter().map(able).collect();
        let plan = shares(&nodes, &weights, &now_held_by);
        self.tell_unheld(&me, &plan, &weights);

        let mine = |p: &u32| plan.get(*p as usize).copied().flatten() == Some(config.holder);
        let others: Vec<u32> = self.held.keys().copied().filter(|p| !mine(p)).collect();
        if !others.is_empty() {
            tracing::info!(partitions = ?others, "partitions go to other nodes");
            self.give_up(others).await;
        }
        let wanted: Vec<u32> = (0..weights.len() as u32)
            .filter(|p| mine(p) && !self.held.contains_key(p))
            .collect();
        if !wanted.is_empty() {
            self.take(&wanted).await?;
        }
        self.expecting = wanted.iter().any(|p| !self.held.contains_key(p));
        let held = self.held.len() as u32;
        inner.set_status(if held > 0 {
            Status::Polling(held)
        } else if let Some((_, reason)) = inner
            .health
            .all()
            .into_iter()
            .find(|(c, _)| *c == Concern::Capacity)
        {
            Status::Waiting(reason)
        } else {
            Status::Waiting("another ingest node holds the leases of all partitions".to_owned())
        });
        Ok(())
    }

    /// This machine's clock and Postgres's, before anything is stamped by it.
    async fn check_clock(&self) -> Result<(), IngestError> {
        let ours = &self.inner.config.clock;
        let before = ours.shown();
        let now = ingest_nodes::database_now(self.inner.store.pool());
        let theirs = self.within(now).await?;
        let ahead_ms = clock::ahead_ms(before, theirs, ours.shown());
        #[expect(
            clippy::cast_precision_loss,
            reason = "nobody reads the sixteenth digit of a gauge"
        )]
        Metric::IngestClockOffset.set(&[], ahead_ms as f64);
        if !clock::agrees(ahead_ms) {
            return Err(IngestError::Clock { ahead_ms });
        }
        ours.compared();
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), IngestError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let leases: Vec<Lease> = self.held.values().map(|t| t.lease.clone()).collect();
        let ttl = self.inner.config.lease_ttl;
        let renewed = lease::renew_all(self.inner.store.pool(), &leases, ttl);
        let renewed = self.within(renewed).await?;
        let lost: Vec<u32> = self
            .held
            .iter()
            .filter(|(_, held)| !renewed.iter().any(|lease| lease.name == held.lease.name))
            .map(|(place, _)| *place)
            .collect();
        if !lost.is_empty() {
            tracing::error!(partitions = ?lost, "leases were lost to another node");
            Metric::IngestLeasesLost.add(&[], lost.len() as u64);
            self.end(&lost).await;
        }
        Ok(())
    }

    /// Devices by partition. Counted anew now and then, and before anything is taken.
    async fn weights(&mut self) -> Result<Vec<u64>, IngestError> {
        if let Some((since, weights)) = &self.weights
            && since.elapsed() < WEIGHTS
        {
            return Ok(weights.clone());
        }
        let ids = self.within(self.inner.store.ids()).await?;
        let mut weights = vec![0; self.producer.partitions() as usize];
        for id in ids {
            weights[self.place(id) as usize] += 1;
        }
        self.weights = Some((Instant::now(), weights.clone()));
        Ok(weights)
    }

    fn tell_unheld(&self, me: &LiveNode, plan: &[Option<Uuid>], weights: &[u64]) {
        let unheld: Vec<u64> = plan
            .iter()
            .zip(weights)
            .filter(|(holder, _)| holder.is_none())
            .map(|(_, weight)| *weight)
            .collect();
        let devices: u64 = unheld.iter().sum();
        Metric::IngestUnheld.set_count(&[], devices);
        let reason = (!unheld.is_empty()).then(|| {
            format!(
                "{devices} devices, in {} of {} partitions, are polled by nobody: no node has file descriptors left for them, \
                 this one for {} devices; raise its limit of open files (`ulimit -n`, or LimitNOFILE of its service) or \
                 start another node",
                unheld.len(),
                plan.len(),
                me.capacity
            )
        });
        self.inner.health.note(Concern::Capacity, reason);
    }

    /// Takes partitions that are free and polls their devices.
    async fn take(&mut self, wanted: &[u32]) -> Result<(), IngestError> {
        let inner = Arc::clone(&self.inner);
        let (config, pool) = (&inner.config, inner.store.pool());
        let names: Vec<String> = wanted.iter().map(|p| format!("{LEASES}{p}")).collect();
        let taken = lease::acquire_all(pool, &names, config.holder, config.lease_ttl);
        let taken = self.within(taken).await?;
        if taken.is_empty() {
            return Ok(());
        }
        let places: BTreeMap<u32, Lease> = taken
            .into_iter()
            .filter_map(|lease| Some((number(&lease.name)?, lease)))
            .collect();
        self.weights = None;
        let ids = self.within(inner.store.ids()).await;
        let ours = |id: &DeviceId| places.contains_key(&self.place(*id));
        let specs = match ids {
            Ok(ids) => {
                let ids: Vec<DeviceId> = ids.into_iter().filter(ours).collect();
                self.within(inner.store.devices(&ids)).await
            }
            Err(error) => Err(error),
        };
        let specs = match specs {
            Ok(specs) => specs,
            Err(error) => {
                // Without its devices a partition is better held by nobody.
                for lease in places.values() {
                    let _ = self.within(lease::release(pool, lease)).await;
                }
                return Err(error);
            }
        };
        for (place, lease) in places {
            self.producer.open(place, lease.fencing_epoch);
            let shared = Shared {
                producer: Arc::clone(&self.producer),
                clock: Arc::clone(&config.clock),
                trust: Arc::clone(&self.trust),
                kin: Arc::clone(&self.kin),
                slower: Arc::clone(&self.slower),
                lease_epoch: lease.fencing_epoch,
                stats: Arc::clone(&inner.polls),
                times: self.times.clone(),
                stop: inner.stop.child_token(),
            };
            self.held
                .insert(place, Tenure::new(lease, Arc::new(shared)));
        }
        for spec in specs {
            let place = self.place(spec.device.id);
            if let Some(held) = self.held.get_mut(&place) {
                held.upsert(spec);
            }
        }
        tracing::info!(partitions = ?self.held.keys().collect::<Vec<_>>(), "partitions held");
        Ok(())
    }

    /// Ends all polling in partitions; what was read is in the log or on disk then, as far as that is quick.
    async fn end(&mut self, places: &[u32]) -> Vec<Lease> {
        let mut ended: Vec<Tenure> = places
            .iter()
            .filter_map(|place| self.held.remove(place))
            .collect();
        ended.iter_mut().for_each(Tenure::end);
        join_all(ended.iter().map(Tenure::ended)).await;
        let closed = places.iter().map(|place| self.producer.close(*place));
        if tokio::time::timeout(FLUSH, join_all(closed)).await.is_err() {
            tracing::warn!(
                ?places,
                "the last polls of partitions are not in the log yet"
            );
        }
        // What was read to the end is in the log now: whoever polls these devices next goes on from there.
        let patience = self.inner.config.lease_ttl / 3;
        let flushed = self.slower.marks.flush(&self.producer);
        if tokio::time::timeout(patience, flushed).await.is_err() {
            tracing::warn!("how far logs were read was not kept; some lines may come twice");
        }
        ended.into_iter().map(|tenure| tenure.lease).collect()
    }

    /// Ends all polling in partitions and lets another node have them.
    async fn give_up(&mut self, places: Vec<u32>) {
        for lease in self.end(&places).await {
            let released = lease::release(self.inner.store.pool(), &lease);
            if let Err(error) = self.within(released).await {
                tracing::warn!(%error, "leases were not given back; they end by themselves");
                break;
            }
        }
    }

    pub(super) fn measure(&self) {
        let devices = self.held.values().map(Tenure::devices).sum();
        self.inner.devices.store(devices, Relaxed);
        let shards = self.held.len() as u32 * SHARDS / self.producer.partitions().max(1);
        Metric::IngestLeases.set_count(&[], u64::from(shards));
    }
}

/// Holders by partition.
fn by_partition(leases: &[(String, Uuid)], partitions: usize) -> Vec<Option<Uuid>> {
    let mut holders = vec![None; partitions];
    for (name, holder) in leases {
        if let Some(place) = number(name).and_then(|place| holders.get_mut(place as usize)) {
            *place = Some(*holder);
        }
    }
    holders
}

/// The partition that a lease is for.
fn number(lease: &str) -> Option<u32> {
    lease.strip_prefix(LEASES)?.parse().ok()
}

/// Host and process, for people.
fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}
