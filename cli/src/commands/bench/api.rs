//! `mast bench api`: lists of devices, as programs and dashboards ask for them.
//!
//! The API is the command `mast api`, a process of its own over a private Postgres. The inventory is imported as people import
//! it; what the dataflow says of its devices is written as the dataflow's role. This process asks.

use std::time::Duration;

use anyhow::{Context, bail};
use hyper::StatusCode;
use mast_api::inventory;
use mast_api::token::{self, NewToken};
use mast_benches::api::{Ask, Load as Askers};
use mast_benches::processes::{family_cpu_time, postmaster};
use mast_benches::{Launcher, Tied, cpu_time};
use mast_postgres::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use super::own;
use crate::config::Config;
use crate::standalone::{self, Database, Paths};

const TENANTS: [&str; 2] = ["north", "south"];
/// Devices of a site.
const SITE: u32 = 50;
/// Pages of each tenant's list that are asked for, in turn.
const PAGES: usize = 100;
/// Rows of a list.
const ROWS: u32 = 50;

/// What to run.
pub(super) struct Load {
    pub(super) devices: u32,
    pub(super) seconds: u32,
    pub(super) connections: u16,
}

/// The figures.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Devices in the inventory, of two tenants.
    devices: u32,
    /// Connections that asked.
    connections: u16,
    /// Lists of 50 devices a second, each another page or tenant than the last.
    list_per_s: f64,
    /// Half of them took at most so long.
    list_p50_ms: f64,
    /// Answers a second that say: you have it already (304); the lists are those 200, kept for 250 ms as is the default.
    not_modified_per_s: f64,
    /// Half of them took at most so long,
    not_modified_p50_ms: f64,
    /// and all but one in a hundred.
    not_modified_p99_ms: f64,
    /// Cores that each part used meanwhile.
    not_modified_cpu_cores: Cores,
    /// At half of `list_per_s`, half of the lists took at most so long,
    half_load_p50_ms: f64,
    /// and all but one in a hundred.
    half_load_p99_ms: f64,
    /// Cores that each part used while lists were asked for at full load.
    cpu_cores: Cores,
    /// The peer: so often a second `pgbench` gets such rows, by the same statement in the same kind of transaction, over as many
    /// connections to PostgreSQL as the API has, without an API. Null where there is none beside the server.
    pgbench_per_s: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Cores {
    api: f64,
    postgres: f64,
    asking: f64,
}

/// What `mast api` says when it is up.
#[derive(Deserialize)]
struct Up {
    api: String,
}

