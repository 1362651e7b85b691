//! Scenes of §19 and §20, by slots.

mod outages;
mod scene;
mod storms;

use mast_schemas::Timestamp;
use mast_schemas::alerts::{
    AlertStatus, IncidentChange, Resolution, Root, RuleKind, Severity, Subject, Suppressor,
};
use mast_schemas::control::{Role, Window};
use mast_schemas::time::Span;

use scene::{Scene, device, rule, sector, site, window};

use IncidentChange::{Escalated, Merged, Opened, Resolved};

const OPEN: (AlertStatus, Option<Suppressor>) = (AlertStatus::Open, None);
const WAITING: (AlertStatus, Option<Suppressor>) = (AlertStatus::Waiting, None);

const fn suppressed(by: Suppressor) -> (AlertStatus, Option<Suppressor>) {
    (AlertStatus::Suppressed, Some(by))
}

/// A router 1 at site 1, the access point 2 there, and the customer 3 on it.
fn tower() -> Scene {
    let mut scene = Scene::default();
    scene.place(1, Role::Router, 1);
    scene.place(2, Role::Ap, 1);
    scene.place(3, Role::Cpe, 0);
    scene.link(2, 3);
    scene
}

#[test]
fn what_stands_alone_is_told_once_it_is_settled() {
    let mut scene = tower();
    scene.offline(3);
    scene.slot();
    assert_eq!(scene.status(1, 3), WAITING);
    assert!(scene.incidents.is_empty());
    scene.wait(Span::secs(5));
    assert_eq!(scene.status(1, 3), OPEN);
    assert_eq!(scene.told(), [Opened]);
    let incident = scene.one();
    assert_eq!(incident.root, Root::Device(device(3)));
    assert_eq!(
        (incident.alerts, incident.devices, incident.clients),
        (1, 1, 0)
    );
    assert_eq!(incident.opened_at, scene.now);
    scene.online(3);
    scene.slot();
    assert!(scene.incidents.is_empty() && scene.alerts.is_empty());
    let event = scene.events.last().unwrap();
    assert_eq!(
        (event.change, event.alerts, event.devices),
        (Resolved, 0, 0)
    );
}

#[test]
fn of_a_poll_it_does_not_wait() {
    let mut scene = tower();
    scene.open(9, RuleKind::Cpu, Subject::Device(device(3)));
    scene.slot();
    assert_eq!(scene.status(9, 3), OPEN);
    assert_eq!(scene.told(), [Opened]);
}

#[test]
fn while_something_above_is_failing_it_waits() {
    let mut scene = tower();
    scene.condition(1, false, true);
    scene.offline(3);
    scene.wait(Span::secs(60));
    assert_eq!(scene.status(1, 3), WAITING);
    scene.condition(1, false, false);
    scene.slot();
    assert_eq!(scene.status(1, 3), OPEN);
    // Once it was told of, it waits no more.
    scene.condition(1, false, true);
    scene.slot();
    assert_eq!(scene.status(1, 3), OPEN);
    assert_eq!(scene.told(), [Opened]);
}

#[test]
fn what_hangs_on_a_dead_one_is_told_with_it() {
    let mut scene = tower();
    scene.offline(3);
    scene.slot();
    scene.offline(2);
    scene.slot();
    assert_eq!(scene.status(1, 3), suppressed(Suppressor::Dependency));
    // Nobody knows yet what died.
    assert!(scene.incidents.is_empty());
    scene.offline(1);
    scene.wait(Span::secs(10));
    assert_eq!(scene.told(), [Opened]);
    let incident = scene.one();
    assert_eq!(
        (incident.root, incident.alerts),
        (Root::Device(device(1)), 3)
    );
    for n in [2, 3] {
        assert_eq!(scene.status(1, n), suppressed(Suppressor::Dependency));
        assert_eq!(scene.alert(1, n).cause_device_id, Some(device(1)));
    }
    assert_eq!(scene.status(1, 1), OPEN);
    assert_eq!(scene.alert(1, 1).cause_device_id, None);
    // It comes back from above: nothing is told until all is well.
    for n in 1..=3 {
        scene.online(n);
        scene.wait(Span::secs(20));
    }
    assert_eq!(scene.told(), [Opened, Resolved]);
}

