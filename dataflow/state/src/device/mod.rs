//! The device step: status from outcomes and from overdue polls, claims from interface tables, and what registration
//! tables change. It sees each accepted poll once, in order; everything else in the flow learns of polls from here.
//!
//! The trap avoided: waiting for memory. Of a large fleet no device is in a cache when its poll comes, and a poll that finds
//! its own way waits for one piece after the other. [`Devices::find`] looks for many at once.

mod air;
mod entry;
mod packed;
mod rest;

use std::collections::BTreeMap;
use std::sync::Arc;

use mast_schemas::checkpoint::{DeviceRecord, JudgedRecord};
use mast_schemas::control::Rule;
use mast_schemas::partition::key_group;
use mast_schemas::records::{Outcome, Source, Tables};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::{
    AddressSource, DeviceEvent, DeviceGauge, DeviceState, DeviceView, device_event_id,
};
use mast_schemas::{DeviceId, TenantId, Timestamp};

use crate::compact::{Mac48, Maybe, Shelf};
use crate::device::air::{AirScratch, Counters};
use crate::device::entry::{Device, Shared, Told};
use crate::device::packed::{Claim, Packed, Parts, pack_claims};
use crate::device::rest::Rests;
use crate::messages::{
    ApStatus, ClaimChange, Condition, Control, DeviceControl, DeviceInfo, DeviceOut, PollInput,
    RadioKnown, Stamp, StationFact, Verdict,
};
use crate::rules::{DeviceRules, PollValues, Stands};
use crate::table::{Scratch, SourceTable, TableStep};
use crate::timers::{Armed, Wheel};

/// Where a device is kept: good for the slot in which it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found(u32);

const UNKNOWN: Found = Found(u32::MAX);

/// All devices of a worker.
#[derive(Debug)]
pub struct Devices {
    t: Thresholds,
    devices: Shelf<Device>,
    rules: DeviceRules,
    wheel: Wheel<u32>,
    shared: Shared,
    rests: Rests,
    /// Views as they were before the slot, of devices that changed in it.
    before: BTreeMap<DeviceId, Option<DeviceView>>,
    /// Devices whose condition may have changed in the slot.
    stirred: Vec<u32>,
    scratch: Scratch,
    air: AirScratch,
    slot_end: Timestamp,
}

