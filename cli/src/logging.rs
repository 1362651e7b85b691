//! Where log lines go: standard error, as text or JSON.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// Starts logging; to be called once.
pub(crate) fn start(filter: &str, json: bool) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!(
            "--log-level {filter:?} is not a level or filter; try `info` or `mast_ingest=debug`"
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if json {
        builder.json().try_init()
    } else {
        builder.compact().try_init()
    };
    started.map_err(|e| anyhow::anyhow!("logging cannot be started: {e}"))
}
