#![doc = include_str!("../README.md")]
#![warn(clippy::print_stderr)]

mod commands;
mod compare;
mod config;
mod events;
mod health;
mod local;
mod logging;
mod output;
mod password;
mod standalone;
mod summary;
mod table;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::commands::Command;
use crate::config::{Effective, Flags};

/// Gives back to the machine what threads that worked in turns have freed. The C library's allocator keeps an arena for each
/// thread: the dataflow's grew by megabytes a minute, to several times what was in use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Watches and runs fleets of MikroTik RouterOS devices.
///
/// Try `mast demo`: it starts a simulated fleet, polls it over the real RouterOS API, keeps every view up to date and
/// shows them, with nothing else to install but PostgreSQL's programs.
#[derive(Parser)]
#[command(name = "mast", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Configuration file; without it, `mast.toml` in the current folder if there is one. `mast config --help` tells more.
    #[arg(long, global = true, env = "MAST_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as `mast_ingest=debug` [default: warn]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Log as JSON lines.
    #[arg(long, global = true)]
    log_json: bool,
}

impl Cli {
    fn configure(&self) -> anyhow::Result<Effective> {
        let flags = Flags::default()
            .with("--log-level", "logging.level", self.log_level.as_ref())?
            .with("--log-json", "logging.json", self.log_json.then_some(&true))?;
        let flags = self.command.flags(flags)?;
        config::load(self.config.as_deref(), std::env::vars_os(), flags)
    }
}

const EXAMPLES: &str = "\
Examples:
  mast demo --data demo                       300 simulated devices, live summary
  mast up --data noc                          an installation for real devices
  mast device list --data noc
  mast query \"SELECT state, count(*) FROM links GROUP BY state\" --data demo
  mast simulate ctl --socket demo/simulator.sock \"rain site=3 db=25 for=1m\"
  mast verify --data demo                     recompute the views from the log and compare";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let started = cli.configure().and_then(|effective| {
        logging::start(&effective.config.logging)?;
        Ok(effective)
    });
    let effective = match started {
        Ok(effective) => effective,
        Err(error) => {
            crate::output::note(&format!("mast: {error:#}"));
            return ExitCode::from(2);
        }
    };
    match cli.command.run(&effective, &mut Cli::command()) {
        Ok(code) => code,
        Err(error) => {
            crate::output::note(&format!("mast: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
