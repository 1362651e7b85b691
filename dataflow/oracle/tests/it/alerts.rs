//! §19 and §20: what hangs on what, who is told, and of how many things, by numbers written by hand.

use mast_oracle::script::{
    Client, Script, at, device, device_row, good, mac, rule, rule_row, site, tenant, window_row,
};
use mast_oracle::{Oracle, laws};
use mast_schemas::alerts::{
    AlertStatus, AlertView, IncidentChange, IncidentEvent, IncidentView, Root, RuleKind,
    RuleSubject, Severity, Subject, Suppressor, alert_id, incident_id,
};
use mast_schemas::control::{Change, Role, Rule, Site, Window};
use mast_schemas::records::Outcome;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{DeviceId, Timestamp};

use AlertStatus::{Open, Suppressed, Waiting};
use RuleKind::{Cpu, DeviceOfflineCount, Offline, SiteDown};

fn fold(script: &Script, until: Timestamp) -> Oracle {
    let mut oracle = Oracle::new(DEFAULT);
    for slot in script.slots(until) {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
        assert_eq!(laws(&oracle.views()), []);
    }
    oracle
}

/// A network of tenant 1 at site 1, with rules on devices that are offline (1, critical) and busy (2, warning).
fn network() -> Script {
    let mut s = Script::new();
    let offline = Rule {
        severity: Severity::Critical,
        ..rule_row(1, Offline, 0, 0)
    };
    s.change(at(0), Change::Rule(offline));
    s.change(at(0), Change::Rule(rule_row(2, Cpu, 90, 80)));
    s
}

fn add(s: &mut Script, n: u32, role: Role, parent: Option<u32>) -> DeviceId {
    let mut row = device_row(n, tenant(1), Some(site(1)), None);
    row.role = role;
    row.parent_id = parent.map(device);
    s.change(at(0), Change::Device(row));
    device(n)
}

fn fails(s: &mut Script, n: u32, seconds: &[i64]) {
    for t in seconds {
        s.poll_failed(device(n), at(*t), Outcome::Timeout);
    }
}

fn busy(s: &mut Script, n: u32, t: i64, load: u8) {
    s.poll_ok(device(n), at(t)).poll.cpu_load_percent = Some(load);
}

/// The open alert of a device, by its rule.
fn alert(oracle: &Oracle, rule_n: u32, n: u32) -> Option<AlertView> {
    let alerts = oracle.views().alerts.into_values();
    let mut alerts =
        alerts.filter(|a| (a.rule_id, &a.subject) == (rule(rule_n), &Subject::Device(device(n))));
    alerts.next()
}

fn status(
    s: &Script,
    until: i64,
    rule_n: u32,
    n: u32,
) -> Option<(AlertStatus, Option<Suppressor>)> {
    // Until the end of the slot that ends at this second.
    let before = Timestamp(at(until).0 - 1);
    alert(&fold(s, before), rule_n, n).map(|a| (a.status, a.suppressor))
}

fn incidents(oracle: &Oracle) -> Vec<IncidentView> {
    let mut all: Vec<_> = oracle.views().incidents.into_values().collect();
    all.sort_by_key(|i| i.opened_at);
    all
}

/// Second (rounded up), change, root, alerts.
fn told(oracle: &mut Oracle) -> Vec<(i64, IncidentChange, u128, u32)> {
    let events = oracle.take_events().incidents;
    let second = |e: &IncidentEvent| ((e.at - at(0)).0 + 999_999) / 1_000_000;
    let number = |e: &IncidentEvent| e.root_id.0.as_u128() & 0xFFFF_FFFF;
    (events.iter())
        .map(|e| (second(e), e.change, number(e), e.alerts))
        .collect()
}

use IncidentChange::{Escalated, Merged, Opened, Resolved};

#[test]
fn an_alert_that_may_be_cut_off_waits() {
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    fails(&mut s, 1, &[10, 20]);
    busy(&mut s, 1, 30, 99);
    let of = |until| status(&s, until, 1, 1);
    assert_eq!(of(20), None);
    assert_eq!(of(21), Some((Waiting, None)));
    // The slot that ends at 25 does not end before 20 + 5.
    let before = Timestamp(at(25).0 - 250_001);
    assert_eq!(
        alert(&fold(&s, before), 1, 1).map(|a| a.status),
        Some(Waiting)
    );
    assert_eq!(of(25), Some((Open, None)));
    // It answers again at 30, and what is not of kind offline does not wait.
    assert_eq!(of(31), None);
    assert_eq!(status(&s, 31, 2, 1), Some((Open, None)));
}

