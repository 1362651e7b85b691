//! What a producer promises: whole polls, in order, and heartbeats that are true.

use super::support::{MemoryLog, Said, said};
use mast_ingest::clock::TimeSource;
use mast_ingest::producer::{Producer, ProducerConfig, ProducerStats};
use mast_ingest::spool::{Spool, SpoolConfig};
use mast_schemas::message::{Header, ProducerId, SlowRows, WholePoll};
use mast_schemas::partition::{partition, shard};
use mast_schemas::records::{Outcome, Poll};
use mast_schemas::{DeviceId, TenantId, Timestamp};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use uuid::Uuid;

/// A clock that moves when asked, or stands still: equal times are the hardest case.
#[derive(Default)]
pub(crate) struct Steps(pub(crate) AtomicI64);

impl TimeSource for Steps {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Relaxed))
    }
}

pub(crate) fn poll(device: u128, lease_epoch: u64, sequence: u64) -> WholePoll {
    let facts = mast_ingest::parse::DeviceFacts::default();
    let mut poll: Poll = serde_json::from_value(serde_json::json!({
        "tenant_id": TenantId(Uuid::from_u128(1)), "device_id": DeviceId(Uuid::from_u128(device)),
        "observed_at": 0, "lease_epoch": lease_epoch, "sequence": sequence, "outcome": Outcome::Ok,
        "next_due_at": 0, "interval_ms": 1000, "tables": 0,
    }))
    .unwrap();
    facts.fill(&mut poll);
    WholePoll {
        poll,
        interfaces: vec![],
        registrations: vec![],
        radios: vec![],
        slow: SlowRows::default(),
    }
}

#[derive(Clone, Debug)]
enum Act {
    Submit(u128),
    Tick,
    Pass(i64),
    Refuse(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => (0u128..6).prop_map(Act::Submit),
        2 => Just(Act::Tick),
        2 => (0i64..400_000).prop_map(Act::Pass),
        1 => any::<bool>().prop_map(Act::Refuse),
    ]
}

/// Reads all partitions back: (lease epoch, sequence) by device; panics where a heartbeat was broken.
pub(crate) fn submitted_in_order(log: &MemoryLog) -> HashMap<u128, Vec<(u64, u64)>> {
    let mut sequences: HashMap<u128, Vec<(u64, u64)>> = HashMap::new();
    for place in 0..log.partitions {
        let mut promised: HashMap<ProducerId, Timestamp> = HashMap::new();
        for record in log.records(place) {
            let producer = Header::decode(&record.headers).unwrap().producer;
            let promised = promised.entry(producer).or_insert(Timestamp(i64::MIN));
            match said(&record) {
                Said::Heartbeat(beat) => {
                    assert!(beat.clock >= *promised, "heartbeats never step back");
                    *promised = beat.clock;
                }
                Said::Polls(polls) => {
                    for whole in polls {
                        let poll = whole.poll;
                        assert!(poll.observed_at >= *promised, "a row broke a promise");
                        assert_eq!(partition(shard(&poll.device_id), log.partitions), place);
                        let device = sequences.entry(poll.device_id.0.as_u128()).or_default();
                        device.push((poll.lease_epoch, poll.sequence));
                    }
                }
            }
        }
    }
    sequences
}

