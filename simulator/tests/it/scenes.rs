//! The world over time: the same again from the same seed, and what each event does to the truth.

use std::sync::Arc;

use mast_simulator::{
    scenario::parse,
    world::{World, model::Role},
};
use proptest::prelude::*;

use crate::support::{named, pass, say, truth, truth_at, world};

const TROUBLE: &str = "at 5s trouble seed=3 every=4s for=8m";

fn troubled(steps: &[i64]) -> World {
    let mut world = world(100);
    for event in parse(TROUBLE, &Arc::clone(world.plan())).unwrap() {
        world.schedule(event);
    }
    for step in steps {
        pass(&mut world, *step);
    }
    world
}

#[test]
fn the_same_seed_and_events_are_the_same_truth_in_any_steps() {
    let coarse = troubled(&[600_000]);
    let fine = troubled(&[50; 12_000]);
    assert_eq!(truth(&coarse), truth(&fine));
    assert_ne!(truth(&coarse).links, truth(&world(100)).links);
}

#[test]
fn the_truth_of_the_past_is_what_was_said_then() {
    let mut world = troubled(&[]);
    let mut then = Vec::new();
    for _ in 0..60 {
        pass(&mut world, 10_000);
        then.push(truth(&world));
    }
    for (n, past) in then.iter().enumerate() {
        let again = truth_at(&world, (n as i64 + 1) * 10_000);
        assert_eq!(past.devices, again.devices);
        assert_eq!(past.links, again.links);
        assert_eq!(past.sites, again.sites);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn after_any_trouble_all_heals(seed in 0u64..10_000, ask_at in 1_000i64..300_000) {
        let mut world = world(60);
        let plan = Arc::clone(world.plan());
        for event in parse(&format!("trouble seed={seed} every=2s for=4m"), &plan).unwrap() {
            world.schedule(event);
        }
        pass(&mut world, ask_at);
        let amid = truth(&world);
        for link in &amid.links {
            let ap = amid.devices.iter().find(|d| d.address == link.ap).unwrap();
            prop_assert!(ap.alive, "a live link of a dead access point");
        }
        let mut macs: Vec<_> = amid.links.iter().map(|l| (&l.tenant, &l.mac)).collect();
        macs.sort();
        macs.dedup();
        prop_assert_eq!(macs.len(), amid.links.len(), "one live link a client");
        pass(&mut world, 600_000);
        let after = truth(&world);
        prop_assert!(after.devices.iter().all(|d| d.alive && d.manageable));
        prop_assert_eq!(after.links.len(), world.plan().clients.len());
    }
}

fn alive(world: &World, name: &str) -> bool {
    truth(world)
        .devices
        .iter()
        .find(|d| d.name == name)
        .unwrap()
        .alive
}

fn links_of(world: &World, ap: &str) -> usize {
    truth(world)
        .links
        .iter()
        .filter(|l| l.ap_name == ap)
        .count()
}

#[test]
fn a_dead_access_point_takes_its_links_and_what_is_behind_them() {
    let mut world = world(100);
    let ap = "tower-01-s1-ap";
    let before = links_of(&world, ap);
    assert!(before > 3);
    let all = truth(&world).links.len();
    say(&mut world, "ap_dead ap=tower-01-s1-ap for=30s");
    assert!(!alive(&world, ap) && !alive(&world, "tower-01-s1-c01"));
    assert!(alive(&world, "tower-01-s2-c01"));
    assert_eq!(truth(&world).links.len(), all - before);
    assert_eq!(truth(&world).ended_links.len(), before);
    pass(&mut world, 29_999);
    assert!(!alive(&world, ap));
    pass(&mut world, 10_000);
    assert!(alive(&world, ap) && alive(&world, "tower-01-s1-c01"));
    let now = truth(&world);
    let back: Vec<_> = now.links.iter().filter(|l| l.ap_name == ap).collect();
    assert_eq!(back.len(), before);
    assert!(
        back.iter().all(|l| l.stable_since < 10.0),
        "they began anew"
    );
    assert!(now.ended_links.is_empty());
}

#[test]
fn lost_clients_leave_the_access_point_answering() {
    let mut world = world(100);
    say(&mut world, "clients_lost ap=tower-01-s1-ap for=20s");
    assert!(alive(&world, "tower-01-s1-ap") && !alive(&world, "tower-01-s1-c01"));
    assert_eq!(links_of(&world, "tower-01-s1-ap"), 0);
    pass(&mut world, 25_000);
    assert!(links_of(&world, "tower-01-s1-ap") > 0 && alive(&world, "tower-01-s1-c01"));
}

#[test]
fn a_roaming_client_has_one_live_link() {
    let mut world = world(100);
    let mac = {
        let now = truth(&world);
        let link = now
            .links
            .iter()
            .find(|l| l.cpe_name.as_deref() == Some("tower-01-s1-c01"));
        link.unwrap().mac.clone()
    };
    let where_is = |world: &World| -> Vec<String> {
        let now = truth(world);
        now.links
            .iter()
            .filter(|l| l.mac == mac)
            .map(|l| l.ap_name.clone())
            .collect()
    };
    pass(&mut world, 10_000);
    say(
        &mut world,
        "roam cpe=tower-01-s1-c01 to=tower-01-s2-ap linger=5s for=1m",
    );
    assert_eq!(where_is(&world), ["tower-01-s2-ap"]);
    assert!(
        alive(&world, "tower-01-s1-c01"),
        "it is managed through the new link"
    );
    let plan = Arc::clone(world.plan());
    let old_radio = plan.devices[named(&plan, "tower-01-s1-ap")].radios[0];
    let client = plan.devices[named(&plan, "tower-01-s1-c01")]
        .client
        .unwrap();
    let shows = |world: &World| world.table(old_radio).any(|a| a.client == client);
    assert!(shows(&world), "the old one has not noticed");
    pass(&mut world, 5_000);
    assert!(!shows(&world));
    say(&mut world, "ap_dead ap=tower-01-s2-ap for=10s");
    assert!(!alive(&world, "tower-01-s1-c01"), "it hangs on the new one");
    pass(&mut world, 60_000);
    assert_eq!(where_is(&world), ["tower-01-s1-ap"]);
}

#[test]
fn rain_weakens_a_site_and_no_other() {
    let mut world = world(100);
    let site = truth(&world).sites[2].name.clone();
    let means = |world: &World| -> (f64, f64) {
        let now = truth(world);
        let mean = |inside: bool| {
            let links: Vec<_> = now
                .links
                .iter()
                .filter(|l| (l.site == site) == inside)
                .collect();
            links.iter().map(|l| f64::from(l.signal_dbm)).sum::<f64>() / links.len() as f64
        };
        (mean(true), mean(false))
    };
    let (inside, outside) = means(&world);
    say(&mut world, "rain site=3 db=20 for=1m");
    let (wet, dry) = means(&world);
    assert!(inside - wet > 16.0 && (dry - outside).abs() < 0.01);
    pass(&mut world, 61_000);
    assert!((means(&world).0 - inside).abs() < 3.0);
}

#[test]
fn a_reboot_counts_anew() {
    let mut world = world(100);
    let router = named(world.plan(), "tower-01-router");
    let (booted, boots) = (world.booted_ms(router), world.boots(router));
    say(&mut world, "reboot device=tower-01-router for=5s");
    assert!(
        world.boots(router) > boots,
        "open connections are reset at once"
    );
    assert!(!alive(&world, "tower-01-s1-ap"), "it is behind the router");
    assert_eq!(truth(&world).sites[0].devices_alive, 0);
    assert_eq!(truth(&world).sites[0].links, 0);
    pass(&mut world, 6_000);
    assert!(world.booted_ms(router) > booted && alive(&world, "tower-01-s1-ap"));
    let steady = truth(&world);
    let link = steady
        .links
        .iter()
        .find(|l| l.ap_name == "tower-01-s1-ap")
        .unwrap();
    assert!(
        link.stable_since < 2.0,
        "seen again a second ago, though never lost"
    );
}

#[test]
fn power_flap_silence_and_passwords() {
    let mut world = world(100);
    say(&mut world, "power site=1 for=10s");
    assert!(
        truth(&world)
            .devices
            .iter()
            .filter(|d| d.site == "tower-01")
            .all(|d| !d.alive)
    );
    pass(&mut world, 20_000);
    assert!(truth(&world).devices.iter().all(|d| d.alive));

    say(&mut world, "flap cpe=tower-01-s1-c01 every=3s for=10s");
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.push(alive(&world, "tower-01-s1-c01"));
        pass(&mut world, 1_000);
    }
    assert!(!seen[1] && seen[4] && !seen[7] && seen[19], "{seen:?}");

    say(&mut world, "silent device=tower-01-s1-c01 for=5s");
    assert!(!alive(&world, "tower-01-s1-c01"));
    assert!(links_of(&world, "tower-01-s1-ap") > 0);
    pass(&mut world, 6_000);

    say(&mut world, "wrong_password device=tower-01-s1-ap for=5s");
    let now = truth(&world);
    assert!(
        now.devices
            .iter()
            .any(|d| d.name == "tower-01-s1-ap" && d.alive && !d.manageable)
    );
    let settled = now.settled_links(0.0);
    assert!(
        settled.live.iter().all(|l| l.ap_name != "tower-01-s1-ap"),
        "nobody can read it"
    );
    assert!(!settled.unsettled.is_empty());
    say(&mut world, "heal");
    assert!(truth(&world).devices.iter().all(|d| d.manageable));
}

#[test]
fn what_changed_lately_is_told_apart() {
    let mut world = world(100);
    pass(&mut world, 100_000);
    let all = truth(&world).links.len();
    assert_eq!(truth(&world).settled_links(6.0).live.len(), all);
    say(&mut world, "cpe_dead cpe=tower-01-s1-c01 for=20s");
    pass(&mut world, 3_000);
    let now = truth(&world);
    assert_eq!(now.settled_links(6.0).unsettled.len(), 1);
    assert_eq!(now.settled_devices(6.0).count(), 99);
    pass(&mut world, 4_000);
    let now = truth(&world);
    assert!(now.settled_links(6.0).unsettled.is_empty());
    assert_eq!(now.settled_links(6.0).live.len(), all - 1);
}

#[test]
fn a_capsman_tower_has_its_radios_at_the_caps() {
    let world = world(300);
    let plan = Arc::clone(world.plan());
    let cap = plan
        .devices
        .iter()
        .find(|d| d.role == Role::Ap && d.site == 4)
        .unwrap();
    let now = truth(&world);
    let link = now
        .links
        .iter()
        .find(|l| l.ap == cap.address.to_string())
        .unwrap();
    assert!(link.interface.starts_with("cap-"), "{}", link.interface);
}
