//! `/ip/route`: connected networks, a default, and on routers what OSPF and BGP told.
//!
//! A route whose link is gone is gone too, as where the protocol took it back. Version 6 tells the
//! state of a gateway; version 7 shows flags only where they are true.

use std::net::Ipv4Addr;

use super::{
    Scene,
    interface::station_name,
    ip::{held_by, uplink},
    table::Table,
};
use crate::world::{
    addressing::{self, gateway, network},
    model::Role,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Connect,
    Static,
    Dhcp,
    Ospf,
    Bgp,
}

struct Route {
    to: (Ipv4Addr, u8),
    /// `None` = connected.
    via: Option<Ipv4Addr>,
    interface: &'static str,
    source: Option<Ipv4Addr>,
    protocol: Protocol,
}

/// One site in so many has a BGP session with its upstream.
const BORDERS: usize = 7;

pub(super) fn routes(scene: &Scene<'_>, rows: &mut Table<'_>) {
    for (n, route) in all(scene).iter().enumerate() {
        if scene.version_at_least(7, 0) {
            row_7(scene, rows, n, route);
        } else {
            row_6(rows, n, route);
        }
    }
}

fn all(scene: &Scene<'_>) -> Vec<Route> {
    let (plan, device) = (scene.plan(), scene.device());
    let site = &plan.sites[device.site];
    let default = (Ipv4Addr::UNSPECIFIED, 0);
    let via = |to, via: Ipv4Addr, interface, protocol| Route {
        to,
        via: Some(via),
        interface,
        source: None,
        protocol,
    };
    let mut all = Vec::new();
    match device.role {
        Role::Cpe => {
            if let Some(link) = scene.uplink() {
                let gateway = gateway(addressing::client(link.client));
                all.push(via(default, gateway, station_name(scene), Protocol::Dhcp));
            }
        }
        Role::Ap | Role::Backhaul => {
            let router = addressing::tower(plan, site.router);
            all.push(via(default, router, "ether1", Protocol::Static));
        }
        Role::Router => {
            let upstream = Ipv4Addr::from_bits(uplink(device.site).to_bits() - 1);
            let border = device.site.is_multiple_of(BORDERS);
            let protocol = if border {
                Protocol::Bgp
            } else {
                Protocol::Static
            };
            all.push(via(default, upstream, "ether1", protocol));
            let learnt = if border { 3 + device.site as u8 % 5 } else { 0 };
            all.extend((0..learnt).map(|n| {
                let to = (Ipv4Addr::new(198, 18, n, 0), 24);
                via(to, upstream, "ether1", Protocol::Bgp)
            }));
        }
    }
    all.extend(held_by(scene).into_iter().map(|own| Route {
        to: (network(own.address, own.length), own.length),
        via: None,
        interface: own.interface,
        source: Some(own.address),
        protocol: Protocol::Connect,
    }));
    if device.role == Role::Router {
        behind_access_points(scene, &mut all);
        beyond_backhauls(scene, &mut all);
    }
    all
}

/// Static routes to the customers' networks of this tower.
fn behind_access_points(scene: &Scene<'_>, all: &mut Vec<Route>) {
    let plan = scene.plan();
    let tower = &plan.sites[scene.device().site].tower;
    for &other in tower.iter().filter(|other| **other != scene.index) {
        let hop = addressing::tower(plan, other);
        for net in addressing::gateways(plan, other) {
            all.push(Route {
                to: (network(net, 24), 24),
                via: Some(hop),
                interface: "bridge1",
                source: None,
                protocol: Protocol::Static,
            });
        }
    }
}