/// Reads all partitions back: sequences by device.
fn check(log: &MemoryLog) -> HashMap<u128, Vec<u64>> {
    let found = submitted_in_order(log).into_iter();
    let sequences = |polls: Vec<(u64, u64)>| polls.into_iter().map(|(_, s)| s).collect();
    found
        .map(|(device, polls)| (device, sequences(polls)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn heartbeats_are_true_and_nothing_is_lost_or_reordered(
        acts in prop::collection::vec(act(), 0..80), spools in any::<bool>(), patience in 0u64..3,
    ) {
        let (log, clock) = (Arc::new(MemoryLog::new(3)), Arc::new(Steps::default()));
        let folder = tempfile::tempdir().unwrap();
        let spool = spools.then(|| Spool::open(SpoolConfig::new(folder.path())).unwrap());
        let config = ProducerConfig {
            flush_bytes: 600,
            spool_after: std::time::Duration::from_micros(patience * 100),
            ..ProducerConfig::default()
        };
        let producer =
            Producer::new(log.clone(), clock.clone(), config, spool, Arc::default()).unwrap();
        producer.open_all(3);
        let mut submitted: HashMap<u128, Vec<u64>> = HashMap::new();
        for (sequence, act) in acts.into_iter().enumerate() {
            match act {
                Act::Submit(device) => {
                    producer.submit(poll(device, 3, sequence as u64));
                    submitted.entry(device).or_default().push(sequence as u64);
                }
                Act::Tick => { producer.flush(true); }
                Act::Pass(us) => { clock.0.fetch_add(us, Relaxed); producer.flush(false); }
                Act::Refuse(refuses) => log.refuses.store(refuses, Relaxed),
            }
        }
        log.refuses.store(false, Relaxed);
        while producer.flush(true) {}
        prop_assert_eq!(check(&log), submitted);
    }
}

/// An append whose answer is lost is tried again: what is in the log twice, readers drop by lease epoch and sequence.
#[test]
fn a_lost_answer_repeats_polls_in_order_and_loses_none() {
    let (log, clock) = (Arc::new(MemoryLog::new(1)), Arc::new(Steps::default()));
    let producer = Producer::new(
        log.clone(),
        clock,
        ProducerConfig::default(),
        None,
        Arc::default(),
    )
    .unwrap();
    producer.open_all(3);
    for sequence in 1..=30 {
        log.deceives.store(sequence % 3 == 0, Relaxed);
        producer.submit(poll(7, 3, sequence));
        producer.flush(true);
    }
    log.deceives.store(false, Relaxed);
    while producer.flush(true) {}
    let all = check(&log).remove(&7).unwrap();
    assert!(all.len() > 30, "some are there twice");
    // As the device step does: what is not newer than the newest is a replay.
    let mut accepted: Vec<u64> = Vec::new();
    for sequence in all {
        if accepted.last().is_none_or(|newest| sequence > *newest) {
            accepted.push(sequence);
        }
    }
    assert_eq!(accepted, (1..=30).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_closed_partition_says_goodbye_and_takes_no_more_until_it_is_opened_under_another_lease()
{
    let (log, clock) = (Arc::new(MemoryLog::new(1)), Arc::new(Steps::default()));
    let config = ProducerConfig::default();
    let producer = Producer::new(log.clone(), clock, config, None, Arc::default()).unwrap();
    producer.submit(poll(7, 3, 1));
    producer.open(0, 3);
    producer.submit(poll(7, 3, 2));
    let closed = producer.close(0);
    producer.submit(poll(7, 3, 3));
    producer.flush(false);
    closed.await.unwrap();
    producer.open(0, 5);
    producer.submit(poll(7, 3, 4));
    producer.submit(poll(7, 5, 1));
    producer.flush(true);
    assert_eq!(submitted_in_order(&log)[&7], [(3, 2), (5, 1)]);
    let beats: Vec<(u64, bool)> = log
        .records(0)
        .iter()
        .filter_map(|record| {
            let header = Header::decode(&record.headers).unwrap();
            let beat = header.heartbeat?;
            Some((header.lease_epoch, beat.shards.is_empty()))
        })
        .collect();
    assert_eq!(beats, [(3, true), (5, false)]);
}

#[test]
fn heartbeats_hold_while_many_threads_submit() {
    let log = Arc::new(MemoryLog::new(2));
    let clock = Arc::new(mast_ingest::clock::SystemClock::default());
    let config = ProducerConfig {
        flush_every: std::time::Duration::from_millis(1),
        flush_bytes: 4_000,
        ..ProducerConfig::default()
    };
    let stats = Arc::new(ProducerStats::default());
    let producer = Producer::new(log.clone(), clock, config, None, stats.clone()).unwrap();
    producer.open_all(3);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| producer.run());
        let writers: Vec<_> = (0..4u128)
            .map(|device| {
                let producer = &producer;
                scope.spawn(move || {
                    for n in 1..=500 {
                        producer.submit(poll(device, 3, n));
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|w| w.join().unwrap());
        producer.stop();
        running.join().unwrap();
    });
    let found = check(&log);
    for device in 0..4 {
        assert_eq!(found[&device], (1..=500).collect::<Vec<u64>>());
    }
    assert_eq!(stats.polls.load(Relaxed), 2_000);
    for place in 0..2 {
        let last = log.records(place).pop().unwrap();
        let Said::Heartbeat(goodbye) = said(&last) else {
            panic!("no goodbye")
        };
        assert!(goodbye.shards.is_empty());
    }
}

#[test]
fn a_log_that_stays_full_costs_the_oldest_whole_polls_and_says_so() {
    let (log, clock) = (Arc::new(MemoryLog::new(1)), Arc::new(Steps::default()));
    let config = ProducerConfig {
        waiting_bytes: 20_000,
        ..ProducerConfig::default()
    };
    let stats = Arc::new(ProducerStats::default());
    let producer = Producer::new(log.clone(), clock, config, None, stats.clone()).unwrap();
    producer.open_all(3);
    log.refuses.store(true, Relaxed);
    for sequence in 1..=100 {
        producer.submit(poll(7, 3, sequence));
        producer.flush(true);
    }
    assert!(stats.waiting_bytes.load(Relaxed) <= 20_000);
    let dropped = stats.dropped.load(Relaxed);
    assert!(dropped > 0);
    log.refuses.store(false, Relaxed);
    producer.flush(true);
    assert_eq!(
        check(&log)[&7],
        (dropped + 1..=100).collect::<Vec<u64>>(),
        "the newest are kept"
    );
    assert_eq!(stats.waiting_bytes.load(Relaxed), 0);
}
