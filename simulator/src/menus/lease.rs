//! `/ip/dhcp-server` and its leases: at the gateway of the clients, and in customers' houses.

use std::net::Ipv4Addr;

use super::{
    Scene,
    ip::{clients_behind, guests},
    table::Table,
};
use crate::{
    text::{MacText, Uptime},
    world::{
        addressing,
        model::{Ms, Role},
    },
};

/// How long a lease holds, seconds.
const LEASE_S: i64 = 600;

/// Client ids are printed without leading zeros.
struct ClientId(u64);

impl std::fmt::Display for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "1:{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{g:x}")
    }
}

/// The name of a device's DHCP server.
pub(crate) fn server(role: Role) -> &'static str {
    match role {
        Role::Cpe => "defconf",
        Role::Router | Role::Ap | Role::Backhaul => "dhcp1",
    }
}

/// The host name that a client tells.
pub(crate) fn host(scene: &Scene<'_>, client: usize) -> Option<String> {
    let plan = scene.plan();
    match plan.clients[client].device {
        Some(device) => Some(scene.identity_of(device)),
        None if client.is_multiple_of(3) => None,
        None => Some(format!("android-{:04x}", plan.clients[client].mac & 0xFFFF)),
    }
}

pub(super) fn servers(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let role = scene.device().role;
    let serves = role == Role::Cpe || !addressing::gateways(scene.plan(), scene.index).is_empty();
    if !serves {
        return;
    }
    rows.row(|r| {
        r.put(".id", "*1")
            .put("name", server(role))
            .put("interface", "bridge1")
            .put("lease-time", Uptime(LEASE_S))
            .put("address-pool", "pool1")
            .put_all(&[("authoritative", "yes"), ("use-radius", "no")])
            .put_all(&[
                ("dynamic", "false"),
                ("invalid", "false"),
                ("disabled", "false"),
            ]);
    });
}

struct Lease {
    id: usize,
    address: Ipv4Addr,
    mac: u64,
    host: Option<String>,
    since: Ms,
}

pub(super) fn leases(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let plan = scene.plan();
    for link in clients_behind(scene) {
        let lease = Lease {
            id: link.client + 1,
            address: addressing::client(link.client),
            mac: plan.clients[link.client].mac,
            host: host(scene, link.client),
            since: link.began_ms,
        };
        row(scene, rows, &lease);
    }
    for (n, guest) in guests(scene).enumerate() {
        let lease = Lease {
            id: n + 1,
            address: guest.address,
            mac: guest.mac,
            host: (!guest.host.is_empty()).then(|| guest.host.to_owned()),
            since: scene.world.booted_ms(scene.index) + 60_000 * n as Ms,
        };
        row(scene, rows, &lease);
    }
}

fn row(scene: &Scene<'_>, rows: &mut Table<'_>, lease: &Lease) {
    // Renewed at half time.
    let seen = ((scene.now - lease.since) / 1_000).max(0) % (LEASE_S / 2);
    let server = server(scene.device().role);
    rows.row(|r| {
        r.put(".id", format_args!("*{:X}", lease.id))
            .put("address", lease.address)
            .put("mac-address", MacText(lease.mac))
            .put("client-id", ClientId(lease.mac))
            .put("address-lists", "")
            .put("server", server)
            .put("dhcp-option", "")
            .put("status", "bound")
            .put("expires-after", Uptime(LEASE_S - seen))
            .put("last-seen", Uptime(seen));
        if scene.version_at_least(7, 15) {
            r.put("age", Uptime((scene.now - lease.since) / 1_000));
        }
        r.put("active-address", lease.address)
            .put("active-mac-address", MacText(lease.mac))
            .put("active-client-id", ClientId(lease.mac))
            .put("active-server", server)
            .put_some("host-name", lease.host.as_deref())
            .put_all(&[("radius", "false"), ("dynamic", "true")])
            .put_all(&[("blocked", "false"), ("disabled", "false")]);
    });
}
