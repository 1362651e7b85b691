//! Access points: each holds its radios' links and hands them, in order, what polls, verdicts, stations and timers say.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::{ApFlagsRecord, ApRecord};
use mast_schemas::partition::{key_group, mix};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};

use crate::compact::{Map, Maybe, insert_tight};
use crate::limits::ApLimits;
use crate::messages::{ApInput, ApOut, ApStatus, DeviceControl, LinkCore};
use crate::radio::{ApSeen, Bins, Radio, Step};
use crate::timers::{UNARMED, Wheel};

/// An hour of an access point.
const HOUR: Span = Span::hours(1);

/// All access points of a worker.
#[derive(Debug)]
pub struct Aps {
    t: Thresholds,
    /// Boxed: a table is half empty after it has doubled.
    aps: Map<DeviceId, Box<Ap>>,
    /// What counts as bad, of devices for which a place says it.
    limits: Map<DeviceId, ApLimits>,
    /// Devices that are unobserved or unmanageable, with links or without.
    unobserved: BTreeSet<DeviceId>,
    wheel: Wheel<DeviceId>,
    before: BTreeMap<LinkId, Option<LinkCore>>,
    /// Access points with a verdict whose table has not come yet.
    waiting: BTreeSet<DeviceId>,
    bins: Bins,
    pending: Vec<ApInput>,
    slot_end: Timestamp,
}

#[derive(Debug)]
struct Ap {
    tenant: TenantId,
    /// Bucket of its entry in the wheel.
    armed: i64,
    /// By rising BSSID.
    radios: Vec<Radio>,
    /// End of the hour whose samples the links add up; of links without samples there is none.
    hour: Maybe,
}

impl Ap {
    const fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            armed: UNARMED,
            radios: Vec::new(),
            hour: Maybe::NONE,
        }
    }

    fn place(&self, mac: Mac) -> Result<usize, usize> {
        self.radios.binary_search_by_key(&mac, |radio| radio.mac)
    }

    fn find(&mut self, mac: Mac) -> Option<&mut Radio> {
        let i = self.place(mac).ok()?;
        Some(&mut self.radios[i])
    }

    fn radio(&mut self, mac: Mac) -> &mut Radio {
        let i = match self.place(mac) {
            Ok(i) => i,
            Err(i) => {
                insert_tight(&mut self.radios, i, Radio::new(mac));
                i
            }
        };
        &mut self.radios[i]
    }

    /// Fires what is due ≤ `until`: the end of the hour, and of one link, of one radio, or of all.
    fn fire(&mut self, step: &mut Step<'_>, until: Timestamp, only: Option<(Mac, Option<Mac>)>) {
        // The bucket is the slot in which it is due, so that it may be due as soon as that begins.
        if self.armed.saturating_sub(1).saturating_mul(SLOT.0) >= until.0 {
            return;
        }
        if let Some(end) = self.hour.get().filter(|end| *end <= until) {
            self.hour = Maybe::NONE;
            for radio in &mut self.radios {
                radio.end_hour(step, end);
            }
        }
        for radio in &mut self.radios {
            match only {
                None => radio.fire(step, until, None),
                Some((mac, client)) if mac == radio.mac => radio.fire(step, until, client),
                Some(_) => {}
            }
        }
    }

    /// If the step gave a link a sample: that of the hour that lasts after `at`.
    fn begin_hour(&mut self, step: &mut Step<'_>, at: Timestamp) {
        if step.heard && self.hour == Maybe::NONE {
            let end = hour_end(&step.ap, at);
            self.hour = Some(end).into();
            step.due = Some(step.due.map_or(end, |due| due.min(end)));
        }
    }
}

/// The end of the hour of an access point that lasts after `at`.
fn hour_end(ap: &DeviceId, at: Timestamp) -> Timestamp {
    let offset = i64::try_from(mix(ap.as_bytes()) % 3_600).unwrap_or(0) * 1_000_000;
    at + Span(HOUR.0 - (at.0 - offset).rem_euclid(HOUR.0))
}

