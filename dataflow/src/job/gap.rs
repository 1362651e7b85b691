//! What the log must still hold at a start, and what is done when it does not.
//!
//! A gap is known at the start: what a restart needs begins at its checkpoint. The job then ends with the remedy. Where a
//! person accepts the gap it begins anew, with what the log still holds. The trap avoided: a state that went on from the
//! checkpoint without what was lost would differ from the views that were committed with it, and would never mend them.

use std::sync::Arc;

use mast_log::{Ends, LogError};
use mast_schemas::{Epoch, topics};

use super::JobConfig;
use super::driver::Place;
use crate::checkpoint;
use crate::error::DataflowError;
use crate::sink::Sink;

/// The first place where the log begins behind what is needed. An error unless a person accepts it.
pub(super) async fn check(config: &JobConfig) -> Result<Option<DataflowError>, DataflowError> {
    let dir = config.checkpoints();
    let newest =
        tokio::task::spawn_blocking(move || checkpoint::newest(&dir, Epoch(u64::MAX))).await;
    let needed = match newest.map_err(ended)?? {
        Some((stored, _)) => Place {
            epoch: stored.manifest.epoch,
            bindings: stored.manifest.bindings,
            telemetry: stored.manifest.telemetry,
            control: stored.manifest.control,
        },
        None => Place {
            telemetry: vec![0; config.partitions as usize],
            ..Place::default()
        },
    };
    let there = firsts(config).await?;
    let telemetry = (0..).zip(needed.telemetry.iter().zip(&there.telemetry));
    let mut gaps = telemetry
        .map(|(partition, (wanted, first))| (topics::TELEMETRY, partition, *wanted, *first))
        .chain([
            (topics::EPOCHS, 0, needed.bindings, there.bindings),
            (topics::CONTROL, 0, needed.control, there.control),
        ]);
    let gap = gaps.find(|(_, _, wanted, first)| wanted < first);
    let Some((topic, partition, wanted, first)) = gap else {
        return Ok(None);
    };
    let gap = DataflowError::Gap {
        topic,
        partition,
        wanted,
        first,
        checkpoints: config.checkpoints(),
    };
    if config.accept_gap {
        Ok(Some(gap))
    } else {
        Err(gap)
    }
}

/// Where each topic begins.
pub(super) async fn firsts(config: &JobConfig) -> Result<Place, DataflowError> {
    let (log, partitions) = (Arc::clone(&config.log), config.partitions);
    let look = move || {
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
    };
    tokio::task::spawn_blocking(look).await.map_err(ended)?
}

/// Puts the checkpoints aside and forgets the views.
pub(super) async fn begin_anew(
    config: &JobConfig,
    sink: &Sink,
    gap: DataflowError,
) -> Result<(), DataflowError> {
    let dir = config.checkpoints();
    let aside = dir.with_extension("before-gap");
    tracing::error!(
        %gap,
        aside = %aside.display(),
        "the gap is accepted: views begin anew with what the log still holds, the checkpoints are put aside"
    );
    sink.forget().await?;
    if dir.exists() {
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(DataflowError::file(&aside))?;
        }
        std::fs::rename(&dir, &aside).map_err(DataflowError::file(&dir))?;
    }
    Ok(())
}

fn ended(error: tokio::task::JoinError) -> DataflowError {
    DataflowError::Task {
        task: "look for a gap",
        reason: error.to_string(),
    }
}
