//! Files that are not as they were left: what is cut off at the end goes, all else is told.

use std::{fs, path::Path};

use mast_log::{EmbeddedConfig, EmbeddedLog, Log, LogError};

use crate::support::{TOPIC, bodies, open, open_with, quick, record, segments};

const HEADER_BYTES: usize = 32;

/// Three appends of one record each in one segment; the bytes of its file and where each ends.
fn three_appends(dir: &Path) -> (Vec<u8>, [usize; 3]) {
    let log = open(dir);
    let ends = [b"first", b"other", b"third"].map(|body| {
        log.append(TOPIC, 0, &[record(*body)]).unwrap();
        fs::metadata(&segments(dir)[0]).unwrap().len() as usize
    });
    (fs::read(&segments(dir)[0]).unwrap(), ends)
}

fn two() -> Vec<Vec<u8>> {
    vec![b"first".to_vec(), b"other".to_vec()]
}

/// (offset, position, whether the message names the file)
fn corrupt_at(error: LogError, file: &Path) -> (u64, u64) {
    let message = error.to_string();
    assert!(message.contains(&file.display().to_string()), "{message}");
    match error {
        LogError::Corrupt {
            topic,
            partition: 0,
            offset,
            position,
            ..
        } => {
            assert_eq!(topic, TOPIC);
            assert!(
                message.contains(&format!("truncate -s {position}")),
                "{message}"
            );
            (offset, position)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_last_write_cut_at_any_byte_is_cut_away() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, ends) = three_appends(dir.path());
    let file = &segments(dir.path())[0];
    for len in ends[1]..ends[2] {
        fs::write(file, &bytes[..len]).unwrap();
        let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
        assert_eq!(
            bodies(&reader, 0).unwrap(),
            two(),
            "a reader stops before it, {len} bytes"
        );
        assert_eq!(
            fs::metadata(file).unwrap().len(),
            len as u64,
            "a reader changes nothing"
        );
        let log = open(dir.path());
        assert_eq!(bodies(&log, 0).unwrap(), two(), "{len} bytes");
        assert_eq!(fs::metadata(file).unwrap().len(), ends[1] as u64);
        assert_eq!(log.append(TOPIC, 0, &[record("anew")]).unwrap(), 2);
        assert_eq!(bodies(&reader, 2).unwrap(), [b"anew"], "the reader goes on");
    }
}

#[test]
fn a_last_write_with_wrong_bytes_is_cut_away() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, ends) = three_appends(dir.path());
    let file = &segments(dir.path())[0];
    let zeros = [&bytes[..ends[1]], &[0; 5000]].concat();
    let half = [&bytes[..ends[2] - 3], &[0; 3]].concat();
    let noise = [&bytes[..ends[1]], &b"MBAT".repeat(50_000)[..]].concat();
    for damaged in [zeros, half, noise] {
        fs::write(file, damaged).unwrap();
        assert_eq!(bodies(&open(dir.path()), 0).unwrap(), two());
        assert_eq!(fs::metadata(file).unwrap().len(), ends[1] as u64);
    }
}

/// A message may hold a copy of a log file; half of it at the end is still only a cut-off write.
#[test]
fn a_batch_within_a_message_is_no_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, ends) = three_appends(dir.path());
    let file = &segments(dir.path())[0];
    let log = open(dir.path());
    log.append(TOPIC, 0, &[record(bytes.clone()), record(bytes)])
        .unwrap();
    drop(log);
    let whole = fs::metadata(file).unwrap().len();
    fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(whole - 1)
        .unwrap();
    assert_eq!(bodies(&open(dir.path()), 0).unwrap().len(), 3);
    assert_eq!(fs::metadata(file).unwrap().len(), ends[2] as u64);
}

#[test]
fn a_flipped_bit_with_whole_batches_behind_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, ends) = three_appends(dir.path());
    let file = &segments(dir.path())[0];
    for at in HEADER_BYTES..ends[1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(file, &damaged).unwrap();
        let expected = if at < ends[0] {
            (0, HEADER_BYTES as u64)
        } else {
            (1, ends[0] as u64)
        };
        let error = EmbeddedLog::open(dir.path(), quick()).err().unwrap();
        assert_eq!(corrupt_at(error, file), expected, "byte {at}");
        let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
        let error = reader.read(TOPIC, 0, 0, 1000).unwrap_err();
        assert_eq!(corrupt_at(error, file), expected, "byte {at}");
        assert_eq!(fs::read(file).unwrap(), damaged, "nobody touches it");
    }
    // The remedy that the message gives.
    fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(ends[0] as u64)
        .unwrap();
    assert_eq!(bodies(&open(dir.path()), 0).unwrap(), two()[..1]);
}

