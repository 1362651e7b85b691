//! When to stop.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

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

/// Completes at the next Ctrl-C or SIGTERM, for who is being stopped already.
pub(crate) async fn at_once() -> anyhow::Result<ExitCode> {
    stop_signal()?.await;
    tracing::warn!("stopped at once; nothing is lost, the next start recovers it");
    Ok(ExitCode::from(super::INTERRUPTED))
}
