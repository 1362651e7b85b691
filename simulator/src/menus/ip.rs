//! `/ip/address` and `/ip/arp`.

use std::net::Ipv4Addr;

use super::{Scene, interface::station_name, table::Table};
use crate::{
    noise::hash,
    text::MacText,
    world::{
        Association,
        addressing::{self, gateway, network},
        model::{CapsMan, Role, Tls},
    },
};

/// An address that a device has on one of its interfaces.
pub(super) struct Held {
    pub(super) address: Ipv4Addr,
    pub(super) length: u8,
    pub(super) interface: &'static str,
    /// Given by a DHCP server.
    pub(super) dynamic: bool,
}

const fn held(address: Ipv4Addr, length: u8, interface: &'static str) -> Held {
    Held {
        address,
        length,
        interface,
        dynamic: false,
    }
}

/// The inside of a customer's network.
pub(super) const LAN: Ipv4Addr = Ipv4Addr::new(192, 168, 88, 1);

/// The router's side of a site's uplink; the far side is one less.
pub(super) fn uplink(site: usize) -> Ipv4Addr {
    Ipv4Addr::new(
        100,
        64 + (site / 4_096) as u8,
        (site / 64 % 64) as u8,
        (site % 64) as u8 * 4 + 2,
    )
}

/// Every address of a device.
pub(super) fn held_by(scene: &Scene<'_>) -> Vec<Held> {
    let (plan, device) = (scene.plan(), scene.device());
    let mut all = Vec::new();
    match device.role {
        Role::Cpe => {
            if let Some(link) = scene.uplink() {
                all.push(Held {
                    dynamic: true,
                    ..held(addressing::client(link.client), 24, station_name(scene))
                });
            }
            all.push(held(LAN, 24, "bridge1"));
        }
        Role::Router => {
            all.push(held(uplink(device.site), 30, "ether1"));
            all.push(held(addressing::tower(plan, scene.index), 24, "bridge1"));
        }
        Role::Ap | Role::Backhaul => {
            all.push(held(addressing::tower(plan, scene.index), 24, "ether1"));
        }
    }
    let gateways = addressing::gateways(plan, scene.index);
    all.extend(gateways.into_iter().map(|own| held(own, 24, "bridge1")));
    all
}

pub(super) fn addresses(scene: &Scene<'_>, rows: &mut Table<'_>) {
    for (n, one) in held_by(scene).iter().enumerate() {
        rows.row(|r| {
            r.put(".id", format_args!("*{:X}", n + 1))
                .put("address", format_args!("{}/{}", one.address, one.length))
                .put("network", network(one.address, one.length))
                .put("interface", one.interface)
                .put("actual-interface", one.interface)
                .put("invalid", "false")
                .put("dynamic", one.dynamic);
            if scene.version_at_least(7, 13) {
                r.put("slave", "false").put("vrf", "main");
            }
            r.put("disabled", "false");
        });
    }
}

pub(super) fn services(scene: &Scene<'_>, rows: &mut Table<'_>) {
    const SERVICES: [(&str, u16); 7] = [
        ("telnet", 23),
        ("ftp", 21),
        ("www", 80),
        ("ssh", 22),
        ("api", 8_728),
        ("winbox", 8_291),
        ("api-ssl", 8_729),
    ];
    let tls = scene.device().tls;
    for (n, (name, port)) in SERVICES.into_iter().enumerate() {
        let on = match name {
            "ssh" | "api" | "winbox" => true,
            "api-ssl" => tls != Tls::Off,
            _ => false,
        };
        rows.row(|r| {
            r.put(".id", format_args!("*{n:X}"))
                .put("name", name)
                .put("port", port)
                .put("address", "");
            if name == "api-ssl" {
                r.put(
                    "certificate",
                    if tls.has_certificate() {
                        "api-ssl"
                    } else {
                        "none"
                    },
                );
            }
            r.put("invalid", "false").put("disabled", !on);
        });
    }
}

/// Associations of the clients whose gateway this device is, each client once.
pub(super) fn clients_behind<'a>(scene: &Scene<'a>) -> impl Iterator<Item = Association> + 'a {
    let (world, index) = (scene.world, scene.index);
    let plan = world.plan();
    let serves = match scene.device().role {
        Role::Ap => scene.device().capsman != CapsMan::Cap,
        Role::Router => scene.device().capsman == CapsMan::Controller,
        Role::Cpe | Role::Backhaul => false,
    };
    let radios = plan.sites[scene.device().site].radios.iter().copied();
    radios
        .filter(move |radio| {
            serves && !plan.radios[*radio].w60g && plan.radios[*radio].reporter().0 == index
        })
        .flat_map(move |radio| world.members(radio).iter().copied())
        .filter_map(move |client| world.association(client))
}

