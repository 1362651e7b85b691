//! What a kill costs: the newest checkpoint read, its state rebuilt, the log after it replayed.

use std::path::Path;
use std::time::Instant;

use mast_dataflow::checkpoint;
use mast_dataflow::engine::{Engine, EngineConfig};
use mast_dataflow::outputs::SlotInput;
use mast_schemas::Epoch;
use mast_schemas::checkpoint::{Manifest, VERSION};

use super::Restart;
use super::measure::{refused, seconds};
use super::telemetry::{PARTITIONS, Telemetry};
use crate::BenchError;

/// Writes a checkpoint of the engine, ends it, and starts another that replays `slots` slots.
pub(super) fn restart(
    config: EngineConfig,
    mut engine: Engine,
    telemetry: &mut Telemetry,
    slots: u64,
) -> Result<Restart, BenchError> {
    let dir = tempfile::tempdir()?;
    let clock = Instant::now();
    let snapshot = engine.snapshot()?;
    let snapshot_s = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let manifest = Manifest {
        epoch: snapshot.epoch,
        generation: 1,
        version: VERSION,
        bindings: 0,
        telemetry: vec![0; PARTITIONS as usize],
        control: 0,
        anew_after: None,
        files: Vec::new(),
    };
    checkpoint::write(dir.path(), manifest, &snapshot)?;
    let write_s = clock.elapsed().as_secs_f64();
    let checkpoint_bytes = size(dir.path())?;
    drop(snapshot);
    drop(engine);
    let replay: Vec<SlotInput> = (0..slots)
        .map(|_| telemetry.next())
        .collect::<Result<_, _>>()?;

    let clock = Instant::now();
    let (_, snapshot) =
        checkpoint::newest(dir.path(), Epoch(u64::MAX))?.ok_or(BenchError::NoCheckpoint)?;
    let load_s = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let mut engine = Engine::start(config, snapshot)?;
    engine.outputs()?;
    let rebuild_s = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    for slot in replay {
        engine.feed(slot)?;
    }
    refused(&engine.outputs()?)?;
    let replay_s = clock.elapsed().as_secs_f64();
    let replayed_s = seconds(slots);
    Ok(Restart {
        snapshot_s,
        write_s,
        checkpoint_bytes,
        load_s,
        rebuild_s,
        replayed_s,
        replay_s,
    })
}

/// Bytes of all files below a folder.
fn size(dir: &Path) -> Result<u64, BenchError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += if kind.is_dir() {
            size(&entry.path())?
        } else {
            kind.len()
        };
    }
    Ok(bytes)
}
