//! The fleet in time.
//!
//! A [`World`] is a pure state machine: laid out from (seed, number of devices), changed only by
//! events, moved on only by [`World::advance`]. Everything that changes smoothly (signal, noise,
//! counters, uptimes) is a function of time and is never stepped, so a world of 15,000 devices
//! costs nothing between events, and replaying the same events gives the same world.

pub(crate) mod addressing;
mod associating;
pub mod config;
mod diary;
mod events;
pub mod faults;
mod hardware;
mod history;
pub mod layout;
pub mod logbook;
pub mod model;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::{
    config::{Changed, Configs},
    events::{Running, Step},
    faults::Fault,
    logbook::Logbook,
    model::{Ms, Plan, Role},
};
pub use self::{
    events::{Action, Event, Scope},
    history::{DeviceMoment, History, LinkMoment},
};
use crate::{
    noise::{between, pareto},
    physics::{self, Direction},
};

/// A client's association with a radio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Association {
    /// Client index.
    pub client: usize,
    /// Radio index.
    pub radio: usize,
    /// When it began.
    pub began_ms: Ms,
    /// Row id in the table; rises with each association.
    pub row_id: u32,
}

#[derive(Debug, Clone)]
struct DeviceState {
    power_cuts: u32,
    silences: u32,
    wrong_passwords: u32,
    slow_ms: u32,
    booted_ms: Ms,
    boots: u32,
    reachable: bool,
    paths: u32,
}

#[derive(Debug, Clone, Default)]
struct RadioState {
    lost: u32,
    /// Clients that are here or want to be here.
    clients: Vec<usize>,
    /// Left for another radio, not yet noticed.
    lingering: Vec<(Association, Ms)>,
}

#[derive(Debug, Clone)]
struct ClientState {
    blocked: u32,
    target: usize,
    association: Option<Association>,
    /// Counts changes of mind, so that a planned association that was overtaken does not happen.
    plans: u32,
}

/// Decibels in effect now, by scope.
#[derive(Debug, Clone, Default)]
struct Decibels {
    sites: Vec<f64>,
    devices: Vec<f64>,
    clients: Vec<f64>,
}

impl Decibels {
    fn add(&mut self, scope: Scope, db: f64) {
        match scope {
            Scope::Site(site) => self.sites[site] += db,
            Scope::Device(device) => self.devices[device] += db,
            Scope::Client(client) => self.clients[client] += db,
        }
    }
}

/// The fleet and what is true of it now.
#[derive(Debug, Clone)]
pub struct World {
    plan: Arc<Plan>,
    origin_unix_ms: i64,
    now_ms: Ms,
    queue: BTreeMap<(Ms, u64), Step>,
    next_id: u64,
    next_row: u32,
    running: BTreeMap<u64, Running>,
    devices: Vec<DeviceState>,
    radios: Vec<RadioState>,
    clients: Vec<ClientState>,
    attenuation: Decibels,
    interference: Decibels,
    history: History,
    logs: Vec<Logbook>,
    configs: Configs,
    /// By device, each with the event it came with.
    faults: BTreeMap<usize, Vec<(u64, Fault)>>,
    dirty_sites: BTreeSet<usize>,
    changed: BTreeSet<usize>,
}

impl World {
    /// A fleet at rest at time 0; `origin_unix_ms` is what the wall clock showed then.
    #[must_use]
    pub fn new(plan: Arc<Plan>, origin_unix_ms: i64) -> Self {
        let seed = plan.seed;
        let devices: Vec<DeviceState> = (0..plan.devices.len() as u64)
            .map(|d| DeviceState {
                power_cuts: 0,
                silences: 0,
                wrong_passwords: 0,
                slow_ms: 0,
                booted_ms: -(pareto(seed, d, 101, 4.0e6, 0.6, 5.0e9) as Ms),
                boots: 0,
                reachable: true,
                paths: 0,
            })
            .collect();
        let mut world = Self {
            history: History::new(devices.len()),
            attenuation: Decibels::of(&plan),
            interference: Decibels::of(&plan),
            radios: vec![RadioState::default(); plan.radios.len()],
            clients: Vec::with_capacity(plan.clients.len()),
            logs: vec![Logbook::default(); devices.len()],
            configs: Configs::default(),
            faults: BTreeMap::new(),
            devices,
            plan,
            origin_unix_ms,
            now_ms: 0,
            queue: BTreeMap::new(),
            next_id: 0,
            next_row: 1,
            running: BTreeMap::new(),
            dirty_sites: BTreeSet::new(),
            changed: BTreeSet::new(),
        };
        world.associate_all();
        world.log_what_was();
        world
    }

    /// What the fleet is made of.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Simulated time, milliseconds since the origin.
    #[must_use]
    pub fn now_ms(&self) -> Ms {
        self.now_ms
    }

    /// The wall clock at simulated time `t`, Unix milliseconds.
    #[must_use]
    pub fn unix_ms(&self, t: Ms) -> i64 {
        self.origin_unix_ms + t
    }

    /// What was true when.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether packets reach the device and its answers come back. A device behind a dead one is
    /// not reachable either: the customers' devices are managed through their radio link.
    #[must_use]
    pub fn reachable(&self, device: usize) -> bool {
        self.devices[device].reachable
    }

    /// Whether the inventory's password works.
    #[must_use]
    pub fn password_works(&self, device: usize) -> bool {
        self.devices[device].wrong_passwords == 0
    }

    /// Counts restarts; a TCP connection of an earlier one is answered with a reset.
    #[must_use]
    pub fn boots(&self, device: usize) -> u32 {
        self.devices[device].boots
    }

