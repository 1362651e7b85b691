//! A second plan for the flow's plumbing: purely differential, over the rows of the log. No operator here keeps a state of
//! its own and nothing of the steps is used, so a message that the flow joins, exchanges, orders or retracts wrongly shows
//! as a difference.
//!
//! It computes, after every binding: which polls count; states and identities of devices; claims on addresses and the
//! device at the far end of every link; the flag on links of radios that only their access point reports; the counts of
//! every place; and that managed clients in newest tables have links. **Taken as given**, from the flow: which links a
//! reader sees and in which state, and the flag where controllers report. Reasons, events, signals and roaming are the
//! oracle's to check.

mod plan;

use std::collections::{BTreeMap, BTreeSet};

use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::Snapshot;
use mast_oracle::Views;
use mast_oracle::script::{self, SlotInput};
use mast_schemas::control::Change;
use mast_schemas::message::WholePoll;
use mast_schemas::records::{FarEnd, PollId, Source, Tables};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::Span;
use mast_schemas::views::{Counts, LinkState, Place};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};

use crate::support::{Served, config, encode};
use plan::{At, Fact, Log, Twin, What, plan};

/// Puts bindings into the plan.
struct Feeder {
    log: Log,
    time: u64,
    tenants: BTreeMap<DeviceId, TenantId>,
    links: BTreeMap<LinkId, (LinkState, bool)>,
    now: Option<Timestamp>,
}

impl Feeder {
    /// One binding, and the links that a reader sees after it.
    fn binding(&mut self, input: &SlotInput, served: &Views) {
        for record in &input.control {
            let order = PollId {
                lease_epoch: 0,
                sequence: record.outbox_id.unsigned_abs(),
            };
            let at = (input.first.0, false, Timestamp(0), order);
            self.control(at, record.outbox_id, &record.change);
        }
        for whole in &input.polls {
            self.poll(input.first.0, whole);
        }
        let links = served.links.iter();
        let links: BTreeMap<_, _> = links
            .map(|(id, link)| (*id, (link.state, link.unobserved)))
            .collect();
        for gone in self.links.iter().filter(|(id, l)| links.get(id) != Some(l)) {
            self.log.links.remove((*gone.0, *gone.1));
        }
        for new in links.iter().filter(|(id, l)| self.links.get(id) != Some(l)) {
            self.log.links.insert((*new.0, *new.1));
        }
        self.links = links;
        if let Some(before) = self.now.replace(input.last.end()) {
            self.log.now.remove(before);
        }
        self.log.now.insert(input.last.end());
        self.time += 1;
        self.log.advance_to(self.time);
    }

    fn control(&mut self, at: At, outbox_id: i64, change: &Change) {
        match change {
            Change::Tenant(_) | Change::Site(_) | Change::Sector(_) => {}
            Change::Group(_) | Change::GroupDeleted { .. } => {}
            Change::Tag(_) | Change::TagDeleted { .. } => {}
            Change::Thresholds(_) | Change::ThresholdsDeleted { .. } => {}
            Change::Rule(_) | Change::RuleDeleted { .. } => {}
            Change::Window(_) | Change::WindowDeleted { .. } => {}
            Change::AlertResolved { .. } | Change::TrendNormal { .. } => {}
            Change::TenantDeleted { id } => {
                let theirs = self.tenants.iter().filter(|(_, tenant)| *tenant == id);
                let theirs: Vec<_> = theirs.map(|(device, _)| *device).collect();
                for device in theirs {
                    self.forget(at, outbox_id, device);
                }
            }
            Change::SiteDeleted { id } => self.log.deleted_sites.insert((*id, outbox_id)),
            Change::SectorDeleted { id } => self.log.deleted_sectors.insert((*id, outbox_id)),
            Change::Device(row) => {
                self.tenants.insert(row.id, row.tenant_id);
                let fact = Fact::Control(Some((row.tenant_id, row.enabled)));
                self.log.facts.insert((row.id, (at, fact)));
                let place = (row.tenant_id, row.site_id, row.sector_id);
                self.log
                    .standings
                    .insert((row.id, (outbox_id, Some(place))));
            }
            Change::DeviceDeleted { id } => self.forget(at, outbox_id, *id),
        }
    }

    fn forget(&mut self, at: At, outbox_id: i64, device: DeviceId) {
        self.tenants.remove(&device);
        self.log.facts.insert((device, (at, Fact::Control(None))));
        self.log.standings.insert((device, (outbox_id, None)));
    }

