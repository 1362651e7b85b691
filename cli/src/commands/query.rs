//! `mast query`: SQL over views and history.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use mast_postgres::Role;
use mast_query::{Engine, EngineConfig, Tenant, TenantScope};

use crate::commands::Pace;
use crate::config::{Config, Flags, Query};
use crate::standalone::{Database, Paths, existing};

/// Run a read-only SQL query.
///
/// Views as of now: devices, sites, sectors, links, clients, alerts, incidents, rules, trends; device_states and place_states as intervals, and what share
/// of a window each state had, device_availability and place_availability. History: polls, interface_samples,
/// registration_samples, radio_samples, link_events, device_events, site_health_history, arp_entries, dhcp_leases,
/// neighbors, route_summaries, firmware, device_log, alert_events, incident_events, trend_events. Now, from the dataflow's memory: interface_rates. `SHOW TABLES` and `DESCRIBE links` tell more. Works beside a running
/// installation and without one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The statement.
    sql: String,
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// See only this tenant's rows. Without it, all tenants', with a column `tenant`.
    #[arg(long)]
    tenant: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Give up after this time [default: 60s]
    #[arg(long)]
    timeout: Option<Pace>,
}

const EXAMPLES: &str = "\
Examples:
  mast query \"SHOW TABLES\" --data demo
  mast query \"SELECT state, count(*) FROM links GROUP BY state\" --data demo --tenant north
  mast query \"SELECT ap, cpe, signal_dbm FROM links WHERE state = 'degraded' ORDER BY signal_dbm\" --data demo
  mast query \"SELECT mac, min(signal_dbm) FROM registration_samples
              WHERE observed_at > now() - INTERVAL '10 minutes' GROUP BY mac\" --data demo --format csv
  mast query \"EXPLAIN SELECT * FROM polls\" --data demo";

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned text.
    Table,
    /// One JSON array of objects.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags
            .with("--data", "data", self.data.as_ref())?
            .with("--tenant", "query.tenant", self.tenant.as_ref())?
            .with("--timeout", "query.timeout", self.timeout.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let (paths, database) = existing(config).await?;
        let result = self.query(&config.query, &paths, &database).await;
        database.stop().await?;
        result?;
        Ok(ExitCode::SUCCESS)
    }

    async fn query(
        &self,
        limits: &Query,
        paths: &Paths,
        database: &Database,
    ) -> anyhow::Result<()> {
        let tenants = tenants(database).await?;
        let scope = match &limits.tenant {
            Some(name) => {
                let known: Vec<_> = tenants.iter().map(|t| t.name.as_str()).collect();
                let tenant = tenants.iter().find(|t| &t.name == name).with_context(|| {
                    format!(
                        "there is no tenant {name:?}; there are: {}",
                        known.join(", ")
                    )
                })?;
                TenantScope::One(tenant.id)
            }
            None => TenantScope::All(tenants),
        };
        let connections = match &scope {
            TenantScope::All(all) => u32::try_from(all.len()).unwrap_or(u32::MAX).clamp(2, 40),
            TenantScope::One(_) => 2,
        };
        let pool = database.pool(Role::Api, connections).await?;
        let mut config = EngineConfig::new(pool, paths.lake());
        config.tail = Some(paths.tail());
        config.time_limit = limits.timeout.0;
        config.memory_bytes = limits.memory_mib << 20;
        config.max_rows = limits.max_rows;
        config.threads = limits.threads;
        let engine = Engine::new(config)?;
        let result = engine.session(scope).sql(&self.sql).await?;
        if let Some(why) = result.lake_only() {
            let end = result.as_of().map(crate::output::instant);
            let end = end.as_deref().unwrap_or("its begin");
            crate::output::note(&format!(
                "history ends at {end}, with what the lake holds, since its newest rows could not be had: {why}"
            ));
        }
        let format = match self.format {
            Format::Table => mast_query::Format::Table,
            Format::Json => mast_query::Format::Json,
            Format::Csv => mast_query::Format::Csv,
            Format::Arrow => mast_query::Format::Arrow,
        };
        let mut out = Vec::new();
        mast_query::format(result, format, &mut out).await?;
        crate::output::write(|stdout| stdout.write_all(&out))
    }
}

/// All tenants, read as the owner: the operator of the machine asks.
async fn tenants(database: &Database) -> anyhow::Result<Vec<Tenant>> {
    let owner = database.pool(Role::Owner, 1).await?;
    let rows =
        sqlx::query_as::<_, (uuid::Uuid, String)>("SELECT id, name FROM tenants ORDER BY name")
            .fetch_all(&owner)
            .await
            .context("list the tenants")?;
    owner.close().await;
    Ok(rows
        .into_iter()
        .map(|(id, name)| Tenant {
            id: mast_schemas::TenantId(id),
            name,
        })
        .collect())
}
