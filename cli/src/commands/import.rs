//! `mast import`: an inventory file into the database.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use mast_api::inventory::{self, Options};
use mast_postgres::Role;

use crate::commands::Pace;
use crate::config::{Config, Flags};
use crate::standalone::{Database, Paths, keys};

/// Read an inventory file (JSON: tenants with sites, sectors and devices) into an installation.
///
/// The file is checked as a whole first; all problems are named. What is there already is updated, what is unchanged is not
/// touched, nothing is deleted: importing twice changes nothing. A running installation picks the changes up at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The inventory; `-` reads standard input. It holds passwords: keep it as secret as they are.
    file: PathBuf,
    /// The installation's data folder; made when it does not exist [default: mast-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Interval of polls for devices that name none [default: 60s]
    #[arg(long)]
    interval: Option<Pace>,
}

const EXAMPLES: &str = "\
Examples:
  mast import inventory.json --data demo --dry-run   what would change
  mast import inventory.json --data demo
  mast simulate --devices 20 --inventory i.json      writes such a file, for a virtual fleet";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags.with("--data", "data", self.data.as_ref())?.with(
            "--interval",
            "ingest.interval",
            self.interval.as_ref(),
        )
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let text = if self.file.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin().lock()).context("read standard input")?
        } else {
            std::fs::read_to_string(&self.file)
                .with_context(|| format!("read {}", self.file.display()))?
        };
        let parsed = inventory::parse(&text).with_context(|| format!("{}", self.file.display()))?;
        let paths = Paths::made(&config.data)?;
        let database = Database::open(config, &paths).await?;
        let options = Options {
            dry_run: self.dry_run,
            default_interval_ms: u32::try_from(config.ingest.interval.0.as_millis())
                .context("--interval is too long")?,
        };
        let pool = database.pool(Role::Api, 4).await?;
        let report = inventory::import(&pool, keys(&paths)?.as_ref(), &parsed, options).await;
        pool.close().await;
        database.stop().await?;
        crate::output::json(&report?)?;
        Ok(ExitCode::SUCCESS)
    }
}
