//! What devices answer, without sockets: spelled as in recorded replies.

use std::collections::BTreeSet;

use mast_simulator::world::{
    World,
    model::{CapsMan, Role, Stack},
};

use crate::support::{Row, ask, first, named, pass, row, rows, say, truth, world};

const RECORDED: &str = include_str!("corpus/replies.jsonl");

/// Property names of the recorded reply of a menu.
fn recorded(menu: &str) -> BTreeSet<String> {
    let records = RECORDED
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let record = records.into_iter().find(|r| r["menu"] == menu).unwrap();
    record["reply"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

fn names(row: &Row) -> BTreeSet<String> {
    row.keys().cloned().collect()
}

fn device_where(
    world: &World,
    fits: impl Fn(&mast_simulator::world::model::Device) -> bool,
) -> usize {
    world.plan().devices.iter().position(fits).unwrap()
}

fn ap(world: &World, stack: Stack) -> usize {
    device_where(world, |d| {
        d.role == Role::Ap && d.stack == stack && d.capsman == CapsMan::Off
    })
}

#[test]
fn wireless_rows_have_every_recorded_property() {
    let world = world(300);
    let table = rows(
        &world,
        ap(&world, Stack::Wireless),
        &["/interface/wireless/registration-table/print"],
    );
    let wanted = recorded("/interface/wireless/registration-table");
    for row in &table {
        let missing: Vec<_> = wanted.difference(&names(row)).cloned().collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(row["signal-strength"].contains("Mbps") && row["signal-strength"].starts_with('-'));
        assert_eq!(row["ap"], "false");
        assert_eq!(row["bytes"].split(',').count(), 2);
    }
    let peers = table.iter().filter(|r| r.contains_key("routeros-version"));
    assert!(peers.clone().count() > 0 && peers.clone().count() < table.len());
    for peer in peers {
        let both = ["tx-signal-strength", "rx-ccq", "radio-name"];
        assert!(both.iter().all(|name| peer.contains_key(*name)));
    }
}

#[test]
fn the_other_tables_have_exactly_the_recorded_properties() {
    let world = world(300);
    let plan = world.plan();
    let controller = device_where(&world, |d| d.capsman == CapsMan::Controller);
    let near = device_where(&world, |d| d.role == Role::Backhaul && !d.radios.is_empty());
    let wifi = ap(&world, Stack::Wifi);
    let cases = [
        (wifi, "/interface/wifi/registration-table"),
        (
            ap(&world, Stack::Wifiwave2),
            "/interface/wifiwave2/registration-table",
        ),
        (near, "/interface/w60g/station"),
    ];
    for (device, menu) in cases {
        let table = rows(&world, device, &[&format!("{menu}/print")]);
        assert!(!table.is_empty(), "{menu}");
        for row in &table {
            assert_eq!(
                names(row),
                recorded(menu),
                "{menu} on {}",
                plan.devices[device].version
            );
        }
    }
    let monitors = [
        (near, "/interface/w60g", "wlan60-1"),
        (wifi, "/interface/wifi", "wifi1"),
    ];
    for (device, menu, number) in monitors {
        let words = [
            &format!("{menu}/monitor"),
            &format!("=numbers={number}"),
            "=once=",
        ];
        let seen = rows(&world, device, &words);
        assert_eq!(names(&seen[0]), recorded(&format!("{menu}/monitor")));
    }
    let caps = rows(&world, controller, &["/caps-man/registration-table/print"]);
    let seen: BTreeSet<String> = caps.iter().flat_map(names).collect();
    let mut wanted = recorded("/caps-man/registration-table");
    wanted.remove(".section");
    wanted.remove("vlan-id");
    assert_eq!(seen, wanted);
    assert!(
        caps.iter()
            .all(|r| r["uptime"].ends_with("ms") || r["uptime"].ends_with('s'))
    );
}

#[test]
fn caps_keep_no_table_of_their_own() {
    let world = world(300);
    let cap = device_where(&world, |d| d.capsman == CapsMan::Cap);
    assert!(
        rows(
            &world,
            cap,
            &["/interface/wireless/registration-table/print"]
        )
        .is_empty()
    );
    let seen = rows(
        &world,
        cap,
        &["/interface/wireless/monitor", "=numbers=wlan1", "=once="],
    );
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].contains_key("registered-clients"));
    let controller = world.plan().sites[world.plan().devices[cap].site].router;
    let radios = rows(&world, controller, &["/caps-man/radio/print"]);
    let own = rows(&world, cap, &["/interface/print", "?type=wlan"]);
    assert!(
        own.iter()
            .all(|i| radios.iter().any(|r| r["radio-mac"] == i["mac-address"]))
    );
}

