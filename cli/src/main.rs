#![doc = include_str!("../README.md")]

mod commands;
mod compare;
mod logging;
mod output;
mod standalone;
mod summary;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::commands::Command;

/// Watches and runs fleets of MikroTik RouterOS devices.
///
/// Try `mast demo`: it starts a simulated fleet, polls it over the real RouterOS API, keeps every view up to date and
/// shows them, with nothing else to install but PostgreSQL's programs.
#[derive(Parser)]
#[command(name = "mast", version, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as `mast_ingest=debug`.
    #[arg(long, global = true, env = "MAST_LOG", default_value = "warn")]
    log_level: String,

    /// Log as JSON lines.
    #[arg(long, global = true, env = "MAST_LOG_JSON")]
    log_json: bool,
}

const EXAMPLES: &str = "\
Examples:
  mast demo --data demo                       300 simulated devices, live summary
  mast query \"SELECT state, count(*) FROM links GROUP BY state\" --data demo
  mast simulate ctl --socket demo/simulator.sock \"rain site=3 db=25 for=1m\"
  mast verify --data demo                     recompute the views from the log and compare";

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = logging::start(&cli.log_level, cli.log_json) {
        eprintln!("mast: {error:#}");
        return ExitCode::from(2);
    }
    match cli.command.run(&mut Cli::command()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mast: {error:#}");
            ExitCode::FAILURE
        }
    }
}
