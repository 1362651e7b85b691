//! Runs the flow on worker threads: slots in, outputs and snapshots out.

use crate::outputs::{Outputs, SlotInput, Snapshot};
use mast_schemas::thresholds::Thresholds;

/// How the engine is to run.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Worker threads.
    pub workers: usize,
    /// Partitions of the telemetry topic.
    pub partitions: u32,
    /// The thresholds.
    pub thresholds: Thresholds,
}

/// A running flow. Calls block while too many slots are in flight; call from a thread that may wait.
pub struct Engine {
    _private: (),
}

/// The flow stopped: a worker panicked or was shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dataflow workers have stopped")]
pub struct Stopped;

impl Engine {
    /// Starts the workers with the state of a snapshot.
    ///
    /// # Errors
    /// [`Stopped`] when the threads cannot be started.
    pub fn start(_config: EngineConfig, _snapshot: Snapshot) -> Result<Self, Stopped> {
        Err(Stopped)
    }

    /// Feeds the next slots. Bindings must rise without a gap.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn feed(&mut self, _slot: SlotInput) -> Result<(), Stopped> {
        Err(Stopped)
    }

    /// Waits until all slots fed are complete and returns their outputs.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn outputs(&mut self) -> Result<Outputs, Stopped> {
        Err(Stopped)
    }

    /// The state as of the last slot fed, which is complete after [`Engine::outputs`].
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn snapshot(&mut self) -> Result<Snapshot, Stopped> {
        Err(Stopped)
    }
}