#[test]
fn while_something_above_fails_it_waits_and_then_is_suppressed_or_open() {
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    add(&mut s, 2, Role::Ap, None);
    s.poll_ok(device(1), at(1));
    fails(&mut s, 2, &[10, 20]);
    fails(&mut s, 1, &[22]);
    let of = |s: &Script, until| status(s, until, 1, 2);
    assert_eq!(of(&s, 30), Some((Waiting, None)));
    let mut dead = s.clone();
    fails(&mut dead, 1, &[32]);
    assert_eq!(
        of(&dead, 33),
        Some((Suppressed, Some(Suppressor::Dependency)))
    );
    let view = alert(&fold(&dead, at(33)), 1, 2);
    assert_eq!(view.and_then(|a| a.cause_device_id), Some(device(1)));
    s.poll_ok(device(1), at(32));
    assert_eq!(of(&s, 33), Some((Open, None)));
    // Once told, it does not wait any more.
    fails(&mut s, 1, &[42]);
    assert_eq!(of(&s, 43), Some((Open, None)));
    fails(&mut s, 1, &[52]);
    assert_eq!(of(&s, 53), Some((Suppressed, Some(Suppressor::Dependency))));
}

#[test]
fn failing_is_a_run_of_failures_of_what_was_not_given_up() {
    // Unmanageable is not failing: it answers.
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    add(&mut s, 2, Role::Ap, None);
    for t in [10, 20] {
        s.poll_failed(device(1), at(t), Outcome::AuthFailed);
    }
    fails(&mut s, 2, &[12, 22]);
    assert_eq!(status(&s, 30, 1, 2), Some((Open, None)));
}

#[test]
fn parents() {
    use Role::{Ap, Backhaul, Cpe, Other, Router, Switch};
    // Each row: devices with role, enabled, and parent by hand; then which device is offline, and whether 9 hangs on it.
    let hangs =
        |devices: &[(u32, Role, bool, Option<u32>)], own: (Role, Option<u32>), dead: u32| {
            let mut s = network();
            for (n, role, enabled, parent) in devices {
                add(&mut s, *n, *role, *parent);
                let enabled = *enabled;
                s.edit(at(0), device(*n), |d| d.enabled = enabled);
            }
            add(&mut s, 9, own.0, own.1);
            fails(&mut s, dead, &[10, 20]);
            busy(&mut s, 9, 30, 99);
            alert(&fold(&s, at(31)), 2, 9).and_then(|a| a.cause_device_id) == Some(device(dead))
        };
    let routers = [
        (1, Router, true, None),
        (2, Router, true, None),
        (3, Ap, true, None),
    ];
    for role in [Ap, Backhaul, Switch, Other, Role::Controller] {
        assert!(
            hangs(&routers, (role, None), 1),
            "{role:?}: the router with the lowest id"
        );
        assert!(!hangs(&routers, (role, None), 2), "{role:?}");
    }
    // A disabled router routes nothing, but it may be a parent by hand.
    let disabled = [(1, Router, false, None), (2, Router, true, None)];
    assert!(hangs(&disabled, (Ap, None), 2));
    // The word of people comes first, and is for all roles.
    assert!(hangs(&routers, (Ap, Some(3)), 3));
    assert!(hangs(&routers, (Router, Some(3)), 3));
    assert!(hangs(&routers, (Cpe, Some(3)), 3));
    // 9 on 3, 3 on the router.
    assert!(hangs(&routers, (Ap, Some(3)), 1));
    // A parent that is not there, or is itself, is none.
    assert!(hangs(&routers, (Ap, Some(77)), 1));
    assert!(hangs(&routers, (Ap, Some(9)), 1));
    // Clients without a link and routers without a way to the core hang on nothing.
    assert!(!hangs(&routers, (Cpe, None), 1));
    assert!(!hangs(&routers, (Router, None), 1));
    // Round: 9 on 3, 3 on 9. And from outside: 9 on 3, 3 on 2, 2 on 3.
    let round = [(3, Ap, true, Some(9))];
    assert!(!hangs(&round, (Ap, Some(3)), 3));
    let apart = [(3, Ap, true, Some(2)), (2, Ap, true, Some(3))];
    assert!(hangs(&apart, (Ap, Some(3)), 3));
    assert!(hangs(&apart, (Ap, Some(3)), 2));
}

