//! The log as topics of Apache Kafka or Redpanda, for an installation of several machines.

mod client;
mod config;
mod producer;
mod reader;
mod topics;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, util::Timeout};

pub use self::config::{
    KafkaConfig, Login, MAX_BUFFERED_BYTES, MAX_RECORD_BYTES, Mechanism, Password, Security,
};

use self::client::{Context, lock};
use self::producer::{Producer, words};
use self::reader::Reader;
use crate::topic::{check, name_is_good};
use crate::{Ends, Entry, Log, LogError, Record, TopicSpec};

/// How often the client's own events are served while somebody waits.
const SERVE: Duration = Duration::from_millis(100);

/// A log in a Kafka cluster.
///
/// A partition is fetched ahead of the one who reads it: several readers of the same partition each take a log of their own,
/// or each read begins a fetch anew.
///
/// Appends are acknowledged by all in-sync copies, by an idempotent producer. Topics keep everything until it is trimmed.
/// A broker that is away is waited for: appends and reads fail with [`LogError::Broker`] after
/// [`KafkaConfig::timeout`], and the next ones succeed when it is back.
pub struct KafkaLog {
    config: KafkaConfig,
    context: Context,
    admin: AdminClient<Context>,
    producer: Producer,
    reader: Reader,
    partitions: Mutex<HashMap<String, u32>>,
    trimmed: Mutex<HashMap<(String, u32), u64>>,
}

impl KafkaLog {
    /// Connects, and asks the cluster for its brokers.
    ///
    /// # Errors
    /// [`LogError::Broker`] if the settings can't be used or no broker answers in time.
    pub fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        let context = Context::new();
        let admin = config.admin().create_with_context(context.clone());
        let admin = admin.map_err(|error: KafkaError| {
            LogError::broker("set up a client for it", &config.brokers, &words(&error))
        })?;
        let log = Self {
            producer: Producer::new(&config, &context)?,
            reader: Reader::new(&config, &context)?,
            config,
            context,
            admin,
            partitions: Mutex::default(),
            trimmed: Mutex::default(),
        };
        let deadline = Instant::now() + log.config.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(error) = log.reader.client().fetch_metadata(None, left) else {
                break;
            };
            // The context hears why the connection failed; the call itself only says that it did.
            log.reader.serve();
            if Instant::now() >= deadline {
                let reason = log.context.health.trouble();
                return Err(log.broker("reach it", &reason.unwrap_or_else(|| words(&error))));
            }
            std::thread::sleep(SERVE);
        }
        log.context.health.good();
        Ok(log)
    }

    /// Bytes that wait in memory for their readers, in all and of the partition with the most, and how often they were
    /// counted: once a second, while somebody waits for the log.
    pub fn buffered_bytes(&self) -> (u64, u64, u64) {
        let buffered = &self.context.buffered;
        let [bytes, most, counted] =
            [&buffered.bytes, &buffered.most, &buffered.counted].map(|count| count.load(SeqCst));
        (bytes, most, counted)
    }

    fn timeout(&self) -> Timeout {
        Timeout::After(self.config.timeout)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.config.timeout))
            .operation_timeout(Some(self.config.timeout))
    }

    fn broker(&self, action: &'static str, reason: &str) -> LogError {
        self.context.health.bad(reason);
        LogError::broker(action, &self.config.brokers, reason)
    }

    fn known(&self, topic: &str) -> Option<u32> {
        lock(&self.partitions).get(topic).copied()
    }

    /// What a topic is called in the cluster. Everything but the methods of [`Log`] knows only these names.
    fn named<'t>(&self, topic: &'t str) -> Cow<'t, str> {
        match self.config.topic_prefix.as_str() {
            "" => topic.into(),
            prefix => format!("{prefix}{topic}").into(),
        }
    }

    /// The same error, with the name by which its topic was asked for.
    fn asked(&self, error: LogError) -> LogError {
        let bare = |topic: String| match topic.strip_prefix(&self.config.topic_prefix) {
            Some(bare) => bare.to_owned(),
            None => topic,
        };
        match error {
            LogError::UnknownTopic { topic } => LogError::UnknownTopic { topic: bare(topic) },
            LogError::PartitionMismatch {
                topic,
                partitions,
                asked,
            } => LogError::PartitionMismatch {
                topic: bare(topic),
                partitions,
                asked,
            },
            // What has to be changed in the cluster is called as it is there.
            other => other,
        }
    }

    /// How many partitions a topic has.
    fn count(&self, topic: &str) -> Result<u32, LogError> {
        if let Some(partitions) = self.known(topic) {
            return Ok(partitions);
        }
        let unknown = || LogError::UnknownTopic {
            topic: topic.to_owned(),
        };
        if !name_is_good(topic) {
            return Err(unknown());
        }
        let partitions = self.ask(topic)?.ok_or_else(unknown)?.partitions;
        lock(&self.partitions).insert(topic.to_owned(), partitions);
        Ok(partitions)
    }

    /// Refuses a partition that doesn't exist.
    fn place(&self, topic: &str, partition: u32) -> Result<(), LogError> {
        let partitions = self.count(topic).map_err(|error| self.asked(error))?;
        if partition < partitions {
            return Ok(());
        }
        Err(self.asked(LogError::PartitionMismatch {
            topic: topic.to_owned(),
            partitions,
            asked: partition,
        }))
    }
}

