//! What a producer promises: whole polls, in order, and heartbeats that are true.

use super::support::{MemoryLog, Said, said};
use mast_ingest::clock::TimeSource;
use mast_ingest::producer::{Producer, ProducerConfig, ProducerStats};
use mast_schemas::message::{SlowRows, WholePoll};
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
struct Steps(AtomicI64);

impl TimeSource for Steps {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Relaxed))
    }
}

fn poll(device: u128, sequence: u64) -> WholePoll {
    let facts = mast_ingest::parse::DeviceFacts::default();
    let mut poll: Poll = serde_json::from_value(serde_json::json!({
        "tenant_id": TenantId(Uuid::from_u128(1)), "device_id": DeviceId(Uuid::from_u128(device)),
        "observed_at": 0, "lease_epoch": 3, "sequence": sequence, "outcome": Outcome::Ok,
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

/// Reads all partitions back: sequences by device; panics where a heartbeat was broken.
fn check(log: &MemoryLog) -> HashMap<u128, Vec<u64>> {
    let mut sequences: HashMap<u128, Vec<u64>> = HashMap::new();
    for place in 0..log.partitions {
        let mut promised = Timestamp(i64::MIN);
        for record in log.records(place) {
            match said(&record) {
                Said::Heartbeat(beat) => {
                    assert!(beat.clock >= promised, "heartbeats never step back");
                    promised = beat.clock;
                }
                Said::Polls(polls) => {
                    for whole in polls {
                        let poll = whole.poll;
                        assert!(poll.observed_at >= promised, "a row broke a promise");
                        assert_eq!(partition(shard(&poll.device_id), log.partitions), place);
                        sequences
                            .entry(poll.device_id.0.as_u128())
                            .or_default()
                            .push(poll.sequence);
                    }
                }
            }
        }
    }
    sequences
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn heartbeats_are_true_and_nothing_is_lost_or_reordered(acts in prop::collection::vec(act(), 0..80)) {
        let (log, clock) = (Arc::new(MemoryLog::new(3)), Arc::new(Steps::default()));
        let config = ProducerConfig { flush_bytes: 600, ..ProducerConfig::default() };
        let producer =
            Producer::new(log.clone(), clock.clone(), 3, config, Arc::default()).unwrap();
        let mut submitted: HashMap<u128, Vec<u64>> = HashMap::new();
        for (sequence, act) in acts.into_iter().enumerate() {
            match act {
                Act::Submit(device) => {
                    producer.submit(poll(device, sequence as u64));
                    submitted.entry(device).or_default().push(sequence as u64);
                }
                Act::Tick => producer.flush(true),
                Act::Pass(us) => { clock.0.fetch_add(us, Relaxed); producer.flush(false); }
                Act::Refuse(refuses) => log.refuses.store(refuses, Relaxed),
            }
        }
        log.refuses.store(false, Relaxed);
        producer.flush(true);
        prop_assert_eq!(check(&log), submitted);
    }
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
    let producer = Producer::new(log.clone(), clock, 3, config, stats.clone()).unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| producer.run());
        let writers: Vec<_> = (0..4u128)
            .map(|device| {
                let producer = &producer;
                scope.spawn(move || {
                    for n in 1..=500 {
                        producer.submit(poll(device, n));
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
    let producer = Producer::new(log.clone(), clock, 3, config, stats.clone()).unwrap();
    log.refuses.store(true, Relaxed);
    for sequence in 1..=100 {
        producer.submit(poll(7, sequence));
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
