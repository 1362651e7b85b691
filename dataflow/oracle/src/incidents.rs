//! Which alerts people are told of, and with which others (§19, §20).

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::alerts::{
    AlertId, AlertStatus, AlertView, IncidentChange, IncidentEvent, IncidentId, IncidentView, Root,
    RuleKind, Severity, Subject, SubjectId, Suppressor, alert_id, incident_event_id, incident_id,
};
use mast_schemas::checkpoint::{AlertRecord, IncidentRecord};
use mast_schemas::{DeviceId, TenantId, Timestamp};

use crate::oracle::Oracle;
use crate::parents::{Parents, Topology, itself};
use crate::rules::Pair;

/// An open alert at the end of a slot.
struct Alert {
    view: AlertView,
    root: Root,
    /// What is above it may still be the cause.
    undecided: bool,
}

impl Alert {
    /// What decides which one is the first.
    fn rank(&self) -> (Timestamp, AlertId) {
        (self.view.opened_at, self.view.alert_id)
    }

    fn takes_part(&self) -> bool {
        self.view.status == AlertStatus::Open
            || (self.view.suppressor == Some(Suppressor::Dependency) && !self.undecided)
    }

    fn device(&self) -> Option<DeviceId> {
        match &self.view.subject {
            Subject::Device(id) | Subject::Interface(id, _) => Some(*id),
            Subject::Site(_) | Subject::Sector(_) => None,
        }
    }
}

/// What is kept of a rule and what it judges besides §18.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    tenant: TenantId,
    /// Of the rule, when the alert last opened or resolved.
    rule: Option<(RuleKind, Severity)>,
    /// Newest openings and resolvings, oldest first.
    changes: Vec<Timestamp>,
    /// The open alert took part in an incident once.
    told: bool,
    incident: Option<IncidentId>,
}

fn waits(kind: RuleKind) -> bool {
    kind == RuleKind::Offline || !kind.by_polls()
}

impl Oracle {
    /// An alert opened or resolved.
    pub(crate) fn alert_changed(&mut self, tenant: TenantId, pair: Pair, at: Timestamp) {
        let keep = usize::from(self.thresholds.flap_changes);
        let rule = self.rules.get(&pair.0);
        let told = self.told.entry(pair).or_default();
        told.tenant = tenant;
        told.rule = rule.map(|rule| (rule.kind, rule.severity));
        told.changes.push(at);
        told.changes.sort_unstable();
        told.changes
            .drain(..told.changes.len().saturating_sub(keep));
        (told.told, told.incident) = (false, None);
        self.unsettled = true;
    }

    /// The end of a slot, as far as alerts and incidents go.
    pub(crate) fn incidents_at(&mut self, end: Timestamp) {
        let due = self.incidents_due.is_some_and(|due| due <= end);
        if !std::mem::take(&mut self.unsettled) && !due {
            return;
        }
        let window = self.thresholds.flap_window;
        let recent = |told: &Told| told.changes.last().is_some_and(|at| *at > end - window);
        let open: BTreeSet<Pair> = (self.judged.iter())
            .filter_map(|(pair, judged)| judged.open.map(|_| pair.clone()))
            .collect();
        self.told
            .retain(|pair, told| open.contains(pair) || recent(told));
        if open.is_empty() && self.incidents.is_empty() {
            self.alerts.clear();
            self.incidents_due = None;
            return;
        }
        self.incidents_due = self
            .windows
            .values()
            .filter_map(|w| w.next_change(end))
            .min();
        let topology = self.topology();
        let alerts = self.open_alerts(end, &topology.parents);
        let tenants = alerts.values().map(|a| a.view.tenant_id);
        let tenants: BTreeSet<TenantId> = tenants
            .chain(self.incidents.values().map(|i| i.tenant_id))
            .collect();
        for tenant in tenants {
            self.settle(end, tenant, &alerts, &topology);
        }
        self.alerts = BTreeMap::new();
        for (pair, alert) in alerts {
            let incident_id = self.told.get(&pair).and_then(|told| told.incident);
            let view = AlertView {
                incident_id,
                ..alert.view
            };
            self.alerts.insert(view.alert_id, view);
        }
    }

