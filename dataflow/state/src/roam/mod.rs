//! Roaming: which of a client's associations is its live one, by (tenant, MAC). Access points know only their own tables;
//! here the associations of all of them meet, and the links that lost hear of it.
//!
//! A client with one association, which is nearly every one, is 26 bytes; what only roaming clients have is boxed.

mod entry;
mod held;
mod records;

use std::collections::BTreeMap;

use mast_schemas::partition::key_group;
use mast_schemas::records::Source;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::SLOT;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::compact::{Interner, Mac48, push_tight};
use crate::messages::{DeviceControl, RoamChange, RoamEvent, RoamVerdict, Stamp};
use crate::roam::entry::{Entry, NO_FLOOR, NOBODY, NOWHERE, Step};
use crate::roam::held::Clients;
use crate::timers::{UNARMED, Wheel};

/// The key group of a client: by tenant and address, for ever the same.
pub fn key_group_of_client(tenant: &TenantId, mac: Mac) -> u8 {
    let id = u128::from_be_bytes(*tenant.as_bytes()) ^ u128::from(mac.0);
    key_group(&id.to_be_bytes())
}

/// All clients of a worker.
#[derive(Debug)]
pub struct Roaming {
    t: Thresholds,
    clients: Clients,
    tenants: Interner<TenantId>,
    radios: Interner<(DeviceId, Mac)>,
    /// By radio: whose tables show clients of it.
    reporters: Vec<Vec<(DeviceId, Source)>>,
    wheel: Wheel<(u32, Mac48)>,
    /// Radios whose associations are dropped at the slot's end.
    moved: Vec<(DeviceId, Mac)>,
    /// Clients with a timer that a poll of the slot made due in the past: it fires after that poll.
    late: BTreeMap<(u32, Mac48), Stamp>,
    slot_end: Timestamp,
}

