//! What was taken from the partitions and is not in the log yet: first in memory, then in the spool.
//!
//! Of a partition, what is in the spool is older than what is in memory, and a heartbeat goes only when neither holds
//! anything. So whatever the log does, a partition's messages reach it in the order in which they were taken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use mast_log::{Log, LogError, Record, fault};
use mast_schemas::topics;
use tokio::sync::oneshot;

use super::{ProducerConfig, ProducerStats};
use crate::spool::{Parcel, Spool};

/// Bytes that one append takes from the spool.
const CHUNK: usize = 1 << 20;

/// What follows everything that was taken.
pub(super) enum Beat {
    /// Worth nothing later: the next one says more.
    Heartbeat(Record),
    /// The last of a partition, and who waits for it.
    Goodbye(Record, oneshot::Sender<()>),
}

/// One partition.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Parcel>,
    /// When each of `waiting` was taken.
    times: VecDeque<Instant>,
    beat: Option<Beat>,
    /// The last append was refused.
    refused: bool,
    /// All at once was too much for the log: one by one.
    singly: bool,
}

impl Lane {
    /// Takes out the oldest; `left` and the bytes in memory tell of it.
    fn forget(&mut self, count: usize, left: &AtomicU64, stats: &ProducerStats) {
        self.times.drain(..count);
        for parcel in self.waiting.drain(..count) {
            left.fetch_add(parcel.polls, Relaxed);
            let bytes = parcel.record.size_bytes() as u64;
            stats.waiting_bytes.fetch_sub(bytes, Relaxed);
        }
    }
}

/// All partitions.
pub(super) struct Outgoing {
    lanes: Vec<Lane>,
    /// Polls that have left memory, by partition.
    left: Arc<[AtomicU64]>,
    config: ProducerConfig,
    spool: Option<Spool>,
    /// The spool's disk has no room.
    spool_full: bool,
    stats: Arc<ProducerStats>,
    /// Which of the refused is tried next.
    retry: usize,
}

/// One append under way.
struct Attempt {
    place: u32,
    parcels: Vec<Parcel>,
    records: Vec<Record>,
    spooled: bool,
    beats: bool,
}

impl Outgoing {
    pub(super) fn new(
        config: ProducerConfig,
        spool: Option<Spool>,
        stats: Arc<ProducerStats>,
        left: Arc<[AtomicU64]>,
    ) -> Self {
        let made = Self {
            lanes: left.iter().map(|_| Lane::default()).collect(),
            left,
            config,
            spool,
            spool_full: false,
            stats,
            retry: 0,
        };
        made.note_spool();
        made
    }

    pub(super) fn add(&mut self, place: u32, parcel: Parcel) {
        let bytes = parcel.record.size_bytes() as u64;
        self.stats.waiting_bytes.fetch_add(bytes, Relaxed);
        let lane = &mut self.lanes[place as usize];
        lane.times.push_back(Instant::now());
        lane.waiting.push_back(parcel);
    }

    pub(super) fn beat(&mut self, place: u32, beat: Beat) {
        let lane = &mut self.lanes[place as usize];
        // Opened again before its goodbye was said: the new lease says more than it. Who waits for it hears of it at once.
        if let Some(Beat::Goodbye(_, told)) = lane.beat.replace(beat) {
            let _ = told.send(());
        }
    }

    /// One append to each partition that has something for it; then what was refused goes where it is safe.
    pub(super) fn round(&mut self, log: &dyn Log) -> bool {
        let attempts = self.attempts();
        let appends: Vec<_> = attempts
            .iter()
            .map(|a| (a.place, a.records.as_slice()))
            .collect();
        let results = if appends.is_empty() {
            Vec::new()
        } else {
            log.append_all(topics::TELEMETRY, &appends)
        };
        let mut more = false;
        let mut refusal = None;
        let mut taken = false;
        for (attempt, result) in attempts.iter().zip(results) {
            match self.settle(attempt, result) {
                Ok(rest) => (taken, more) = (true, more | rest),
                Err(error) => refusal = Some(error),
            }
        }
        if taken && refusal.is_none() && self.lanes.iter().any(|lane| lane.refused) {
            // It is back for one of those that were refused: the others need not take turns any more.
            self.lanes.iter_mut().for_each(|lane| lane.refused = false);
            more = true;
        }
        match refusal {
            Some(error) => {
                self.stats.log_trouble(Some(error.to_string()));
                more = false;
            }
            None if taken && !self.lanes.iter().any(|lane| lane.refused) => {
                self.stats.log_trouble(None);
            }
            None => {}
        }
        self.make_safe(false);
        for lane in &mut self.lanes {
            if matches!(lane.beat, Some(Beat::Heartbeat(_))) {
                lane.beat = None;
            }
        }
        more
    }

