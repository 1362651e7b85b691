//! Patience with what is away: a process of its own waits for its broker and its database, and says so.

use std::future::Future;
use std::time::Duration;

use mast_dataflow::DataflowError;
use mast_log::LogError;

/// Time between attempts.
const EVERY: Duration = Duration::from_secs(1);
/// After so many attempts the same reason is told again.
const TOLD_AGAIN: u32 = 30;

/// Tries until it succeeds, for as long as the reason may pass. It never ends for a reason that waiting does not mend: then
/// its error is the attempt's.
pub(crate) async fn patiently<T, F: Future<Output = anyhow::Result<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let (mut told, mut since) = (String::new(), 0);
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if is_passing(&error) => error,
            Err(error) => return Err(error),
        };
        let reason = format!("{error:#}");
        if reason != told || since == TOLD_AGAIN {
            tracing::warn!(reason, "{what} has to wait; trying again");
            (told, since) = (reason, 0);
        }
        since += 1;
        tokio::time::sleep(EVERY).await;
    }
}

/// What is not there yet, and comes without anybody's doing here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotYet(pub(crate) String);

/// Whether waiting may mend it. The causes of our own errors are in the chain.
fn is_passing(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let held = matches!(
            cause.downcast_ref(),
            Some(DataflowError::Held { .. } | DataflowError::Locked { .. })
        );
        let log = cause.downcast_ref().is_some_and(LogError::is_passing);
        let postgres = cause.downcast_ref().is_some_and(mast_postgres::is_passing);
        held || log || postgres || cause.is::<NotYet>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_waits_for_the_job_and_nobody_for_a_gap() {
        let locked = DataflowError::Locked {
            path: "data/dataflow-main.lock".into(),
        };
        assert!(is_passing(
            &anyhow::Error::new(locked).context("start the dataflow")
        ));
        let gap = DataflowError::Gap {
            lost: Vec::new(),
            checkpoints: "data/checkpoints".into(),
        };
        assert!(!is_passing(&anyhow::Error::new(gap)));
    }
}