#[test]
fn a_client_hangs_on_the_access_point_of_its_link() {
    let mut s = network();
    for n in [1, 2] {
        add(&mut s, n, Role::Ap, None);
    }
    add(&mut s, 9, Role::Cpe, None);
    s.interfaces(device(9), at(1), &[mac(1)]);
    s.ap_poll(device(1), at(2), &[good(mac(1), 60)]);
    busy(&mut s, 9, 3, 99);
    s.ap_poll(device(2), at(4), &[]);
    let cause =
        |s: &Script, until| alert(&fold(s, at(until)), 2, 9).and_then(|a| a.cause_device_id);
    let mut first = s.clone();
    fails(&mut first, 1, &[12, 22]);
    assert_eq!(cause(&first, 23), Some(device(1)));
    // It roams to the other: the link with the first is stale.
    s.ap_poll(device(2), at(10), &[good(mac(1), 1)]);
    s.ap_poll(device(1), at(11), &[]);
    fails(&mut s, 1, &[12, 22]);
    assert_eq!(cause(&s, 23), None);
    fails(&mut s, 2, &[14, 24]);
    assert_eq!(cause(&s, 25), Some(device(2)));
}

/// Sites 1 (core), 2 and 3 in a row, each with a router (n) and a backhaul radio (10 × n and 10 × n + 1).
fn chain(core: bool) -> Script {
    let mut s = network();
    for n in [1, 2, 3] {
        let row = Site {
            id: site(n),
            tenant_id: tenant(1),
            name: format!("site-{n}"),
            latitude: None,
            longitude: None,
            elevation_m: None,
            core: core && n == 1,
            version: 1,
        };
        s.change(at(0), Change::Site(row));
        for (n, role) in [
            (n, Role::Router),
            (10 * n, Role::Backhaul),
            (10 * n + 1, Role::Backhaul),
        ] {
            let place = if n < 10 { n } else { n / 10 };
            add(&mut s, n, role, None);
            s.edit(at(0), device(n), |d| d.site_id = Some(site(place)));
        }
    }
    // 10 serves 20, 21 serves 30.
    for (ap, station) in [(10, 20), (21, 30)] {
        s.interfaces(device(station), at(1), &[mac(station)]);
        s.ap_poll(device(ap), at(2), &[good(mac(station), 60)]);
    }
    s
}

#[test]
fn routers_hang_on_the_link_that_leads_to_the_core() {
    let cause = |s: &Script, n, dead: &[u32]| {
        let mut s = s.clone();
        for n in dead {
            fails(&mut s, *n, &[10, 20]);
        }
        busy(&mut s, n, 30, 99);
        alert(&fold(&s, at(31)), 2, n).and_then(|a| a.cause_device_id)
    };
    let s = chain(true);
    // Router 3 hangs on 21, that on router 2, that on 10, that on router 1.
    for dead in [21, 2, 10, 1] {
        assert_eq!(cause(&s, 3, &[dead]), Some(device(dead)));
    }
    assert_eq!(cause(&s, 3, &[21, 10]), Some(device(10)), "the farthest");
    // Its own site's radio hangs on it, and not it on the radio; nothing hangs the core's router.
    assert_eq!(cause(&s, 3, &[30]), None);
    assert_eq!(cause(&s, 30, &[3]), Some(device(3)));
    assert_eq!(cause(&s, 1, &[10, 20, 2]), None);
    // Without a core there is no way to it.
    assert_eq!(cause(&chain(false), 3, &[21]), None);
    // A client of the access point joins no sites.
    let mut cpe = chain(true);
    cpe.edit(at(0), device(30), |d| d.role = Role::Cpe);
    assert_eq!(cause(&cpe, 3, &[21]), None);
    // A site that is core itself hangs on nothing.
    let mut core = chain(true);
    let row = Site {
        id: site(3),
        tenant_id: tenant(1),
        name: "site-3".to_owned(),
        latitude: None,
        longitude: None,
        elevation_m: None,
        core: true,
        version: 2,
    };
    core.change(at(3), Change::Site(row));
    assert_eq!(cause(&core, 3, &[21]), None);
}

