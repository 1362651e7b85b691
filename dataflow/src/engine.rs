//! Runs the flow on worker threads: slots in, outputs and snapshots out.
//!
//! Workers share nothing with the caller but channels. All of them get every command in the same order, so that none waits
//! for a slot that another was not given.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use mast_schemas::Epoch;
use mast_schemas::partition::KEY_GROUPS;
use mast_schemas::thresholds::Thresholds;
use mast_state::messages::DeviceControl;

use crate::control::ControlTables;
use crate::flow::{self, timely};
use crate::outputs::{Message, Outputs, SlotInput, Snapshot};

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
#[error("the dataflow workers have stopped; restart the job, it goes on from its newest checkpoint")]
pub struct Stopped;

/// Slots fed but not yet handled are at most so many; more block the feeder.
const IN_FLIGHT: usize = 64;

/// How long a worker sleeps when all waits on others.
const PARK: Duration = Duration::from_millis(1);

enum Command {
    Feed(Arc<Part>),
    Outputs(Sender<Outputs>),
    Snapshot(Sender<Snapshot>),
}

/// A slot as all workers get it; each takes what is its own.
struct Part {
    first: Epoch,
    last: Epoch,
    control: Vec<DeviceControl>,
    standing: Vec<(mast_schemas::DeviceId, flow::Standing, isize)>,
    messages: Vec<Message>,
}

/// A running flow. Calls block while too many slots are in flight; call from a thread that may wait.
pub struct Engine {
    workers: Vec<Sender<Command>>,
    guards: Option<timely::communication::WorkerGuards<()>>,
    control: ControlTables,
    upto: Epoch,
}

impl Engine {
    /// Starts the workers with the state of a snapshot.
    ///
    /// # Errors
    /// [`Stopped`] when the threads cannot be started.
    pub fn start(config: EngineConfig, snapshot: Snapshot) -> Result<Self, Stopped> {
        let mut control = ControlTables::default();
        let mut diffs = Vec::new();
        snapshot.control.iter().for_each(|change| control.apply(change, &mut diffs));
        let upto = snapshot.epoch;
        let first = Part {
            first: upto,
            last: upto,
            control: diffs.iter().map(crate::control::DeviceDiff::control).collect(),
            standing: standings(&diffs),
            messages: Vec::new(),
        };
        let first = Arc::new(first);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..config.workers).map(|_| bounded(IN_FLIGHT)).unzip();
        let mut parts = split(config, snapshot);
        let seats: Arc<Vec<Mutex<Option<(Receiver<Command>, Snapshot)>>>> = Arc::new(
            receivers.into_iter().zip(parts.drain(..)).map(|seat| Mutex::new(Some(seat))).collect(),
        );
        let guards = timely::execute(timely::Config::process(config.workers), move |worker| {
            let seat = seats[worker.index()].lock().ok().and_then(|mut seat| seat.take());
            if let Some((commands, snapshot)) = seat {
                run(worker, config, &commands, snapshot, &first);
            }
        })
        .map_err(|reason| {
            tracing::error!(%reason, "dataflow workers cannot be started");
            Stopped
        })?;
        Ok(Self { workers: senders, guards: Some(guards), control, upto })
    }

    /// The control tables as of the last slot fed.
    pub const fn control(&self) -> &ControlTables {
        &self.control
    }

    /// Feeds the next slots. Bindings must rise without a gap.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn feed(&mut self, slot: SlotInput) -> Result<(), Stopped> {
        let mut diffs = Vec::new();
        slot.control.iter().for_each(|change| self.control.apply(change, &mut diffs));
        self.upto = slot.binding.last;
        let part = Arc::new(Part {
            first: slot.binding.first,
            last: slot.binding.last,
            control: diffs.iter().map(crate::control::DeviceDiff::control).collect(),
            standing: standings(&diffs),
            messages: slot.messages,
        });
        self.all(|| Command::Feed(part.clone()))
    }

    /// Waits until all slots fed are complete and returns their outputs.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn outputs(&mut self) -> Result<Outputs, Stopped> {
        let (sender, receiver) = bounded(self.workers.len());
        self.all(|| Command::Outputs(sender.clone()))?;
        drop(sender);
        let mut outputs = Outputs { upto: self.upto, ..Outputs::default() };
        for _ in 0..self.workers.len() {
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
        let (sender, receiver) = bounded(self.workers.len());
        self.all(|| Command::Snapshot(sender.clone()))?;
        drop(sender);
        let mut all = Snapshot { epoch: self.upto, control: self.control.records(), ..Snapshot::default() };
        for _ in 0..self.workers.len() {
            let part = receiver.recv().map_err(|_| Stopped)?;
            all.devices.extend(part.devices);
            all.roam.extend(part.roam);
            all.aps.extend(part.aps);
            all.caps.extend(part.caps);
            all.bssids.extend(part.bssids);
            all.ap_flags.extend(part.ap_flags);
            all.shown.extend(part.shown);
        }
        Ok(all)
    }

    fn all(&self, command: impl Fn() -> Command) -> Result<(), Stopped> {
        self.workers.iter().try_for_each(|w| w.send(command()).map_err(|_| Stopped))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.workers.clear();
        if let Some(guards) = self.guards.take() {
            for result in guards.join() {
                if let Err(reason) = result {
                    tracing::error!(%reason, "a dataflow worker failed");
                }
            }
        }
    }
}