#[test]
fn a_root_further_up_that_dies_later_escalates() {
    let mut scene = tower();
    scene.offline(3);
    scene.wait(Span::secs(10));
    let id = scene.one().incident_id;
    scene.offline(2);
    scene.wait(Span::secs(10));
    scene.offline(1);
    scene.wait(Span::secs(10));
    assert_eq!(scene.told(), [Opened, Escalated, Escalated]);
    let incident = scene.one();
    assert_eq!(
        (incident.incident_id, incident.root),
        (id, Root::Device(device(1)))
    );
    assert_eq!(incident.alerts, 3);
}

#[test]
fn a_greater_severity_escalates_once() {
    let mut scene = tower();
    scene.severity = Severity::Warning;
    scene.open(9, RuleKind::Cpu, Subject::Device(device(3)));
    scene.slot();
    assert_eq!(scene.told(), [Opened]);
    scene.severity(
        9,
        RuleKind::Cpu,
        Subject::Device(device(3)),
        Severity::Critical,
    );
    scene.slot();
    assert_eq!(scene.told(), [Opened, Escalated]);
    assert_eq!(scene.one().severity, Severity::Critical);
    // It stays as grave as it ever was, and is told so no more.
    scene.severity(9, RuleKind::Cpu, Subject::Device(device(3)), Severity::Info);
    scene.slot();
    assert_eq!(scene.alert(9, 3).severity, Severity::Info);
    assert_eq!(scene.one().severity, Severity::Critical);
    scene.severity(
        9,
        RuleKind::Cpu,
        Subject::Device(device(3)),
        Severity::Critical,
    );
    scene.slot();
    assert_eq!(scene.told(), [Opened, Escalated]);
}

#[test]
fn alerts_of_one_root_are_one_incident_and_its_kind_is_that_of_the_root() {
    let mut scene = tower();
    scene.open(9, RuleKind::Cpu, Subject::Device(device(2)));
    scene.open(
        8,
        RuleKind::InterfaceDown,
        Subject::Interface(device(2), "ether1".into()),
    );
    scene.open(7, RuleKind::Signal, Subject::Device(device(3)));
    scene.slot();
    assert_eq!(scene.incidents.len(), 2);
    let incident = scene.incident_of(9, 2);
    assert_eq!((incident.alerts, incident.devices), (2, 1));
    assert_eq!(incident.kind, RuleKind::Cpu);
    // The access point dies: what its customer has is of it now.
    scene.offline(2);
    scene.slot();
    assert_eq!(scene.incidents.len(), 1);
    let incident = scene.one();
    assert_eq!((incident.alerts, incident.devices), (3, 2));
    let merged = scene.events.iter().find(|e| e.change == Merged).unwrap();
    let survivor = incident.incident_id;
    assert_eq!(merged.merged_into, Some(survivor));
    assert_ne!(merged.incident_id, survivor);
    // Both opened in one slot: the lowest id.
    assert!(survivor < merged.incident_id);
    assert_eq!(incident.root, Root::Device(device(2)));
    scene.wait(Span::secs(6));
    assert_eq!(scene.one().alerts, 4);
}

#[test]
fn the_incident_that_opened_first_takes_the_others() {
    let mut scene = tower();
    scene.place(4, Role::Cpe, 0);
    scene.link(2, 4);
    scene.open(9, RuleKind::Cpu, Subject::Device(device(4)));
    scene.slot();
    let first = scene.one().incident_id;
    scene.open(9, RuleKind::Cpu, Subject::Device(device(3)));
    scene.slot();
    assert_eq!(scene.incidents.len(), 2);
    scene.offline(2);
    scene.wait(Span::secs(10));
    assert_eq!(scene.one().incident_id, first);
    let changes: Vec<_> = scene.events.iter().map(|e| e.change).collect();
    assert_eq!(changes, [Opened, Opened, Merged, Escalated]);
    // They stay together when the access point is back: what is one is not torn apart.
    scene.online(2);
    scene.slot();
    assert_eq!(scene.one().alerts, 2);
    scene.resolve(9, Subject::Device(device(3)), Resolution::Cleared);
    scene.slot();
    assert_eq!(scene.one().root, Root::Device(device(4)));
    scene.resolve(9, Subject::Device(device(4)), Resolution::Manual);
    scene.slot();
    assert_eq!(scene.events.last().map(|e| e.change), Some(Resolved));
    assert!(scene.incidents.is_empty());
}

