//! The parts, each started in one way, whether it has a process of its own or not.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mast_api::{ApiConfig, Listeners, Rate, Server, Sockets};
use mast_dataflow::job::{Job, JobConfig, JobHandle};
use mast_ingest::{Node, NodeConfig, NodeHandle};
use mast_log::Log;
use mast_postgres::Role;
use mast_query::{Engine, EngineConfig};
use mast_schemas::{TenantId, metric};
use mast_secrets::{FollowedKeyFile, KeyFile, KeyProvider};
use uuid::Uuid;

use super::{Database, JOB, Paths, log};
use crate::config::Config;
use crate::health::Process;

/// Opens or makes the key file. For an import, which brings credentials: with a lost key file it is how to begin anew.
pub(crate) fn keys(paths: &Paths) -> anyhow::Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(KeyFile::open_or_create(&paths.key_file())?))
}

/// Stored credentials that are tried: single ones may be of an older key.
const TRIED: i64 = 16;

/// Opens the key file that the stored credentials were sealed with; one is made only where nothing is sealed yet. The trap
/// avoided: a new key in the place of a lost one, which opens nothing, and under which the lost one is missed by nobody.
pub(crate) async fn keys_of(
    paths: &Paths,
    database: &Database,
) -> anyhow::Result<Arc<dyn KeyProvider>> {
    let pool = database.pool(Role::Ingest, 1).await?;
    let sealed: Vec<(Uuid, Vec<u8>)> =
        sqlx::query_as("SELECT tenant_id, ciphertext FROM device_credentials LIMIT $1")
            .bind(TRIED)
            .fetch_all(&pool)
            .await
            .context("look for stored credentials")?;
    pool.close().await;
    if sealed.is_empty() {
        return keys(paths);
    }
    let file = paths.key_file();
    let remedy = || {
        format!(
            "the database holds credentials that another key file than {} has sealed. Put that one back from a copy; or begin \
             anew, with `mast import` of an inventory, which seals its passwords under the key that it finds or makes there, or \
             in another folder (`mast demo --data NEW`)",
            file.display()
        )
    };
    let key = KeyFile::open(&file).with_context(remedy)?;
    let opens = |(tenant, bytes): &(Uuid, Vec<u8>)| key.decrypt(TenantId(*tenant), bytes).is_ok();
    anyhow::ensure!(sealed.iter().any(opens), remedy());
    Ok(Arc::new(key))
}

/// Starts the dataflow: the job with its relays.
pub(crate) async fn dataflow(
    config: &Config,
    paths: &Paths,
    database: &Database,
    log: &Arc<dyn Log>,
) -> anyhow::Result<JobHandle> {
    let pool = database.pool(Role::Dataflow, 10).await?;
    let mut job = JobConfig::new(JOB, pool, Arc::clone(log), paths.root().to_owned());
    job.partitions = log::partitions(&config.log, log).await?;
    job.workers = config.dataflow.workers;
    job.gauge_interval = config.dataflow.gauge_interval.0;
    job.lake_every = config.dataflow.lake_every.0;
    job.lake_buffer = (config.dataflow.lake_buffer_mib as u64) << 20;
    job.checkpoint_every = config.dataflow.checkpoint_every.0;
    job.retention = config.lake.retention();
    job.tail = config.dataflow.tail_address();
    job.accept_gap = config.dataflow.accept_gap;
    Job::start(job).await.context("start the dataflow")
}

/// Starts an ingest node. Other parts of this process need so many file descriptors, beyond some hundreds.
pub(crate) async fn ingest(
    config: &Config,
    paths: &Paths,
    database: &Database,
    log: &Arc<dyn Log>,
    other_descriptors: u64,
) -> anyhow::Result<NodeHandle> {
    let pool = database.pool(Role::Ingest, 8).await?;
    // The key is there now; what becomes of it while we run, the node tells.
    keys_of(paths, database).await?;
    let keys = Arc::new(FollowedKeyFile::new(&paths.key_file()));
    let mut node = NodeConfig::new(pool, Arc::clone(log), keys);
    node.spool = Some(config.ingest.spool(paths.root().join("spool")));
    node.capacity = config.ingest.capacity();
    node.cadences = config.ingest.cadences();
    node.other_descriptors = other_descriptors;
    node.partitions = log::partitions(&config.log, log).await?;
    node.holder = paths.holder()?;
    Node::start(node).await.context("start ingest")
}

/// Time that requests have to end when the API stops.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// Time that Postgres has to answer a person.
const PATIENCE: Duration = Duration::from_secs(3);

