//! What a log refuses, and that refusing costs nothing that was there.

use std::{fs, time::Duration};

use mast_log::{EmbeddedConfig, EmbeddedLog, Ends, Log, LogError, MAX_BATCH_BYTES};

use crate::support::{TOPIC, bodies, open_with, quick, record, segments};

#[test]
fn a_full_log_refuses_until_it_is_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 100 << 10;
    let config = EmbeddedConfig {
        max_bytes: Some(limit),
        segment_bytes: 20 << 10,
        ..quick()
    };
    let mut log = open_with(dir.path(), config.clone());
    let mut appended = 0;
    for round in 0..4 {
        let full = loop {
            match log.append(TOPIC, 0, &[record([1; 1000]), record([2; 1000])]) {
                Ok(offset) => {
                    assert_eq!(offset, appended);
                    appended += 2;
                }
                Err(error) => break error,
            }
        };
        let LogError::Full {
            used_bytes,
            limit_bytes: Some(of),
        } = full
        else {
            panic!("{full:?}");
        };
        assert!(of == limit && used_bytes <= limit && used_bytes > limit - 4000);
        let on_disk: u64 = segments(dir.path())
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert_eq!(on_disk, used_bytes, "the account is right");
        assert_eq!(
            log.ends(TOPIC, 0).unwrap().next,
            appended,
            "a refused append leaves nothing"
        );
        if round == 1 {
            drop(log);
            log = open_with(dir.path(), config.clone());
            let again = log.append(TOPIC, 0, &[record([1; 4000])]);
            assert!(
                matches!(again, Err(LogError::Full { .. })),
                "it is still full: {again:?}"
            );
        }
        log.trim(TOPIC, 0, if round == 2 { appended } else { appended - 10 })
            .unwrap();
    }
    let first = log.ends(TOPIC, 0).unwrap().first;
    assert_eq!(bodies(&log, first).unwrap().len() as u64, appended - first);
}

/// With the last segment as large as the limit, only closing it can make room.
#[test]
fn a_consumed_last_segment_comes_free() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        max_bytes: Some(64 << 10),
        segment_bytes: 1 << 20,
        ..quick()
    };
    let log = open_with(dir.path(), config);
    for _ in 0..60 {
        log.append(TOPIC, 0, &[record([1; 1000])]).unwrap();
    }
    log.append(TOPIC, 0, &[record([1; 5000])]).unwrap_err();
    log.trim(TOPIC, 0, 59).unwrap();
    assert_eq!(
        log.ends(TOPIC, 0).unwrap(),
        Ends { first: 0, next: 60 },
        "59 is still needed"
    );
    log.trim(TOPIC, 0, 60).unwrap();
    assert_eq!(
        log.ends(TOPIC, 0).unwrap(),
        Ends {
            first: 60,
            next: 60
        }
    );
    assert_eq!(log.append(TOPIC, 0, &[record([1; 5000])]).unwrap(), 60);
    drop(log);
    let log = EmbeddedLog::open(dir.path(), quick()).unwrap();
    assert_eq!(
        log.ends(TOPIC, 0).unwrap(),
        Ends {
            first: 60,
            next: 61
        },
        "offsets never restart"
    );
}

#[test]
fn segments_close_by_size_and_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let by_size = EmbeddedConfig {
        segment_bytes: 10_000,
        ..quick()
    };
    let log = open_with(dir.path(), by_size);
    for _ in 0..10 {
        log.append(TOPIC, 0, &[record([0; 4000])]).unwrap();
    }
    log.append(TOPIC, 0, &[record([0; 30_000])]).unwrap();
    assert_eq!(
        segments(dir.path()).len(),
        6,
        "two fit in each; a larger one has its own"
    );
    drop(log);
    let by_age = EmbeddedConfig {
        segment_age: Duration::ZERO,
        ..quick()
    };
    let log = open_with(dir.path(), by_age);
    for _ in 0..3 {
        log.append(TOPIC, 0, &[record([0; 5000])]).unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 9);
    log.append(TOPIC, 0, &[record("small")]).unwrap();
    log.append(TOPIC, 0, &[record("small")]).unwrap();
    assert_eq!(
        segments(dir.path()).len(),
        10,
        "a small one is kept however old"
    );
    assert_eq!(bodies(&log, 0).unwrap().len(), 16);
}

#[test]
fn records_and_appends_have_a_largest_size() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        max_record_bytes: 1000,
        ..quick()
    };
    let log = open_with(dir.path(), config);
    let room = 1000 - "key".len() - "headers".len();
    log.append(TOPIC, 0, &[record(vec![0; room])]).unwrap();
    let error = log
        .append(TOPIC, 0, &[record("good"), record(vec![0; room + 1])])
        .unwrap_err();
    assert!(
        matches!(
            error,
            LogError::TooLarge {
                bytes: 1001,
                limit_bytes: 1000
            }
        ),
        "{error:?}"
    );
    let many = vec![record(vec![0; room]); (MAX_BATCH_BYTES / 1000) as usize];
    let error = log.append(TOPIC, 0, &many).unwrap_err();
    assert!(
        matches!(error, LogError::TooLarge { bytes, limit_bytes: MAX_BATCH_BYTES } if bytes > MAX_BATCH_BYTES),
        "{error:?}"
    );
    assert_eq!(log.ends(TOPIC, 0).unwrap().next, 1);
}
