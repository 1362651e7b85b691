//! Suppression and incidents from polls on: one word for a tower that dies, whoever computes it and whenever it restarts.

use std::collections::{BTreeMap, BTreeSet};

use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::{Outputs, Snapshot};
use mast_oracle::Oracle;
use mast_oracle::script::{self, Script, at, at_ms, device, good, mac, site, tenant};
use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertId, AlertStatus, AlertView, IncidentChange, IncidentEvent,
    IncidentId, IncidentView, Root, RuleKind, RuleSubject, Scope, Severity, Suppressor,
};
use mast_schemas::control::{Change, Role, Rule, Site, Window};
use mast_schemas::records::Outcome;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, Epoch, RuleId, Timestamp, WindowId};

use crate::flow::compare;
use crate::support::{self, Served, config, encode};

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
fn an_outage_that_ends_just_after_its_site_was_found_down_is_told_once() {
    let mut script = tower();
    let down = script::rule_row(3, RuleKind::SiteDown, 0, 0);
    script.change(at(0), Change::Rule(down));
    dies(&mut script);
    for (t, n) in (70..120)
        .step_by(10)
        .flat_map(|t| (ROUTER..=14).map(move |n| (t, n)))
    {
        script.poll_failed(device(n), at(t), Outcome::Timeout);
    }
    // The site is found down at 120, and power is back a second later.
    for t in (121..185).step_by(10) {
        well(&mut script, at(t));
    }
    let slots = script.slots(at(190));
    let seen = run(&slots, 1, NEVER);
    assert_eq!(
        seen.changes(),
        [IncidentChange::Opened, IncidentChange::Resolved]
    );
    // The rule of the site is the last to see it.
    assert_eq!(seen.events[1].at, at(180));
    assert_eq!(seen.events[1].incident_id, seen.events[0].incident_id);
    for (workers, restart) in [(2, 7), (4, NEVER)] {
        assert_eq!(run(&slots, workers, restart), seen, "{workers} workers");
    }
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

/// The log is away from the 65th minute to the 75th: over an hour after the begin, so that it is known what there was an hour ago.
const AWAY: std::ops::Range<i64> = 65 * 60..75 * 60;
/// So many minutes are polled.
const POLLED: i64 = 140;

/// What becomes of that which is read while the log is away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spool {
    /// It is lost.
    Lost,
    /// It comes as soon as the log is back.
    AtOnce,
    /// It comes then, of each device 25 s after that of the one before.
    OneByOne,
    /// The log is there all the time, and in those minutes nobody answers.
    NoOutage,
}

/// Two access points with two customers each, and their router, each polled once a minute, some half a minute after the others.
fn ten_minutes(spool: Spool) -> Vec<script::SlotInput> {
    const SECOND_AP: u32 = 3;
    const OF_FIRST: [u32; 2] = [4, 5];
    const OF_SECOND: [u32; 2] = [6, 7];
    let mut script = Script::new();
    let kinds = [
        RuleKind::Offline,
        RuleKind::Unmanageable,
        RuleKind::SiteDown,
        RuleKind::DeviceOfflineCount,
        RuleKind::DeviceOfflinePercent,
        RuleKind::SectorClientDrop,
        RuleKind::LinkDownCount,
    ];
    for (n, kind) in (1..).zip(kinds) {
        script.change(at(0), Change::Rule(script::rule_row(n, kind, 0, 0)));
    }
    for n in 1..=7 {
        let id = script.device(at(0), n);
        script.edit(at(0), id, |row| {
            row.role = match n {
                ROUTER => Role::Router,
                AP | SECOND_AP => Role::Ap,
                _ => Role::Cpe,
            };
            row.interval_ms = 60_000;
        });
    }
    for (minute, n) in (0..POLLED).flat_map(|minute| (1..=7).map(move |n| (minute, n))) {
        let s = 60 * minute + 5 + 30 * i64::from(n % 2);
        let t = at(s);
        if AWAY.contains(&s) && spool == Spool::NoOutage {
            script.poll_failed(device(n), t, Outcome::Timeout);
            continue;
        }
        let late = match spool {
            Spool::OneByOne => AWAY.end + 25 * i64::from(n),
            _ => AWAY.end,
        };
        if AWAY.contains(&s) && spool == Spool::Lost {
            continue;
        }
        let table = |of: [u32; 2]| of.map(|n| good(mac(n), s.unsigned_abs() + 9_000));
        match n {
            ROUTER => {
                script.poll_ok(device(n), t);
            }
            AP => {
                script.ap_poll(device(n), t, &table(OF_FIRST));
            }
            SECOND_AP => {
                script.ap_poll(device(n), t, &table(OF_SECOND));
            }
            _ => {
                script.interfaces(device(n), t, &[mac(n)]);
            }
        }
        // What comes after it waits for it.
        if s >= AWAY.start && spool != Spool::NoOutage {
            let wait = (late - s).max(0) * 4;
            script.shift(wait);
        }
    }
    // With nobody to promise anything, time goes on by the clock, some slots at a time.
    let mut slots = Vec::new();
    for mut rest in script.slots(at(60 * POLLED)) {
        let whole = rest.last;
        while rest.first <= whole {
            rest.last = whole.min(Epoch(rest.first.0 + 79));
            let next = rest.last.next();
            slots.push(rest);
            rest = script::SlotInput {
                first: next,
                last: next,
                control: Vec::new(),
                polls: Vec::new(),
            };
        }
    }
    slots
}

