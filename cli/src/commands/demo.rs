//! `mast demo`: everything on one machine, with a simulated fleet and its truth.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use mast_api::inventory::{self, Options};
use mast_dataflow::job::{Freshness, JobStatus};
use mast_ingest::{NodeStats, Status};
use mast_postgres::{Role, find_tenant};
use mast_schemas::{TenantId, Timestamp};
use mast_simulator::{Fleet, FleetConfig, FleetHandle};
use serde::Serialize;
use sqlx::PgPool;

use crate::commands::Pace;
use crate::compare::{Comparison, Served, compare};
use crate::standalone::{Database, Installation, Paths, Settings, keys, stop_signal};
use crate::summary::{Picture, Screen};

/// Run everything on this machine: a simulated fleet of two tenants, ingest over the real RouterOS API, log, dataflow,
/// Postgres, lake; and show the views beside the truth.
///
/// The first start takes some seconds. Ctrl-C stops all in order; a second start on the same folder goes on where the first
/// one stopped, also after kill -9. The last line of standard output is a JSON object with --json or --for.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Managed devices to simulate.
    #[arg(long, default_value_t = 300)]
    devices: usize,
    /// Interval of the polls.
    #[arg(long, default_value = "2s")]
    interval: Pace,
    /// Where everything is kept.
    #[arg(long, default_value = "mast-demo")]
    data: PathBuf,
    /// Scenario file: one event a line, such as `at 1m rain site=3 db=25 for=2m`.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Seed of the fleet.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End after this time.
    #[arg(long = "for")]
    duration: Option<Pace>,
    /// No picture; progress as lines on standard error, the result as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Worker threads of the dataflow.
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