impl Aps {
    /// No access points yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            aps: Map::default(),
            limits: Map::default(),
            unobserved: BTreeSet::new(),
            wheel: Wheel::default(),
            before: BTreeMap::new(),
            waiting: BTreeSet::new(),
            bins: Bins::default(),
            pending: Vec::new(),
            slot_end: Timestamp(i64::MIN),
        }
    }

    /// Opens a slot that begins at `begin`; links of deleted access points are forgotten. What counts as bad is judged anew
    /// from the next table on.
    pub fn begin_slot(&mut self, begin: Timestamp, control: &[DeviceControl], out: &mut ApOut) {
        self.slot_end = begin + SLOT;
        for change in control {
            if let Some(info) = &change.info {
                if info.limits == ApLimits::of(&self.t) {
                    self.limits.remove(&change.device);
                } else {
                    self.limits.insert(change.device, info.limits);
                }
                continue;
            }
            self.on(change.device, None, out, |ap, step| {
                ap.radios
                    .iter_mut()
                    .for_each(|radio| radio.forget_all(step, begin));
            });
            self.aps.remove(&change.device);
            self.limits.remove(&change.device);
            self.unobserved.remove(&change.device);
        }
    }

    /// Runs a step on an access point; `tenant` makes it if it is not there. Then its timer is armed.
    fn on(
        &mut self,
        id: DeviceId,
        tenant: Option<TenantId>,
        out: &mut ApOut,
        act: impl FnOnce(&mut Ap, &mut Step<'_>),
    ) {
        let ap = match tenant {
            Some(tenant) => self
                .aps
                .entry(id)
                .or_insert_with(|| Box::new(Ap::new(tenant))),
            None => match self.aps.get_mut(&id) {
                Some(ap) => ap,
                None => return,
            },
        };
        let mut step = Step {
            t: &self.t,
            limits: self.limits.get(&id),
            tenant: ap.tenant,
            ap: id,
            unobserved: self.unobserved.contains(&id),
            before: &mut self.before,
            bins: &mut self.bins,
            out,
            due: None,
            heard: false,
        };
        act(ap, &mut step);
        step.flush_signals();
        if let Some(due) = step.due {
            self.wheel.arm(due, id, &mut ap.armed);
        }
    }

    /// One input; a slot's inputs are given by rising [`ApInput::stamp`]. What belongs to the slot's end is kept for it.
    pub fn apply(&mut self, input: ApInput, out: &mut ApOut) {
        let stamp = input.stamp();
        if stamp.is_end() {
            self.pending.push(input);
            return;
        }
        self.act(input, stamp.at, stamp.at.min(self.slot_end), out);
    }

    fn act(&mut self, input: ApInput, at: Timestamp, until: Timestamp, out: &mut ApOut) {
        let begin = self.slot_end - SLOT;
        match input {
            ApInput::Status(status) => self.status(&status, at, until, out),
            ApInput::Verdict(verdict) => {
                let at = match verdict.at.0 {
                    i64::MIN => self.slot_end - SLOT,
                    i64::MAX => self.slot_end,
                    _ => verdict.at,
                };
                let marks = verdict.roamed || verdict.ambiguous;
                self.waiting.insert(verdict.ap);
                self.on(
                    verdict.ap,
                    marks.then_some(verdict.tenant),
                    out,
                    |ap, step| {
                        if let Some(radio) = ap.find(verdict.radio) {
                            radio.begin_poll(&verdict.stamp);
                        }
                        ap.fire(step, until, Some((verdict.radio, Some(verdict.mac))));
                        if marks || ap.find(verdict.radio).is_some() {
                            ap.radio(verdict.radio).verdict(step, &verdict, at);
                        }
                    },
                );
            }
            ApInput::Table(table) => {
                self.on(table.ap, Some(table.tenant), out, |ap, step| {
                    ap.radio(table.radio).begin_poll(&table.stamp);
                    ap.fire(step, until, Some((table.radio, None)));
                    ap.radio(table.radio).table(step, &table);
                    ap.begin_hour(step, until.max(begin));
                });
            }
            ApInput::Station { ap, fact } => self.on(ap, None, out, |ap, step| {
                if let Some(radio) = ap.find(fact.radio) {
                    radio.begin_poll(&fact.stamp);
                }
                ap.fire(step, until, Some((fact.radio, Some(fact.mac))));
                if let Some(radio) = ap.find(fact.radio) {
                    radio.station(step, &fact, at);
                }
            }),
            ApInput::RadioMoved { ap, radio } => self.on(ap, None, out, |ap, step| {
                ap.radio(radio).forget_all(step, at);
                ap.radios.retain(|known| known.mac != radio);
            }),
            ApInput::Reporter {
                ap,
                radio,
                reporter,
                unobserved,
            } => {
                self.on(ap, None, out, |ap, step| {
                    if let Some(radio) = ap.find(radio) {
                        radio.report(step, reporter, unobserved);
                    }
                });
            }
        }
    }

    fn status(&mut self, status: &ApStatus, at: Timestamp, until: Timestamp, out: &mut ApOut) {
        let unobserved = matches!(
            status.state,
            DeviceState::Unobserved | DeviceState::Unmanageable
        );
        self.on(status.device, None, out, |ap, step| {
            ap.fire(step, until, None);
            ap.radios.iter().for_each(|radio| radio.remember_all(step));
            if status.state == DeviceState::Offline {
                ap.radios
                    .iter_mut()
                    .for_each(|radio| radio.offline(step, at));
            }
        });
        if unobserved {
            self.unobserved.insert(status.device);
        } else {
            self.unobserved.remove(&status.device);
        }
    }

    /// Closes the slot: pending timers due ≤ `end`, then what belongs to the slot's end, then the links that changed.
    pub fn end_slot(&mut self, end: Timestamp, slot_end: &mut Vec<ApInput>, out: &mut ApOut) {
        self.fire_due(end, out);
        self.pending.append(slot_end);
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_by_key(|input| (input.ap(), order_at_end(input)));
        for input in pending {
            self.act(input, end, Timestamp(i64::MIN), out);
        }
        self.fire_due(end, out);
        self.flush(out);
    }

    /// After the last poll, or the last message of the slot's end.
    fn fire_due(&mut self, end: Timestamp, out: &mut ApOut) {
        for id in std::mem::take(&mut self.waiting) {
            let Some(ap) = self.aps.get_mut(&id) else {
                continue;
            };
            ap.radios.retain_mut(|radio| !radio.end_polls());
            if ap.radios.is_empty() {
                self.aps.remove(&id);
            }
        }
        for (bucket, id) in self.wheel.take(end) {
            if self.aps.get(&id).is_none_or(|ap| ap.armed != bucket) {
                continue;
            }
            self.on(id, None, out, |ap, step| {
                ap.fire(step, end, None);
                ap.armed = UNARMED;
                step.due = ap
                    .radios
                    .iter()
                    .filter_map(|radio| radio.next_due(step.t))
                    .chain(ap.hour.get())
                    .min();
            });
        }
    }

    fn now(&self, link: &LinkId) -> Option<LinkCore> {
        let id = link.ap_device_id;
        let ap = self.aps.get(&id).filter(|ap| ap.tenant == link.tenant_id)?;
        let radio = &ap.radios[ap.place(link.radio_mac).ok()?];
        let unobserved = self.unobserved.contains(&id);
        radio.core(ApSeen { id, unobserved }, link.mac)
    }

    /// A link as it was last told: as of the end of the newest slot that is closed.
    pub fn told(&self, link: &LinkId) -> Option<LinkCore> {
        match self.before.get(link) {
            Some(before) => before.clone(),
            None => self.now(link),
        }
    }

    fn flush(&mut self, out: &mut ApOut) {
        for (id, before) in std::mem::take(&mut self.before) {
            let now = self.now(&id);
            if before != now {
                out.links.push((id, before, now));
            }
        }
        out.signals.sort_unstable();
        out.signals.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same {
                kept.2 += next.2;
            }
            same
        });
        out.signals.retain(|signal| signal.2 != 0);
    }

    /// No timer is due before this; `None` if none is pending.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.wheel.next()
    }

    /// All records with their key groups, by rising group and id.
    pub fn records(&self) -> Vec<(u8, ApRecord)> {
        let aps = self.aps.iter();
        let mut all: Vec<_> = aps
            .map(|(id, ap)| (key_group(id.as_bytes()), *id, &**ap))
            .collect();
        all.sort_unstable_by_key(|(group, id, _)| (*group, *id));
        let record = |(group, device_id, ap): (u8, DeviceId, &Ap)| {
            let radios = ap.radios.iter().map(Radio::record).collect();
            let tenant_id = ap.tenant;
            (
                group,
                ApRecord {
                    device_id,
                    tenant_id,
                    radios,
                },
            )
        };
        all.into_iter().map(record).collect()
    }

    /// What links know of statuses, with key groups, by rising group and id; only where there is something to know.
    pub fn flags(&self) -> Vec<(u8, ApFlagsRecord)> {
        let ids: BTreeSet<_> = self
            .unobserved
            .iter()
            .chain(self.aps.keys())
            .map(|id| (key_group(id.as_bytes()), *id))
            .collect();
        let flags = ids.into_iter().map(|(group, id)| {
            let radios = self.aps.get(&id).map_or(&[][..], |ap| &ap.radios);
            let mut reporters: Vec<_> = radios
                .iter()
                .flat_map(|radio| radio.unobserved().map(|device| (radio.mac, device)))
                .collect();
            reporters.dedup();
            let verdicts = radios.iter().flat_map(|radio| {
                let marks = radio.marks();
                marks
                    .map(|(mac, roamed, ambiguous, kept)| (radio.mac, mac, roamed, ambiguous, kept))
            });
            let flags = ApFlagsRecord {
                device_id: id,
                unobserved: self.unobserved.contains(&id),
                reporters,
                verdicts: verdicts.collect(),
            };
            (group, flags)
        });
        flags
            .filter(|(_, f)| f.unobserved || !f.reporters.is_empty() || !f.verdicts.is_empty())
            .collect()
    }

    /// Takes records of the end of a slot, `now`, in. `out` gets each link as new, and its signal; no events.
    pub fn restore(
        &mut self,
        now: Timestamp,
        aps: Vec<ApRecord>,
        flags: Vec<ApFlagsRecord>,
        out: &mut ApOut,
    ) {
        let ids: Vec<_> = aps.iter().map(|record| record.device_id).collect();
        for record in aps {
            let mut ap = Ap::new(record.tenant_id);
            ap.radios = record.radios.into_iter().map(Radio::restore).collect();
            ap.radios.sort_by_key(|radio| radio.mac);
            self.aps.insert(record.device_id, Box::new(ap));
        }
        for flags in flags {
            if flags.unobserved {
                self.unobserved.insert(flags.device_id);
            }
            let Some(ap) = self.aps.get_mut(&flags.device_id) else {
                continue;
            };
            for (radio, device) in flags.reporters {
                ap.radio(radio).set_unobserved(device);
            }
            for (radio, mac, roamed, ambiguous, kept) in flags.verdicts {
                ap.radio(radio).restore_mark((mac, roamed, ambiguous, kept));
            }
        }
        for id in ids {
            self.on(id, None, out, |ap, step| {
                ap.radios.iter().for_each(|radio| radio.announce(step));
                step.heard = ap.radios.iter().any(Radio::was_heard);
                ap.begin_hour(step, now);
            });
        }
        self.flush(out);
    }
}

/// Links move before their new access point hears of reporters.
const fn order_at_end(input: &ApInput) -> u8 {
    match input {
        ApInput::RadioMoved { .. } => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
