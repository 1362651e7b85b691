//! The commands, one file each.

mod alerts;
mod api;
mod bench;
mod config;
mod dataflow;
mod decode;
mod demo;
mod device;
mod export;
mod import;
mod ingest;
mod lake;
mod link;
mod query;
mod rules;
mod schema;
mod shared;
mod simulate;
pub(crate) mod site;
mod status;
pub(crate) mod tenant;
mod token;
mod up;
mod verify;
mod watch;

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Effective, Flags};

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine with a simulated fleet, and show the views live.
    Demo(demo::Args),
    /// Run a whole installation on this machine, for real devices.
    Up(up::Args),
    /// Keep the views, as a process of its own.
    Dataflow(dataflow::Args),
    /// Poll the devices, as a process of its own.
    Ingest(ingest::Args),
    /// Serve the API, as a process of its own.
    Api(api::Args),
    /// Make and list tenants.
    Tenant(tenant::Args),
    /// Make, list and take back the tokens that requests of the API bear.
    Token(token::Args),
    /// Make, list and show sites.
    Site(site::Args),
    /// Add, list and show devices.
    Device(device::Args),
    /// List links, the worst first.
    Link(link::Args),
    /// List alerts, acknowledge, silence and resolve them.
    Alerts(alerts::Args),
    /// List alert rules, and check those of a file.
    Rules(rules::Args),
    /// Follow views as they change.
    Watch(watch::Args),
    /// Run a simulated fleet alone, or talk to a running one.
    Simulate(simulate::Args),
    /// Read an inventory file into an installation's database.
    Import(import::Args),
    /// Write the inventory of a tenant, as JSON or CSV.
    Export(export::Args),
    /// Turn recorded RouterOS replies (JSON lines) into typed rows (JSON lines).
    Decode(decode::Args),
    /// Run a read-only SQL query over the views and the history.
    Query(query::Args),
    /// Recompute the views from the log and compare them with what is served.
    Verify(verify::Args),
    /// Look after the files of history.
    Lake(lake::Args),
    /// Show how each part of an installation is, why, and what to do.
    Status(status::Args),
    /// Show the record kinds with their columns, types and units.
    Schema(schema::Args),
    /// Show the configuration that holds here, and where each value was set.
    Config(config::Args),
    /// Measure a part; prints one JSON object.
    Bench(bench::Args),
    /// Print a completion script for a shell: `mast completions bash > /etc/bash_completion.d/mast`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// The flags that set a key of the configuration.
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        match self {
            Self::Demo(args) => args.flags(flags),
            Self::Dataflow(args) => args.flags(flags),
            Self::Ingest(args) => args.flags(flags),
            Self::Api(args) => args.flags(flags),
            Self::Token(args) => args.flags(flags),
            Self::Tenant(args) => args.flags(flags),
            Self::Site(args) => args.flags(flags),
            Self::Device(args) => args.flags(flags),
            Self::Link(args) => args.flags(flags),
            Self::Alerts(args) => args.flags(flags),
            Self::Rules(args) => args.flags(flags),
            Self::Watch(args) => args.flags(flags),
            Self::Up(args) => args.flags(flags),
            Self::Export(args) => args.flags(flags),
            Self::Simulate(args) => args.flags(flags),
            Self::Import(args) => args.flags(flags),
            Self::Query(args) => args.flags(flags),
            Self::Bench(args) => args.flags(flags),
            Self::Verify(args) => args.flags(flags),
            Self::Lake(args) => args.flags(flags),
            Self::Status(args) => args.flags(flags),
            _ => Ok(flags),
        }
    }

    /// Runs the command; its code is the process's.
    pub(crate) fn run(
        self,
        effective: &Effective,
        cli: &mut clap::Command,
    ) -> anyhow::Result<ExitCode> {
        let config = &effective.config;
        match self {
            Self::Demo(args) => block_on(args.run(config)),
            Self::Dataflow(args) => block_on(args.run(config)),
            Self::Ingest(args) => block_on(args.run(config)),
            Self::Api(args) => block_on(args.run(config)),
            Self::Token(args) => block_on(args.run(config)),
            Self::Tenant(args) => block_on(args.run(config)),
            Self::Site(args) => block_on(args.run(config)),
            Self::Device(args) => block_on(args.run(config)),
            Self::Link(args) => block_on(args.run(config)),
            Self::Alerts(args) => block_on(args.run(config)),
            Self::Rules(args) => block_on(args.run(config)),
            Self::Watch(args) => block_on(args.run(config)),
            Self::Up(args) => block_on(args.run(config)),
            Self::Export(args) => block_on(args.run(config)),
            Self::Simulate(args) => block_on(args.run(config)),
            Self::Import(args) => block_on(args.run(config)),
            Self::Decode(args) => args.run(),
            Self::Query(args) => block_on(args.run(config)),
            Self::Verify(args) => block_on(args.run(config)),
            Self::Lake(args) => block_on(args.run(config)),
            Self::Status(args) => block_on(args.run(config)),
            Self::Config(args) => args.run(effective),
            Self::Schema(args) => args.run(),
            Self::Bench(args) => args.run(config),
            Self::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, cli, "mast", &mut script);
                crate::output::write(|out| out.write_all(&script))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(work);
    // A blocked helper thread must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A duration as people write it: `250ms`, `2s`, `1m30s`, `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace(pub(crate) Duration);

impl Pace {
    /// So many seconds.
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub(crate) const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match (ms % 1_000, ms / 1_000) {
            (0, s) if s > 0 && s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            (0, s) if s > 0 && s % 60 == 0 => write!(f, "{}m", s / 60),
            (0, s) => write!(f, "{s}s"),
            _ => write!(f, "{ms}ms"),
        }
    }
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a duration; write it like 250ms, 2s, 1m30s or 2h");
        let (mut total, mut rest) = (Duration::ZERO, text.trim());
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
            let unit_end = rest[digits..]
                .find(|c: char| c.is_ascii_digit())
                .map_or(rest.len(), |i| digits + i);
            let seconds = match &rest[digits..unit_end] {
                "ms" => 0.001,
                "s" | "" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return Err(bad()),
            };
            total += Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())?;
            rest = &rest[unit_end..];
        }
        Ok(Self(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        let ms = |text: &str| text.parse::<Pace>().map(|p| p.0.as_millis());
        assert_eq!(ms("250ms"), Ok(250));
        assert_eq!(ms("2s"), Ok(2_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("1.5h"), Ok(5_400_000));
        assert_eq!(ms("60"), Ok(60_000));
        for pace in [
            Pace::milliseconds(250),
            Pace::seconds(90),
            Pace::seconds(120),
        ] {
            assert_eq!(pace.to_string().parse(), Ok(pace));
        }
        for bad in ["", "s", "2x", "1..5s", "-3s"] {
            assert!(ms(bad).is_err(), "{bad}");
        }
    }
}