/// The result, one JSON object.
#[derive(Debug, Serialize)]
struct Report {
    devices: usize,
    online: usize,
    links_truth: usize,
    links_live: usize,
    mismatches: usize,
    polls: u64,
    polls_failed: u64,
    rows: u64,
    fresh_p50_ms: Option<u64>,
    fresh_p99_ms: Option<u64>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let mut screen = Screen::new(self.json);
        let mut demo = tokio::select! {
            demo = Demo::start(&self, &screen) => demo?,
            () = &mut stop => return Ok(ExitCode::from(130)),
        };
        let end = self.duration.map(|d| tokio::time::Instant::now() + d.0);
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let ended = loop {
            let time_is_up = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => break Ok(()),
                () = time_is_up => break Ok(()),
                _ = ticks.tick() => match demo.tick().await {
                    Ok(picture) => screen.draw(&picture),
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "the views cannot be read"),
                },
                failed = demo.installation.job.finished() => {
                    break failed.context("the dataflow stopped").and_then(|()| anyhow::bail!("the dataflow stopped"));
                }
            }
        };
        let report = demo.report().await;
        screen.step("stopping: ingest, dataflow, Postgres, fleet …");
        demo.stop().await?;
        ended?;
        crate::output::json(&report?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A running demo.
struct Demo {
    installation: Installation,
    fleet: FleetHandle,
    pool: PgPool,
    tenants: Vec<TenantId>,
    interval: Duration,
    begun: Instant,
    devices: usize,
    hints: Vec<String>,
    last: (Instant, u64, u64),
    /// Freshness when everything was online first: what was seen before is warm-up.
    warm: Option<Freshness>,
}

impl Demo {
    async fn start(args: &Args, screen: &Screen) -> anyhow::Result<Self> {
        let begun = Instant::now();
        std::fs::create_dir_all(&args.data)
            .with_context(|| format!("make {}", args.data.display()))?;
        let root = args
            .data
            .canonicalize()
            .with_context(|| format!("find {}", args.data.display()))?;
        let paths = Paths::new(&root);
        screen.step(&format!("data in {}", root.display()));
        screen.step("starting PostgreSQL …");
        let database = Database::start(&paths).await?;
        screen.step(&format!("starting {} simulated devices …", args.devices));
        let fleet = start_fleet(args, &paths).await?;
        screen.step("importing the inventory …");
        let inventory = fleet.inventory();
        let pool = database.pool(Role::Api, 4).await?;
        let default_interval_ms =
            u32::try_from(args.interval.0.as_millis()).context("--interval is too long")?;
        let options = Options {
            dry_run: false,
            default_interval_ms,
        };
        inventory::import(&pool, keys(&paths)?.as_ref(), &inventory, options).await?;
        let mut tenants = Vec::new();
        for tenant in &inventory.tenants {
            tenants.extend(find_tenant(&pool, &tenant.name).await?);
        }
        screen.step("starting the dataflow and ingest …");
        let settings = Settings {
            workers: args.workers,
            gauge_interval: Duration::from_secs(10),
            lake_every: Duration::from_secs(10),
            checkpoint_every: Duration::from_secs(20),
        };
        let installation = Installation::start(&paths, database, &settings).await?;
        let first = inventory.tenants.first().map_or("", |t| t.name.as_str());
        let hints = hints(&args.data, &paths.simulator_socket(), first);
        Ok(Self {
            installation,
            fleet,
            pool,
            tenants,
            interval: args.interval.0,
            begun,
            devices: args.devices,
            hints,
            last: (begun, 0, 0),
            warm: None,
        })
    }

    /// Looks at everything once.
    async fn look(&self) -> anyhow::Result<(Served, Comparison, NodeStats, JobStatus)> {
        let served = Served::read(&self.pool, &self.tenants).await?;
        let comparison = compare(&self.fleet, &served, now_ms(), self.interval);
        let status = self.installation.job.status().borrow().clone();
        Ok((served, comparison, self.installation.node.stats(), status))
    }

    async fn tick(&mut self) -> anyhow::Result<Picture> {
        let (served, comparison, stats, status) = self.look().await?;
        let online = served.devices_in("online");
        if self.warm.is_none() && online == self.devices {
            self.warm = Some(status.freshness.clone());
        }
        let (then, polls, rows) = self.last;
        let passed = then.elapsed().as_secs_f64().max(0.001);
        self.last = (Instant::now(), stats.polls, stats.rows);
        let fresh = self.warm.as_ref().map_or_else(
            || status.freshness.clone(),
            |warm| status.freshness.since(warm),
        );
        Ok(Picture {
            elapsed_s: self.begun.elapsed().as_secs(),
            waiting: match stats.status {
                Status::Polling(_) => None,
                Status::Waiting(reason) => Some(reason),
                Status::Stopped => Some("stopped".to_owned()),
            },
            polls_per_s: stats.polls.saturating_sub(polls) as f64 / passed,
            rows_per_s: stats.rows.saturating_sub(rows) as f64 / passed,
            polls_failed: stats.polls_failed,
            lag_ms: status.lag_ms,
            fresh_ms: (fresh.percentile_ms(0.5), fresh.percentile_ms(0.99)),
            devices: served.devices.len(),
            device_states: ["online", "offline", "unmanageable", "unobserved"]
                .map(|s| served.devices_in(s)),
            link_states: ["discovered", "active", "degraded", "down", "stale"]
                .map(|s| served.links_in(s)),
            links_truth: comparison.links_truth,
            differences: comparison.differences,
            transitions: served.transitions,
            hints: self.hints.clone(),
        })
    }

    async fn report(&self) -> anyhow::Result<Report> {
        let (served, comparison, stats, status) = self.look().await?;
        for difference in &comparison.differences {
            eprintln!("differs from the truth: {difference}");
        }
        let fresh = self.warm.as_ref().map_or_else(
            || status.freshness.clone(),
            |warm| status.freshness.since(warm),
        );
        Ok(Report {
            devices: served.devices.len(),
            online: served.devices_in("online"),
            links_truth: comparison.links_truth,
            links_live: served.live(),
            mismatches: comparison.differences.len(),
            polls: stats.polls,
            polls_failed: stats.polls_failed,
            rows: stats.rows,
            fresh_p50_ms: fresh.percentile_ms(0.5),
            fresh_p99_ms: fresh.percentile_ms(0.99),
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.pool.close().await;
        self.installation.stop().await?;
        self.fleet.stop().await;
        Ok(())
    }
}

async fn start_fleet(args: &Args, paths: &Paths) -> anyhow::Result<FleetHandle> {
    let scenario = match &args.scenario {
        Some(file) => Some(
            std::fs::read_to_string(file)
                .with_context(|| format!("read the scenario {}", file.display()))?,
        ),
        None => None,
    };
    let saved = paths.root().join("simulator.ports");
    let ports = std::fs::read_to_string(&saved).ok().and_then(|text| {
        let (plain, tls) = text.trim().split_once(' ')?;
        Some((plain.parse().ok()?, tls.parse().ok()?))
    });
    let config = |(api_port, api_ssl_port)| FleetConfig {
        devices: args.devices,
        seed: args.seed,
        api_port,
        api_ssl_port,
        scenario: scenario.clone(),
        control_socket: Some(paths.simulator_socket()),
        journal: Some(paths.simulator_journal()),
        interval_s: Some(args.interval.0.as_secs_f64()),
        ..FleetConfig::default()
    };
    // The ports of the last start are tried first: then no device has moved.
    let fleet = match Fleet::start(config(ports.unwrap_or((0, 0)))).await {
        Ok(fleet) => fleet,
        Err(_) if ports.is_some() => Fleet::start(config((0, 0)))
            .await
            .context("start the fleet")?,
        Err(error) => return Err(error).context("start the fleet"),
    };
    std::fs::write(
        &saved,
        format!("{} {}", fleet.api_port(), fleet.api_ssl_port()),
    )
    .with_context(|| format!("write {}", saved.display()))?;
    Ok(fleet)
}

fn hints(data: &Path, socket: &Path, tenant: &str) -> Vec<String> {
    let (data, socket) = (data.display(), socket.display());
    vec![
        format!("mast query \"SELECT state, count(*) FROM links GROUP BY state\" --data {data}"),
        format!(
            "mast query \"SELECT * FROM link_events ORDER BY at DESC LIMIT 10\" --data {data} --tenant {tenant}"
        ),
        format!("mast simulate ctl --socket {socket} rain site=3 db=30 for=1m"),
        format!("mast simulate ctl --socket {socket} ap_dead ap=tower-01-s1-ap for=30s"),
        format!("mast verify --data {data}"),
    ]
}

fn now_ms() -> i64 {
    Timestamp::from_system(SystemTime::now()).millis()
}
