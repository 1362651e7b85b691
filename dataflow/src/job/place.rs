//! A place in the log.

use mast_schemas::Epoch;
use mast_schemas::checkpoint::Manifest;

/// How far the flow has come in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: Epoch,
    /// Offset after the last binding fed.
    pub(crate) bindings: u64,
    pub(crate) telemetry: Vec<u64>,
    pub(crate) control: u64,
}

impl Place {
    /// Before all records.
    pub(crate) fn begin(partitions: u32) -> Self {
        Self {
            telemetry: vec![0; partitions as usize],
            ..Self::default()
        }
    }

    /// Where a checkpoint was taken.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self {
            epoch: manifest.epoch,
            bindings: manifest.bindings,
            telemetry: manifest.telemetry.clone(),
            control: manifest.control,
        }
    }
}
