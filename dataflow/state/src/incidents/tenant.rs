//! One tenant at the end of a slot: alerts that something happened to are judged, put together by their roots, and told.
//!
//! The trap avoided: looking at all alerts because one changed. Whoever is judged says what the answer depends on, and is
//! judged again when that changes; a group of one root knows its incident, so that one more alert asks for no other.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::alerts::{IncidentChange, IncidentId, Root, incident_id};
use mast_schemas::checkpoint::{AlertRecord, IncidentRecord};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::{TenantId, Timestamp};

use crate::compact::{Map, Slab};
use crate::incidents::IncidentOut;
use crate::incidents::alerts::{Alert, Alerts};
use crate::incidents::incident::{Incident, Member};
use crate::incidents::parents::{Key, Parents, Walk};
use crate::incidents::status::{Facts, Verdict, waits};
use crate::incidents::windows::Windows;
use crate::messages::{IncidentInput, RuleChange, RuleTurn};
use crate::timers::{UNARMED, Wheel};

/// Timers of a worker: (tenant, alert); [`EDGE`] stands for the tenant's windows.
pub(super) type Timers = Wheel<(u32, u32)>;

/// A timer of windows.
const EDGE: u32 = u32::MAX;

/// Alerts that take part and have one root.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    alerts: u32,
    /// Of these, of kinds that wait: by them it is clear what died.
    deciding: u32,
    incident: Option<u32>,
}

/// All of a tenant.
#[derive(Debug)]
pub(super) struct Tenant {
    id: TenantId,
    number: u32,
    t: Thresholds,
    parents: Parents,
    windows: Windows,
    /// Windows were edited: one may have closed thereby.
    edited: bool,
    /// Bucket of the windows' entry in the wheel.
    armed: i64,
    alerts: Alerts,
    incidents: Slab<Incident>,
    open: BTreeMap<IncidentId, u32>,
    groups: Map<Root, Group>,
    /// Alerts that are decided with the first of their root that is.
    followers: Map<Root, BTreeSet<u32>>,
    /// Incidents by their root.
    rooted: Map<Root, BTreeSet<u32>>,
    /// Which incidents ask again for the ancestors of their root.
    asked: Map<Key, BTreeSet<u32>>,
    /// To be judged at the slot's end.
    stirred: BTreeSet<u32>,
    /// Incidents to be looked at at the slot's end.
    touched: BTreeSet<u32>,
    /// Alerts that went to an incident in this slot by what became of others.
    moved: BTreeSet<u32>,
}

impl Tenant {
    pub(super) fn new(id: TenantId, number: u32, t: Thresholds) -> Self {
        Self {
            id,
            number,
            t,
            parents: Parents::default(),
            windows: Windows::default(),
            edited: false,
            armed: UNARMED,
            alerts: Alerts::default(),
            incidents: Slab::default(),
            open: BTreeMap::new(),
            groups: Map::default(),
            followers: Map::default(),
            rooted: Map::default(),
            asked: Map::default(),
            stirred: BTreeSet::new(),
            touched: BTreeSet::new(),
            moved: BTreeSet::new(),
        }
    }

    /// Takes in what happened in the slot.
    pub(super) fn apply(&mut self, input: IncidentInput, out: &mut IncidentOut) {
        match input {
            IncidentInput::Device { device, info, .. } => {
                self.parents.device(device, info.as_ref());
            }
            IncidentInput::Condition(c) => {
                self.parents.condition(c.device, c.offline, c.failing);
            }
            IncidentInput::Link { joint, came } => self.parents.link(&joint, came),
            IncidentInput::Down { ap, more, .. } => {
                self.parents.down(ap, more);
                let of = self.alerts.of(Root::Device(ap));
                let incidents: BTreeSet<u32> =
                    of.filter_map(|alert| self.alerts[alert].incident).collect();
                for incident in incidents {
                    self.incidents[incident].down(&ap, i64::from(more));
                    self.touched.insert(incident);
                }
            }
            IncidentInput::Core { site, core, .. } => self.parents.core(site, core),
            IncidentInput::Window(window) => {
                self.edited = true;
                self.windows.put(window);
            }
            IncidentInput::WindowGone { id, .. } => {
                self.edited = true;
                self.windows.remove(id);
            }
            IncidentInput::Rule(change) => self.rule(&change, out),
        }
    }

