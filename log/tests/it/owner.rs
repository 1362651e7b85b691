//! One writes, many may look on.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use mast_log::{EmbeddedConfig, EmbeddedLog, Ends, Log, LogError, TopicSpec};

use crate::{
    kill::{appended, spawn_child},
    support::{TOPIC, bodies, open, open_with, quick, record},
};

fn refused(dir: &Path) -> Option<u32> {
    match EmbeddedLog::open(dir, quick()) {
        Err(LogError::Owned { dir: of, pid }) => {
            assert_eq!(of, dir);
            pid
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("two owners"),
    }
}

#[test]
fn a_second_owner_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    assert_eq!(refused(dir.path()), Some(process::id()));
    drop(log);
    drop(open(dir.path()));

    let mut child = spawn_child(dir.path());
    let mut told = appended(&mut child);
    told.next().unwrap();
    assert_eq!(
        refused(dir.path()),
        Some(child.id()),
        "another process counts as well"
    );
    let error = EmbeddedLog::open(dir.path(), quick())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains(&format!("process {}", child.id())),
        "{error}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    drop(open(dir.path()));
}

/// The file of a dead owner stays, and its number may belong to somebody else by now.
#[test]
fn what_a_dead_owner_left_keeps_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    for left in ["999999999\n", "1\n", "", "not a number"] {
        fs::create_dir_all(dir.path()).unwrap();
        fs::write(dir.path().join("lock"), left).unwrap();
        let log = open(dir.path());
        let pid = fs::read_to_string(dir.path().join("lock")).unwrap();
        assert_eq!(pid, format!("{}\n", process::id()));
        drop(log);
    }
}

#[test]
fn a_reader_sees_what_the_owner_does() {
    let dir = tempfile::tempdir().unwrap();
    let missing = EmbeddedLog::open_read_only(dir.path());
    assert!(
        matches!(missing, Err(LogError::Io { .. })),
        "there is no log yet"
    );
    assert!(
        fs::read_dir(dir.path()).unwrap().next().is_none(),
        "and none was made"
    );

    let log = open(dir.path());
    let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
    assert_eq!(bodies(&reader, 0).unwrap(), Vec::<Vec<u8>>::new());
    log.append(TOPIC, 0, &[record("one"), record("two")])
        .unwrap();
    assert_eq!(bodies(&reader, 0).unwrap(), [b"one", b"two"]);

    assert!(matches!(
        reader.partitions("later"),
        Err(LogError::UnknownTopic { .. })
    ));
    assert!(matches!(
        reader.partitions("../lock"),
        Err(LogError::UnknownTopic { .. })
    ));
    log.ensure_topic(&TopicSpec {
        name: "later".into(),
        partitions: 3,
    })
    .unwrap();
    assert_eq!(reader.partitions("later").unwrap(), 3);

    for fill in 0..100 {
        log.append(TOPIC, 0, &[record([fill; 4000])]).unwrap();
    }
    log.trim(TOPIC, 0, 60).unwrap();
    let ends = log.ends(TOPIC, 0).unwrap();
    assert!(ends.first > 0);
    assert_eq!(reader.ends(TOPIC, 0).unwrap(), ends);
    assert!(
        matches!(reader.read(TOPIC, 0, 0, 1), Err(LogError::Gap { first }) if first == ends.first)
    );
    assert_eq!(bodies(&reader, 60).unwrap(), bodies(&log, 60).unwrap());

    let fresh = EmbeddedLog::open_read_only(dir.path()).unwrap();
    assert_eq!(fresh.ends(TOPIC, 0).unwrap(), ends);
    drop(log);
    assert_eq!(
        bodies(&reader, 60).unwrap().len(),
        42,
        "also after the owner has gone"
    );
}

#[test]
fn a_reader_may_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).append(TOPIC, 0, &[record("one")]).unwrap();
    fs::remove_file(dir.path().join("lock")).unwrap();
    let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
    let new = TopicSpec {
        name: "new".into(),
        partitions: 1,
    };
    assert!(matches!(reader.ensure_topic(&new), Err(LogError::ReadOnly)));
    assert!(matches!(
        reader.append(TOPIC, 0, &[record("x")]),
        Err(LogError::ReadOnly)
    ));
    assert!(matches!(reader.trim(TOPIC, 0, 1), Err(LogError::ReadOnly)));
    assert!(matches!(reader.sync(), Err(LogError::ReadOnly)));
    assert_eq!(reader.ends(TOPIC, 0).unwrap(), Ends { first: 0, next: 1 });
    assert!(!dir.path().join("lock").exists(), "it takes no lock");
}

#[test]
fn a_reader_is_woken_by_appends() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
    let seen = reader.wait(0, Duration::from_secs(20));
    assert_eq!(reader.wait(seen, Duration::from_millis(1)), seen);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.wait(seen, Duration::from_secs(20)));
        log.append(TOPIC, 0, &[record("one")]).unwrap();
        assert!(waiting.join().unwrap() > seen);
    });
    assert_eq!(bodies(&reader, 0).unwrap(), [b"one"]);
}

/// Segments that appear and vanish under a reader's hands never look like damage or a hole.
#[test]
fn readers_beside_an_owner_that_rolls_and_trims() {
    const APPENDS: u64 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let log = open_with(
        dir.path(),
        EmbeddedConfig {
            segment_bytes: 2000,
            ..quick()
        },
    );
    let done = AtomicBool::new(false);
    let done = &done;
    thread::scope(|scope| {
        for from_file in [true, true, false] {
            let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
            let log = &log;
            scope.spawn(move || {
                let log: &dyn Log = if from_file { &reader } else { log };
                let mut from = 0;
                while !done.load(Ordering::Acquire) || from < APPENDS {
                    match log.read(TOPIC, 0, from, 3000) {
                        Ok(entries) => {
                            for entry in entries {
                                assert_eq!(entry.offset, from);
                                assert_eq!(entry.record.body[..8], from.to_le_bytes());
                                from += 1;
                            }
                        }
                        Err(LogError::Gap { first }) => from = first,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
        for offset in 0..APPENDS {
            let mut body = offset.to_le_bytes().to_vec();
            body.resize(8 + (offset % 900) as usize, 7);
            assert_eq!(log.append(TOPIC, 0, &[record(body)]).unwrap(), offset);
            log.trim(TOPIC, 0, offset.saturating_sub(20)).unwrap();
        }
        done.store(true, Ordering::Release);
    });
}
