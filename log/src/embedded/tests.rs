//! What needs a failing disk or a look between two steps.

use super::{EmbeddedConfig, EmbeddedLog, Fsync, fault, format::Batch, store::Store, topic::Topic};
use crate::{Ends, Log, LogError, Record, TopicSpec};

const TOPIC: &str = "t";

fn spec() -> TopicSpec {
    TopicSpec {
        name: TOPIC.to_owned(),
        partitions: 1,
    }
}

fn record(fill: u8) -> Record {
    Record {
        body: vec![fill; 100].into(),
        ..Record::default()
    }
}

fn open(dir: &tempfile::TempDir, segment_bytes: u64) -> EmbeddedLog {
    let config = EmbeddedConfig {
        segment_bytes,
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    };
    let log = EmbeddedLog::open(dir.path(), config).unwrap();
    log.ensure_topic(&spec()).unwrap();
    log
}

fn count(log: &EmbeddedLog) -> usize {
    log.read(TOPIC, 0, 0, usize::MAX).unwrap().len()
}

#[test]
fn a_disk_that_runs_full_at_any_byte_leaves_no_torn_middle() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, 1 << 20);
    let mut whole = 0;
    let batch_bytes = Batch::encode(&[record(0), record(1)], 1000)
        .unwrap()
        .total_bytes() as usize;
    for room in 0..batch_bytes {
        fault::set_room(Some(room));
        let refused = log.append(TOPIC, 0, &[record(0), record(1)]);
        fault::set_room(None);
        assert!(
            matches!(
                refused,
                Err(LogError::Full {
                    limit_bytes: None,
                    ..
                })
            ),
            "{refused:?}"
        );
        let ends = Ends {
            first: 0,
            next: whole,
        };
        assert_eq!(log.ends(TOPIC, 0).unwrap(), ends, "nothing was written");
        if room % 50 == 0 {
            let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
            assert_eq!(reader.ends(TOPIC, 0).unwrap(), ends);
            assert_eq!(
                log.append(TOPIC, 0, &[record(2)]).unwrap(),
                whole,
                "with room it goes on"
            );
            whole += 1;
        }
    }
    drop(log);
    assert_eq!(count(&open(&dir, 1 << 20)) as u64, whole);
}

#[test]
fn a_disk_that_runs_full_at_a_new_segment_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, 200);
    log.append(TOPIC, 0, &[record(0)]).unwrap();
    for room in [0, 10, 31] {
        fault::set_room(Some(room));
        let refused = log.append(TOPIC, 0, &[record(1)]);
        fault::set_room(None);
        assert!(matches!(refused, Err(LogError::Full { .. })), "{refused:?}");
    }
    let partition = dir.path().join("topics").join(TOPIC).join("0");
    assert_eq!(std::fs::read_dir(partition).unwrap().count(), 1);
    assert_eq!(log.append(TOPIC, 0, &[record(1)]).unwrap(), 1);
    drop(log);
    assert_eq!(count(&open(&dir, 200)), 2);
}

fn store(fsync: Fsync) -> Store {
    Store::new(EmbeddedConfig {
        fsync,
        ..EmbeddedConfig::default()
    })
}

#[test]
fn under_every_append_only_what_is_synced_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::create(dir.path(), &spec()).unwrap();
    let partition = topic.partition(0).unwrap();
    let every = store(Fsync::EveryAppend);
    let mut batch = Batch::encode(&[record(0)], 1000).unwrap();
    assert_eq!(partition.append(&every, &mut batch).unwrap(), 0);
    assert_eq!(partition.ends().unwrap(), Ends { first: 0, next: 0 });
    assert_eq!(partition.read(0, 1000).unwrap(), []);
    assert_eq!(partition.append(&every, &mut batch).unwrap(), 1);
    partition.sync(&every).unwrap();
    assert_eq!(partition.ends().unwrap(), Ends { first: 0, next: 2 });
    assert_eq!(partition.read(0, 1000).unwrap().len(), 2);

    let by_interval = store(Fsync::Interval(std::time::Duration::from_secs(1)));
    partition.append(&by_interval, &mut batch).unwrap();
    assert_eq!(partition.read(2, 1000).unwrap().len(), 1);
}

#[test]
fn after_a_failed_sync_nothing_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::create(dir.path(), &spec()).unwrap();
    let partition = topic.partition(0).unwrap();
    let store = store(Fsync::EveryAppend);
    let mut batch = Batch::encode(&[record(0)], 1000).unwrap();
    partition.append(&store, &mut batch).unwrap();
    store.break_down();
    assert!(matches!(partition.sync(&store), Err(LogError::Io { .. })));
    assert!(matches!(
        partition.append(&store, &mut batch),
        Err(LogError::Io { .. })
    ));
    assert_eq!(
        partition.ends().unwrap().next,
        0,
        "what was not synced is never shown"
    );
}