impl Log for KafkaLog {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        check(spec)?;
        let named = TopicSpec {
            name: self.named(&spec.name).into_owned(),
            partitions: spec.partitions,
        };
        check(&named)?;
        let partitions = self.made(&named)?;
        lock(&self.partitions).insert(named.name, partitions);
        if partitions == spec.partitions {
            return Ok(());
        }
        Err(LogError::PartitionMismatch {
            topic: spec.name.clone(),
            partitions,
            asked: spec.partitions,
        })
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let counted = self.count(&self.named(topic));
        counted.map_err(|error| self.asked(error))
    }

    fn append(&self, topic: &str, partition: u32, records: &[Record]) -> Result<u64, LogError> {
        let mut results = self.append_all(topic, &[(partition, records)]);
        results
            .pop()
            .unwrap_or_else(|| Err(self.broker("append to it", "no answer")))
    }

    fn append_all(&self, topic: &str, appends: &[(u32, &[Record])]) -> Vec<Result<u64, LogError>> {
        let topic = &*self.named(topic);
        let mut results = Vec::with_capacity(appends.len());
        let (mut sent, mut asked) = (Vec::new(), Vec::new());
        for &(partition, records) in appends {
            let checked = self.place(topic, partition);
            results.push(match checked {
                Ok(()) if records.is_empty() => {
                    asked.push((results.len(), partition));
                    Ok(0)
                }
                Ok(()) => {
                    sent.push((results.len(), partition, records));
                    Ok(0)
                }
                Err(error) => Err(error),
            });
        }
        let batches: Vec<_> = sent.iter().map(|&(_, p, records)| (p, records)).collect();
        let outcomes = self.producer.append(topic, &batches);
        for ((index, partition, records), outcome) in sent.into_iter().zip(outcomes) {
            if let Ok(first) = outcome {
                self.reader
                    .appended(topic, partition, first + records.len() as u64);
            }
            results[index] = outcome;
        }
        for (index, partition) in asked {
            results[index] = self.reader.ends(topic, partition).map(|ends| ends.next);
        }
        results
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let topic = &*self.named(topic);
        self.place(topic, partition)?;
        self.reader.read(topic, partition, from, max_bytes)
    }

    fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError> {
        let topic = &*self.named(topic);
        self.place(topic, partition)?;
        self.reader.ends(topic, partition)
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<(), LogError> {
        let topic = &*self.named(topic);
        self.place(topic, partition)?;
        let key = (topic.to_owned(), partition);
        let done = lock(&self.trimmed).get(&key).copied().unwrap_or(0);
        if before <= done {
            return Ok(());
        }
        let ends = self.reader.ends(topic, partition)?;
        let before = before.min(ends.next);
        if before > ends.first {
            let mut list = TopicPartitionList::new();
            let failed = |error: &KafkaError| self.broker("trim a topic", &words(error));
            list.add_partition_offset(topic, partition as i32, Offset::Offset(before as i64))
                .map_err(|error| failed(&error))?;
            let deleted = block_on(self.admin.delete_records(&list, &self.options()));
            let deleted = deleted.map_err(|error| failed(&error))?;
            for element in deleted.elements() {
                element.error().map_err(|error| failed(&error))?;
            }
        }
        lock(&self.trimmed).insert(key, before.max(ends.first));
        Ok(())
    }

    fn sync(&self) -> Result<(), LogError> {
        // Every append was acknowledged by all in-sync copies.
        Ok(())
    }

    fn wait(&self, seen_appends: u64, timeout: Duration) -> u64 {
        let end = Instant::now() + timeout;
        loop {
            self.reader.serve();
            let left = end.saturating_duration_since(Instant::now());
            let count = self.context.bell.wait(seen_appends, left.min(SERVE));
            if count > seen_appends || left.is_zero() {
                return count;
            }
        }
    }

    fn consumed(&self, topic: &str, places: &[u64]) {
        let topic = &*self.named(topic);
        if let Err(error) = self.reader.commit(topic, places) {
            tracing::debug!(%error, topic, "progress was not committed to the broker");
        }
    }

    fn trouble(&self) -> Option<String> {
        self.context.health.trouble()
    }
}
