//! Binds log offsets to slots of event time. Pure: it is told what lies in the log and what the clock shows.
//!
//! The trap avoided: a clock that leaks into results. Only heartbeats in the log close slots; the clock is asked for two
//! things: who is silent, and, with everybody silent, that time goes on. Both are written in the binding.

use std::collections::{BTreeMap, VecDeque};

use mast_schemas::epochs::{Binding, Silence};
use mast_schemas::message::{Header, ProducerId};
use mast_schemas::time::Span;
use mast_schemas::{Epoch, Timestamp};

/// How long a producer may be silent at the log's end before it is left out.
pub const SILENCE: Span = Span::secs(5);
/// How far ahead of the sequencer's clock a heartbeat may be before it is clamped.
pub const AHEAD: Span = Span::secs(2);

/// What the sequencer tells of its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Heartbeats that were too far ahead.
    pub clamped: u64,
    /// Producers left out, each time.
    pub silences: u64,
}

/// The promise of one producer in one partition.
#[derive(Clone, Copy, Debug)]
struct Promise {
    clock: Timestamp,
    /// When the sequencer's clock showed that it was read.
    heard: Timestamp,
    lease_epoch: u64,
    silent: bool,
}

/// One partition: promises, and the steps by which its time rose.
#[derive(Clone, Debug, Default)]
struct PartitionTime {
    producers: BTreeMap<ProducerId, Promise>,
    /// (time reached, offset after the heartbeat that reached it), rising in both.
    steps: VecDeque<(Timestamp, u64)>,
    /// Offset after the last record seen.
    next: u64,
    bound: u64,
}

impl PartitionTime {
    /// The least promise of those who are not silent; `None` = nobody holds this partition's time.
    fn time(&self) -> Option<Timestamp> {
        self.producers
            .values()
            .filter(|p| !p.silent)
            .map(|p| p.clock)
            .min()
    }

    /// The first promise of all that are not bound yet.
    fn begin(&self) -> Option<Timestamp> {
        self.steps.front().map(|&(time, _)| time)
    }

    fn note(&mut self) {
        if let Some(time) = self.time()
            && self.steps.back().is_none_or(|&(last, _)| time > last)
        {
            self.steps.push_back((time, self.next));
        }
    }

    /// The first offset where this partition's time is ≥ `s`; its end where nobody holds its time.
    fn reached(&self, s: Timestamp) -> u64 {
        let step = self.steps.iter().find(|&&(time, _)| time >= s);
        step.map_or(self.next, |&(_, offset)| offset)
            .max(self.bound)
    }

    /// The last time for which [`PartitionTime::reached`] is `offset`; `None` = for ever, as far as known.
    fn same_until(&self, offset: u64) -> Option<Timestamp> {
        let later = self.steps.iter().position(|&(_, o)| o > offset)?;
        // Before the first step the time is unknown: such a slot binds that step.
        Some(if later == 0 {
            Timestamp(i64::MIN)
        } else {
            self.steps[later - 1].0
        })
    }
}

/// Mints bindings.
pub struct Sequencer {
    generation: u64,
    /// Telemetry partitions, then control.
    partitions: Vec<PartitionTime>,
    /// Last slot closed.
    closed: Epoch,
    counters: Counters,
}

impl Sequencer {
    /// A sequencer that goes on after `closed`, where `bound` are the offsets bound so far (telemetry, then control).
    pub fn new(generation: u64, closed: Epoch, bound: &[u64]) -> Self {
        let partitions = bound
            .iter()
            .map(|&o| PartitionTime {
                next: o,
                bound: o,
                ..PartitionTime::default()
            })
            .collect();
        Self {
            generation,
            partitions,
            closed,
            counters: Counters::default(),
        }
    }