/// What OSPF told of the towers at the other ends of 60 GHz links that are up.
fn beyond_backhauls(scene: &Scene<'_>, all: &mut Vec<Route>) {
    let plan = scene.plan();
    for (far, radio) in addressing::backhauls(plan, scene.device().site) {
        let up = scene.world.table(radio).next().is_some();
        let router = plan.sites[far].router;
        if !up || !scene.world.powered(router) {
            continue;
        }
        let hop = addressing::tower(plan, router);
        let own = network(hop, 24);
        let customers = plan.sites[far].tower.iter();
        let customers = customers.flat_map(|other| addressing::gateways(plan, *other));
        let learnt = customers.map(|net| network(net, 24)).chain([own]);
        let mut learnt: Vec<_> = learnt.collect();
        learnt.sort_unstable();
        learnt.dedup();
        all.extend(learnt.into_iter().map(|net| Route {
            to: (net, 24),
            via: Some(hop),
            interface: "bridge1",
            source: None,
            protocol: Protocol::Ospf,
        }));
    }
}

fn distance(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Connect => 0,
        Protocol::Static | Protocol::Dhcp => 1,
        Protocol::Bgp => 20,
        Protocol::Ospf => 110,
    }
}

/// The flag of a protocol, by its name in both versions.
fn flag(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Connect => "connect",
        Protocol::Static => "static",
        Protocol::Dhcp => "dhcp",
        Protocol::Ospf => "ospf",
        Protocol::Bgp => "bgp",
    }
}

fn row_6(rows: &mut Table<'_>, n: usize, route: &Route) {
    rows.row(|r| {
        r.put(".id", format_args!("*{:X}", n + 1))
            .put("dst-address", format_args!("{}/{}", route.to.0, route.to.1))
            .put_some("pref-src", route.source);
        match route.via {
            Some(via) => r.put("gateway", via).put(
                "gateway-status",
                format_args!("{via} reachable via  {}", route.interface),
            ),
            None => r.put("gateway", route.interface).put(
                "gateway-status",
                format_args!("{} reachable", route.interface),
            ),
        };
        r.put("distance", distance(route.protocol)).put(
            "scope",
            match route.protocol {
                Protocol::Connect => "10",
                Protocol::Ospf => "20",
                Protocol::Bgp => "40",
                Protocol::Static | Protocol::Dhcp => "30",
            },
        );
        if route.via.is_some() {
            r.put("target-scope", "10");
        }
        r.put("active", "true");
        match route.protocol {
            Protocol::Static => r.put("static", "true"),
            // What DHCP gave is a static route that is dynamic.
            Protocol::Dhcp => r.put("dynamic", "true").put("static", "true"),
            other => r.put("dynamic", "true").put(flag(other), "true"),
        };
        match route.protocol {
            Protocol::Ospf => r.put_all(&[("ospf-metric", "20"), ("ospf-type", "intra-area")]),
            Protocol::Bgp => r.put_all(&[("bgp-as-path", "64512"), ("bgp-origin", "igp")]),
            _ => r,
        };
        r.put("disabled", "false");
    });
}

fn row_7(scene: &Scene<'_>, rows: &mut Table<'_>, n: usize, route: &Route) {
    let base: u32 = match route.protocol {
        Protocol::Connect => 0x2019_1010,
        Protocol::Static | Protocol::Dhcp => 0x8000_0001,
        Protocol::Ospf => 0x6000_0001,
        Protocol::Bgp => 0x4000_0001,
    };
    rows.row(|r| {
        r.put(".id", format_args!("*{:X}", base + n as u32))
            .put("dst-address", format_args!("{}/{}", route.to.0, route.to.1))
            .put("routing-table", "main");
        match route.via {
            Some(via) => r
                .put("gateway", via)
                .put("immediate-gw", format_args!("{via}%{}", route.interface)),
            None => r
                .put("gateway", route.interface)
                .put("immediate-gw", route.interface),
        };
        r.put("distance", distance(route.protocol))
            .put("scope", if route.via.is_some() { "30" } else { "10" })
            .put("target-scope", "10");
        if let Some(source) = route.source {
            r.put(
                "local-address",
                format_args!("{source}%{}", route.interface),
            );
        }
        let fixed = route.protocol == Protocol::Static;
        r.put("dynamic", !fixed)
            .put("active", "true")
            .put(flag(route.protocol), "true");
        if fixed {
            r.put("disabled", "false");
        }
        if scene.version_at_least(7, 15) && route.via.is_some() {
            r.put("suppress-hw-offload", "false");
        }
    });
}