#[test]
fn a_station_shows_the_access_point_that_shows_it() {
    let world = world(300);
    let mut seen = 0;
    for (index, device) in world
        .plan()
        .devices
        .iter()
        .enumerate()
        .filter(|(_, d)| d.role == Role::Cpe)
    {
        let menu = match device.stack {
            Stack::Wireless => "/interface/wireless/registration-table/print",
            Stack::Wifi => "/interface/wifi/registration-table/print",
            Stack::Wifiwave2 => "/interface/wifiwave2/registration-table/print",
        };
        let table = rows(&world, index, &[menu]);
        assert_eq!(table.len(), 1, "{}", device.name);
        let now = truth(&world);
        let link = now
            .links
            .iter()
            .find(|l| l.cpe_name.as_deref() == Some(&device.name))
            .unwrap();
        assert_eq!(table[0]["mac-address"], link.radio_mac);
        let own = rows(&world, index, &["/interface/print"]);
        assert!(
            own.iter()
                .any(|i| i["mac-address"] == link.mac && i["running"] == "true")
        );
        seen += 1;
    }
    assert!(seen > 200);
}

#[test]
fn all_tables_together_are_the_truth() {
    let world = world(300);
    let mut shown = BTreeSet::new();
    for (index, device) in world.plan().devices.iter().enumerate() {
        let tables = [
            (
                "/interface/wireless/registration-table/print",
                "signal-strength",
            ),
            ("/interface/wifi/registration-table/print", "signal"),
            ("/interface/wifiwave2/registration-table/print", "signal"),
            ("/caps-man/registration-table/print", "rx-signal"),
        ];
        if device.role == Role::Cpe {
            continue;
        }
        for (menu, signal) in tables {
            for row in rows(&world, index, &[menu]) {
                let dbm = row[signal].split('@').next().unwrap().to_owned();
                shown.insert((row["interface"].clone(), row["mac-address"].clone(), dbm));
            }
        }
        for row in rows(&world, index, &["/interface/w60g/station/print"]) {
            let seen = rows(
                &world,
                index,
                &["/interface/w60g/monitor", "=numbers=wlan60-1", "=once="],
            );
            shown.insert((
                row["parent"].clone(),
                row["remote-address"].clone(),
                seen[0]["rssi"].clone(),
            ));
        }
    }
    let now = truth(&world);
    let told: BTreeSet<_> = now
        .links
        .iter()
        .map(|l| (l.interface.clone(), l.mac.clone(), l.signal_dbm.to_string()))
        .collect();
    assert_eq!(shown, told);
}

#[test]
fn absent_menus_trap_and_empty_tables_say_so_by_version() {
    let world = world(300);
    let word = |sentences: &[routeros_api::Sentence]| -> Vec<String> {
        sentences
            .iter()
            .map(|s| String::from_utf8_lossy(s.first()).into_owned())
            .collect()
    };
    let v6 = device_where(&world, |d| d.version.major == 6 && d.version.plain_login());
    let trap = ask(
        &world,
        v6,
        &["/interface/wifi/registration-table/print", ".tag=4"],
    );
    assert_eq!(word(&trap), ["!trap", "!done"]);
    assert_eq!(row(&trap[0])["message"], "no such command prefix");
    assert!(trap.iter().all(|s| s.tag() == Some(b"4")));

    let old = device_where(&world, |d| !d.version.plain_login());
    let traps = ask(&world, old, &["/ip/adress/print"]);
    assert_eq!(word(&traps), ["!trap", "!trap", "!done"]);
    let first = row(&traps[0]);
    assert_eq!(first["message"], "no such command or directory (adress)");
    assert_eq!(first["category"], "0");
    assert_eq!(row(&traps[1]).len(), 1, "the second has no category");

    let wifi = ap(&world, Stack::Wifi);
    let trap = ask(&world, wifi, &["/caps-man/registration-table/print"]);
    assert_eq!(
        row(&trap[0])["message"],
        "no such command or directory (caps-man)"
    );
    let trap = ask(
        &world,
        wifi,
        &["/interface/wireless/registration-table/print"],
    );
    assert_eq!(
        row(&trap[0])["message"],
        "no such command or directory (wireless)"
    );
    let trap = ask(&world, wifi, &["/interface/remove", "=.id=*1"]);
    assert_eq!(
        row(&trap[0])["message"],
        "no such command or directory (remove)"
    );

    let says = |device: usize| {
        word(&ask(
            &world,
            device,
            &["/interface/wifi/registration-table/print"],
        ))
    };
    let empty = |from: (u8, u8), to: (u8, u8)| {
        device_where(&world, |d| {
            d.stack == Stack::Wireless
                && d.version.at_least(from.0, from.1)
                && !d.version.at_least(to.0, to.1)
        })
    };
    assert_eq!(says(empty((7, 18), (8, 0))), ["!empty", "!done"]);
    assert_eq!(says(empty((7, 13), (7, 18))), ["!done"]);
}