#[test]
fn a_place_hangs_on_the_router_of_its_site() {
    let mut s = chain(true);
    let count = Rule {
        subject: RuleSubject::Site,
        scope: mast_schemas::alerts::Scope::Site(site(3)),
        ..rule_row(3, DeviceOfflineCount, 0, 0)
    };
    s.change(at(3), Change::Rule(count));
    fails(&mut s, 30, &[10, 20, 30, 40, 50]);
    let at_tick = fold(&s, Timestamp(at(60).0 - 1));
    let of_site = |oracle: &Oracle| {
        let alerts = oracle.views().alerts.into_values();
        let mut alerts = alerts.filter(|a| a.subject == Subject::Site(site(3)));
        alerts.next().map(|a| (a.status, a.cause_device_id))
    };
    assert_eq!(of_site(&at_tick), Some((Waiting, None)));
    assert_eq!(of_site(&fold(&s, at(65))), Some((Open, None)));
    fails(&mut s, 3, &[61, 71]);
    fails(&mut s, 10, &[62, 72]);
    assert_eq!(
        of_site(&fold(&s, at(71))),
        Some((Suppressed, Some(device(3))))
    );
    assert_eq!(
        of_site(&fold(&s, at(73))),
        Some((Suppressed, Some(device(10))))
    );
}

fn maintained(edit: impl FnOnce(&mut Window)) -> Vec<bool> {
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    add(&mut s, 2, Role::Ap, None);
    let mut row = window_row(1, at(40), at(50));
    edit(&mut row);
    s.change(at(1), Change::Window(row));
    busy(&mut s, 2, 30, 99);
    [39, 40, 49, 50]
        .iter()
        .map(|t| status(&s, *t, 2, 2) == Some((Suppressed, Some(Suppressor::Maintenance))))
        .collect()
}

#[test]
fn maintenance_from_begin_to_end() {
    let yes = [false, true, true, false];
    assert_eq!(maintained(|_| {}), yes);
    assert_eq!(maintained(|w| w.site_id = Some(site(1))), yes);
    assert_eq!(
        maintained(|w| w.device_ids = vec![device(7), device(2)]),
        yes
    );
    let no = [false; 4];
    assert_eq!(maintained(|w| w.site_id = Some(site(2))), no);
    assert_eq!(
        maintained(|w| w.device_ids = vec![device(1)]),
        no,
        "1 is not its root: it is not offline"
    );
    assert_eq!(maintained(|w| w.tenant_id = tenant(2)), no);
}

#[test]
fn maintenance_of_the_root_is_one_of_what_hangs_on_it() {
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    add(&mut s, 2, Role::Ap, None);
    let window = Window {
        device_ids: vec![device(1)],
        ..window_row(1, at(0), at(1_000))
    };
    s.change(at(1), Change::Window(window));
    for n in [1, 2] {
        fails(&mut s, n, &[10, 20, 30, 40]);
    }
    let mut oracle = fold(&s, at(40));
    for n in [1, 2] {
        let view = alert(&oracle, 1, n);
        let status = view.map(|a| (a.status, a.suppressor, a.incident_id));
        assert_eq!(
            status,
            Some((Suppressed, Some(Suppressor::Maintenance), None))
        );
    }
    assert_eq!(told(&mut oracle), []);
    // When the window is deleted, people are told.
    s.change(
        at(50),
        Change::WindowDeleted {
            id: mast_oracle::script::window(1),
        },
    );
    assert_eq!(told(&mut fold(&s, at(60))), [(51, Opened, 1, 2)]);
}

#[test]
fn what_comes_and_goes_is_flapping() {
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    // Openings and resolvings at 10, 20, 30, 40 and 50: the fifth is too many.
    for (k, load) in (1..).zip([99, 10, 99, 10, 99]) {
        busy(&mut s, 1, 10 * k, load);
    }
    let of = |until| status(&s, until, 2, 1);
    assert_eq!(of(31), Some((Open, None)));
    assert_eq!(of(51), Some((Suppressed, Some(Suppressor::Flapping))));
    // The first of the five is out of the window at 610.
    let before = Timestamp(at(610).0 - 250_001);
    assert_eq!(
        alert(&fold(&s, before), 2, 1).map(|a| a.status),
        Some(Suppressed)
    );
    assert_eq!(of(610), Some((Open, None)));
    let oracle = &mut fold(&s, at(620));
    assert_eq!(
        told(oracle),
        [
            (11, Opened, 1, 1),
            (21, Resolved, 1, 0),
            (31, Opened, 1, 1),
            (41, Resolved, 1, 0),
            (610, Opened, 1, 1)
        ]
    );
    assert_eq!(fold(&s, at(620)).take_events().alerts.len(), 5);
}

