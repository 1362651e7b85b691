//! What the log must still hold at a start, and what is done when it does not.
//!
//! A gap is known at the start: what a restart needs begins at its checkpoint. The job then ends with the remedy. Where a
//! person accepts the gap it begins anew, with what the log still holds: so no device of a partition that lost records is
//! taken for what it was before, it is unobserved until a poll of it is read. The trap avoided: a state that went on from the
//! checkpoint without what was lost would differ from the views that were committed with it, and would never mend them.
//!
//! The acceptance is a checkpoint without state, of slot 0, with the offsets at which the log began then. So a later start
//! and `mast verify` begin where this one did. It is made beside the old checkpoints and takes their place last, after the
//! views are forgotten: a start that is killed in between is finished by the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mast_log::{Ends, LogError};
use mast_schemas::checkpoint::{Manifest, VERSION};
use mast_schemas::{Epoch, topics};

use super::JobConfig;
use super::place::Place;
use crate::checkpoint;
use crate::error::{DataflowError, Lost};
use crate::outputs::Snapshot;
use crate::sink::Sink;

/// What the log no longer holds of what is needed to go on from `committed`. An error unless a person accepts it.
pub(super) async fn check(
    config: &JobConfig,
    committed: Epoch,
) -> Result<Vec<Lost>, DataflowError> {
    let dir = config.checkpoints();
    let newest = blocking(move || checkpoint::newest(&dir, committed)).await?;
    let needed = match newest {
        Some((stored, _)) => Place::of(&stored.manifest),
        None => Place::begin(config.partitions),
    };
    let there = firsts(config).await?;
    let telemetry = (0..).zip(needed.telemetry.iter().zip(&there.telemetry));
    let lost: Vec<Lost> = telemetry
        .map(|(partition, (wanted, first))| (topics::TELEMETRY, partition, *wanted, *first))
        .chain([
            (topics::EPOCHS, 0, needed.bindings, there.bindings),
            (topics::CONTROL, 0, needed.control, there.control),
        ])
        .filter(|(_, _, wanted, first)| wanted < first)
        .map(|(topic, partition, wanted, first)| Lost {
            topic,
            partition,
            wanted,
            first,
        })
        .collect();
    lost.iter().for_each(Lost::show);
    if lost.is_empty() || config.accept_gap {
        return Ok(lost);
    }
    Err(DataflowError::Gap {
        lost,
        checkpoints: config.checkpoints(),
    })
}

/// Where each topic begins.
async fn firsts(config: &JobConfig) -> Result<Place, DataflowError> {
    let (log, partitions) = (Arc::clone(&config.log), config.partitions);
    blocking(move || {
        let first = |topic: &'static str, partition| {
            let ends: Result<Ends, LogError> = log.ends(topic, partition);
            ends.map(|ends| ends.first)
                .map_err(DataflowError::log(topic, partition))
        };
        let telemetry = (0..partitions).map(|p| first(topics::TELEMETRY, p));
        Ok(Place {
            telemetry: telemetry.collect::<Result<_, DataflowError>>()?,
            bindings: first(topics::EPOCHS, 0)?,
            control: first(topics::CONTROL, 0)?,
            ..Place::default()
        })
    })
    .await
}

/// Notes that a person accepts what was lost; outputs up to `committed` were made before.
pub(super) async fn accept(
    config: &JobConfig,
    committed: Epoch,
    lost: &[Lost],
) -> Result<(), DataflowError> {
    for lost in lost {
        tracing::error!(
            topic = lost.topic,
            partition = lost.partition,
            from = lost.wanted,
            to = lost.first,
            "a gap is accepted: records are lost; views begin anew with what the log still holds, devices are unobserved \
             until a poll of theirs is read, the checkpoints are put aside"
        );
    }
    let begin = firsts(config).await?;
    // One that was accepted just before may not have come as far again.
    let before = checkpoint::list(&config.checkpoints())?;
    let before = before.iter().filter_map(|s| s.manifest.anew_after).max();
    let manifest = Manifest {
        epoch: Epoch(0),
        // Bindings of every generation count.
        generation: 0,
        version: VERSION,
        bindings: begin.bindings,
        telemetry: begin.telemetry,
        control: begin.control,
        anew_after: Some(committed.max(before.unwrap_or_default())),
        files: Vec::new(),
    };
    let anew = anew(&config.checkpoints());
    blocking(move || {
        remove(&anew)?;
        checkpoint::write(&anew, manifest, &Snapshot::default()).map(drop)
    })
    .await
}

/// Begins anew if that was accepted and is not done yet: forgets the views and puts the checkpoints aside. Returns up to
/// which slot outputs are committed.
pub(super) async fn begin_anew(
    config: &JobConfig,
    sink: &Sink,
    committed: Epoch,
) -> Result<Epoch, DataflowError> {
    let dir = config.checkpoints();
    let (anew, aside) = (anew(&dir), dir.with_extension("before-gap"));
    if checkpoint::list(&anew)?.is_empty() {
        return Ok(committed);
    }
    sink.forget().await?;
    blocking(move || {
        if dir.exists() {
            remove(&aside)?;
            std::fs::rename(&dir, &aside).map_err(DataflowError::file(&dir))?;
        }
        std::fs::rename(&anew, &dir).map_err(DataflowError::file(&anew))
    })
    .await?;
    Ok(Epoch(0))
}

/// Where an acceptance is made ready.
fn anew(checkpoints: &Path) -> PathBuf {
    checkpoints.with_extension("anew")
}

fn remove(dir: &Path) -> Result<(), DataflowError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DataflowError::file(dir)(error))
        }
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DataflowError> + Send + 'static,
) -> Result<T, DataflowError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| DataflowError::Task {
        task: "look for a gap",
        reason: error.to_string(),
    })?
}