    /// Of those that were refused only one is tried a round: while the log is away, reading the spool again and again
    /// helps nobody.
    fn attempts(&mut self) -> Vec<Attempt> {
        let count = self.lanes.len();
        let refused = (0..count).map(|i| (self.retry + i) % count.max(1));
        let probe = refused.into_iter().find(|i| self.lanes[*i].refused);
        if let Some(probe) = probe {
            self.retry = probe + 1;
        }
        let wanted = |(i, lane): (usize, &Lane)| (!lane.refused || probe == Some(i)).then_some(i);
        let wanted: Vec<usize> = self.lanes.iter().enumerate().filter_map(wanted).collect();
        let mut attempts = Vec::new();
        for i in wanted {
            attempts.extend(self.attempt(i as u32));
        }
        attempts
    }

    fn attempt(&mut self, place: u32) -> Option<Attempt> {
        let lane = &mut self.lanes[place as usize];
        let most = if lane.singly { 1 } else { CHUNK };
        let spool = self.spool.as_mut().filter(|spool| spool.holds(place));
        let mut attempt = Attempt {
            place,
            parcels: Vec::new(),
            records: Vec::new(),
            spooled: false,
            beats: false,
        };
        if let Some(spool) = spool {
            match spool.peek(place, most) {
                Ok((parcels, lost)) => {
                    self.stats.dropped.fetch_add(lost, Relaxed);
                    attempt.spooled = !parcels.is_empty();
                    attempt.parcels = parcels;
                }
                Err(error) => {
                    // What is in memory must not go past it.
                    self.stats.spool_trouble(Some(error.to_string()));
                    lane.refused = true;
                    return None;
                }
            }
        }
        if !attempt.spooled {
            let count = if lane.singly { 1 } else { lane.waiting.len() };
            attempt.parcels = lane.waiting.iter().take(count).cloned().collect();
            attempt.beats = attempt.parcels.len() == lane.waiting.len() && !lane.singly
                || lane.waiting.is_empty();
        }
        let records = attempt.parcels.iter().map(|parcel| parcel.record.clone());
        attempt.records = records.collect();
        if attempt.beats
            && let Some(Beat::Heartbeat(beat) | Beat::Goodbye(beat, _)) = &lane.beat
        {
            attempt.records.push(beat.clone());
        }
        (!attempt.records.is_empty()).then_some(attempt)
    }

    /// Takes note of how an append went; whether more waits in its partition.
    fn settle(
        &mut self,
        attempt: &Attempt,
        result: Result<u64, LogError>,
    ) -> Result<bool, LogError> {
        let polls: u64 = attempt.parcels.iter().map(|p| p.polls).sum();
        match result {
            Ok(_) => {
                if polls > 0 {
                    fault::point("after_ingest_append");
                }
                let bytes = attempt.parcels.iter().map(|p| p.record.size_bytes() as u64);
                self.stats.polls.fetch_add(polls, Relaxed);
                self.stats.bytes.fetch_add(bytes.sum(), Relaxed);
            }
            Err(LogError::TooLarge { .. }) if attempt.records.len() > 1 => {
                self.lanes[attempt.place as usize].singly = true;
                return Ok(true);
            }
            Err(error @ LogError::TooLarge { .. }) => {
                self.stats.dropped.fetch_add(polls, Relaxed);
                tracing::error!(%error, polls, "a message is dropped");
            }
            Err(error) => {
                self.stats.refused.fetch_add(1, Relaxed);
                self.lanes[attempt.place as usize].refused = true;
                return Err(error);
            }
        }
        Ok(self.gone(attempt))
    }

    /// Takes out what is in the log; whether more waits.
    fn gone(&mut self, attempt: &Attempt) -> bool {
        let lane = &mut self.lanes[attempt.place as usize];
        lane.refused = false;
        if attempt.spooled {
            if let Some(spool) = &mut self.spool {
                spool.pop(attempt.place, &attempt.parcels);
                if !spool.holds(attempt.place) {
                    self.stats.spool_trouble(None);
                }
            }
            self.note_spool();
        } else {
            let left = &self.left[attempt.place as usize];
            lane.forget(attempt.parcels.len(), left, &self.stats);
        }
        let lane = &mut self.lanes[attempt.place as usize];
        if attempt.beats
            && let Some(Beat::Goodbye(_, told)) = lane.beat.take()
        {
            let _ = told.send(());
        }
        let spooled = self.spool.as_ref().is_some_and(|s| s.holds(attempt.place));
        let more = spooled || !lane.waiting.is_empty();
        lane.singly &= more;
        more || matches!(lane.beat, Some(Beat::Goodbye(..)))
    }

