//! An installation on one machine: a data folder with its own Postgres, log, lake, checkpoints and key file.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mast_dataflow::job::{Job, JobConfig, JobHandle};
use mast_ingest::{Node, NodeConfig, NodeHandle};
use mast_log::{EmbeddedConfig, EmbeddedLog, Log, TopicSpec};
use mast_postgres::{Private, Role};
use mast_schemas::topics;
use mast_secrets::{KeyFile, KeyProvider};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

/// Name of the one job of a standalone installation.
pub(crate) const JOB: &str = "main";

/// Where things lie in a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The folder, which need not exist yet.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The folder, which must be an installation's.
    pub(crate) fn existing(root: &Path) -> anyhow::Result<Self> {
        let paths = Self::new(root);
        if !paths.postgres().join("cluster").exists() {
            anyhow::bail!(
                "{} is no data folder of Mast (it has no postgres/cluster); name the folder that `mast demo --data` used",
                root.display()
            );
        }
        Ok(paths)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.root.join("postgres")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.root.join("lake")
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.root.join("key")
    }

    pub(crate) fn simulator_socket(&self) -> PathBuf {
        self.root.join("simulator.sock")
    }

    pub(crate) fn simulator_journal(&self) -> PathBuf {
        self.root.join("simulator.journal")
    }

    /// Who this installation is to the leases: the same at each start, so that a restart need not wait for its own lease.
    /// A second process is kept out by the locks of log and Postgres.
    pub(crate) fn holder(&self) -> anyhow::Result<Uuid> {
        let file = self.root.join("holder");
        if let Ok(text) = std::fs::read_to_string(&file) {
            return text
                .trim()
                .parse()
                .with_context(|| format!("{} holds no UUID; remove it", file.display()));
        }
        let holder = Uuid::now_v7();
        std::fs::write(&file, holder.to_string())
            .with_context(|| format!("write {}", file.display()))?;
        Ok(holder)
    }
}

/// The database of an installation: its own server, or the one that a running process of ours has.
pub(crate) enum Database {
    /// Started by us, stopped with us.
    Own(Box<Private>),
    /// Another process's.
    Running(PathBuf),
}

impl Database {
    /// Uses the running server of the folder, or starts it for as long as this command takes.
    pub(crate) async fn open(paths: &Paths) -> anyhow::Result<Self> {
        if mast_postgres::attach(&paths.postgres(), Role::Api)
            .await
            .is_some()
        {
            return Ok(Self::Running(paths.postgres()));
        }
        Self::start(paths).await
    }

    /// Starts the server; there must be none.
    pub(crate) async fn start(paths: &Paths) -> anyhow::Result<Self> {
        let private = Private::start(&paths.postgres())
            .await
            .context("start the private Postgres")?;
        let owner = private.pool(Role::Owner, 1).await?;
        mast_postgres::migrate(&owner)
            .await
            .context("migrate the database")?;
        owner.close().await;
        Ok(Self::Own(Box::new(private)))
    }

    /// How to log in.
    pub(crate) async fn options(&self, role: Role) -> anyhow::Result<PgConnectOptions> {
        match self {
            Self::Own(private) => Ok(private.options(role)),
            Self::Running(folder) => mast_postgres::attach(folder, role)
                .await
                .context("the running installation's Postgres went away"),
        }
    }

    /// A pool of connections as `role`.
    pub(crate) async fn pool(&self, role: Role, connections: u32) -> anyhow::Result<PgPool> {
        Ok(mast_postgres::pool(self.options(role).await?, connections).await?)
    }

    /// Stops the server if it is ours.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Own(private) => Ok(private.stop().await?),
            Self::Running(_) => Ok(()),
        }
    }
}

/// Opens or makes the key file.
pub(crate) fn keys(paths: &Paths) -> anyhow::Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(KeyFile::open_or_create(&paths.key_file())?))
}

/// Everything that runs in one process.
pub(crate) struct Installation {
    pub(crate) database: Database,
    pub(crate) job: JobHandle,
    pub(crate) node: NodeHandle,
    log: Arc<dyn Log>,
}

/// How to run.
pub(crate) struct Settings {
    /// Worker threads of the dataflow.
    pub(crate) workers: usize,
    /// How often gauges are written at most.
    pub(crate) gauge_interval: Duration,
    /// How often the lake is committed.
    pub(crate) lake_every: Duration,
    /// How often checkpoints are taken.
    pub(crate) checkpoint_every: Duration,
}

impl Installation {
    /// Starts log, dataflow and ingest on a database.
    pub(crate) async fn start(
        paths: &Paths,
        database: Database,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let log: Arc<dyn Log> = Arc::new(
            EmbeddedLog::open(paths.log(), EmbeddedConfig::default())
                .with_context(|| format!("open the log {}", paths.log().display()))?,
        );
        for (name, partitions) in [
            (topics::TELEMETRY, topics::STANDALONE_PARTITIONS),
            (topics::CONTROL, 1),
            (topics::EPOCHS, 1),
            (topics::EVENTS, 1),
        ] {
            log.ensure_topic(&TopicSpec {
                name: name.to_owned(),
                partitions,
            })?;
        }
        let mut config = JobConfig::new(
            JOB,
            database.pool(Role::Dataflow, 10).await?,
            log.clone(),
            paths.root().to_owned(),
        );
        config.workers = settings.workers;
        config.gauge_interval = settings.gauge_interval;
        config.lake_every = settings.lake_every;
        config.checkpoint_every = settings.checkpoint_every;
        let job = Job::start(config).await.context("start the dataflow")?;

        let mut config = NodeConfig::new(
            database.pool(Role::Ingest, 8).await?,
            log.clone(),
            keys(paths)?,
        );
        config.holder = paths.holder()?;
        let node = Node::start(config).await.context("start ingest")?;
        Ok(Self {
            database,
            job,
            node,
            log,
        })
    }

    /// Stops all in order: ingest says goodbye, the dataflow finishes its slot and writes a checkpoint, Postgres ends.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.node.stop().await;
        self.job.stop().await.context("stop the dataflow")?;
        self.log.sync()?;
        drop(self.log);
        self.database.stop().await
    }
}

/// Waits for Ctrl-C, SIGTERM or the end of `duration`.
pub(crate) async fn until_stopped(duration: Option<Duration>) -> anyhow::Result<()> {
    let end = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        signal = stop_signal()? => signal,
        () = end => {}
    }
    Ok(())
}

/// Completes at Ctrl-C or SIGTERM.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
