//! All steps in one thread, staged as the flow stages them: each stage handles a whole slot, its keys spread over as
//! many instances as there would be workers.

use std::collections::{BTreeMap, BTreeSet};

use mast_oracle::script::SlotInput;
use mast_oracle::{Events, Views};
use mast_schemas::checkpoint::{
    ApFlagsRecord, ApRecord, BssidRecord, CapRecord, DeviceRecord, RoamRecord, ShownRecord,
};
use mast_schemas::message::WholePoll;
use mast_schemas::partition::key_group;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::SLOT;
use mast_schemas::views::{DeviceState, DeviceView, LinkView, Place};
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, TenantId, Timestamp};
use mast_state::messages::{
    ApInput, ApOut, Control, DeviceControl, DeviceInfo, DeviceOut, LinkCore, RoamEvent, Verdict,
};
use mast_state::{
    Addresses, Aps, BssidOut, Bssids, Devices, Forgetting, Roaming, SignalBins, key_group_of_client,
};

use crate::inputs::{Rows, with_poll};

type Address = (TenantId, Mac);

/// The steps, spread over instances, and what the flow's relational part would hold.
pub(crate) struct Fleet {
    devices: Vec<Devices>,
    bssids: Vec<Bssids>,
    roaming: Vec<Roaming>,
    aps: Vec<Aps>,
    addresses: Addresses,
    forgetting: Forgetting,
    rows: Rows,
    claims: BTreeMap<Address, BTreeSet<(Timestamp, DeviceId)>>,
    links: BTreeMap<LinkId, LinkCore>,
    paired: BTreeMap<LinkId, (LinkCore, Option<DeviceId>)>,
    remote: BTreeMap<Address, Option<DeviceId>>,
    reporters: BTreeSet<DeviceId>,
    bins: BTreeMap<(DeviceId, i16), i32>,
    views: Views,
    pub(crate) events: Events,
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    pub(crate) now: Epoch,
}

/// All records of a checkpoint.
pub(crate) struct Checkpoint {
    rows: Rows,
    /// What was told of devices: a restart tells it no more, and the first change after it must say the same.
    told: BTreeMap<DeviceId, DeviceView>,
    devices: Vec<DeviceRecord>,
    pub(crate) roam: Vec<RoamRecord>,
    shown: Vec<ShownRecord>,
    pub(crate) aps: Vec<ApRecord>,
    flags: Vec<ApFlagsRecord>,
    pub(crate) caps: Vec<CapRecord>,
    bssids: Vec<BssidRecord>,
    now: Epoch,
}

fn of_id(id: &DeviceId, n: usize) -> usize {
    usize::from(key_group(id.as_bytes())) % n
}

fn of_address(address: Address, n: usize) -> usize {
    usize::from(key_group_of_client(&address.0, address.1)) % n
}

impl Fleet {
    pub(crate) fn new(t: Thresholds, n: usize) -> Self {
        let each = 0..n;
        Self {
            devices: each.clone().map(|_| Devices::new(t)).collect(),
            bssids: each.clone().map(|_| Bssids::new(t)).collect(),
            roaming: each.clone().map(|_| Roaming::new(t)).collect(),
            aps: each.map(|_| Aps::new(t)).collect(),
            addresses: Addresses::default(),
            forgetting: Forgetting::new(t),
            rows: Rows::new(t),
            claims: BTreeMap::new(),
            links: BTreeMap::new(),
            paired: BTreeMap::new(),
            remote: BTreeMap::new(),
            reporters: BTreeSet::new(),
            bins: BTreeMap::new(),
            views: Views::default(),
            events: Events::default(),
            dropped: BTreeMap::new(),
            now: Epoch(0),
        }
    }

    fn n(&self) -> usize {
        self.devices.len()
    }

    /// One binding.
    pub(crate) fn slots(&mut self, input: &SlotInput) {
        let control = self.rows.apply(&input.control);
        let mut polls = input.polls.clone();
        polls.sort_by_key(|p| (p.poll.observed_at, p.poll.device_id, p.poll.id()));
        self.slot(input.first, &control, &polls);
        let mut last = input.first;
        while let Some(due) = self.next_timer() {
            let next = Epoch::of(Timestamp(due.0 - 1)).max(last.next());
            if next > input.last {
                break;
            }
            self.slot(next, &[], &[]);
            last = next;
        }
        if last < input.last {
            self.slot(input.last, &[], &[]);
        }
        self.now = input.last;
    }

