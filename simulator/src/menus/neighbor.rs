//! `/ip/neighbor`: who announces itself on the same wires and radios.

use super::{Scene, interface::station_name, system::Software, table::Table};
use crate::{
    noise::hash,
    text::{MacText, Uptime},
    world::{addressing, model::Role},
};

struct Seen<'a> {
    device: usize,
    /// Where it is seen.
    interface: &'a str,
    /// The port it announces itself from, and that port's place among its MAC addresses.
    from: (&'a str, u64),
}

pub(super) fn neighbors(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let (plan, device) = (scene.plan(), scene.device());
    let site = &plan.sites[device.site];
    match device.role {
        Role::Router => {
            for &other in site.tower.iter().filter(|other| **other != scene.index) {
                let port = format!("ether{}", addressing::router_port(plan, other));
                row(scene, rows, &seen(other, &port, ("ether1", 0)));
            }
        }
        Role::Ap | Role::Backhaul => {
            let port = format!("ether{}", addressing::router_port(plan, scene.index));
            row(scene, rows, &seen(site.router, "ether1", (&port, 0)));
        }
        Role::Cpe => {}
    }
    for id in scene.own_radios() {
        for link in scene.world.table(id) {
            let current = scene.world.association(link.client) == Some(link);
            if let Some(client) = plan.clients[link.client].device.filter(|_| current) {
                let there = Scene {
                    index: client,
                    ..*scene
                };
                let from = (station_name(&there), 8);
                row(scene, rows, &seen(client, &scene.radio(id).interface, from));
            }
        }
    }
    if let Some(link) = scene.uplink() {
        let radio = scene.radio(link.radio);
        let from = (radio.interface.as_str(), 8 + radio.port as u64);
        row(scene, rows, &seen(radio.device, station_name(scene), from));
    }
}

const fn seen<'a>(device: usize, interface: &'a str, from: (&'a str, u64)) -> Seen<'a> {
    Seen {
        device,
        interface,
        from,
    }
}

fn row(scene: &Scene<'_>, rows: &mut Table<'_>, seen: &Seen<'_>) {
    if !scene.world.powered(seen.device) {
        return;
    }
    let plan = scene.plan();
    let other = &plan.devices[seen.device];
    let there = Scene {
        index: seen.device,
        ..*scene
    };
    let address = match other.client {
        Some(client) if other.role == Role::Cpe => addressing::client(client),
        _ => addressing::tower(plan, seen.device),
    };
    let uptime_s = (scene.now - scene.world.booted_ms(seen.device)) / 1_000;
    // Announced every 30 s.
    let age_s = (uptime_s + (hash(plan.seed, other.number, 131) % 30) as i64) % 30;
    let software_id = hash(plan.seed, other.number, 132);
    let (bridged, newer) = (scene.version_at_least(6, 44), scene.version_at_least(7, 0));
    rows.row(|r| {
        r.put(".id", format_args!("*{:X}", seen.device + 1));
        match seen.interface.starts_with("ether") && bridged && scene.device().role == Role::Router
        {
            true => r.put("interface", format_args!("{},bridge1", seen.interface)),
            false => r.put("interface", seen.interface),
        };
        r.put("address", address).put("address4", address);
        r.put("mac-address", MacText(other.mac(seen.from.1)))
            .put("identity", scene.identity_of(seen.device))
            .put("platform", "MikroTik")
            .put("version", Software(&there))
            .put("unpack", "none")
            .put("age", Uptime(age_s))
            .put("uptime", Uptime(uptime_s))
            .put(
                "software-id",
                format_args!(
                    "{:04X}-{:04X}",
                    software_id & 0xFFFF,
                    software_id >> 16 & 0xFFFF
                ),
            )
            .put("board", other.board.model)
            .put("ipv6", "false")
            .put("interface-name", seen.from.0);
        if bridged {
            r.put(
                "system-description",
                format_args!(
                    "MikroTik RouterOS {} {}",
                    Software(&there),
                    other.board.model
                ),
            )
            .put("system-caps", "bridge,wlan-ap,router")
            .put("system-caps-enabled", "bridge,router");
        }
        if newer {
            r.put(
                "discovered-by",
                if seen.from.0.starts_with("ether") {
                    "cdp,lldp,mndp"
                } else {
                    "mndp"
                },
            );
        }
    });
}
