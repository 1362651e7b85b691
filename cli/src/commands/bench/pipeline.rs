//! `mast bench pipeline`: the whole way of a sample, under the load of a fleet.
//!
//! The simulator and ingest are the commands `mast simulate` and `mast ingest`, each a process of its own. This process is the
//! dataflow, with the database and the log that it owns, so that it can tell when a row was visible. What was polled is
//! counted from the log. The API is in this process too, and listeners hear from it what changes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use mast_api::token::{self, NewToken, Role as TokenRole};
use mast_api::{Server, inventory};
use mast_benches::pipeline::{Follower, Part, Report};
use mast_benches::processes::{family, family_cpu_time, postmaster};
use mast_benches::{Launcher, Tied, cpu_time, percentile, resident_bytes};
use mast_dataflow::job::{Freshness, JobHandle};
use mast_log::{Log, LogServer};
use mast_postgres::{Role, find_tenant};
use mast_schemas::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::listener::Listeners;
use super::own;
use crate::commands::Pace;
use crate::commands::simulate::Mix;
use crate::config::{Config, Kind};
use crate::standalone::{self, Database, Paths};

/// A poll that was begun at the end of the measurement is in the log so much later at the latest.
const GRACE: Duration = Duration::from_secs(11);

/// File of the fleet's devices.
const INVENTORY: &str = "inventory.json";

/// What to run.
pub(super) struct Load {
    pub(super) devices: u32,
    pub(super) interval: Pace,
    pub(super) mix: Mix,
    pub(super) seconds: u32,
    pub(super) seed: u64,
}

impl Load {
    fn interval_ms(&self) -> anyhow::Result<u32> {
        u32::try_from(self.interval.0.as_millis()).context("--interval is too long")
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(10..=15_000).contains(&self.devices) {
            bail!(
                "--devices {} is out of range: 10 to 15000, as many as a simulator has",
                self.devices
            );
        }
        if self.interval.0 < Duration::from_secs(1) || self.seconds == 0 {
            bail!("--interval and --seconds must be at least a second");
        }
        Ok(())
    }
}

/// Everything that runs.
struct Parts {
    paths: Paths,
    fleet: Tied,
    ingest: Tied,
    job: JobHandle,
    follower: Follower,
    api: Server,
    listeners: Listeners,
    log: Arc<dyn Log>,
    _served: Option<LogServer>,
}

