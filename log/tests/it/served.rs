//! A log behind a socket is a log: the same suite, and what only it has to get right.

use std::sync::Arc;
use std::time::Duration;

use mast_log::{
    EmbeddedLog, Ends, Entry, Log, LogError, LogServer, Record, ServedLog, TopicSpec, conformance,
};

use crate::support::quick;

/// The asking side with its owner behind it, as if in another process. Dropped in this order.
struct Both {
    asking: ServedLog,
    _owner: LogServer,
}

fn both(dir: &std::path::Path) -> Both {
    let log = Arc::new(EmbeddedLog::open(dir, quick()).unwrap());
    let owner = LogServer::start(log, dir.join("socket")).unwrap();
    Both {
        asking: ServedLog::connect(dir.join("socket")).unwrap(),
        _owner: owner,
    }
}

impl Log for Both {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.asking.ensure_topic(spec)
    }
    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.asking.partitions(topic)
    }
    fn append(&self, topic: &str, partition: u32, records: &[Record]) -> Result<u64, LogError> {
        self.asking.append(topic, partition, records)
    }
    fn read(&self, topic: &str, p: u32, from: u64, most: usize) -> Result<Vec<Entry>, LogError> {
        self.asking.read(topic, p, from, most)
    }
    fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError> {
        self.asking.ends(topic, partition)
    }
    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<(), LogError> {
        self.asking.trim(topic, partition, before)
    }
    fn sync(&self) -> Result<(), LogError> {
        self.asking.sync()
    }
    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.asking.wait(seen, timeout)
    }
}

#[test]
fn it_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::run(|| Box::new(both(dir.path())));
}

#[test]
fn an_owner_that_went_is_away_and_one_that_came_back_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    assert!(matches!(
        ServedLog::connect(&socket),
        Err(LogError::Away { .. })
    ));
    let Both { asking, _owner } = both(dir.path());
    let spec = TopicSpec {
        name: "t".to_owned(),
        partitions: 2,
    };
    asking.ensure_topic(&spec).unwrap();
    assert_eq!(asking.append("t", 1, &[Record::default()]).unwrap(), 0);
    drop(_owner);
    let away = asking.append("t", 1, &[Record::default()]).unwrap_err();
    assert!(away.is_passing(), "{away}");
    let _back = both(dir.path());
    assert_eq!(asking.append("t", 1, &[Record::default()]).unwrap(), 1);
    assert_eq!(asking.partitions("t").unwrap(), 2);
}
