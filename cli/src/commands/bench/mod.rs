//! `mast bench`: measures a part.

mod api;
mod listener;
mod pipeline;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use mast_benches::{Launcher, Part};
use serde::Serialize;
use tempfile::TempDir;

use crate::commands::simulate::Mix;
use crate::commands::{Pace, block_on};
use crate::config::{Config, Flags, Kind};
use crate::standalone::{Database, INTERRUPTED, Paths, stop_signal};

/// Measure a part; progress on standard error, one JSON object on standard output.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Examples:
  mast bench ingest --devices 2000 --seconds 20      polls a core reads over TLS, memory of a session
  mast bench pipeline --devices 15000 --seconds 180  the whole way: freshness, missed polls, cores, memory
  mast bench dataflow --clients 1000000 --workers 2  rows a core keeps views of, memory of a client
  mast bench api --devices 10000 --seconds 10        lists a second, and how long one takes
  mast bench series --links 1000 --days 365          how long a chart of a year takes

Measure with nothing else running; benches/README.md says what each figure is.";

#[derive(Subcommand)]
enum What {
    /// The API: lists of 50 devices a second, lists that the asker has already, how long a list takes at half that load.
    ///
    /// The API is a process of its own, the command `mast api`, with a private Postgres; this process asks.
    Api {
        /// Devices in the inventory, of two tenants.
        #[arg(long, default_value_t = 10_000)]
        devices: u32,
        /// How long each of the four parts lasts, of which the last is pgbench alone.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// Connections that ask, each one request at a time.
        #[arg(long, default_value_t = 16)]
        connections: u16,
    },
    /// The dataflow: decode, all views, checkpoint and restart, on generated polls.
    Dataflow {
        /// Clients in all, 30 an access point.
        #[arg(long, default_value_t = 1_000_000)]
        clients: u64,
        /// Worker threads.
        #[arg(long, default_value_t = 1)]
        workers: usize,
        /// Event time fed at once.
        #[arg(long, default_value_t = 250)]
        epoch_ms: u64,
        /// Rows fed at once, instead of what the clients make at a poll a minute.
        #[arg(long)]
        rows_per_epoch: Option<u64>,
        /// Alert rules in all.
        #[arg(long, default_value_t = 0)]
        rules: u64,
    },
    /// Ingest: polls a second of its CPU time over open TLS sessions, memory of an idle session, how long a poll takes.
    ///
    /// Routers with the words of real ones run in a process of their own, and so does ingest, whose CPU time and memory are
    /// measured. One device in ten is an access point with 25 clients and 8 interfaces, the others are customers' devices
    /// with one row in their table and 3 interfaces. Sessions are opened first; then access points are polled back to back,
    /// then customers' devices, then all of them once a minute, each for --seconds.
    #[command(after_help = INGEST_EXAMPLES)]
    Ingest {
        /// Devices, each with a session.
        #[arg(long, default_value_t = 2_000)]
        devices: u32,
        /// How long each of the three parts lasts.
        #[arg(long, default_value_t = 20)]
        seconds: u32,
    },
    /// The whole way of a sample, from simulated devices to what is committed in Postgres: freshness, missed polls, CPU, memory.
    ///
    /// The simulator and ingest are processes of their own, the commands `mast simulate` and `mast ingest`; this process is the
    /// dataflow, with a private Postgres beside it. Every device is polled once before it counts. What is fresh is told by the
    /// commit, what was polled by the log.
    #[command(after_help = PIPELINE_EXAMPLES)]
    Pipeline {
        /// Simulated devices.
        #[arg(long, default_value_t = 15_000)]
        devices: u32,
        /// How long is measured, after warm-up.
        #[arg(long, default_value_t = 180)]
        seconds: u32,
        /// Time between two polls of a device.
        #[arg(long, default_value_t = Pace::seconds(60))]
        interval: Pace,
        /// What they are.
        #[arg(long, value_enum, default_value_t = Mix::Carrier)]
        mix: Mix,
        /// Seed of the fleet.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Trouble by the clock, without which little changes; a file of events, see simulator/README.md.
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
        /// Where the log of records is kept [default: embedded]
        #[arg(long, value_enum)]
        log: Option<Kind>,
        /// Some Kafka brokers, with empty topics of ours.
        #[arg(long, value_name = "HOST:PORT,...")]
        brokers: Option<String>,
    },
    /// The demo under trouble for as long as wished: are memory and file descriptors flat, and the answers right?
    ///
    /// Devices lose power, reboot, fall silent, clients flap and roam, PostgreSQL stands still for seconds. Memory and
    /// descriptors are noted all along; at the end views and truth must agree and `mast verify` must find nothing. Runs under
    /// ten minutes do not judge memory. The exit code is 1 when something that is judged is not good.
    #[command(after_help = SOAK_EXAMPLES)]
    Soak {
        /// How long.
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Simulated devices.
        #[arg(long, default_value_t = 200)]
        devices: u32,
        /// Seed of the trouble.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// The series of one link over all of its history, asked of the API, over a lake that holds that of many.
    Series {
        /// Links, 25 an access point, each with a sample an hour.
        #[arg(long, default_value_t = 1_000)]
        links: u32,
        /// Requests for each number of points.
        #[arg(long, default_value_t = 100)]
        requests: u32,
        /// Days of history.
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// One of the processes of a measurement; its parent starts it.
    #[command(hide = true)]
    Part { part: String },
}

const INGEST_EXAMPLES: &str = "\
Examples:
  mast bench ingest
  mast bench ingest --devices 15000 --seconds 30 | jq .rss_per_session_bytes";

const SOAK_EXAMPLES: &str = "\
Examples:
  mast bench soak
  mast bench soak --minutes 600 --devices 2000 --seed 7 | jq .memory";

const PIPELINE_EXAMPLES: &str = "\
Examples:
  mast bench pipeline
  mast bench pipeline --devices 500 --interval 10s --seconds 60
  mast bench pipeline --log kafka --brokers localhost:9092";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        match &self.what {
            What::Pipeline {
                log,
                brokers,
                scenario,
                ..
            } => flags
                .with("--scenario", "simulator.scenario", scenario.as_ref())?
                .with("--log", "log.kind", log.as_ref())?
                .with("--brokers", "log.brokers", brokers.as_ref()),
            _ => Ok(flags),
        }
    }

    pub(crate) fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Dataflow {
                clients,
                workers,
                epoch_ms,
                rows_per_epoch,
                rules,
            } => {
                let options = mast_benches::dataflow::Options {
                    clients,
                    workers,
                    epoch_ms,
                    rows_per_epoch,
                    rules,
                    ..mast_benches::dataflow::Options::default()
                };
                let report =
                    mast_benches::dataflow::run(&options, &mut |line| crate::output::note(line))
                        .context("bench dataflow")?;
                crate::output::json(&report)?;
                Ok(ExitCode::SUCCESS)
            }
            What::Api {
                devices,
                seconds,
                connections,
            } => {
                let load = api::Load {
                    devices,
                    seconds,
                    connections,
                };
                let launcher = Launcher::this(["bench", "part"])?;
                block_on(async {
                    let stop = stop_signal()?;
                    let report = api::run(&load, config, &launcher, stop).await;
                    told(report.context("bench api")?)
                })
            }
            What::Ingest { devices, seconds } => {
                let options = mast_benches::ingest::Options { devices, seconds };
                let launcher = Launcher::this(["bench", "part"])?;
                block_on(async {
                    tokio::select! {
                        report = mast_benches::ingest::run(options, &launcher) => {
                            told(Some(report.context("bench ingest")?))
                        }
                        () = stop_signal()? => told::<()>(None),
                    }
                })
            }
            What::Soak {
                minutes,
                devices,
                seed,
            } => {
                let options = mast_benches::soak::Options {
                    minutes,
                    devices,
                    seed,
                };
                let launcher = Launcher::this(["bench", "part"])?;
                block_on(async {
                    tokio::select! {
                        report = mast_benches::soak::run(options, &launcher) => {
                            let report = report.context("bench soak")?;
                            crate::output::json(&report)?;
                            Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
                        }
                        () = stop_signal()? => Ok(stopped()),
                    }
                })
            }
            What::Pipeline {
                devices,
                seconds,
                interval,
                mix,
                seed,
                ..
            } => {
                let load = pipeline::Load {
                    devices,
                    interval,
                    mix,
                    seconds,
                    seed,
                };
                let launcher = Launcher::this(["bench", "part"])?;
                block_on(async {
                    let stop = stop_signal()?;
                    let report = pipeline::run(&load, config, &launcher, stop).await;
                    told(report.context("bench pipeline")?)
                })
            }
            What::Series {
                links,
                requests,
                days,
            } => {
                let options = mast_benches::series::Options {
                    links,
                    requests,
                    days,
                    ..mast_benches::series::Options::default()
                };
                block_on(async {
                    let mut note = |line: &str| crate::output::note(line);
                    tokio::select! {
                        report = mast_benches::series::run(options, &mut note) => {
                            told(Some(report.context("bench series")?))
                        }
                        () = stop_signal()? => told::<()>(None),
                    }
                })
            }
            What::Part { part } => {
                let part: Part = serde_json::from_str(&part).context("which part")?;
                part.run()?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Shows the figures; none where it was stopped before.
fn told<R: Serialize>(report: Option<R>) -> anyhow::Result<ExitCode> {
    match report {
        Some(report) => {
            crate::output::json(&report)?;
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(stopped()),
    }
}

/// A folder of the measurement's own with its database: the configuration for it, and where things are.
async fn own(config: &Config) -> anyhow::Result<(TempDir, Config, Paths, Database)> {
    let folder = tempfile::Builder::new().prefix("mast-bench-").tempdir()?;
    // PostgreSQL's own user must get there.
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let config = Config {
        data: folder.path().join("data"),
        ..config.clone()
    };
    crate::output::note("starting PostgreSQL …");
    let paths = Paths::made(&config.data)?;
    let database = Database::owned(&config, &paths).await?;
    Ok((folder, config, paths, database))
}

/// The processes have ended with what started them.
fn stopped() -> ExitCode {
    crate::output::note("stopped; there are no figures");
    ExitCode::from(INTERRUPTED)
}