    /// All open alerts with their status.
    fn open_alerts(&mut self, end: Timestamp, parents: &Parents) -> BTreeMap<Pair, Alert> {
        let mut alerts = BTreeMap::new();
        for (pair, judged) in self.judged.clone() {
            let rule = self.rules.get(&pair.0).cloned();
            let (Some((opened_at, value_milli)), Some(rule)) = (judged.open, rule) else {
                continue;
            };
            let own = itself(&pair.1);
            let ancestors = self.ancestors(parents, rule.tenant_id, own);
            let offline = |id: &&DeviceId| self.is_offline(**id);
            let cause = ancestors.iter().rev().find(offline).copied();
            let root = cause.map_or(own, Root::Device);
            let settled = opened_at + self.thresholds.alert_settle;
            let failing = ancestors.iter().any(|id| self.is_failing(*id));
            let flaps_until = self.flaps_until(&pair).filter(|until| *until > end);
            let told = self.told.get(&pair).is_some_and(|told| told.told);
            let maintained = [own, root]
                .into_iter()
                .any(|root| self.in_maintenance(rule.tenant_id, root, end));
            let early = end < settled;
            let undecided = waits(rule.kind) && !told && (early || failing);
            let (status, suppressor) = if maintained {
                (AlertStatus::Suppressed, Some(Suppressor::Maintenance))
            } else if flaps_until.is_some() {
                (AlertStatus::Suppressed, Some(Suppressor::Flapping))
            } else if cause.is_some() {
                (AlertStatus::Suppressed, Some(Suppressor::Dependency))
            } else if undecided {
                (AlertStatus::Waiting, None)
            } else {
                (AlertStatus::Open, None)
            };
            let dues = [flaps_until, early.then_some(settled)];
            let dues = dues.into_iter().flatten().chain(self.incidents_due);
            self.incidents_due = dues.min();
            let view = AlertView {
                alert_id: alert_id(pair.0, &pair.1, opened_at),
                tenant_id: rule.tenant_id,
                rule_id: rule.id,
                kind: rule.kind,
                severity: rule.severity,
                subject: pair.1.clone(),
                opened_at,
                value_milli,
                status,
                suppressor,
                cause_device_id: cause,
                incident_id: None,
            };
            let alert = Alert {
                view,
                root,
                undecided,
            };
            alerts.insert(pair, alert);
        }
        // By those that waited it is clear what died: what hangs on that is decided with them.
        let clear: BTreeSet<(TenantId, Root)> = (alerts.values())
            .filter(|alert| waits(alert.view.kind) && alert.takes_part())
            .map(|alert| (alert.view.tenant_id, alert.root))
            .collect();
        for (pair, alert) in &mut alerts {
            if clear.contains(&(alert.view.tenant_id, alert.root)) {
                alert.undecided = false;
            }
            if alert.takes_part()
                && let Some(told) = self.told.get_mut(pair)
            {
                told.told = true;
            }
        }
        alerts
    }

    /// When a rule and what it judges no longer flap, if enough changes are known.
    fn flaps_until(&self, pair: &Pair) -> Option<Timestamp> {
        let changes = &self.told.get(pair)?.changes;
        let nth = usize::from(self.thresholds.flap_changes);
        let oldest = changes.len().checked_sub(nth)?;
        Some(*changes.get(oldest)? + self.thresholds.flap_window)
    }

    fn in_maintenance(&self, tenant: TenantId, root: Root, at: Timestamp) -> bool {
        let open = |w: &&crate::windows::Window| w.row.tenant_id == tenant && w.is_open(at);
        let mut open = self.windows.values().filter(open);
        let site = match root {
            Root::Device(id) => self.devices.get(&id).and_then(|d| d.row.site_id),
            Root::Site(site) => Some(site),
            Root::Sector(sector) => self.site_of(tenant, sector),
        };
        open.any(|w| {
            let whole = w.row.site_id.is_none() && w.row.device_ids.is_empty();
            let device = matches!(root, Root::Device(id) if w.row.device_ids.contains(&id));
            whole || device || (w.row.site_id.is_some() && w.row.site_id == site)
        })
    }

