//! Sending of notifications.

use std::path::PathBuf;

use anyhow::Context;
use mast_notify::backoff::Bounds;
use mast_notify::guard::{Guard, Network};
use mast_notify::{Authority, Sender, SenderConfig};
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::commands::Pace;

/// How operators are told of incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Notify {
    /// Networks that channels may reach beside public addresses.
    pub(crate) allow_networks: Vec<String>,
    /// PEM file of authorities to trust beside the system's.
    pub(crate) ca: Option<PathBuf>,
    /// Time to look up, to connect and to agree on TLS, each.
    pub(crate) connect_timeout: Pace,
    /// Time for an attempt.
    pub(crate) timeout: Pace,
    /// Attempts of a delivery,
    pub(crate) attempts: u32,
    /// within this time.
    pub(crate) max_age: Pace,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            ca: None,
            connect_timeout: Pace::seconds(5),
            timeout: Pace::seconds(15),
            attempts: 12,
            max_age: Pace::seconds(86_400),
        }
    }
}

impl Notify {
    fn guard(&self) -> anyhow::Result<Guard> {
        let networks = self
            .allow_networks
            .iter()
            .map(|text| text.parse::<Network>());
        let networks = networks.collect::<Result<Vec<_>, _>>()?;
        Ok(Guard::new(networks))
    }

    fn authorities(&self) -> anyhow::Result<Vec<Authority>> {
        let Some(file) = &self.ca else {
            return Ok(Vec::new());
        };
        let pem = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        Ok(Authority::read(&pem)?)
    }

    /// What sends.
    pub(crate) fn sender(&self) -> anyhow::Result<Sender> {
        Ok(Sender::new(SenderConfig {
            guard: self.guard()?,
            authorities: self.authorities()?,
            connect: self.connect_timeout.0,
            whole: self.timeout.0,
            ..SenderConfig::default()
        }))
    }

    /// How long a delivery is tried for.
    pub(crate) const fn tries(&self) -> Bounds {
        Bounds {
            attempts: self.attempts,
            age: self.max_age.0,
        }
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        if let Err(error) = self.guard() {
            found.push((
                "notify.allow_networks",
                format!("must be networks: {error}"),
            ));
        }
        if let Err(error) = self.authorities() {
            found.push((
                "notify.ca",
                format!("must be a PEM file of certificates: {error:#}"),
            ));
        }
        let mut must = |key, holds: bool, what: &str| {
            if !holds {
                found.push((key, what.to_owned()));
            }
        };
        let limits = Pace::milliseconds(100).0..=Pace::seconds(60).0;
        for (key, pace) in [
            ("notify.connect_timeout", self.connect_timeout),
            ("notify.timeout", self.timeout),
        ] {
            must(key, limits.contains(&pace.0), "must be 100ms to 1m");
        }
        must(
            "notify.attempts",
            (1..=100).contains(&self.attempts),
            "must be 1 to 100",
        );
        let ages = Pace::seconds(60).0..=Pace::seconds(14 * 86_400).0;
        must(
            "notify.max_age",
            ages.contains(&self.max_age.0),
            "must be 1m to 336h",
        );
    }
}