impl Devices {
    /// No devices yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            devices: Shelf::default(),
            rules: DeviceRules::default(),
            wheel: Wheel::default(),
            shared: Shared::default(),
            rests: Rests::default(),
            before: BTreeMap::new(),
            stirred: Vec::new(),
            scratch: Scratch::default(),
            air: AirScratch::default(),
            slot_end: Timestamp(i64::MIN),
        }
    }

    fn place(&self, id: DeviceId) -> Option<u32> {
        self.devices.find(id)
    }

    /// The state of a device.
    pub fn state(&self, id: DeviceId) -> Option<DeviceState> {
        self.place(id).map(|place| self.devices[place].state)
    }

    fn tenant(&self, device: &Device) -> TenantId {
        self.rules.tenant(device.standing)
    }

    /// Opens a slot that begins at `begin`, with what control says in it, in order.
    pub fn begin_slot(&mut self, begin: Timestamp, control: &[Control], out: &mut DeviceOut) {
        self.slot_end = begin + SLOT;
        for change in control {
            match change {
                Control::Device(DeviceControl { device, info: None }) => {
                    self.delete(begin, *device, out);
                }
                Control::Device(DeviceControl {
                    device,
                    info: Some(info),
                }) => self.inform(begin, *device, info, out),
                Control::Rule(control) => {
                    let stands = &mut self.devices;
                    self.rules.control(control, begin, stands, &mut out.rules);
                }
            }
        }
        if self.rules.is_littered() {
            let devices = self.devices.iter();
            self.rules.sweep(devices.map(|device| device.standing));
        }
    }

    fn inform(&mut self, begin: Timestamp, id: DeviceId, info: &DeviceInfo, out: &mut DeviceOut) {
        let tenant = |place: u32| self.tenant(&self.devices[place]);
        if self
            .place(id)
            .is_some_and(|place| tenant(place) != info.tenant)
        {
            self.delete(begin, id, out);
        }
        let standing = self.rules.stand(id, info);
        let Some(place) = self.place(id) else {
            self.before.entry(id).or_insert(None);
            self.devices
                .put(Device::new(id, standing, begin, info.enabled));
            let state = DeviceState::Unobserved;
            out.statuses.push(ApStatus {
                stamp: Stamp::begin(id),
                device: id,
                state,
            });
            return;
        };
        let device = &mut self.devices[place];
        let disabled = device.enabled && !info.enabled;
        device.enabled = info.enabled;
        let before = std::mem::replace(&mut device.standing, standing);
        if before != standing && self.rules.has(id) {
            self.rules.moved(id, standing, begin, &mut out.rules);
        }
        if disabled {
            self.rules.gone(id, begin, &mut out.rules);
            device.overdue_at = Maybe::NONE;
            device.fail_run = 0;
            self.stirred.push(place);
            let stamp = Stamp::begin(id);
            self.enter(place, DeviceState::Unobserved, begin, None, stamp, out);
        }
    }

    fn delete(&mut self, begin: Timestamp, id: DeviceId, out: &mut DeviceOut) {
        let Some(place) = self.place(id) else {
            return;
        };
        self.rules.gone(id, begin, &mut out.rules);
        self.remember(place);
        let unwanted = Device::new(id, 0, Timestamp(0), false);
        let device = std::mem::replace(&mut self.devices[place], unwanted);
        let mut rest = self.rests.take(device.rest);
        rest.added.withdraw(id, &mut out.air);
        self.devices.remove(place);
        let (tenant, stamp) = (self.tenant(&device), Stamp::begin(id));
        if device.told != Told::Neither {
            out.conditions.push(condition(tenant, id, Told::Neither));
        }
        out.claims.extend(device.claims(tenant, -1));
        let said = rest.said.iter();
        out.addresses
            .extend(said.flat_map(|said| said.all((tenant, id), -1)));
        for table in &rest.tables {
            let gone = |(radio, remote)| RadioKnown {
                stamp,
                tenant,
                radio,
                device: id,
                remote,
                known: false,
            };
            out.radios.extend(table.radios().map(gone));
            let unsaid = |(radio, mac)| StationFact {
                stamp,
                tenant,
                radio,
                mac,
                device: id,
                signal: None,
            };
            out.stations.extend(table.stations().map(unsaid));
        }
    }

    /// Notes the view before its first change in the slot.
    fn remember(&mut self, place: u32) {
        let device = &self.devices[place];
        let (tenant, shared) = (self.tenant(device), &self.shared);
        self.before
            .entry(device.id)
            .or_insert_with(|| Some(device.view(tenant, shared)));
    }

    /// Enters a state, if it is another one: `since` and `outcome` belong to the change.
    fn enter(
        &mut self,
        place: u32,
        state: DeviceState,
        since: Timestamp,
        outcome: Option<Outcome>,
        stamp: Stamp,
        out: &mut DeviceOut,
    ) {
        if self.devices[place].state == state {
            return;
        }
        self.remember(place);
        let tenant_id = self.tenant(&self.devices[place]);
        let device = &mut self.devices[place];
        let (id, from) = (device.id, device.state);
        (device.state, device.since, device.outcome) = (state, since, outcome);
        if state != DeviceState::Online
            && let Some(rest) = self.rests.get_mut(device.rest)
        {
            rest.added.withdraw(id, &mut out.air);
        }
        out.statuses.push(ApStatus {
            stamp,
            device: id,
            state,
        });
        out.events.push(DeviceEvent {
            event_id: device_event_id(&id, since, from, state),
            tenant_id,
            device_id: id,
            at: since,
            from_state: from,
            to_state: state,
            outcome,
        });
    }

    /// Where these devices are. In two passes over many at once, so that the memory of all is fetched together; a few
    /// hundred at a time fit a cache.
    pub fn find(&self, ids: impl Iterator<Item = DeviceId>, found: &mut Vec<Found>) {
        found.clear();
        found.extend(ids.map(|id| self.place(id).map_or(UNKNOWN, Found)));
        let known = found.iter().filter(|found| found.0 != UNKNOWN.0);
        let touched = known.fold(0, |all, found| {
            all ^ self.devices[found.0].touch(&self.rests)
        });
        std::hint::black_box(touched);
    }

    /// One poll, given in the order of `docs/semantics.md`.
    pub fn poll(&mut self, poll: &PollInput<'_>, out: &mut DeviceOut) -> Verdict {
        let found = self.place(poll.device).map_or(UNKNOWN, Found);
        self.poll_found(found, poll, out)
    }

    /// As [`Devices::poll`], of a device that [`Devices::find`] has found.
    pub fn poll_found(
        &mut self,
        Found(place): Found,
        poll: &PollInput<'_>,
        out: &mut DeviceOut,
    ) -> Verdict {
        if place == UNKNOWN.0 {
            return Verdict::UnknownDevice;
        }
        let device = &mut self.devices[place];
        if self.rules.tenant(device.standing) != poll.tenant {
            return Verdict::WrongTenant;
        }
        let last = device.last_poll(&self.shared);
        if !device.enabled {
            // Its sequence passes: a repeat must not count once the device is enabled again.
            if last < Some(poll.poll) {
                device.set_last_poll(&mut self.shared, poll.poll);
            }
            return Verdict::Disabled;
        }
        if last.is_some_and(|last| poll.poll.lease_epoch < last.lease_epoch) {
            return Verdict::Late;
        }
        if last >= Some(poll.poll) {
            return Verdict::Replay;
        }
        self.fire(place, poll.at.min(self.slot_end), out);
        self.status(place, poll, out);
        self.attributes(place, poll);
        let device = &mut self.devices[place];
        device.set_last_poll(&mut self.shared, poll.poll);
        if poll.tables.has(Tables::INTERFACE) {
            claims(device, poll, out);
        }
        let (tables, rates) = (out.tables.len(), out.rates.len());
        let mut step = TableStep {
            poll,
            tolerance: self.t.association_tolerance,
            scratch: &mut self.scratch,
            out,
        };
        for &source in Source::ALL {
            if poll.tables.has(Tables::registration(source)) {
                let rest = self.rests.of(&mut device.rest);
                step.apply(rest.table(source));
            }
        }
        said(device, &mut self.rests, poll, out);
        if poll.outcome.reached() {
            self.air(place, poll, out);
            out.gauges.push(gauge(poll));
        }
        if poll.outcome != Outcome::Internal {
            let device = &self.devices[place];
            let (of, state) = ((device.id, device.standing), device.state);
            let (tables, rates) = (&out.tables[tables..], out.rates[rates..].first());
            let values = || PollValues::new(poll, state, tables, rates);
            self.rules.judge(of, poll.at, values, &mut out.rules);
        }
        Verdict::Accepted
    }

    /// Rates and noise, if the poll read what they come from.
    fn air(&mut self, place: u32, poll: &PollInput<'_>, out: &mut DeviceOut) {
        let [interfaces, radios] =
            [Tables::INTERFACE, Tables::RADIO].map(|table| poll.tables.has(table));
        if !interfaces && !radios {
            return;
        }
        let device = &mut self.devices[place];
        let mut rest = self.rests.get_mut(device.rest);
        let words = &mut self.shared.words;
        if radios && let Some(rest) = &mut rest {
            let noise = self.air.noise(poll, &rest.tables, words);
            rest.added.noise_is(poll.device, noise, &mut out.air);
        }
        if interfaces {
            let own = rest.as_ref().map_or(&[][..], |rest| &rest.tables);
            let kept = (&mut device.packed, words, self.t.association_tolerance);
            let (rates, traffic) = self.air.rates(poll, own, kept);
            out.rates.push(rates);
            // Without a radio of its own it carries nothing for others.
            if let Some(rest) = rest {
                rest.added.traffic_is(poll.device, traffic, &mut out.air);
            }
        } else {
            Counters::show(&mut device.packed);
        }
    }

    fn status(&mut self, place: u32, poll: &PollInput<'_>, out: &mut DeviceOut) {
        if poll.outcome == Outcome::Internal {
            return;
        }
        let device = &mut self.devices[place];
        let patience = i64::from(poll.interval_ms) * i64::from(self.t.unobserved_intervals);
        let overdue_at = poll.next_due_at + Span::millis(patience);
        device.overdue_at = Some(overdue_at).into();
        arm(&mut self.wheel, overdue_at, place, device);
        // Of a device that is well, nothing is to be told.
        if device.fail_run > 0 || !poll.outcome.reached() {
            self.stirred.push(place);
        }
        let state = if poll.outcome.reached() {
            device.fail_run = 0;
            DeviceState::Online
        } else {
            let unmanageable = !matches!(poll.outcome, Outcome::Timeout | Outcome::Refused);
            if device.fail_run > 0 && device.fail_unmanageable != unmanageable {
                device.fail_run = 0;
            }
            device.fail_unmanageable = unmanageable;
            device.fail_run = device.fail_run.saturating_add(1);
            match (device.fail_run >= self.t.device_failures, unmanageable) {
                (false, _) => return,
                (true, true) => DeviceState::Unmanageable,
                (true, false) => DeviceState::Offline,
            }
        };
        let stamp = Stamp {
            at: poll.at,
            device: poll.device,
            poll: poll.poll,
            step: Stamp::STATUS,
        };
        self.enter(place, state, poll.at, Some(poll.outcome), stamp, out);
    }

    fn attributes(&mut self, place: u32, poll: &PollInput<'_>) {
        for (i, value) in poll.attributes.iter().enumerate() {
            let Some(value) = value else { continue };
            if self.devices[place].attribute(&self.shared, i) != Some(value) {
                self.remember(place);
                self.devices[place].set_attribute(&mut self.shared, i, value);
            }
        }
    }

    /// Fires the device's timer if it is due.
    fn fire(&mut self, place: u32, until: Timestamp, out: &mut DeviceOut) {
        let device = &mut self.devices[place];
        let Some(due) = device.overdue_at.get().filter(|due| *due <= until) else {
            return;
        };
        device.overdue_at = Maybe::NONE;
        device.fail_run = 0;
        self.stirred.push(place);
        let stamp = Stamp {
            at: due,
            device: device.id,
            poll: device.last_poll(&self.shared).unwrap_or_default(),
            step: u8::MAX,
        };
        self.enter(place, DeviceState::Unobserved, due, None, stamp, out);
    }

    /// Closes the slot: pending timers due ≤ `end`, then the views that changed.
    pub fn end_slot(&mut self, end: Timestamp, out: &mut DeviceOut) {
        for (bucket, place) in self.wheel.take(end) {
            let device = &mut self.devices[place];
            if i64::from(device.armed) != bucket {
                continue;
            }
            device.armed = Armed::default();
            match device.overdue_at.get() {
                Some(due) if due > end => arm(&mut self.wheel, due, place, device),
                _ => self.fire(place, end, out),
            }
        }
        self.tell_conditions(out);
        for (id, before) in std::mem::take(&mut self.before) {
            let now = self.place(id).map(|place| {
                let device = &self.devices[place];
                device.view(self.tenant(device), &self.shared)
            });
            if before != now {
                let state = |view: &Option<DeviceView>| view.as_ref().map(|view| view.state);
                if state(&before) != state(&now) {
                    out.states.push((id, state(&before), state(&now)));
                }
                out.views.push((id, before, now));
            }
        }
    }

    fn tell_conditions(&mut self, out: &mut DeviceOut) {
        for place in std::mem::take(&mut self.stirred) {
            let device = &mut self.devices[place];
            let now = device.condition();
            if std::mem::replace(&mut device.told, now) == now {
                continue;
            }
            let device = &self.devices[place];
            let tenant = self.tenant(device);
            out.conditions.push(condition(tenant, device.id, now));
        }
    }

    /// No timer is due before this; `None` if none is pending.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.wheel.next()
    }

    /// All records with their key groups, by rising group and id.
    pub fn records(&self) -> Vec<(u8, DeviceRecord)> {
        let mut all: Vec<_> = self
            .devices
            .iter()
            .map(|device| (key_group(device.id.as_bytes()), device))
            .collect();
        all.sort_unstable_by_key(|(group, device)| (*group, device.id));
        all.into_iter()
            .map(|(group, device)| {
                let tenant = self.tenant(device);
                (group, device.record(tenant, &self.shared, &self.rests))
            })
            .collect()
    }

    /// How far rules are, with key groups.
    pub fn judged(&self) -> Vec<(u8, JudgedRecord)> {
        self.rules.records()
    }

    /// Takes in what control said of rules, and how far they are.
    pub fn restore_rules(&mut self, rules: &[Arc<Rule>], judged: &[JudgedRecord]) {
        self.rules.restore(rules, judged);
    }

    /// Takes records in. `out` gets what others must be preloaded with: claims, states (new) and radios; no events and no
    /// views, which were told before.
    pub fn restore(&mut self, records: Vec<DeviceRecord>, out: &mut DeviceOut) {
        for record in records {
            let (id, tenant) = (record.device_id, record.tenant_id);
            let standing = self.rules.stand_of_tenant(tenant);
            let (shared, rests) = (&mut self.shared, &mut self.rests);
            let mut device = Device::restore(record, standing, shared, rests);
            let rest = self.rests.get(device.rest);
            if let Some(rest) = rest {
                rest.added.tell(id, &mut out.air);
            }
            out.claims.extend(device.claims(tenant, 1));
            let said = rest.and_then(|rest| rest.said.as_ref()).into_iter();
            out.addresses
                .extend(said.flat_map(|said| said.all((tenant, id), 1)));
            out.states.push((id, None, Some(device.state)));
            let known = |(radio, remote)| RadioKnown {
                stamp: Stamp::begin(id),
                tenant,
                radio,
                device: id,
                remote,
                known: true,
            };
            let tables = rest.into_iter().flat_map(|rest| &rest.tables);
            let radios = tables.flat_map(SourceTable::radios);
            out.radios.extend(radios.map(known));
            let due = device.overdue_at.get();
            device.told = device.condition();
            if device.told != Told::Neither {
                out.conditions.push(condition(tenant, id, device.told));
            }
            let place = self.devices.put(device);
            if let Some(due) = due {
                arm(&mut self.wheel, due, place, &mut self.devices[place]);
            }
        }
    }
}

