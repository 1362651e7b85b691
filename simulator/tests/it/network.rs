//! Menus about the network around a device: addresses, ARP, leases, neighbours, routes, log.

use std::collections::BTreeSet;

use mast_simulator::world::{
    World,
    model::{CapsMan, Role, Stack},
};

use crate::support::{Row, first, named, pass, rows, say, truth, world};

fn print(world: &World, device: usize, menu: &str) -> Vec<Row> {
    rows(world, device, &[&format!("{menu}/print")])
}

fn values<'a>(table: &'a [Row], name: &str) -> BTreeSet<&'a str> {
    table
        .iter()
        .filter_map(|row| row.get(name))
        .map(String::as_str)
        .collect()
}

#[test]
fn clients_behind_an_access_point_are_in_its_arp_and_its_leases() {
    let world = world(300);
    let mut seen = 0;
    for (index, device) in world.plan().devices.iter().enumerate() {
        if device.role != Role::Ap || device.stack != Stack::Wireless {
            continue;
        }
        let table = print(&world, index, "/interface/wireless/registration-table");
        let (arp, leases) = (
            print(&world, index, "/ip/arp"),
            print(&world, index, "/ip/dhcp-server/lease"),
        );
        if device.capsman == CapsMan::Cap {
            assert!(table.is_empty() && leases.is_empty());
            continue;
        }
        for client in &table {
            let same = |row: &&Row| row.get("mac-address") == client.get("mac-address");
            let lease = leases.iter().find(same).unwrap();
            assert_eq!(lease["address"], client["last-ip"]);
            assert_eq!(lease["status"], "bound");
            assert_eq!(arp.iter().find(same).unwrap()["address"], lease["address"]);
        }
        assert_eq!(leases.len(), table.len());
        seen += table.len();
    }
    assert!(seen > 50);
}

#[test]
fn a_tower_neighbours_itself() {
    let mut world = world(300);
    let router = named(world.plan(), "tower-02-router");
    let ap = named(world.plan(), "tower-02-s1-ap");
    let tower = world.plan().sites[1].tower.len();
    let seen = print(&world, router, "/ip/neighbor");
    assert_eq!(seen.len(), tower - 1);
    assert!(values(&seen, "identity").contains("tower-02-s1-ap"));
    assert!(
        seen.iter().all(|row| row["discovered-by"].contains("mndp")),
        "7.18"
    );
    let seen = print(&world, ap, "/ip/neighbor");
    let identities = values(&seen, "identity");
    assert!(identities.contains("tower-02-router") && identities.contains("tower-02-s1-c01"));
    say(&mut world, "dead device=tower-02-s1-ap");
    let left = print(&world, router, "/ip/neighbor");
    assert_eq!(left.len(), tower - 2);
    let arp = print(&world, router, "/ip/arp");
    let unknown: Vec<_> = arp
        .iter()
        .filter(|row| row["complete"] == "false")
        .collect();
    assert!(unknown.len() == 1 && !unknown[0].contains_key("mac-address"));
}

#[test]
fn routes_by_protocol_and_version() {
    let mut world = world(300);
    let plan = world.plan().clone();
    let routers = || {
        let all = plan.devices.iter().enumerate();
        all.filter(|(_, d)| d.role == Role::Router)
    };
    let count = |table: &[Row], flag: &str| {
        table
            .iter()
            .filter(|row| row.get(flag).is_some_and(|v| v == "true"))
            .count()
    };
    let mut protocols = [0; 4];
    for (index, device) in routers() {
        let table = print(&world, index, "/ip/route");
        for (n, flag) in ["connect", "static", "ospf", "bgp"].iter().enumerate() {
            protocols[n] += count(&table, flag);
        }
        let old = device.version.major == 6;
        assert!(
            table
                .iter()
                .all(|row| row.contains_key("gateway-status") == old)
        );
        assert!(
            table
                .iter()
                .all(|row| row.contains_key("immediate-gw") != old)
        );
        assert_eq!(values(&table, ".id").len(), table.len());
        assert!(values(&table, "dst-address").contains("0.0.0.0/0"));
    }
    assert!(protocols.iter().all(|n| *n > 0), "{protocols:?}");
    let (near, _) = routers()
        .find(|(r, _)| count(&print(&world, *r, "/ip/route"), "ospf") > 0)
        .unwrap();
    let end = plan.sites[plan.devices[near].site].tower.iter().copied();
    let end = end
        .clone()
        .find(|d| plan.devices[*d].role == Role::Backhaul)
        .unwrap();
    say(
        &mut world,
        &format!("dead device={}", plan.devices[end].name),
    );
    assert_eq!(
        count(&print(&world, near, "/ip/route"), "ospf"),
        0,
        "the link is gone"
    );
}

#[test]
fn addresses_are_where_routes_are_connected() {
    let world = world(100);
    for device in 0..world.plan().devices.len() {
        let addresses = print(&world, device, "/ip/address");
        let routes = print(&world, device, "/ip/route");
        let connected = routes
            .iter()
            .filter(|row| row.contains_key("connect"))
            .count();
        assert_eq!(connected, addresses.len());
        assert!(addresses.iter().all(|row| row["address"].contains('/')));
    }
}

fn messages(world: &World, device: usize) -> Vec<String> {
    print(world, device, "/log")
        .into_iter()
        .map(|row| row["message"].clone())
        .collect()
}