    fn next_timer(&self) -> Option<Timestamp> {
        let devices = self.devices.iter().filter_map(Devices::next_timer);
        let roaming = self.roaming.iter().filter_map(Roaming::next_timer);
        let aps = self.aps.iter().filter_map(Aps::next_timer);
        devices
            .chain(roaming)
            .chain(aps)
            .chain(self.forgetting.next_timer())
            .min()
    }

    fn slot(&mut self, slot: Epoch, control: &[DeviceControl], polls: &[WholePoll]) {
        let (end, n) = (slot.end(), self.n());
        let mut devices = DeviceOut::default();
        self.device_stage(end, control, polls, &mut devices);
        let mut roam = std::mem::take(&mut devices.roam);
        let mut aps: Vec<ApInput> = devices.statuses.drain(..).map(ApInput::Status).collect();
        aps.extend(devices.tables.drain(..).map(ApInput::Table));
        let moved = self.bssid_stage(end, control, devices, &mut roam, &mut aps);
        self.roam_stage(end, control, roam, &moved, &mut aps);
        aps.sort_by_key(ApInput::stamp);
        let mut inputs: Vec<Vec<ApInput>> = vec![Vec::new(); n];
        for input in aps {
            inputs[of_id(&input.ap(), n)].push(input);
        }
        let mut out = ApOut::default();
        for (worker, (state, inputs)) in self.aps.iter_mut().zip(inputs).enumerate() {
            let mine = |c: &&DeviceControl| of_id(&c.device, n) == worker;
            let control: Vec<_> = control.iter().filter(mine).cloned().collect();
            state.begin_slot(end - SLOT, &control, &mut out);
            inputs
                .into_iter()
                .for_each(|input| state.apply(input, &mut out));
            let from = out.links.len();
            state.end_slot(end, &mut Vec::new(), &mut out);
            assert!(out.links[from..].is_sorted_by_key(|link| link.0));
        }
        self.after_links(end, out);
    }

    fn device_stage(
        &mut self,
        end: Timestamp,
        control: &[DeviceControl],
        polls: &[WholePoll],
        out: &mut DeviceOut,
    ) {
        let n = self.n();
        for (worker, state) in self.devices.iter_mut().enumerate() {
            let mine = |id: &DeviceId| of_id(id, n) == worker;
            let control: Vec<_> = control
                .iter()
                .filter(|c| mine(&c.device))
                .cloned()
                .map(Control::Device)
                .collect();
            state.begin_slot(end - SLOT, &control, out);
            for whole in polls.iter().filter(|whole| mine(&whole.poll.device_id)) {
                let name = match with_poll(whole, |poll| state.poll(poll, out)) {
                    Verdict::Accepted => continue,
                    Verdict::Replay => "replay",
                    Verdict::Late => "late",
                    Verdict::UnknownDevice => "unknown_device",
                    Verdict::WrongTenant => "wrong_tenant",
                    Verdict::Disabled => "disabled",
                };
                *self.dropped.entry(name).or_default() += 1;
            }
            state.end_slot(end, out);
        }
    }

    /// Who owns an address; leaves one device out.
    fn owner(&self, address: Address, but: Option<DeviceId>) -> Option<DeviceId> {
        let claims = self.claims.get(&address)?;
        claims
            .iter()
            .map(|claim| claim.1)
            .find(|device| Some(*device) != but)
    }