/// By four workers, who after each binding say what the oracle says, and in the end what one worker says.
fn compared(slots: &[script::SlotInput]) -> Served {
    let mut inputs = encode(slots, 3);
    for input in &mut inputs {
        input.binding.by_clock = input.messages.is_empty() && input.control.is_empty();
    }
    let mut engine = Engine::start(config(4), Snapshot::default()).unwrap();
    let (mut oracle, mut served) = (Oracle::new(DEFAULT), Served::default());
    for (slot, input) in slots.iter().zip(&inputs) {
        engine.feed(input.clone()).unwrap();
        served.take(engine.outputs().unwrap());
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
        compare(&format!("slot {}", slot.last.0), &served, &oracle.views());
    }
    let events = oracle.take_events();
    let alone = support::run(&inputs, 1, 20);
    assert_eq!(alone.views.alerts, served.views.alerts);
    let ids = |events: &[AlertEvent]| events.iter().map(|e| e.event_id).collect::<BTreeSet<_>>();
    let incidents =
        |events: &[IncidentEvent]| events.iter().map(|e| e.event_id).collect::<BTreeSet<_>>();
    for (alerts, told) in [
        (&events.alerts, &events.incidents),
        (&alone.alert_events, &alone.incident_events),
    ] {
        assert_eq!(ids(alerts), ids(&served.alert_events));
        assert_eq!(incidents(told), incidents(&served.incident_events));
    }
    served
}

#[test]
fn a_log_outage_of_ten_minutes_pages_nobody() {
    for spool in [Spool::Lost, Spool::AtOnce, Spool::OneByOne] {
        let served = compared(&ten_minutes(spool));
        assert_eq!(served.alert_events, [], "{spool:?}");
        assert_eq!(served.incident_events, [], "{spool:?}");
        // The outage was seen as what it is, of each device once, and it is over.
        let unobserved = served.device_events.iter();
        let unobserved = unobserved.filter(|e| e.to_state == DeviceState::Unobserved);
        assert_eq!(unobserved.count(), 7, "{spool:?}");
        let mut devices = served.views.devices.values();
        assert!(devices.all(|d| d.state == DeviceState::Online), "{spool:?}");
    }
    // By the same rules people are told when nobody answers for as long.
    let served = compared(&ten_minutes(Spool::NoOutage));
    let kinds: BTreeSet<_> = served.alert_events.iter().map(|e| e.kind).collect();
    for kind in [
        RuleKind::Offline,
        RuleKind::SiteDown,
        RuleKind::DeviceOfflineCount,
        RuleKind::SectorClientDrop,
    ] {
        assert!(kinds.contains(&kind), "{kind:?}");
    }
    let told: Vec<_> = served.incident_events.iter().map(|e| e.change).collect();
    assert_eq!(told, [IncidentChange::Opened, IncidentChange::Resolved]);
}
