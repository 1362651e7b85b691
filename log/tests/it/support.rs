//! Short words for what all tests here do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, LogError, Record, TopicSpec};

pub(crate) const TOPIC: &str = "mast.test.v1";

/// Without fsync: a test process is killed, its machine is not.
pub(crate) fn quick() -> EmbeddedConfig {
    EmbeddedConfig {
        segment_bytes: 64 << 10,
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    }
}

pub(crate) fn open(dir: &Path) -> EmbeddedLog {
    open_with(dir, quick())
}

pub(crate) fn open_with(dir: &Path, config: EmbeddedConfig) -> EmbeddedLog {
    let log = EmbeddedLog::open(dir, config).unwrap();
    log.ensure_topic(&TopicSpec {
        name: TOPIC.to_owned(),
        partitions: 1,
    })
    .unwrap();
    log
}

pub(crate) fn record(body: impl Into<Vec<u8>>) -> Record {
    Record {
        key: "key".into(),
        headers: "headers".into(),
        body: body.into().into(),
    }
}

/// All bodies from `from` on.
pub(crate) fn bodies(log: &dyn Log, from: u64) -> Result<Vec<Vec<u8>>, LogError> {
    let mut out = Vec::new();
    loop {
        let some = log.read(TOPIC, 0, from + out.len() as u64, 64 << 10)?;
        if some.is_empty() {
            return Ok(out);
        }
        out.extend(some.into_iter().map(|entry| entry.record.body.to_vec()));
    }
}

/// The segment files of the one partition, oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let partition = dir.join("topics").join(TOPIC).join("0");
    let mut paths: Vec<_> = fs::read_dir(partition)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}