    fn bssid_stage(
        &mut self,
        end: Timestamp,
        control: &[DeviceControl],
        mut devices: DeviceOut,
        roam: &mut Vec<RoamEvent>,
        aps: &mut Vec<ApInput>,
    ) -> Vec<(DeviceId, Mac)> {
        let (n, mut out) = (self.n(), BssidOut::default());
        for known in devices
            .radios
            .iter()
            .filter(|known| known.remote && known.known)
        {
            let address = (known.tenant, known.radio);
            if !self.remote.contains_key(&address)
                && let Some(owner) = self.owner(address, None)
            {
                let state = &mut self.bssids[of_address(address, n)];
                state.owner_at_begin(known.tenant, known.radio, owner);
            }
        }
        for state in &mut self.bssids {
            state.begin_slot(control);
        }
        devices.radios.sort_by_key(|known| known.stamp);
        for known in &devices.radios {
            self.bssids[of_address((known.tenant, known.radio), n)].radio(known, &mut out);
        }
        devices.remote.sort_by_key(|remote| remote.table.stamp);
        for remote in devices.remote.drain(..) {
            let address = (remote.table.tenant, remote.table.radio);
            self.bssids[of_address(address, n)].remote(remote, &mut out);
        }
        devices.stations.sort_by_key(|fact| fact.stamp);
        for fact in devices.stations.drain(..) {
            self.bssids[of_address((fact.tenant, fact.radio), n)].station(fact, &mut out);
        }
        self.device_facts(devices);
        self.wanted(&mut out);
        for address in self.remote.keys().copied().collect::<Vec<_>>() {
            let owner = self.owner(address, None);
            if self.remote.insert(address, owner) != Some(owner) {
                self.bssids[of_address(address, n)].owner(address.0, address.1, owner);
            }
        }
        for &device in &self.reporters {
            let unobserved = self
                .views
                .devices
                .get(&device)
                .is_none_or(|d| d.state != DeviceState::Online);
            self.bssids
                .iter_mut()
                .for_each(|state| state.reporter(device, unobserved));
        }
        self.bssids
            .iter_mut()
            .for_each(|state| state.end_slot(end, &mut out));
        self.wanted(&mut out);
        roam.append(&mut out.roam);
        aps.append(&mut out.aps);
        out.moved
    }

    /// What the BSSID stage wants to be told of.
    fn wanted(&mut self, out: &mut BssidOut) {
        for (tenant, radio, diff) in out.remote_radios.drain(..) {
            match diff {
                // The owner as of the slot's begin was given when it was first shown.
                1 => drop(self.remote.insert((tenant, radio), None)),
                _ => drop(self.remote.remove(&(tenant, radio))),
            }
        }
        for (device, diff) in out.reporters.drain(..) {
            // One that an instance no longer wants another may still want: too much told is harmless.
            if diff > 0 {
                self.reporters.insert(device);
            }
        }
    }

    fn device_facts(&mut self, devices: DeviceOut) {
        for claim in devices.claims {
            let claims = self.claims.entry((claim.tenant, claim.mac)).or_default();
            let key = (claim.first_seen, claim.device);
            let changed = if claim.diff > 0 {
                claims.insert(key)
            } else {
                claims.remove(&key)
            };
            assert!(changed, "{claim:?}");
        }
        let said = devices.addresses.into_iter();
        said.for_each(|change| self.addresses.change(change));
        for (tenant, mac, row) in self.addresses.end_slot() {
            let views = &mut self.views.addresses;
            match row {
                Some(row) => drop(views.insert((tenant, mac), row)),
                None => drop(views.remove(&(tenant, mac))),
            }
        }
        for (id, old, new) in devices.views {
            assert_eq!(self.views.devices.get(&id), old.as_ref());
            match new {
                Some(new) => drop(self.views.devices.insert(id, new)),
                None => drop(self.views.devices.remove(&id)),
            }
        }
        self.events.devices.extend(devices.events);
    }

    fn roam_stage(
        &mut self,
        end: Timestamp,
        control: &[DeviceControl],
        mut roam: Vec<RoamEvent>,
        moved: &[(DeviceId, Mac)],
        aps: &mut Vec<ApInput>,
    ) {
        let (n, mut verdicts) = (self.n(), Vec::new());
        roam.sort_by_key(RoamEvent::order);
        for (worker, state) in self.roaming.iter_mut().enumerate() {
            state.begin_slot(end - SLOT, control, &mut verdicts);
            for event in roam
                .iter()
                .filter(|e| of_address((e.tenant, e.mac), n) == worker)
            {
                state.apply(event, &mut verdicts);
            }
            moved
                .iter()
                .for_each(|&(ap, radio)| state.radio_moved(ap, radio));
            state.end_slot(end, &mut verdicts);
        }
        aps.extend(verdicts.into_iter().map(ApInput::Verdict));
    }

