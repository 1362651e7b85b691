//! Polls that wait on disk: in order, over restarts, within their bound.

use super::producer::{Steps, poll, submitted_in_order};
use super::support::MemoryLog;
use mast_ingest::producer::{Producer, ProducerConfig, ProducerStats};
use mast_ingest::spool::{Parcel, Spool, SpoolConfig};
use mast_log::Record;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn config(folder: &Path, limit_bytes: u64) -> SpoolConfig {
    SpoolConfig {
        limit_bytes,
        ..SpoolConfig::new(folder)
    }
}

fn parcel(number: u64, size: usize) -> Parcel {
    let record = Record {
        headers: number.to_le_bytes().to_vec().into(),
        body: vec![7; size].into(),
        ..Record::default()
    };
    Parcel {
        record,
        polls: 1 + number % 3,
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "spool"));
    found.sort();
    found
}

#[derive(Clone, Debug)]
enum Act {
    Push(u32, Vec<usize>),
    Drain(u32, usize),
    /// The process is killed, and what it wrote last was not whole.
    Restart(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u32..3, prop::collection::vec(0usize..900, 1..4)).prop_map(|(p, sizes)| Act::Push(p, sizes)),
        3 => (0u32..3, 1usize..4_000).prop_map(|(p, most)| Act::Drain(p, most)),
        1 => (0usize..60).prop_map(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_goes_in_comes_out_in_order_over_kills(acts in prop::collection::vec(act(), 0..50)) {
        let folder = tempfile::tempdir().unwrap();
        let open = || Spool::open(config(folder.path(), 1 << 20)).unwrap();
        let mut spool = open();
        let mut model: BTreeMap<u32, VecDeque<Parcel>> = BTreeMap::new();
        let mut number = 0;
        for act in acts {
            match act {
                Act::Push(place, sizes) => {
                    let parcels: Vec<Parcel> = sizes.into_iter().map(|size| { number += 1; parcel(number, size) }).collect();
                    prop_assert_eq!(spool.push(place, &parcels).unwrap(), 0);
                    model.entry(place).or_default().extend(parcels);
                }
                Act::Drain(place, most) => {
                    let (found, lost) = spool.peek(place, most).unwrap();
                    prop_assert_eq!(lost, 0);
                    let lane = model.entry(place).or_default();
                    prop_assert_eq!(found.is_empty(), lane.is_empty());
                    let expected: Vec<Parcel> = lane.drain(..found.len()).collect();
                    prop_assert_eq!(&found, &expected);
                    spool.pop(place, &found);
                }
                Act::Restart(torn) => {
                    drop(spool);
                    if let Some(last) = segments(folder.path()).last() {
                        let mut file = std::fs::File::options().append(true).open(last).unwrap();
                        file.write_all(&vec![1; torn]).unwrap();
                    }
                    spool = open();
                }
            }
            let polls: u64 = model.values().flatten().map(|p| p.polls).sum();
            prop_assert_eq!(spool.polls(), polls);
        }
        for (place, lane) in model {
            let mut left = Vec::new();
            while spool.holds(place) {
                let (found, _) = spool.peek(place, 1 << 20).unwrap();
                spool.pop(place, &found);
                left.extend(found);
            }
            prop_assert_eq!(left, Vec::from(lane));
        }
        prop_assert_eq!(segments(folder.path()).len(), 0, "what is spent is gone");
    }
}

#[test]
fn at_its_bound_the_oldest_go_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(config(folder.path(), 64 << 10)).unwrap();
    let mut dropped = 0;
    let mut all = 0;
    for number in 0..400 {
        let parcel = parcel(number, 500);
        all += parcel.polls;
        dropped += spool.push((number % 2) as u32, &[parcel]).unwrap();
        assert!(spool.bytes() <= 64 << 10);
    }
    assert!(dropped > 0);
    assert_eq!(spool.polls() + dropped, all);
    // What is left of each partition is its newest, without a hole.
    for place in 0..2 {
        let mut numbers = Vec::new();
        while spool.holds(place) {
            let (found, _) = spool.peek(place, 1 << 20).unwrap();
            spool.pop(place, &found);
            let number = |p: &Parcel| u64::from_le_bytes(p.record.headers[..].try_into().unwrap());
            numbers.extend(found.iter().map(number));
        }
        assert_eq!(numbers.last(), Some(&(398 + u64::from(place))));
        assert!(numbers.windows(2).all(|w| w[1] == w[0] + 2), "{numbers:?}");
    }
}

