//! Where log lines go: standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::Logging;

/// A level or filter as it is written.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(text)
}

/// Starts logging; to be called once.
pub(crate) fn start(config: &Logging) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&config.level)?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // It would tell on standard error that standard error is gone, by a panic.
        .log_internal_errors(false);
    let started = if config.json {
        builder.json().try_init()
    } else {
        builder.compact().try_init()
    };
    started.map_err(|e| anyhow::anyhow!("logging cannot be started: {e}"))
}
