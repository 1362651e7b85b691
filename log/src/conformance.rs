//! What every [`Log`] must do, as one run over a real one. Each implementation's tests call
//! [`run`]; a failed promise is a panic that names it.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code that other test binaries call"
)]

use std::{
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{Ends, Entry, Log, LogError, Record, TopicSpec};

/// Long enough for any machine; waits end as soon as what they wait for is there.
const PATIENCE: Duration = Duration::from_secs(20);
const ALL: usize = usize::MAX;

type Check = fn(&dyn Log, &str);

/// Runs all checks.
///
/// `make` opens the log, the same storage each time; the one before is dropped first. Topics have
/// names of their own in each run, so the storage may hold others. Segments should be at most
/// 64 KiB and records of 3 MiB be allowed, so that trimming has something to drop.
///
/// # Panics
/// When a promise is broken.
pub fn run(make: impl Fn() -> Box<dyn Log>) {
    let checks: [(&str, Check); 13] = [
        ("appended-is-read-in-order", appended_is_read_in_order),
        ("an-append-is-contiguous", an_append_is_contiguous),
        ("partitions-are-apart", partitions_are_apart),
        ("ends-and-what-lies-outside", ends_and_what_lies_outside),
        ("trimmed-is-a-gap", trimmed_is_a_gap),
        ("unknown-topics", unknown_topics),
        ("partition-counts-are-fixed", partition_counts_are_fixed),
        ("bad-topics", bad_topics),
        ("empty-records-and-appends", empty_records_and_appends),
        ("large-records", large_records),
        ("max-bytes", max_bytes),
        ("too-large-is-nothing", too_large_is_nothing),
        ("waiting", waiting),
    ];
    let log = make();
    for (name, check) in checks {
        check(&*log, &fresh(&*log, name, 2));
    }
    appenders_and_readers_at_once(&*log, &fresh(&*log, "at-once", 3));
    let topic = fresh(&*log, "reopen", 2);
    let before = fill_for_reopen(&*log, &topic);
    drop(log);
    for _ in 0..2 {
        let log = make();
        assert_eq!(
            read_all(&*log, &topic, 1),
            before,
            "a reopened log holds what it held"
        );
        assert_eq!(log.partitions(&topic).unwrap(), 2);
    }
    let log = make();
    let next = before.len() as u64;
    assert_eq!(
        log.append(&topic, 1, &records(1, 9)).unwrap(),
        next,
        "offsets go on after reopening"
    );
}

fn fresh(log: &dyn Log, name: &str, partitions: u32) -> String {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let name = format!("conformance-{name}-{}-{nanos}", process::id());
    log.ensure_topic(&TopicSpec {
        name: name.clone(),
        partitions,
    })
    .unwrap();
    name
}

/// Records that differ from one another and by `salt`.
fn records(count: usize, salt: usize) -> Vec<Record> {
    let record = |i: usize| Record {
        key: Bytes::from(format!("key-{i}")),
        headers: Bytes::from(vec![salt as u8; i % 5]),
        body: Bytes::from(format!("body-{salt}-{i}-").repeat(i % 7 + 1)),
    };
    (0..count).map(record).collect()
}

fn of_size(bytes: usize, fill: u8) -> Record {
    Record {
        key: Bytes::new(),
        headers: Bytes::new(),
        body: Bytes::from(vec![fill; bytes]),
    }
}

fn read_all(log: &dyn Log, topic: &str, partition: u32) -> Vec<Entry> {
    read_from(
        log,
        topic,
        partition,
        log.ends(topic, partition).unwrap().first,
    )
}

/// By small reads, so that their seams are tested everywhere.
fn read_from(log: &dyn Log, topic: &str, partition: u32, from: u64) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let from = all.last().map_or(from, |entry| entry.offset + 1);
        let some = log.read(topic, partition, from, 10_000).unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

fn bodies(entries: Vec<Entry>) -> Vec<Record> {
    entries.into_iter().map(|entry| entry.record).collect()
}

fn assert_offsets(entries: &[Entry], first: u64) {
    for (entry, offset) in entries.iter().zip(first..) {
        assert_eq!(entry.offset, offset, "offsets rise by one, without holes");
    }
}

fn appended_is_read_in_order(log: &dyn Log, topic: &str) {
    let mut expected = Vec::new();
    for salt in 0..20 {
        let some = records(salt % 4 + 1, salt);
        assert_eq!(log.append(topic, 0, &some).unwrap(), expected.len() as u64);
        expected.extend(some);
    }
    let entries = read_all(log, topic, 0);
    assert_offsets(&entries, 0);
    assert!(
        entries
            .iter()
            .all(|entry| entry.append_time_us > 1_600_000_000_000_000)
    );
    assert_eq!(bodies(entries), expected);
    for (from, record) in (0..).zip(&expected) {
        let entries = log.read(topic, 0, from, ALL).unwrap();
        assert_offsets(&entries, from);
        assert_eq!(
            entries[0].record, *record,
            "a read begins where it was asked to"
        );
    }
}

fn an_append_is_contiguous(log: &dyn Log, topic: &str) {
    thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                for _ in 0..10 {
                    log.append(topic, 0, &records(5, writer)).unwrap();
                }
            });
        }
    });
    let all = bodies(read_all(log, topic, 0));
    assert_eq!(all.len(), 4 * 10 * 5);
    for append in all.chunks(5) {
        assert!(
            (0..4).any(|writer| append == records(5, writer)),
            "no append is split by another"
        );
    }
}