#[test]
fn logs_tell_of_clients_ports_and_restarts() {
    let mut world = world(100);
    let (ap, router) = (
        named(world.plan(), "tower-01-s1-ap"),
        named(world.plan(), "tower-01-router"),
    );
    let mac = truth(&world).links.iter().find_map(|link| {
        (link.cpe_name.as_deref() == Some("tower-01-s1-c01")).then(|| link.mac.clone())
    });
    let mac = mac.unwrap();
    let joined = |lines: &[String], what: &str| {
        lines
            .iter()
            .filter(|line| line.starts_with(&mac) && line.contains(what))
            .count()
    };
    assert_eq!(joined(&messages(&world, ap), " connected"), 1);
    say(&mut world, "flap cpe=tower-01-s1-c01 every=3s for=3s");
    pass(&mut world, 10_000);
    let lines = messages(&world, ap);
    assert_eq!(
        (joined(&lines, " connected"), joined(&lines, "disconnected")),
        (2, 1)
    );

    say(&mut world, "reboot device=tower-01-s1-ap for=5s");
    assert!(
        messages(&world, router)
            .last()
            .unwrap()
            .ends_with("link down")
    );
    pass(&mut world, 10_000);
    let lines = messages(&world, ap);
    assert_eq!(lines[0], "router rebooted", "what was in memory is gone");
    assert_eq!(joined(&lines, " connected"), 1);
    assert!(messages(&world, router).last().unwrap().contains("link up"));
    say(&mut world, "ap_dead ap=tower-01-s1-ap for=5s");
    pass(&mut world, 10_000);
    assert!(messages(&world, ap)[0].contains("without proper shutdown"));
}

#[test]
fn log_times_have_a_year_only_where_versions_write_one() {
    let mut world = world(300);
    let time_of = |world: &World, version: (u8, u8)| {
        let fits = |d: &mast_simulator::world::model::Device| {
            d.role == Role::Ap && (d.version.major, d.version.minor) == version
        };
        let ap = world.plan().devices.iter().position(fits).unwrap();
        print(world, ap, "/log").last().unwrap()["time"].clone()
    };
    say(&mut world, "power site=1 for=1s");
    for site in 2..=12 {
        say(&mut world, &format!("power site={site} for=1s"));
    }
    pass(&mut world, 60_000);
    // 2025-06-15 15:06:40 UTC and some seconds.
    assert!(time_of(&world, (6, 49)).starts_with("jun/15 15:0"));
    assert!(time_of(&world, (6, 42)).starts_with("15:0"), "of today");
    assert!(time_of(&world, (7, 12)).starts_with("jun/15 15:0"));
    assert!(time_of(&world, (7, 18)).starts_with("2025-06-15 15:0"));
    pass(&mut world, 86_400_000);
    assert!(
        time_of(&world, (6, 42)).starts_with("jun/15 15:0"),
        "of yesterday"
    );
}

#[test]
fn a_roam_within_a_tower_is_told_as_one() {
    let mut world = world(300);
    let plan = world.plan().clone();
    let stack = |d: usize| plan.devices[d].stack;
    let tower = plan.sites.iter().find_map(|site| {
        let aps = site
            .tower
            .iter()
            .copied()
            .filter(|d| plan.devices[*d].role == Role::Ap);
        let wifi: Vec<usize> = aps.filter(|d| stack(*d) == Stack::Wifi).collect();
        (wifi.len() >= 2).then(|| (wifi[0], wifi[1]))
    });
    let (from, to) = tower.unwrap();
    let home = plan.devices[from].radios[0];
    let cpe = plan.radios[home]
        .residents
        .iter()
        .find_map(|c| plan.clients[*c].device)
        .unwrap();
    let name = |d: usize| &plan.devices[d].name;
    say(
        &mut world,
        &format!("roam cpe={} to={}", name(cpe), name(to)),
    );
    let told = messages(&world, to);
    let roamed = told
        .iter()
        .find(|line| line.contains(" roamed to "))
        .unwrap();
    assert_eq!(roamed.matches("@wifi1(").count(), 2, "{roamed}");
}

#[test]
fn updates_as_channels_offer_them() {
    let world = world(300);
    let mut states = BTreeSet::new();
    for device in 0..world.plan().devices.len() {
        let row = print(&world, device, "/system/package/update").remove(0);
        assert_eq!(
            row["installed-version"],
            world.plan().devices[device].version.number()
        );
        assert_eq!(
            row.contains_key("latest-version"),
            row.contains_key("status")
        );
        states.insert(row.get("status").cloned());
    }
    assert_eq!(states.len(), 3, "{states:?}");
    let checked = rows(&world, 0, &["/system/package/update/check-for-updates"]);
    assert_eq!(values(&checked, ".section").len(), 2);
}

#[test]
fn traffic_of_ports() {
    let mut world = world(100);
    pass(&mut world, 60_000);
    let ap = first(&world, Role::Ap, Stack::Wireless);
    let words = [
        "/interface/monitor-traffic",
        "=interface=ether1,bridge1",
        "=once=",
    ];
    let seen = rows(&world, ap, &words);
    assert_eq!(seen.len(), 2);
    assert!(seen[0]["tx-bits-per-second"].parse::<u64>().unwrap() > 0);
}
