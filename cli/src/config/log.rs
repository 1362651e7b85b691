//! The log of records: segment files in the data folder, or topics of Kafka.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use mast_log::{KafkaConfig, Login, Password, Security};
use serde::{Deserialize, Serialize};

use super::secret::{Secret, password};
use super::{Pace, Problem};

/// The most partitions: devices hash into as many shards.
const MAX_PARTITIONS: u32 = 1_024;
/// Partitions of a telemetry topic that is made in Kafka.
const KAFKA_PARTITIONS: u32 = 32;

/// The log of records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// Where it is kept.
    pub(crate) kind: Kind,
    /// Some brokers, as `host:port`, with commas.
    pub(crate) brokers: Option<String>,
    /// Stands before the name of every topic, for installations that share a cluster.
    pub(crate) topic_prefix: Option<String>,
    /// Whether the brokers are spoken to by TLS.
    pub(crate) tls: bool,
    /// PEM file of the authorities to trust instead of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// Name of the account.
    pub(crate) user: Option<String>,
    /// Its password,
    pub(crate) password: Option<Secret>,
    /// or the file that holds it.
    pub(crate) password_file: Option<PathBuf>,
    /// How it signs in.
    pub(crate) mechanism: Mechanism,
    /// Partitions of the telemetry topic, when it is made; 0 = the usual number.
    pub(crate) partitions: u32,
    /// Copies of each partition, when a topic is made; 0 = what the brokers' settings say.
    pub(crate) replication: u16,
    /// How long a broker is waited for before an attempt counts as failed.
    pub(crate) timeout: Pace,
}

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Segment files in the data folder, for one machine.
    Embedded,
    /// Topics of Apache Kafka or Redpanda.
    Kafka,
}

/// How an account signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mechanism {
    /// SASL/SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SASL/SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            kind: Kind::Embedded,
            brokers: None,
            topic_prefix: None,
            tls: false,
            ca: None,
            user: None,
            password: None,
            password_file: None,
            mechanism: Mechanism::ScramSha512,
            partitions: 0,
            replication: 0,
            timeout: Pace::seconds(10),
        }
    }
}

impl Log {
    /// Partitions of a telemetry topic that has to be made.
    pub(crate) const fn partitions(&self) -> u32 {
        match (self.partitions, self.kind) {
            (0, Kind::Embedded) => mast_schemas::topics::STANDALONE_PARTITIONS,
            (0, Kind::Kafka) => KAFKA_PARTITIONS,
            (set, _) => set,
        }
    }

    /// How the brokers are reached.
    pub(crate) fn kafka(&self) -> anyhow::Result<KafkaConfig> {
        let login = match (&self.user, self.password()?) {
            (Some(user), Some(password)) => Some(Login {
                user: user.clone(),
                password: Password::new(password.expose()),
                mechanism: match self.mechanism {
                    Mechanism::ScramSha256 => mast_log::Mechanism::Sha256,
                    Mechanism::ScramSha512 => mast_log::Mechanism::Sha512,
                },
            }),
            _ => None,
        };
        Ok(KafkaConfig {
            brokers: self.brokers.clone().unwrap_or_default(),
            topic_prefix: self.topic_prefix.clone().unwrap_or_default(),
            replication: (self.replication > 0).then_some(self.replication),
            security: if self.tls {
                let ca = self.ca.clone();
                Security::Tls { ca, login }
            } else {
                Security::Plain
            },
            timeout: self.timeout.0,
        })
    }

    fn password(&self) -> anyhow::Result<Option<Secret>> {
        password(self.password.as_ref(), self.password_file.as_deref())
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        let mut must = |key, holds: bool, what: &str| {
            if !holds {
                found.push((key, what.to_owned()));
            }
        };
        let brokers = self.brokers.as_deref().unwrap_or_default();
        must(
            "log.brokers",
            self.kind != Kind::Kafka || !brokers.is_empty(),
            "must name a broker as host:port where log.kind is kafka (--brokers)",
        );
        must(
            "log.brokers",
            brokers.is_empty() || brokers.split(',').all(is_address),
            "must be host:port, several with commas",
        );
        let prefix = self.topic_prefix.as_deref().unwrap_or_default();
        must(
            "log.topic_prefix",
            KafkaConfig::prefix_is_good(prefix),
            "must be at most 100 of a-z A-Z 0-9 . _ - and not begin with a dot",
        );
        must(
            "log.topic_prefix",
            prefix.is_empty() || self.kind == Kind::Kafka,
            "is of use where log.kind is kafka only",
        );
        let ca = self.ca.as_ref();
        must(
            "log.ca",
            ca.is_none_or(|ca| ca.is_file()),
            "must be a PEM file",
        );
        must(
            "log.ca",
            ca.is_none() || self.tls,
            "is of use with log.tls = true only",
        );
        must(
            "log.user",
            self.user.is_none() || self.tls,
            "needs log.tls = true: accounts sign in over TLS only",
        );
        match self.password() {
            Err(error) => must("log.password_file", false, &format!("{error:#}")),
            Ok(password) => must(
                "log.user",
                password.is_some() == self.user.is_some(),
                "must be set together with log.password or log.password_file",
            ),
        }
        must(
            "log.partitions",
            self.partitions <= MAX_PARTITIONS,
            "must be 1 to 1024, or 0 for the usual number",
        );
        must(
            "log.replication",
            self.replication <= 16,
            "must be 1 to 16, or 0 for the brokers' setting",
        );
        must(
            "log.timeout",
            (Duration::from_secs(1)..=Duration::from_secs(300)).contains(&self.timeout.0),
            "must be 1s to 5m",
        );
    }
}

fn is_address(text: &str) -> bool {
    text.trim()
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}
