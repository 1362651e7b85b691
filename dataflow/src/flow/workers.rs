//! The worker threads: each obeys the same commands in the same order, and steps its part of the flow between them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use mast_schemas::Epoch;
use mast_schemas::alerts::Subject;
use mast_state::messages::{IncidentInput, RuleControl, TrendControl};

use crate::control::DeviceDiff;
use crate::engine::{EngineConfig, Stopped};
use crate::flow::{self, State};
use crate::numbers::Numbers;
use crate::outputs::{Message, Outputs, Snapshot};

/// Slots fed but not yet handled are at most so many; more block the feeder.
const IN_FLIGHT: usize = 64;

/// How long a worker sleeps when all waits on others.
const PARK: Duration = Duration::from_millis(1);

/// What all workers are told.
pub(crate) enum Command {
    /// Take your part of a slot.
    Feed(Arc<Part>),
    /// Finish all slots fed and tell what came of them.
    Outputs(Sender<Outputs>),
    /// Tell your state.
    Snapshot(Sender<Snapshot>),
}

/// A slot as all workers get it; each takes what is its own.
pub(crate) struct Part {
    pub(crate) first: Epoch,
    pub(crate) last: Epoch,
    pub(crate) control: Vec<DeviceDiff>,
    pub(crate) trends: Vec<TrendControl>,
    /// What control says of rules, and where it stands among `control`.
    pub(crate) rules: Vec<(u32, RuleControl)>,
    /// What is different of core sites and windows.
    pub(crate) policy: Vec<IncidentInput>,
    pub(crate) messages: Vec<Message>,
}

/// What a worker takes with it when it starts.
type Seat = Mutex<Option<(Receiver<Command>, Snapshot, Arc<Part>)>>;

/// The running threads.
pub(crate) struct Threads {
    workers: Vec<Sender<Command>>,
    guards: Option<timely::communication::WorkerGuards<()>>,
}

impl Threads {
    /// Starts the workers, each with its part of a snapshot; `first` tells them of the control tables then.
    pub(crate) fn start(
        config: EngineConfig,
        snapshot: Snapshot,
        first: Part,
        numbers: &Numbers,
    ) -> Result<Self, Stopped> {
        let (first, numbers) = (Arc::new(first), numbers.clone());
        let (workers, receivers): (Vec<_>, Vec<_>) =
            (0..config.workers).map(|_| bounded(IN_FLIGHT)).unzip();
        let seats: Arc<Vec<Seat>> = Arc::new(
            receivers
                .into_iter()
                .zip(split(config, snapshot))
                .map(|(commands, snapshot)| Mutex::new(Some((commands, snapshot, first.clone()))))
                .collect(),
        );
        drop(first);
        let guards = timely::execute(timely::Config::process(config.workers), move |worker| {
            let seat = seats[worker.index()]
                .lock()
                .ok()
                .and_then(|mut seat| seat.take());
            if let Some((commands, snapshot, first)) = seat {
                run(worker, config, &commands, snapshot, first, &numbers);
            }
        })
        .map_err(|reason| {
            tracing::error!(%reason, "dataflow workers cannot be started");
            Stopped
        })?;
        Ok(Self {
            workers,
            guards: Some(guards),
        })
    }

    /// Number of workers.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Gives all workers a command.
    pub(crate) fn all(&self, command: impl Fn() -> Command) -> Result<(), Stopped> {
        self.workers
            .iter()
            .try_for_each(|w| w.send(command()).map_err(|_| Stopped))
    }
}

