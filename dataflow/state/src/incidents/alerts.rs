//! What is known of an alert, and of one that resolved lately: whoever flaps is known by that.

use hashbrown::HashSet;
use mast_schemas::alerts::{AlertId, AlertView, Root, RuleKind, Severity, Subject, alert_id};
use mast_schemas::checkpoint::AlertRecord;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::{DeviceId, RuleId, TenantId, Timestamp};
use smallvec::SmallVec;

use crate::compact::{Map, Slab};
use crate::incidents::parents::Key;
use crate::incidents::status::Verdict;
use crate::messages::{RuleChange, RuleTurn};
use crate::timers::UNARMED;

/// What an alert is one of.
pub(super) type AlertKey = (RuleId, Subject);

/// The open alert of a rule and subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) id: AlertId,
    pub(super) at: Timestamp,
    pub(super) value_milli: i64,
}

/// What a reader was last told, besides what never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    severity: Severity,
    verdict: Verdict,
    cause: Option<DeviceId>,
    incident: Option<u32>,
}

/// An alert, open or resolved lately.
#[derive(Debug)]
pub(super) struct Alert {
    pub(super) key: AlertKey,
    pub(super) kind: RuleKind,
    pub(super) severity: Severity,
    pub(super) open: Option<Open>,
    /// It took part once.
    pub(super) told: bool,
    /// Newest openings and resolvings, rising.
    pub(super) changes: SmallVec<[Timestamp; 5]>,
    /// What its verdict depends on.
    pub(super) asked: Box<[Key]>,
    pub(super) verdict: Option<Verdict>,
    pub(super) cause: Option<DeviceId>,
    /// The incident that it is in.
    pub(super) incident: Option<u32>,
    /// What it counts as there, and whether it takes part.
    pub(super) counted: Option<(Root, bool)>,
    pub(super) shown: Option<Told>,
    /// Bucket of its entry in the wheel.
    pub(super) armed: i64,
}

/// What a subject is as a root.
pub(super) fn target(subject: &Subject) -> Root {
    match subject {
        Subject::Device(id) | Subject::Interface(id, _) => Root::Device(*id),
        Subject::Site(id) => Root::Site(*id),
        Subject::Sector(id) => Root::Sector(*id),
    }
}

impl Alert {
    fn new(key: AlertKey, kind: RuleKind, severity: Severity) -> Self {
        Self {
            key,
            kind,
            severity,
            open: None,
            told: false,
            changes: SmallVec::new(),
            asked: Box::default(),
            verdict: None,
            cause: None,
            incident: None,
            counted: None,
            shown: None,
            armed: UNARMED,
        }
    }

    pub(super) fn target(&self) -> Root {
        target(&self.key.1)
    }

    /// By which of several is the first.
    pub(super) fn order(&self) -> Option<(Timestamp, AlertId)> {
        self.open.map(|open| (open.at, open.id))
    }

    /// Notes an opening or resolving; as many as make it flap are kept.
    fn changed(&mut self, at: Timestamp, most: u8) {
        let place = self.changes.partition_point(|other| *other <= at);
        self.changes.insert(place, at);
        if self.changes.len() > usize::from(most) {
            self.changes.remove(0);
        }
    }

    /// Until when it is flapping, if it is.
    pub(super) fn flaps_until(&self, now: Timestamp, t: &Thresholds) -> Option<Timestamp> {
        let oldest = self.changes.first()?;
        let until = *oldest + t.flap_window;
        (self.changes.len() >= usize::from(t.flap_changes) && until > now).then_some(until)
    }

    /// When nothing of it matters any more.
    pub(super) fn forgotten_at(&self, t: &Thresholds) -> Option<Timestamp> {
        self.changes.last().map(|newest| *newest + t.flap_window)
    }

    /// What a reader is to be told, if it is something else than before.
    pub(super) fn show(&mut self) -> bool {
        let now = self.open.and(self.verdict).map(|verdict| Told {
            severity: self.severity,
            verdict,
            cause: self.cause,
            incident: self.incident,
        });
        std::mem::replace(&mut self.shown, now) != now
    }

    /// The row of the view.
    pub(super) fn view(
        &self,
        tenant_id: TenantId,
        incidents: impl Fn(u32) -> mast_schemas::alerts::IncidentId,
    ) -> Option<AlertView> {
        let (open, verdict) = (self.open?, self.verdict?);
        Some(AlertView {
            alert_id: open.id,
            tenant_id,
            rule_id: self.key.0,
            kind: self.kind,
            severity: self.severity,
            subject: self.key.1.clone(),
            opened_at: open.at,
            value_milli: open.value_milli,
            status: verdict.status,
            suppressor: verdict.suppressor,
            cause_device_id: self.cause,
            incident_id: self.incident.map(incidents),
        })
    }