/// Thirty records of 4 KiB in several segments; each tells its offset.
fn several_segments(dir: &Path) {
    let config = EmbeddedConfig {
        segment_bytes: 20 << 10,
        ..quick()
    };
    let log = open_with(dir, config);
    for fill in 0..30 {
        log.append(TOPIC, 0, &[record([fill; 4096])]).unwrap();
    }
}

fn assert_readable_until(log: &dyn Log, damaged: u64, file: &Path, position: u64) {
    let mut from = 0;
    let error = loop {
        match log.read(TOPIC, 0, from, 10_000) {
            Ok(entries) => {
                assert!(!entries.is_empty(), "damage must not look like the end");
                for entry in entries {
                    assert_eq!(entry.offset, from);
                    assert_eq!(entry.record.body, vec![from as u8; 4096]);
                    from += 1;
                }
            }
            Err(error) => break error,
        }
    };
    assert_eq!(from, damaged, "all that is before the damage is read");
    assert_eq!(corrupt_at(error, file), (damaged, position));
}

#[test]
fn damage_in_a_closed_segment_is_found_when_read() {
    let dir = tempfile::tempdir().unwrap();
    several_segments(dir.path());
    let file = &segments(dir.path())[1];
    let base: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let whole = fs::read(file).unwrap();
    let batch_bytes = (whole.len() - HEADER_BYTES) / 4;
    for (batch, at) in [(0, 0), (0, 39), (1, 2000), (3, 4), (3, batch_bytes - 1)] {
        let position = HEADER_BYTES + batch * batch_bytes;
        let mut damaged = whole.clone();
        damaged[position + at] ^= 0x10;
        fs::write(file, damaged).unwrap();
        let damaged = base + batch as u64;
        assert_readable_until(&open(dir.path()), damaged, file, position as u64);
        let reader = EmbeddedLog::open_read_only(dir.path()).unwrap();
        assert_readable_until(&reader, damaged, file, position as u64);
        let log = open(dir.path());
        assert_eq!(
            bodies(&log, damaged + 5).unwrap().len() as u64,
            30 - damaged - 5
        );
    }
}

#[test]
fn a_missing_or_short_closed_segment_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    several_segments(dir.path());
    let files = segments(dir.path());
    let bytes = fs::read(&files[1]).unwrap();
    let batch_bytes = (bytes.len() - HEADER_BYTES) / 4;
    fs::write(&files[1], &bytes[..bytes.len() - 1]).unwrap();
    let position = (HEADER_BYTES + 3 * batch_bytes) as u64;
    assert_readable_until(&open(dir.path()), 7, &files[1], position);
    fs::remove_file(&files[1]).unwrap();
    assert_readable_until(&open(dir.path()), 4, &files[0], bytes.len() as u64);
}

#[test]
fn a_damaged_segment_header_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, _) = three_appends(dir.path());
    let file = &segments(dir.path())[0];
    for at in 0..HEADER_BYTES {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        // Two bytes are reserved, but under the checksum as well.
        fs::write(file, &damaged).unwrap();
        let error = EmbeddedLog::open(dir.path(), quick()).err().unwrap();
        assert_eq!(corrupt_at(error, file), (0, 0), "byte {at}");
    }
}

/// As a power failure may leave it, without fsync.
#[test]
fn a_last_segment_that_was_never_begun_is_begun() {
    let dir = tempfile::tempdir().unwrap();
    several_segments(dir.path());
    let next = dir
        .path()
        .join("topics")
        .join(TOPIC)
        .join("0/00000000000000000030.seg");
    for left in [0, 31, 32] {
        fs::write(&next, vec![0; left]).unwrap();
        let log = open(dir.path());
        assert_eq!(log.ends(TOPIC, 0).unwrap().next, 30, "{left} bytes");
        assert_eq!(bodies(&log, 0).unwrap().len(), 30);
    }
}

#[test]
fn what_a_killed_creation_left_is_no_topic() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let half = dir.path().join("topics/.new-half");
    fs::create_dir_all(half.join("0")).unwrap();
    let log = open(dir.path());
    assert_eq!(log.topics().unwrap(), [TOPIC]);
    log.ensure_topic(&mast_log::TopicSpec {
        name: "half".into(),
        partitions: 2,
    })
    .unwrap();
    assert_eq!(log.partitions("half").unwrap(), 2);
    assert!(!half.exists());
}
