//! `mast demo`: everything on one machine, with a simulated fleet and its truth.

use std::io::IsTerminal;
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
use crate::commands::shared::{Place, environment, stop_in_order};
use crate::commands::simulate::{scenario, towers};
use crate::compare::{Comparison, Served, compare};
use crate::config::{Config, Flags};
use crate::standalone::{
    Database, INTERRUPTED, Installation, Paths, Whole, keys_of, replace, stop_signal,
};
use crate::summary::{Picture, Screen};

/// Run everything on this machine: a simulated fleet of two tenants, ingest over the real RouterOS API, log, dataflow,
/// Postgres, lake; and show the views beside the truth.
///
/// The first start takes some seconds. Ctrl-C stops all in order; a second start on the same folder goes on where the first
/// one stopped, also after kill -9. Where standard output is no terminal, or with --json or --for, its last line is a JSON
/// object with the result.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Managed devices to simulate [default: 300]
    #[arg(long)]
    devices: Option<usize>,
    /// Towers that they are on; 0 = one for 25 devices [default: 0]
    #[arg(long)]
    towers: Option<usize>,
    /// Interval of the polls [default: 2s]
    #[arg(long)]
    interval: Option<Pace>,
    #[command(flatten)]
    place: Place,
    /// Scenario file: one event a line, such as `at 1m rain site=3 db=25 for=2m`.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Seed of the fleet [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// End after this time.
    #[arg(long = "for")]
    duration: Option<Pace>,
    /// No picture; progress as lines on standard error, the result as JSON on standard output.
    #[arg(long)]
    json: bool,
    /// Worker threads of the dataflow [default: 1]
    #[arg(long)]
    workers: Option<usize>,
}

const EXAMPLES: &str = "\
Examples:
  mast demo                                        300 devices on 12 towers, data in ./mast-demo
  mast demo --devices 2000 --interval 10s --data big
  mast demo --log kafka --brokers localhost:9092   the log in Kafka
  mast demo --for 60s --json                       a minute, then the result for a program
  mast demo --scenario storm.txt                   trouble by the clock (simulator/README.md)

