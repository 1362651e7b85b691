//! An outage tells once: what hangs on something of which people were told is told with it, and not for itself when that is
//! back.

use mast_schemas::alerts::{
    AlertStatus, Resolution, Root, RuleKind, Severity, Subject, Suppressor,
};
use mast_schemas::time::Span;

use super::scene::{Scene, device, sector, site};
use super::{Escalated, Opened, Resolved, suppressed, tower};

/// The rule of sites, at the minute.
fn tick(scene: &mut Scene) {
    scene.open(8, RuleKind::SiteDown, Subject::Site(site(1)));
    scene.slot();
}

fn next_tick(scene: &mut Scene) {
    scene.resolve(8, Subject::Site(site(1)), Resolution::Cleared);
    scene.slot();
}

/// The alert of the site: by what it is suppressed, and whether it is in an incident.
fn of_site(scene: &Scene) -> (AlertStatus, Option<Suppressor>, bool) {
    let mut alerts = scene.alerts.values();
    let alert = alerts.find(|alert| alert.kind == RuleKind::SiteDown);
    let alert = alert.unwrap();
    (alert.status, alert.suppressor, alert.incident_id.is_some())
}

const FOLLOWS: (AlertStatus, Option<Suppressor>, bool) =
    (AlertStatus::Suppressed, Some(Suppressor::Dependency), true);
const AWAITS: (AlertStatus, Option<Suppressor>, bool) = (FOLLOWS.0, FOLLOWS.1, false);

#[test]
fn a_site_found_down_just_before_its_router_is_back_is_told_with_it() {
    let mut scene = tower();
    for n in 1..=3 {
        scene.offline(n);
    }
    scene.wait(Span::secs(10));
    let incident = scene.one().incident_id;
    tick(&mut scene);
    assert_eq!(of_site(&scene), FOLLOWS);
    assert_eq!((scene.one().alerts, scene.one().devices), (4, 3));
    // Power is back before the site's alert is settled.
    for n in 1..=3 {
        scene.online(n);
    }
    scene.wait(Span::secs(30));
    let left = scene.one();
    assert_eq!((left.incident_id, left.alerts), (incident, 1));
    assert_eq!(left.root, Root::Site(site(1)));
    assert_eq!(scene.told(), [Opened]);
    // The rule looks again, and all is over.
    next_tick(&mut scene);
    assert_eq!(scene.told(), [Opened, Resolved]);
    assert!(scene.alerts.is_empty() && scene.incidents.is_empty());
}

#[test]
fn what_waits_is_told_with_the_first_that_is_settled() {
    // The tick comes between the end of the router and its being told.
    let mut scene = tower();
    scene.offline(1);
    scene.wait(Span::secs(3));
    tick(&mut scene);
    assert_eq!(of_site(&scene), AWAITS);
    scene.wait(Span::secs(2));
    assert_eq!(scene.told(), [Opened]);
    assert_eq!(of_site(&scene), FOLLOWS);
    assert_eq!(scene.events[0].alerts, 2);
    scene.online(1);
    scene.wait(Span::secs(10));
    next_tick(&mut scene);
    assert_eq!(scene.told(), [Opened, Resolved]);

    // A customer's alert that is settled says as much as the router's own.
    let mut scene = tower();
    scene.offline(3);
    scene.wait(Span::secs(3));
    scene.offline(1);
    scene.offline(2);
    scene.wait(Span::secs(3));
    assert_eq!(scene.told(), [Opened]);
    // That of the router waits itself.
    assert_eq!(scene.one().alerts, 2);
    assert_eq!(scene.one().root, Root::Device(device(1)));
    assert_eq!(scene.status(1, 1), super::WAITING);
}

#[test]
fn who_comes_later_is_told_with_what_it_hangs_on_though_more_above_is_failing() {
    let mut scene = tower();
    scene.offline(2);
    scene.wait(Span::secs(10));
    scene.condition(1, false, true);
    scene.offline(3);
    scene.slot();
    assert_eq!(scene.one().alerts, 2);
    // It fails for good: as ever, that is told.
    scene.offline(1);
    scene.wait(Span::secs(10));
    assert_eq!(scene.one().alerts, 3);
    assert_eq!(scene.told(), [Opened, Escalated]);

    // While it is not clear what died, all wait.
    let mut scene = tower();
    scene.condition(1, false, true);
    scene.offline(2);
    scene.offline(3);
    scene.wait(Span::secs(60));
    assert!(scene.incidents.is_empty());
    scene.condition(1, false, false);
    scene.slot();
    assert_eq!(scene.one().alerts, 2);
    assert_eq!(scene.told(), [Opened]);
}

#[test]
fn an_incident_of_something_else_settles_nothing() {
    let mut scene = tower();
    scene.severity = Severity::Warning;
    scene.open(9, RuleKind::Cpu, Subject::Device(device(2)));
    scene.slot();
    assert_eq!(scene.told(), [Opened]);
    // The access point is busy, that is known; that it died is not: it may be the router.
    scene.severity = Severity::Critical;
    scene.offline(3);
    scene.offline(2);
    scene.slot();
    assert_eq!(scene.status(1, 3), suppressed(Suppressor::Dependency));
    assert_eq!(scene.alert(1, 3).incident_id, None);
    assert_eq!(scene.told(), [Opened]);
    scene.wait(Span::secs(6));
    assert_eq!(scene.one().alerts, 3);
    assert_eq!(scene.told(), [Opened, Escalated]);
}

#[test]
fn what_people_are_not_told_of_settles_nothing() {
    let mut scene = tower();
    for _ in 0..3 {
        scene.offline(1);
        scene.wait(Span::secs(1));
        scene.online(1);
        scene.wait(Span::secs(1));
    }
    scene.offline(1);
    scene.wait(Span::secs(10));
    assert_eq!(scene.status(1, 1), suppressed(Suppressor::Flapping));
    tick(&mut scene);
    assert_eq!(of_site(&scene), AWAITS);
    // It is settled for itself, and then others are told with it.
    scene.wait(Span::secs(6));
    assert_eq!(of_site(&scene), FOLLOWS);
    scene.offline(3);
    scene.slot();
    assert_eq!(
        scene.one().alerts,
        2,
        "its access point hangs on the router"
    );
    scene.offline(2);
    scene.slot();
    assert_eq!(scene.one().alerts, 3);
    assert_eq!(scene.told(), [Opened]);
}

#[test]
fn what_waits_for_a_root_leaves_with_it() {
    let mut scene = tower();
    // The site's alert waits for the router, which is back before it was told of.
    scene.offline(1);
    tick(&mut scene);
    scene.wait(Span::secs(2));
    scene.online(1);
    scene.slot();
    // It is the router's once more, for which nobody waits now.
    scene.resolve(8, Subject::Site(site(1)), Resolution::Manual);
    scene.offline(1);
    scene.wait(Span::secs(10));
    assert_eq!(scene.one().alerts, 1);
    // A sector without a site waits for nobody, and joins when it hangs on the router.
    scene.open(7, RuleKind::SectorClientDrop, Subject::Sector(sector(1)));
    scene.slot();
    assert_eq!(scene.one().alerts, 1);
    scene.in_sector(2, 1);
    scene.slot();
    assert_eq!(scene.one().alerts, 2);
    assert_eq!(scene.told(), [Opened]);
}
