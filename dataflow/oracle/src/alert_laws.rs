//! What must hold of alerts, incidents and trends at every slot.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::alerts::{
    AlertStatus, AlertView, IncidentId, RuleKind, Subject, Suppressor, alert_id,
};
use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::control::Rule;
use mast_schemas::views::Place;
use mast_schemas::{DeviceId, RuleId, TenantId};

use crate::laws::{Breach, breach};
use crate::views::{Views, places_of};

/// Breaches that can be seen from the rows alone.
pub(crate) fn alert_laws(views: &Views, breaches: &mut Vec<Breach>) {
    let mut pairs = BTreeSet::new();
    let mut inside: BTreeMap<IncidentId, (u32, BTreeSet<DeviceId>)> = BTreeMap::new();
    for (id, alert) in &views.alerts {
        if *id != alert.alert_id || *id != alert_id(alert.rule_id, &alert.subject, alert.opened_at)
        {
            breach(
                breaches,
                "an alert's id is of its rule, subject and time",
                id,
            );
        }
        if !pairs.insert((alert.rule_id, &alert.subject)) {
            breach(breaches, "at most one open alert of a rule and subject", id);
        }
        status(alert, breaches);
        let Some(incident) = alert.incident_id else {
            continue;
        };
        if (views.incidents.get(&incident)).is_none_or(|i| i.tenant_id != alert.tenant_id) {
            breach(
                breaches,
                "an alert is in an open incident of its tenant",
                id,
            );
        }
        let (alerts, devices) = inside.entry(incident).or_default();
        *alerts += 1;
        if let Subject::Device(device) | Subject::Interface(device, _) = &alert.subject {
            devices.insert(*device);
        }
    }
    followers(views, breaches);
    let mut roots = BTreeSet::new();
    for (id, incident) in &views.incidents {
        if !roots.insert((incident.tenant_id, incident.root)) {
            breach(breaches, "at most one incident of a root", id);
        }
        let there = inside
            .get(id)
            .map(|(n, devices)| (*n, devices.len() as u32));
        if there != Some((incident.alerts, incident.devices)) {
            breach(
                breaches,
                "an incident counts its alerts and their devices",
                id,
            );
        }
        let mut alerts = views.alerts.values();
        if alerts.any(|a| a.incident_id == Some(*id) && a.severity > incident.severity) {
            breach(breaches, "no alert is severer than its incident", id);
        }
    }
    for ((tenant, mac), trend) in &views.trends {
        if (*tenant, *mac) != (trend.tenant_id, trend.mac) {
            breach(breaches, "one trend a client", (tenant, mac));
        }
        if trend.opened_cdbm >= trend.baseline_cdbm {
            breach(
                breaches,
                "who degrades is under the baseline",
                (tenant, mac),
            );
        }
    }
}

fn status(alert: &AlertView, breaches: &mut Vec<Breach>) {
    let id = alert.alert_id;
    if (alert.status == AlertStatus::Suppressed) != alert.suppressor.is_some() {
        breach(
            breaches,
            "what is suppressed says why, and nothing else does",
            id,
        );
    }
    let dependency = alert.suppressor == Some(Suppressor::Dependency);
    if dependency && alert.cause_device_id.is_none() {
        breach(breaches, "what depends on something offline names it", id);
    }
    let open = alert.status == AlertStatus::Open;
    if open && alert.cause_device_id.is_some() {
        breach(
            breaches,
            "nobody is told of what something above explains",
            id,
        );
    }
    if open && alert.incident_id.is_none() {
        breach(breaches, "what people are told of is in an incident", id);
    }
    if alert.status == AlertStatus::Waiting && !waits(alert.kind) {
        breach(breaches, "only what may be cut off waits", id);
    }
}

fn waits(kind: RuleKind) -> bool {
    kind == RuleKind::Offline || !kind.by_polls()
}

/// Of each device that people know to be offline: what hangs on it is told with it.
fn followers(views: &Views, breaches: &mut Vec<Breach>) {
    let dependency = |alert: &AlertView| alert.suppressor == Some(Suppressor::Dependency);
    let mut known: BTreeSet<(TenantId, DeviceId)> = BTreeSet::new();
    for alert in views.alerts.values().filter(|alert| waits(alert.kind)) {
        let root = match (alert.status, &alert.subject) {
            (AlertStatus::Open, Subject::Device(device)) => Some(*device),
            _ if dependency(alert) && alert.incident_id.is_some() => alert.cause_device_id,
            _ => None,
        };
        known.extend(root.map(|root| (alert.tenant_id, root)));
    }
    for (id, alert) in &views.alerts {
        let cause = alert.cause_device_id.map(|cause| (alert.tenant_id, cause));
        if dependency(alert)
            && alert.incident_id.is_none()
            && cause.is_some_and(|cause| known.contains(&cause))
        {
            let law = "what hangs on something that people know to be offline is told with it";
            breach(breaches, law, id);
        }
    }
}

/// Breaches of alerts with what control says of rules and devices: each open alert's rule is there, enabled and judges it.
pub fn rule_laws(views: &Views, rules: &[Rule], standings: &[StandingRecord]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let rules: BTreeMap<RuleId, &Rule> = rules.iter().map(|rule| (rule.id, rule)).collect();
    let standings: BTreeMap<DeviceId, &StandingRecord> =
        standings.iter().map(|row| (row.device_id, row)).collect();
    for (id, alert) in &views.alerts {
        let Some(rule) = rules.get(&alert.rule_id).filter(|rule| rule.enabled) else {
            breach(&mut breaches, "an open alert's rule is enabled", id);
            continue;
        };
        if (rule.kind, rule.severity, rule.tenant_id)
            != (alert.kind, alert.severity, alert.tenant_id)
        {
            breach(&mut breaches, "an alert is as its rule says", id);
        }
        let place = match &alert.subject {
            Subject::Device(device) | Subject::Interface(device, _) => {
                let row = standings.get(device).filter(|row| row.enabled);
                if row.is_none_or(|row| row.tenant_id != alert.tenant_id) {
                    breach(&mut breaches, "what an alert is of is there", id);
                }
                continue;
            }
            Subject::Site(site) => Place::Site(alert.tenant_id, *site),
            Subject::Sector(sector) => Place::Sector(alert.tenant_id, *sector),
        };
        if !standings
            .values()
            .any(|row| places_of(row).contains(&place))
        {
            breach(&mut breaches, "what an alert is of is there", id);
        }
    }
    breaches
}