/// Runs the benchmark in a folder of its own, until it is done or `stop` completes: then there is no report.
pub(super) async fn run(
    load: &Load,
    config: &Config,
    launcher: &Launcher,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Option<Report>> {
    load.check()?;
    tokio::pin!(stop);
    let (_folder, config, paths, database) = own(config).await?;
    let ended = with(load, &config, &paths, &database, launcher, &mut stop).await;
    let stopped = database.stop().await;
    let report = ended?;
    stopped?;
    Ok(report)
}

async fn with(
    load: &Load,
    config: &Config,
    paths: &Paths,
    database: &Database,
    launcher: &Launcher,
    stop: &mut (impl Future<Output = ()> + Unpin),
) -> anyhow::Result<Option<Report>> {
    let begun = Instant::now();
    let fleet = start_fleet(load, config, paths, database, launcher).await?;
    crate::output::note("starting the dataflow and ingest …");
    let log = standalone::log::open(&config.log, paths).await?;
    let job = standalone::dataflow(config, paths, database, &log).await?;
    let served = standalone::log::serve(&config.log, paths, &log)?;
    // A log of its own: two readers of a partition in turn move the place from which Kafka's client fetches ahead.
    let looked_at = standalone::log::look(&config.log, paths).await?;
    let follower = tokio::task::spawn_blocking(move || Follower::start(looked_at)).await??;
    let mut ingest = launcher.tied("ingest", ingest_words(config)?)?;
    let _up: Value = ingest.says().await?;
    let (api, listeners) = start_listeners(config, paths, database).await?;
    let parts = Parts {
        paths: paths.clone(),
        fleet,
        ingest,
        job,
        follower,
        api,
        listeners,
        log,
        _served: served,
    };
    // Whatever comes of it, all parts stop in order: they write to the folder until then.
    let measured = tokio::select! {
        measured = measure(load, config, &parts, begun) => measured.map(Some),
        () = stop => Ok(None),
    };
    crate::output::note("stopping all …");
    drop(parts.ingest);
    drop(parts.follower);
    drop(parts.listeners);
    parts.api.stop(standalone::GRACE).await;
    parts.job.stop().await.context("stop the dataflow")?;
    parts.log.sync()?;
    drop(parts.fleet);
    measured
}

/// Starts the simulator and has its devices in the inventory.
async fn start_fleet(
    load: &Load,
    config: &Config,
    paths: &Paths,
    database: &Database,
    launcher: &Launcher,
) -> anyhow::Result<Tied> {
    crate::output::note(&format!("starting {} simulated devices …", load.devices));
    let file = paths.root().join(INVENTORY);
    let (devices, interval) = (load.devices.to_string(), load.interval.to_string());
    let (seed, inventory) = (load.seed.to_string(), file.display().to_string());
    let words = [
        ["simulate", "--devices"],
        [&devices, "--mix"],
        [load.mix.name(), "--interval"],
        [&interval, "--seed"],
        [&seed, "--inventory"],
        [&inventory, "--api-port"],
        ["0", "--api-ssl-port"],
    ];
    let scenario = config.simulator.scenario.as_ref();
    let scenario = scenario.map(|file| format!("--scenario={}", file.display()));
    let words = words.into_iter().flatten().chain(["0"]);
    let words = words.chain(scenario.as_deref());
    let mut fleet = launcher.tied("the simulator", words)?;
    let _up: Value = fleet.says().await?;
    crate::output::note("importing the inventory …");
    let inventory = inventory::parse(&std::fs::read_to_string(&file)?)?;
    let options = inventory::Options {
        dry_run: false,
        default_interval_ms: load.interval_ms()?,
    };
    let (pool, keys) = (database.pool(Role::Api, 4).await?, standalone::keys(paths)?);
    inventory::import(&pool, keys.as_ref(), &inventory, options)
        .await
        .context("import the inventory")?;
    pool.close().await;
    if config.log.kind == Kind::Kafka {
        crate::output::note(
            "the log is Kafka's; its topics must be empty, or other devices' polls count too",
        );
    }
    Ok(fleet)
}

/// Starts the API, and somebody of each tenant who listens to it.
async fn start_listeners(
    config: &Config,
    paths: &Paths,
    database: &Database,
) -> anyhow::Result<(Server, Listeners)> {
    let mut config = config.clone();
    config.api.listen = "127.0.0.1:0".to_owned();
    let keys = standalone::keys(paths)?;
    let api = standalone::api(&config, paths, database, keys).await?;
    let file = std::fs::read_to_string(paths.root().join(INVENTORY))?;
    let owner = database.pool(Role::Owner, 1).await?;
    let mut tokens = Vec::new();
    for tenant in inventory::parse(&file)?.tenants {
        let new = NewToken {
            tenant_id: find_tenant(&owner, &tenant.name).await?,
            name: "bench".to_owned(),
            role: TokenRole::Viewer,
            lifetime_s: 86_400,
        };
        let (_, token) = token::create(&owner, &new).await?;
        tokens.push(token.expose().to_owned());
    }
    owner.close().await;
    let listeners = Listeners::start(api.address(), &tokens).await?;
    Ok((api, listeners))
}

fn ingest_words(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut words = vec![
        "ingest".to_owned(),
        "--data".to_owned(),
        config.data.display().to_string(),
    ];
    if config.log.kind == Kind::Kafka {
        let brokers = config.log.brokers.clone().context("no broker is named")?;
        words.extend(["--log", "kafka", "--brokers"].map(str::to_owned));
        words.push(brokers);
    }
    Ok(words)
}

/// Clocks of all parts at a moment.
struct Used {
    at: Instant,
    fleet: Duration,
    ingest: Duration,
    dataflow: Duration,
    postgres: Duration,
}

impl Parts {
    fn used(&self) -> Used {
        let postgres = postmaster(self.paths.root()).map(family_cpu_time);
        Used {
            at: Instant::now(),
            fleet: self.fleet.cpu_time(),
            ingest: self.ingest.cpu_time(),
            dataflow: cpu_time(),
            postgres: postgres.unwrap_or_default(),
        }
    }

    /// What each used since then, and holds now.
    fn since(&self, before: &Used) -> anyhow::Result<Vec<Part>> {
        let now = self.used();
        let wall = (now.at - before.at).as_secs_f64();
        let part = |name, then: Duration, now: Duration, rss_bytes| Part {
            name,
            cpu_cores: now.saturating_sub(then).as_secs_f64() / wall,
            rss_bytes,
        };
        let postgres = postmaster(self.paths.root())
            .map(family)
            .unwrap_or_default();
        let postgres_rss = postgres.iter().map(|process| process.rss_bytes).sum();
        let (fleet, ingest) = (self.fleet.resident_bytes(), self.ingest.resident_bytes());
        Ok(vec![
            part("simulator", before.fleet, now.fleet, fleet),
            part("ingest", before.ingest, now.ingest, ingest),
            part("dataflow", before.dataflow, now.dataflow, resident_bytes()?),
            part("postgres", before.postgres, now.postgres, postgres_rss),
        ])
    }

    fn freshness(&self) -> Freshness {
        self.job.status().borrow().freshness.clone()
    }
}

async fn measure(
    load: &Load,
    config: &Config,
    parts: &Parts,
    begun: Instant,
) -> anyhow::Result<Report> {
    warm_up(load, parts).await?;
    let warm_up_s = begun.elapsed().as_secs_f64();
    let (from, start) = (now(), Instant::now());
    parts.follower.ledger()?.begin(from);
    parts.listeners.take();
    let (before, fresh) = (parts.used(), parts.freshness());
    let end = start + Duration::from_secs(u64::from(load.seconds));
    while Instant::now() < end {
        sleep_until(end.min(Instant::now() + Duration::from_secs(10))).await;
        let seen = parts.freshness().since(&fresh);
        crate::output::note(&format!(
            "{:5.0} s  p99 fresh {} ms, lag {} ms",
            start.elapsed().as_secs_f64(),
            seen.percentile_ms(0.99).unwrap_or(0),
            parts.job.status().borrow().lag_ms.unwrap_or(0)
        ));
    }
    let to = now();
    let used = parts.since(&before)?;
    let fresh = parts.freshness().since(&fresh);
    let heard = parts.listeners.take();
    let interval_ms = load.interval_ms()?;
    let devices = load.devices as usize;
    let seconds = start.elapsed().as_secs_f64();
    let during = parts.follower.ledger()?.count(devices, interval_ms, to);
    crate::output::note("waiting for polls under way …");
    sleep(GRACE).await;
    let counted = parts.follower.ledger()?.count(devices, interval_ms, to);
    Ok(Report {
        rows_per_s: during.rows as f64 / seconds,
        fresh_p50_ms: fresh.percentile_ms(0.5),
        fresh_p99_ms: fresh.percentile_ms(0.99),
        stream_p50_ms: percentile(&heard, 0.5),
        stream_p99_ms: percentile(&heard, 0.99),
        stream_changes: heard.len() as u64,
        missed_polls: counted.missed,
        cpu_cores: used.iter().map(|part| part.cpu_cores).sum(),
        rss_bytes: used.iter().map(|part| part.rss_bytes).sum(),
        devices: load.devices,
        mix: load.mix.name().to_owned(),
        interval_s: load.interval.0.as_secs_f64(),
        seconds,
        warm_up_s,
        log: format!("{:?}", config.log.kind).to_lowercase(),
        due_polls: counted.due,
        polls: during.polls,
        failed_polls: during.failed,
        fresh_rows: fresh.rows(),
        parts: used,
    })
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Until every device was polled once, and what that brought is committed.
async fn warm_up(load: &Load, parts: &Parts) -> anyhow::Result<()> {
    let begun = Instant::now();
    let patience = 3 * load.interval.0 + Duration::from_secs(240);
    let mut told = begun;
    loop {
        let polled = parts.follower.ledger()?.devices();
        if polled >= load.devices as usize {
            // Two slots and a commit later even the last of them has been seen.
            sleep(Duration::from_secs(5)).await;
            return Ok(());
        }
        if begun.elapsed() > patience {
            bail!(
                "only {polled} of {} devices were polled within {} s; is the machine too slow for them?",
                load.devices,
                patience.as_secs()
            );
        }
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            crate::output::note(&format!(
                "warming up: {polled} of {} devices polled",
                load.devices
            ));
        }
        sleep(Duration::from_millis(500)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let load = |devices, seconds, interval| Load {
            devices,
            seconds,
            interval: Pace::milliseconds(interval),
            mix: Mix::Carrier,
            seed: 1,
        };
        assert!(load(15_000, 180, 60_000).check().is_ok());
        for bad in [
            load(9, 1, 60_000),
            load(15_001, 1, 60_000),
            load(10, 0, 60_000),
            load(10, 1, 999),
        ] {
            assert!(bad.check().is_err());
        }
    }
}
