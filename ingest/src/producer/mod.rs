//! From polls to the log: batches by partition, and the promises that readers build time on.
//!
//! A heartbeat promises that no later row of this producer in the partition is earlier than its clock.
//! It holds by construction: under a partition's lock a row gets its time and enters the batch; under
//! the same lock the clock is read and the batch taken. The clock never steps back. And a heartbeat goes
//! to the log only behind everything taken before it, be that in memory or in the spool.
//!
//! A partition is opened under the fencing epoch of its lease, and closed with a goodbye. Nothing here ever blocks a
//! session: appends run on the producer's own thread.

mod outgoing;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mast_log::{Log, LogError, Record};
use mast_schemas::message::{Header, Heartbeat, ProducerId, WholePoll};
use mast_schemas::partition::{SHARDS, partition, shard};
use mast_schemas::{Timestamp, topics};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::batch::Batch;
use crate::clock::TimeSource;
use crate::spool::{Parcel, Spool};
use outgoing::{Beat, Outgoing};

/// How a producer batches.
#[derive(Clone, Copy, Debug)]
pub struct ProducerConfig {
    /// A batch waits at most this long; heartbeats go out as often. At most 250 ms.
    pub flush_every: Duration,
    /// A batch of this size goes out at once.
    pub flush_bytes: usize,
    /// Bytes that may wait in memory while the log refuses, over all partitions.
    pub waiting_bytes: usize,
    /// What has waited in memory as long as this goes to the spool: so much a kill may cost while the log is away.
    pub spool_after: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            flush_every: Duration::from_millis(200),
            flush_bytes: 1 << 20,
            waiting_bytes: 64 << 20,
            spool_after: Duration::from_secs(1),
        }
    }
}

/// Counters of a producer.
#[derive(Debug, Default)]
pub struct ProducerStats {
    /// Polls in the log.
    pub polls: AtomicU64,
    /// Bytes in the log, heartbeats left out.
    pub bytes: AtomicU64,
    /// Polls dropped because the log was away too long.
    pub dropped: AtomicU64,
    /// Bytes waiting for the log in memory.
    pub waiting_bytes: AtomicU64,
    /// Bytes waiting for the log on disk.
    pub spool_bytes: AtomicU64,
    /// Polls waiting for the log on disk.
    pub spool_polls: AtomicU64,
    /// Appends that the log refused.
    pub refused: AtomicU64,
    troubles: Mutex<Troubles>,
}

/// What keeps polls from where they should go, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Why the log takes nothing.
    pub log: Option<String>,
    /// Why the spool takes nothing.
    pub spool: Option<String>,
}

impl ProducerStats {
    /// What is wrong now.
    pub fn troubles(&self) -> Troubles {
        lock(&self.troubles).clone()
    }

    fn log_trouble(&self, now: Option<String>) {
        let mut held = lock(&self.troubles);
        match (&held.log, &now) {
            (None, Some(reason)) => tracing::error!(
                reason,
                "the log takes nothing; polls wait in memory and in the spool"
            ),
            (Some(_), None) => tracing::info!("the log takes polls again"),
            _ => {}
        }
        held.log = now;
    }

    fn spool_trouble(&self, now: Option<String>) {
        let mut held = lock(&self.troubles);
        match (&held.spool, &now) {
            (None, Some(reason)) => tracing::error!(
                reason,
                "the spool takes nothing; polls wait in memory, then the oldest are dropped"
            ),
            (Some(_), None) => tracing::info!("the spool takes polls again"),
            _ => {}
        }
        held.spool = now;
    }
}

/// A poll that was handed over: [`Producer::is_safe`] says whether it is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    partition: u32,
    /// Which of the partition's polls, from 1.
    number: u64,
}

impl Ticket {
    /// Whether the poll was not taken, and never will be in the log.
    pub const fn is_lost(self) -> bool {
        self.number == u64::MAX
    }
}

