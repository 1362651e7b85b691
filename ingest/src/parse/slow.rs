//! Kinds of the slower cadence, and lines of the device's log.

use super::{Attributes, Parsed, Stamp, boolean, duration, first, mac, walk};
use mast_schemas::records::{Arp, DhcpLease, Event, Firmware, Neighbor, RouteSummary};
use std::collections::BTreeMap;

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
    };
    walk(attributes, blank, |row, name, cell| match name {
        "interface" => cell.word(&mut row.interface),
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
    };
    walk(attributes, blank, |row, name, cell| match name {
        "server" => cell.word(&mut row.server),
        "address" => row.address = cell.text().into_owned(),
        "mac-address" => cell.put(&mut row.mac, mac),
        "host-name" => cell.word(&mut row.host_name),
        "status" => cell.word(&mut row.status),
        "expires-after" => {
            cell.put(&mut row.expires_after_s, |t| {
                duration(t).map(|d| d.as_secs())
            });
        }
        "comment" => cell.word(&mut row.comment),
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
    };
    walk(attributes, blank, |row, name, cell| match name {
        "channel" => cell.word(&mut row.channel),
        "installed-version" => cell.word(&mut row.installed_version),
        "latest-version" => cell.word(&mut row.latest_version),
        "status" => cell.word(&mut row.status),
        _ => cell.keep(),
    })
}

/// A row of `/log`. Its time has neither zone nor, on version 6, a year: `happened_at` stays null and
/// the text is kept under `time`.
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
    };
    walk(attributes, blank, |row, name, cell| match name {
        "topics" => row.topics = cell.text().into_owned(),
        "message" => row.message = cell.text().into_owned(),
        _ => cell.keep(),
    })
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
    let summary = |(protocol, (active, total)): (&str, (u32, u32))| RouteSummary {
        tenant_id: stamp.tenant_id,
        device_id: stamp.device_id,
        observed_at: stamp.observed_at,
        lease_epoch: stamp.lease_epoch,
        sequence: stamp.sequence,
        protocol: protocol.to_owned(),
        active,
        total,
    };
    counts.into_iter().map(summary).collect()
}
