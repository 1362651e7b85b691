//! Feeds the step and keeps what it tells; after each slot, a second one that was restored from records must say the same.

use std::collections::BTreeMap;

use mast_schemas::alerts::{
    AlertId, AlertStatus, AlertView, IncidentChange, IncidentEvent, IncidentId, IncidentView,
    Resolution, Root, RuleKind, Severity, Subject, Suppressor,
};
use mast_schemas::control::{Role, Window};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{DeviceId, Mac, RuleId, SectorId, SiteId, TenantId, Timestamp, WindowId};

use crate::incidents::{IncidentOut, Incidents};
use crate::limits::ApLimits;
use crate::messages::{Condition, DeviceInfo, IncidentInput, Joint, RuleChange, RuleTurn};

fn id(kind: u8, n: u32) -> [u8; 16] {
    let mut id = [kind; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    id
}

pub(super) fn device(n: u32) -> DeviceId {
    DeviceId::from_bytes(id(1, n))
}

pub(super) fn site(n: u32) -> SiteId {
    SiteId::from_bytes(id(2, n))
}

pub(super) fn sector(n: u32) -> SectorId {
    SectorId::from_bytes(id(3, n))
}

pub(super) fn rule(n: u32) -> RuleId {
    RuleId::from_bytes(id(4, n))
}

fn tenant(n: u32) -> TenantId {
    TenantId::from_bytes(id(5, n))
}

pub(super) fn window(n: u32, from: i64, to: i64) -> Window {
    Window {
        id: WindowId::from_bytes(id(6, n)),
        tenant_id: tenant(1),
        name: String::new(),
        site_id: None,
        device_ids: Vec::new(),
        starts_at: Timestamp::from_secs(from),
        ends_at: Timestamp::from_secs(to),
        recurrence: None,
        time_zone: "UTC".to_owned(),
        version: 1,
    }
}

pub(super) struct Scene {
    pub(super) tenant: u32,
    pub(super) severity: Severity,
    pub(super) now: Timestamp,
    pub(super) alerts: BTreeMap<AlertId, AlertView>,
    pub(super) incidents: BTreeMap<IncidentId, IncidentView>,
    pub(super) events: Vec<IncidentEvent>,
    step: Incidents,
    /// Inputs of the slot.
    pending: Vec<IncidentInput>,
    /// All that is not restored from records, to be told again.
    facts: Vec<IncidentInput>,
    /// Whether to look at a restored one after each slot.
    pub(super) restored: bool,
    /// Open alerts: when they opened, and what.
    opened: BTreeMap<(u32, RuleId, Subject), (Timestamp, RuleKind)>,
    /// Whether laws are looked at after each slot.
    pub(super) judged: bool,
    /// Slots in which the step had something to do.
    pub(super) woken: usize,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            tenant: 1,
            severity: Severity::Critical,
            now: Timestamp(0),
            alerts: BTreeMap::new(),
            incidents: BTreeMap::new(),
            events: Vec::new(),
            step: Incidents::new(DEFAULT),
            pending: Vec::new(),
            facts: Vec::new(),
            restored: true,
            judged: true,
            opened: BTreeMap::new(),
            woken: 0,
        }
    }
}

fn take<K: Ord, V>(views: &mut BTreeMap<K, V>, rows: Vec<(K, Option<V>)>) {
    for (key, row) in rows {
        match row {
            Some(row) => drop(views.insert(key, row)),
            None => assert!(views.remove(&key).is_some(), "what was not there is gone"),
        }
    }
}

impl Scene {
    fn fact(&mut self, fact: IncidentInput) {
        self.facts.push(fact.clone());
        self.pending.push(fact);
    }

    fn inform(&mut self, n: u32, role: Role, parent: u32, at: u32, within: u32) {
        let tenant = tenant(self.tenant);
        self.fact(IncidentInput::Device {
            tenant,
            device: device(n),
            info: Some(DeviceInfo {
                tenant,
                site: (at > 0).then(|| site(at)),
                sector: (within > 0).then(|| sector(within)),
                enabled: true,
                limits: ApLimits::of(&DEFAULT),
                role,
                interval_ms: 60_000,
                parent: (parent > 0).then(|| device(parent)),
                groups: [].into(),
                tags: [].into(),
            }),
        });
    }

