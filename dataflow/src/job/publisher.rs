//! Writes checkpoints, tells Postgres, and trims what no kept checkpoint needs any more.

use std::path::PathBuf;
use std::sync::Arc;

use mast_log::Log;
use mast_schemas::checkpoint::{Manifest, VERSION};
use mast_schemas::topics;
use tokio::sync::watch;

use super::driver::CheckpointWork;
use super::status::JobStatus;
use crate::checkpoint::{self, KEPT, Stored};
use crate::error::DataflowError;
use crate::sink::Sink;

pub(crate) struct Publisher {
    pub(crate) dir: PathBuf,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) sink: Sink,
    pub(crate) generation: u64,
    pub(crate) status: Arc<watch::Sender<JobStatus>>,
}

impl Publisher {
    /// Publishes a checkpoint. Everything up to its epoch must be in Postgres and in the lake.
    pub(crate) async fn publish(&self, work: CheckpointWork) -> Result<(), DataflowError> {
        let CheckpointWork { snapshot, place } = work;
        let epoch = place.epoch;
        let manifest = Manifest {
            epoch,
            generation: self.generation,
            version: VERSION,
            bindings: place.bindings,
            telemetry: place.telemetry,
            control: place.control,
            anew_after: None,
            files: Vec::new(),
        };
        let dir = self.dir.clone();
        let kept = blocking("writing of a checkpoint", move || {
            checkpoint::write(&dir, manifest, &snapshot)
        })
        .await?;
        self.sink.checkpointed(epoch).await?;
        self.status.send_modify(|status| {
            status.checkpoint_epoch = epoch;
            status.counters.checkpoints += 1;
        });
        // As long as there are fewer, a damaged one could send us back to the beginning.
        if let Some(oldest) = kept.get(KEPT - 1).cloned() {
            let log = self.log.clone();
            match blocking("trimming", move || trim(log.as_ref(), &oldest)).await {
                // The next checkpoint trims more.
                Err(error) if error.is_log_away() => {
                    tracing::warn!(%error, "the log was not trimmed");
                }
                done => done?,
            }
        }
        Ok(())
    }
}

/// Lets go of what lies before the oldest kept checkpoint. The lake holds it: it was committed before the checkpoint was.
/// Control is never trimmed: whoever starts without a checkpoint reads it from its beginning.
fn trim(log: &dyn Log, oldest: &Stored) -> Result<(), DataflowError> {
    for (partition, &before) in (0..).zip(&oldest.manifest.telemetry) {
        let topic = topics::TELEMETRY;
        log.trim(topic, partition, before)
            .map_err(DataflowError::log(topic, partition))?;
    }
    log.trim(topics::EPOCHS, 0, oldest.manifest.bindings)
        .map_err(DataflowError::log(topics::EPOCHS, 0))
}

async fn blocking<T: Send + 'static>(
    task: &'static str,
    work: impl FnOnce() -> Result<T, DataflowError> + Send + 'static,
) -> Result<T, DataflowError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| DataflowError::Task {
        task,
        reason: e.to_string(),
    })?
}