    fn after_links(&mut self, end: Timestamp, out: ApOut) {
        for (id, old, new) in out.links {
            assert_eq!(self.links.get(&id), old.as_ref());
            assert_ne!(old, new);
            match new {
                Some(new) => drop(self.links.insert(id, new)),
                None => drop(self.links.remove(&id)),
            }
        }
        for (ap, dbm, count) in out.signals {
            *self.bins.entry((ap, dbm)).or_default() += count;
        }
        self.events.links.extend(out.events);
        let mut paired = BTreeMap::new();
        for (id, core) in &self.links {
            let cpe = self.owner((id.tenant_id, id.mac), Some(id.ap_device_id));
            paired.insert(*id, (core.clone(), cpe));
        }
        for (id, new) in &paired {
            match self.paired.get(id) {
                Some(old) if old == new => {}
                _ => self.forgetting.change(*id, new.0.clone(), new.1, 1),
            }
        }
        for (id, old) in std::mem::take(&mut self.paired) {
            if paired.get(&id) != Some(&old) {
                self.forgetting.change(id, old.0, old.1, -1);
            }
        }
        self.paired = paired;
        for (view, diff) in self.forgetting.end_slot(end) {
            self.see(view, diff);
        }
    }

    fn see(&mut self, view: LinkView, diff: isize) {
        if diff > 0 {
            assert_eq!(self.views.links.insert(view.id, view), None);
        } else {
            assert_eq!(self.views.links.remove(&view.id), Some(view));
        }
    }

    /// The rows of all views.
    pub(crate) fn views(&self) -> Views {
        let mut views = self.views.clone();
        let place = |ap: &DeviceId| {
            let row = self.rows.devices.get(ap)?;
            Some(self.rows.info(row))
        };
        for device in views.devices.values() {
            for place in place(&device.device_id).iter().flat_map(places) {
                views.counts.entry(place).or_default().devices[device.state as usize] += 1;
            }
        }
        for link in views.links.values() {
            for place in place(&link.id.ap_device_id).iter().flat_map(places) {
                let counts = views.counts.entry(place).or_default();
                counts.links[link.state as usize] += 1;
                counts.links_unobserved += i64::from(link.unobserved);
            }
        }
        let mut bins: BTreeMap<Place, SignalBins> = BTreeMap::new();
        for (&(ap, dbm), &count) in &self.bins {
            for place in place(&ap).iter().flat_map(places) {
                bins.entry(place).or_default().add(dbm, count);
            }
        }
        let signals = bins
            .into_iter()
            .filter_map(|(place, bins)| Some((place, bins.signals()?)));
        views.signals = signals.collect();
        views
    }

    /// All events since the last call, ordered by time, then ids.
    pub(crate) fn take_events(&mut self) -> Events {
        let mut events = std::mem::take(&mut self.events);
        events
            .links
            .sort_by_key(|e| (e.at, e.tenant_id, e.ap_device_id, e.radio_mac, e.mac));
        events
            .devices
            .sort_by_key(|e| (e.at, e.tenant_id, e.device_id));
        events
    }