    /// What waits too long in memory, or is too much for it, goes to the spool; where that takes nothing, the oldest goes.
    /// `all`: everything, however short it has waited.
    fn make_safe(&mut self, all: bool) {
        for place in 0..self.lanes.len() {
            let over = self.is_over();
            let lane = &self.lanes[place];
            let oldest = lane.times.front();
            let long = oldest.is_some_and(|taken| taken.elapsed() >= self.config.spool_after);
            let closing = matches!(lane.beat, Some(Beat::Goodbye(..))) && lane.refused;
            if !lane.waiting.is_empty() && (all || closing || (lane.refused && long) || over) {
                self.spill(place as u32);
            }
            // Nobody needs to wait for a log that is away.
            let lane = &mut self.lanes[place];
            if lane.refused
                && lane.waiting.is_empty()
                && let Some(Beat::Goodbye(..)) = &lane.beat
                && let Some(Beat::Goodbye(_, told)) = lane.beat.take()
            {
                let _ = told.send(());
            }
        }
        while self.is_over() && self.shed() {}
    }

    fn is_over(&self) -> bool {
        self.stats.waiting_bytes.load(Relaxed) > self.config.waiting_bytes as u64
    }

    /// From memory to the spool.
    fn spill(&mut self, place: u32) {
        let Some(spool) = &mut self.spool else { return };
        let lane = &mut self.lanes[place as usize];
        let parcels = lane.waiting.make_contiguous();
        match spool.push(place, parcels) {
            Ok(dropped) => {
                self.stats.dropped.fetch_add(dropped, Relaxed);
                let left = &self.left[place as usize];
                lane.forget(lane.waiting.len(), left, &self.stats);
                self.spool_full = false;
                self.stats.spool_trouble(None);
            }
            Err(error) => {
                self.spool_full = error.is_full();
                let hint = if self.spool_full {
                    "; make room on that disk"
                } else {
                    ""
                };
                self.stats.spool_trouble(Some(format!("{error}{hint}")));
            }
        }
        self.note_spool();
    }

    /// Drops the oldest that there is: on disk, where its room helps, else in memory. False when nothing is left.
    fn shed(&mut self) -> bool {
        let spool = self.spool.as_mut().filter(|_| self.spool_full);
        let dropped = spool.and_then(Spool::drop_oldest);
        if let Some(polls) = dropped {
            self.stats.dropped.fetch_add(polls, Relaxed);
            // Its room may be enough for what is in memory.
            let fullest = (0..self.lanes.len()).max_by_key(|i| self.lanes[*i].waiting.len());
            if let Some(fullest) = fullest {
                self.spill(fullest as u32);
            }
            return true;
        }
        let lanes = self.lanes.iter_mut().zip(self.left.iter());
        let waiting = lanes.filter(|(lane, _)| !lane.waiting.is_empty());
        let Some((lane, left)) = waiting.min_by_key(|(lane, _)| lane.times.front().copied()) else {
            return false;
        };
        let polls = lane.waiting.front().map_or(0, |oldest| oldest.polls);
        lane.forget(1, left, &self.stats);
        self.stats.dropped.fetch_add(polls, Relaxed);
        true
    }

    fn note_spool(&self) {
        let (bytes, polls) = self
            .spool
            .as_ref()
            .map_or((0, 0), |spool| (spool.bytes(), spool.polls()));
        self.stats.spool_bytes.store(bytes, Relaxed);
        self.stats.spool_polls.store(polls, Relaxed);
    }

    /// The end: what the log has not taken stays on disk for the next start.
    pub(super) fn leave(&mut self) {
        self.make_safe(true);
        let lost: u64 = self
            .lanes
            .iter()
            .flat_map(|l| &l.waiting)
            .map(|p| p.polls)
            .sum();
        if lost > 0 {
            self.stats.dropped.fetch_add(lost, Relaxed);
            tracing::error!(polls = lost, "polls that the log did not take are lost");
        }
    }
}