#[test]
fn several_roots_join_what_they_share() {
    let mut scene = Scene::default();
    // 5 and 6 came together by 7; 8 and 9 are alone.
    for n in [8, 5, 6, 9] {
        scene.by_hand(n, if n == 8 || n == 9 { 4 } else { 7 });
        scene.open(2, RuleKind::Cpu, Subject::Device(device(n)));
        scene.slot();
    }
    scene.condition(7, true, false);
    scene.slot();
    assert_eq!(
        scene.incidents.len(),
        4,
        "a device that control does not know is no parent"
    );
    scene.by_hand(7, 4);
    scene.slot();
    assert_eq!(scene.incidents.len(), 3);
    scene.condition(7, false, false);
    scene.slot();
    // 10 is above 5 and 8, 11 above 6 and 9: both roots share the incident of 5 and 6.
    let (eight, six) = (scene.incident_of(2, 8), scene.incident_of(2, 6));
    let nine = scene.incident_of(2, 9).incident_id;
    assert_eq!(six.alerts, 2);
    for (n, parent) in [(10, 4), (11, 4), (5, 10), (8, 10), (6, 11), (9, 11)] {
        scene.by_hand(n, parent);
    }
    scene.condition(10, true, false);
    scene.condition(11, true, false);
    scene.slot();
    assert_eq!(scene.one().incident_id, eight.incident_id);
    assert_eq!(scene.one().alerts, 4);
    let merged = scene
        .events
        .iter()
        .filter(|e| e.merged_into == Some(eight.incident_id));
    let mut merged: Vec<_> = merged.map(|e| e.incident_id).collect();
    merged.sort();
    let mut others = vec![six.incident_id, nine];
    others.sort();
    assert_eq!(merged, others);
}

#[test]
fn a_place_comes_from_the_router_of_its_site() {
    let mut scene = tower();
    scene.in_sector(2, 1);
    scene.open(8, RuleKind::SiteDown, Subject::Site(site(1)));
    scene.open(7, RuleKind::SectorClientDrop, Subject::Sector(sector(1)));
    scene.slot();
    assert!(scene.incidents.is_empty());
    scene.offline(1);
    scene.wait(Span::secs(6));
    let incident = scene.one();
    assert_eq!(
        (incident.root, incident.alerts),
        (Root::Device(device(1)), 3)
    );
    assert_eq!(incident.devices, 1);
    scene.online(1);
    scene.slot();
    // Nothing above is dead: each is of itself, and they stay together.
    assert_eq!(scene.one().alerts, 2);
    assert!(matches!(scene.one().root, Root::Site(_) | Root::Sector(_)));
    assert_eq!(scene.told(), [Opened]);
}

#[test]
fn a_site_without_a_router_is_its_own_root() {
    let mut scene = Scene::default();
    scene.place(2, Role::Ap, 1);
    scene.open(8, RuleKind::SiteDown, Subject::Site(site(1)));
    scene.wait(Span::secs(6));
    assert_eq!(scene.one().root, Root::Site(site(1)));
    assert_eq!(scene.one().devices, 0);
}

#[test]
fn maintenance_of_it_or_of_its_root_tells_nobody() {
    for (name, named) in [
        ("tenant", window(1, 0, 100)),
        (
            "site of the root",
            Window {
                site_id: Some(site(1)),
                ..window(1, 0, 100)
            },
        ),
        (
            "root",
            Window {
                device_ids: vec![device(1)],
                ..window(1, 0, 100)
            },
        ),
    ] {
        let mut scene = tower();
        scene.window(named);
        scene.offline(1);
        scene.offline(3);
        scene.wait(Span::secs(50));
        assert_eq!(
            scene.status(1, 1),
            suppressed(Suppressor::Maintenance),
            "{name}"
        );
        assert_eq!(
            scene.status(1, 3),
            suppressed(Suppressor::Maintenance),
            "{name}"
        );
        assert!(scene.incidents.is_empty(), "{name}");
        // What is no longer hidden is told.
        scene.wait_until(Timestamp::from_secs(100) - Span(1));
        assert!(scene.incidents.is_empty(), "{name}");
        scene.wait_until(Timestamp::from_secs(100));
        assert_eq!(scene.told(), [Opened], "{name}");
        assert_eq!(scene.one().alerts, 2, "{name}");
    }
    // Of the customer alone it hides nothing else.
    let mut scene = tower();
    scene.window(Window {
        device_ids: vec![device(3)],
        ..window(1, 0, 100)
    });
    scene.offline(1);
    scene.offline(3);
    scene.wait(Span::secs(50));
    assert_eq!(scene.status(1, 3), suppressed(Suppressor::Maintenance));
    assert_eq!((scene.one().alerts, scene.one().devices), (1, 1));
}

