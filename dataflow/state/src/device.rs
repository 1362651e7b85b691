//! The device step: status from outcomes and from overdue polls, claims from interface tables, and what registration
//! tables change. It sees each accepted poll once, in order; everything else in the flow learns of polls from here.

use std::collections::BTreeMap;
use std::sync::Arc;

use mast_schemas::checkpoint::{ClaimRecord, DeviceRecord};
use mast_schemas::partition::key_group;
use mast_schemas::records::{Outcome, PollId, Source, Tables};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::{DeviceEvent, DeviceGauge, DeviceState, DeviceView, device_event_id};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::compact::{Interner, Map, Maybe};
use crate::messages::{
    ApStatus, ClaimChange, DeviceControl, DeviceInfo, DeviceOut, PollInput, RadioKnown, Stamp,
    StationFact, Verdict,
};
use crate::table::{Scratch, SourceTable, TableStep};
use crate::timers::{UNARMED, Wheel};

/// All devices of a worker.
#[derive(Debug)]
pub struct Devices {
    t: Thresholds,
    devices: Map<DeviceId, Device>,
    wheel: Wheel<DeviceId>,
    words: Interner<Arc<str>>,
    /// Views as they were before the slot, of devices that changed in it.
    before: BTreeMap<DeviceId, Option<DeviceView>>,
    scratch: Scratch,
    slot_end: Timestamp,
}

#[derive(Debug)]
struct Device {
    tenant: TenantId,
    since: Timestamp,
    last_poll: Option<PollId>,
    overdue_at: Maybe,
    /// Bucket of its entry in the wheel.
    armed: i64,
    enabled: bool,
    state: DeviceState,
    outcome: Option<Outcome>,
    fail_run: u8,
    fail_unmanageable: bool,
    /// Identity and serial, which differ from device to device.
    own: [Option<Box<str>>; 2],
    /// Version, board, architecture and firmware, as numbers of words.
    shared: [Option<u32>; 4],
    /// By rising MAC.
    claims: Vec<(Mac, Timestamp)>,
    tables: Vec<SourceTable>,
}

/// Where each attribute of a poll is kept: the n-th own or the n-th shared one.
#[derive(Clone, Copy)]
enum Kept {
    Own(usize),
    Shared(usize),
}

/// In the order of [`PollInput::attributes`].
const KEPT: [Kept; 6] = [
    Kept::Own(0),
    Kept::Shared(0),
    Kept::Shared(1),
    Kept::Shared(2),
    Kept::Own(1),
    Kept::Shared(3),
];

impl Device {
    fn new(tenant: TenantId, since: Timestamp, enabled: bool) -> Self {
        Self {
            tenant,
            since,
            last_poll: None,
            overdue_at: Maybe::NONE,
            armed: UNARMED,
            enabled,
            state: DeviceState::Unobserved,
            outcome: None,
            fail_run: 0,
            fail_unmanageable: false,
            own: [None, None],
            shared: [None; 4],
            claims: Vec::new(),
            tables: Vec::new(),
        }
    }

    fn attribute<'a>(&'a self, words: &'a Interner<Arc<str>>, i: usize) -> Option<&'a str> {
        match KEPT[i] {
            Kept::Own(i) => self.own[i].as_deref(),
            Kept::Shared(i) => self.shared[i]
                .and_then(|n| words.value(n))
                .map(|word| &**word),
        }
    }

    fn set_attribute(&mut self, words: &mut Interner<Arc<str>>, i: usize, value: &str) {
        match KEPT[i] {
            Kept::Own(i) => self.own[i] = Some(value.into()),
            Kept::Shared(i) => self.shared[i] = Some(words.number(&Arc::<str>::from(value))),
        }
    }

    fn view(&self, id: DeviceId, words: &Interner<Arc<str>>) -> DeviceView {
        let text = |i| self.attribute(words, i).map(str::to_owned);
        DeviceView {
            device_id: id,
            tenant_id: self.tenant,
            state: self.state,
            since: self.since,
            outcome: self.outcome,
            identity: text(0),
            version: text(1),
            board: text(2),
            architecture: text(3),
            serial: text(4),
            firmware: text(5),
        }
    }