#[test]
fn one_process_at_a_time_and_what_is_no_segment_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Spool::open(config(folder.path(), 1 << 20)).unwrap();
    first.push(0, &[parcel(1, 10)]).unwrap();
    let why = Spool::open(config(folder.path(), 1 << 20)).err().unwrap();
    assert!(why.to_string().contains("data folder of its own"), "{why}");
    drop(first);
    let path = segments(folder.path()).pop().unwrap();
    std::fs::write(&path, b"this is somebody else's file").unwrap();
    let spool = Spool::open(config(folder.path(), 1 << 20)).unwrap();
    assert!(!spool.holds(0));
    assert!(path.with_added_extension("bad").exists());
}

#[test]
fn a_disk_without_room_costs_the_oldest_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(config(folder.path(), 1 << 20)).unwrap();
    spool.push(0, &[parcel(1, 10)]).unwrap();
    // From here on each write to this segment finds the disk full.
    let path = segments(folder.path()).pop().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let why = spool.push(0, &[parcel(2, 10)]).unwrap_err();
    assert!(why.is_full(), "{why}");
    assert_eq!(spool.drop_oldest(), Some(parcel(1, 10).polls));
    assert_eq!(spool.push(0, &[parcel(2, 10)]).unwrap(), 0);
    assert_eq!(spool.peek(0, 1 << 20).unwrap().0, [parcel(2, 10)]);
}

/// A producer over a spool in a folder, which a log that refuses fills.
fn producer(
    log: &Arc<MemoryLog>,
    folder: &Path,
    waiting_bytes: usize,
) -> (Producer, Arc<ProducerStats>) {
    let config = ProducerConfig {
        waiting_bytes,
        spool_after: Duration::ZERO,
        ..ProducerConfig::default()
    };
    let spool = Spool::open(SpoolConfig::new(folder)).unwrap();
    let stats = Arc::new(ProducerStats::default());
    let clock = Arc::new(Steps::default());
    let made = Producer::new(log.clone(), clock, config, Some(spool), stats.clone()).unwrap();
    (made, stats)
}

#[test]
fn what_a_killed_node_left_comes_before_anything_of_the_next_one() {
    let (log, folder) = (Arc::new(MemoryLog::new(2)), tempfile::tempdir().unwrap());
    let (first, stats) = producer(&log, folder.path(), 1 << 20);
    first.open_all(3);
    first.submit(poll(7, 3, 1));
    first.flush(true);
    log.refuses.store(true, Relaxed);
    for sequence in 2..=50 {
        first.submit(poll(7, 3, sequence));
        first.flush(true);
    }
    assert_eq!(stats.spool_polls.load(Relaxed), 49);
    assert!(stats.troubles().log.unwrap().contains("full"));
    // Killed: no goodbye, nothing flushed.
    drop(first);

    let (second, stats) = producer(&log, folder.path(), 1 << 20);
    assert_eq!(stats.spool_polls.load(Relaxed), 49);
    second.open_all(4);
    second.submit(poll(7, 4, 1));
    second.flush(true);
    log.refuses.store(false, Relaxed);
    while second.flush(true) {}
    assert_eq!(stats.troubles().log, None);
    let found = submitted_in_order(&log);
    let expected: Vec<(u64, u64)> = (1..=50).map(|s| (3, s)).chain([(4, 1)]).collect();
    assert_eq!(found[&7], expected);
    assert_eq!(stats.spool_bytes.load(Relaxed), 0);
    assert_eq!(stats.dropped.load(Relaxed), 0);
}

#[test]
fn a_spool_without_room_leaves_the_newest_in_memory_and_says_so() {
    let (log, folder) = (Arc::new(MemoryLog::new(1)), tempfile::tempdir().unwrap());
    let (producer, stats) = producer(&log, folder.path(), 30_000);
    producer.open_all(3);
    log.refuses.store(true, Relaxed);
    producer.submit(poll(7, 3, 1));
    producer.flush(true);
    assert_eq!(stats.spool_polls.load(Relaxed), 1);
    // The folder is away, as when its disk is: nothing can be written there.
    let away = folder.path().with_extension("away");
    std::fs::rename(folder.path(), &away).unwrap();
    for sequence in 2..=100 {
        producer.submit(poll(7, 3, sequence));
        producer.flush(true);
    }
    let why = stats.troubles().spool.unwrap();
    assert!(why.contains("No such file"), "{why}");
    assert!(stats.waiting_bytes.load(Relaxed) <= 30_000);
    let dropped = stats.dropped.load(Relaxed);
    assert!(dropped > 0);

    std::fs::rename(&away, folder.path()).unwrap();
    producer.flush(true);
    assert_eq!(stats.troubles().spool, None);
    assert_eq!(stats.waiting_bytes.load(Relaxed), 0);
    log.refuses.store(false, Relaxed);
    while producer.flush(true) {}
    let expected: Vec<(u64, u64)> = [1]
        .into_iter()
        .chain(dropped + 2..=100)
        .map(|s| (3, s))
        .collect();
    assert_eq!(
        submitted_in_order(&log)[&7],
        expected,
        "the newest are kept"
    );
}
