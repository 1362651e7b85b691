//! An incident with what its alerts add up to. All sums are kept as alerts come, change and go, so that one more alert
//! costs the same in an incident of two and of a hundred thousand.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use mast_schemas::alerts::{
    AlertId, IncidentChange, IncidentEvent, IncidentId, IncidentView, Root, RuleKind, Severity,
    SubjectId, incident_event_id,
};
use mast_schemas::checkpoint::IncidentRecord;
use mast_schemas::{DeviceId, TenantId, Timestamp};

use crate::compact::Map;
use crate::incidents::parents::Key;

/// By which of several alerts is the first, and where it is kept.
pub(super) type Place = (Timestamp, AlertId, u32);

/// Alerts of one root.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    all: u32,
    taking_part: u32,
}

#[derive(Debug)]
pub(super) struct Incident {
    pub(super) id: IncidentId,
    pub(super) root: Root,
    pub(super) kind: RuleKind,
    /// Greatest of the alerts that were ever in it.
    pub(super) severity: Severity,
    /// What people were told of it.
    pub(super) told_severity: Severity,
    pub(super) opened_at: Timestamp,
    pub(super) alerts: BTreeSet<Place>,
    roots: Map<Root, Counts>,
    /// Roots of those that take part: most alerts, then lowest id.
    ranks: BTreeSet<(Reverse<u32>, SubjectId, Root)>,
    devices: Map<DeviceId, u32>,
    clients: i64,
    /// What its root depends on.
    pub(super) asked: Box<[Key]>,
    pub(super) shown: Option<IncidentView>,
    /// It opened in this slot.
    pub(super) new: bool,
}

fn rank(root: Root, n: u32) -> (Reverse<u32>, SubjectId, Root) {
    (Reverse(n), SubjectId(root.id()), root)
}

/// An alert as incidents count it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) place: Place,
    pub(super) root: Root,
    pub(super) takes_part: bool,
    pub(super) severity: Severity,
    /// The device that it is of, and how many links of that are down.
    pub(super) device: Option<(DeviceId, i64)>,
}

impl Incident {
    pub(super) fn new(record: &IncidentRecord, new: bool) -> Self {
        Self {
            id: record.incident_id,
            root: record.root,
            kind: record.kind,
            severity: record.severity,
            told_severity: record.severity,
            opened_at: record.opened_at,
            alerts: BTreeSet::new(),
            roots: Map::default(),
            ranks: BTreeSet::new(),
            devices: Map::default(),
            clients: 0,
            asked: Box::default(),
            shown: None,
            new,
        }
    }

    /// By which of several is the first.
    pub(super) const fn order(&self) -> (Timestamp, IncidentId) {
        (self.opened_at, self.id)
    }

    pub(super) fn add(&mut self, member: Member) {
        self.alerts.insert(member.place);
        self.count(member.root, member.takes_part, true);
        self.severity = self.severity.max(member.severity);
        if let Some((device, downs)) = member.device {
            let alerts = self.devices.entry(device).or_insert(0);
            if *alerts == 0 {
                self.clients += downs;
            }
            *alerts += 1;
        }
    }

    pub(super) fn remove(&mut self, member: Member) {
        self.alerts.remove(&member.place);
        self.count(member.root, member.takes_part, false);
        if let Some((device, downs)) = member.device
            && let Some(alerts) = self.devices.get_mut(&device)
        {
            *alerts -= 1;
            if *alerts == 0 {
                self.devices.remove(&device);
                self.clients -= downs;
            }
        }
    }

    /// An alert in it has another root now, or takes part or not.
    pub(super) fn change(&mut self, old: (Root, bool), new: (Root, bool)) {
        self.count(old.0, old.1, false);
        self.count(new.0, new.1, true);
    }

    fn count(&mut self, root: Root, takes_part: bool, there: bool) {
        let counts = self.roots.entry(root).or_default();
        let before = counts.taking_part;
        let (all, part) = (&mut counts.all, &mut counts.taking_part);
        if there {
            *all += 1;
            *part += u32::from(takes_part);
        } else {
            *all = all.saturating_sub(1);
            *part = part.saturating_sub(u32::from(takes_part));
        }
        let Counts { all, taking_part } = *counts;
        if all == 0 {
            self.roots.remove(&root);
        }
        if taking_part != before {
            self.ranks.remove(&rank(root, before));
            if taking_part > 0 {
                self.ranks.insert(rank(root, taking_part));
            }
        }
    }

    /// How many more links of a device are down.
    pub(super) fn down(&mut self, device: &DeviceId, more: i64) {
        if self.devices.contains_key(device) {
            self.clients += more;
        }
    }

    /// How many alerts that take part have this root.
    fn taking_part(&self, root: Root) -> u32 {
        self.roots.get(&root).map_or(0, |counts| counts.taking_part)
    }

    /// Roots of alerts that take part.
    pub(super) fn taking_part_roots(&self) -> impl Iterator<Item = Root> {
        self.ranks.iter().map(|(.., root)| *root)
    }

    /// The root that it has from now on, given the offline ancestors of its root.
    pub(super) fn next_root(&self, offline: bool, above: impl Iterator<Item = Root>) -> Root {
        if !offline && !self.roots.contains_key(&self.root) {
            // Nothing speaks for the old one any more.
            return self.ranks.first().map_or(self.root, |(.., root)| *root);
        }
        let counted = above.map(|root| (self.taking_part(root), root));
        let best = counted
            .filter(|(n, _)| *n > 0)
            .map(|(n, root)| rank(root, n))
            .min();
        best.map_or(self.root, |(.., root)| root)
    }

    pub(super) fn view(&self, tenant_id: TenantId) -> IncidentView {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        IncidentView {
            incident_id: self.id,
            tenant_id,
            root: self.root,
            kind: self.kind,
            severity: self.severity,
            opened_at: self.opened_at,
            alerts: count(self.alerts.len()),
            devices: count(self.devices.len()),
            clients: u32::try_from(self.clients).unwrap_or(0),
        }
    }

    pub(super) fn event(
        &self,
        tenant_id: TenantId,
        at: Timestamp,
        change: IncidentChange,
        merged_into: Option<IncidentId>,
    ) -> IncidentEvent {
        let view = self.view(tenant_id);
        let closed = matches!(change, IncidentChange::Resolved | IncidentChange::Merged);
        let number = |n| if closed { 0 } else { n };
        IncidentEvent {
            event_id: incident_event_id(self.id, at, change),
            tenant_id,
            incident_id: self.id,
            at,
            change,
            merged_into,
            root_kind: self.root.kind(),
            root_id: SubjectId(self.root.id()),
            kind: self.kind,
            severity: self.severity,
            opened_at: self.opened_at,
            alerts: number(view.alerts),
            devices: number(view.devices),
            clients: number(view.clients),
        }
    }

    pub(super) fn record(&self, tenant_id: TenantId) -> IncidentRecord {
        IncidentRecord {
            tenant_id,
            incident_id: self.id,
            root: self.root,
            kind: self.kind,
            severity: self.severity,
            opened_at: self.opened_at,
        }
    }
}