impl Roaming {
    /// No clients yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            clients: Clients::default(),
            tenants: Interner::default(),
            radios: Interner::default(),
            reporters: Vec::new(),
            wheel: Wheel::default(),
            moved: Vec::new(),
            late: BTreeMap::new(),
            slot_end: Timestamp(i64::MIN),
        }
    }

    /// Opens a slot that begins at `begin`. Every worker needs all of control: a deleted access point drops its
    /// associations, whoever the clients are.
    pub fn begin_slot(
        &mut self,
        begin: Timestamp,
        control: &[DeviceControl],
        out: &mut Vec<RoamVerdict>,
    ) {
        self.slot_end = begin + SLOT;
        for change in control.iter().filter(|change| change.info.is_none()) {
            self.drop_radios(Stamp::begin(change.device), out, |ap, _| {
                ap == change.device
            });
            self.drop_reporter(change.device);
        }
    }

    /// The tables of a deleted device show nothing any more.
    fn drop_reporter(&mut self, device: DeviceId) {
        let mut gone = Vec::new();
        for (radio, reporters) in (0u32..).zip(&self.reporters) {
            for (by, reporter) in (0u16..).zip(reporters) {
                if reporter.0 == device {
                    gone.push((radio, by));
                }
            }
        }
        if gone.is_empty() {
            return;
        }
        let radios: Vec<u32> = gone.iter().map(|(radio, _)| *radio).collect();
        for key in self.clients.of_radios(&radios) {
            self.clients.step(key, None, |entry| {
                for &(radio, by) in &gone {
                    entry.unshow(radio, by);
                }
            });
        }
    }

    fn reporter(&mut self, radio: u32, device: DeviceId, source: Source) -> u16 {
        let radio = radio as usize;
        while self.reporters.len() <= radio {
            push_tight(&mut self.reporters, Vec::new());
        }
        let reporters = &mut self.reporters[radio];
        let known = reporters
            .iter()
            .position(|reporter| *reporter == (device, source));
        let i = known.unwrap_or_else(|| {
            push_tight(reporters, (device, source));
            reporters.len() - 1
        });
        u16::try_from(i).unwrap_or(NOBODY)
    }

    /// A radio belongs to another access point: its associations under `ap` are dropped at the slot's end. Every
    /// worker needs all of these.
    pub fn radio_moved(&mut self, ap: DeviceId, radio: Mac) {
        self.moved.push((ap, radio));
    }

    fn drop_radios(
        &mut self,
        stamp: Stamp,
        out: &mut Vec<RoamVerdict>,
        gone: impl Fn(DeviceId, Mac) -> bool,
    ) {
        let gone: Vec<u32> = self.radios.numbers(|&(ap, radio)| gone(ap, radio));
        if gone.is_empty() {
            return;
        }
        for key in self.clients.of_radios(&gone) {
            for &radio in &gone {
                self.step(key, (stamp, None), out, |entry, step| {
                    entry.dropped(radio, step);
                });
            }
        }
    }

    /// One change of associations; a slot's changes are given in the order of [`RoamEvent::order`].
    pub fn apply(&mut self, event: &RoamEvent, out: &mut Vec<RoamVerdict>) {
        let key = (self.tenants.number(&event.tenant), Mac48::from(event.mac));
        let radio = self
            .radios
            .number(&(event.association.ap, event.association.radio));
        let by = self.reporter(radio, event.stamp.device, event.source);
        let until = event.stamp.at.min(self.slot_end);
        match event.change {
            RoamChange::Appeared => {
                let fresh = Some(Entry::new(key));
                self.step(key, (event.stamp, fresh), out, |entry, step| {
                    entry.fire(until, step);
                    entry.appeared(radio, event.association.began, by, step);
                });
            }
            RoamChange::Departed => self.step(key, (event.stamp, None), out, |entry, step| {
                entry.fire(until, step);
                if entry.unshow(radio, by) {
                    entry.departed(radio, step);
                }
            }),
        }
    }

    /// One step on one client, a fresh one if it is not there; then its timer is armed.
    fn step(
        &mut self,
        key: (u32, Mac48),
        (stamp, fresh): (Stamp, Option<Entry>),
        out: &mut Vec<RoamVerdict>,
        act: impl FnOnce(&mut Entry, &mut Step<'_>),
    ) {
        let Some(&tenant) = self.tenants.value(key.0) else {
            return;
        };
        let floor = self.late.get(&key).copied().unwrap_or(NO_FLOOR);
        let (t, radios) = (&self.t, &self.radios);
        let mut step = Step {
            t,
            radios,
            tenant,
            stamp,
            at: stamp.at,
            floor,
            out,
        };
        self.clients.step(key, fresh, |entry| {
            act(entry, &mut step);
            if entry.next_due(t).is_some_and(|next| next.0 <= stamp.at) {
                self.late.insert(key, stamp.step(u8::MAX));
            }
            Self::arm(&mut self.wheel, t, entry);
        });
    }

    fn arm(wheel: &mut Wheel<(u32, Mac48)>, t: &Thresholds, entry: &mut Entry) {
        let recheck = entry.changed_at.get().filter(|_| entry.radio == NOWHERE);
        let recheck = recheck.map(|at| at + t.ambiguous_window);
        let due = entry.next_due(t).map(|next| next.0).or(recheck);
        let Some(due) = due else { return };
        let key = (entry.tenant, entry.mac);
        match &mut entry.more {
            Some(more) => wheel.arm(due, key, &mut more.armed),
            None => wheel.arm(due, key, &mut { UNARMED }),
        }
    }

    /// Closes the slot: pending timers due ≤ `end`, then associations of radios that moved.
    pub fn end_slot(&mut self, end: Timestamp, out: &mut Vec<RoamVerdict>) {
        self.fire_due(end, out);
        let mut moved = std::mem::take(&mut self.moved);
        if !moved.is_empty() {
            moved.sort_unstable();
            let stamp = Stamp::end(moved[0].0);
            self.drop_radios(stamp, out, |ap, radio| {
                moved.binary_search(&(ap, radio)).is_ok()
            });
            self.fire_due(end, out);
        }
        self.late.clear();
    }

    fn fire_due(&mut self, end: Timestamp, out: &mut Vec<RoamVerdict>) {
        for (bucket, key) in self.wheel.take(end) {
            let Some(&tenant) = self.tenants.value(key.0) else {
                continue;
            };
            let (t, radios) = (&self.t, &self.radios);
            let mut step = Step {
                t,
                radios,
                tenant,
                stamp: Stamp::end(DeviceId::default()),
                at: end,
                floor: self.late.get(&key).copied().unwrap_or(NO_FLOOR),
                out,
            };
            let spent = self.clients.step(key, None, |entry| {
                if let Some(more) = &mut entry.more {
                    if more.armed < bucket {
                        return false;
                    }
                    more.armed = UNARMED;
                }
                entry.fire(end, &mut step);
                let spent = entry.spent(end, t);
                if !spent {
                    Self::arm(&mut self.wheel, t, entry);
                }
                spent
            });
            if spent == Some(true) {
                self.clients.remove(key);
            }
        }
    }

    /// No timer is due before this; `None` if none is pending.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.wheel.next()
    }
}
