//! Roaming: which of a client's associations is its live one, by (tenant, MAC). Access points know only their own tables;
//! here the associations of all of them meet, and the links that lost hear of it.
//!
//! A client with one association, which is nearly every one, is 48 bytes inline; what only roaming clients have is boxed.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mast_schemas::checkpoint::{AssociationRecord, RoamRecord, ShownRecord};
use mast_schemas::partition::key_group;
use mast_schemas::records::{PollId, Source};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::SLOT;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};
use std::collections::BTreeMap;
use std::hash::BuildHasher;

use crate::compact::{Interner, Mac48, Maybe};
use crate::messages::{DeviceControl, RoamChange, RoamEvent, RoamVerdict, Stamp};
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
    entries: HashTable<Entry>,
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

/// No association.
const NOWHERE: u32 = u32::MAX;

/// Nobody's table shows the association.
const NOBODY: u16 = u16::MAX;

/// Before every stamp.
const NO_FLOOR: Stamp = Stamp::begin(DeviceId::from_bytes([0; 16]));

/// An association that is not the owner.
#[derive(Clone, Copy, Debug)]
struct Other {
    radio: u32,
    shown: u16,
    began: Timestamp,
}

#[derive(Debug)]
struct Entry {
    tenant: u32,
    /// The owner's access point and radio, or [`NOWHERE`].
    radio: u32,
    mac: Mac48,
    /// Whose table shows the owner: number among the radio's reporters, or [`NOBODY`].
    shown: u16,
    began: Timestamp,
    departed_at: Maybe,
    /// The newest change of owner.
    changed_at: Maybe,
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct More {
    others: Vec<Other>,
    /// Further tables that show an association: (radio, reporter).
    also: Vec<(u32, u16)>,
    /// Changes of owner before the newest.
    changes: Vec<Timestamp>,
    ambiguous: bool,
    armed: i64,
}

impl Default for More {
    fn default() -> Self {
        Self {
            others: Vec::new(),
            also: Vec::new(),
            changes: Vec::new(),
            ambiguous: false,
            armed: UNARMED,
        }
    }
}

/// What a step on one entry needs besides it.
struct Step<'a> {
    t: &'a Thresholds,
    radios: &'a Interner<(DeviceId, Mac)>,
    tenant: TenantId,
    stamp: Stamp,
    /// Time of the effect: the stamp's, or a timer's that was due before.
    at: Timestamp,
    /// No timer takes effect before this.
    floor: Stamp,
    out: &'a mut Vec<RoamVerdict>,
}

impl Step<'_> {
    fn verdict(&mut self, mac: Mac48, radio: u32, roamed: bool, ambiguous: bool) {
        self.say(mac, radio, roamed, ambiguous, false);
    }

    fn say(&mut self, mac: Mac48, radio: u32, roamed: bool, ambiguous: bool, expired: bool) {
        let Some(&(ap, radio)) = self.radios.value(radio) else {
            return;
        };
        let (stamp, tenant, mac) = (self.stamp, self.tenant, mac.into());
        self.out.push(RoamVerdict {
            stamp,
            at: self.at,
            tenant,
            ap,
            radio,
            mac,
            roamed,
            ambiguous,
            expired,
        });
    }

    fn place(&self, radio: u32) -> Option<(DeviceId, Mac)> {
        self.radios.value(radio).copied()
    }
}

impl Entry {
    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn others(&self) -> &[Other] {
        self.more.as_ref().map_or(&[], |more| &more.others)
    }

