//! Kinds of the slower cadence, and lines of the device's log.

use super::{Attributes, Cell, Parsed, Stamp, boolean, duration, first, mac, plain, walk};
use crate::tail::Line;
use mast_schemas::records::{Arp, DhcpLease, Event, EventOrigin, Firmware, Neighbor, RouteSummary};
use std::collections::BTreeMap;

/// A span in whole seconds; `never` is none.
fn seconds(cell: &mut Cell<'_, '_>, slot: &mut Option<u64>) {
    if cell.value != b"never" {
        cell.put(slot, |text| duration(text).map(|d| d.as_secs()));
    }
}

/// A row of `/ip/arp`.
pub fn arp(stamp: Stamp, attributes: &(impl Attributes + ?Sized)) -> Parsed<Arp> {
    let blank = Arp {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        interface: None,
        address: String::new(),
        mac: None,
        status: None,
        dynamic: None,
        dhcp: None,
        complete: None,
        disabled: None,
        invalid: None,
        published: None,
        comment: None,
    };
    walk(attributes, blank, |row, name, cell| match name {
        "interface" => cell.word(&mut row.interface),
        "DHCP" => cell.put(&mut row.dhcp, boolean),
        "complete" => cell.put(&mut row.complete, boolean),
        "disabled" => cell.put(&mut row.disabled, boolean),
        "invalid" => cell.put(&mut row.invalid, boolean),
        "published" => cell.put(&mut row.published, boolean),
        "comment" => cell.word(&mut row.comment),
        "address" => row.address = cell.text().into_owned(),
        "mac-address" => cell.put(&mut row.mac, mac),
        "status" => cell.word(&mut row.status),
        "dynamic" => cell.put(&mut row.dynamic, boolean),
        _ => cell.keep(),
    })
}

/// A row of `/ip/dhcp-server/lease`.
pub fn dhcp_lease(stamp: Stamp, attributes: &(impl Attributes + ?Sized)) -> Parsed<DhcpLease> {
    let blank = DhcpLease {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        server: None,
        address: String::new(),
        mac: None,
        host_name: None,
        status: None,
        expires_after_s: None,
        comment: None,
        dynamic: None,
        disabled: None,
        blocked: None,
        last_seen_s: None,
        client_id: None,
        active_address: None,
        active_mac: None,
        active_server: None,
    };
    walk(attributes, blank, |row, name, cell| match name {
        "server" => cell.word(&mut row.server),
        "address" => row.address = cell.text().into_owned(),
        "mac-address" => cell.put(&mut row.mac, mac),
        "host-name" => cell.word(&mut row.host_name),
        "status" => cell.word(&mut row.status),
        "expires-after" => seconds(cell, &mut row.expires_after_s),
        "comment" => cell.word(&mut row.comment),
        "dynamic" => cell.put(&mut row.dynamic, boolean),
        "disabled" => cell.put(&mut row.disabled, boolean),
        "blocked" => cell.put(&mut row.blocked, boolean),
        "last-seen" => seconds(cell, &mut row.last_seen_s),
        "client-id" => cell.word(&mut row.client_id),
        "active-address" => cell.word(&mut row.active_address),
        "active-mac-address" => cell.put(&mut row.active_mac, mac),
        "active-server" => cell.word(&mut row.active_server),
        _ => cell.keep(),
    })
}

/// A row of `/ip/neighbor`.
pub fn neighbor(stamp: Stamp, attributes: &(impl Attributes + ?Sized)) -> Parsed<Neighbor> {
    let blank = Neighbor {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        interface: String::new(),
        mac: None,
        address: None,
        identity: None,
        platform: None,
        version: None,
        board: None,
        discovered_by: None,
        address6: None,
        interface_name: None,
        system_description: None,
        system_caps: None,
        software_id: None,
        age_s: None,
        uptime_s: None,
    };
    walk(attributes, blank, |row, name, cell| match name {
        "interface" => row.interface = cell.text().into_owned(),
        "mac-address" => cell.put(&mut row.mac, mac),
        "address" => cell.word(&mut row.address),
        "identity" => cell.word(&mut row.identity),
        "platform" => cell.word(&mut row.platform),
        "version" => cell.word(&mut row.version),
        "board" => cell.word(&mut row.board),
        "discovered-by" => cell.word(&mut row.discovered_by),
        "address6" => cell.word(&mut row.address6),
        "interface-name" => cell.word(&mut row.interface_name),
        "system-description" => cell.word(&mut row.system_description),
        "system-caps" => cell.word(&mut row.system_caps),
        "software-id" => cell.word(&mut row.software_id),
        "age" => seconds(cell, &mut row.age_s),
        "uptime" => seconds(cell, &mut row.uptime_s),
        _ => cell.keep(),
    })
}