    /// The steps of §20 for one tenant.
    fn settle(
        &mut self,
        end: Timestamp,
        tenant: TenantId,
        alerts: &BTreeMap<Pair, Alert>,
        topology: &Topology,
    ) {
        let of_tenant = |(_, alert): &(&Pair, &Alert)| alert.view.tenant_id == tenant;
        let alerts: Vec<(&Pair, &Alert)> = alerts.iter().filter(of_tenant).collect();
        let mut events: Vec<(IncidentChange, IncidentView, Option<IncidentId>)> = Vec::new();
        let before = self.incidents.clone();

        // 2. Those with the same root are together.
        let mut groups: BTreeMap<Root, Vec<(&Pair, &Alert)>> = BTreeMap::new();
        for &(pair, alert) in alerts.iter().filter(|(_, alert)| alert.takes_part()) {
            groups.entry(alert.root).or_default().push((pair, alert));
        }
        let mut joined: Vec<BTreeSet<IncidentId>> = Vec::new();
        for (root, group) in &groups {
            let mut these: BTreeSet<IncidentId> = (self.incidents.values())
                .filter(|i| (i.tenant_id, i.root) == (tenant, *root))
                .map(|i| i.incident_id)
                .collect();
            these.extend(group.iter().filter_map(|(pair, _)| self.incident_of(pair)));
            let (overlap, apart): (Vec<_>, Vec<_>) = joined
                .into_iter()
                .partition(|other| !other.is_disjoint(&these));
            these.extend(overlap.into_iter().flatten());
            joined = apart;
            joined.push(these);
        }
        for these in joined.iter().filter(|these| these.len() > 1) {
            let rank = |id: &&IncidentId| (self.incidents[*id].opened_at, **id);
            let Some(first) = these.iter().min_by_key(rank).copied() else {
                continue;
            };
            for other in these.iter().filter(|id| **id != first) {
                let taken = self
                    .told
                    .values_mut()
                    .filter(|t| t.incident == Some(*other));
                taken.for_each(|told| told.incident = Some(first));
                let closed = self.incidents.remove(other);
                events.extend(closed.map(|i| (IncidentChange::Merged, i, Some(first))));
            }
        }
        for (root, group) in &groups {
            let known = (group
                .iter()
                .filter_map(|(pair, _)| self.incident_of(pair))
                .next())
            .or_else(|| {
                let mut all = self.incidents.values();
                let this = all.find(|i| (i.tenant_id, i.root) == (tenant, *root));
                this.map(|i| i.incident_id)
            });
            let first = group.iter().map(|(_, alert)| alert.rank()).min();
            let Some(id) = known.or(first.map(|(_, alert)| incident_id(tenant, alert))) else {
                continue;
            };
            for (pair, _) in group {
                if let Some(told) = self.told.get_mut(*pair) {
                    told.incident = Some(id);
                }
            }
            self.incidents.entry(id).or_insert_with(|| IncidentView {
                incident_id: id,
                tenant_id: tenant,
                root: *root,
                kind: first_kind(group, *root),
                severity: Severity::Info,
                opened_at: end,
                alerts: 0,
                devices: 0,
                clients: 0,
            });
        }

        // 3. Roots. 4. Who is left, and the numbers.
        let ours: Vec<IncidentView> = (self.incidents.values())
            .filter(|i| i.tenant_id == tenant)
            .copied()
            .collect();
        for mut incident in ours {
            let id = incident.incident_id;
            let inside: Vec<(&Pair, &Alert)> = (alerts.iter())
                .filter(|(pair, _)| self.incident_of(pair) == Some(id))
                .copied()
                .collect();
            if inside.is_empty() {
                self.incidents.remove(&id);
                events.push((IncidentChange::Resolved, incident, None));
                continue;
            }
            let mut escalated = false;
            if let Some(root) = self.new_root(&incident, &inside, &topology.parents) {
                let above = self.ancestors(&topology.parents, tenant, incident.root);
                escalated =
                    matches!(root, Root::Device(id) if self.is_offline(id) && above.contains(&id));
                incident.root = root;
                incident.kind = first_kind(&inside, root);
            }
            let severity = inside.iter().map(|(_, alert)| alert.view.severity).max();
            let severity = severity.unwrap_or(incident.severity);
            if severity > incident.severity {
                (incident.severity, escalated) = (severity, true);
            }
            let devices: BTreeSet<DeviceId> = inside
                .iter()
                .filter_map(|(_, alert)| alert.device())
                .collect();
            let down = devices.iter().filter_map(|id| topology.down.get(id));
            incident.alerts = inside.len() as u32;
            incident.devices = devices.len() as u32;
            incident.clients = down.sum();
            self.incidents.insert(id, incident);
            if !before.contains_key(&id) {
                events.push((IncidentChange::Opened, incident, None));
            } else if escalated {
                events.push((IncidentChange::Escalated, incident, None));
            }
        }
        let events = events.into_iter();
        let told = events.map(|(change, view, into)| event(end, change, view, into));
        self.events.incidents.extend(told);
    }

    fn incident_of(&self, pair: &Pair) -> Option<IncidentId> {
        self.told.get(pair)?.incident
    }