    fn ambiguous(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.ambiguous)
    }

    /// Takes an association out of the others.
    fn leave(&mut self, radio: u32) -> Option<Other> {
        let more = self.more.as_mut()?;
        let i = more.others.iter().position(|other| other.radio == radio)?;
        Some(more.others.remove(i))
    }

    /// Who is noted first as showing an association.
    fn shown(&mut self, radio: u32) -> Option<&mut u16> {
        if self.radio == radio {
            return Some(&mut self.shown);
        }
        let others = &mut self.more.as_mut()?.others;
        others
            .iter_mut()
            .find(|other| other.radio == radio)
            .map(|other| &mut other.shown)
    }

    /// A table shows the association.
    fn show(&mut self, radio: u32, by: u16) {
        match self.shown(radio) {
            Some(shown) if *shown == NOBODY => *shown = by,
            Some(shown) if *shown != by => {
                let also = &mut self.more().also;
                if !also.contains(&(radio, by)) {
                    also.push((radio, by));
                }
            }
            _ => {}
        }
    }

    /// A table no longer shows the association; true if none does.
    fn unshow(&mut self, radio: u32, by: u16) -> bool {
        let Some(shown) = self.shown(radio).map(|shown| *shown) else {
            return false;
        };
        let also = self.more.as_mut().map(|more| &mut more.also);
        let mut next = NOBODY;
        if let Some(also) = also {
            also.retain(|shows| *shows != (radio, by));
            next = also
                .iter()
                .find(|shows| shows.0 == radio)
                .map_or(NOBODY, |shows| shows.1);
            if shown == by || shown == NOBODY {
                also.retain(|shows| *shows != (radio, next));
            }
        }
        if shown != by && shown != NOBODY {
            return false;
        }
        if let Some(shown) = self.shown(radio) {
            *shown = next;
        }
        next == NOBODY
    }

    /// Nobody's table counts for the association any more.
    fn unshow_all(&mut self, radio: u32) {
        if let Some(more) = &mut self.more {
            more.also.retain(|shows| shows.0 != radio);
        }
    }

    fn appeared(&mut self, radio: u32, began: Timestamp, by: u16, step: &mut Step<'_>) {
        if self.radio == radio {
            self.show(radio, by);
            if began > self.began + step.t.association_tolerance {
                self.began = began;
            }
            self.departed_at = Maybe::NONE;
            if self.ambiguous() {
                step.verdict(self.mac, radio, false, true);
            }
            return;
        }
        let shown = self.leave(radio).map_or(NOBODY, |other| other.shown);
        let later = self.radio == NOWHERE
            || (began, step.place(radio)) > (self.began, step.place(self.radio));
        if later {
            self.take_over(
                Other {
                    radio,
                    shown,
                    began,
                },
                step,
            );
        } else {
            self.more().others.push(Other {
                radio,
                shown,
                began,
            });
            let ambiguous = self.ambiguous();
            step.verdict(self.mac, radio, !ambiguous, ambiguous);
        }
        self.show(radio, by);
    }

    /// A change of owner: the former one joins the others, unless it had departed.
    fn take_over(&mut self, new: Other, step: &mut Step<'_>) {
        let former = Other {
            radio: self.radio,
            shown: self.shown,
            began: self.began,
        };
        let departed = self.departed_at.get().is_some();
        if former.radio != NOWHERE && !departed {
            self.more().others.push(former);
        }
        self.own(new);
        let was = self.ambiguous();
        self.count_change(step);
        let ambiguous = self.ambiguous();
        if ambiguous && !was {
            for i in 0..self.others().len() {
                step.verdict(self.mac, self.others()[i].radio, false, true);
            }
        }
        if former.radio != NOWHERE && (departed || !ambiguous) {
            step.verdict(self.mac, former.radio, true, false);
        }
        step.verdict(self.mac, new.radio, false, ambiguous);
    }

    fn own(&mut self, owner: Other) {
        (self.radio, self.shown, self.began) = (owner.radio, owner.shown, owner.began);
        self.departed_at = Maybe::NONE;
    }

    fn count_change(&mut self, step: &Step<'_>) {
        let at = step.stamp.at;
        let since = at - step.t.ambiguous_window;
        let before = self.changed_at.get();
        let newest = before.map_or(at, |before| before.max(at));
        self.changed_at = Some(newest).into();
        let limit = usize::from(step.t.ambiguous_owners);
        if before.is_some_and(|before| before > since) || self.more.is_some() || limit == 0 {
            let more = self.more();
            more.changes.extend(before.map(|before| before.min(at)));
            more.changes.retain(|change| *change > since);
            more.ambiguous |= more.changes.len() + 1 > limit;
            let surplus = more.changes.len().saturating_sub(limit + 1);
            more.changes.drain(..surplus);
        }
    }

    fn departed(&mut self, radio: u32, step: &mut Step<'_>) {
        if self.radio == radio {
            self.departed_at = Some(step.stamp.at).into();
        } else if self.leave(radio).is_some() && self.ambiguous() {
            step.verdict(self.mac, radio, self.radio != NOWHERE, false);
        }
    }

    /// An association is gone for good: its access point was deleted, or its radio belongs to another one.
    fn dropped(&mut self, radio: u32, step: &mut Step<'_>) {
        self.unshow_all(radio);
        if self.radio != radio {
            self.departed(radio, step);
            return;
        }
        let others = self.others().iter().copied();
        let greatest = others.max_by_key(|other| (other.began, step.place(other.radio)));
        self.own(Other {
            radio: NOWHERE,
            shown: NOBODY,
            began: Timestamp(0),
        });
        if let Some(next) = greatest {
            self.leave(next.radio);
            self.own(next);
        }
        if self.ambiguous() {
            step.verdict(self.mac, radio, self.radio != NOWHERE, false);
        } else if self.radio != NOWHERE {
            step.verdict(self.mac, self.radio, false, false);
        }
    }

    /// The next timer: when, and whether it ends ambiguity (else it drops the departed owner).
    fn next_due(&self, t: &Thresholds) -> Option<(Timestamp, bool)> {
        let departed = self.departed_at.get().filter(|_| self.others().is_empty());
        let drop = departed.map(|at| (at + t.stale_after, false));
        let clear = self.changed_at.get().filter(|_| self.ambiguous());
        let clear = clear.map(|at| (at + t.ambiguous_window, true));
        [drop, clear].into_iter().flatten().min()
    }

    /// Fires what is due ≤ `until`.
    fn fire(&mut self, until: Timestamp, step: &mut Step<'_>) {
        let stamp = step.stamp;
        if (stamp.device, stamp.poll) == (step.floor.device, step.floor.poll) {
            return;
        }
        while let Some((due, clear)) = self.next_due(step.t).filter(|next| next.0 <= until) {
            let device = step.place(self.radio).map_or(stamp.device, |place| place.0);
            let place = Stamp {
                at: due,
                device,
                poll: PollId::default(),
                step: 0,
            };
            (step.stamp, step.at) = (place.max(step.floor), due);
            if clear {
                self.more().ambiguous = false;
                step.verdict(self.mac, self.radio, false, false);
                for i in 0..self.others().len() {
                    step.verdict(self.mac, self.others()[i].radio, true, false);
                }
            } else {
                step.say(self.mac, self.radio, false, false, true);
                self.own(Other {
                    radio: NOWHERE,
                    shown: NOBODY,
                    began: Timestamp(0),
                });
            }
        }
        (step.stamp, step.at) = (stamp, stamp.at);
    }

    /// Whether nothing is left that later changes could depend on.
    fn spent(&self, now: Timestamp, t: &Thresholds) -> bool {
        let recent = self
            .changed_at
            .get()
            .is_some_and(|at| at > now - t.ambiguous_window);
        self.radio == NOWHERE && self.others().is_empty() && !self.ambiguous() && !recent
    }
}

