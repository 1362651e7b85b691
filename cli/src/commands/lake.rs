//! `mast lake`: the files of history.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Subcommand;
use mast_postgres::Role;

use crate::commands::shared::Place;
use crate::config::{Config, Flags};
use crate::standalone;

/// Look after the files of history.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Check that the files of history are what the manifest says.
    ///
    /// Every file is there with its size and number of rows and named once, none is left over, and the ranges of each table
    /// have no hole and no overlap. Changes nothing and works beside a running installation. The last line is a JSON
    /// object; the exit code is 1 on a finding.
    #[command(
        after_help = "Examples:\n  mast lake check --data demo\n  mast lake check --data demo --json   for programs"
    )]
    Check {
        #[command(flatten)]
        place: Place,
        /// Only the JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        let What::Check { place, .. } = &self.what;
        place.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let What::Check { json, .. } = self.what;
        let (paths, database) = standalone::existing(config).await?;
        let shown = !json && std::io::stderr().is_terminal();
        let progress = |done: u64, all: u64| {
            if shown && (done.is_multiple_of(100) || done == all) {
                crate::output::progress(&format!("{done} of {all} files"));
            }
        };
        let result = async {
            let pool = database.pool(Role::Dataflow, 1).await?;
            let mut conn = pool.acquire().await?;
            anyhow::Ok(mast_lake::check(&mut conn, &paths.lake(), progress).await?)
        };
        let result = result.await;
        database.stop().await?;
        let report = result?;
        if shown {
            crate::output::note("");
        }
        if !json {
            for finding in &report.findings {
                crate::output::line(finding)?;
            }
        }
        crate::output::json(&report)?;
        Ok(if report.findings.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