fn partitions_are_apart(log: &dyn Log, topic: &str) {
    assert_eq!(log.append(topic, 0, &records(3, 1)).unwrap(), 0);
    assert_eq!(log.append(topic, 1, &records(2, 2)).unwrap(), 0);
    assert_eq!(bodies(read_all(log, topic, 0)), records(3, 1));
    assert_eq!(bodies(read_all(log, topic, 1)), records(2, 2));
}

fn ends_and_what_lies_outside(log: &dyn Log, topic: &str) {
    assert_eq!(log.ends(topic, 0).unwrap(), Ends { first: 0, next: 0 });
    assert_eq!(log.read(topic, 0, 0, ALL).unwrap(), []);
    log.append(topic, 0, &records(7, 0)).unwrap();
    assert_eq!(log.ends(topic, 0).unwrap(), Ends { first: 0, next: 7 });
    assert_eq!(log.ends(topic, 1).unwrap(), Ends { first: 0, next: 0 });
    assert_eq!(
        log.read(topic, 0, 7, ALL).unwrap(),
        [],
        "the end is no error"
    );
    let past = log.read(topic, 0, 8, ALL);
    assert!(matches!(past, Err(LogError::Ahead { next: 7 })), "{past:?}");
    log.sync().unwrap();
}

fn trimmed_is_a_gap(log: &dyn Log, topic: &str) {
    for fill in 0..64 {
        log.append(topic, 0, &[of_size(8 << 10, fill)]).unwrap();
    }
    log.trim(topic, 0, 0).unwrap();
    assert_eq!(
        log.ends(topic, 0).unwrap().first,
        0,
        "nothing lies before 0"
    );
    log.trim(topic, 0, 48).unwrap();
    let Ends { first, next } = log.ends(topic, 0).unwrap();
    assert_eq!(next, 64);
    assert!(first > 0, "a trim of 6 segments drops some");
    assert!(first <= 48, "a trim never passes what it was told");
    for from in [0, first - 1] {
        let gap = log.read(topic, 0, from, ALL);
        assert!(
            matches!(gap, Err(LogError::Gap { first: f }) if f == first),
            "{gap:?}"
        );
    }
    let left = read_all(log, topic, 0);
    assert_eq!(left.len() as u64, 64 - first);
    assert_offsets(&left, first);
    assert!(
        left.iter()
            .all(|entry| entry.record == of_size(8 << 10, entry.offset as u8))
    );

    log.trim(topic, 0, 10).unwrap();
    assert_eq!(
        log.ends(topic, 0).unwrap(),
        Ends { first, next },
        "a trim never goes back"
    );
    log.trim(topic, 0, next + 100).unwrap();
    let ends = log.ends(topic, 0).unwrap();
    assert!(
        ends.first <= next && ends.next == next,
        "nothing to come is dropped"
    );
    assert_eq!(log.append(topic, 0, &records(1, 1)).unwrap(), next);
    assert_eq!(bodies(read_from(log, topic, 0, next)), records(1, 1));
}