    /// The last slot closed.
    pub const fn closed(&self) -> Epoch {
        self.closed
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The offset from which a partition is to be read on.
    pub fn next(&self, partition: usize) -> u64 {
        self.partitions[partition].next
    }

    /// Notes a record of a partition, in offset order. `clock` is the sequencer's own.
    pub fn record(&mut self, partition: usize, offset: u64, header: &Header, clock: Timestamp) {
        let p = &mut self.partitions[partition];
        if offset < p.next {
            return;
        }
        p.next = offset + 1;
        self.promise(partition, header, clock);
    }

    /// Notes a record that was bound before this sequencer began; in offset order, before any [`Sequencer::record`]. What
    /// it promised may reach further than the slot that bound it: without it the next slots would bind more than they
    /// would have, had the job not been interrupted.
    pub fn remember(&mut self, partition: usize, header: &Header, clock: Timestamp) {
        self.promise(partition, header, clock);
    }

    fn promise(&mut self, partition: usize, header: &Header, clock: Timestamp) {
        let p = &mut self.partitions[partition];
        let Some(heartbeat) = &header.heartbeat else {
            return;
        };
        // A newer lease epoch took the shards over: who held them before promises nothing any more.
        p.producers
            .retain(|_, q| q.lease_epoch >= header.lease_epoch);
        let newest = p.producers.values().map(|q| q.lease_epoch).max();
        if newest.is_some_and(|newest| newest > header.lease_epoch) {
            return;
        }
        if heartbeat.shards.is_empty() {
            p.producers.remove(&header.producer);
            p.note();
            return;
        }
        let mut time = heartbeat.clock;
        if time > clock + AHEAD {
            self.counters.clamped += 1;
            time = clock + AHEAD;
        }
        let promise = p.producers.entry(header.producer).or_insert(Promise {
            clock: time,
            heard: clock,
            lease_epoch: header.lease_epoch,
            silent: false,
        });
        promise.clock = promise.clock.max(time);
        promise.heard = clock;
        promise.silent = false;
        p.note();
    }

    /// Closes slots, given that all partitions were read to their ends and the clock shows `clock`; `None` when there is
    /// nothing to close now. To be called until then: a binding holds one slot's offsets and the empty slots after it.
    pub fn close(&mut self, clock: Timestamp) -> Option<Binding> {
        self.leave_out_silent(clock);
        let promised = self.partitions.iter().filter_map(PartitionTime::time).min();
        let by_clock = promised.is_none();
        if by_clock && self.closed.0 == 0 && self.partitions.iter().all(|p| p.producers.is_empty())
        {
            return None;
        }
        // With nobody to promise anything, time goes on by the clock, behind by what a silence takes to notice.
        let limit = promised.unwrap_or(clock - SILENCE);
        let last = Epoch(Epoch::of(limit).0 - 1);
        if self.closed.0 == 0 {
            // History begins with the slot of the first promise, however much has come since.
            let begins = self.partitions.iter().filter_map(PartitionTime::begin);
            let begin = begins.min().map_or(limit, |begin| begin.min(limit));
            self.closed = Epoch(Epoch::of(begin).0.saturating_sub(2).max(1));
        }
        (last > self.closed).then(|| self.bind(last, by_clock))
    }

    fn bind(&mut self, last: Epoch, by_clock: bool) -> Binding {
        let first = self.closed.next();
        let mut end = last;
        let mut bound = Vec::with_capacity(self.partitions.len());
        for p in &mut self.partitions {
            let offset = p.reached(first.end());
            if let Some(until) = p.same_until(offset) {
                end = end.min(Epoch(Epoch::of(until).0 - 1)).max(first);
            }
            p.bound = offset;
            bound.push(offset);
        }
        for p in &mut self.partitions {
            while p.steps.len() > 1 && p.steps[1].0 <= end.end() {
                p.steps.pop_front();
            }
        }
        self.closed = end;
        let silent = self.silences();
        let control = bound.pop().unwrap_or(0);
        Binding {
            first,
            last: end,
            generation: self.generation,
            telemetry: bound,
            control,
            silent,
            by_clock,
        }
    }

    fn leave_out_silent(&mut self, clock: Timestamp) {
        for p in &mut self.partitions {
            let mut changed = false;
            for promise in p.producers.values_mut() {
                if !promise.silent && clock - promise.heard > SILENCE {
                    promise.silent = true;
                    self.counters.silences += 1;
                    changed = true;
                }
            }
            if changed {
                p.note();
            }
        }
    }

    fn silences(&self) -> Vec<Silence> {
        let control = self.partitions.len() - 1;
        let mut all = Vec::new();
        for (i, p) in self.partitions.iter().enumerate() {
            for (&producer, promise) in p.producers.iter().filter(|(_, q)| q.silent) {
                let partition = (i != control).then_some(i as u32);
                all.push(Silence {
                    partition,
                    producer,
                    since: promise.clock,
                });
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::message::Heartbeat;
    use uuid::Uuid;

    const BASE: i64 = 1_700_000_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(BASE * 1_000 + ms)
    }

    fn beat(producer: u128, lease_epoch: u64, ms: i64) -> Header {
        let heartbeat = Some(Heartbeat {
            clock: at(ms),
            shards: vec![(0, 1023)],
        });
        Header {
            producer: ProducerId(Uuid::from_u128(producer)),
            lease_epoch,
            heartbeat,
            sections: Vec::new(),
        }
    }

    fn data(producer: u128) -> Header {
        Header {
            heartbeat: None,
            ..beat(producer, 1, 0)
        }
    }

    fn drain(s: &mut Sequencer, ms: i64) -> Vec<Binding> {
        std::iter::from_fn(|| s.close(at(ms))).collect()
    }

    #[test]
    fn a_slot_closes_when_every_partition_reached_its_end() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        s.record(0, 0, &beat(1, 1, 0), at(0));
        s.record(1, 0, &beat(2, 1, 0), at(0));
        drain(&mut s, 0);
        s.record(0, 1, &data(1), at(100));
        s.record(0, 2, &beat(1, 1, 250), at(250));
        assert_eq!(
            drain(&mut s, 250),
            vec![],
            "control has not reached the slot's end"
        );
        s.record(1, 1, &beat(2, 1, 260), at(260));
        let bindings = drain(&mut s, 260);
        assert_eq!(bindings.len(), 1);
        assert_eq!(
            (
                bindings[0].first.end(),
                bindings[0].telemetry.clone(),
                bindings[0].control
            ),
            (at(250), vec![3], 2)
        );
    }

    #[test]
    fn a_first_start_over_an_old_log_binds_it_slot_by_slot() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        for (offset, ms) in (0..).zip([0, 250, 500, 750]) {
            s.record(0, offset * 2, &data(1), at(750));
            s.record(0, offset * 2 + 1, &beat(1, 1, ms), at(750));
            s.record(1, offset, &beat(2, 1, ms), at(750));
        }
        let bound: Vec<_> = drain(&mut s, 750)
            .iter()
            .map(|b| (b.first.end(), b.telemetry[0], b.control))
            .collect();
        assert_eq!(
            bound,
            [
                (at(0), 2, 1),
                (at(250), 4, 2),
                (at(500), 6, 3),
                (at(750), 8, 4)
            ]
        );
    }

    #[test]
    fn empty_slots_are_closed_by_one_record() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        for p in 0..2 {
            s.record(p, 0, &beat(1, 1, 0), at(0));
        }
        drain(&mut s, 0);
        for p in 0..2 {
            s.record(p, 1, &beat(1, 1, 10_000), at(10_000));
        }
        let bindings = drain(&mut s, 10_000);
        assert_eq!(bindings.len(), 1, "{bindings:?}");
        assert_eq!(
            (bindings[0].first.end(), bindings[0].last.end()),
            (at(250), at(10_000))
        );
    }

