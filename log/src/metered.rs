//! A log that counts what goes through it.

use std::sync::Arc;
use std::time::Duration;

use mast_schemas::metric::Metric;

use crate::{Ends, Entry, Log, LogError, Record, TopicSpec};

/// Any log, with its appends counted as [`Metric`]s.
pub struct Metered(Arc<dyn Log>);

impl Metered {
    /// Counts what goes through `log`.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self(log)
    }
}

fn count(topic: &str, partition: u32, records: &[Record], done: &Result<u64, LogError>) {
    match done {
        Ok(first) => {
            let bytes: usize = records.iter().map(Record::size_bytes).sum();
            Metric::LogAppends.add(&[topic], 1);
            Metric::LogAppended.add(&[topic], bytes as u64);
            let next = first + records.len() as u64;
            Metric::LogEnd.set_count(&[topic, &partition.to_string()], next);
        }
        Err(_) => Metric::LogRefused.add(&[topic], 1),
    }
}

impl Log for Metered {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.0.ensure_topic(spec)
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        self.0.partitions(topic)
    }

    fn append(&self, topic: &str, partition: u32, records: &[Record]) -> Result<u64, LogError> {
        let done = self.0.append(topic, partition, records);
        count(topic, partition, records, &done);
        done
    }

    fn append_all(&self, topic: &str, appends: &[(u32, &[Record])]) -> Vec<Result<u64, LogError>> {
        let all = self.0.append_all(topic, appends);
        for ((partition, records), done) in appends.iter().zip(&all) {
            count(topic, *partition, records, done);
        }
        all
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.0.read(topic, partition, from, max_bytes)
    }

    fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError> {
        self.0.ends(topic, partition)
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<(), LogError> {
        self.0.trim(topic, partition, before)?;
        Metric::LogTrimmed.set_count(&[topic, &partition.to_string()], before);
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        self.0.sync()
    }

    fn wait(&self, seen_appends: u64, timeout: Duration) -> u64 {
        self.0.wait(seen_appends, timeout)
    }

    fn consumed(&self, topic: &str, places: &[u64]) {
        self.0.consumed(topic, places);
    }

    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
}
