//! Runs the flow on worker threads: slots in, outputs and snapshots out.
//!
//! Workers share nothing with the caller but channels. All of them get every command in the same order, so that none waits
//! for a slot that another was not given.

use std::sync::Arc;

use crossbeam_channel::bounded;
use mast_schemas::Epoch;
use mast_schemas::thresholds::Thresholds;

use crate::control::{self, ControlTables, Diffs};
use crate::flow::workers::{Command, Part, Threads};
use crate::numbers::Numbers;
use crate::outputs::{Outputs, SlotInput, Snapshot};
use crate::policy::PolicyTables;

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

/// The flow stopped: a worker panicked or could not be started. Its state is lost; a new one begins with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the dataflow workers have stopped; restart the job, it goes on from its newest checkpoint"
)]
pub struct Stopped;

/// A running flow. Calls block while too many slots are in flight; call from a thread that may wait.
pub struct Engine {
    threads: Threads,
    control: ControlTables,
    policy: PolicyTables,
    upto: Epoch,
}

impl Engine {
    /// Starts the workers with the state of a snapshot.
    ///
    /// # Errors
    /// [`Stopped`] when the threads cannot be started.
    pub fn start(config: EngineConfig, snapshot: Snapshot) -> Result<Self, Stopped> {
        let numbers = Numbers::default();
        let (limits, rules) = (&snapshot.limits, &snapshot.rules);
        let mut control = ControlTables::new(config.thresholds, limits, rules, numbers.clone());
        let mut diffs = Diffs::default();
        snapshot
            .control
            .iter()
            .for_each(|record| control.put(record.clone(), &mut diffs));
        let policy = PolicyTables::new(&snapshot.cores, &snapshot.windows);
        let upto = snapshot.epoch;
        let first = Part {
            first: upto,
            last: upto,
            control: diffs.devices,
            rules: diffs.rules,
            trends: Vec::new(),
            policy: policy.all(),
            messages: Vec::new(),
        };
        let threads = Threads::start(config, snapshot, first, &numbers)?;
        Ok(Self {
            threads,
            control,
            policy,
            upto,
        })
    }

    /// Feeds the next slots. Bindings must rise without a gap.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn feed(&mut self, slot: SlotInput) -> Result<(), Stopped> {
        let diffs = self.control.apply(&slot.control);
        self.upto = slot.binding.last;
        let part = Arc::new(Part {
            first: slot.binding.first,
            last: slot.binding.last,
            control: diffs.devices,
            rules: diffs.rules,
            trends: slot.control.iter().filter_map(control::trend).collect(),
            policy: self.policy.apply(&slot.control),
            messages: slot.messages,
        });
        self.threads.all(|| Command::Feed(part.clone()))
    }

    /// Waits until all slots fed are complete and returns their outputs.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn outputs(&mut self) -> Result<Outputs, Stopped> {
        let (sender, receiver) = bounded(self.threads.len());
        self.threads.all(|| Command::Outputs(sender.clone()))?;
        drop(sender);
        let mut outputs = Outputs {
            upto: self.upto,
            ..Outputs::default()
        };
        for _ in 0..self.threads.len() {
            outputs.join(receiver.recv().map_err(|_| Stopped)?);
        }
        outputs.settle();
        Ok(outputs)
    }

    /// The state as of the last slot fed, which is complete after [`Engine::outputs`].
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn snapshot(&mut self) -> Result<Snapshot, Stopped> {
        let (sender, receiver) = bounded(self.threads.len());
        self.threads.all(|| Command::Snapshot(sender.clone()))?;
        drop(sender);
        let mut all = Snapshot {
            epoch: self.upto,
            control: self.control.records(),
            limits: self.control.limits(),
            rules: self.control.rules(),
            windows: self.policy.windows(),
            cores: self.policy.cores(),
            ..Snapshot::default()
        };
        for _ in 0..self.threads.len() {
            all.join(receiver.recv().map_err(|_| Stopped)?);
        }
        Ok(all)
    }
}