/// Somebody in a customer's house.
pub(super) struct Guest {
    pub(super) mac: u64,
    pub(super) address: Ipv4Addr,
    pub(super) host: &'static str,
}

/// Who is at home behind a customer's device.
pub(super) fn guests<'a>(scene: &Scene<'a>) -> impl Iterator<Item = Guest> + 'a {
    const HOSTS: [&str; 6] = ["laptop", "tv", "", "printer", "phone", "camera"];
    let (seed, number) = (scene.plan().seed, scene.device().number);
    let count = match scene.device().role {
        Role::Cpe => 1 + hash(seed, number, 121) % 4,
        _ => 0,
    };
    (0..count).map(move |n| Guest {
        mac: 0x3C_52_82_00_00_00 | (number * 8 + n) & 0xFF_FFFF,
        address: Ipv4Addr::new(192, 168, 88, (254 - n) as u8),
        host: HOSTS[(hash(seed, number, 122 + n) % HOSTS.len() as u64) as usize],
    })
}

struct Entry<'a> {
    id: usize,
    address: Ipv4Addr,
    /// `None` = it was asked for and nobody answers.
    mac: Option<u64>,
    interface: &'a str,
    dhcp: bool,
}

pub(super) fn arp(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let (plan, device) = (scene.plan(), scene.device());
    match device.role {
        Role::Cpe => {
            if let Some(link) = scene.uplink() {
                let holder = scene.radio(link.radio).reporter().0;
                let up = Entry {
                    id: 1,
                    address: gateway(addressing::client(link.client)),
                    mac: Some(plan.devices[holder].mac(0)),
                    interface: station_name(scene),
                    dhcp: false,
                };
                entry(scene, rows, &up);
            }
        }
        Role::Router => {
            let beyond = Entry {
                id: 1,
                address: Ipv4Addr::from_bits(uplink(device.site).to_bits() - 1),
                mac: Some(0x00_1B_21_00_00_00 | device.site as u64),
                interface: "ether1",
                dhcp: false,
            };
            entry(scene, rows, &beyond);
            let tower = plan.sites[device.site].tower.iter().enumerate();
            for (n, &other) in tower.filter(|(_, other)| **other != scene.index) {
                let there = Entry {
                    id: n + 2,
                    address: addressing::tower(plan, other),
                    mac: scene
                        .world
                        .powered(other)
                        .then(|| plan.devices[other].mac(0)),
                    interface: "bridge1",
                    dhcp: false,
                };
                entry(scene, rows, &there);
            }
        }
        Role::Ap | Role::Backhaul => {
            let router = plan.sites[device.site].router;
            let up = Entry {
                id: 1,
                address: addressing::tower(plan, router),
                mac: Some(plan.devices[router].mac(0)),
                interface: "ether1",
                dhcp: false,
            };
            entry(scene, rows, &up);
        }
    }
    for link in clients_behind(scene) {
        let client = Entry {
            id: 0x40 + link.client,
            address: addressing::client(link.client),
            mac: Some(plan.clients[link.client].mac),
            interface: "bridge1",
            dhcp: true,
        };
        entry(scene, rows, &client);
    }
    for (n, guest) in guests(scene).enumerate() {
        let guest = Entry {
            id: 2 + n,
            address: guest.address,
            mac: Some(guest.mac),
            interface: "bridge1",
            dhcp: true,
        };
        entry(scene, rows, &guest);
    }
}

fn entry(scene: &Scene<'_>, rows: &mut Table<'_>, entry: &Entry<'_>) {
    rows.row(|r| {
        r.put(".id", format_args!("*{:X}", entry.id))
            .put("address", entry.address)
            .put_some("mac-address", entry.mac.map(MacText))
            .put("interface", entry.interface)
            .put("published", "false");
        if scene.version_at_least(7, 13) {
            r.put(
                "status",
                if entry.mac.is_some() {
                    "reachable"
                } else {
                    "failed"
                },
            );
        }
        r.put("invalid", "false")
            .put("DHCP", entry.dhcp)
            .put("dynamic", "true")
            .put("complete", entry.mac.is_some())
            .put("disabled", "false");
        if scene.version_at_least(7, 13) {
            r.put("vrf", "main");
        }
    });
}