fn unknown_topics(log: &dyn Log, _: &str) {
    let name = "conformance-nobody-made-this";
    let unknown = |error: LogError| {
        assert!(
            matches!(&error, LogError::UnknownTopic { topic } if topic == name),
            "{error:?}"
        );
    };
    unknown(log.partitions(name).unwrap_err());
    unknown(log.append(name, 0, &records(1, 0)).unwrap_err());
    unknown(log.read(name, 0, 0, ALL).unwrap_err());
    unknown(log.ends(name, 0).unwrap_err());
    unknown(log.trim(name, 0, 0).unwrap_err());
}

fn partition_counts_are_fixed(log: &dyn Log, topic: &str) {
    let spec = |partitions| TopicSpec {
        name: topic.to_owned(),
        partitions,
    };
    log.append(topic, 1, &records(1, 0)).unwrap();
    log.ensure_topic(&spec(2)).unwrap();
    assert_eq!(log.partitions(topic).unwrap(), 2);
    let mismatch = |error: LogError, number| {
        let asked_right = matches!(
            &error,
            LogError::PartitionMismatch { topic: t, partitions: 2, asked } if t == topic && *asked == number
        );
        assert!(asked_right, "{error:?}");
    };
    for count in [1, 3] {
        mismatch(log.ensure_topic(&spec(count)).unwrap_err(), count);
    }
    mismatch(log.append(topic, 2, &records(1, 0)).unwrap_err(), 2);
    mismatch(log.read(topic, 2, 0, ALL).unwrap_err(), 2);
    mismatch(log.ends(topic, u32::MAX).unwrap_err(), u32::MAX);
    mismatch(log.trim(topic, 2, 0).unwrap_err(), 2);
    assert_eq!(bodies(read_all(log, topic, 1)), records(1, 0));
}

fn bad_topics(log: &dyn Log, _: &str) {
    for (name, partitions) in [("", 1), ("..", 1), ("a/b", 1), ("conformance-none", 0)] {
        let result = log.ensure_topic(&TopicSpec {
            name: name.to_owned(),
            partitions,
        });
        assert!(
            matches!(result, Err(LogError::InvalidTopic { .. })),
            "{name:?}: {result:?}"
        );
        assert!(
            matches!(log.partitions(name), Err(LogError::UnknownTopic { .. })),
            "{name:?}"
        );
    }
}

fn empty_records_and_appends(log: &dyn Log, topic: &str) {
    assert_eq!(log.append(topic, 0, &[]).unwrap(), 0);
    let empty = vec![Record::default(); 3];
    assert_eq!(log.append(topic, 0, &empty).unwrap(), 0);
    assert_eq!(
        log.append(topic, 0, &[]).unwrap(),
        3,
        "no records, no offset"
    );
    assert_eq!(
        log.read(topic, 0, 0, 0).unwrap().len(),
        3,
        "empty records fit in nothing"
    );
    assert_eq!(bodies(read_all(log, topic, 0)), empty);
}

fn large_records(log: &dyn Log, topic: &str) {
    let large = [
        of_size(3 << 20, 1),
        of_size(1, 2),
        of_size((1 << 20) + 1, 3),
    ];
    log.append(topic, 0, &large[..2]).unwrap();
    log.append(topic, 0, &large[2..]).unwrap();
    assert_eq!(bodies(read_all(log, topic, 0)), large);
    assert_eq!(bodies(log.read(topic, 0, 1, ALL).unwrap()), large[1..]);
}

fn max_bytes(log: &dyn Log, topic: &str) {
    for fill in 0..10 {
        log.append(topic, 0, &[of_size(100, fill), of_size(100, fill)])
            .unwrap();
    }
    for (max, least, most) in [
        (0, 1, 1),
        (99, 1, 1),
        (250, 1, 2),
        (1000, 2, 10),
        (ALL, 20, 20),
    ] {
        for from in [0, 1] {
            let count = log.read(topic, 0, from, max).unwrap().len();
            let least = least.min(20 - from as usize);
            assert!(
                (least..=most).contains(&count),
                "{count} records in {max} bytes"
            );
        }
    }
}

