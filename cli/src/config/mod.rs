//! The configuration: defaults < `mast.toml` < environment `MAST_…` < flags.
//!
//! One struct a concern; the keys, their types and their defaults are these structs and nothing else. A key that nobody
//! knows is an error that names the key and where it stands: a setting that is misspelt must never be a setting that is
//! silently not made. All values are checked before anything starts.
//!
//! Secrets are of a type that does not print; where values are shown, theirs are hidden.

mod api;
mod ingest;
mod lake;
mod layers;
mod load;
mod log;
mod metrics;
mod notify;
mod postgres;
mod secret;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use self::api::Api;
pub(crate) use self::ingest::Ingest;
pub(crate) use self::lake::Lake;
pub(crate) use self::layers::Flags;
pub(crate) use self::load::{Effective, is_secret, load};
pub(crate) use self::log::{Kind, Log};
pub(crate) use self::metrics::Metrics;
pub(crate) use self::notify::Notify;
pub(crate) use self::postgres::Postgres;
use crate::commands::Pace;

/// A key, and what its value must be.
type Problem = (&'static str, String);

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The data folder.
    pub(crate) data: PathBuf,
    pub(crate) logging: Logging,
    pub(crate) log: Log,
    pub(crate) postgres: Postgres,
    pub(crate) metrics: Metrics,
    pub(crate) demo: Demo,
    pub(crate) simulator: Simulator,
    pub(crate) ingest: Ingest,
    pub(crate) dataflow: Dataflow,
    pub(crate) lake: Lake,
    pub(crate) query: Query,
    pub(crate) api: Api,
    pub(crate) notify: Notify,
}

/// Log lines of this process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logging {
    /// A level, or a filter such as `mast_ingest=debug`.
    pub(crate) level: String,
    /// As JSON lines.
    pub(crate) json: bool,
}

/// What `mast demo` alone has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Demo {
    /// Interval of the polls.
    pub(crate) interval: Pace,
}

/// The virtual fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Simulator {
    /// Managed devices.
    pub(crate) devices: usize,
    /// Towers that they are on; 0 = as many as the mix wants.
    pub(crate) towers: usize,
    /// Seed of everything.
    pub(crate) seed: u64,
    /// Scenario file.
    pub(crate) scenario: Option<PathBuf>,
}

/// The dataflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dataflow {
    /// Worker threads.
    pub(crate) workers: usize,
    /// How often gauges are written at most.
    pub(crate) gauge_interval: Pace,
    /// How often the lake is committed.
    pub(crate) lake_every: Pace,
    /// Memory for rows that wait for the lake, in MiB.
    pub(crate) lake_buffer_mib: usize,
    /// Where queries ask for rows that are in no file yet: an address with a port, or `off`.
    pub(crate) tail_listen: String,
    /// How often checkpoints are taken.
    pub(crate) checkpoint_every: Pace,
    /// Go on where the log lost records that were needed.
    pub(crate) accept_gap: bool,
}

/// Limits of SQL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Query {
    /// See only this tenant's rows.
    pub(crate) tenant: Option<String>,
    /// Time for one query.
    pub(crate) timeout: Pace,
    /// Memory for all running queries, in MiB.
    pub(crate) memory_mib: usize,
    /// Rows that one answer may have.
    pub(crate) max_rows: u64,
    /// Threads for queries.
    pub(crate) threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("mast-demo"),
            logging: Logging::default(),
            log: Log::default(),
            postgres: Postgres::default(),
            metrics: Metrics::default(),
            demo: Demo::default(),
            simulator: Simulator::default(),
            ingest: Ingest::default(),
            dataflow: Dataflow::default(),
            lake: Lake::default(),
            query: Query::default(),
            api: Api::default(),
            notify: Notify::default(),
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: "warn".to_owned(),
            json: false,
        }
    }
}