    fn poll(&mut self, slot: u64, whole: &WholePoll) {
        let poll = &whole.poll;
        let at = (slot, true, poll.observed_at, poll.id());
        let patience = i64::from(DEFAULT.unobserved_intervals) * i64::from(poll.interval_ms);
        let due = poll.next_due_at + Span(patience * 1_000);
        let fact = Fact::Poll(poll.tenant_id, poll.outcome, due, poll.identity.clone());
        self.log.facts.insert((poll.device_id, (at, fact)));
        let key = (poll.device_id, at);
        if Tables(poll.tables).has(Tables::INTERFACE) {
            self.log.interfaces.insert((key, None));
            let own = whole
                .interfaces
                .iter()
                .filter(|row| row.remote != Some(true));
            for mac in own.filter_map(|row| row.mac) {
                self.log.interfaces.insert((key, Some(mac)));
            }
        }
        for source in Source::ALL.iter().copied() {
            if Tables(poll.tables).has(Tables::registration(source)) {
                self.log.registrations.insert((key, (source, None)));
                for row in clients(whole, source) {
                    if row.2 {
                        self.log.remote.insert((poll.tenant_id, row.0));
                    }
                    self.log.registrations.insert((key, (source, Some(row))));
                }
            }
        }
    }
}

/// Clients of a source's table: radio, client, whether the radio is another device's, which its first row says.
fn clients(whole: &WholePoll, source: Source) -> Vec<(Mac, Mac, bool)> {
    let mut remote: BTreeMap<Mac, bool> = BTreeMap::new();
    let mut rows = Vec::new();
    for row in whole.registrations.iter().filter(|r| r.source == source) {
        let radio = row
            .radio_mac
            .unwrap_or_else(|| Mac::from_interface_name(&row.interface));
        if row.far_end != Some(FarEnd::Ap) && row.mac != radio {
            let remote = *remote.entry(radio).or_insert(row.remote);
            rows.push((radio, row.mac, remote));
        }
    }
    rows
}

fn compare(at: &str, twin: &Twin, served: &Views) {
    let devices = served.devices.values();
    let devices: BTreeSet<_> = devices
        .map(|d| {
            (
                d.device_id,
                (d.tenant_id, d.state, d.since, d.outcome, d.identity.clone()),
            )
        })
        .collect();
    let told = twin.devices.borrow();
    let told: BTreeSet<_> = told
        .keys()
        .map(|(id, status)| {
            let (tenant, state, since, outcome, identity, _) = status.clone();
            (*id, (tenant, state, since, outcome, identity))
        })
        .collect();
    same(at, "devices", &told, &devices);

    let far_ends = served.links.values();
    let far_ends: BTreeSet<_> = far_ends
        .filter_map(|link| Some((link.id, link.cpe_device_id?)))
        .collect();
    let told = twin.far_ends.borrow();
    same(at, "far ends", &told.keys().copied().collect(), &far_ends);

    let mut counts: BTreeMap<Place, Counts> = BTreeMap::new();
    for ((place, what), n) in twin.counts.borrow().keys() {
        let counts = counts.entry(*place).or_default();
        let n = i64::try_from(*n).unwrap();
        match what {
            What::Device(state) => counts.devices[*state as usize] = n,
            What::Link(state) => counts.links[*state as usize] = n,
            What::Unobserved => counts.links_unobserved = n,
        }
    }
    assert_eq!(counts, served.counts, "{at}: counts");

    let without_link = twin.without_link.borrow();
    assert!(
        without_link.is_empty(),
        "{at}: no link for {without_link:?}"
    );
}

fn same<T: Ord + std::fmt::Debug>(at: &str, what: &str, twin: &BTreeSet<T>, flow: &BTreeSet<T>) {
    let only_twin: Vec<_> = twin.difference(flow).take(3).collect();
    let only_flow: Vec<_> = flow.difference(twin).take(3).collect();
    assert!(
        only_twin.is_empty() && only_flow.is_empty(),
        "{at}: {what}: only the twin {only_twin:?}, only the flow {only_flow:?}"
    );
}

/// Runs a script through the flow and the plan, and compares after every `group` bindings.
fn run(seed: u64, size: usize, workers: usize, group: usize, per_message: usize) {
    let slots = script::random(seed, size);
    let inputs = encode(&slots, per_message);
    timely::execute_directly(move |worker| {
        let (log, twin) = plan(worker);
        let mut feeder = Feeder {
            log,
            time: 0,
            tenants: BTreeMap::new(),
            links: BTreeMap::new(),
            now: None,
        };
        let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
        let mut served = Served::default();
        for (slots, inputs) in slots.chunks(group).zip(inputs.chunks(group)) {
            for input in inputs {
                engine.feed(input.clone()).unwrap();
            }
            served.take(engine.outputs().unwrap());
            for slot in slots {
                feeder.binding(slot, &served.views);
            }
            worker.step_while(|| twin.probe.less_than(&feeder.time));
            let last = slots.last().map_or(0, |slot| slot.last.0);
            let at = format!("seed {seed}, {workers} workers, {group} bindings, slot {last}");
            compare(&at, &twin, &served.views);
        }
    });
}

#[test]
fn the_flow_equals_its_twin_after_every_binding() {
    for (seed, workers) in [(20, 1), (21, 2), (22, 4)] {
        run(seed, 6, workers, 1, 3);
    }
}

#[test]
fn the_flow_equals_its_twin_however_bindings_are_grouped() {
    for (seed, workers, group) in [(23, 2, 7), (24, 4, 31), (25, 1, 100), (26, 2, 3)] {
        run(seed, 8, workers, group, 1 + group % 5);
    }
}