    fn rule(&mut self, change: &RuleChange, out: &mut IncidentOut) {
        let place = self.alerts.place_of(change);
        if change.turn != RuleTurn::Severity
            && let Some(place) = place
        {
            self.resolve(place, out);
        }
        let place = self.alerts.apply(change, &self.t);
        self.stirred.insert(place);
    }

    /// Takes an alert out of where it counts.
    fn resolve(&mut self, place: u32, out: &mut IncidentOut) {
        if let Some(incident) = self.alerts[place].incident {
            if let Some(member) = self.member(place) {
                self.incidents[incident].remove(member);
            }
            self.touched.insert(incident);
        }
        let alert = &mut self.alerts[place];
        if let (Some(open), Some(_)) = (alert.open, alert.shown.take()) {
            out.alerts.push((open.id, None));
        }
        alert.incident = None;
        if let Some(counted) = alert.counted.take() {
            self.leave(place, counted);
        }
    }

    /// Takes an alert out of those that take part with this root, or that follow them.
    fn leave(&mut self, place: u32, (root, took_part): (Root, bool)) {
        if !took_part {
            if let Some(followers) = self.followers.get_mut(&root) {
                followers.remove(&place);
                if followers.is_empty() {
                    self.followers.remove(&root);
                }
            }
            return;
        }
        let decides = waits(self.alerts[place].kind);
        if let Some(group) = self.groups.get_mut(&root) {
            group.alerts -= 1;
            group.deciding -= u32::from(decides);
            if group.alerts == 0 {
                self.groups.remove(&root);
            }
        }
    }

    /// One alert more takes part with this root.
    fn come(&mut self, place: u32, root: Root) {
        let decides = waits(self.alerts[place].kind);
        let group = self.groups.entry(root).or_default();
        group.alerts += 1;
        group.deciding += u32::from(decides);
    }

    /// An alert as incidents count it.
    fn member(&self, place: u32) -> Option<Member> {
        let alert = &self.alerts[place];
        let ((at, id), (root, takes_part)) = (alert.order()?, alert.counted?);
        let device = match alert.target() {
            Root::Device(device) => Some((device, self.parents.downs(device))),
            Root::Site(_) | Root::Sector(_) => None,
        };
        Some(Member {
            place: (at, id, place),
            root,
            takes_part,
            severity: alert.severity,
            device,
        })
    }

    /// A timer of this tenant came up. Whether it was still awaited.
    pub(super) fn timer(&mut self, bucket: i64, which: u32) -> bool {
        let armed = if which == EDGE {
            &mut self.armed
        } else {
            &mut self.alerts[which].armed
        };
        let awaited = *armed == bucket;
        if awaited {
            *armed = UNARMED;
            if which != EDGE {
                self.stirred.insert(which);
            }
        }
        awaited
    }

    /// Closes the slot that ends at `now`.
    pub(super) fn end_slot(&mut self, now: Timestamp, timers: &mut Timers, out: &mut IncidentOut) {
        if self.windows.advance(now) | std::mem::take(&mut self.edited) {
            self.stirred.extend(self.alerts.all());
        }
        if let Some(edge) = self.windows.edge() {
            timers.arm(edge, (self.number, EDGE), &mut self.armed);
        }
        for key in self.parents.stirred() {
            self.stirred.extend(self.alerts.dependents(&key));
            self.touched
                .extend(self.asked.get(&key).into_iter().flatten());
        }
        let stirred = std::mem::take(&mut self.stirred);
        let judged: Vec<_> = stirred
            .iter()
            .filter_map(|place| self.judge(*place, now, timers))
            .collect();
        let joining = self.count(judged);
        self.join(joining, now, out);
        self.settle(now, out);
        let moved = std::mem::take(&mut self.moved);
        for place in stirred.union(&moved) {
            self.show(*place, out);
        }
    }