fn hash(tenant: u32, mac: Mac48) -> u64 {
    FixedState::with_seed(0).hash_one((tenant, mac))
}

impl Roaming {
    /// No clients yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            entries: HashTable::new(),
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
        for entry in &mut self.entries {
            for &(radio, by) in &gone {
                entry.unshow(radio, by);
            }
        }
    }

    fn reporter(&mut self, radio: u32, device: DeviceId, source: Source) -> u16 {
        let radio = radio as usize;
        if self.reporters.len() <= radio {
            self.reporters.resize_with(radio + 1, Vec::new);
        }
        let reporters = &mut self.reporters[radio];
        let known = reporters
            .iter()
            .position(|reporter| *reporter == (device, source));
        let i = known.unwrap_or_else(|| {
            reporters.push((device, source));
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
        let mut hit: Vec<(u32, Mac48)> = Vec::new();
        for entry in &self.entries {
            let others = entry.others().iter().map(|other| other.radio);
            if others
                .chain([entry.radio])
                .any(|radio| gone.binary_search(&radio).is_ok())
            {
                hit.push((entry.tenant, entry.mac));
            }
        }
        hit.sort_unstable();
        for key in hit {
            for &radio in &gone {
                self.step(key, stamp, out, |entry, step| entry.dropped(radio, step));
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
                let fresh = || Entry {
                    tenant: key.0,
                    radio: NOWHERE,
                    mac: key.1,
                    shown: NOBODY,
                    began: Timestamp(0),
                    departed_at: Maybe::NONE,
                    changed_at: Maybe::NONE,
                    more: None,
                };
                self.entries
                    .entry(
                        hash(key.0, key.1),
                        |entry| (entry.tenant, entry.mac) == key,
                        |entry| hash(entry.tenant, entry.mac),
                    )
                    .or_insert_with(fresh);
                self.step(key, event.stamp, out, |entry, step| {
                    entry.fire(until, step);
                    entry.appeared(radio, event.association.began, by, step);
                });
            }
            RoamChange::Departed => self.step(key, event.stamp, out, |entry, step| {
                entry.fire(until, step);
                if entry.unshow(radio, by) {
                    entry.departed(radio, step);
                }
            }),
        }
    }

    /// One step on one entry; then its timer is armed.
    fn step(
        &mut self,
        key: (u32, Mac48),
        stamp: Stamp,
        out: &mut Vec<RoamVerdict>,
        act: impl FnOnce(&mut Entry, &mut Step<'_>),
    ) {
        let found = self
            .entries
            .find_mut(hash(key.0, key.1), |e| (e.tenant, e.mac) == key);
        let Some(entry) = found else { return };
        let Some(&tenant) = self.tenants.value(key.0) else {
            return;
        };
        let floor = self.late.get(&key).copied().unwrap_or(NO_FLOOR);
        let (t, radios) = (&self.t, &self.radios);
        act(
            entry,
            &mut Step {
                t,
                radios,
                tenant,
                stamp,
                at: stamp.at,
                floor,
                out,
            },
        );
        if entry.next_due(t).is_some_and(|next| next.0 <= stamp.at) {
            self.late.insert(key, stamp.step(u8::MAX));
        }
        Self::arm(&mut self.wheel, &self.t, entry);
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
            let code = hash(key.0, key.1);
            let Ok(mut found) = self.entries.find_entry(code, |e| (e.tenant, e.mac) == key) else {
                continue;
            };
            let entry = found.get_mut();
            if let Some(more) = &mut entry.more {
                if more.armed < bucket {
                    continue;
                }
                more.armed = UNARMED;
            }
            let stamp = Stamp::end(DeviceId::default());
            let Some(&tenant) = self.tenants.value(key.0) else {
                continue;
            };
            let floor = self.late.get(&key).copied().unwrap_or(NO_FLOOR);
            let (t, radios) = (&self.t, &self.radios);
            entry.fire(
                end,
                &mut Step {
                    t,
                    radios,
                    tenant,
                    stamp,
                    at: end,
                    floor,
                    out,
                },
            );
            if entry.spent(end, &self.t) {
                found.remove();
            } else {
                Self::arm(&mut self.wheel, &self.t, entry);
            }
        }
    }

    /// No timer is due before this; `None` if none is pending.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.wheel.next()
    }

    /// All records with their [`key_group_of_client`], by rising group, tenant and MAC.
    pub fn records(&self) -> Vec<(u8, RoamRecord)> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .filter_map(|entry| Some((*self.tenants.value(entry.tenant)?, entry)))
            .map(|(tenant, entry)| {
                (
                    key_group_of_client(&tenant, entry.mac.into()),
                    tenant,
                    entry,
                )
            })
            .collect();
        all.sort_unstable_by_key(|(group, tenant, entry)| (*group, *tenant, entry.mac));
        all.into_iter()
            .map(|(group, tenant, entry)| (group, self.record(tenant, entry)))
            .collect()
    }

    fn record(&self, tenant: TenantId, entry: &Entry) -> RoamRecord {
        let association = |radio: u32, began: Timestamp| {
            let &(ap_device_id, radio_mac) = self.radios.value(radio)?;
            Some(AssociationRecord {
                ap_device_id,
                radio_mac,
                began_at: began,
            })
        };
        let earlier = entry.more.as_ref().map_or(&[][..], |more| &more.changes);
        RoamRecord {
            tenant_id: tenant,
            mac: entry.mac.into(),
            owner: association(entry.radio, entry.began),
            owner_departed_at: entry.departed_at.get(),
            others: (entry.others().iter())
                .filter_map(|other| association(other.radio, other.began))
                .collect(),
            changes: earlier
                .iter()
                .copied()
                .chain(entry.changed_at.get())
                .collect(),
            ambiguous: entry.ambiguous(),
        }
    }

    /// Whose tables show the associations of [`Roaming::records`], with the same key groups, rising.
    pub fn shown(&self) -> Vec<(u8, ShownRecord)> {
        let mut shown: Vec<Shown> = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let Some(&tenant) = self.tenants.value(entry.tenant) else {
                continue;
            };
            let mac = Mac::from(entry.mac);
            let group = key_group_of_client(&tenant, mac);
            let others = entry
                .others()
                .iter()
                .map(|other| (other.radio, other.shown));
            let also = entry.more.iter().flat_map(|more| more.also.iter().copied());
            for (radio, by) in others.chain(also).chain([(entry.radio, entry.shown)]) {
                let reporter = self
                    .reporters
                    .get(radio as usize)
                    .and_then(|r| r.get(usize::from(by)));
                let (Some(&place), Some(&by)) = (self.radios.value(radio), reporter) else {
                    continue;
                };
                shown.push((group, tenant, place, by, mac));
            }
        }
        shown.sort_unstable();
        let tables = shown.chunk_by(|a, b| (a.0, a.1, a.2, a.3) == (b.0, b.1, b.2, b.3));
        tables.filter_map(shown_record).collect()
    }

    /// Takes records in; says nothing.
    pub fn restore(&mut self, records: Vec<RoamRecord>, shown: Vec<ShownRecord>) {
        for record in records {
            let mut number = |a: &AssociationRecord| Other {
                radio: self.radios.number(&(a.ap_device_id, a.radio_mac)),
                shown: NOBODY,
                began: a.began_at,
            };
            let nowhere = Other {
                radio: NOWHERE,
                shown: NOBODY,
                began: Timestamp(0),
            };
            let owner = record.owner.as_ref().map_or(nowhere, &mut number);
            let others: Vec<_> = record.others.iter().map(&mut number).collect();
            let mut changes = record.changes;
            let changed_at = changes.pop().into();
            let plain = others.is_empty() && changes.is_empty() && !record.ambiguous;
            let more = More {
                others,
                changes,
                ambiguous: record.ambiguous,
                ..More::default()
            };
            let mut entry = Entry {
                tenant: self.tenants.number(&record.tenant_id),
                radio: owner.radio,
                mac: record.mac.into(),
                shown: NOBODY,
                began: owner.began,
                departed_at: record.owner_departed_at.into(),
                changed_at,
                more: (!plain).then(|| Box::new(more)),
            };
            Self::arm(&mut self.wheel, &self.t, &mut entry);
            let code = hash(entry.tenant, entry.mac);
            self.entries
                .insert_unique(code, entry, |e| hash(e.tenant, e.mac));
        }
        for record in shown {
            let tenant = self.tenants.number(&record.tenant_id);
            let radio = self.radios.number(&(record.ap_device_id, record.radio_mac));
            let by = self.reporter(radio, record.reporter, record.source);
            for mac in record.clients.into_iter().map(Mac48::from) {
                let found = self
                    .entries
                    .find_mut(hash(tenant, mac), |e| (e.tenant, e.mac) == (tenant, mac));
                if let Some(entry) = found {
                    entry.show(radio, by);
                }
            }
        }
    }
}

/// A client that a table shows: key group, owner, association's place, whose table, client.
type Shown = (u8, TenantId, (DeviceId, Mac), (DeviceId, Source), Mac);

/// The record of rows that differ in the client only.
fn shown_record(rows: &[Shown]) -> Option<(u8, ShownRecord)> {
    let &(group, tenant_id, (ap_device_id, radio_mac), (reporter, source), _) = rows.first()?;
    let clients = rows.iter().map(|row| row.4).collect();
    Some((
        group,
        ShownRecord {
            tenant_id,
            ap_device_id,
            radio_mac,
            reporter,
            source,
            clients,
        },
    ))
}