impl Default for Demo {
    fn default() -> Self {
        Self {
            interval: Pace::seconds(2),
        }
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self {
            devices: 300,
            towers: 0,
            seed: 1,
            scenario: None,
        }
    }
}

impl Default for Dataflow {
    fn default() -> Self {
        Self {
            workers: 1,
            gauge_interval: Pace::seconds(10),
            lake_every: Pace::seconds(10),
            lake_buffer_mib: 256,
            tail_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string(),
            checkpoint_every: Pace::seconds(20),
            accept_gap: false,
        }
    }
}

impl Default for Query {
    fn default() -> Self {
        Self {
            tenant: None,
            timeout: Pace::seconds(60),
            memory_mib: 512,
            max_rows: 10_000_000,
            threads: 2,
        }
    }
}

impl Dataflow {
    /// Where the tail of history is served; null = nowhere.
    pub(crate) fn tail_address(&self) -> Option<SocketAddr> {
        self.tail_listen.parse().ok()
    }
}

impl Config {
    /// Every value that can't be worked with: its key, and what it must be.
    fn problems(&self) -> Vec<Problem> {
        let mut found: Vec<Problem> = self.metrics.problems();
        let mut must = |key, holds: bool, what: String| {
            if !holds {
                found.push((key, what));
            }
        };
        let devices = mast_simulator::MAX_DEVICES;
        must(
            "data",
            !self.data.as_os_str().is_empty(),
            "must name a folder".to_owned(),
        );
        let level = crate::logging::filter(&self.logging.level);
        must(
            "logging.level",
            level.is_ok(),
            "must be error, warn, info, debug, trace, or a filter such as mast_ingest=debug"
                .to_owned(),
        );
        must(
            "simulator.devices",
            (1..=devices).contains(&self.simulator.devices),
            format!("must be 1 to {devices}"),
        );
        must(
            "simulator.towers",
            self.simulator.towers <= devices,
            format!("must be 0 to {devices}"),
        );
        for (key, pace, least_ms, most_s) in [
            ("demo.interval", self.demo.interval, 100, 3_600),
            (
                "dataflow.gauge_interval",
                self.dataflow.gauge_interval,
                250,
                3_600,
            ),
            // Each checkpoint commits the lake; a row is history within a minute.
            ("dataflow.lake_every", self.dataflow.lake_every, 1_000, 60),
            (
                "dataflow.checkpoint_every",
                self.dataflow.checkpoint_every,
                1_000,
                3_600,
            ),
            ("query.timeout", self.query.timeout, 1, 86_400),
        ] {
            let (least, most) = (Pace::milliseconds(least_ms), Pace::seconds(most_s));
            must(
                key,
                (least.0..=most.0).contains(&pace.0),
                format!("must be {least} to {most}"),
            );
        }
        for (key, value, least, most) in [
            ("dataflow.workers", self.dataflow.workers, 1, 256),
            (
                "dataflow.lake_buffer_mib",
                self.dataflow.lake_buffer_mib,
                1,
                1 << 16,
            ),
            ("query.memory_mib", self.query.memory_mib, 16, 1 << 20),
            ("query.threads", self.query.threads, 1, 256),
        ] {
            must(
                key,
                (least..=most).contains(&value),
                format!("must be {least} to {most}"),
            );
        }
        let tail = &self.dataflow;
        must(
            "dataflow.tail_listen",
            tail.tail_listen == "off"
                || tail.tail_address().is_some_and(|address| address.ip().is_loopback()),
            "must be an address of this machine alone with a port, such as 127.0.0.1:9465 (port 0 = any that is free), or off; \
             queries on other machines read the lake alone"
                .to_owned(),
        );
        must(
            "query.max_rows",
            self.query.max_rows > 0,
            "must be at least 1".to_owned(),
        );
        self.api.problems(&mut found);
        self.ingest.problems(&mut found);
        self.lake.problems(&mut found);
        self.log.problems(&mut found);
        self.notify.problems(&mut found);
        self.postgres.problems(&mut found);
        found
    }
}
