//! `mast simulate`: a virtual fleet with known truth.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use mast_postgres::{Role, find_tenant};
use mast_simulator::{Fleet, FleetConfig, Truth};

use crate::commands::Pace;
use crate::compare::{Served, compare_with};
use crate::config::{Config, Flags, Simulator};
use crate::standalone::{Database, Paths, existing};

/// Run a simulated fleet: real sockets, the real RouterOS API, and the truth about itself.
///
/// Devices listen on loopback addresses 127.x.y.z. The last line of standard output is a JSON object with the ports.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    talk: Option<Talk>,

    /// Managed devices, at most 15,000 a process [default: 300]
    #[arg(long)]
    devices: Option<usize>,
    /// What they are.
    #[arg(long, value_enum, default_value_t)]
    mix: Mix,
    /// Towers that they are on; 0 = as many as the mix wants [default: 0]
    #[arg(long)]
    towers: Option<usize>,
    /// Seed of everything: the same seed and events make the same fleet [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Scenario file: one event a line (simulator/README.md has the list).
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Write the truth here, whole, every second.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Write an inventory for `mast import` here.
    #[arg(long)]
    inventory: Option<PathBuf>,
    /// Take control lines on this unix socket (see `mast simulate ctl`).
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Remember the fleet here, so that a restarted one goes on.
    #[arg(long)]
    journal: Option<PathBuf>,
    /// Port of the plain API; 0 = any free one.
    #[arg(long, default_value_t = 8728)]
    api_port: u16,
    /// Port of the API over TLS; 0 = any free one.
    #[arg(long, default_value_t = 8729)]
    api_ssl_port: u16,
    /// Number of the first device, so that several processes do not overlap.
    #[arg(long, default_value_t = 0)]
    first_device: u64,
    /// Interval that the inventory asks for.
    #[arg(long)]
    interval: Option<Pace>,
    /// End after this time; without it, at Ctrl-C.
    #[arg(long = "for")]
    duration: Option<Pace>,
}

/// What a simulated fleet is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mix {
    /// A fifth are access points, each with a few clients: every kind of table in a small fleet
    #[default]
    Varied,
    /// One access point to nine managed customers, each with 25 clients
    Carrier,
}

impl Mix {
    /// Its name on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Varied => "varied",
            Self::Carrier => "carrier",
        }
    }
}