    /// What is so of an alert now. `None` if it is not open.
    fn judge(&mut self, place: u32, now: Timestamp, timers: &mut Timers) -> Option<(u32, Verdict)> {
        let (number, t) = (self.number, self.t);
        let alert = &self.alerts[place];
        let Some(open) = alert.open else {
            let due = alert.forgotten_at(&t);
            match due.filter(|due| *due > now) {
                Some(due) => {
                    self.alerts.depends(place, &[]);
                    timers.arm(due, (number, place), &mut self.alerts[place].armed);
                }
                None => self.alerts.forget(place),
            }
            return None;
        };
        let target = alert.target();
        let walk = self.parents.walk(target);
        let cause = self.cause(&walk);
        let root = cause.map_or(target, Root::Device);
        let alert = &self.alerts[place];
        let flaps_until = alert.flaps_until(now, &t);
        let failing = walk.ancestors.iter().any(|n| self.parents.is_failing(*n));
        let facts = Facts {
            kind: alert.kind,
            opened_at: open.at,
            told: alert.told,
            maintenance: self.in_maintenance(target) || self.in_maintenance(root),
            flapping: flaps_until.is_some(),
            dependent: cause.is_some(),
            failing,
        };
        let verdict = facts.verdict(root, now, &t);
        self.alerts.depends(place, &walk.asked);
        let settles = facts.settled_at(&t).filter(|at| *at > now);
        let alert = &mut self.alerts[place];
        alert.cause = cause;
        if let Some(due) = settles.into_iter().chain(flaps_until).min() {
            timers.arm(due, (number, place), &mut alert.armed);
        }
        Some((place, verdict))
    }

    /// The farthest ancestor that is offline.
    fn cause(&self, walk: &Walk) -> Option<mast_schemas::DeviceId> {
        let mut ancestors = walk.ancestors.iter().rev();
        let farthest = ancestors.find(|n| self.parents.is_offline(**n));
        farthest.map(|n| self.parents.id(*n))
    }

    fn in_maintenance(&self, root: Root) -> bool {
        let site = self.parents.site(root);
        match root {
            Root::Device(device) => self.windows.device(device, site),
            Root::Site(_) | Root::Sector(_) => self.windows.site(site),
        }
    }

    /// Counts alerts as they were judged, and says which are new with a root. Who leaves does so before anybody comes: whether
    /// a group was there before must not depend on the order.
    fn count(&mut self, judged: Vec<(u32, Verdict)>) -> BTreeMap<Root, Vec<u32>> {
        let mut came = Vec::new();
        let mut followed = BTreeSet::new();
        for (place, verdict) in judged {
            let now = (verdict.root, verdict.takes_part);
            let alert = &mut self.alerts[place];
            alert.told |= verdict.takes_part;
            alert.verdict = Some(verdict);
            let before = alert.counted.replace(now);
            if let Some(incident) = alert.incident {
                self.touched.insert(incident);
                match before {
                    Some(before) => self.incidents[incident].change(before, now),
                    // It was restored.
                    None => self.enter(place, incident),
                }
                let severity = &mut self.incidents[incident].severity;
                *severity = (*severity).max(self.alerts[place].severity);
            }
            if before == Some(now) && verdict.takes_part {
                continue;
            }
            if let Some(before) = before {
                self.leave(place, before);
            }
            if verdict.takes_part {
                came.push((place, verdict.root));
            } else if verdict.follows() {
                let followers = self.followers.entry(verdict.root).or_default();
                followers.insert(place);
                followed.insert(verdict.root);
            }
        }
        let mut joining: BTreeMap<Root, Vec<u32>> = BTreeMap::new();
        for (place, root) in came {
            self.come(place, root);
            joining.entry(root).or_default().push(place);
        }
        followed.extend(joining.keys());
        for root in followed {
            let followers = self.decide(root);
            if !followers.is_empty() {
                joining.entry(root).or_default().extend(followers);
            }
        }
        joining
    }

    /// Who follows takes part, if it is clear that the root died.
    fn decide(&mut self, root: Root) -> BTreeSet<u32> {
        if self.groups.get(&root).is_none_or(|g| g.deciding == 0) {
            return BTreeSet::new();
        }
        let followers = self.followers.remove(&root).unwrap_or_default();
        for place in &followers {
            let alert = &mut self.alerts[*place];
            alert.told = true;
            if let Some(verdict) = &mut alert.verdict {
                verdict.takes_part = true;
            }
            alert.counted = Some((root, true));
            self.come(*place, root);
        }
        self.moved.extend(&followers);
        followers
    }

    fn enter(&mut self, place: u32, incident: u32) {
        self.alerts[place].incident = Some(incident);
        if let Some(member) = self.member(place) {
            self.incidents[incident].add(member);
        }
    }

