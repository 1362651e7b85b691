//! `mast tenant`: whose devices there are.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use mast_api::inventory::{self, Options};
use mast_postgres::{Role, find_tenant};
use mast_schemas::TenantId;
use mast_schemas::inventory::{Inventory, Tenant};
use serde::Serialize;
use sqlx::PgPool;

use crate::config::{Config, Flags};
use crate::standalone::{Database, Paths, existing, keys_of};
use crate::table::Table;

/// Make and list tenants: the customers of an installation, each of whom sees its own things alone.
///
/// Works beside a running installation and without one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  mast tenant add acme --data noc
  mast tenant list --data noc
  mast token create --tenant acme --role operator --name me --data noc";

#[derive(Subcommand)]
enum What {
    /// Make a tenant.
    Add {
        /// Its name, unique in the installation.
        name: String,
    },
    /// All tenants, by name.
    List,
}

/// A tenant as it is shown.
#[derive(Serialize)]
pub(crate) struct Shown {
    pub(crate) id: TenantId,
    pub(crate) name: String,
}

/// All tenants, by name. As the database's owner.
pub(crate) async fn all(owner: &PgPool) -> anyhow::Result<Vec<Shown>> {
    let rows: Vec<(uuid::Uuid, String)> =
        sqlx::query_as("SELECT id, name FROM tenants ORDER BY name")
            .fetch_all(owner)
            .await
            .context("list the tenants")?;
    let tenants = rows.into_iter().map(|(id, name)| Shown {
        id: TenantId(id),
        name,
    });
    Ok(tenants.collect())
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags.with("--data", "data", self.data.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let (paths, database) = existing(config).await?;
        let done = match self.what {
            What::Add { name } => add(config, &paths, &database, name).await.map(|t| vec![t]),
            What::List => list(&database).await,
        };
        database.stop().await?;
        let tenants = done?;
        if self.json {
            crate::output::json(&tenants)?;
        } else {
            let mut table = Table::new(&["tenant", "id"]);
            for tenant in &tenants {
                table.row([tenant.name.clone(), tenant.id.to_string()]);
            }
            table.print()?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn list(database: &Database) -> anyhow::Result<Vec<Shown>> {
    let owner = database.pool(Role::Owner, 1).await?;
    let tenants = all(&owner).await;
    owner.close().await;
    tenants
}

/// A tenant is an inventory that has nothing yet.
async fn add(
    config: &Config,
    paths: &Paths,
    database: &Database,
    name: String,
) -> anyhow::Result<Shown> {
    let inventory = Inventory {
        tenants: vec![Tenant {
            name: name.clone(),
            sites: Vec::new(),
            sectors: Vec::new(),
            devices: Vec::new(),
        }],
    };
    let options = Options {
        dry_run: false,
        default_interval_ms: u32::try_from(config.ingest.interval.0.as_millis())?,
    };
    let pool = database.pool(Role::Api, 2).await?;
    let made = async {
        let keys = keys_of(paths, database).await?;
        let report = inventory::import(&pool, keys.as_ref(), &inventory, options).await?;
        if report.tenants.created == 0 {
            bail!("there is a tenant {name:?} already; `mast tenant list` shows all");
        }
        let id = find_tenant(&pool, &name).await?;
        let id = id.context("the tenant was deleted meanwhile")?;
        Ok(Shown { id, name })
    }
    .await;
    pool.close().await;
    made
}