/// A router with three access points, of which the first has two clients on a link.
fn tower() -> Script {
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    for n in [2, 3, 4] {
        add(&mut s, n, Role::Ap, None);
    }
    let rows: [Client; 2] = [good(mac(1), 60), good(mac(2), 60)];
    s.poll_ok(device(1), at(1));
    s.ap_poll(device(2), at(1), &rows);
    s.ap_poll(device(2), at(2), &rows);
    s
}

#[test]
fn a_tower_that_dies_is_one_incident_whatever_falls_first() {
    for order in [[1, 2, 3, 4], [4, 3, 2, 1], [3, 1, 4, 2]] {
        let mut s = tower();
        for (k, n) in (0..).zip(order) {
            fails(&mut s, n, &[10 + k, 20 + k]);
        }
        let mut oracle = fold(&s, at(40));
        let [incident] = incidents(&oracle)[..] else {
            panic!("{order:?}: {:?}", incidents(&oracle));
        };
        assert_eq!(incident.root, Root::Device(device(1)));
        assert_eq!(
            (incident.alerts, incident.devices, incident.clients),
            (4, 4, 2)
        );
        assert_eq!(
            (incident.kind, incident.severity),
            (Offline, Severity::Critical)
        );
        let changes: Vec<_> = told(&mut oracle).iter().map(|t| (t.1, t.2)).collect();
        assert_eq!(changes, [(Opened, 1)], "{order:?}");
        for n in [2, 3, 4] {
            let view = alert(&oracle, 1, n);
            assert_eq!(
                view.map(|a| a.incident_id),
                Some(Some(incident.incident_id))
            );
        }
        // All answer again: the incident closes with the last.
        for (k, n) in (0..).zip(order) {
            s.poll_ok(device(n), at(50 + k));
        }
        let changes: Vec<_> = told(&mut fold(&s, at(60)));
        assert_eq!(changes[1..], [(54, Resolved, changes[1].2, 0)], "{order:?}");
    }
}

#[test]
fn an_incident_is_of_the_alert_that_opened_first() {
    let mut s = network();
    add(&mut s, 1, Role::Router, None);
    busy(&mut s, 1, 30, 99);
    let [incident] = incidents(&fold(&s, at(31)))[..] else {
        panic!("one incident");
    };
    let first = alert_id(rule(2), &Subject::Device(device(1)), at(30));
    assert_eq!(incident.incident_id, incident_id(tenant(1), first));
    // The slot that holds 30 ends at 30.25.
    assert_eq!(incident.opened_at.0, at(30).0 + 250_000);
    assert_eq!(
        (incident.root, incident.kind),
        (Root::Device(device(1)), Cpu)
    );
    assert_eq!(
        (
            incident.severity,
            incident.alerts,
            incident.devices,
            incident.clients
        ),
        (Severity::Warning, 1, 1, 0)
    );
}

#[test]
fn a_root_above_takes_over_and_merges_what_hangs_on_it() {
    let mut s = tower();
    busy(&mut s, 2, 10, 99);
    busy(&mut s, 3, 20, 99);
    busy(&mut s, 4, 30, 99);
    fails(&mut s, 1, &[31, 41]);
    let mut oracle = fold(&s, at(60));
    // 1 is offline at 41: the first of the three takes the alerts of the others, and its root is 1 now. 1's own alert waits until 46.
    let events = oracle.clone().take_events().incidents;
    let first = events[0].incident_id;
    let merged: Vec<_> = events
        .iter()
        .filter(|e| e.change == Merged)
        .map(|e| e.merged_into)
        .collect();
    assert_eq!(merged, [Some(first), Some(first)]);
    let mut words = told(&mut oracle);
    words.sort_by_key(|w| (w.0, w.1, w.2));
    let expected = [
        (11, Opened, 2, 1),
        (21, Opened, 3, 1),
        (31, Opened, 4, 1),
        (42, Escalated, 1, 3),
        (42, Merged, 3, 0),
        (42, Merged, 4, 0),
        // What 1 itself has to say is critical.
        (46, Escalated, 1, 4),
    ];
    assert_eq!(words, expected);
    let [incident] = incidents(&oracle)[..] else {
        panic!("{:?}", incidents(&oracle));
    };
    // Taken when the root changed: the first of what there was then.
    assert_eq!((incident.incident_id, incident.kind), (first, Cpu));
    assert_eq!(incident.severity, Severity::Critical);
}

