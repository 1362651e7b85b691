//! `mast bench`: measures a part.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

/// Measure a part; progress on standard error, one JSON object on standard output.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

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
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let What::Dataflow {
            clients,
            workers,
            epoch_ms,
            rows_per_epoch,
        } = self.what;
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
}