#[test]
fn maintenance_of_a_site_hides_alerts_of_the_site_and_of_its_sectors() {
    for (name, named) in [
        ("tenant", window(1, 0, 100)),
        (
            "site",
            Window {
                site_id: Some(site(1)),
                ..window(1, 0, 100)
            },
        ),
    ] {
        let mut scene = tower();
        scene.in_sector(2, 1);
        scene.window(named);
        let of = [Subject::Site(site(1)), Subject::Sector(sector(1))];
        scene.open(8, RuleKind::SiteDown, of[0].clone());
        scene.open(9, RuleKind::SectorClientDrop, of[1].clone());
        scene.wait(Span::secs(50));
        let hidden = |scene: &Scene| {
            let mut all = scene.alerts.values();
            all.all(|alert| alert.suppressor == Some(Suppressor::Maintenance))
        };
        assert_eq!(scene.alerts.len(), 2, "{name}");
        assert!(hidden(&scene) && scene.incidents.is_empty(), "{name}");
        scene.wait_until(Timestamp::from_secs(100));
        assert!(
            scene
                .alerts
                .values()
                .all(|alert| alert.status == AlertStatus::Open),
            "{name}"
        );
        assert!(!scene.incidents.is_empty(), "{name}");
    }
    // One of another site, or of what stands at this one, is none for the site.
    for named in [
        Window {
            site_id: Some(site(2)),
            ..window(1, 0, 100)
        },
        Window {
            device_ids: vec![device(2)],
            ..window(1, 0, 100)
        },
    ] {
        let mut scene = tower();
        scene.window(named);
        scene.open(8, RuleKind::SiteDown, Subject::Site(site(1)));
        scene.wait(Span::secs(50));
        assert_eq!(scene.told(), [Opened]);
    }
}

#[test]
fn what_is_told_of_stays_when_its_maintenance_begins() {
    let mut scene = tower();
    scene.window(window(1, 20, 40));
    scene.offline(3);
    scene.wait(Span::secs(10));
    assert_eq!(scene.told(), [Opened]);
    scene.wait_until(Timestamp::from_secs(30));
    assert_eq!(scene.status(1, 3), suppressed(Suppressor::Maintenance));
    assert_eq!(scene.one().alerts, 1);
    scene.window_gone(1);
    scene.slot();
    assert_eq!(scene.status(1, 3), OPEN);
    assert_eq!(scene.told(), [Opened]);
    scene.online(3);
    scene.slot();
    assert_eq!(scene.told(), [Opened, Resolved]);
}

#[test]
fn a_weekly_window_follows_the_clock_of_its_zone() {
    // 02:00 to 04:00 in Ljubljana on Sundays, from 2026-03-22: 01:00 UTC, a week later 00:00 UTC: the hour from 02:00 is leapt
    // over, so it does not take place; from 2026-04-05 on at 00:00 UTC.
    let mut scene = tower();
    let first = 1_774_141_200;
    scene.window(Window {
        recurrence: Some("FREQ=WEEKLY;BYDAY=SU".to_owned()),
        time_zone: "Europe/Ljubljana".to_owned(),
        ..window(1, first, first + 7_200)
    });
    scene.now = Timestamp::from_secs(first - 600);
    scene.offline(3);
    scene.slot();
    let week = 7 * 86_400;
    for (at, hidden) in [
        (first - 1, false),
        (first, true),
        (first + 7_199, true),
        (first + 7_200, false),
        (first + week, false),
        (first + 2 * week - 3_601, false),
        (first + 2 * week - 3_600, true),
        (first + 2 * week + 3_599, true),
        (first + 2 * week + 3_600, false),
    ] {
        scene.wait_until(Timestamp::from_secs(at));
        let status = if hidden {
            suppressed(Suppressor::Maintenance)
        } else {
            OPEN
        };
        assert_eq!(scene.status(1, 3), status, "{}", at - first);
    }
}

#[test]
fn power_that_comes_and_goes_makes_no_storm() {
    let mut scene = tower();
    for round in 0..20 {
        scene.offline(3);
        scene.wait(Span::secs(10));
        if round >= 2 {
            assert_eq!(
                scene.status(1, 3),
                suppressed(Suppressor::Flapping),
                "{round}"
            );
        }
        scene.online(3);
        scene.wait(Span::secs(10));
    }
    // The fifth change of the first ten minutes made it flap.
    assert_eq!(scene.told(), [Opened, Resolved, Opened, Resolved]);
    // It stays off: told once the fifth newest change, 40 s before, is ten minutes ago; it was just after that slot's end.
    scene.offline(3);
    scene.wait_until(scene.now + Span::secs(600 - 40));
    assert_eq!(scene.status(1, 3), suppressed(Suppressor::Flapping));
    scene.slot();
    assert_eq!(scene.status(1, 3), OPEN);
    assert_eq!(scene.told().len(), 5);
}