/// The tower with a rule of the site (3, critical), which is looked at each minute.
fn watched() -> Script {
    let mut s = tower();
    let down = Rule {
        severity: Severity::Critical,
        ..rule_row(3, SiteDown, 0, 0)
    };
    s.change(at(1), Change::Rule(down));
    s
}

/// The alert of the site: its status, and whether it is in an incident.
fn of_site(s: &Script, until: i64) -> Option<(AlertStatus, Option<Suppressor>, bool)> {
    let before = Timestamp(at(until).0 - 1);
    let alerts = fold(s, before).views().alerts.into_values();
    let mut alerts = alerts.filter(|a| a.subject == Subject::Site(site(1)));
    let alert = alerts.next();
    alert.map(|a| (a.status, a.suppressor, a.incident_id.is_some()))
}

const FOLLOWS: (AlertStatus, Option<Suppressor>, bool) =
    (Suppressed, Some(Suppressor::Dependency), true);
const AWAITS: (AlertStatus, Option<Suppressor>, bool) =
    (Suppressed, Some(Suppressor::Dependency), false);

#[test]
fn an_outage_tells_once_though_its_site_was_found_down_just_before_its_end() {
    // People are told at 45, or at 63; the tick is at 60, and all answer again from 64 on.
    for (falls, told_at, at_tick) in [(30, 45, FOLLOWS), (48, 63, AWAITS)] {
        let mut s = watched();
        for n in 1..=4 {
            fails(&mut s, n, &[falls, falls + 10]);
        }
        assert_eq!(of_site(&s, 60), Some(at_tick), "{told_at}");
        assert_eq!(of_site(&s, 64), Some(FOLLOWS), "{told_at}");
        for (n, t) in (1..=4).flat_map(|n| (64..130).step_by(10).map(move |t| (n, t))) {
            s.poll_ok(device(n), at(t));
        }
        // It is no longer suppressed, and told: it stays where it is until the rule is looked at again.
        assert_eq!(of_site(&s, 119), Some((Open, None, true)), "{told_at}");
        let words: Vec<_> = told(&mut fold(&s, at(130)));
        let alerts = if at_tick == FOLLOWS { 4 } else { 5 };
        let expected = [(told_at, Opened, 1, alerts), (120, Resolved, 1, 0)];
        assert_eq!(words, expected);
    }
}

#[test]
fn who_hangs_on_what_was_told_joins_it_though_more_above_is_failing() {
    let mut s = chain(true);
    // Router 3 is told; then what is above it fails, once.
    fails(&mut s, 3, &[10, 20]);
    s.poll_ok(device(21), at(21));
    fails(&mut s, 21, &[27]);
    fails(&mut s, 30, &[19, 29]);
    let mut oracle = fold(&s, at(30));
    let view = alert(&oracle, 1, 30);
    let view = view.map(|a| (a.status, a.cause_device_id, a.incident_id.is_some()));
    assert_eq!(view, Some((Suppressed, Some(device(3)), true)));
    assert_eq!(told(&mut oracle), [(25, Opened, 3, 1)]);
    // Of a router that waits itself, nobody is told.
    let mut s = chain(true);
    fails(&mut s, 21, &[9]);
    fails(&mut s, 3, &[10, 20]);
    fails(&mut s, 30, &[11, 21]);
    let oracle = fold(&s, at(38));
    let view = alert(&oracle, 1, 30).map(|a| (a.status, a.cause_device_id, a.incident_id));
    assert_eq!(view, Some((Suppressed, Some(device(3)), None)));
    assert_eq!(alert(&oracle, 1, 3).map(|a| a.status), Some(Waiting));
}

#[test]
fn an_incident_of_something_else_says_nothing_of_what_died() {
    // 2 is busy, which is told; then it is offline at 40, and so is a customer on it at 41: each waits for its five seconds.
    let mut s = tower();
    busy(&mut s, 2, 20, 99);
    add(&mut s, 9, Role::Cpe, Some(2));
    fails(&mut s, 2, &[30, 40]);
    fails(&mut s, 9, &[31, 41]);
    let view = alert(&fold(&s, at(44)), 1, 9);
    let view = view.map(|a| (a.status, a.cause_device_id, a.incident_id));
    assert_eq!(view, Some((Suppressed, Some(device(2)), None)));
    // When 2 is settled, both are told.
    let words = [(21, Opened, 2, 1), (45, Escalated, 2, 3)];
    assert_eq!(told(&mut fold(&s, at(45))), words);
}