    #[test]
    fn what_follows_a_heartbeat_belongs_to_a_later_slot() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        for p in 0..2 {
            s.record(p, 0, &beat(1, 1, 0), at(0));
        }
        drain(&mut s, 0);
        s.record(0, 1, &beat(1, 1, 300), at(300));
        s.record(0, 2, &data(1), at(310));
        s.record(0, 3, &beat(1, 1, 800), at(800));
        s.record(1, 1, &beat(1, 1, 800), at(800));
        let bindings = drain(&mut s, 800);
        let offsets: Vec<_> = bindings
            .iter()
            .map(|b| (b.first.end(), b.last.end(), b.telemetry[0]))
            .collect();
        assert_eq!(offsets, vec![(at(250), at(250), 2), (at(500), at(750), 4)]);
    }

    #[test]
    fn a_silent_producer_delays_five_seconds_and_is_named() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        s.record(0, 0, &beat(1, 1, 0), at(0));
        s.record(0, 1, &beat(9, 1, 0), at(0));
        s.record(1, 0, &beat(1, 1, 0), at(0));
        drain(&mut s, 0);
        s.record(0, 2, &beat(1, 1, 4_000), at(4_000));
        s.record(1, 1, &beat(1, 1, 4_000), at(4_000));
        assert_eq!(drain(&mut s, 4_000), vec![]);
        s.record(0, 3, &beat(1, 1, 5_250), at(5_250));
        s.record(1, 2, &beat(1, 1, 5_250), at(5_250));
        let bindings = drain(&mut s, 5_250);
        let last = bindings.last().unwrap();
        assert_eq!(last.last.end(), at(5_250));
        assert_eq!(last.silent.len(), 1);
        assert_eq!(last.silent[0].producer.0, Uuid::from_u128(9));
        assert!(!last.by_clock);
    }

    #[test]
    fn with_all_silent_time_follows_the_clock() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        for p in 0..2 {
            s.record(p, 0, &beat(1, 1, 0), at(0));
        }
        drain(&mut s, 0);
        let bindings = drain(&mut s, 60_000);
        assert!(bindings.iter().all(|b| b.by_clock));
        assert_eq!(bindings.last().unwrap().last.end(), at(55_000));
    }

    #[test]
    fn a_newer_lease_ends_the_promise_of_the_older_at_once() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        for p in 0..2 {
            s.record(p, 0, &beat(1, 1, 0), at(0));
        }
        drain(&mut s, 0);
        for p in 0..2 {
            s.record(p, 1, &beat(2, 2, 1_000), at(1_000));
            s.record(p, 2, &beat(1, 1, 700), at(1_000));
        }
        assert_eq!(
            drain(&mut s, 1_000).last().unwrap().last.end(),
            at(1_000),
            "the zombie is not waited for"
        );
    }

    #[test]
    fn a_clock_far_ahead_is_clamped_and_counted() {
        let mut s = Sequencer::new(1, Epoch(0), &[0, 0]);
        for p in 0..2 {
            s.record(p, 0, &beat(1, 1, 300_000), at(0));
        }
        drain(&mut s, 0);
        assert_eq!(s.counters().clamped, 2);
        assert!(s.closed().end() <= at(2_000));
    }
}