/// A row of `/system/package/update`.
pub fn firmware(stamp: Stamp, attributes: &(impl Attributes + ?Sized)) -> Parsed<Firmware> {
    let blank = Firmware {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        channel: None,
        installed_version: None,
        latest_version: None,
        status: None,
        routerboot_version: None,
        routerboot_upgrade_version: None,
        model: None,
    };
    walk(attributes, blank, |row, name, cell| match name {
        "channel" => cell.word(&mut row.channel),
        "installed-version" => cell.word(&mut row.installed_version),
        "latest-version" => cell.word(&mut row.latest_version),
        "status" => cell.word(&mut row.status),
        _ => cell.keep(),
    })
}

/// A row of `/log` by itself. What instant its time names depends on the router's clock, so `happened_at` stays null.
pub fn event(stamp: Stamp, attributes: &(impl Attributes + ?Sized)) -> Parsed<Event> {
    let blank = Event {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        happened_at: None,
        topics: String::new(),
        message: String::new(),
        line: 0,
        origin: EventOrigin::Device,
        device_time: None,
    };
    walk(attributes, blank, |row, name, cell| match name {
        "topics" => row.topics = cell.text().into_owned(),
        "message" => row.message = cell.text().into_owned(),
        "time" => cell.word(&mut row.device_time),
        _ => cell.keep(),
    })
}

/// A row of `/log` as the tail of the log wants it.
pub fn log_line(attributes: &(impl Attributes + ?Sized)) -> Line {
    let mut line = Line {
        id: None,
        time: String::new(),
        topics: String::new(),
        message: String::new(),
    };
    attributes.each(&mut |name, value| {
        let text = || plain(value).into_owned();
        match name {
            b".id" => line.id = row_id(value),
            b"time" => line.time = text(),
            b"topics" => line.topics = text(),
            b"message" => line.message = text(),
            _ => {}
        }
    });
    line
}

/// The number of an id such as `*4D8`.
pub fn row_id(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?.strip_prefix('*')?;
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// `/system/routerboard`, as far as it is about versions.
pub fn board(row: &mut Firmware, attributes: &(impl Attributes + ?Sized)) {
    let text = |name| first(attributes, name).map(std::borrow::Cow::into_owned);
    row.routerboot_version = text("current-firmware");
    row.routerboot_upgrade_version = text("upgrade-firmware");
    row.model = text("model");
}

/// A number of routes, by protocol or of all.
pub fn route_summary(stamp: Stamp, protocol: &str, active: u32, total: u32) -> RouteSummary {
    RouteSummary {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        protocol: protocol.to_owned(),
        active,
        total,
    }
}

/// The rows of `/ip/route` counted by protocol.
pub fn routes<A: Attributes>(stamp: Stamp, rows: &[A]) -> Vec<RouteSummary> {
    let mut counts: BTreeMap<&'static str, (u32, u32)> = BTreeMap::new();
    for row in rows {
        let is = |flag| first(row, flag).is_some_and(|value| matches!(&*value, "true" | "yes"));
        let protocol = ["connect", "bgp", "ospf", "rip", "static"]
            .into_iter()
            .find(|flag| is(flag))
            .unwrap_or(if is("dynamic") { "dynamic" } else { "static" });
        let count = counts.entry(protocol).or_default();
        count.0 += u32::from(is("active"));
        count.1 += 1;
    }
    let summary = |(protocol, (active, total)): (&str, (u32, u32))| {
        route_summary(stamp, protocol, active, total)
    };
    counts.into_iter().map(summary).collect()
}