    /// Everything as records.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        fn all<S, R>(states: &[S], records: impl Fn(&S) -> Vec<(u8, R)>) -> Vec<R> {
            let records = states.iter().flat_map(records);
            records.map(|(_, record)| record).collect()
        }
        assert!(self.devices[0].records().len() <= self.rows.devices.len());
        Checkpoint {
            rows: self.rows.clone(),
            told: self.views.devices.clone(),
            devices: all(&self.devices, Devices::records),
            roam: all(&self.roaming, Roaming::records),
            shown: all(&self.roaming, Roaming::shown),
            aps: all(&self.aps, Aps::records),
            flags: all(&self.aps, Aps::flags),
            caps: all(&self.bssids, Bssids::records),
            bssids: all(&self.bssids, Bssids::bssid_records),
            now: self.now,
        }
    }

    /// The same state in `n` instances.
    pub(crate) fn restore(t: Thresholds, n: usize, checkpoint: Checkpoint) -> Self {
        let mut fleet = Self::new(t, n);
        fleet.rows = checkpoint.rows;
        fleet.views.devices = checkpoint.told;
        fleet.now = checkpoint.now;
        let known: Vec<_> = (fleet.rows.devices.values())
            .map(|row| DeviceControl {
                device: row.id,
                info: Some(fleet.rows.info(row)),
            })
            .collect();
        let mine_of = |all: &[DeviceControl], worker| -> Vec<DeviceControl> {
            let mine = |control: &&DeviceControl| of_id(&control.device, n) == worker;
            all.iter().filter(mine).cloned().collect()
        };
        let mut devices = DeviceOut::default();
        for (worker, state) in fleet.devices.iter_mut().enumerate() {
            let mine = |r: &&DeviceRecord| of_id(&r.device_id, n) == worker;
            state.restore(
                checkpoint.devices.iter().filter(mine).cloned().collect(),
                &mut devices,
            );
            // As the flow does: control is told again, so that each knows who is disabled.
            let known = mine_of(&known, worker);
            let known: Vec<_> = known.into_iter().map(Control::Device).collect();
            state.begin_slot(fleet.now.end(), &known, &mut devices);
        }
        let states = devices.states.iter().map(|&(id, _, now)| (id, now));
        let told = fleet.views.devices.values();
        assert!(
            states
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .eq(told.map(|view| (view.device_id, Some(view.state))))
        );
        for (worker, state) in fleet.roaming.iter_mut().enumerate() {
            let mine = |r: &&RoamRecord| of_address((r.tenant_id, r.mac), n) == worker;
            let roam = checkpoint.roam.iter().filter(mine).cloned().collect();
            let mut shown = checkpoint.shown.clone();
            for record in &mut shown {
                record
                    .clients
                    .retain(|mac| of_address((record.tenant_id, *mac), n) == worker);
            }
            state.restore(roam, shown);
        }
        let mut out = BssidOut::default();
        for (worker, state) in fleet.bssids.iter_mut().enumerate() {
            let mine = |r: &&CapRecord| of_address((r.tenant_id, r.radio_mac), n) == worker;
            let caps = checkpoint.caps.iter().filter(mine).cloned().collect();
            let mine = |r: &&BssidRecord| of_address((r.tenant_id, r.radio_mac), n) == worker;
            let rest = checkpoint.bssids.iter().filter(mine).cloned().collect();
            state.restore(caps, rest, &mut out);
        }
        for known in devices.radios.iter().filter(|known| !known.remote) {
            let state = &mut fleet.bssids[of_address((known.tenant, known.radio), n)];
            state.radio(known, &mut out);
        }
        assert!(out.aps.is_empty() && out.roam.is_empty() && devices.events.is_empty());
        fleet.device_facts(devices);
        fleet.wanted(&mut out);
        for (address, told) in fleet.remote.clone() {
            assert_eq!(told, None);
            let owner = fleet.owner(address, None);
            fleet.remote.insert(address, owner);
        }
        let mut out = ApOut::default();
        for (worker, state) in fleet.aps.iter_mut().enumerate() {
            let mine = |r: &&ApRecord| of_id(&r.device_id, n) == worker;
            let aps = checkpoint.aps.iter().filter(mine).cloned().collect();
            let mine = |r: &&ApFlagsRecord| of_id(&r.device_id, n) == worker;
            let flags = checkpoint.flags.iter().filter(mine).cloned().collect();
            state.restore(fleet.now.end(), aps, flags, &mut out);
            let known = mine_of(&known, worker);
            state.begin_slot(fleet.now.end(), &known, &mut out);
        }
        assert!(out.events.is_empty());
        fleet.after_links(checkpoint.now.end(), out);
        fleet
    }
}

fn places(info: &DeviceInfo) -> Vec<Place> {
    let site = info.site.map(|site| Place::Site(info.tenant, site));
    let sector = info.sector.map(|sector| Place::Sector(info.tenant, sector));
    [Some(Place::Tenant(info.tenant)), site, sector]
        .into_iter()
        .flatten()
        .collect()
}