fn standings(diffs: &[crate::control::DeviceDiff]) -> Vec<(mast_schemas::DeviceId, flow::Standing, isize)> {
    let place = |info: mast_state::messages::DeviceInfo| (info.tenant, info.site, info.sector);
    let mut all = Vec::new();
    for diff in diffs {
        all.extend(diff.old.map(|info| (diff.device, place(info), -1)));
        all.extend(diff.new.map(|info| (diff.device, place(info), 1)));
    }
    all
}

/// Gives each worker its own part of a snapshot.
fn split(config: EngineConfig, snapshot: Snapshot) -> Vec<Snapshot> {
    let peers = config.workers as u64;
    let mut parts: Vec<Snapshot> =
        (0..config.workers).map(|_| Snapshot { epoch: snapshot.epoch, ..Snapshot::default() }).collect();
    for record in snapshot.devices {
        parts[(flow::device_route(&record.1.device_id, config.partitions) % peers) as usize].devices.push(record);
    }
    for record in snapshot.aps {
        parts[(flow::device_route(&record.1.device_id, config.partitions) % peers) as usize].aps.push(record);
    }
    for record in snapshot.roam {
        parts[(flow::client_route(record.1.tenant_id, record.1.mac) % peers) as usize].roam.push(record);
    }
    for record in snapshot.caps {
        parts[(flow::client_route(record.1.tenant_id, record.1.radio_mac) % peers) as usize].caps.push(record);
    }
    for record in snapshot.bssids {
        parts[(flow::client_route(record.1.tenant_id, record.1.radio_mac) % peers) as usize].bssids.push(record);
    }
    // One record tells of many clients, who live on different workers.
    for (group, record) in snapshot.shown {
        for (worker, part) in (0..peers).zip(&mut parts) {
            let mut own = record.clone();
            own.clients.retain(|mac| flow::client_route(record.tenant_id, *mac) % peers == worker);
            if !own.clients.is_empty() {
                part.shown.push((group, own));
            }
        }
    }
    for record in snapshot.ap_flags {
        parts[(flow::device_route(&record.1.device_id, config.partitions) % peers) as usize].ap_flags.push(record);
    }
    parts
}

/// The life of a worker: obeys commands, and steps the flow between them, until the engine is dropped.
fn run(
    worker: &mut timely::worker::Worker,
    config: EngineConfig,
    commands: &Receiver<Command>,
    snapshot: Snapshot,
    restored: &Part,
) {
    let (index, peers) = (worker.index() as u64, worker.peers() as u64);
    let mut upto = snapshot.epoch;
    let mut flow = flow::build(worker, config.partitions, config.thresholds, snapshot);
    let own = |part: &Part, flow: &mut flow::Worker| {
        let standing = part.standing.iter().filter(|_| index == 0).copied();
        let messages = part.messages.iter().filter(|m| u64::from(m.partition) % peers == index).cloned();
        flow.feed(part.first.0, &part.control, standing, messages);
        flow.advance(part.last.0 + 1);
    };
    // What a restored state told in slot 0 has been committed before: it is not an output.
    own(&Part { first: Epoch(0), ..restored.clone_head() }, &mut flow);
    settle(worker, &flow, upto);
    flow.outputs.take();

    while let Ok(command) = commands.recv() {
        match command {
            Command::Feed(part) => {
                own(&part, &mut flow);
                upto = part.last;
                worker.step();
            }
            Command::Outputs(reply) => {
                settle(worker, &flow, upto);
                // The asker may be gone; then nobody wants the outputs.
                let _ = reply.send(flow.outputs.take());
            }
            Command::Snapshot(reply) => {
                settle(worker, &flow, upto);
                let _ = reply.send(records(&flow.state));
            }
        }
    }
}

/// Steps until all slots up to `upto` are complete here.
fn settle(worker: &mut timely::worker::Worker, flow: &flow::Worker, upto: Epoch) {
    while flow.probe.less_equal(&upto.0) {
        worker.step_or_park(Some(PARK));
    }
}

fn records(state: &flow::State) -> Snapshot {
    let mut part = Snapshot::default();
    for group in 0..KEY_GROUPS {
        let group = group as u8;
        part.devices.extend(state.devices.borrow().records(group).into_iter().map(|r| (group, r)));
        part.roam.extend(state.roaming.borrow().records(group).into_iter().map(|r| (group, r)));
        part.aps.extend(state.aps.borrow().records(group).into_iter().map(|r| (group, r)));
        part.caps.extend(state.bssids.borrow().records(group).into_iter().map(|r| (group, r)));
        part.bssids.extend(state.bssids.borrow().bssid_records(group).into_iter().map(|r| (group, r)));
        part.shown.extend(state.roaming.borrow().shown(group).into_iter().map(|r| (group, r)));
        part.ap_flags.extend(state.aps.borrow().flags(group).into_iter().map(|r| (group, r)));
    }
    part
}

impl Part {
    /// The part without messages.
    fn clone_head(&self) -> Self {
        Self {
            first: self.first,
            last: self.last,
            control: self.control.clone(),
            standing: self.standing.clone(),
            messages: Vec::new(),
        }
    }
}
