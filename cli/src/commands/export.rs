//! `mast export`: a tenant's inventory out of the database.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use mast_api::inventory::{export, to_csv};
use mast_postgres::{Role, find_tenant, tenant_snapshot};
use mast_schemas::inventory::Inventory;

use super::import::Format;
use crate::config::{Config, Flags};
use crate::standalone::{Database, existing};

/// Write the inventory of a tenant, without credentials: what `mast import` reads again as unchanged.
///
/// JSON has sites, sectors and devices; CSV has a row a device, for spreadsheets. Works beside a running installation and
/// without one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to; without it to standard output.
    file: Option<PathBuf>,
    /// Whose, by name.
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// By default what the file's name says, else JSON.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  mast export --tenant acme --data noc > acme.json
  mast export acme.csv --tenant acme --data noc
  mast import acme.csv --tenant acme --data noc --dry-run    after a spreadsheet changed it";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags.with("--data", "data", self.data.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let (_, database) = existing(config).await?;
        let inventory = read(&database, &self.tenant).await;
        database.stop().await?;
        let inventory = inventory?;
        let text = match Format::of(self.format, self.file.as_deref()) {
            Format::Csv => {
                let devices = inventory.tenants.iter().flat_map(|t| t.devices.clone());
                to_csv(&devices.collect::<Vec<_>>())
            }
            Format::Json => {
                let mut text = serde_json::to_vec_pretty(&inventory)?;
                text.push(b'\n');
                text
            }
        };
        match &self.file {
            Some(file) => {
                std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
            }
            None => crate::output::write(|out| out.write_all(&text))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn read(database: &Database, name: &str) -> anyhow::Result<Inventory> {
    let missing = || format!("there is no tenant {name:?}; `mast tenant list` shows all");
    let pool = database.pool(Role::Api, 2).await?;
    let read = async {
        let id = find_tenant(&pool, name).await?.with_context(missing)?;
        let mut tx = tenant_snapshot(&pool, id).await?;
        let tenant = export(&mut tx, id).await?.with_context(missing)?;
        Ok(Inventory {
            tenants: vec![tenant],
        })
    }
    .await;
    pool.close().await;
    read
}