While it runs, in another terminal: `mast query`, `mast simulate ctl`, `mast verify`; each --help has examples.";

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
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.place
            .flags(flags)?
            .with("--devices", "simulator.devices", self.devices.as_ref())?
            .with("--towers", "simulator.towers", self.towers.as_ref())?
            .with("--seed", "simulator.seed", self.seed.as_ref())?
            .with("--scenario", "simulator.scenario", self.scenario.as_ref())?
            .with("--interval", "demo.interval", self.interval.as_ref())?
            .with("--workers", "dataflow.workers", self.workers.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let mut screen = Screen::new(self.json);
        let mut demo = tokio::select! {
            demo = Demo::start(config, &mut screen) => demo?,
            () = &mut stop => {
                screen.step("stopped before everything was up; the next start goes on");
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        let end = self.duration.map(|d| tokio::time::Instant::now() + d.0);
        let ended = demo.show(&mut screen, &mut stop, end).await;
        let report = demo.report().await;
        let root = demo.root.clone();
        let code = stop_in_order(&screen, &root, demo.stop()).await?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
        ended?;
        let report = report?;
        // People have seen the picture; a program gets the result.
        if self.json || self.duration.is_some() || !std::io::stdout().is_terminal() {
            crate::output::json(&report)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A running demo.
struct Demo {
    installation: Installation,
    fleet: FleetHandle,
    pool: PgPool,
    tenants: Vec<TenantId>,
    root: PathBuf,
    interval: Duration,
    begun: Instant,
    devices: usize,
    last: (Instant, u64, u64),
    /// Freshness when everything was online first: what was seen before is warm-up.
    warm: Option<Freshness>,
    /// What was shown last.
    shown: Picture,
}

impl Demo {
    async fn start(config: &Config, screen: &mut Screen) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let paths = Paths::made(&config.data)?;
        let root = paths.root().to_owned();
        let known = Paths::existing(&root).is_ok();
        screen.step(&format!("everything is kept in {}", root.display()));
        screen.step("starting PostgreSQL …");
        let database = Database::owned(config, &paths).await?;
        let devices = config.simulator.devices;
        screen.step(&format!("starting {devices} simulated devices …"));
        let fleet = start_fleet(config, &paths).await?;
        screen.step("importing the inventory …");
        let pool = database.pool(Role::Api, 4).await?;
        let tenants = import(config, &paths, &database, &pool, &fleet).await?;
        let before = Served::read(&pool, &tenants).await?;
        if known {
            screen.step(&format!(
                "going on where the last run stopped: {} devices, {} links, {} of them live",
                before.devices.len(),
                before.links.len(),
                before.live()
            ));
        }
        screen.step("starting the dataflow and ingest …");
        // The fleet holds an end of each session too.
        let whole = Whole {
            name: "demo",
            other_descriptors: devices as u64,
            needs_api: false,
        };
        let installation = Installation::start(config, &paths, database, &whole).await?;
        screen.hints(hints(&root, &installation));
        Ok(Self {
            installation,
            fleet,
            pool,
            tenants,
            root,
            interval: config.demo.interval.0,
            begun,
            devices,
            last: (begun, 0, 0),
            warm: None,
            shown: Picture::default(),
        })
    }

    /// Shows the views until it is stopped, time is up or the dataflow fails.
    async fn show(
        &mut self,
        screen: &mut Screen,
        stop: &mut (impl Future<Output = ()> + Unpin),
        end: Option<tokio::time::Instant>,
    ) -> anyhow::Result<()> {
        let time_is_up = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(time_is_up);
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = &mut *stop => return Ok(()),
                () = &mut time_is_up => return Ok(()),
                _ = ticks.tick() => {
                    // While PostgreSQL is away a look may take long: whoever stops the demo does not wait for it.
                    let looked = tokio::select! {
                        () = &mut *stop => return Ok(()),
                        () = &mut time_is_up => return Ok(()),
                        looked = self.tick() => looked,
                    };
                    match looked {
                        Ok(picture) => {
                            screen.draw(&picture);
                            self.shown = picture;
                        }
                        Err(error) => {
                            tracing::warn!(error = format!("{error:#}"), "the views cannot be read");
                            screen.draw(&self.stale(&error));
                        }
                    }
                }
                failed = self.installation.job.finished() => {
                    failed.context("the dataflow stopped")?;
                    anyhow::bail!("the dataflow stopped");
                }
            }
        }
    }

    /// Looks at everything once.
    async fn look(&self) -> anyhow::Result<(Served, Comparison, NodeStats, JobStatus)> {
        let served = Served::read(&self.pool, &self.tenants).await?;
        let comparison = compare(&self.fleet, &served, now_ms(), self.interval);
        let status = self.installation.job.status().borrow().clone();
        Ok((served, comparison, self.installation.node.stats(), status))
    }

    /// The last picture, with why there is no newer one.
    fn stale(&self, error: &anyhow::Error) -> Picture {
        let mut trouble = self.installation.health.trouble();
        trouble.push(format!("the views are those of before: {error:#}"));
        Picture {
            elapsed_s: self.begun.elapsed().as_secs(),
            trouble,
            ..self.shown.clone()
        }
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
            warm: self.warm.is_some(),
            trouble: self.installation.health.trouble(),
        })
    }

    async fn report(&self) -> anyhow::Result<Report> {
        let (served, comparison, stats, status) = self.look().await?;
        for difference in &comparison.differences {
            crate::output::note(&format!("differs from the truth: {difference}"));
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

/// Imports the fleet's inventory; its tenants.
async fn import(
    config: &Config,
    paths: &Paths,
    database: &Database,
    pool: &PgPool,
    fleet: &FleetHandle,
) -> anyhow::Result<Vec<TenantId>> {
    let inventory = fleet.inventory();
    let options = Options {
        dry_run: false,
        default_interval_ms: u32::try_from(config.demo.interval.0.as_millis())
            .context("--interval is too long")?,
    };
    let keys = keys_of(paths, database).await?;
    inventory::import(pool, keys.as_ref(), &inventory, options).await?;
    let mut tenants = Vec::new();
    for tenant in &inventory.tenants {
        tenants.extend(find_tenant(pool, &tenant.name).await?);
    }
    Ok(tenants)
}

async fn start_fleet(config: &Config, paths: &Paths) -> anyhow::Result<FleetHandle> {
    let scenario = scenario(&config.simulator)?;
    let saved = paths.root().join("simulator.ports");
    let ports = std::fs::read_to_string(&saved).ok().and_then(|text| {
        let (plain, tls) = text.trim().split_once(' ')?;
        Some((plain.parse().ok()?, tls.parse().ok()?))
    });
    let fleet = |(api_port, api_ssl_port)| FleetConfig {
        devices: config.simulator.devices,
        towers: towers(&config.simulator),
        seed: config.simulator.seed,
        api_port,
        api_ssl_port,
        scenario: scenario.clone(),
        control_socket: Some(paths.simulator_socket()),
        journal: Some(paths.simulator_journal()),
        interval_s: Some(config.demo.interval.0.as_secs_f64()),
        ..FleetConfig::default()
    };
    // The ports of the last start are tried first: then no device has moved.
    let fleet = match Fleet::start(fleet(ports.unwrap_or((0, 0)))).await {
        Ok(fleet) => fleet,
        Err(_) if ports.is_some() => Fleet::start(fleet((0, 0)))
            .await
            .context("start the fleet (another --data begins anew)")?,
        Err(error) => {
            return Err(error).context("start the fleet (another --data begins anew)");
        }
    };
    replace(
        &saved,
        &format!("{} {}", fleet.api_port(), fleet.api_ssl_port()),
    )
    .with_context(|| format!("write {}", saved.display()))?;
    Ok(fleet)
}

/// Commands to try, as they can be pasted into a shell of any folder.
fn hints(root: &Path, installation: &Installation) -> Vec<String> {
    let mut hints = vec![
        environment(root),
        "mast query \"SELECT state, count(*) FROM links GROUP BY state\"".to_owned(),
        "mast query \"SELECT at, mac, to_state FROM link_events ORDER BY at DESC LIMIT 9\""
            .to_owned(),
        "mast simulate ctl rain site=3 db=30 for=1m       # watch links degrade".to_owned(),
        "mast simulate ctl ap_dead ap=tower-01-s1-ap for=30s".to_owned(),
        "mast verify                                      # recount every view".to_owned(),
    ];
    if let Some(api) = &installation.api {
        hints.push(format!(
            "mast token create --tenant north --name me       # a token for {}",
            api.docs()
        ));
    }
    hints
}

fn now_ms() -> i64 {
    Timestamp::from_system(SystemTime::now()).millis()
}
