//! Flags that several commands have.

use std::path::PathBuf;

use crate::config::{Flags, Kind};

/// Where the installation is, and its log.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the log of records is kept [default: embedded]
    #[arg(long, value_enum)]
    log: Option<Kind>,
    /// Some Kafka brokers; TLS and accounts are set in the configuration, section `log`.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
}

impl Place {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags
            .with("--data", "data", self.data.as_ref())?
            .with("--log", "log.kind", self.log.as_ref())?
            .with("--brokers", "log.brokers", self.brokers.as_ref())
    }
}
