//! A job: the flow with everything around it that makes its answers visible once, and survives a kill at any point.
//!
//! ```text
//! log ── driver thread ──(Outputs, Snapshot)──▶ committer ──▶ Postgres (views, events, progress)
//!        bindings, Engine                          ├──▶ lake task ──▶ Parquet + manifest
//!                                                  │      └──▶ tail, for who asks
//!                                                  ├──▶ events relay ──▶ mast.events.v1
//! outbox ──▶ outbox relay ──▶ mast.control.v1      ├──▶ gauges task
//!                                                  └──▶ checkpoints, trimming
//! ```
//!
//! Channels between the parts are short: whoever is slow slows the driver, and the log holds the backlog. The first error
//! of any part stops all of them in order and is the one that is told.

mod bindings;
mod committer;
mod driver;
mod gap;
mod health;
mod history;
mod lake;
mod lease;
mod origin;
mod place;
mod publisher;
mod rates;
mod source;
mod start;
mod status;
mod upkeep;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mast_lake::Retention;
use mast_log::Log;
use mast_schemas::Timestamp;
use mast_schemas::tail;
use mast_schemas::thresholds::{self, Thresholds};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use bindings::Chain;
pub use rates::LastRates;
pub use status::{Counters, Freshness, JobStatus};

use crate::error::DataflowError;
use crate::sink::is_transient;
use crate::troubles::{Place, Troubles};

/// Says what time it is. The one clock of a job: for heartbeats, silences and measurements.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a job is to run.
#[derive(Clone)]
pub struct JobConfig {
    /// Name, of a-z, 0-9, - and _; the lease, the progress row and the lake's files bear it.
    pub name: String,
    /// Postgres as the role `mast_dataflow`; at least 6 connections.
    pub pool: PgPool,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Folder of `checkpoints/` and `lake/`.
    pub data_dir: PathBuf,
    /// Worker threads of the flow.
    pub workers: usize,
    /// Partitions of the telemetry topic.
    pub partitions: u32,
    /// What is bad.
    pub thresholds: Thresholds,
    /// Time between checkpoints; also what a restart replays at most.
    pub checkpoint_every: Duration,
    /// Time between commits of the lake, at most 60 s.
    pub lake_every: Duration,
    /// Bytes of rows that may wait in memory for the lake. With so many they are committed early; while that fails the views
    /// go on until so many wait.
    pub lake_buffer: u64,
    /// Where the tail of history is served, by TLS; null = nowhere. Port 0 takes any that is free.
    pub tail: Option<SocketAddr>,
    /// How long history is kept.
    pub retention: Retention,
    /// How often it is looked for small files to be merged, and for history that is too old.
    pub upkeep_every: Duration,
    /// Each gauge is written at most once in this time.
    pub gauge_interval: Duration,
    /// Begin anew with what the log still holds, should it have lost records that are needed.
    pub accept_gap: bool,
    /// The clock.
    pub clock: Clock,
}

impl JobConfig {
    /// A job with the usual settings and the system's clock.
    pub fn new(name: &str, pool: PgPool, log: Arc<dyn Log>, data_dir: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            pool,
            log,
            data_dir,
            workers: 1,
            partitions: mast_schemas::topics::STANDALONE_PARTITIONS,
            thresholds: thresholds::DEFAULT,
            checkpoint_every: Duration::from_secs(60),
            lake_every: Duration::from_secs(60),
            lake_buffer: 256 << 20,
            tail: Some((Ipv4Addr::LOCALHOST, 0).into()),
            retention: Retention::default(),
            upkeep_every: Duration::from_secs(60),
            gauge_interval: Duration::from_secs(60),
            accept_gap: false,
            clock: Arc::new(|| Timestamp::from_system(std::time::SystemTime::now())),
        }
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.data_dir.join("checkpoints")
    }

    /// Folder of the lake.
    pub fn lake(&self) -> PathBuf {
        self.data_dir.join("lake")
    }

    /// File that says how the tail of history is asked.
    pub fn tail_file(&self) -> PathBuf {
        self.data_dir.join(tail::FILE)
    }
}

/// Starts jobs.
pub struct Job;

