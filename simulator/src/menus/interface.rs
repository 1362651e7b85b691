//! `/interface`: every port of a device, with the MAC addresses that pair links with devices.

use super::{Scene, system::started, table::Table};
use crate::{
    noise::hash,
    physics::traffic,
    text::MacText,
    world::model::{Role, Stack},
};

struct Port<'a> {
    name: &'a str,
    default_name: Option<&'a str>,
    kind: &'static str,
    mac: u64,
    running: bool,
}

/// The type of a radio interface, by package.
fn radio_kind(stack: Stack) -> &'static str {
    match stack {
        Stack::Wireless => "wlan",
        Stack::Wifiwave2 => "wifiwave2",
        Stack::Wifi => "wifi",
    }
}

/// The name of a station radio, by package.
pub(super) fn station_name(scene: &Scene<'_>) -> &'static str {
    match (scene.device().role, scene.device().stack) {
        (Role::Backhaul, _) => "wlan60-1",
        (_, Stack::Wireless) => "wlan1",
        (_, Stack::Wifi | Stack::Wifiwave2) => "wifi1",
    }
}

pub(super) fn interfaces(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let device = scene.device();
    let mut number = 0;
    for ether in 0..u64::from(device.board.ethers) {
        let name = format!("ether{}", ether + 1);
        let plugged =
            ether == 0 || hash(scene.world.plan().seed, device.number, ether).is_multiple_of(3);
        let port = Port {
            name: &name,
            default_name: Some(&name),
            kind: "ether",
            mac: device.mac(ether),
            running: plugged,
        };
        row(scene, rows, &mut number, &port);
    }
    for &id in &device.radios {
        let radio = scene.radio(id);
        let port = Port {
            name: &radio.interface,
            default_name: Some(&radio.interface),
            kind: if radio.w60g {
                "w60g"
            } else {
                radio_kind(device.stack)
            },
            mac: radio.mac,
            running: scene.world.table(id).next().is_some(),
        };
        row(scene, rows, &mut number, &port);
    }
    if device.client.is_some() {
        let kind = match device.role {
            Role::Backhaul => "w60g",
            _ => radio_kind(device.stack),
        };
        let name = station_name(scene);
        let running = scene.uplink().is_some();
        let port = Port {
            name,
            default_name: Some(name),
            kind,
            mac: device.mac(8),
            running,
        };
        row(scene, rows, &mut number, &port);
    }
    for id in scene.cap_radios() {
        let radio = scene.radio(id);
        let (_, name) = radio.reporter();
        let running = scene.world.table(id).next().is_some();
        let port = Port {
            name,
            default_name: None,
            kind: "cap",
            mac: radio.mac,
            running,
        };
        row(scene, rows, &mut number, &port);
    }
    let bridge = Port {
        name: "bridge1",
        default_name: None,
        kind: "bridge",
        mac: device.mac(0),
        running: true,
    };
    row(scene, rows, &mut number, &bridge);
}

fn row(scene: &Scene<'_>, rows: &mut Table<'_>, number: &mut u64, port: &Port<'_>) {
    *number += 1;
    let key = 1 << 41 | (scene.index as u64) << 6 | *number;
    // Counters survive a lost link, and begin anew with a restart only.
    let used = port.running || port.kind != "ether";
    let since = if used {
        scene.world.booted_ms(scene.index)
    } else {
        scene.now
    };
    let counted = traffic(scene.world.plan(), key, since, scene.now);
    // Ports of 7.18 and newer leave error and drop counters out where the switch keeps them.
    let switched = port.kind == "ether" && scene.version_at_least(7, 18);
    rows.row(|r| {
        r.put(".id", format_args!("*{number:X}"))
            .put("name", port.name)
            .put_some("default-name", port.default_name)
            .put("type", port.kind)
            .put(
                "mtu",
                if port.kind == "bridge" {
                    "auto"
                } else {
                    "1500"
                },
            )
            .put("actual-mtu", "1500")
            .put("l2mtu", if port.kind == "wifi" { "1560" } else { "1600" })
            .put("mac-address", MacText(port.mac));
        if port.running {
            r.put("last-link-up-time", started(scene));
        }
        r.put("link-downs", "0")
            .put("rx-byte", counted.up_bytes)
            .put("tx-byte", counted.down_bytes)
            .put("rx-packet", counted.up_packets)
            .put("tx-packet", counted.down_packets);
        if !switched {
            r.put("rx-drop", counted.up_packets / 90_000)
                .put("tx-drop", counted.down_packets / 120_000);
        }
        r.put("tx-queue-drop", counted.down_packets / 50_000);
        if !switched {
            r.put("rx-error", counted.up_packets / 400_000)
                .put("tx-error", "0");
        }
        r.put("running", port.running).put("disabled", "false");
    });
}