    pub(super) fn record(
        &self,
        tenant_id: TenantId,
        incidents: impl Fn(u32) -> mast_schemas::alerts::IncidentId,
    ) -> AlertRecord {
        AlertRecord {
            tenant_id,
            rule_id: self.key.0,
            kind: self.kind,
            severity: self.severity,
            subject: self.key.1.clone(),
            open: self.open.map(|open| (open.at, open.value_milli)),
            told: self.told,
            incident_id: self.incident.map(incidents),
            changes: self.changes.to_vec(),
        }
    }
}

/// The alerts of a tenant.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    slab: Slab<Alert>,
    places: Map<AlertKey, u32>,
    /// Open ones by what they are of.
    of: Map<Root, SmallVec<[u32; 2]>>,
    /// Who asks again when something changes.
    asked: Map<Key, HashSet<u32, foldhash::fast::FixedState>>,
}

impl std::ops::Index<u32> for Alerts {
    type Output = Alert;
    fn index(&self, place: u32) -> &Alert {
        &self.slab[place]
    }
}

impl std::ops::IndexMut<u32> for Alerts {
    fn index_mut(&mut self, place: u32) -> &mut Alert {
        &mut self.slab[place]
    }
}

impl Alerts {
    fn place(&mut self, key: AlertKey, kind: RuleKind, severity: Severity) -> u32 {
        let slab = &mut self.slab;
        *self
            .places
            .entry(key)
            .or_insert_with_key(|key| slab.put(Alert::new(key.clone(), kind, severity)))
    }

    /// Where the alert of a change is, if there is or lately was one.
    pub(super) fn place_of(&self, change: &RuleChange) -> Option<u32> {
        let key = (change.rule, change.subject.clone());
        self.places.get(&key).copied()
    }

    /// A raw change; the alert that was open before is the caller's to take out of its incident. Returns the place.
    pub(super) fn apply(&mut self, change: &RuleChange, t: &Thresholds) -> u32 {
        let key = (change.rule, change.subject.clone());
        let place = self.place(key, change.kind, change.severity);
        let alert = &mut self.slab[place];
        (alert.kind, alert.severity) = (change.kind, change.severity);
        match change.turn {
            RuleTurn::Severity => return place,
            RuleTurn::Opened => {
                alert.told = false;
                alert.open = Some(Open {
                    id: change.alert_id(),
                    at: change.opened_at,
                    value_milli: change.opened_milli,
                });
            }
            RuleTurn::Resolved { .. } => alert.open = None,
        }
        alert.verdict = None;
        alert.changed(change.at, t.flap_changes);
        self.list(place);
        place
    }

    /// Puts an open alert in the list of what it is of, and another out of it.
    fn list(&mut self, place: u32) {
        let alert = &self.slab[place];
        let (of, open) = (alert.target(), alert.open.is_some());
        let list = self.of.entry(of).or_default();
        list.retain(|other| *other != place);
        if open {
            list.push(place);
        }
        if list.is_empty() {
            self.of.remove(&of);
        }
    }

    /// Open alerts of a root itself.
    pub(super) fn of(&self, root: Root) -> impl Iterator<Item = u32> {
        self.of.get(&root).into_iter().flatten().copied()
    }

    /// Notes what a verdict depends on, in place of what it depended on before.
    pub(super) fn depends(&mut self, place: u32, on: &[Key]) {
        if *self.slab[place].asked == *on {
            return;
        }
        let before = std::mem::replace(&mut self.slab[place].asked, on.into());
        for key in &before {
            if let Some(who) = self.asked.get_mut(key) {
                who.remove(&place);
                if who.is_empty() {
                    self.asked.remove(key);
                }
            }
        }
        for key in on {
            self.asked.entry(*key).or_default().insert(place);
        }
    }

    /// Who depends on this.
    pub(super) fn dependents(&self, key: &Key) -> impl Iterator<Item = u32> {
        self.asked.get(key).into_iter().flatten().copied()
    }

    /// Forgets a resolved alert.
    pub(super) fn forget(&mut self, place: u32) {
        self.depends(place, &[]);
        let alert = &mut self.slab[place];
        alert.armed = UNARMED;
        if self.places.get(&alert.key) == Some(&place) {
            self.places.remove(&alert.key);
            self.slab.free(place);
        }
    }

    /// All places in use.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.places.values().copied()
    }

    /// Takes a record in.
    pub(super) fn restore(&mut self, record: AlertRecord, incident: Option<u32>) -> u32 {
        let key = (record.rule_id, record.subject);
        let place = self.place(key, record.kind, record.severity);
        let alert = &mut self.slab[place];
        alert.open = record.open.map(|(at, value_milli)| Open {
            id: alert_id(record.rule_id, &alert.key.1, at),
            at,
            value_milli,
        });
        (alert.told, alert.incident) = (record.told, incident);
        alert.changes = record.changes.into();
        self.list(place);
        place
    }
}
