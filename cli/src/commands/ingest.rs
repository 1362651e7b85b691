//! `mast ingest`: the pollers, as a process of their own.

use std::process::ExitCode;
use std::sync::Arc;

use mast_schemas::metric::Part;

use crate::commands::shared::Place;
use crate::config::{Config, Flags};
use crate::health::Process;
use crate::standalone::{self, INTERRUPTED, Paths, attached, patiently, stop_signal};

/// Poll the devices and write what they say to the log.
///
/// For an installation whose parts run apart, over Kafka or over the embedded log that `mast dataflow` owns. Without `postgres.url` it uses the private Postgres that `mast
/// dataflow` runs in the same data folder; the folder's key file opens the credentials. While Postgres or Kafka is away at
/// the start it waits and says so; later it goes on polling with what it knows.
///
/// When it is up, a JSON object on standard output says so. Ctrl-C or SIGTERM stops it in order: what was read goes to the
/// log, its leases are given back; a second one stops it at once. Exit codes: 0 stopped in order, 1 it failed (standard error
/// says why), 2 the configuration is wrong, 130 stopped before it was up or at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
}

const EXAMPLES: &str = "\
Examples:
  mast ingest --data noc                                beside mast dataflow --data noc
  mast ingest --data noc --log kafka --brokers kafka1:9092,kafka2:9092
  mast --config /etc/mast.toml ingest";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.place.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let paths = Paths::made(&config.data)?;
        let _lock = paths.lock("ingest")?;
        let start = async {
            let database = patiently("Postgres", || attached(config, &paths)).await?;
            let log = patiently("the log", || standalone::log::ask(&config.log, &paths)).await?;
            let start = || standalone::ingest(config, &paths, &database, &log, 0);
            let node = patiently("ingest", start).await?;
            anyhow::Ok((Arc::new(node), database))
        };
        let parts = [Part::Ingest, Part::Log, Part::Postgres];
        let mut health = Process::start(config, &paths, "ingest", &parts).await;
        let (node, database) = tokio::select! {
            started = start => started?,
            () = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let name = paths.holder()?.to_string();
        health.node(&database, name, Arc::clone(&node)).await?;
        crate::output::json(&serde_json::json!({ "process": std::process::id() }))?;
        stop.await;
        tracing::info!("stopping ingest");
        let stopping = async {
            health.stop().await;
            // Whoever told of it has let go.
            if let Some(node) = Arc::into_inner(node) {
                node.stop().await;
            }
        };
        tokio::select! {
            () = stopping => Ok(ExitCode::SUCCESS),
            code = standalone::at_once() => code,
        }
    }
}
