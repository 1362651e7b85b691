//! `mast simulate`: a virtual fleet with known truth.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use mast_simulator::{Fleet, FleetConfig};

use crate::commands::Pace;

/// Run a simulated fleet: real sockets, the real RouterOS API, and the truth about itself.
///
/// Devices listen on loopback addresses 127.x.y.z. The last line of standard output is a JSON object with the ports.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    talk: Option<Talk>,

    /// Managed devices, at most 15,000 a process.
    #[arg(long, default_value_t = 300)]
    devices: usize,
    /// Seed of everything: the same seed and events make the same fleet.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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

#[derive(Subcommand)]
enum Talk {
    /// Send a control line to a running fleet, such as `rain site=3 db=25 for=1m`, `heal` or `truth`.
    Ctl {
        /// The fleet's socket.
        #[arg(long)]
        socket: PathBuf,
        /// The line: an event as in a scenario file without its time, or `truth`.
        #[arg(required = true, num_args = 1.., trailing_var_arg = true)]
        line: Vec<String>,
    },
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(Talk::Ctl { socket, line }) = self.talk {
            let answer = mast_simulator::ctl_send(&socket, &line.join(" "))
                .await
                .with_context(|| format!("talk to the fleet at {}", socket.display()))?;
            crate::output::line(&answer)?;
            let refused = answer.starts_with("error");
            return Ok(if refused {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            });
        }
        let scenario = match &self.scenario {
            Some(file) => Some(
                std::fs::read_to_string(file)
                    .with_context(|| format!("read the scenario {}", file.display()))?,
            ),
            None => None,
        };
        let fleet = Fleet::start(FleetConfig {
            devices: self.devices,
            seed: self.seed,
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
            "devices": self.devices, "api_port": fleet.api_port(), "api_ssl_port": fleet.api_ssl_port(),
        }))?;
        crate::standalone::until_stopped(self.duration.map(|d| d.0)).await?;
        fleet.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
