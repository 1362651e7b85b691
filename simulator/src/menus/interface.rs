//! `/interface`: every port of a device, with the MAC addresses that pair links with devices.

use std::{borrow::Cow, time::Duration};

use routeros_api::server::{ReplyWriter, Request};

use super::{Outcome, Scene, interval, refuse, system::started, table::Table};
use crate::{
    noise::hash,
    physics::{throughput_bps, traffic},
    text::MacText,
    world::{
        addressing::router_port,
        config::Changed,
        model::{Role, Stack},
    },
};

const ETHERS: [&str; 5] = ["ether1", "ether2", "ether3", "ether4", "ether5"];

struct Port<'a> {
    number: u64,
    name: Cow<'a, str>,
    /// Has its name from the factory.
    fixed: bool,
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
    for port in ports(scene) {
        row(scene, rows, &port);
    }
    let vlans = scene.world.configured(scene.index, "/interface/vlan");
    for vlan in vlans.into_iter().flat_map(Changed::added) {
        rows.row(|r| {
            for name in [".id", "name", "mtu", "comment", "running", "disabled"] {
                if let Some(value) = vlan.get(name.as_bytes()) {
                    r.put_bytes(name, value);
                }
            }
            r.put("type", "vlan")
                .put("mac-address", MacText(scene.device().mac(0)));
        });
    }
}

fn ports<'a>(scene: &Scene<'a>) -> Vec<Port<'a>> {
    let device = scene.device();
    let mut ports = Vec::with_capacity(8);
    let mut add = |name: Cow<'a, str>, fixed, kind, mac, running| {
        ports.push(Port {
            number: ports.len() as u64 + 1,
            name,
            fixed,
            kind,
            mac,
            running,
        });
    };
    for ether in 0..u64::from(device.board.ethers) {
        let name = ETHERS.get(ether as usize).copied().unwrap_or("ether");
        let running = plugged(scene, ether);
        add(name.into(), true, "ether", device.mac(ether), running);
    }
    for &id in &device.radios {
        let radio = scene.radio(id);
        let kind = if radio.w60g {
            "w60g"
        } else {
            radio_kind(device.stack)
        };
        let running = scene.world.table(id).next().is_some();
        let name = radio.interface.as_str().into();
        add(name, true, kind, radio.mac, running);
    }
    if device.client.is_some() {
        let kind = match device.role {
            Role::Backhaul => "w60g",
            _ => radio_kind(device.stack),
        };
        let running = scene.uplink().is_some();
        add(
            station_name(scene).into(),
            true,
            kind,
            device.mac(8),
            running,
        );
    }
    for id in scene.cap_radios() {
        let radio = scene.radio(id);
        let (_, name) = radio.reporter();
        let running = scene.world.table(id).next().is_some();
        add(name.into(), false, "cap", radio.mac, running);
    }
    add("bridge1".into(), false, "bridge", device.mac(0), true);
    ports
}

/// Whether there is a running device at the other end of an ethernet port's cable.
fn plugged(scene: &Scene<'_>, ether: u64) -> bool {
    let (plan, device) = (scene.plan(), scene.device());
    if ether == 0 {
        return true;
    }
    if device.role != Role::Router {
        return hash(plan.seed, device.number, ether).is_multiple_of(3);
    }
    let mut tower = plan.sites[device.site].tower.iter();
    tower.any(|&other| {
        let here = other != scene.index && u64::from(router_port(plan, other)) == ether + 1;
        here && scene.world.powered(other)
    })
}

/// `monitor-traffic` of interfaces by name: once, or each second until cancelled.
pub(super) fn monitor_traffic(
    scene: &Scene<'_>,
    request: &Request,
    replies: &mut ReplyWriter,
    section: Option<u32>,
) -> Outcome {
    let Some(names) = request.text("interface") else {
        return refuse(request, replies, "missing =interface=", Some(0));
    };
    let once = request.get("once").is_some();
    let mut table = Table::new(request, replies, None);
    if !once {
        table = table.of_round(section.unwrap_or(0));
    }
    let ports = ports(scene);
    for name in names.split(',') {
        let Some(port) = ports.iter().find(|port| port.name == name) else {
            let message = "input does not match any value of interface";
            return refuse(request, replies, message, Some(1));
        };
        let key = 1 << 41 | (scene.index as u64) << 6 | port.number;
        let since = scene.world.booted_ms(scene.index);
        let (down, up) = match port.running {
            true => throughput_bps(scene.plan(), key, since, scene.now),
            false => (0, 0),
        };
        table.row(|r| {
            r.put("name", &port.name)
                .put("rx-packets-per-second", up / 8 / 900)
                .put("rx-bits-per-second", up)
                .put("tx-packets-per-second", down / 8 / 1_100)
                .put("tx-bits-per-second", down)
                .put("running", port.running)
                .put("disabled", "false");
        });
    }
    if !once {
        return Outcome::Repeats(interval(request).unwrap_or(Duration::from_secs(1)));
    }
    table.done(false);
    Outcome::Done
}

fn row(scene: &Scene<'_>, rows: &mut Table<'_>, port: &Port<'_>) {
    let key = 1 << 41 | (scene.index as u64) << 6 | port.number;
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
        r.put(".id", format_args!("*{:X}", port.number))
            .put("name", &port.name)
            .put_some("default-name", port.fixed.then_some(&port.name))
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