#[test]
fn a_root_that_is_back_gives_the_incident_to_what_is_left() {
    let mut s = tower();
    fails(&mut s, 1, &[10, 20]);
    for n in [2, 3] {
        fails(&mut s, n, &[11, 21]);
    }
    s.poll_ok(device(1), at(40));
    let mut oracle = fold(&s, at(50));
    let [incident] = incidents(&oracle)[..] else {
        panic!("{:?}", incidents(&oracle));
    };
    // Both have one alert: the lowest id. That some are back is nothing to tell.
    assert_eq!(
        (incident.root, incident.alerts),
        (Root::Device(device(2)), 2)
    );
    assert_eq!(told(&mut oracle), [(25, Opened, 1, 3)]);
    // The severity is that of all that were ever in it.
    let mut s = tower();
    fails(&mut s, 1, &[10, 20]);
    busy(&mut s, 2, 30, 99);
    s.poll_ok(device(1), at(40));
    let [incident] = incidents(&fold(&s, at(50)))[..] else {
        panic!("one incident");
    };
    assert_eq!(
        (incident.root, incident.severity, incident.kind),
        (Root::Device(device(2)), Severity::Critical, Cpu)
    );
}

#[test]
fn an_alert_that_is_suppressed_stays_in_its_incident_and_joins_none() {
    let mut s = tower();
    busy(&mut s, 2, 10, 99);
    let window = Window {
        device_ids: vec![device(2)],
        ..window_row(1, at(20), at(40))
    };
    s.change(at(15), Change::Window(window));
    let inside = alert(&fold(&s, at(30)), 2, 2);
    assert!(inside.is_some_and(|a| a.status == Suppressed && a.incident_id.is_some()));
    busy(&mut s, 2, 25, 10);
    busy(&mut s, 2, 30, 99);
    let joined = alert(&fold(&s, at(35)), 2, 2);
    assert!(joined.is_some_and(|a| a.status == Suppressed && a.incident_id.is_none()));
    let words = told(&mut fold(&s, at(45)));
    assert_eq!(
        words,
        [(11, Opened, 2, 1), (26, Resolved, 2, 0), (40, Opened, 2, 1)]
    );
}

#[test]
fn a_severity_that_rises_is_told() {
    let mut s = tower();
    busy(&mut s, 2, 10, 99);
    let severe = |severity| {
        Change::Rule(Rule {
            severity,
            ..rule_row(2, Cpu, 90, 80)
        })
    };
    s.change(at(20), severe(Severity::Critical));
    s.change(at(30), severe(Severity::Info));
    let mut oracle = fold(&s, at(40));
    assert_eq!(incidents(&oracle)[0].severity, Severity::Critical);
    assert_eq!(
        alert(&oracle, 2, 2).map(|a| a.severity),
        Some(Severity::Info)
    );
    assert_eq!(
        told(&mut oracle),
        [(11, Opened, 2, 1), (21, Escalated, 2, 1)]
    );
}

#[test]
fn tenants_have_incidents_of_their_own() {
    let mut s = network();
    s.change(
        at(0),
        Change::Rule(Rule {
            tenant_id: tenant(2),
            ..rule_row(9, Cpu, 90, 80)
        }),
    );
    add(&mut s, 1, Role::Router, None);
    // Of the other tenant, and people say that it hangs on the first's router.
    let mut row = device_row(2, tenant(2), Some(site(1)), None);
    (row.role, row.parent_id) = (Role::Ap, Some(device(1)));
    s.change(at(0), Change::Device(row));
    fails(&mut s, 1, &[10, 20]);
    busy(&mut s, 2, 30, 99);
    let oracle = fold(&s, at(40));
    let roots: Vec<_> = incidents(&oracle)
        .iter()
        .map(|i| (i.tenant_id, i.root))
        .collect();
    assert_eq!(
        roots,
        [
            (tenant(1), Root::Device(device(1))),
            (tenant(2), Root::Device(device(2)))
        ]
    );
}
