//! Topics: which there are, how they are made, and whether one that somebody else made will do.

use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaLog;
use super::config::MAX_MESSAGE_BYTES;
use super::producer::words;
use crate::{LogError, TopicSpec};

/// How often a new topic is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// A trim frees whole segments, so they are small,
const SEGMENT_BYTES: &str = "67108864";
/// also those of quiet topics: one hour.
const SEGMENT_MS: &str = "3600000";

/// A topic that is there.
pub(super) struct Found {
    pub(super) partitions: u32,
    /// Whether each partition has a leader.
    led: bool,
}

impl KafkaLog {
    /// Asks the cluster for a topic.
    pub(super) fn ask(&self, topic: &str) -> Result<Option<Found>, LogError> {
        let client = self.reader.client();
        let metadata = client.fetch_metadata(Some(topic), self.timeout());
        let metadata =
            metadata.map_err(|error| self.broker("ask it for a topic", &words(&error)))?;
        self.context.health.good();
        let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else {
            return Ok(None);
        };
        if let Some(error) = found.error() {
            let code = RDKafkaErrorCode::from(error);
            return match code {
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                    Ok(None)
                }
                code => Err(self.broker("ask it for a topic", &code.to_string())),
            };
        }
        let partitions = found.partitions().len() as u32;
        let led = found.partitions().iter().all(|p| p.leader() >= 0);
        Ok((partitions > 0).then_some(Found { partitions, led }))
    }

    /// Makes a topic if it is not there; how many partitions it has.
    pub(super) fn made(&self, spec: &TopicSpec) -> Result<u32, LogError> {
        let deadline = Instant::now() + self.config.timeout;
        if self.ask(&spec.name)?.is_some() || !self.create(spec)? {
            self.inspect(&spec.name)?;
        }
        loop {
            if let Some(found) = self.ask(&spec.name)?.filter(|found| found.led) {
                return Ok(found.partitions);
            }
            if Instant::now() >= deadline {
                return Err(self.broker("make a topic", "the topic has no leader"));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// False if somebody else made it.
    fn create(&self, spec: &TopicSpec) -> Result<bool, LogError> {
        let copies = self.config.replication.map_or(-1, i32::from);
        let max_bytes = MAX_MESSAGE_BYTES.to_string();
        let copies_fixed = TopicReplication::Fixed(copies);
        let mut topic = NewTopic::new(&spec.name, spec.partitions as i32, copies_fixed)
            // We trim; the broker never drops anything by itself.
            .set("cleanup.policy", "delete")
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("segment.bytes", SEGMENT_BYTES)
            .set("segment.ms", SEGMENT_MS)
            .set("message.timestamp.type", "LogAppendTime")
            .set("max.message.bytes", &max_bytes);
        if copies >= 3 {
            // Acknowledged is what two have: one broker may be lost.
            topic = topic.set("min.insync.replicas", "2");
        }
        let made = block_on(self.admin.create_topics([&topic], &self.options()));
        let made = made.map_err(|error| self.broker("make a topic", &words(&error)))?;
        match made.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(self.broker("make a topic", &code.to_string())),
            _ => Ok(true),
        }
    }

    /// Whether a topic that is there keeps what it is given. Who may not look at its settings is not told.
    fn inspect(&self, topic: &str) -> Result<(), LogError> {
        let asked = [ResourceSpecifier::Topic(topic)];
        let settings = block_on(self.admin.describe_configs(&asked, &self.options()));
        let settings =
            settings.map_err(|error| self.broker("ask it for a topic", &words(&error)))?;
        let Some(Ok(settings)) = settings.into_iter().next() else {
            tracing::debug!(topic, "the topic's settings may not be looked at");
            return Ok(());
        };
        let value = |name: &str| settings.get(name).and_then(|entry| entry.value.as_deref());
        let refused = |reason| {
            Err(LogError::InvalidTopic {
                topic: topic.to_owned(),
                reason,
            })
        };
        if value("cleanup.policy").is_some_and(|policy| policy != "delete") {
            return refused(
                "it is there with another cleanup.policy than delete: the broker would drop records that are needed; \\
                 change it with kafka-configs, or delete the topic",
            );
        }
        let bytes = value("max.message.bytes").and_then(|bytes| bytes.parse::<u64>().ok());
        if bytes.is_some_and(|bytes| bytes < MAX_MESSAGE_BYTES) {
            return refused(
                "it is there with a max.message.bytes below 17825792: raise it with kafka-configs, or delete the topic",
            );
        }
        for name in ["retention.ms", "retention.bytes"] {
            if let Some(limit) = value(name).filter(|limit| *limit != "-1") {
                tracing::warn!(
                    topic,
                    name,
                    limit,
                    "the broker drops records of this topic by itself, also such as are still needed: set it to -1"
                );
            }
        }
        Ok(())
    }
}
