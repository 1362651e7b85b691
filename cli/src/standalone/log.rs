//! The log that is configured.

use std::sync::Arc;

use anyhow::{Context, bail};
use mast_log::{
    EmbeddedConfig, EmbeddedLog, KafkaLog, Log, LogError, LogServer, Metered, ServedLog,
};
use mast_schemas::topics;

use super::Paths;
use crate::config;
use crate::config::Kind;

/// Opens the log to write to it.
pub(crate) async fn open(config: &config::Log, paths: &Paths) -> anyhow::Result<Arc<dyn Log>> {
    let log: Arc<dyn Log> = match config.kind {
        Kind::Embedded => Arc::new(
            EmbeddedLog::open(paths.log(), EmbeddedConfig::default())
                .with_context(|| format!("open the log {}", paths.log().display()))?,
        ),
        Kind::Kafka => connect(config).await?,
    };
    Ok(Arc::new(Metered::new(log)))
}

/// Opens the log to look at it, beside whoever writes to it.
pub(crate) async fn look(config: &config::Log, paths: &Paths) -> anyhow::Result<Arc<dyn Log>> {
    match config.kind {
        Kind::Embedded => Ok(Arc::new(
            EmbeddedLog::open_read_only(paths.log()).context("open the log")?,
        )),
        Kind::Kafka => connect(config).await,
    }
}

async fn connect(config: &config::Log) -> anyhow::Result<Arc<dyn Log>> {
    let kafka = config.kafka()?;
    let connected = tokio::task::spawn_blocking(move || KafkaLog::connect(kafka)).await;
    Ok(Arc::new(connected.context("connect to the log")??))
}

/// Partitions of the telemetry topic: what it has, else what it is to be made with.
pub(crate) async fn partitions(config: &config::Log, log: &Arc<dyn Log>) -> anyhow::Result<u32> {
    let asked = Arc::clone(log);
    let found = tokio::task::spawn_blocking(move || asked.partitions(topics::TELEMETRY)).await;
    match found.context("look at the log")? {
        Ok(found) if config.partitions == 0 || config.partitions == found => Ok(found),
        Ok(found) => bail!(
            "log.partitions is {}, but {} has {found} partitions, and their number cannot change: set log.partitions to 0",
            config.partitions,
            topics::TELEMETRY
        ),
        Err(LogError::UnknownTopic { .. }) => Ok(config.partitions()),
        Err(error) => Err(error.into()),
    }
}

/// Opens the log of an installation whose embedded log another process owns.
pub(crate) async fn ask(config: &config::Log, paths: &Paths) -> anyhow::Result<Arc<dyn Log>> {
    let log: Arc<dyn Log> = match config.kind {
        Kind::Embedded => Arc::new(ServedLog::connect(paths.log_socket())?),
        Kind::Kafka => connect(config).await?,
    };
    Ok(Arc::new(Metered::new(log)))
}

/// Serves the embedded log to the parts that run as processes of their own, until the result is dropped.
pub(crate) fn serve(
    config: &config::Log,
    paths: &Paths,
    log: &Arc<dyn Log>,
) -> anyhow::Result<Option<LogServer>> {
    match config.kind {
        Kind::Embedded => Ok(Some(LogServer::start(Arc::clone(log), paths.log_socket())?)),
        Kind::Kafka => Ok(None),
    }
}