    /// Makes a device known, at a site unless that is 0.
    pub(super) fn place(&mut self, n: u32, role: Role, at: u32) {
        self.inform(n, role, 0, at, 0);
    }

    pub(super) fn by_hand(&mut self, n: u32, parent: u32) {
        self.inform(n, Role::Other, parent, 0, 0);
    }

    /// An access point in a sector of site 1.
    pub(super) fn in_sector(&mut self, n: u32, within: u32) {
        self.inform(n, Role::Ap, 0, 1, within);
    }

    pub(super) fn link(&mut self, ap: u32, far_end: u32) {
        let joint = Joint {
            tenant: tenant(self.tenant),
            ap: device(ap),
            radio: Mac(1),
            far_end: device(far_end),
            discovered_at: Timestamp(0),
            stale: false,
            roamed: false,
        };
        self.fact(IncidentInput::Link { joint, came: true });
    }

    pub(super) fn down(&mut self, ap: u32, more: i32) {
        self.fact(IncidentInput::Down {
            tenant: tenant(self.tenant),
            ap: device(ap),
            more,
        });
    }

    pub(super) fn core(&mut self, at: u32) {
        self.fact(IncidentInput::Core {
            tenant: tenant(self.tenant),
            site: site(at),
            core: true,
        });
    }

    pub(super) fn condition(&mut self, n: u32, offline: bool, failing: bool) {
        self.fact(IncidentInput::Condition(Condition {
            tenant: tenant(self.tenant),
            device: device(n),
            offline,
            failing,
        }));
    }

    pub(super) fn window(&mut self, window: Window) {
        self.fact(IncidentInput::Window(window));
    }

    pub(super) fn window_gone(&mut self, n: u32) {
        self.fact(IncidentInput::WindowGone {
            tenant: tenant(self.tenant),
            id: WindowId::from_bytes(id(6, n)),
        });
    }

    fn change(
        &mut self,
        n: u32,
        kind: RuleKind,
        subject: Subject,
        severity: Severity,
        turn: RuleTurn,
    ) {
        let key = (self.tenant, rule(n), subject.clone());
        // Times of one alert rise within a slot, so that its ids differ.
        let at = self.now + Span(1 + self.pending.len() as i64);
        let opened_at = match turn {
            RuleTurn::Opened => {
                self.opened.insert(key, (at, kind));
                at
            }
            RuleTurn::Severity => self.opened[&key].0,
            RuleTurn::Resolved { .. } => self.opened.remove(&key).unwrap().0,
        };
        self.pending.push(IncidentInput::Rule(RuleChange {
            tenant: tenant(self.tenant),
            rule: rule(n),
            kind,
            severity,
            subject,
            opened_at,
            opened_milli: 1_000,
            at,
            turn,
            threshold_milli: None,
        }));
    }

    pub(super) fn open(&mut self, n: u32, kind: RuleKind, subject: Subject) {
        self.change(n, kind, subject, self.severity, RuleTurn::Opened);
    }

    pub(super) fn severity(&mut self, n: u32, kind: RuleKind, of: Subject, severity: Severity) {
        self.change(n, kind, of, severity, RuleTurn::Severity);
    }

    pub(super) fn resolve(&mut self, n: u32, subject: Subject, resolution: Resolution) {
        let kind = self.opened[&(self.tenant, rule(n), subject.clone())].1;
        let turn = RuleTurn::Resolved {
            resolution,
            value_milli: None,
        };
        self.change(n, kind, subject, self.severity, turn);
    }

    /// A device goes offline, and rule 1 says so.
    pub(super) fn offline(&mut self, n: u32) {
        self.condition(n, true, false);
        self.open(1, RuleKind::Offline, Subject::Device(device(n)));
    }

    pub(super) fn online(&mut self, n: u32) {
        self.condition(n, false, false);
        self.resolve(1, Subject::Device(device(n)), Resolution::Cleared);
    }

    /// Closes a slot.
    pub(super) fn slot(&mut self) {
        let end = Timestamp((self.now.0.div_euclid(SLOT.0) + 1) * SLOT.0);
        self.end(end);
    }

