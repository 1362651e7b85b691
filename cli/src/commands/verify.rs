//! `mast verify`: the laws, checked on an installation.

use std::process::ExitCode;

use crate::commands::shared::Place;
use crate::config::{Config, Flags};
use crate::standalone;
use crate::verify::verify;

/// Recompute the views from the log and compare them with what is served; check the laws that every
/// commit must keep.
///
/// Restores the oldest kept checkpoint, folds the log from there up to the slot that Postgres shows, with code that shares
/// nothing with the dataflow's, and compares row by row in one snapshot. Works beside a running installation. The last line
/// is a JSON object; the exit code is 1 on a breach.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = LAWS)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Only the JSON object.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  mast verify --data demo          a line a law, and the result as JSON
  mast verify --data demo --json   for programs";

const LAWS: &str = "\
The laws, each a line with how many things were checked:
  1  devices, links and counts, row by row, are what the oracle computes from the log
  2  the transitions since the checkpoint are the oracle's, each once, by their ids
  3  history has each poll of the log that counts or came late once, with all its rows, and each event once; and no
     other rows; each closed bucket of a rollup counts the samples that it should. Of files older than the log: they
     are there, named once, without a gap. What is older than history is kept need not be there
  4  sums agree: devices and links by state, per place; a client is live at one access point at most
  5  no row is of another tenant than its device

Examples:
  mast verify --data demo          a line a law, and the result as JSON
  mast verify --data demo --json   for programs";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.place.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let (paths, database) = standalone::existing(config).await?;
        let result = async {
            let log = standalone::log::look(&config.log, &paths).await?;
            verify(&paths, &database, log, config.lake.retention()).await
        };
        let result = result.await;
        database.stop().await?;
        let report = result?;
        if !self.json {
            for law in &report.laws {
                let verdict = if law.breaches == 0 { "holds" } else { "BROKEN" };
                crate::output::line(&format!(
                    "law {}  {verdict:<6}  {:>9} checked  {:>5} breaches  {}",
                    law.law, law.checked, law.breaches, law.text
                ))?;
                for example in &law.examples {
                    crate::output::line(&format!("         {example}"))?;
                }
            }
        }
        crate::output::json(&report)?;
        Ok(if report.breaches == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
