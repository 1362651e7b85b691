//! Suppression and incidents from polls on: one word for a tower that dies, whoever computes it and whenever it restarts.

use std::collections::BTreeMap;

use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::{Outputs, Snapshot};
use mast_oracle::script::{self, Script, at, at_ms, device, good, mac, site, tenant};
use mast_schemas::alerts::{
    AlertChange, AlertId, AlertStatus, AlertView, IncidentChange, IncidentEvent, IncidentId,
    IncidentView, Root, RuleKind, RuleSubject, Scope, Severity, Suppressor,
};
use mast_schemas::control::{Change, Role, Rule, Site, Window};
use mast_schemas::records::Outcome;
use mast_schemas::{DeviceId, RuleId, Timestamp, WindowId};

use crate::support::{config, encode};

const ROUTER: u32 = 1;
const AP: u32 = 2;
const CUSTOMERS: std::ops::RangeInclusive<u32> = 3..=14;

/// What a reader of the outputs would see.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    alerts: BTreeMap<AlertId, AlertView>,
    incidents: BTreeMap<IncidentId, IncidentView>,
    alert_changes: Vec<(Timestamp, AlertId, AlertChange)>,
    events: Vec<IncidentEvent>,
}

impl Seen {
    fn take(&mut self, outputs: Outputs) {
        for (_, id, row) in outputs.alerts {
            match row {
                Some(row) => drop(self.alerts.insert(id, row)),
                None => drop(self.alerts.remove(&id)),
            }
        }
        for (_, id, row) in outputs.incidents {
            match row {
                Some(row) => drop(self.incidents.insert(id, row)),
                None => drop(self.incidents.remove(&id)),
            }
        }
        let changes = outputs.alert_events.into_iter();
        self.alert_changes
            .extend(changes.map(|(_, e)| (e.at, e.alert_id, e.change)));
        self.events
            .extend(outputs.incident_events.into_iter().map(|(_, e)| e));
    }

    fn changes(&self) -> Vec<IncidentChange> {
        self.events.iter().map(|e| e.change).collect()
    }
}

fn offline_rule() -> Change {
    Change::Rule(Rule {
        id: RuleId::from_bytes([7; 16]),
        tenant_id: tenant(1),
        name: "offline".to_owned(),
        kind: RuleKind::Offline,
        scope: Scope::Tenant,
        subject: RuleSubject::Device,
        interface: None,
        operator: None,
        enter_milli: 0,
        clear_milli: 0,
        hits: 1,
        clears: 1,
        severity: Severity::Critical,
        enabled: true,
        version: 1,
        schedule: None,
    })
}

/// A router, an access point and its customers, which are well for a minute.
fn tower() -> Script {
    let mut script = Script::new();
    script.change(at(0), offline_rule());
    let roles = [(ROUTER, Role::Router), (AP, Role::Ap)];
    let customers = CUSTOMERS.map(|n| (n, Role::Cpe));
    for (n, role) in roles.into_iter().chain(customers) {
        let id = script.device(at(0), n);
        script.edit(at(0), id, |row| row.role = role);
    }
    for t in (1..60).step_by(10) {
        well(&mut script, at(t));
    }
    script
}

fn well(script: &mut Script, t: Timestamp) {
    script.poll_ok(device(ROUTER), t);
    let clients: Vec<_> = CUSTOMERS.map(|n| good(mac(n), 1_000)).collect();
    script.ap_poll(device(AP), t, &clients);
    for n in CUSTOMERS {
        script.interfaces(device(n), t, &[mac(n)]);
    }
}

/// Power fails: nobody answers, the customers first.
fn dies(script: &mut Script) {
    let all = CUSTOMERS.rev().chain([AP, ROUTER]);
    for (n, id) in (0..).zip(all) {
        for again in [0, 1_000] {
            let t = at_ms(61_000 + n * 200 + again);
            script.poll_failed(device(id), t, Outcome::Timeout);
        }
    }
}

/// All slots through engines, of which a new one of other workers goes on from a snapshot after each `restart` slots.
fn run(slots: &[script::SlotInput], workers: usize, restart: usize) -> Seen {
    let mut seen = Seen::default();
    let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
    for (n, slot) in encode(slots, 3).into_iter().enumerate() {
        if n > 0 && n % restart == 0 {
            let snapshot = engine.snapshot().unwrap();
            let workers = 1 + (workers + n / restart) % 4;
            engine = Engine::start(config(workers), snapshot).unwrap();
        }
        engine.feed(slot).unwrap();
        seen.take(engine.outputs().unwrap());
    }
    seen
}

const NEVER: usize = usize::MAX;

