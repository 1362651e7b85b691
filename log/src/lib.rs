#![doc = include_str!("../README.md")]

pub mod conformance;
#[cfg(feature = "dev-broker")]
pub mod dev_broker;
mod embedded;
mod error;
pub mod fault;
#[cfg(feature = "kafka")]
mod kafka;
mod metered;
mod record;
mod served;
mod topic;

use std::time::Duration;

pub use embedded::{EmbeddedConfig, EmbeddedLog, Fsync, MAX_BATCH_BYTES};
pub use error::LogError;
#[cfg(feature = "kafka")]
pub use kafka::{
    KafkaConfig, KafkaLog, Login, MAX_BUFFERED_BYTES, MAX_RECORD_BYTES, Mechanism, Password,
    Security,
};
pub use metered::Metered;
pub use record::{Ends, Entry, Record, TopicSpec};
pub use served::{LogServer, ServedLog};
pub use topic::MAX_PARTITIONS;

/// A durable, partitioned, append-only log.
///
/// Blocking: call it from a plain thread or from `spawn_blocking`. All methods may be called from
/// many threads at once. Within a partition, offsets rise by one from record to record, without
/// holes, and a record never changes once it could be read.
pub trait Log: Send + Sync {
    /// Makes the topic if it does not exist.
    ///
    /// # Errors
    /// [`LogError::PartitionMismatch`] if it exists with another partition count,
    /// [`LogError::InvalidTopic`] if the name or the count can't be used.
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError>;

    /// How many partitions the topic has; they are numbered from 0.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    fn partitions(&self, topic: &str) -> Result<u32, LogError>;

    /// Appends all records, next to each other, or none; returns the offset of the first. When it
    /// returns they are durable as the implementation's policy says. With no records it writes
    /// nothing and returns the next offset.
    ///
    /// # Errors
    /// [`LogError::Full`] and [`LogError::TooLarge`]: nothing was written. After
    /// [`LogError::Io`] and [`LogError::Broker`] the records may or may not be there.
    fn append(&self, topic: &str, partition: u32, records: &[Record]) -> Result<u64, LogError>;

    /// Several appends, each to a partition of its own, as [`Log::append`] does one; their results in the same order. Where
    /// an append waits for somebody else, they wait together.
    fn append_all(&self, topic: &str, appends: &[(u32, &[Record])]) -> Vec<Result<u64, LogError>> {
        let one = |&(partition, records): &(u32, &[Record])| self.append(topic, partition, records);
        appends.iter().map(one).collect()
    }

    /// The records from offset `from` on, in order, as many as fit in `max_bytes` of keys, headers
    /// and bodies, but at least one if there is one. Never waits for records to be appended; empty at the end of the log,
    /// which is at least what [`Log::ends`] said last and what this log appended.
    ///
    /// # Errors
    /// [`LogError::Gap`] if `from` was trimmed away, [`LogError::Ahead`] if `from` is past the
    /// next offset to be written: the log lost records that somebody has already read.
    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError>;

    /// The earliest kept offset and the next one to be written.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::PartitionMismatch`].
    fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError>;

    /// Allows the log to drop records with offsets below `before`. It may keep some of them
    /// (storage is given back in whole segments); it never drops `before` or what follows.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`], [`LogError::PartitionMismatch`], [`LogError::Io`].
    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<(), LogError>;

    /// Makes everything appended so far, in all partitions, safe against power loss.
    ///
    /// # Errors
    /// [`LogError::Io`]: appends since the last good sync may be lost on power failure.
    fn sync(&self) -> Result<(), LogError>;

    /// Sleeps until something was appended to any partition. Returns the append counter as soon as
    /// it is greater than `seen_appends`, or as it is after `timeout`.
    ///
    /// The counter starts above 0, so this loop misses nothing: `seen = 0`, then again and again
    /// `seen = log.wait(seen, timeout)` and read every partition to its end.
    fn wait(&self, seen_appends: u64, timeout: Duration) -> u64;

    /// Tells how far a topic is consumed for good, by partition, for those who graph the lag of consumers. Nothing else
    /// comes of it.
    fn consumed(&self, topic: &str, places: &[u64]) {
        let _ = (topic, places);
    }

    /// What keeps the log from working now, in words; `None` = nothing is known.
    fn trouble(&self) -> Option<String> {
        None
    }
}