impl Job {
    /// Takes the lease, loads the newest checkpoint that is whole, and runs. Returns when the flow has its state; what is
    /// left to replay is replayed after that, see [`JobStatus::replaying`].
    ///
    /// # Errors
    /// [`DataflowError::Locked`] and [`DataflowError::Held`] while another process runs the job, [`DataflowError::Gap`]
    /// when the log no longer holds what is needed, and those of the log, of Postgres and of the file system.
    pub async fn start(config: JobConfig) -> Result<JobHandle, DataflowError> {
        start::start(config).await
    }
}

/// A running job. Dropping it asks the job to stop, without waiting.
pub struct JobHandle {
    status: watch::Receiver<JobStatus>,
    shared: Arc<Shared>,
    done: Option<JoinHandle<()>>,
}

impl JobHandle {
    /// How the job is doing; changes with each commit.
    pub fn status(&self) -> watch::Receiver<JobStatus> {
        self.status.clone()
    }

    /// The newest rates of interfaces.
    pub fn rates(&self) -> &LastRates {
        &self.shared.rates
    }

    /// Finishes the group at work, writes a checkpoint, gives the lease back.
    ///
    /// # Errors
    /// What had stopped the job before, or kept it from stopping in order.
    pub async fn stop(mut self) -> Result<(), DataflowError> {
        self.shared.stop();
        self.finished().await
    }

    /// Waits until the job has stopped. Can be called again and be dropped without harm; the error is told once.
    ///
    /// # Errors
    /// What stopped it.
    pub async fn finished(&mut self) -> Result<(), DataflowError> {
        if let Some(done) = &mut self.done {
            let ended = done.await;
            self.done = None;
            ended.map_err(|e| DataflowError::Task {
                task: "supervisor",
                reason: e.to_string(),
            })?;
        }
        self.shared.take_failure().map_or(Ok(()), Err)
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What all parts share: whether to stop, and why.
pub(crate) struct Shared {
    stop: watch::Sender<bool>,
    failure: Mutex<(bool, Option<DataflowError>)>,
    troubles: Troubles,
    rates: Arc<LastRates>,
}

impl Shared {
    fn new(troubles: Troubles) -> Arc<Self> {
        Arc::new(Self {
            stop: watch::Sender::new(false),
            failure: Mutex::new((false, None)),
            troubles,
            rates: Arc::default(),
        })
    }

    fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Turns true when the job is to stop.
    fn stops(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Stops the job with an error; the first one counts.
    fn fail(&self, error: DataflowError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if !failure.0 {
            self.troubles.tell(Place::Job, &error);
            *failure = (true, Some(error));
        }
        drop(failure);
        self.stop();
    }

    fn failed(&self) -> bool {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn take_failure(&self) -> Option<DataflowError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .take()
    }
}

/// Tries again while that can help, ever more slowly; a stop ends the patience.
pub(crate) struct Retry {
    what: Place,
    shared: Arc<Shared>,
    delay: Duration,
    left_after_stop: u32,
}

impl Retry {
    fn new(what: Place, shared: Arc<Shared>) -> Self {
        Self {
            what,
            shared,
            delay: Duration::from_millis(50),
            left_after_stop: 10,
        }
    }

    /// Waits before the next attempt; gives the error back when there should be none.
    async fn wait(&mut self, error: DataflowError) -> Result<(), DataflowError> {
        tokio::time::sleep(self.note(error)?).await;
        Ok(())
    }

    /// Tells of the error; how long to wait before the next attempt. Gives the error back when there should be none.
    fn note(&mut self, error: DataflowError) -> Result<Duration, DataflowError> {
        if !is_transient(&error) {
            return Err(error);
        }
        if self.shared.stopping() {
            self.delay = self.delay.min(Duration::from_millis(200));
            self.left_after_stop -= 1;
            if self.left_after_stop == 0 {
                return Err(error);
            }
        }
        self.shared.troubles.tell(self.what, &error);
        let delay = self.delay;
        self.delay = (self.delay * 2).min(Duration::from_secs(2));
        Ok(delay)
    }

    /// It worked.
    fn done(self) {
        self.shared.troubles.mended(self.what);
    }
}