    /// What an incident comes from now, if that is another one.
    fn new_root(
        &self,
        incident: &IncidentView,
        inside: &[(&Pair, &Alert)],
        parents: &Parents,
    ) -> Option<Root> {
        let old = incident.root;
        let above = self.ancestors(parents, incident.tenant_id, old);
        let kept = inside.iter().any(|(_, alert)| alert.root == old)
            || matches!(old, Root::Device(id) if self.is_offline(id));
        let mut votes: BTreeMap<Root, usize> = BTreeMap::new();
        for (_, alert) in inside.iter().filter(|(_, alert)| alert.takes_part()) {
            *votes.entry(alert.root).or_default() += 1;
        }
        let may = |root: &Root| {
            let higher =
                matches!(root, Root::Device(id) if self.is_offline(*id) && above.contains(id));
            *root != old && (higher || !kept)
        };
        let votes = votes.into_iter().filter(|(root, _)| may(root));
        votes
            .min_by_key(|(root, n)| (std::cmp::Reverse(*n), root.id()))
            .map(|(root, _)| root)
    }

    /// What the last settled slot made of alerts and incidents.
    pub(crate) fn alert_views(&self) -> BTreeMap<AlertId, AlertView> {
        self.alerts.clone()
    }

    pub(crate) fn incident_views(&self) -> BTreeMap<IncidentId, IncidentView> {
        self.incidents.clone()
    }

    pub(crate) fn alert_records(&self) -> Vec<AlertRecord> {
        let record = |(pair, told): (&Pair, &Told)| {
            let judged = self.judged.get(pair);
            let (kind, severity) = told.rule.unwrap_or((RuleKind::Cpu, Severity::Info));
            AlertRecord {
                tenant_id: told.tenant,
                rule_id: pair.0,
                kind,
                severity,
                subject: pair.1.clone(),
                open: judged.and_then(|judged| judged.open),
                told: told.told,
                incident_id: told.incident,
                changes: told.changes.clone(),
            }
        };
        self.told.iter().map(record).collect()
    }

    pub(crate) fn incident_records(&self) -> Vec<IncidentRecord> {
        let record = |i: &IncidentView| IncidentRecord {
            tenant_id: i.tenant_id,
            incident_id: i.incident_id,
            root: i.root,
            kind: i.kind,
            severity: i.severity,
            opened_at: i.opened_at,
        };
        self.incidents.values().map(record).collect()
    }

    pub(crate) fn restore_incidents(
        &mut self,
        alerts: Vec<AlertRecord>,
        incidents: Vec<IncidentRecord>,
    ) {
        for record in alerts {
            let told = Told {
                tenant: record.tenant_id,
                rule: Some((record.kind, record.severity)),
                changes: record.changes,
                told: record.told,
                incident: record.incident_id,
            };
            self.told.insert((record.rule_id, record.subject), told);
        }
        let views = incidents.into_iter().map(|record| {
            let view = IncidentView {
                incident_id: record.incident_id,
                tenant_id: record.tenant_id,
                root: record.root,
                kind: record.kind,
                severity: record.severity,
                opened_at: record.opened_at,
                alerts: 0,
                devices: 0,
                clients: 0,
            };
            (record.incident_id, view)
        });
        self.incidents = views.collect();
        self.unsettled = true;
    }
}

/// Kind of the rule of the first alert, of those that are of the root if there are any.
fn first_kind(alerts: &[(&Pair, &Alert)], root: Root) -> RuleKind {
    let first = |of_root: bool| {
        let alerts = alerts.iter().map(|(_, alert)| alert);
        alerts
            .filter(|alert| !of_root || itself(&alert.view.subject) == root)
            .min_by_key(|alert| alert.rank())
            .map(|alert| alert.view.kind)
    };
    first(true)
        .or_else(|| first(false))
        .unwrap_or(RuleKind::Cpu)
}

fn event(
    at: Timestamp,
    change: IncidentChange,
    view: IncidentView,
    merged_into: Option<IncidentId>,
) -> IncidentEvent {
    use IncidentChange::{Merged, Resolved};
    let closed = matches!(change, Merged | Resolved);
    let number = |n: u32| if closed { 0 } else { n };
    IncidentEvent {
        event_id: incident_event_id(view.incident_id, at, change),
        tenant_id: view.tenant_id,
        incident_id: view.incident_id,
        at,
        change,
        merged_into,
        root_kind: view.root.kind(),
        root_id: SubjectId(view.root.id()),
        kind: view.kind,
        severity: view.severity,
        opened_at: view.opened_at,
        alerts: number(view.alerts),
        devices: number(view.devices),
        clients: number(view.clients),
    }
}