#[test]
fn proplists_queries_and_counts() {
    let world = world(100);
    let ap = first(&world, Role::Ap, Stack::Wireless);
    let menu = "/interface/wireless/registration-table/print";
    let all = rows(&world, ap, &[menu]);
    let some = rows(
        &world,
        ap,
        &[menu, "=.proplist=mac-address,uptime,nonsense"],
    );
    assert_eq!(some.len(), all.len());
    assert!(some.iter().all(|r| r.keys().eq(["mac-address", "uptime"])));
    let mac = &all[1]["mac-address"];
    let one = rows(
        &world,
        ap,
        &[menu, "=.proplist=uptime", &format!("?mac-address={mac}")],
    );
    assert_eq!(one.len(), 1);
    assert!(
        one[0].keys().eq(["uptime"]),
        "what is asked about is not thereby shown"
    );
    let either = rows(
        &world,
        ap,
        &["/interface/print", "?type=ether", "?type=bridge", "?#|"],
    );
    assert!(either.iter().all(|r| r["type"] != "wlan") && either.len() >= 2);
    let count = ask(&world, ap, &[menu, "=count-only="]);
    assert_eq!(row(&count[0])["ret"], all.len().to_string());
    let down = |word: &str| rows(&world, ap, &["/interface/print", word]).len();
    assert!(down("?disabled=no") > 0);
    assert_eq!(down("?disabled=no"), down("?disabled=false"));
    assert_eq!(down("?disabled=yes") + down("?disabled=true"), 0);
}

#[test]
fn system_menus_by_version() {
    let world = world(300);
    let (old, new) = (
        device_where(&world, |d| d.version.major == 6 && d.role == Role::Ap),
        device_where(&world, |d| d.version.at_least(7, 18) && d.role == Role::Ap),
    );
    for device in [old, new] {
        let planned = &world.plan().devices[device];
        let resource = &rows(&world, device, &["/system/resource/print"])[0];
        assert_eq!(resource["version"], planned.version.to_string());
        let recorded_resource = recorded("/system/resource");
        assert!(recorded_resource.is_subset(&names(resource)));
        let identity = &rows(&world, device, &["/system/identity/print"])[0];
        assert_eq!(identity["name"], planned.name);
        let board = &rows(&world, device, &["/system/routerboard/print"])[0];
        assert_eq!(board["current-firmware"], planned.version.number());
        assert!(!rows(&world, device, &["/system/package/print"]).is_empty());
    }
    let health = rows(&world, old, &["/system/health/print"]);
    assert!(health.len() == 1 && health[0].contains_key("voltage"));
    let health = rows(&world, new, &["/system/health/print"]);
    assert!(health.len() > 1 && health.iter().all(|r| r.contains_key("value")));
}

#[test]
fn events_show_in_the_tables() {
    let mut world = world(100);
    let ap = named(world.plan(), "tower-01-s1-ap");
    let cpe = named(world.plan(), "tower-01-s1-c01");
    let menu = match world.plan().devices[ap].stack {
        Stack::Wireless => "/interface/wireless/registration-table/print",
        _ => "/interface/wifi/registration-table/print",
    };
    pass(&mut world, 5_000);
    assert!(!rows(&world, ap, &[menu]).is_empty());
    say(&mut world, "clients_lost ap=tower-01-s1-ap for=10s");
    assert!(rows(&world, ap, &[menu]).is_empty());
    pass(&mut world, 20_000);
    let back = rows(&world, ap, &[menu]);
    assert!(
        back.iter().all(|r| r["uptime"].len() <= 3),
        "associations began anew"
    );
    say(&mut world, "reboot device=tower-01-s1-c01 for=5s");
    pass(&mut world, 9_000);
    let uptime = &rows(&world, cpe, &["/system/resource/print"])[0]["uptime"];
    assert_eq!(uptime, "4s");
}

#[test]
fn counters_in_rows_never_fall_while_associated() {
    let mut world = world(50);
    let ap = first(&world, Role::Ap, Stack::Wireless);
    let menu = "/interface/wireless/registration-table/print";
    let read = |world: &World| -> Vec<(u64, u64)> {
        let pair = |r: &Row| {
            let (tx, rx) = r["bytes"].split_once(',').unwrap();
            (tx.parse().unwrap(), rx.parse().unwrap())
        };
        rows(world, ap, &[menu, "=.proplist=bytes"])
            .iter()
            .map(pair)
            .collect()
    };
    let mut last = read(&world);
    for _ in 0..200 {
        pass(&mut world, 2_000);
        let now = read(&world);
        assert!(last.iter().zip(&now).all(|(a, b)| a.0 <= b.0 && a.1 <= b.1));
        last = now;
    }
}
