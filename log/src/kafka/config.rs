//! Where the broker is and how it is talked to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::topic::name_is_good;

/// The most bytes that key, headers and body of one record may have together; topics are made to take it.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

/// What a record and its batch need beside [`MAX_RECORD_BYTES`].
const ROOM: u64 = 1 << 20;
/// The most that a batch of a topic must be allowed to have.
pub(super) const MAX_MESSAGE_BYTES: u64 = MAX_RECORD_BYTES + ROOM;
/// Fetching of a partition pauses while so much of it waits for its reader,
const QUEUED_BYTES: u64 = 8 << 20;
/// and one fetch brings so much, or one batch.
const FETCH_BYTES: u64 = 4 << 20;
/// The most that waits in memory for the reader of one partition.
pub const MAX_BUFFERED_BYTES: u64 = QUEUED_BYTES + MAX_MESSAGE_BYTES;

/// A cluster of Apache Kafka 2.4 or newer, or of Redpanda.
#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// Some of its brokers, as `host:port`, with commas.
    pub brokers: String,
    /// Stands before the name of every topic and of the group, for installations that share a cluster; empty = alone there.
    pub topic_prefix: String,
    /// Copies of each partition of the topics that are made; `None` = what the broker's settings say.
    pub replication: Option<u16>,
    /// How it is encrypted and who we are.
    pub security: Security,
    /// How long an append or a question waits for the broker before it fails.
    pub timeout: Duration,
}

/// Transport to the brokers.
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Neither encrypted nor signed in: for a broker on the same machine.
    #[default]
    Plain,
    /// TLS, with a name and a password where the broker asks for them.
    Tls {
        /// PEM file of the authorities to trust; `None` = those of the system.
        ca: Option<PathBuf>,
        /// SASL/SCRAM, which is never used without TLS.
        login: Option<Login>,
    },
}

/// A SASL/SCRAM account.
#[derive(Clone, Debug)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Its hash.
    pub mechanism: Mechanism,
}

/// The hash of SASL/SCRAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mechanism {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    #[default]
    Sha512,
}

/// A password. It prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Bytes of a prefix; a name may have twice as many.
const MAX_PREFIX_BYTES: usize = 100;

impl KafkaConfig {
    /// Whether it may stand before the names of topics: at most 100 of a-z A-Z 0-9 . _ -, and no dot first.
    pub fn prefix_is_good(prefix: &str) -> bool {
        prefix.is_empty() || prefix.len() <= MAX_PREFIX_BYTES && name_is_good(prefix)
    }

    /// A cluster reached without encryption.
    pub fn plain(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topic_prefix: String::new(),
            replication: None,
            security: Security::Plain,
            timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn timeout_ms(&self) -> String {
        self.timeout.as_millis().to_string()
    }

    /// What all clients share.
    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "mast")
            .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
            // A machine that is gone sends no refusal: requests to it must end when those to a stopped broker would.
            .set(
                "socket.timeout.ms",
                self.timeout.as_millis().max(2_000).to_string(),
            )
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            // A broker that was given up for long is met as fast as one that was not.
            .set("topic.metadata.refresh.fast.interval.ms", "100")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        match &self.security {
            Security::Plain => {
                config.set("security.protocol", "plaintext");
            }
            Security::Tls { ca, login } => {
                if let Some(ca) = ca {
                    config.set("ssl.ca.location", ca.to_string_lossy());
                }
                config.set("ssl.endpoint.identification.algorithm", "https");
                match login {
                    None => {
                        config.set("security.protocol", "ssl");
                    }
                    Some(login) => {
                        let mechanism = match login.mechanism {
                            Mechanism::Sha256 => "SCRAM-SHA-256",
                            Mechanism::Sha512 => "SCRAM-SHA-512",
                        };
                        config
                            .set("security.protocol", "sasl_ssl")
                            .set("sasl.mechanism", mechanism)
                            .set("sasl.username", &login.user)
                            .set("sasl.password", &login.password.0);
                    }
                }
            }
        }
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.common()
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "zstd")
            // Appends bring whole batches; this only joins those of partitions that go to one broker.
            .set("linger.ms", "2")
            .set("batch.size", MAX_MESSAGE_BYTES.to_string())
            .set("message.timeout.ms", self.timeout_ms())
            .set("queue.buffering.max.kbytes", (256 << 10).to_string());
        config
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            // Partitions are assigned by us; the group is where progress is committed for lag graphs.
            .set("group.id", format!("{}mast", self.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.message.max.bytes", FETCH_BYTES.to_string())
            .set("fetch.max.bytes", (64 << 20).to_string())
            .set("receive.message.max.bytes", (80 << 20).to_string())
            // Per partition: enough to keep a reader busy, little enough for many partitions.
            .set(
                "queued.max.messages.kbytes",
                (QUEUED_BYTES >> 10).to_string(),
            )
            .set("queued.min.messages", "10000")
            .set("statistics.interval.ms", "1000");
        config
    }
}