impl From<Mix> for mast_simulator::Mix {
    fn from(mix: Mix) -> Self {
        match mix {
            Mix::Varied => Self::Varied,
            Mix::Carrier => Self::Carrier,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  mast simulate --devices 50 --truth truth.json --socket fleet.sock
  mast simulate --devices 50 --api-port 0 --api-ssl-port 0 --inventory i.json --for 10m
  mast simulate ctl --socket fleet.sock reboot device=tower-01-router for=20s";

const CTL_EXAMPLES: &str = "\
Examples:
  mast simulate ctl --data demo rain site=3 db=25 for=1m         weak links on a tower
  mast simulate ctl --data demo ap_dead ap=tower-01-s1-ap for=45s  an access point without power
  mast simulate ctl --data demo clients_lost ap=2 for=30s        it answers, its table is empty
  mast simulate ctl --data demo roam cpe=1 to=tower-01-s2-ap     a customer moves
  mast simulate ctl --data demo power site=2 for=45s             a tower without power
  mast simulate ctl --data demo wrong_password device=3 for=1m   logins are refused
  mast simulate ctl --data demo stall device=3 step=half for=1m  half an answer, then nothing
  mast simulate ctl --data demo hostile device=3 mode=garbage    bytes of no protocol
  mast simulate ctl --data demo heal                             all of it ends
simulator/README.md has every event.";

/// Towers of the fleet, where they are told.
pub(super) fn towers(config: &Simulator) -> Option<usize> {
    (config.towers > 0).then_some(config.towers)
}

/// The text of the scenario file, if there is one.
pub(super) fn scenario(config: &Simulator) -> anyhow::Result<Option<String>> {
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file)
            .with_context(|| format!("read the scenario {}", file.display()))
    };
    config.scenario.as_ref().map(read).transpose()
}

#[derive(Subcommand)]
enum Talk {
    /// Send a control line to a running fleet, such as `rain site=3 db=25 for=1m`, `heal` or `truth`.
    ///
    /// Sites, access points (`ap=`), customers (`cpe=`) and devices (`device=`) are given by name or by number from 1.
    #[command(after_help = CTL_EXAMPLES)]
    Ctl {
        /// The fleet's socket; without it, that of the demo in the data folder.
        #[arg(long, value_name = "FILE")]
        socket: Option<PathBuf>,
        /// The demo's data folder [default: mast-demo]
        #[arg(long, value_name = "DIR", conflicts_with = "socket")]
        data: Option<PathBuf>,
        /// The line: an event as in a scenario file without its time, or `truth`.
        #[arg(required = true, num_args = 1.., trailing_var_arg = true)]
        line: Vec<String>,
    },
    /// Compare what an installation serves with what is true of a running fleet.
    ///
    /// Answers lag by design: truth is taken first and views two intervals later, and only what had stood for three
    /// intervals counts. The result is a JSON object; the exit code is 1 where they differ.
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare {
        /// The fleet's socket; without it, that of the demo in the data folder.
        #[arg(long, value_name = "FILE")]
        socket: Option<PathBuf>,
        /// The installation's data folder [default: mast-demo]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Interval of the polls.
        #[arg(long, default_value = "2s")]
        interval: Pace,
    },
}

const COMPARE_EXAMPLES: &str = "\
Examples:
  mast simulate compare --data demo
  mast simulate compare --socket fleet.sock --data noc --interval 10s";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        let data = self.talk.as_ref().and_then(|talk| match talk {
            Talk::Ctl { data, .. } | Talk::Compare { data, .. } => data.as_ref(),
        });
        flags
            .with("--data", "data", data)?
            .with("--devices", "simulator.devices", self.devices.as_ref())?
            .with("--towers", "simulator.towers", self.towers.as_ref())?
            .with("--seed", "simulator.seed", self.seed.as_ref())?
            .with("--scenario", "simulator.scenario", self.scenario.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self.talk {
            Some(Talk::Ctl { socket, line, .. }) => {
                let answer = ask(config, socket, &line.join(" ")).await?;
                crate::output::line(&answer)?;
                let refused = answer.starts_with("error");
                return Ok(if refused {
                    ExitCode::FAILURE
                } else {
                    ExitCode::SUCCESS
                });
            }
            Some(Talk::Compare {
                socket, interval, ..
            }) => return compare(config, socket, interval.0).await,
            None => {}
        }
        let scenario = scenario(&config.simulator)?;
        let fleet = Fleet::start(FleetConfig {
            devices: config.simulator.devices,
            mix: self.mix.into(),
            towers: towers(&config.simulator),
            seed: config.simulator.seed,
            first_device: self.first_device,
            api_port: self.api_port,
            api_ssl_port: self.api_ssl_port,
            scenario,
            truth_file: self.truth,
            control_socket: self.socket,
            journal: self.journal,
            interval_s: self.interval.map(|i| i.0.as_secs_f64()),
        })
        .await
        .context("start the fleet")?;
        if let Some(file) = &self.inventory {
            let text = serde_json::to_vec_pretty(&fleet.inventory())?;
            std::fs::write(file, text)
                .with_context(|| format!("write the inventory {}", file.display()))?;
        }
        crate::output::json(&serde_json::json!({
            "devices": config.simulator.devices, "api_port": fleet.api_port(), "api_ssl_port": fleet.api_ssl_port(),
        }))?;
        crate::standalone::until_stopped(self.duration.map(|d| d.0)).await?;
        fleet.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a running fleet answers to a line.
async fn ask(config: &Config, socket: Option<PathBuf>, line: &str) -> anyhow::Result<String> {
    let socket = socket.unwrap_or_else(|| Paths::new(&config.data).simulator_socket());
    mast_simulator::ctl_send(&socket, line)
        .await
        .with_context(|| {
            format!(
                "talk to the fleet at {} (is it running? --data or --socket say where it is)",
                socket.display()
            )
        })
}

async fn compare(
    config: &Config,
    socket: Option<PathBuf>,
    interval: Duration,
) -> anyhow::Result<ExitCode> {
    let truth = ask(config, socket, "truth").await?;
    let truth: Truth = serde_json::from_str(&truth).context("the fleet told no truth")?;
    tokio::time::sleep(2 * interval).await;
    let (_, database) = existing(config).await?;
    let served = served(&database, &truth).await;
    database.stop().await?;
    let served = served?;
    let comparison = compare_with(&truth, &served, 3.0 * interval.as_secs_f64());
    crate::output::json(&serde_json::json!({
        "devices": served.devices.len(),
        "online": served.devices_in("online"),
        "links_truth": comparison.links_truth,
        "links_live": served.live(),
        "mismatches": comparison.differences.len(),
        "differences": comparison.differences,
    }))?;
    Ok(if comparison.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the tenants of a fleet are shown.
async fn served(database: &Database, truth: &Truth) -> anyhow::Result<Served> {
    let pool = database.pool(Role::Api, 2).await?;
    let names: BTreeSet<&str> = truth.devices.iter().map(|d| d.tenant.as_str()).collect();
    let mut tenants = Vec::new();
    for name in names {
        tenants.extend(find_tenant(&pool, name).await?);
    }
    let served = Served::read(&pool, &tenants).await;
    pool.close().await;
    served
}