/// Runs the benchmark in a folder of its own, until it is done or `stop` completes: then there is no report.
pub(super) async fn run(
    load: &Load,
    config: &Config,
    launcher: &Launcher,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Option<Report>> {
    if load.devices < 2 * SITE || load.seconds == 0 || load.connections == 0 {
        bail!("--devices must be at least 100, --seconds and --connections at least 1");
    }
    let (_folder, config, paths, database) = own(config).await?;
    let done = tokio::select! {
        measured = measure(load, config.api.connections, &paths, &database, launcher) => measured.map(Some),
        () = stop => Ok(None),
    };
    let stopped = database.stop().await;
    let report = done?;
    stopped?;
    Ok(report)
}

async fn measure(
    load: &Load,
    connections: u32,
    paths: &Paths,
    database: &Database,
    launcher: &Launcher,
) -> anyhow::Result<Report> {
    crate::output::note(&format!("importing {} devices …", load.devices));
    fill(load, paths, database).await?;
    let lists = lists(database).await?;
    let start = async |list_age: &str| {
        // One asker stands for many: none of them is to be slowed.
        let settings = format!(
            "[api]\nconnections = {connections}\nrate_per_second = 1000000\nrate_burst = 1000000\n\
             list_age = '{list_age}'\n"
        );
        let file = paths.root().join("bench.toml");
        std::fs::write(&file, settings)?;
        let (data, file) = (paths.root().display(), file.display());
        let words = [
            "api".to_owned(),
            format!("--data={data}"),
            format!("--config={file}"),
            "--listen=127.0.0.1:0".to_owned(),
        ];
        let mut api = launcher.tied("the API", words)?;
        let up: Up = api.says().await?;
        let askers = Askers {
            address: up.api.trim_start_matches("http://").parse()?,
            connections: usize::from(load.connections),
            time: Duration::from_secs(u64::from(load.seconds)),
        };
        anyhow::Ok((api, askers))
    };
    // Each list is read for who asks.
    let (api, askers) = start("0s").await?;
    crate::output::note("warming up …");
    let mut asks = Vec::new();
    for list in &lists {
        asks.extend(askers.pages(list, PAGES).await?);
    }
    crate::output::note("lists, as many as are answered …");
    let meter = Meter::start(&api, paths);
    let list = askers.full(&asks, StatusCode::OK).await?;
    let cpu_cores = meter.cores();
    crate::output::note("lists at half load …");
    let half = askers.at(list.per_s / 2.0, &asks).await?;
    drop(api);
    // As it is set for everybody: who asks again soon is told so without a query.
    let (api, askers) = start("250ms").await?;
    crate::output::note("lists that the asker has already …");
    let tagged = askers.tagged(&asks).await?;
    let meter = Meter::start(&api, paths);
    let not_modified = askers.full(&tagged, StatusCode::NOT_MODIFIED).await?;
    let not_modified_cpu_cores = meter.cores();
    drop(api);
    crate::output::note("the same lists by pgbench …");
    let pgbench_per_s = pgbench(load, connections, paths, database).await?;
    Ok(Report {
        devices: load.devices,
        connections: load.connections,
        list_per_s: list.per_s,
        list_p50_ms: list.p50_ms,
        not_modified_per_s: not_modified.per_s,
        not_modified_p50_ms: not_modified.p50_ms,
        not_modified_p99_ms: not_modified.p99_ms,
        not_modified_cpu_cores,
        half_load_p50_ms: half.p50_ms,
        half_load_p99_ms: half.p99_ms,
        cpu_cores,
        pgbench_per_s,
    })
}

/// Lists a second that `pgbench` gets, each tenant's as often. It lies where the server's own programs do; where it is not, or
/// the server is not ours, there is no figure to compare with.
async fn pgbench(
    load: &Load,
    connections: u32,
    paths: &Paths,
    database: &Database,
) -> anyhow::Result<Option<f64>> {
    let server = postmaster(paths.root());
    let program = server.and_then(|id| std::fs::read_link(format!("/proc/{id}/exe")).ok());
    let program = program.map(|server| server.with_file_name("pgbench"));
    let Some(program) = program.filter(|program| program.is_file()) else {
        crate::output::note("there is no pgbench beside a server of ours: nothing to compare with");
        return Ok(None);
    };
    let statement = mast_api::device_page_statement(ROWS).context("the list has no statement")?;
    // The pages that the API is asked for.
    let each = load.devices / TENANTS.len() as u32;
    let last = each.min(PAGES as u32 * ROWS).saturating_sub(ROWS);
    let pool = database.pool(Role::Owner, 1).await?;
    let mut command = Command::new(program);
    for name in TENANTS {
        let tenant = mast_postgres::find_tenant(&pool, name).await?;
        let tenant = tenant.context("a tenant of the benchmark is gone")?.0;
        let before = format!("ARRAY['{name}-' || lpad((:n)::text, 5, '0')]");
        let list = statement
            .replace("$1", &format!("'{tenant}'::uuid"))
            .replace("$2", &before)
            .replace('\n', " ");
        // In one message, as the API sends it.
        let begin = format!(
            "\\startpipeline\nBEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n\
             SET LOCAL mast.tenant_id = '{tenant}';\n\\endpipeline"
        );
        let script = format!("\\set n random(0, {last})\n{begin}\n{list};\nROLLBACK;\n");
        let file = paths.root().join(format!("{name}.pgbench"));
        std::fs::write(&file, script)?;
        command.arg("--file").arg(file);
    }
    pool.close().await;
    let login = database.options(Role::Api).await?;
    let host = login.get_socket().map_or_else(
        || login.get_host().into(),
        |socket| socket.display().to_string(),
    );
    let ran = command
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={connections}"))
        .arg(format!("--time={}", load.seconds))
        .env("PGHOST", host)
        .env("PGPORT", login.get_port().to_string())
        .env("PGUSER", login.get_username())
        .env("PGDATABASE", login.get_database().unwrap_or("mast"))
        // As the API's own connections have it.
        .env("PGOPTIONS", "-c plan_cache_mode=force_generic_plan")
        .env_remove("PGSERVICE")
        .kill_on_drop(true)
        .output()
        .await
        .context("run pgbench")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let per_s = said.lines().find_map(|line| {
        let rate = line.strip_prefix("tps = ")?;
        rate.split(' ').next()?.parse().ok()
    });
    let per_s = per_s.filter(|_| ran.status.success());
    if per_s.is_none() {
        let why = String::from_utf8_lossy(&ran.stderr);
        crate::output::note(&format!("pgbench has no figure: {said}{why}"));
    }
    Ok(per_s)
}

/// Who uses how much CPU from now on.
struct Meter<'a> {
    api: &'a Tied,
    paths: &'a Paths,
    began: Instant,
    before: [Duration; 3],
}

