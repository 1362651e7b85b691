//! Whether database, log and checkpoints belong together.
//!
//! Generations rise with each start, and the database gives them. A log that was bound by a generation the database has yet
//! to give belongs to another database, or to a newer state of this one: what is bound now would not count at the next
//! start, and outbox records would seem to be relayed that are not. Nothing of it may be written.

use std::path::Path;

use mast_log::Log;
use mast_schemas::epochs::Binding;
use mast_schemas::topics;

use crate::checkpoint;
use crate::error::DataflowError;
use crate::relay::newest;

/// Refuses what a generation not older than ours has bound.
pub(super) fn check(
    job: &str,
    generation: u64,
    checkpoints: &Path,
    log: &dyn Log,
) -> Result<(), DataflowError> {
    let last = newest(log, topics::EPOCHS, 1).map_err(DataflowError::log(topics::EPOCHS, 0))?;
    let stored = checkpoint::list(checkpoints)?;
    let stored = stored.iter().map(|stored| stored.manifest.generation).max();
    let bound = last
        .first()
        .and_then(|entry| Binding::decode(&entry.record.body).ok())
        .map(|binding| binding.generation);
    match bound.max(stored) {
        Some(found) if found >= generation => Err(DataflowError::Foreign {
            job: job.to_owned(),
            generation,
            found,
        }),
        _ => Ok(()),
    }
}
