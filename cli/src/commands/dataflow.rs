//! `mast dataflow`: the job that keeps the views, as a process of its own.

use std::process::ExitCode;

use anyhow::Context;
use mast_dataflow::DataflowError;
use mast_schemas::metric::Part;

use crate::commands::shared::Place;
use crate::config::{Config, Flags};
use crate::health::Process;
use crate::standalone::{self, Database, INTERRUPTED, Paths, at_once, patiently, stop_signal};

/// Keep the views: read the log, bring every view up to date, commit to Postgres and to the lake, and carry changes of the
/// inventory to the pollers.
///
/// For an installation whose parts run apart, over Kafka or over the embedded log, which this process owns and serves to
/// `mast ingest`. Without `postgres.url` it starts a private Postgres in the data
/// folder, which `mast ingest` and other commands with the same --data use. It makes topics and tables where they are
/// missing. While Kafka or Postgres is away it waits, says so, and goes on when they are back. Where the log lost records that
/// are needed, it stands still and says so until it is stopped, as a start anew would not mend it.
///
/// When it is up, a JSON object on standard output tells its generation. Ctrl-C or SIGTERM stops it in order, a second one at
/// once. Exit codes: 0 stopped in order, 1 it failed (standard error says why), 2 the configuration is wrong, 130 stopped
/// before it was up or at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Worker threads [default: 1]
    #[arg(long)]
    workers: Option<usize>,
    /// Go on where the log lost records that are still needed. What they would have changed is missing in views and history.
    #[arg(long)]
    accept_gap: bool,
}

const EXAMPLES: &str = "\
Examples:
  mast dataflow --data noc                              with a log and a PostgreSQL of its own
  mast dataflow --data noc --log kafka --brokers kafka1:9092,kafka2:9092
  mast --config /etc/mast.toml dataflow
  mast dataflow --data noc --accept-gap      a person accepts that records were lost";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.place
            .flags(flags)?
            .with("--workers", "dataflow.workers", self.workers.as_ref())?
            .with(
                "--accept-gap",
                "dataflow.accept_gap",
                self.accept_gap.then_some(&true),
            )
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let paths = Paths::made(&config.data)?;
        let mut database = tokio::select! {
            database = patiently("Postgres", || Database::owned(config, &paths)) => database?,
            () = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let ended = run(config, &paths, &mut database, &mut stop).await;
        tokio::select! {
            stopped = database.stop() => stopped?,
            code = at_once() => return code,
        }
        ended
    }
}

async fn run(
    config: &Config,
    paths: &Paths,
    database: &mut Database,
    stop: &mut (impl Future<Output = ()> + Unpin),
) -> anyhow::Result<ExitCode> {
    let parts = [Part::Dataflow, Part::Lake, Part::Log, Part::Postgres];
    let mut health = Process::start(config, paths, "dataflow", &parts).await;
    health.keep(database);
    let database = &*database;
    let start = async {
        let log = patiently("the log", || standalone::log::open(&config.log, paths)).await?;
        let start = || standalone::dataflow(config, paths, database, &log);
        let job = patiently("the dataflow", start).await?;
        let served = standalone::log::serve(&config.log, paths, &log)?;
        anyhow::Ok((job, served))
    };
    let (mut job, _served) = tokio::select! {
        started = start => match started {
            Ok(started) => started,
            Err(error) => {
                health.job_failed(database, &error).await;
                if is_gap(&error) {
                    stand(&error, stop).await;
                    health.stop().await;
                }
                return Err(error);
            }
        },
        () = &mut *stop => return Ok(ExitCode::from(INTERRUPTED)),
    };
    health.job(database, &job).await?;
    let generation = job.status().borrow().generation;
    crate::output::json(&serde_json::json!({ "generation": generation }))?;
    tokio::select! {
        ended = job.finished() => {
            let ended = ended.context("the dataflow stopped");
            if let Some(error) = ended.as_ref().err().filter(|error| is_gap(error)) {
                stand(error, stop).await;
            }
            // Its last words are why it ended.
            health.stop().await;
            ended?;
            anyhow::bail!("the dataflow stopped");
        }
        () = &mut *stop => tracing::info!("stopping the dataflow"),
    }
    tokio::select! {
        stopped = job.stop() => stopped.context("stop the dataflow")?,
        code = at_once() => return code,
    }
    health.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The log lost records that are needed.
fn is_gap(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(DataflowError::Gap { .. }))
}

/// Stays to be asked: a person has to decide, and sees it in health and metrics. A process that ended would be started again
/// and again, and show nothing.
async fn stand(error: &anyhow::Error, stop: &mut (impl Future<Output = ()> + Unpin)) {
    let reason = format!("{error:#}");
    tracing::error!(reason, "the dataflow stands still until a person decides");
    stop.await;
}