    fn claim(&self, id: DeviceId, &(mac, first_seen): &(Mac, Timestamp), diff: i8) -> ClaimChange {
        ClaimChange {
            tenant: self.tenant,
            mac,
            first_seen,
            device: id,
            diff,
        }
    }
}

impl Devices {
    /// No devices yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            devices: Map::default(),
            wheel: Wheel::default(),
            words: Interner::default(),
            before: BTreeMap::new(),
            scratch: Scratch::default(),
            slot_end: Timestamp(i64::MIN),
        }
    }

    /// Opens a slot that begins at `begin`, with what control says in it, in order.
    pub fn begin_slot(&mut self, begin: Timestamp, control: &[DeviceControl], out: &mut DeviceOut) {
        self.slot_end = begin + SLOT;
        for change in control {
            match change.info {
                None => self.delete(change.device, out),
                Some(info) => self.inform(begin, change.device, info, out),
            }
        }
    }

    fn inform(&mut self, begin: Timestamp, id: DeviceId, info: DeviceInfo, out: &mut DeviceOut) {
        if self
            .devices
            .get(&id)
            .is_some_and(|device| device.tenant != info.tenant)
        {
            self.delete(id, out);
        }
        let Some(device) = self.devices.get_mut(&id) else {
            self.before.entry(id).or_insert(None);
            self.devices
                .insert(id, Device::new(info.tenant, begin, info.enabled));
            let state = DeviceState::Unobserved;
            out.statuses.push(ApStatus {
                stamp: Stamp::begin(id),
                device: id,
                state,
            });
            return;
        };
        if device.enabled && !info.enabled {
            device.overdue_at = Maybe::NONE;
            device.fail_run = 0;
            self.enter(
                id,
                DeviceState::Unobserved,
                begin,
                None,
                Stamp::begin(id),
                out,
            );
        }
        if let Some(device) = self.devices.get_mut(&id) {
            device.enabled = info.enabled;
        }
    }

    fn delete(&mut self, id: DeviceId, out: &mut DeviceOut) {
        self.remember(id);
        let Some(device) = self.devices.remove(&id) else {
            return;
        };
        let (tenant, stamp) = (device.tenant, Stamp::begin(id));
        out.claims.extend(
            device
                .claims
                .iter()
                .map(|claim| device.claim(id, claim, -1)),
        );
        for table in &device.tables {
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
    fn remember(&mut self, id: DeviceId) {
        let (devices, words) = (&self.devices, &self.words);
        self.before
            .entry(id)
            .or_insert_with(|| devices.get(&id).map(|device| device.view(id, words)));
    }

    /// Enters a state, if it is another one: `since` and `outcome` belong to the change.
    fn enter(
        &mut self,
        id: DeviceId,
        state: DeviceState,
        since: Timestamp,
        outcome: Option<Outcome>,
        stamp: Stamp,
        out: &mut DeviceOut,
    ) {
        if self
            .devices
            .get(&id)
            .is_none_or(|device| device.state == state)
        {
            return;
        }
        self.remember(id);
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let from = device.state;
        (device.state, device.since, device.outcome) = (state, since, outcome);
        out.statuses.push(ApStatus {
            stamp,
            device: id,
            state,
        });
        out.events.push(DeviceEvent {
            event_id: device_event_id(&id, since, from, state),
            tenant_id: device.tenant,
            device_id: id,
            at: since,
            from_state: from,
            to_state: state,
            outcome,
        });
    }

    /// One poll, given in the order of `docs/semantics.md`.
    pub fn poll(&mut self, poll: &PollInput<'_>, out: &mut DeviceOut) -> Verdict {
        let Some(device) = self.devices.get(&poll.device) else {
            return Verdict::UnknownDevice;
        };
        if device.tenant != poll.tenant {
            return Verdict::WrongTenant;
        }
        match device.last_poll {
            Some(last) if poll.poll.lease_epoch < last.lease_epoch => return Verdict::Late,
            Some(last) if poll.poll <= last => return Verdict::Replay,
            _ => {}
        }
        self.fire(poll.device, poll.at.min(self.slot_end), out);
        self.status(poll, out);
        self.attributes(poll);
        let Some(device) = self.devices.get_mut(&poll.device) else {
            return Verdict::UnknownDevice;
        };
        device.last_poll = Some(poll.poll);
        if poll.tables.has(Tables::INTERFACE) {
            claims(device, poll, out);
        }
        let tolerance = self.t.association_tolerance;
        let mut step = TableStep {
            poll,
            tolerance,
            scratch: &mut self.scratch,
            out,
        };
        for &source in Source::ALL {
            if poll.tables.has(Tables::registration(source)) {
                step.apply(table_of(&mut device.tables, source));
            }
        }
        if poll.outcome.reached() {
            out.gauges.push(gauge(poll));
        }
        Verdict::Accepted
    }

    fn status(&mut self, poll: &PollInput<'_>, out: &mut DeviceOut) {
        let Some(device) = self.devices.get_mut(&poll.device) else {
            return;
        };
        if poll.outcome == Outcome::Internal {
            return;
        }
        let patience = i64::from(poll.interval_ms) * i64::from(self.t.unobserved_intervals);
        let overdue_at = poll.next_due_at + Span::millis(patience);
        device.overdue_at = Some(overdue_at).into();
        self.wheel.arm(overdue_at, poll.device, &mut device.armed);
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
        self.enter(poll.device, state, poll.at, Some(poll.outcome), stamp, out);
    }

    fn attributes(&mut self, poll: &PollInput<'_>) {
        for (i, value) in poll.attributes.iter().enumerate() {
            let Some(value) = value else { continue };
            let Some(device) = self.devices.get(&poll.device) else {
                return;
            };
            if device.attribute(&self.words, i) == Some(value) {
                continue;
            }
            self.remember(poll.device);
            if let Some(device) = self.devices.get_mut(&poll.device) {
                device.set_attribute(&mut self.words, i, value);
            }
        }
    }

    /// Fires the device's timer if it is due, and sees to its entry in the wheel.
    fn fire(&mut self, id: DeviceId, until: Timestamp, out: &mut DeviceOut) {
        let Some(device) = self.devices.get_mut(&id) else {
            return;
        };
        let Some(due) = device.overdue_at.get().filter(|due| *due <= until) else {
            return;
        };
        device.overdue_at = Maybe::NONE;
        device.fail_run = 0;
        let poll = device.last_poll.unwrap_or_default();
        let stamp = Stamp {
            at: due,
            device: id,
            poll,
            step: u8::MAX,
        };
        self.enter(id, DeviceState::Unobserved, due, None, stamp, out);
    }

    /// Closes the slot: pending timers due ≤ `end`, then the views that changed.
    pub fn end_slot(&mut self, end: Timestamp, out: &mut DeviceOut) {
        for (bucket, id) in self.wheel.take(end) {
            let Some(device) = self.devices.get_mut(&id).filter(|d| d.armed == bucket) else {
                continue;
            };
            device.armed = UNARMED;
            match device.overdue_at.get() {
                Some(due) if due > end => self.wheel.arm(due, id, &mut device.armed),
                _ => self.fire(id, end, out),
            }
        }
        for (id, before) in std::mem::take(&mut self.before) {
            let now = self
                .devices
                .get(&id)
                .map(|device| device.view(id, &self.words));
            if before != now {
                out.views.push((id, before, now));
            }
        }
    }

    /// No timer is due before this; `None` if none is pending.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.wheel.next()
    }

    /// All records with their key groups, by rising group and id.
    pub fn records(&self) -> Vec<(u8, DeviceRecord)> {
        let devices = self.devices.iter();
        let mut all: Vec<_> = devices
            .map(|(id, device)| (key_group(id.as_bytes()), *id, device))
            .collect();
        all.sort_unstable_by_key(|(group, id, _)| (*group, *id));
        all.into_iter()
            .map(|(group, id, device)| (group, self.record(id, device)))
            .collect()
    }

    fn record(&self, id: DeviceId, device: &Device) -> DeviceRecord {
        DeviceRecord {
            device_id: id,
            tenant_id: device.tenant,
            state: device.state,
            since: device.since,
            outcome: device.outcome,
            fail_run: device.fail_run,
            fail_unmanageable: device.fail_unmanageable,
            last_poll: device.last_poll,
            overdue_at: device.overdue_at.get(),
            attributes: std::array::from_fn(|i| {
                device.attribute(&self.words, i).map(str::to_owned)
            }),
            claims: device
                .claims
                .iter()
                .map(|&(mac, first_seen)| ClaimRecord { mac, first_seen })
                .collect(),
            tables: device.tables.iter().map(SourceTable::record).collect(),
        }
    }

    /// Takes records in. `out` gets what others must be preloaded with: claims, views (new) and radios; no events.
    pub fn restore(&mut self, records: Vec<DeviceRecord>, out: &mut DeviceOut) {
        for record in records {
            let id = record.device_id;
            let mut device = Device::new(record.tenant_id, record.since, true);
            device.state = record.state;
            device.outcome = record.outcome;
            device.fail_run = record.fail_run;
            device.fail_unmanageable = record.fail_unmanageable;
            device.last_poll = record.last_poll;
            device.overdue_at = record.overdue_at.into();
            for (i, value) in record.attributes.iter().enumerate() {
                if let Some(value) = value {
                    device.set_attribute(&mut self.words, i, value);
                }
            }
            device.claims = record
                .claims
                .iter()
                .map(|claim| (claim.mac, claim.first_seen))
                .collect();
            device.claims.sort_unstable();
            device.tables = record.tables.into_iter().map(SourceTable::from).collect();
            if let Some(due) = record.overdue_at {
                self.wheel.arm(due, id, &mut device.armed);
            }
            out.claims
                .extend(device.claims.iter().map(|claim| device.claim(id, claim, 1)));
            out.views
                .push((id, None, Some(device.view(id, &self.words))));
            let tenant = device.tenant;
            let known = |(radio, remote)| RadioKnown {
                stamp: Stamp::begin(id),
                tenant,
                radio,
                device: id,
                remote,
                known: true,
            };
            out.radios.extend(
                device
                    .tables
                    .iter()
                    .flat_map(SourceTable::radios)
                    .map(known),
            );
            self.devices.insert(id, device);
        }
    }
}