impl<'a> Meter<'a> {
    fn start(api: &'a Tied, paths: &'a Paths) -> Self {
        Self {
            api,
            paths,
            began: Instant::now(),
            before: Self::used(api, paths),
        }
    }

    fn used(api: &Tied, paths: &Paths) -> [Duration; 3] {
        let postgres = postmaster(paths.root()).map(family_cpu_time);
        [api.cpu_time(), postgres.unwrap_or_default(), cpu_time()]
    }

    fn cores(&self) -> Cores {
        let wall = self.began.elapsed().as_secs_f64();
        let used = Self::used(self.api, self.paths);
        let [api, postgres, asking] =
            std::array::from_fn(|i| used[i].saturating_sub(self.before[i]).as_secs_f64() / wall);
        Cores {
            api,
            postgres,
            asking,
        }
    }
}

/// The inventory, and what the dataflow would say of it.
async fn fill(load: &Load, paths: &Paths, database: &Database) -> anyhow::Result<()> {
    let each = load.devices / TENANTS.len() as u32;
    let tenant = |(n, name): (usize, &&str)| {
        let sites: Vec<Value> = (0..each.div_ceil(SITE))
            .map(|site| json!({ "name": format!("{name} {site}") }))
            .collect();
        let device = |i: u32| {
            json!({
                "name": format!("{name}-{i:05}"),
                "address": format!("10.{n}.{}.{}", i / 250, i % 250 + 1),
                "username": "mast",
                "password": "secret",
                "site": format!("{name} {}", i / SITE),
            })
        };
        json!({ "name": name, "sites": sites, "devices": (0..each).map(device).collect::<Vec<_>>() })
    };
    let tenants: Vec<Value> = TENANTS.iter().enumerate().map(tenant).collect();
    let inventory = inventory::parse(&json!({ "tenants": tenants }).to_string())?;
    let options = inventory::Options {
        dry_run: false,
        default_interval_ms: 60_000,
    };
    let (pool, keys) = (database.pool(Role::Api, 1).await?, standalone::keys(paths)?);
    inventory::import(&pool, keys.as_ref(), &inventory, options).await?;
    pool.close().await;
    let pool = database.pool(Role::Owner, 1).await?;
    let statements = [
        "INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, 7000000000)",
        // The owner is bound by the tenants' policies too, unless they are lifted for the moment.
        "ALTER TABLE devices NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE device_status NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE device_gauges NO FORCE ROW LEVEL SECURITY",
        "INSERT INTO device_status
         SELECT id, tenant_id, CASE WHEN n % 20 = 0 THEN 'offline' ELSE 'online' END, now(), 'ok', name,
             '6.49.10 (long-term)', 'RB750Gr3', 'mmips', 'HD2084' || n, '6.49.10', 7000000000
         FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM devices) AS device",
        "INSERT INTO device_gauges
         SELECT id, tenant_id, now(), 12, n % 100, 150000000 + n, 86400 + n
         FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM devices) AS device",
        "ALTER TABLE devices FORCE ROW LEVEL SECURITY",
        "ALTER TABLE device_status FORCE ROW LEVEL SECURITY",
        "ALTER TABLE device_gauges FORCE ROW LEVEL SECURITY",
        "ANALYZE devices, device_status, device_gauges, sites",
    ];
    for statement in statements {
        sqlx::query(statement)
            .execute(&pool)
            .await
            .context(statement)?;
    }
    pool.close().await;
    Ok(())
}

/// A list of all devices for each tenant, by name.
async fn lists(database: &Database) -> anyhow::Result<Vec<Ask>> {
    let pool = database.pool(Role::Owner, 1).await?;
    let mut asks = Vec::new();
    for name in TENANTS {
        let tenant_id = mast_postgres::find_tenant(&pool, name).await?;
        let new = NewToken {
            tenant_id,
            name: "bench".to_owned(),
            role: token::Role::Viewer,
            lifetime_s: 86_400,
        };
        let (_, token) = token::create(&pool, &new).await?;
        asks.push(Ask {
            path: format!("/api/v1/devices?limit={ROWS}&sort=name"),
            token: token.expose().to_owned(),
            tag: None,
        });
    }
    pool.close().await;
    Ok(asks)
}
