//! From polls to the log: batches by partition, and the promises that readers build time on.
//!
//! A heartbeat promises that no later row of this producer in the partition is earlier than its clock.
//! It holds by construction: under a partition's lock a row gets its time and enters the batch; under
//! the same lock the clock is read and the batch taken. The clock never steps back. And a heartbeat goes
//! to the log only behind everything taken before it.
//!
//! When the log is full or away, whole batches wait in memory up to a limit, then the oldest are
//! dropped and counted. Nothing here ever blocks a session: appends run on the producer's own thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mast_log::{Log, LogError, Record, fault};
use mast_schemas::message::{Header, Heartbeat, ProducerId, WholePoll};
use mast_schemas::partition::{SHARDS, partition, shard};
use mast_schemas::{Timestamp, topics};
use uuid::Uuid;

use crate::batch::Batch;
use crate::clock::TimeSource;

/// How a producer batches.
#[derive(Clone, Copy, Debug)]
pub struct ProducerConfig {
    /// A batch waits at most this long; heartbeats go out as often. At most 250 ms.
    pub flush_every: Duration,
    /// A batch of this size goes out at once.
    pub flush_bytes: usize,
    /// Bytes that may wait while the log refuses, over all partitions.
    pub waiting_bytes: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            flush_every: Duration::from_millis(200),
            flush_bytes: 1 << 20,
            waiting_bytes: 64 << 20,
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
    /// Bytes waiting for the log.
    pub waiting_bytes: AtomicU64,
    /// Appends that the log refused.
    pub refused: AtomicU64,
}

/// A poll that was handed over: [`Producer::is_safe`] says whether it is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    partition: u32,
    /// Which of the partition's polls, from 1.
    number: u64,
}

/// A message that waits for the log.
struct Waiting {
    record: Record,
    polls: u64,
}

/// Collects polls and appends them.
pub struct Producer {
    log: Arc<dyn Log>,
    clock: Arc<dyn TimeSource>,
    config: ProducerConfig,
    id: ProducerId,
    lease_epoch: u64,
    partitions: Vec<Mutex<Batch>>,
    /// Polls that entered each partition, and those that have left it for the log or for good, in the same order.
    entered: Vec<AtomicU64>,
    left: Vec<AtomicU64>,
    waiting: Vec<Mutex<VecDeque<Waiting>>>,
    wake: (Mutex<bool>, Condvar),
    stopping: AtomicBool,
    stats: Arc<ProducerStats>,
}