    /// Puts alerts that take part together by their roots.
    fn join(&mut self, joining: BTreeMap<Root, Vec<u32>>, now: Timestamp, out: &mut IncidentOut) {
        // Incidents that a root joins, each with the one that takes their alerts.
        let mut takers: BTreeMap<u32, u32> = BTreeMap::new();
        let taker_of = |takers: &BTreeMap<u32, u32>, mut incident: u32| {
            while let Some(taker) = takers.get(&incident).filter(|taker| **taker != incident) {
                incident = *taker;
            }
            incident
        };
        let mut homes = Vec::with_capacity(joining.len());
        for (root, alerts) in &joining {
            let mut joined: BTreeSet<u32> = BTreeSet::new();
            joined.extend(self.groups.get(root).and_then(|group| group.incident));
            joined.extend(
                alerts
                    .iter()
                    .filter_map(|place| self.alerts[*place].incident),
            );
            joined.extend(self.rooted.get(root).into_iter().flatten());
            let joined = joined.into_iter().map(|n| taker_of(&takers, n));
            let joined: BTreeSet<u32> = joined.collect();
            let first = joined.iter().min_by_key(|n| self.incidents[**n].order());
            let first = first.copied();
            homes.push(first);
            for n in joined {
                takers.insert(n, first.unwrap_or(n));
            }
        }
        let taken: Vec<_> = takers
            .keys()
            .map(|n| (*n, taker_of(&takers, *n)))
            .filter(|(n, taker)| n != taker)
            .collect();
        for (n, taker) in taken {
            self.merge(n, taker, now, out);
        }
        for ((root, alerts), home) in joining.into_iter().zip(homes) {
            let home = home.map(|home| taker_of(&takers, home));
            let Some(incident) = home.or_else(|| self.open(root, &alerts, now)) else {
                continue;
            };
            self.touched.insert(incident);
            if let Some(group) = self.groups.get_mut(&root) {
                group.incident = Some(incident);
            }
            for place in alerts {
                if self.alerts[place].incident.is_none() {
                    self.enter(place, incident);
                }
            }
        }
    }

    /// Opens an incident for alerts of one root; `None` if there are none.
    fn open(&mut self, root: Root, alerts: &[u32], now: Timestamp) -> Option<u32> {
        let of = |place: &u32| {
            let alert = &self.alerts[*place];
            alert
                .order()
                .map(|order| (order, alert.kind, alert.severity))
        };
        let ((_, alert), kind, severity) = alerts.iter().filter_map(of).min_by_key(|of| of.0)?;
        let record = IncidentRecord {
            tenant_id: self.id,
            incident_id: incident_id(self.id, alert),
            root,
            kind,
            severity,
            opened_at: now,
        };
        Some(self.insert(Incident::new(&record, true)))
    }

    fn insert(&mut self, incident: Incident) -> u32 {
        let (id, root) = (incident.id, incident.root);
        let n = self.incidents.put(incident);
        self.open.insert(id, n);
        self.rooted.entry(root).or_default().insert(n);
        self.touched.insert(n);
        n
    }

    /// Closes an incident.
    fn close(&mut self, n: u32, out: &mut IncidentOut) {
        self.depends(n, &[]);
        let incident = &mut self.incidents[n];
        let (id, root) = (incident.id, incident.root);
        if incident.shown.take().is_some() {
            out.incidents.push((id, None));
        }
        self.open.remove(&id);
        self.unroot(n, root);
        self.incidents.free(n);
    }

    fn unroot(&mut self, n: u32, root: Root) {
        if let Some(rooted) = self.rooted.get_mut(&root) {
            rooted.remove(&n);
            if rooted.is_empty() {
                self.rooted.remove(&root);
            }
        }
    }

    /// Gives an incident's alerts to another one.
    fn merge(&mut self, from: u32, to: u32, now: Timestamp, out: &mut IncidentOut) {
        let alerts = std::mem::take(&mut self.incidents[from].alerts);
        for (.., place) in alerts {
            self.enter(place, to);
            self.moved.insert(place);
        }
        for root in self.incidents[from].taking_part_roots() {
            if let Some(group) = self.groups.get_mut(&root) {
                group.incident = Some(to);
            }
        }
        let into = Some(self.incidents[to].id);
        let merged = IncidentChange::Merged;
        out.events
            .push(self.incidents[from].event(self.id, now, merged, into));
        self.close(from, out);
        self.touched.insert(to);
    }

