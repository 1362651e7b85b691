//! Much at once.

use std::time::Instant;

use mast_schemas::alerts::{IncidentChange, Root, RuleKind, Subject};
use mast_schemas::control::Role;
use mast_schemas::time::Span;
use proptest::prelude::*;

use super::scene::{Scene, device};

const DEVICES: u32 = 200;

/// A router 1 with 19 access points, each with customers; 200 devices in all.
fn tower() -> Scene {
    let mut scene = Scene::default();
    scene.restored = false;
    scene.place(1, Role::Router, 1);
    for ap in 2..=20 {
        scene.place(ap, Role::Ap, 1);
    }
    for customer in 21..=DEVICES {
        scene.place(customer, Role::Cpe, 0);
        scene.link(2 + customer % 19, customer);
    }
    scene.slot();
    scene
}

/// Who dies in which slot, and who comes back in which.
fn orders() -> impl Strategy<Value = (Vec<u32>, Vec<u32>, u32)> {
    let up: Vec<u32> = (1..=DEVICES).collect();
    let down: Vec<u32> = (1..=DEVICES).rev().collect();
    let any = prop_oneof![Just(up.clone()), Just(down), Just(up).prop_shuffle()];
    (any.clone(), any, 11u32..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_tower_that_dies_is_told_of_once((dies, comes, a_slot) in orders()) {
        let mut scene = tower();
        // All within the time that alerts settle in: 5 s are 20 slots.
        for (n, device) in (0..).zip(&dies) {
            scene.offline(*device);
            if n % a_slot == 0 {
                scene.slot();
            }
        }
        scene.wait(Span::secs(60));
        prop_assert_eq!(scene.told(), [IncidentChange::Opened]);
        let incident = scene.one();
        prop_assert_eq!((incident.alerts, incident.devices), (DEVICES, DEVICES));
        prop_assert_eq!(incident.root, Root::Device(device(1)));
        for (n, device) in (0..).zip(&comes) {
            scene.online(*device);
            if n % 3 == 0 {
                scene.wait(Span::secs(1));
            }
        }
        scene.slot();
        prop_assert_eq!(scene.told(), [IncidentChange::Opened, IncidentChange::Resolved]);
        prop_assert!(scene.alerts.is_empty() && scene.incidents.is_empty());
    }

    /// Slower than alerts settle: it is told of again only as its root moves up, and it is one in the end.
    #[test]
    fn a_tower_that_dies_slowly_is_one_incident_in_the_end((dies, ..) in orders()) {
        let mut scene = tower();
        for device in &dies {
            scene.offline(*device);
            scene.wait(Span::secs(3));
        }
        scene.wait(Span::secs(60));
        prop_assert_eq!(scene.one().root, Root::Device(device(1)));
        prop_assert_eq!(scene.one().alerts, DEVICES);
    }

    /// Any order of what happens, looked at after each slot: laws hold, and a restored step goes on alike.
    #[test]
    fn whatever_happens_it_can_be_restored(steps in prop::collection::vec((0u32..9, 1u32..8, 1u32..8), 1..60)) {
        let mut scene = Scene::default();
        let mut off = std::collections::BTreeSet::new();
        let mut hot = std::collections::BTreeSet::new();
        for (what, a, b) in steps {
            match what {
                0 => scene.by_hand(a, b),
                1 => scene.place(a, Role::Router, b % 3),
                2 => scene.place(a, Role::Cpe, 0),
                3 => scene.link(a, if a == b { b + 1 } else { b }),
                4 | 5 if off.insert(a) => scene.offline(a),
                4 | 5 => {
                    off.remove(&a);
                    scene.online(a);
                }
                6 if hot.insert(a) => scene.open(9, RuleKind::Cpu, Subject::Device(device(a))),
                6 => {
                    hot.remove(&a);
                    let resolution = mast_schemas::alerts::Resolution::Cleared;
                    scene.resolve(9, Subject::Device(device(a)), resolution);
                }
                7 => scene.core(b % 3),
                _ => scene.wait(Span::secs(i64::from(b))),
            }
            if b % 2 == 0 {
                scene.slot();
            }
        }
        scene.slot();
        scene.wait(Span::secs(1_000));
        prop_assert!(scene.roots().len() <= 16);
    }
}

/// Nothing is looked at between two changes but what is due.
#[test]
fn a_quiet_network_is_let_alone() {
    let mut scene = tower();
    scene.offline(7);
    scene.wait(Span::secs(3_600));
    // Its making, the opening, and the end of its waiting.
    assert_eq!(scene.woken, 3);
}

/// Time of a storm of `n` alerts under one router, which comes in 240 slots, and of its end.
fn storm(n: u32) -> std::time::Duration {
    let mut scene = Scene::default();
    (scene.restored, scene.judged) = (false, false);
    scene.place(1, Role::Router, 1);
    for device in 2..=n {
        let role = if device % 50 == 2 {
            Role::Ap
        } else {
            Role::Cpe
        };
        scene.place(device, role, u32::from(role == Role::Ap));
        if role == Role::Cpe {
            scene.link((device - 3) / 50 * 50 + 2, device);
        }
    }
    scene.slot();
    let begun = Instant::now();
    for device in (1..=n).rev() {
        scene.offline(device);
        if device % (n / 240) == 0 {
            scene.slot();
        }
    }
    scene.wait(Span::secs(10));
    for device in 1..=n {
        scene.online(device);
        if device % (n / 240) == 0 {
            scene.slot();
        }
    }
    scene.slot();
    let took = begun.elapsed();
    assert!(scene.alerts.is_empty() && scene.incidents.is_empty());
    took
}

/// Figures of docs/adr/0008: `cargo test --release -p mast-state --lib storms -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn figures_of_storms() {
    for n in [1_000, 10_000, 100_000] {
        let took = storm(n);
        println!("{n} alerts: {took:?}, {:?} an alert", took / n);
    }
}

/// As much as the figures, without a clock: an alert of a storm is judged as often as of a small one.
#[test]
fn a_storm_of_thousands_comes_and_goes() {
    storm(2_400);
}