impl Producer {
    /// A producer for a topic that exists. Call [`Producer::run`] on a thread of its own.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    pub fn new(
        log: Arc<dyn Log>,
        clock: Arc<dyn TimeSource>,
        lease_epoch: u64,
        config: ProducerConfig,
        stats: Arc<ProducerStats>,
    ) -> Result<Self, LogError> {
        let partitions = log.partitions(topics::TELEMETRY)?;
        Ok(Self {
            log,
            clock,
            config,
            id: ProducerId(Uuid::now_v7()),
            lease_epoch,
            partitions: (0..partitions).map(|_| Mutex::default()).collect(),
            entered: (0..partitions).map(|_| AtomicU64::new(0)).collect(),
            left: (0..partitions).map(|_| AtomicU64::new(0)).collect(),
            waiting: (0..partitions).map(|_| Mutex::default()).collect(),
            wake: (Mutex::new(false), Condvar::new()),
            stopping: AtomicBool::new(false),
            stats,
        })
    }

    /// The producer's name in its messages.
    pub const fn id(&self) -> ProducerId {
        self.id
    }

    /// Stamps all rows of a poll with the time now and puts it in its partition's batch.
    pub fn submit(&self, mut whole: WholePoll) -> Ticket {
        let place = partition(shard(&whole.poll.device_id), self.partitions.len() as u32);
        let (number, full) = {
            let mut batch = lock(&self.partitions[place as usize]);
            batch.add(&mut whole, self.clock.now());
            // Under the lock, so polls leave in the order of their numbers.
            let number = self.entered[place as usize].fetch_add(1, Relaxed) + 1;
            (number, batch.bytes() >= self.config.flush_bytes)
        };
        if full {
            self.wake_up();
        }
        Ticket {
            partition: place,
            number,
        }
    }

    /// Whether a poll waits no more: it is in the log, or was dropped and counted.
    pub fn is_safe(&self, ticket: Ticket) -> bool {
        self.left[ticket.partition as usize].load(Relaxed) >= ticket.number
    }

    fn leave(&self, place: u32, polls: u64) {
        self.left[place as usize].fetch_add(polls, Relaxed);
    }

    /// Appends until [`Producer::stop`], then flushes and says goodbye.
    pub fn run(&self) {
        let mut due = Instant::now() + self.config.flush_every;
        while !self.stopping.load(Relaxed) {
            let tick = self.sleep_until(due);
            if tick {
                due = (due + self.config.flush_every).max(Instant::now());
            }
            self.flush(tick);
        }
        self.flush(true);
        self.goodbye();
    }

    /// Ends [`Producer::run`].
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.wake_up();
    }

    /// One round over the partitions: full batches, or at a tick all of them with their heartbeats.
    pub fn flush(&self, tick: bool) {
        for place in 0..self.partitions.len() {
            let full = || lock(&self.partitions[place]).bytes() >= self.config.flush_bytes;
            if tick || full() {
                self.flush_one(place as u32, tick);
            }
        }
    }

    fn flush_one(&self, place: u32, heartbeat: bool) {
        let (clock, taken) = {
            let mut batch = lock(&self.partitions[place as usize]);
            let clock = self.clock.now();
            let polls = batch.polls();
            let taken = (polls > 0).then(|| (batch.take(self.id, self.lease_epoch), polls));
            (clock, taken)
        };
        let mut waiting = lock(&self.waiting[place as usize]);
        match taken {
            Some((Ok(record), polls)) => {
                self.stats
                    .waiting_bytes
                    .fetch_add(record.size_bytes() as u64, Relaxed);
                waiting.push_back(Waiting { record, polls });
            }
            Some((Err(error), polls)) => {
                self.stats.dropped.fetch_add(polls, Relaxed);
                self.leave(place, polls);
                tracing::error!(%error, polls, "a batch could not be encoded and is lost");
            }
            None => {}
        }
        self.append(
            place,
            &mut waiting,
            heartbeat.then(|| self.heartbeat(clock, false)),
        );
        self.shed(place, &mut waiting);
    }

    /// Appends what waits, oldest first, and then the heartbeat; stops at the first refusal.
    fn append(&self, place: u32, waiting: &mut VecDeque<Waiting>, heartbeat: Option<Record>) {
        while let Some(first) = waiting.front() {
            let last = waiting.len() == 1;
            let (size, polls) = (first.record.size_bytes() as u64, first.polls);
            let done = match heartbeat.as_ref().filter(|_| last) {
                // Usually there is one batch: it and its heartbeat are one append.
                Some(beat) => self.try_append(place, &[first.record.clone(), beat.clone()]),
                None => self.try_append(place, std::slice::from_ref(&first.record)),
            };
            match done {
                Ok(()) => {
                    fault::point("after_ingest_append");
                    self.stats.polls.fetch_add(polls, Relaxed);
                    self.stats.bytes.fetch_add(size, Relaxed);
                }
                Err(LogError::TooLarge { .. }) => {
                    self.stats.dropped.fetch_add(polls, Relaxed);
                }
                Err(_) => return,
            }
            self.stats.waiting_bytes.fetch_sub(size, Relaxed);
            waiting.pop_front();
            self.leave(place, polls);
            if last && heartbeat.is_some() {
                return;
            }
        }
        if let Some(beat) = heartbeat {
            // A heartbeat that is refused is worth nothing later: the next one says more.
            let _ = self.try_append(place, &[beat]);
        }
    }

    fn try_append(&self, place: u32, records: &[Record]) -> Result<(), LogError> {
        self.log
            .append(topics::TELEMETRY, place, records)
            .map(|_| ())
            .inspect_err(|error| {
                if self.stats.refused.fetch_add(1, Relaxed).is_multiple_of(100) {
                    tracing::warn!(%error, partition = place, "the log refused an append");
                }
            })
    }

    /// Drops the oldest batches of this partition while too much waits in all.
    fn shed(&self, place: u32, waiting: &mut VecDeque<Waiting>) {
        while self.stats.waiting_bytes.load(Relaxed) > self.config.waiting_bytes as u64 {
            let Some(oldest) = waiting.pop_front() else {
                return;
            };
            self.stats
                .waiting_bytes
                .fetch_sub(oldest.record.size_bytes() as u64, Relaxed);
            self.stats.dropped.fetch_add(oldest.polls, Relaxed);
            self.leave(place, oldest.polls);
        }
    }

    fn goodbye(&self) {
        for place in 0..self.partitions.len() {
            let mut waiting = lock(&self.waiting[place]);
            let farewell = self.heartbeat(self.clock.now(), true);
            self.append(place as u32, &mut waiting, Some(farewell));
        }
    }

    fn heartbeat(&self, clock: Timestamp, goodbye: bool) -> Record {
        let shards = if goodbye {
            Vec::new()
        } else {
            vec![(0, SHARDS - 1)]
        };
        let header = Header {
            producer: self.id,
            lease_epoch: self.lease_epoch,
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