impl Drop for Threads {
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

/// Gives each worker its own part of a snapshot.
fn split(config: EngineConfig, snapshot: Snapshot) -> Vec<Snapshot> {
    let peers = config.workers as u64;
    let mut parts: Vec<Snapshot> = (0..config.workers)
        .map(|_| Snapshot {
            epoch: snapshot.epoch,
            rules: snapshot.rules.clone(),
            ..Snapshot::default()
        })
        .collect();
    for record in snapshot.devices {
        parts[(flow::device_route(&record.1.device_id, config.partitions) % peers) as usize]
            .devices
            .push(record);
    }
    for record in snapshot.aps {
        parts[(flow::device_route(&record.1.device_id, config.partitions) % peers) as usize]
            .aps
            .push(record);
    }
    for record in snapshot.roam {
        parts[(flow::client_route(record.1.tenant_id, record.1.mac) % peers) as usize]
            .roam
            .push(record);
    }
    for record in snapshot.caps {
        parts[(flow::client_route(record.1.tenant_id, record.1.radio_mac) % peers) as usize]
            .caps
            .push(record);
    }
    for record in snapshot.bssids {
        parts[(flow::client_route(record.1.tenant_id, record.1.radio_mac) % peers) as usize]
            .bssids
            .push(record);
    }
    // One record tells of many clients, who live on different workers.
    for (group, record) in snapshot.shown {
        for (worker, part) in (0..peers).zip(&mut parts) {
            let mut own = record.clone();
            own.clients
                .retain(|mac| flow::client_route(record.tenant_id, *mac) % peers == worker);
            if !own.clients.is_empty() {
                part.shown.push((group, own));
            }
        }
    }
    for record in snapshot.ap_flags {
        parts[(flow::device_route(&record.1.device_id, config.partitions) % peers) as usize]
            .ap_flags
            .push(record);
    }
    for record in snapshot.health {
        parts[(flow::health::place_route(&record.1.place) % peers) as usize]
            .health
            .push(record);
    }
    for record in snapshot.trends {
        parts[(flow::client_route(record.1.tenant_id, record.1.mac) % peers) as usize]
            .trends
            .push(record);
    }
    for record in snapshot.judged {
        let id = record.1.subject.id();
        let route = match record.1.subject {
            Subject::Device(id) | Subject::Interface(id, _) => {
                flow::device_route(&id, config.partitions)
            }
            Subject::Site(_) | Subject::Sector(_) => flow::health::id_route(&id),
        };
        parts[(route % peers) as usize].judged.push(record);
    }
    for record in snapshot.throughput {
        parts[(flow::health::place_route(&record.1.place) % peers) as usize]
            .throughput
            .push(record);
    }
    let of = |tenant| (flow::incidents::tenant_route(tenant) % peers) as usize;
    for record in snapshot.alerts {
        parts[of(record.1.tenant_id)].alerts.push(record);
    }
    for record in snapshot.incidents {
        parts[of(record.1.tenant_id)].incidents.push(record);
    }
    parts
}

/// The life of a worker: obeys commands, and steps the flow between them, until the engine is dropped.
fn run(
    worker: &mut timely::worker::Worker,
    config: EngineConfig,
    commands: &Receiver<Command>,
    snapshot: Snapshot,
    restored: Arc<Part>,
    numbers: &Numbers,
) {
    let (index, peers) = (worker.index() as u64, worker.peers() as u64);
    let mut upto = snapshot.epoch;
    let mut flow = flow::build(
        worker,
        config.partitions,
        config.thresholds,
        snapshot,
        numbers,
    );
    let own = |part: &Part, first: u64, flow: &mut flow::Worker| {
        let messages = part
            .messages
            .iter()
            .filter(|m| u64::from(m.partition) % peers == index)
            .cloned();
        flow.feed(first, part, messages);
        flow.advance(part.last.0 + 1);
    };
    // What a restored state told in slot 0 has been committed before: it is not an output.
    own(&restored, 0, &mut flow);
    drop(restored);
    settle(worker, &flow, upto);
    flow.outputs.take();

    while let Ok(command) = commands.recv() {
        match command {
            Command::Feed(part) => {
                own(&part, part.first.0, &mut flow);
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

fn records(state: &State) -> Snapshot {
    Snapshot {
        devices: state.devices.borrow().records(),
        roam: state.roaming.borrow().records(),
        aps: state.aps.borrow().records(),
        caps: state.bssids.borrow().records(),
        bssids: state.bssids.borrow().bssid_records(),
        shown: state.roaming.borrow().shown(),
        ap_flags: state.aps.borrow().flags(),
        health: state.places.borrow().records(),
        trends: state.trends.borrow().records(),
        judged: {
            let mut judged = state.devices.borrow().judged();
            judged.append(&mut state.place_rules.borrow().records());
            judged
        },
        throughput: state.place_rules.borrow().throughput(),
        alerts: state.incidents.borrow().alert_records(),
        incidents: state.incidents.borrow().incident_records(),
        ..Snapshot::default()
    }
}
