//! `mast bench`: measures a part.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use mast_benches::{Launcher, Part};

use crate::commands::block_on;
use crate::standalone::stop_signal;

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
  mast bench dataflow --clients 1000000 --workers 2  rows a core keeps views of, memory of a client

Measure with nothing else running; benches/README.md says what each figure is.";

#[derive(Subcommand)]
enum What {
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

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Dataflow {
                clients,
                workers,
                epoch_ms,
                rows_per_epoch,
            } => {
                let options = mast_benches::dataflow::Options {
                    clients,
                    workers,
                    epoch_ms,
                    rows_per_epoch,
                    ..mast_benches::dataflow::Options::default()
                };
                let report = mast_benches::dataflow::run(&options, &mut |line| eprintln!("{line}"))
                    .context("bench dataflow")?;
                crate::output::json(&report)?;
                Ok(ExitCode::SUCCESS)
            }
            What::Ingest { devices, seconds } => {
                let options = mast_benches::ingest::Options { devices, seconds };
                let launcher = Launcher::this(["bench", "part"])?;
                block_on(async {
                    tokio::select! {
                        report = mast_benches::ingest::run(options, &launcher) => {
                            crate::output::json(&report.context("bench ingest")?)?;
                            Ok(ExitCode::SUCCESS)
                        }
                        () = stop_signal()? => Ok(stopped()),
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
            What::Part { part } => {
                let part: Part = serde_json::from_str(&part).context("which part")?;
                part.run()?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// The processes have ended with what started them.
fn stopped() -> ExitCode {
    eprintln!("stopped; there are no figures");
    ExitCode::from(130)
}
