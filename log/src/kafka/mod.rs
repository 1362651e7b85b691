//! The log as topics of Apache Kafka or Redpanda, for an installation of several machines.

mod client;
mod config;
mod producer;
mod reader;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, util::Timeout};

pub use self::config::{KafkaConfig, Login, MAX_RECORD_BYTES, Mechanism, Password, Security};

use self::client::{Context, lock};
use self::producer::{Producer, words};
use self::reader::Reader;
use crate::topic::{check, name_is_good};
use crate::{Ends, Entry, Log, LogError, Record, TopicSpec};

/// How often the client's own events are served while somebody waits.
const SERVE: Duration = Duration::from_millis(100);

/// A log in a Kafka cluster.
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
        let asked = log.reader.client().fetch_metadata(None, log.timeout());
        asked.map_err(|error| {
            // The context heard why the connection failed; the call itself only says that it did.
            let reason = log.context.health.trouble();
            log.broker("reach it", &reason.unwrap_or_else(|| words(&error)))
        })?;
        log.context.health.good();
        Ok(log)
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

    /// Asks the cluster how many partitions a topic has; `None` = there is none, or it is still being made.
    fn ask(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let metadata = self
            .reader
            .client()
            .fetch_metadata(Some(topic), self.timeout());
        let metadata =
            metadata.map_err(|error| self.broker("ask it for a topic", &words(&error)))?;
        self.context.health.good();
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        let Some(found) = found.filter(|t| t.error().is_none()) else {
            return Ok(None);
        };
        let led = found.partitions().iter().all(|p| p.leader() >= 0);
        let count = found.partitions().len() as u32;
        Ok((led && count > 0).then_some(count))
    }

    fn known(&self, topic: &str) -> Option<u32> {
        lock(&self.partitions).get(topic).copied()
    }

    /// Refuses a partition that doesn't exist.
    fn place(&self, topic: &str, partition: u32) -> Result<(), LogError> {
        let partitions = self.partitions(topic)?;
        if partition < partitions {
            return Ok(());
        }
        Err(LogError::PartitionMismatch {
            topic: topic.to_owned(),
            partitions,
            asked: partition,
        })
    }

    fn create(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let copies = self.config.replication.map_or(-1, i32::from);
        let max_bytes = (MAX_RECORD_BYTES + (1 << 20)).to_string();
        let topic = NewTopic::new(
            &spec.name,
            spec.partitions as i32,
            TopicReplication::Fixed(copies),
        )
        // We trim; the broker never drops anything by itself.
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1")
        .set("message.timestamp.type", "LogAppendTime")
        .set("max.message.bytes", &max_bytes);
        let made = block_on(self.admin.create_topics([&topic], &self.options()));
        let made = made.map_err(|error| self.broker("make a topic", &words(&error)))?;
        for result in made {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(self.broker("make a topic", &code.to_string())),
            }
        }
        Ok(())
    }
}

impl Log for KafkaLog {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        check(spec)?;
        let deadline = Instant::now() + self.config.timeout;
        let mut found = self.ask(&spec.name)?;
        if found.is_none() {
            self.create(spec)?;
        }
        while found.is_none() {
            if Instant::now() >= deadline {
                let reason = "the new topic has no leader yet";
                return Err(self.broker("make a topic", reason));
            }
            std::thread::sleep(Duration::from_millis(20));
            found = self.ask(&spec.name)?;
        }
        let partitions = found.unwrap_or(spec.partitions);
        lock(&self.partitions).insert(spec.name.clone(), partitions);
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
        if let Some(partitions) = self.known(topic) {
            return Ok(partitions);
        }
        let unknown = || LogError::UnknownTopic {
            topic: topic.to_owned(),
        };
        if !name_is_good(topic) {
            return Err(unknown());
        }
        let partitions = self.ask(topic)?.ok_or_else(unknown)?;
        lock(&self.partitions).insert(topic.to_owned(), partitions);
        Ok(partitions)
    }

    fn append(&self, topic: &str, partition: u32, records: &[Record]) -> Result<u64, LogError> {
        let mut results = self.append_all(topic, &[(partition, records)]);
        results
            .pop()
            .unwrap_or_else(|| Err(self.broker("append to it", "no answer")))
    }

    fn append_all(&self, topic: &str, appends: &[(u32, &[Record])]) -> Vec<Result<u64, LogError>> {
        let mut results = Vec::with_capacity(appends.len());
        let mut sent = Vec::new();
        for &(partition, records) in appends {
            let checked = self.place(topic, partition);
            results.push(match checked {
                Ok(()) if records.is_empty() => {
                    self.reader.ends(topic, partition).map(|ends| ends.next)
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
        results
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.place(topic, partition)?;
        self.reader.read(topic, partition, from, max_bytes)
    }

    fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError> {
        self.place(topic, partition)?;
        self.reader.ends(topic, partition)
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<(), LogError> {
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
        if let Err(error) = self.reader.commit(topic, places) {
            tracing::debug!(%error, topic, "progress was not committed to the broker");
        }
    }

    fn trouble(&self) -> Option<String> {
        self.context.health.trouble()
    }
}