#[test]
fn a_tower_that_dies_is_one_incident_told_once() {
    let mut script = tower();
    dies(&mut script);
    let seen = run(&script.slots(at(75)), 1, NEVER);
    assert_eq!(seen.changes(), [IncidentChange::Opened]);
    let incident = seen.incidents.values().next().unwrap();
    assert_eq!(incident.root, Root::Device(device(ROUTER)));
    assert_eq!((incident.alerts, incident.devices), (14, 14));
    // The links of the access point went down with it.
    assert_eq!(incident.clients, 12);
    let of = |id: DeviceId| {
        let mut alerts = seen.alerts.values();
        alerts.find(|a| a.subject.id() == id.0).unwrap()
    };
    let customer = of(device(5));
    assert_eq!(customer.suppressor, Some(Suppressor::Dependency));
    assert_eq!(customer.cause_device_id, Some(device(ROUTER)));
    assert_eq!(of(device(ROUTER)).status, AlertStatus::Open);

    well(&mut script, at(80));
    let seen = run(&script.slots(at(90)), 1, NEVER);
    assert_eq!(
        seen.changes(),
        [IncidentChange::Opened, IncidentChange::Resolved]
    );
    assert!(seen.alerts.is_empty() && seen.incidents.is_empty());
    assert_eq!(seen.alert_changes.len(), 28);
}

#[test]
fn nobody_is_told_of_what_is_maintained() {
    let mut script = tower();
    let window = Window {
        id: WindowId::from_bytes([8; 16]),
        tenant_id: tenant(1),
        name: "power".to_owned(),
        site_id: Some(site(1)),
        device_ids: Vec::new(),
        starts_at: at(55),
        ends_at: at(85),
        recurrence: None,
        time_zone: "UTC".to_owned(),
        version: 1,
    };
    script.change(at(2), Change::Window(window.clone()));
    dies(&mut script);
    let seen = run(&script.slots(at(84)), 2, NEVER);
    assert!(seen.events.is_empty());
    assert_eq!(seen.alerts.len(), 14);
    for alert in seen.alerts.values() {
        assert_eq!(alert.suppressor, Some(Suppressor::Maintenance));
    }
    // It ends, and the tower is still dead.
    let seen = run(&script.slots(at(86)), 2, NEVER);
    assert_eq!(seen.changes(), [IncidentChange::Opened]);
    // It is called off while it is open.
    script.change(at(70), Change::WindowDeleted { id: window.id });
    let seen = run(&script.slots(at(71)), 2, NEVER);
    assert_eq!(seen.changes(), [IncidentChange::Opened]);
}

#[test]
fn a_tower_behind_another_hangs_on_it_once_a_site_is_of_the_core() {
    let mut script = tower();
    let core = Site {
        id: site(2),
        tenant_id: tenant(1),
        name: "core".to_owned(),
        latitude: None,
        longitude: None,
        elevation_m: None,
        core: true,
        version: 1,
    };
    script.change(at(0), Change::Site(core));
    // The access point 20 at the core has the tower's backhaul 21 at its far end.
    let (near, far) = (20, 21);
    for (n, at_site, role) in [(near, 2, Role::Backhaul), (far, 1, Role::Backhaul)] {
        let id = script.device(at(0), n);
        script.edit(at(0), id, |row| {
            (row.site_id, row.sector_id) = (Some(site(at_site)), None);
            row.role = role;
        });
    }
    for t in (1..60).step_by(10) {
        script.ap_poll(device(near), at(t), &[good(mac(far), 1_000)]);
        script.interfaces(device(far), at(t), &[mac(far)]);
    }
    dies(&mut script);
    for id in [near, far] {
        for again in [0, 1_000] {
            script.poll_failed(device(id), at_ms(62_000 + again), Outcome::Timeout);
        }
    }
    let slots = script.slots(at(75));
    let seen = run(&slots, 1, NEVER);
    assert_eq!(seen.changes(), [IncidentChange::Opened]);
    let incident = seen.incidents.values().next().unwrap();
    assert_eq!(incident.root, Root::Device(device(near)));
    assert_eq!(incident.alerts, 16);
    assert_eq!(run(&slots, 4, 7), seen);
}

#[test]
fn workers_and_restarts_change_nothing() {
    let mut script = tower();
    dies(&mut script);
    well(&mut script, at(80));
    let slots = script.slots(at(90));
    let seen = run(&slots, 1, NEVER);
    for workers in [2, 4] {
        assert_eq!(run(&slots, workers, NEVER), seen, "{workers} workers");
    }
    for restart in [1, 5] {
        assert_eq!(run(&slots, 2, restart), seen, "restarts after {restart}");
    }
}