    fn end(&mut self, end: Timestamp) {
        self.now = end;
        let pending = std::mem::take(&mut self.pending);
        let due = self.step.next_timer().is_some_and(|due| due <= end);
        if pending.is_empty() && !due {
            return;
        }
        self.woken += 1;
        let mut out = IncidentOut::default();
        for input in pending {
            self.step.apply(input, &mut out);
        }
        self.step.end_slot(end, &mut out);
        take(&mut self.alerts, out.alerts);
        take(&mut self.incidents, out.incidents);
        self.events.extend(out.events);
        if self.judged {
            self.laws();
        }
        if self.restored {
            self.restore();
        }
    }

    /// Waits, by the slots that timers ask for.
    pub(super) fn wait_until(&mut self, until: Timestamp) {
        let last = Timestamp(until.0.div_euclid(SLOT.0) * SLOT.0);
        if !self.pending.is_empty() {
            self.slot();
        }
        while let Some(due) = self.step.next_timer().filter(|due| *due <= last) {
            self.end(due);
        }
        self.now = self.now.max(last);
    }

    pub(super) fn wait(&mut self, span: Span) {
        self.wait_until(self.now + span);
    }

    fn laws(&self) {
        let mut alerts: BTreeMap<IncidentId, u32> = BTreeMap::new();
        for alert in self.alerts.values() {
            assert_eq!(
                alert.suppressor.is_some(),
                alert.status == AlertStatus::Suppressed
            );
            assert!(alert.status != AlertStatus::Open || alert.incident_id.is_some());
            if let Some(incident) = alert.incident_id {
                *alerts.entry(incident).or_default() += 1;
            }
        }
        let counted: BTreeMap<_, _> = self
            .incidents
            .values()
            .map(|i| (i.incident_id, i.alerts))
            .collect();
        assert_eq!(alerts, counted);
        let mut roots: Vec<_> = self
            .incidents
            .values()
            .map(|i| (i.tenant_id, i.root))
            .collect();
        roots.sort();
        roots.dedup();
        assert_eq!(roots.len(), self.incidents.len(), "one incident a root");
    }

    /// What was restored from records goes on from here.
    fn restore(&mut self) {
        let mut step = Incidents::new(DEFAULT);
        let alerts = self.step.alert_records();
        let incidents = self.step.incident_records();
        let records = incidents.iter().map(|(_, record)| *record);
        step.restore(
            alerts.iter().map(|(_, record)| record.clone()).collect(),
            &records.collect::<Vec<_>>(),
        );
        let mut out = IncidentOut::default();
        for fact in &self.facts {
            step.apply(fact.clone(), &mut out);
        }
        step.end_slot(self.now, &mut out);
        assert!(out.events.is_empty(), "{:?}", out.events);
        let told: BTreeMap<_, _> = out.alerts.into_iter().collect();
        let known = self
            .alerts
            .iter()
            .map(|(id, view)| (*id, Some(view.clone())));
        assert_eq!(told, known.collect());
        let told: BTreeMap<_, _> = out.incidents.into_iter().collect();
        let known = self.incidents.iter().map(|(id, view)| (*id, Some(*view)));
        assert_eq!(told, known.collect());
        assert_eq!(step.alert_records(), alerts);
        assert_eq!(step.incident_records(), incidents);
        self.step = step;
    }

    /// The open alert of a rule on a device.
    pub(super) fn alert(&self, n: u32, of: u32) -> &AlertView {
        let (rule, subject) = (rule(n), Subject::Device(device(of)));
        let mut alerts = self.alerts.values();
        alerts
            .find(|alert| alert.rule_id == rule && alert.subject == subject)
            .unwrap()
    }

    pub(super) fn status(&self, n: u32, of: u32) -> (AlertStatus, Option<Suppressor>) {
        let alert = self.alert(n, of);
        (alert.status, alert.suppressor)
    }

    pub(super) fn incident_of(&self, n: u32, of: u32) -> IncidentView {
        self.incidents[&self.alert(n, of).incident_id.unwrap()]
    }

    /// The only incident.
    pub(super) fn one(&self) -> IncidentView {
        assert_eq!(self.incidents.len(), 1, "{:?}", self.incidents);
        *self.incidents.values().next().unwrap()
    }

    /// What people were told.
    pub(super) fn told(&self) -> Vec<IncidentChange> {
        let told = self.events.iter().map(|event| event.change);
        told.filter(|change| *change != IncidentChange::Merged)
            .collect()
    }

    pub(super) fn roots(&self) -> Vec<Root> {
        self.incidents.values().map(|i| i.root).collect()
    }
}