/// Starts the API, listening where it is configured to.
pub(crate) async fn api(
    config: &Config,
    paths: &Paths,
    database: &Database,
    keys: Arc<dyn KeyProvider>,
) -> anyhow::Result<Server> {
    let listen = config.api.address().context("api.listen is no address")?;
    let remedy = "start the API (--listen or api.listen names another address or port)";
    let api = api_config(config, paths, database, keys).await?;
    Server::start(listen, api).await.context(remedy)
}

/// What the API works with.
pub(crate) async fn api_config(
    config: &Config,
    paths: &Paths,
    database: &Database,
    keys: Arc<dyn KeyProvider>,
) -> anyhow::Result<ApiConfig> {
    let options = database.options(Role::Api).await?;
    let settings = &config.api;
    let pool = mast_postgres::impatient_pool(options.clone(), settings.connections, PATIENCE);
    // Queries have connections of their own: many of them at once leave some for all else.
    let queries = mast_postgres::impatient_pool(options, settings.connections, PATIENCE);
    let mut engine = EngineConfig::new(queries, paths.lake());
    engine.tail = Some(paths.tail());
    engine.time_limit = settings.query_timeout.0;
    engine.memory_bytes = config.query.memory_mib << 20;
    engine.max_rows = config.query.max_rows;
    engine.threads = config.query.threads;
    engine.retention = config.lake.retention();
    let mut api = ApiConfig::new(pool, Engine::new(engine)?, keys);
    api.rate = Rate {
        per_second: settings.rate_per_second,
        burst: settings.rate_burst,
    };
    api.time_limit = settings.timeout.0;
    api.body_limit = settings.body_kib << 10;
    api.kept_for = settings.list_age.0;
    api.listeners = Listeners {
        all: settings.listeners,
        per_tenant: settings.listeners_per_tenant,
        per_token: settings.listeners_per_token,
    };
    api.sockets = Sockets {
        most: settings.sockets,
        head: settings.head_timeout.0,
        stall: settings.stall_timeout.0,
    };
    api.sender = config.notify.sender().context("notify")?;
    api.tries = config.notify.tries();
    api.default_interval_ms = u32::try_from(config.ingest.interval.0.as_millis())?;
    let origins = settings.cors_origins.iter();
    api.cors_origins = origins
        .map(|origin| origin.parse())
        .collect::<Result<_, _>>()
        .context("api.cors_origins")?;
    Ok(api)
}

/// What is different between those who run everything in one process.
pub(crate) struct Whole {
    /// The command.
    pub(crate) name: &'static str,
    /// File descriptors that others of this process need.
    pub(crate) other_descriptors: u64,
    /// Whether it is of no use without the API.
    pub(crate) needs_api: bool,
}

/// Everything that runs in one process.
pub(crate) struct Installation {
    pub(crate) database: Database,
    pub(crate) job: JobHandle,
    pub(crate) node: Arc<NodeHandle>,
    pub(crate) health: Process,
    /// Null where its port was taken: all else runs.
    pub(crate) api: Option<Server>,
    log: Arc<dyn Log>,
}

impl Installation {
    /// Starts API, log, dataflow and ingest on a database. The API comes first: a port that is taken is told before anything
    /// else has begun.
    pub(crate) async fn start(
        config: &Config,
        paths: &Paths,
        mut database: Database,
        whole: &Whole,
    ) -> anyhow::Result<Self> {
        let mut health = Process::start(config, paths, whole.name, metric::Part::ALL).await;
        health.keep(&mut database);
        let keys = keys_of(paths, &database).await?;
        let api = match api(config, paths, &database, keys).await {
            Ok(api) => Some(api),
            Err(error) if whole.needs_api => {
                database.stop().await?;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the API is not served; all else runs"
                );
                None
            }
        };
        let log = log::open(&config.log, paths).await?;
        let job = match dataflow(config, paths, &database, &log).await {
            Ok(job) => job,
            Err(error) => {
                health.job_failed(&database, &error).await;
                return Err(error);
            }
        };
        health.job(&database, &job).await?;
        let others = whole.other_descriptors;
        let node = Arc::new(ingest(config, paths, &database, &log, others).await?);
        let name = paths.holder()?.to_string();
        health.node(&database, name, Arc::clone(&node)).await?;
        Ok(Self {
            database,
            job,
            node,
            health,
            api,
            log,
        })
    }

    /// Stops all in order: ingest says goodbye, the dataflow finishes its slot and writes a checkpoint, Postgres ends.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(api) = self.api.take() {
            api.stop(GRACE).await;
        }
        self.health.node_stops().await;
        // Whoever told of it has let go.
        if let Some(node) = Arc::into_inner(self.node) {
            node.stop().await;
        }
        let stopped = self.job.stop().await.context("stop the dataflow");
        self.health.stop().await;
        stopped?;
        self.log.sync()?;
        drop(self.log);
        self.database.stop().await
    }
}