    /// Notes what an incident's root depends on.
    fn depends(&mut self, n: u32, on: &[Key]) {
        if *self.incidents[n].asked == *on {
            return;
        }
        let before = std::mem::replace(&mut self.incidents[n].asked, on.into());
        for key in &before {
            if let Some(who) = self.asked.get_mut(key) {
                who.remove(&n);
                if who.is_empty() {
                    self.asked.remove(key);
                }
            }
        }
        for key in on {
            self.asked.entry(*key).or_default().insert(n);
        }
    }

    /// Roots, ends and what people are told of incidents that something happened to.
    fn settle(&mut self, now: Timestamp, out: &mut IncidentOut) {
        for n in std::mem::take(&mut self.touched) {
            if self.open.get(&self.incidents[n].id) != Some(&n) {
                continue;
            }
            let rerooted = self.reroot(n);
            if self.incidents[n].new || rerooted.is_some() {
                self.rekind(n);
            }
            let incident = &mut self.incidents[n];
            let change = if incident.alerts.is_empty() {
                Some(IncidentChange::Resolved)
            } else if std::mem::take(&mut incident.new) {
                Some(IncidentChange::Opened)
            } else {
                let more = incident.severity > incident.told_severity;
                (more || rerooted == Some(true)).then_some(IncidentChange::Escalated)
            };
            incident.told_severity = incident.severity;
            if let Some(change) = change {
                out.events.push(incident.event(self.id, now, change, None));
            }
            if change == Some(IncidentChange::Resolved) {
                self.close(n, out);
                continue;
            }
            let view = Some(incident.view(self.id));
            if incident.shown != view {
                incident.shown = view;
                out.incidents.push((incident.id, view));
            }
        }
    }

    /// Gives an incident the root that it has now. If that is another one: whether it is an offline ancestor of the old one.
    fn reroot(&mut self, n: u32) -> Option<bool> {
        let old = self.incidents[n].root;
        let walk = self.parents.walk(old);
        let ancestors = walk.ancestors.iter();
        let above: Vec<_> = ancestors
            .filter(|n| self.parents.is_offline(**n))
            .map(|n| Root::Device(self.parents.id(*n)))
            .collect();
        let offline = self.parents.root_is_offline(old);
        let new = self.incidents[n].next_root(offline, above.iter().copied());
        if new == old {
            self.depends(n, &walk.asked);
            return None;
        }
        let walk = self.parents.walk(new);
        self.depends(n, &walk.asked);
        self.unroot(n, old);
        self.incidents[n].root = new;
        self.rooted.entry(new).or_default().insert(n);
        Some(above.contains(&new))
    }

    /// The kind of the first alert of an incident's root, or of its first alert.
    fn rekind(&mut self, n: u32) {
        let root = self.incidents[n].root;
        let of_root = self.alerts.of(root).map(|place| &self.alerts[place]);
        let of_root = of_root.filter(|alert| alert.incident == Some(n));
        let first = of_root.min_by_key(|alert| alert.order());
        let first = first.or_else(|| {
            let first = self.incidents[n].alerts.first();
            first.map(|(.., place)| &self.alerts[*place])
        });
        if let Some(kind) = first.map(|alert| alert.kind) {
            self.incidents[n].kind = kind;
        }
    }

    /// Tells of an alert, if there is something to tell.
    fn show(&mut self, place: u32, out: &mut IncidentOut) {
        if self.alerts[place].show() {
            let incidents = |n| self.incidents[n].id;
            let view = self.alerts[place].view(self.id, incidents);
            out.alerts
                .extend(view.map(|view| (view.alert_id, Some(view))));
        }
    }

    /// Takes records in, before all else.
    pub(super) fn restore_incident(&mut self, record: &IncidentRecord) {
        self.insert(Incident::new(record, false));
    }

    /// Takes a record in, after those of incidents.
    pub(super) fn restore_alert(&mut self, record: AlertRecord) {
        let incident = record.incident_id;
        let incident = incident.and_then(|id| self.open.get(&id).copied());
        let place = self.alerts.restore(record, incident);
        self.stirred.insert(place);
    }

    pub(super) fn alert_records(&self) -> impl Iterator<Item = AlertRecord> {
        let incidents = |n| self.incidents[n].id;
        let alerts = self.alerts.all().map(|place| &self.alerts[place]);
        alerts.map(move |alert: &Alert| alert.record(self.id, incidents))
    }

    pub(super) fn incident_records(&self) -> impl Iterator<Item = IncidentRecord> {
        let open = self.open.values();
        open.map(|n| self.incidents[*n].record(self.id))
    }
}
