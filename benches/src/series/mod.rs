//! The series of a year of one link, asked of the API over a lake that holds a year of many.
//!
//! History is written as a job writes it: samples through the lake's writer, a day a commit, then rollups, compaction and
//! retention by its upkeep. Asked is what a chart asks, over HTTP. The trap avoided: asking for one link again and again, whose
//! pages would lie in the system's cache; each request is of another link.

mod ask;
mod fleet;
mod history;

use std::time::Duration;

use mast_api::token::{self, NewToken};
use mast_api::{ApiConfig, Server};
use mast_lake::{LakeConfig, Table, contents};
use mast_postgres::{Private, Role, migrate, tenant_tx};
use mast_query::{Engine, EngineConfig};
use mast_schemas::Timestamp;
use mast_schemas::time::Span;
use mast_secrets::KeyFile;
use serde::Serialize;
use sqlx::PgPool;

use crate::BenchError;
pub use ask::Asked;
use ask::Asker;
use fleet::Fleet;
use history::History;

/// What is written and asked.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Links, 25 an access point.
    pub links: u32,
    /// Seconds between two samples of a link.
    pub every_s: u32,
    /// Days of history.
    pub days: u32,
    /// Requests for each number of points.
    pub requests: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            links: 1_000,
            every_s: 3_600,
            days: 365,
            requests: 100,
        }
    }
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// As asked for.
    pub links: u32,
    /// As asked for.
    pub days: u32,
    /// Samples written.
    pub samples: u64,
    /// Rows of rollups written.
    pub rolled_up: u64,
    /// Files of the lake when it is asked, without what retention dropped.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds that the writer took.
    pub write_s: f64,
    /// Seconds that the rollups took.
    pub roll_up_s: f64,
    /// Seconds that compaction and retention took.
    pub order_s: f64,
    /// Of a chart of as many points as there are days.
    pub coarse: Asked,
    /// Of a chart of 300 points.
    pub usual: Asked,
    /// Of a chart of 2,000 points.
    pub fine: Asked,
}

/// End of the history, a day's.
const END: Timestamp = Timestamp::from_secs(20_000 * 86_400);
const DAY: Span = Span::hours(24);

/// Writes, orders and asks. Needs the programs of PostgreSQL.
///
/// # Errors
/// [`BenchError`].
pub async fn run(options: Options, note: &mut dyn FnMut(&str)) -> Result<Report, BenchError> {
    if options.links == 0 || options.every_s == 0 || options.days < 2 || options.requests == 0 {
        let what = "at least a link, a second, two days and a request";
        return Err(BenchError::Options(what.to_owned()));
    }
    let folder = tempfile::tempdir().map_err(BenchError::system("a folder for the lake"))?;
    let private = Private::start(&folder.path().join("postgres")).await?;
    let owner = private.pool(Role::Owner, 2).await?;
    migrate(&owner).await?;
    let (api, dataflow) = (
        private.pool(Role::Api, 4).await?,
        private.pool(Role::Dataflow, 1).await?,
    );
    let fleet = Fleet::new(options.links);
    views(&api, &dataflow, &fleet).await?;
    let config = LakeConfig {
        root: folder.path().join("lake"),
        job: "main".to_owned(),
        generation: 1,
        max_rows_per_file: 1_000_000,
        target_bytes: 128 << 20,
    };
    let mut conn = dataflow.acquire().await?;
    let begin = END - Span(DAY.0 * i64::from(options.days));
    let mut history = History::new(&mut conn, config.clone()).await?;
    for day in 0..options.days {
        let from = begin + Span(DAY.0 * i64::from(day));
        history
            .day(&mut conn, &fleet, from, options.every_s)
            .await?;
        if day % 30 == 29 || day + 1 == options.days {
            history.upkeep(&mut conn).await?;
            note(&format!("{} of {} days", day + 1, options.days));
        }
    }
    let stored = contents(&mut conn, &Table::ALL).await?;
    let engine = Engine::new(EngineConfig::new(
        private.pool(Role::Api, 4).await?,
        config.root,
    ))?;
    let keys = KeyFile::open_or_create(&folder.path().join("key"))?;
    let mut service = ApiConfig::new(api, engine, std::sync::Arc::new(keys));
    (service.rate.per_second, service.rate.burst) = (1_000_000, 1_000_000);
    let server = Server::start(([127, 0, 0, 1], 0).into(), service).await?;
    let new = NewToken {
        tenant_id: Some(fleet.tenant),
        name: "bench".to_owned(),
        role: token::Role::Viewer,
        lifetime_s: 86_400,
    };
    let (_, token) = token::create(&owner, &new).await?;
    let mut asker = Asker::new(server.address(), token.expose().to_owned()).await?;
    let mut ask = async |points| {
        asker
            .chart(&fleet, (begin, END), options.requests, points)
            .await
    };
    let (coarse, usual, fine) = (ask(options.days).await?, ask(300).await?, ask(2_000).await?);
    server.stop(Duration::from_secs(1)).await;
    let report = Report {
        links: options.links,
        days: options.days,
        samples: history.samples,
        rolled_up: history.rolled_up,
        files: stored.files.len(),
        bytes: stored.files.iter().map(|file| file.summary.bytes).sum(),
        write_s: history.write_s,
        roll_up_s: history.roll_up_s,
        order_s: history.order_s,
        coarse,
        usual,
        fine,
    };
    drop(conn);
    private.stop().await?;
    Ok(report)
}

/// The tenant, and its links as the dataflow shows them.
async fn views(api: &PgPool, dataflow: &PgPool, fleet: &Fleet) -> Result<(), BenchError> {
    let mut tx = tenant_tx(api, fleet.tenant).await?;
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'bench')")
        .bind(fleet.tenant.0)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    sqlx::query("INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, 0)")
        .execute(dataflow)
        .await?;
    let (aps, radios, macs) = fleet.keys();
    sqlx::query(
        "INSERT INTO links (tenant_id, ap_device_id, radio_mac, mac, interface, source, state, since, reason, discovered_at,
             unobserved, ambiguous, epoch)
         SELECT $1, ap, radio, mac, 'wlan1', 'wireless', 'active', now(), 'confirmed', now(), false, false, 0
         FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS link (ap, radio, mac)",
    )
    .bind(fleet.tenant.0)
    .bind(aps)
    .bind(radios)
    .bind(macs)
    .execute(dataflow)
    .await?;
    Ok(())
}