fn too_large_is_nothing(log: &dyn Log, topic: &str) {
    let mut some = records(2, 0);
    some.push(of_size(80 << 20, 0));
    let result = log.append(topic, 0, &some);
    assert!(
        matches!(result, Err(LogError::TooLarge { .. })),
        "{result:?}"
    );
    assert_eq!(
        log.ends(topic, 0).unwrap(),
        Ends { first: 0, next: 0 },
        "all or nothing"
    );
    assert_eq!(
        log.append(topic, 0, &some[..2]).unwrap(),
        0,
        "the log goes on"
    );
}

fn waiting(log: &dyn Log, topic: &str) {
    let mut seen = log.wait(0, PATIENCE);
    assert!(seen > 0, "the first wait says where the counter is");
    // What was appended by the checks before may still be on its way to us.
    let same = loop {
        match log.wait(seen, Duration::from_millis(100)) {
            same if same == seen => break same,
            later => seen = later,
        }
    };
    log.append(topic, 0, &records(1, 0)).unwrap();
    let seen = log.wait(seen, PATIENCE);
    assert!(seen > same, "an append before the wait counts");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let seen = log.wait(seen, PATIENCE);
            (seen, log.ends(topic, 1).unwrap().next)
        });
        log.append(topic, 1, &records(1, 0)).unwrap();
        let (now, next) = waiter.join().unwrap();
        assert!(now > seen, "an append ends the wait");
        assert_eq!(next, 1, "what ended the wait can be read");
    });
}

/// Several writers to each partition, and readers that follow by `wait` alone: every reader sees
/// every record once, in order, and each writer's records in the order they were written.
fn appenders_and_readers_at_once(log: &dyn Log, topic: &str) {
    const WRITERS: usize = 4;
    const APPENDS: usize = 40;
    let total = (WRITERS / 2 * APPENDS * 2) as u64;
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for i in 0..APPENDS {
                    let body = |n| Bytes::from(format!("{writer}:{}", 2 * i + n));
                    let record = |n| Record {
                        body: body(n),
                        ..Record::default()
                    };
                    log.append(topic, (writer % 2) as u32, &[record(0), record(1)])
                        .unwrap();
                }
            });
        }
        let readers: Vec<_> = [0, 1, 0, 1]
            .map(|partition| scope.spawn(move || follow(log, topic, partition, total)))
            .into_iter()
            .collect();
        for reader in readers {
            failed.fetch_or(reader.join().is_err(), Ordering::Relaxed);
        }
    });
    assert!(!failed.into_inner(), "a reader failed; see above");
    assert_eq!(log.ends(topic, 2).unwrap().next, 0);
}

fn follow(log: &dyn Log, topic: &str, partition: u32, total: u64) {
    let mut seen = 0;
    let mut from = 0;
    let mut next_of_writer = [0; 4];
    while from < total {
        let now = log.wait(seen, PATIENCE);
        assert!(now > seen, "appends stopped being told");
        seen = now;
        loop {
            let entries = log.read(topic, partition, from, 100).unwrap();
            if entries.is_empty() {
                break;
            }
            assert_offsets(&entries, from);
            from += entries.len() as u64;
            for entry in entries {
                let text = String::from_utf8(entry.record.body.to_vec()).unwrap();
                let (writer, number) = text.split_once(':').unwrap();
                let next = &mut next_of_writer[writer.parse::<usize>().unwrap()];
                assert_eq!(number.parse::<u64>().unwrap(), *next);
                *next += 1;
            }
        }
    }
    assert_eq!(from, total);
}

fn fill_for_reopen(log: &dyn Log, topic: &str) -> Vec<Entry> {
    for salt in 0..30 {
        log.append(topic, 1, &[of_size(9000, salt as u8)]).unwrap();
        log.append(topic, 1, &records(3, salt)).unwrap();
    }
    read_all(log, topic, 1)
}
