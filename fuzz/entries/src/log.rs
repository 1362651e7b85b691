//! A partition's folder after something happened to its files.

use std::fs;
use std::path::{Path, PathBuf};

use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, LogError, Record, TopicSpec};

use crate::folder::{Folder, damage, files};

const TOPIC: &str = "t";
const SEGMENT_HEADER_BYTES: usize = 32;
const BATCH_HEADER_BYTES: usize = 40;

/// The partition's own folder.
fn partition(folder: &Folder) -> PathBuf {
    folder.0.join("topics").join(TOPIC).join("0")
}

pub(crate) fn config() -> EmbeddedConfig {
    EmbeddedConfig {
        segment_bytes: 400,
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    }
}

pub(crate) fn record(body: &[u8]) -> Record {
    Record {
        body: body.to_vec().into(),
        ..Record::default()
    }
}

/// A log of real appends, then damage as the input says; or a last segment whose batches the input writes with checksums
/// that hold. Opening either says what is damaged or gives a prefix of what was written, and takes appends again.
pub(crate) fn segments(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    let folder = Folder::new();
    let written: Vec<Vec<u8>> = (0..usize::from(kind >> 4))
        .map(|i| rest.iter().copied().cycle().take(i * 13 % 97).collect())
        .collect();
    let log = open(&folder.0).unwrap_or_else(|error| panic!("a fresh log: {error}"));
    let spec = TopicSpec {
        name: TOPIC.to_owned(),
        partitions: 1,
    };
    log.ensure_topic(&spec)
        .unwrap_or_else(|error| panic!("a fresh topic: {error}"));
    for body in &written {
        log.append(TOPIC, 0, &[record(body)])
            .unwrap_or_else(|error| panic!("an append: {error}"));
    }
    drop(log);
    let forged = kind % 2 == 1;
    if forged {
        forge(&folder, rest);
    } else {
        damage(&partition(&folder), "seg", rest);
    }
    match open(&folder.0) {
        Ok(log) => use_log(&log, &written, forged),
        Err(error) => told(&error),
    }
    if let Ok(reader) = EmbeddedLog::open_read_only(&folder.0) {
        match reader.read(TOPIC, 0, 0, 1 << 20) {
            Ok(entries) => assert!(forged || entries.len() <= written.len() + 1),
            Err(error) => told(&error),
        }
    }
}

fn open(folder: &Path) -> Result<EmbeddedLog, LogError> {
    EmbeddedLog::open(folder, config())
}

pub(crate) fn told(error: &LogError) {
    assert!(!error.to_string().is_empty());
}

fn use_log(log: &EmbeddedLog, written: &[Vec<u8>], forged: bool) {
    let ends = log
        .ends(TOPIC, 0)
        .unwrap_or_else(|error| panic!("an open log has ends: {error}"));
    let mut from = ends.first;
    while from < ends.next {
        let entries = match log.read(TOPIC, 0, from, 1 << 16) {
            Ok(entries) if entries.is_empty() => break,
            Ok(entries) => entries,
            Err(error) => {
                told(&error);
                break;
            }
        };
        for entry in &entries {
            assert!(entry.offset >= from && entry.offset < ends.next);
            if !forged {
                let whole = written.get(entry.offset as usize);
                assert_eq!(whole.map(Vec::as_slice), Some(entry.record.body.as_ref()));
            }
            from = entry.offset + 1;
        }
    }
    let offset = log
        .append(TOPIC, 0, &[record(b"after")])
        .unwrap_or_else(|error| panic!("an open log takes appends: {error}"));
    assert_eq!(offset, ends.next);
    let back = log
        .read(TOPIC, 0, offset, 1 << 16)
        .unwrap_or_else(|error| panic!("what was appended can be read: {error}"));
    assert_eq!(back[0].record.body.as_ref(), b"after");
}

/// Appends batches to the last segment: eight bytes for what its header says, then a payload. Both checksums hold.
fn forge(folder: &Folder, script: &[u8]) {
    let files = files(&partition(folder), "seg");
    let Some(file) = files.last() else {
        return;
    };
    let mut bytes = fs::read(file).unwrap_or_default();
    let Some(salt) = bytes
        .get(24..28)
        .filter(|_| bytes.len() >= SEGMENT_HEADER_BYTES)
        .map(<[u8]>::to_vec)
    else {
        return;
    };
    let mut rest = script;
    for _ in 0..4 {
        let [records, more, base, announced, length, after @ ..] = rest else {
            break;
        };
        let (payload, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let announced = match announced {
            0 => payload.len() as u32,
            &other => u32::from(other) << 20,
        };
        let mut header = Vec::with_capacity(BATCH_HEADER_BYTES);
        header.extend_from_slice(b"MBAT");
        header.extend_from_slice(&announced.to_le_bytes());
        header.extend_from_slice(&u32::from_le_bytes([*records, 0, 0, *more]).to_le_bytes());
        header.extend_from_slice(&0u32.to_le_bytes());
        let base = if *base == 255 {
            u64::MAX - 1
        } else {
            u64::from(*base)
        };
        header.extend_from_slice(&base.to_le_bytes());
        header.extend_from_slice(&0u64.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
        let salted = [
            &salt,
            (bytes.len() as u64).to_le_bytes().as_slice(),
            &header,
        ]
        .concat();
        header.extend_from_slice(&crc32fast::hash(&salted).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(payload);
    }
    fs::write(file, &bytes).unwrap_or_else(|error| panic!("{error}"));
}
