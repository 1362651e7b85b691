//! `mast import`: an inventory file into the database.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use mast_api::inventory::{self, Lines, Options};
use mast_postgres::Role;
use mast_schemas::inventory::Inventory;

use crate::commands::Pace;
use crate::config::{Config, Flags};
use crate::standalone::{Database, Paths, keys};

/// Read an inventory into an installation: JSON (tenants with sites, sectors and devices) or CSV (a row a device of a tenant).
///
/// The file is checked as a whole first; all problems are named, with their line or place. What is there already is updated,
/// what is unchanged or not said is not touched, nothing is deleted: importing twice changes nothing. A running installation
/// picks the changes up at once. docs/operating.md has the fields and columns.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The inventory; `-` reads standard input. It holds passwords: keep it as secret as they are.
    file: PathBuf,
    /// The installation's data folder; made when it does not exist [default: mast-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Whose a CSV file is, by name; made where it is missing. A JSON file says it itself, and may then say no other.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// By default what the file's name says, else JSON.
    #[arg(long, value_enum)]
    format: Option<Format>,
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
  mast import fleet.csv --tenant acme --data noc
  mast simulate --devices 20 --inventory i.json      writes such a file, for a virtual fleet";

/// How an inventory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tenants with sites, sectors and devices.
    Json,
    /// A header row, and a row a device.
    Csv,
}

impl Format {
    /// What is named, else what the file's name says.
    pub(crate) fn of(named: Option<Self>, file: Option<&Path>) -> Self {
        let extension = file.and_then(Path::extension);
        let is_csv = extension.is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        named.unwrap_or(if is_csv { Self::Csv } else { Self::Json })
    }
}

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
        let (parsed, lines) = self
            .parse(&text)
            .with_context(|| format!("{}", self.file.display()))?;
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
        crate::output::json(&report.map_err(|e| lines.place(e))?)?;
        Ok(ExitCode::SUCCESS)
    }

    fn parse(&self, text: &str) -> anyhow::Result<(Inventory, Lines)> {
        match (
            Format::of(self.format, Some(&self.file)),
            self.tenant.as_deref(),
        ) {
            (Format::Csv, Some(tenant)) => Ok(inventory::from_csv(text, tenant)?),
            (Format::Csv, None) => bail!("name the tenant of a CSV file with --tenant"),
            (Format::Json, only) => {
                let inventory = inventory::parse(text)?;
                let other = |name: &&str| only.is_some_and(|only| only != *name);
                let names = inventory.tenants.iter().map(|tenant| tenant.name.as_str());
                if let Some(name) = { names }.find(other) {
                    bail!(
                        "the file names the tenant {name:?} too, which is not the one of --tenant"
                    );
                }
                Ok((inventory, Lines::default()))
            }
        }
    }
}