/// A partition as far as rows enter it.
#[derive(Default)]
struct Place {
    batch: Batch,
    /// Polls that ever entered.
    entered: u64,
    /// The lease under which it is open.
    lease_epoch: Option<u64>,
    /// Opened, and no heartbeat has told of it yet.
    fresh: bool,
    /// Closed: whom to tell when the last of it is in the log or on disk.
    closing: Option<(u64, oneshot::Sender<()>)>,
}

/// Collects polls and appends them.
pub struct Producer {
    log: Arc<dyn Log>,
    clock: Arc<dyn TimeSource>,
    config: ProducerConfig,
    id: ProducerId,
    places: Vec<Mutex<Place>>,
    /// Polls of each partition that have left memory, in the order in which they entered.
    left: Arc<[AtomicU64]>,
    outgoing: Mutex<Outgoing>,
    wake: (Mutex<bool>, Condvar),
    stopping: AtomicBool,
    stats: Arc<ProducerStats>,
}

impl Producer {
    /// A producer for a topic that exists; all its partitions are closed. Call [`Producer::run`] on a thread of its own.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    pub fn new(
        log: Arc<dyn Log>,
        clock: Arc<dyn TimeSource>,
        config: ProducerConfig,
        spool: Option<Spool>,
        stats: Arc<ProducerStats>,
    ) -> Result<Self, LogError> {
        let partitions = log.partitions(topics::TELEMETRY)?;
        let left: Arc<[AtomicU64]> = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        let outgoing = Outgoing::new(config, spool, Arc::clone(&stats), Arc::clone(&left));
        Ok(Self {
            log,
            clock,
            config,
            id: ProducerId(Uuid::now_v7()),
            places: (0..partitions).map(|_| Mutex::default()).collect(),
            left,
            outgoing: Mutex::new(outgoing),
            wake: (Mutex::new(false), Condvar::new()),
            stopping: AtomicBool::new(false),
            stats,
        })
    }

    /// The producer's name in its messages.
    pub const fn id(&self) -> ProducerId {
        self.id
    }

    /// How many partitions there are.
    pub const fn partitions(&self) -> u32 {
        self.places.len() as u32
    }

    /// Takes rows of a partition from now on, under the fencing epoch of its lease. The first thing that readers hear of
    /// it is a heartbeat, so that they wait for its rows.
    pub fn open(&self, place: u32, lease_epoch: u64) {
        let mut held = lock(&self.places[place as usize]);
        (held.lease_epoch, held.fresh) = (Some(lease_epoch), true);
        drop(held);
        self.wake_up();
    }

    /// Opens all partitions under one epoch.
    pub fn open_all(&self, lease_epoch: u64) {
        (0..self.partitions()).for_each(|place| self.open(place, lease_epoch));
    }

    /// Takes no more rows of a partition. Completes when what was taken is in the log, with a goodbye, or on disk.
    pub fn close(&self, place: u32) -> oneshot::Receiver<()> {
        let (told, tell) = oneshot::channel();
        let mut held = lock(&self.places[place as usize]);
        if let Some(lease_epoch) = held.lease_epoch.take() {
            held.closing = Some((lease_epoch, told));
        }
        drop(held);
        self.wake_up();
        tell
    }

    /// Stamps all rows of a poll with the time now and puts it in its partition's batch. A poll of another lease than the
    /// partition is open under is nobody's, and never safe.
    pub fn submit(&self, mut whole: WholePoll) -> Ticket {
        let partition = partition(shard(&whole.poll.device_id), self.places.len() as u32);
        let lost = Ticket {
            partition,
            number: u64::MAX,
        };
        let (number, full) = {
            let mut held = lock(&self.places[partition as usize]);
            if held.lease_epoch != Some(whole.poll.lease_epoch) {
                return lost;
            }
            if held.batch.bytes() >= self.config.waiting_bytes {
                // An append that hangs: nothing can be taken out of the batch meanwhile.
                self.stats.dropped.fetch_add(1, Relaxed);
                return lost;
            }
            held.batch.add(&mut whole, self.clock.now());
            // Under the lock, so polls leave in the order of their numbers.
            held.entered += 1;
            (held.entered, held.batch.bytes() >= self.config.flush_bytes)
        };
        if full {
            self.wake_up();
        }
        Ticket { partition, number }
    }

    /// Whether a poll waits in memory no more: it is in the log or in the spool, or was dropped and counted.
    pub fn is_safe(&self, ticket: Ticket) -> bool {
        self.left[ticket.partition as usize].load(Relaxed) >= ticket.number
    }

    /// Appends until [`Producer::stop`], then flushes, says goodbye, and leaves the rest to the spool.
    pub fn run(&self) {
        let mut due = Instant::now() + self.config.flush_every;
        let mut more = false;
        while !self.stopping.load(Relaxed) {
            let tick = if more {
                Instant::now() >= due
            } else {
                self.sleep_until(due)
            };
            if tick {
                due = (due + self.config.flush_every).max(Instant::now());
            }
            more = self.flush(tick);
        }
        for place in 0..self.partitions() {
            drop(self.close(place));
        }
        self.flush(true);
        lock(&self.outgoing).leave();
    }

    /// Ends [`Producer::run`].
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.wake_up();
    }

    /// One round over the partitions: full batches, or at a tick all of them with their heartbeats. True where the log
    /// takes what waited, and more of it waits.
    pub fn flush(&self, tick: bool) -> bool {
        let mut outgoing = lock(&self.outgoing);
        for place in 0..self.partitions() {
            let mut held = lock(&self.places[place as usize]);
            let wanted = tick
                || held.fresh
                || held.closing.is_some()
                || held.batch.bytes() >= self.config.flush_bytes;
            if wanted {
                self.take(place, &mut held, &mut outgoing);
            }
        }
        outgoing.round(self.log.as_ref())
    }

    /// Under the partition's lock: what it holds goes out, and then the word that nothing older comes.
    fn take(&self, place: u32, held: &mut Place, outgoing: &mut Outgoing) {
        let closing = held.closing.take();
        let epoch = closing.as_ref().map_or(held.lease_epoch, |(e, _)| Some(*e));
        // A closed partition does not ask for the time: a clock that is wrong must leave no trace.
        let Some(lease_epoch) = epoch else { return };
        let (clock, polls) = (self.clock.now(), held.batch.polls());
        if polls > 0 {
            match held.batch.take(self.id, lease_epoch) {
                Ok(record) => outgoing.add(place, Parcel { record, polls }),
                Err(error) => {
                    self.stats.dropped.fetch_add(polls, Relaxed);
                    self.left[place as usize].fetch_add(polls, Relaxed);
                    tracing::error!(%error, polls, "a batch could not be encoded and is lost");
                }
            }
        }
        held.fresh = false;
        let beat = match closing {
            Some((_, told)) => Beat::Goodbye(self.heartbeat(clock, lease_epoch, true), told),
            None => Beat::Heartbeat(self.heartbeat(clock, lease_epoch, false)),
        };
        outgoing.beat(place, beat);
    }

    /// The shards named are those of them that are the partition's: a partition is held whole.
    fn heartbeat(&self, clock: Timestamp, lease_epoch: u64, goodbye: bool) -> Record {
        let shards = if goodbye {
            Vec::new()
        } else {
            vec![(0, SHARDS - 1)]
        };
        let header = Header {
            producer: self.id,
            lease_epoch,
            heartbeat: Some(Heartbeat { clock, shards }),
            sections: Vec::new(),
        };
        Record {
            headers: header.encode(),
            ..Record::default()
        }
    }

    fn wake_up(&self) {
        *lock(&self.wake.0) = true;
        self.wake.1.notify_one();
    }

    /// True when `due` has come, false when something woke it earlier.
    fn sleep_until(&self, due: Instant) -> bool {
        let mut woken = lock(&self.wake.0);
        loop {
            if std::mem::take(&mut *woken) {
                return false;
            }
            let now = Instant::now();
            if now >= due {
                return true;
            }
            let waited = self.wake.1.wait_timeout(woken, due - now);
            woken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A panic elsewhere leaves the data whole: every change under these locks is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