impl Stands for Shelf<Device> {
    fn get(&self, device: DeviceId) -> Option<u32> {
        self.find(device).map(|place| self[place].standing)
    }

    fn set(&mut self, device: DeviceId, standing: u32) {
        if let Some(place) = self.find(device) {
            self[place].standing = standing;
        }
    }
}

/// Sees to it that the device comes up no later than `due`.
fn arm(wheel: &mut Wheel<u32>, due: Timestamp, place: u32, device: &mut Device) {
    let mut armed = device.armed.into();
    wheel.arm(due, place, &mut armed);
    device.armed = armed.into();
}

/// The whole interface table against the claims: addresses that went are retracted, new ones begin now.
fn claims(device: &mut Device, poll: &PollInput<'_>, out: &mut DeviceOut) {
    let parts = device.packed.parts();
    let known = parts.claims().map(|claim| claim.0);
    if known.eq(poll.interfaces.iter().map(|mac| Mac48::from(*mac))) {
        return;
    }
    let mut macs: Vec<Mac48> = poll.interfaces.iter().map(|mac| (*mac).into()).collect();
    macs.sort_unstable();
    macs.dedup();
    let change = |(mac, first_seen): Claim, diff| ClaimChange {
        tenant: poll.tenant,
        mac: mac.into(),
        first_seen,
        device: poll.device,
        diff,
    };
    let old: Vec<Claim> = parts.claims().collect();
    if old.iter().map(|claim| claim.0).eq(macs.iter().copied()) {
        return;
    }
    for claim in &old {
        if macs.binary_search(&claim.0).is_err() {
            out.claims.push(change(*claim, -1));
        }
    }
    let new = macs.into_iter().map(|mac| {
        old.binary_search_by_key(&mac, |claim| claim.0).map_or_else(
            |_| {
                let claim = (mac, poll.at);
                out.claims.push(change(claim, 1));
                claim
            },
            |i| old[i],
        )
    });
    let claims = &*pack_claims(new);
    device.packed = Packed::new(&Parts { claims, ..parts });
}

/// The whole ARP and DHCP tables against what was said before.
fn said(device: &mut Device, rests: &mut Rests, poll: &PollInput<'_>, out: &mut DeviceOut) {
    for (source, table, rows) in [
        (AddressSource::Arp, Tables::ARP, poll.arp),
        (AddressSource::Dhcp, Tables::DHCP_LEASE, poll.leases),
    ] {
        if poll.tables.has(table) {
            let of = (poll.tenant, poll.device);
            let said = rests.of(&mut device.rest).said.get_or_insert_default();
            said.table(source, rows, poll.at, of, &mut out.addresses);
        }
    }
}

fn condition(tenant: TenantId, device: DeviceId, told: Told) -> Condition {
    Condition {
        tenant,
        device,
        offline: told == Told::Offline,
        failing: told == Told::Failing,
    }
}

fn gauge(poll: &PollInput<'_>) -> DeviceGauge {
    DeviceGauge {
        device_id: poll.device,
        tenant_id: poll.tenant,
        observed_at: poll.at,
        round_trip_ms: poll.round_trip_ms,
        cpu_load_percent: poll.cpu_load_percent,
        memory_free_bytes: poll.memory_free_bytes,
        uptime_s: poll.uptime_s,
    }
}