    /// When the device last started.
    #[must_use]
    pub fn booted_ms(&self, device: usize) -> Ms {
        self.devices[device].booted_ms
    }

    /// Milliseconds the device waits before each answer.
    #[must_use]
    pub fn slow_ms(&self, device: usize) -> u32 {
        self.devices[device].slow_ms
    }

    /// What was configured in a menu of a device.
    #[must_use]
    pub fn configured(&self, device: usize, menu: &str) -> Option<&Changed> {
        self.configs.get(device, menu)
    }

    /// Where changes of a menu of a device are put.
    pub(crate) fn configure(&mut self, device: usize, menu: &'static str) -> &mut Changed {
        self.changed.insert(device);
        self.configs.entry(device, menu)
    }

    /// The client's association, if it has one.
    #[must_use]
    pub fn association(&self, client: usize) -> Option<Association> {
        self.clients[client].association
    }

    /// Clients that are at a radio, or would be if they could.
    #[must_use]
    pub fn members(&self, radio: usize) -> &[usize] {
        &self.radios[radio].clients
    }

    /// The rows of a radio's table: its clients and those it has not yet noticed leaving.
    pub fn table(&self, radio: usize) -> impl Iterator<Item = Association> + '_ {
        let state = &self.radios[radio];
        let here = state
            .clients
            .iter()
            .filter_map(|c| self.clients[*c].association);
        here.chain(state.lingering.iter().map(|(association, _)| *association))
    }

    /// Signal of an association now, dBm.
    #[must_use]
    pub fn signal_dbm(&self, link: Association, t: Ms, direction: Direction) -> f64 {
        let ap = self.plan.radios[link.radio].device;
        let db = self.attenuation.sites[self.plan.devices[ap].site]
            + self.attenuation.devices[ap]
            + self.attenuation.clients[link.client];
        physics::signal_dbm(&self.plan, (link.client, link.radio), t, db, direction)
    }

    /// Signal of an association at a past moment, dBm.
    #[must_use]
    pub fn past_signal_dbm(&self, link: Association, t: Ms, direction: Direction) -> f64 {
        let ap = self.plan.radios[link.radio].device;
        let site = self.plan.devices[ap].site;
        let db = self.history.attenuation_db(site, ap, link.client, t);
        physics::signal_dbm(&self.plan, (link.client, link.radio), t, db, direction)
    }

    /// Noise floor of a radio now, dBm.
    #[must_use]
    pub fn noise_floor_dbm(&self, radio: usize, t: Ms) -> f64 {
        let ap = self.plan.radios[radio].device;
        let db =
            self.interference.sites[self.plan.devices[ap].site] + self.interference.devices[ap];
        physics::noise_floor_dbm(&self.plan, radio, t, db)
    }

    /// Moves time on, carrying out every event that is due. Returns the devices whose sockets must
    /// look again: reachability or restart count changed.
    pub fn advance(&mut self, to_ms: Ms) -> Vec<usize> {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > to_ms {
                break;
            }
            self.now_ms = self.now_ms.max(entry.key().0);
            let step = entry.remove();
            self.carry_out(step);
            self.refresh_reachability();
        }
        self.now_ms = self.now_ms.max(to_ms);
        self.history.forget_before(self.now_ms - History::KEPT_MS);
        self.take_changed()
    }

    /// Whether an event waits to be carried out at `t`.
    #[must_use]
    pub fn is_due(&self, t: Ms) -> bool {
        self.queue
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= t)
    }

    /// Whether the device has power.
    #[must_use]
    pub fn powered(&self, device: usize) -> bool {
        self.devices[device].power_cuts == 0
    }

    fn touch_client(&mut self, client: usize) {
        let radio = self.clients[client].target;
        self.dirty_sites
            .insert(self.plan.devices[self.plan.radios[radio].device].site);
    }

    fn push(&mut self, at: Ms, step: Step) {
        self.next_id += 1;
        self.queue.insert((at, self.next_id), step);
    }

    fn refresh_reachability(&mut self) {
        let plan = Arc::clone(&self.plan);
        for site in std::mem::take(&mut self.dirty_sites) {
            for &device in &plan.sites[site].tower {
                let router = plan.sites[site].router;
                let path = device == router || self.devices[router].reachable;
                self.set_reachable(device, path);
            }
            for &radio in &plan.sites[site].radios {
                let ap = self.devices[plan.radios[radio].device].reachable;
                for index in 0..self.radios[radio].clients.len() {
                    let client = self.radios[radio].clients[index];
                    let linked = self.clients[client].association.is_some();
                    match plan.clients[client].device {
                        Some(d) if plan.devices[d].role == Role::Cpe => {
                            self.set_reachable(d, ap && linked);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn set_reachable(&mut self, device: usize, path: bool) {
        let state = &mut self.devices[device];
        let reachable = path && state.power_cuts == 0 && state.silences == 0;
        if state.reachable != reachable {
            state.reachable = reachable;
            self.changed.insert(device);
        }
        self.note_moment(device);
    }
}

impl Decibels {
    fn of(plan: &Plan) -> Self {
        Self {
            sites: vec![0.0; plan.sites.len()],
            devices: vec![0.0; plan.devices.len()],
            clients: vec![0.0; plan.clients.len()],
        }
    }
}

/// Jitter for rows that need one, in `[0, most)`.
pub(crate) fn jitter(plan: &Plan, key: u64, t: Ms, most: u64) -> u64 {
    between(plan.seed, key, (t / 1_000) as u64, 0.0, most as f64) as u64
}