fn table_of(tables: &mut Vec<SourceTable>, source: Source) -> &mut SourceTable {
    let i = tables
        .iter()
        .position(|table| table.source == source)
        .unwrap_or_else(|| {
            tables.reserve_exact(1);
            tables.push(SourceTable::new(source));
            tables.len() - 1
        });
    &mut tables[i]
}

/// The whole interface table against the claims: addresses that went are retracted, new ones begin now.
fn claims(device: &mut Device, poll: &PollInput<'_>, out: &mut DeviceOut) {
    let same = device.claims.len() == poll.interfaces.len()
        && device
            .claims
            .iter()
            .map(|claim| claim.0)
            .eq(poll.interfaces.iter().copied());
    if same {
        return;
    }
    let mut macs = poll.interfaces.to_vec();
    macs.sort_unstable();
    macs.dedup();
    let old = std::mem::take(&mut device.claims);
    for claim in &old {
        if macs.binary_search(&claim.0).is_err() {
            out.claims.push(device.claim(poll.device, claim, -1));
        }
    }
    let mut new = Vec::with_capacity(macs.len());
    for mac in macs {
        let claim = match old.binary_search_by_key(&mac, |claim| claim.0) {
            Ok(i) => old[i],
            Err(_) => {
                let claim = (mac, poll.at);
                out.claims.push(device.claim(poll.device, &claim, 1));
                claim
            }
        };
        new.push(claim);
    }
    device.claims = new;
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