#[test]
fn an_alert_that_resolves_and_opens_in_one_slot_keeps_its_incident() {
    let mut scene = tower();
    scene.open(9, RuleKind::Cpu, Subject::Device(device(3)));
    scene.slot();
    let (old, incident) = (scene.alert(9, 3).alert_id, scene.one().incident_id);
    scene.resolve(9, Subject::Device(device(3)), Resolution::Cleared);
    scene.open(9, RuleKind::Cpu, Subject::Device(device(3)));
    scene.slot();
    assert_ne!(scene.alert(9, 3).alert_id, old);
    assert_eq!(scene.one().incident_id, incident);
    assert_eq!(scene.alerts.len(), 1);
    assert_eq!(scene.told(), [Opened]);
    // What comes and goes within a slot is never seen.
    scene.open(8, RuleKind::Ccq, Subject::Device(device(2)));
    scene.resolve(8, Subject::Device(device(2)), Resolution::Cleared);
    scene.slot();
    assert_eq!((scene.alerts.len(), scene.incidents.len()), (1, 1));
}

#[test]
fn clients_are_the_links_down_of_its_devices() {
    let mut scene = tower();
    scene.down(2, 7);
    scene.down(1, 2);
    scene.open(9, RuleKind::Cpu, Subject::Device(device(2)));
    scene.open(8, RuleKind::Ccq, Subject::Device(device(2)));
    scene.slot();
    assert_eq!(scene.one().clients, 7);
    scene.down(2, 3);
    scene.slot();
    assert_eq!(scene.one().clients, 10);
    scene.resolve(9, Subject::Device(device(2)), Resolution::Cleared);
    scene.down(2, -4);
    scene.slot();
    assert_eq!((scene.one().clients, scene.one().devices), (6, 1));
}

#[test]
fn a_round_of_parents_by_hand_hides_nothing() {
    let mut scene = Scene::default();
    for (n, parent) in [(1, 2), (2, 3), (3, 1), (4, 3)] {
        scene.by_hand(n, parent);
    }
    for n in 1..=3 {
        scene.offline(n);
    }
    scene.wait(Span::secs(6));
    for n in 1..=3 {
        assert_eq!(scene.status(1, n), OPEN);
    }
    assert_eq!(scene.incidents.len(), 3);
    // What hangs on the round is of the farthest of it: 4, 3, 1, 2.
    scene.offline(4);
    scene.wait(Span::secs(6));
    assert_eq!(scene.alert(1, 4).cause_device_id, Some(device(2)));
    assert_eq!(scene.incident_of(1, 4).root, Root::Device(device(2)));
}

#[test]
fn a_parent_that_changes_takes_its_alerts_along() {
    let mut scene = Scene::default();
    for n in [1, 2] {
        scene.by_hand(n, 9);
        scene.offline(n);
    }
    scene.by_hand(3, 1);
    scene.offline(3);
    scene.wait(Span::secs(6));
    assert_eq!(scene.alert(1, 3).cause_device_id, Some(device(1)));
    let (one, two) = (scene.incident_of(1, 1), scene.incident_of(1, 2));
    assert_ne!(one.incident_id, two.incident_id);
    // It hangs on the other one now, so both are one.
    scene.by_hand(3, 2);
    scene.slot();
    assert_eq!(scene.alert(1, 3).cause_device_id, Some(device(2)));
    assert_eq!(scene.one().alerts, 3);
    scene.by_hand(3, 9);
    scene.slot();
    assert_eq!(scene.alert(1, 3).cause_device_id, None);
    assert_eq!(scene.status(1, 3), OPEN);
}

#[test]
fn tenants_know_nothing_of_each_other() {
    let mut scene = tower();
    scene.offline(1);
    scene.slot();
    scene.tenant = 2;
    scene.open(9, RuleKind::Cpu, Subject::Device(device(3)));
    scene.wait(Span::secs(6));
    assert_eq!(scene.incidents.len(), 2);
    let mut tenants: Vec<_> = scene.incidents.values().map(|i| i.tenant_id).collect();
    tenants.dedup();
    assert_eq!(tenants.len(), 2);
    assert_eq!(scene.status(9, 3), OPEN);
    assert_eq!(rule(9), scene.alert(9, 3).rule_id);
}
