//! ARP and DHCP tables for polls that a script has written: a function of device and poll, so that a repeat of a poll says
//! what the poll said.

use mast_schemas::Mac;
use mast_schemas::message::WholePoll;
use mast_schemas::records::{Arp, DhcpLease, Outcome, Tables};

use super::mac;

/// Clients that the tables tell of.
const CLIENTS: u64 = 12;

/// Adds them. Some devices have the one table, some the other, some both; entries come, change, and go.
pub(super) fn add_addresses(whole: &mut WholePoll) {
    let poll = &whole.poll;
    let (device, sequence) = (u64::from(poll.device_id.as_bytes()[15]), poll.sequence);
    if poll.outcome != Outcome::Ok || sequence % 2 == 1 {
        return;
    }
    let age = sequence / 4;
    for n in 0..CLIENTS {
        let shown = (age + n + device) % 4;
        let address = format!("10.0.{}.{n}", (age / 3 + device) % 2);
        if device % 3 != 1 && shown != 0 {
            add_arp(whole, mac(n as u32), &address);
            let row = whole.slow.arp.last_mut();
            row.into_iter().for_each(|row| {
                row.complete = Some((age + n) % 5 != 0).filter(|_| n % 2 == 0);
                row.invalid = Some(n == 7);
                row.mac = row.mac.filter(|_| n != 9);
            });
        }
        if device % 3 != 2 && shown > 1 {
            let name = format!("cpe-{n}-{}", age / 5);
            add_lease(
                whole,
                mac(n as u32),
                &address,
                Some(name.as_str()).filter(|_| n % 3 != 0),
            );
            let row = whole.slow.dhcp_leases.last_mut();
            row.into_iter().for_each(|row| {
                row.blocked = Some(n == 5);
                if (age + n) % 7 == 0 {
                    row.status = Some("waiting".to_owned());
                }
                if n == 4 {
                    row.active_address = Some("10.9.9.9".to_owned());
                    row.active_mac = Some(mac(3));
                }
            });
        }
    }
    let tables = &mut whole.poll.tables;
    if device % 3 != 1 {
        *tables = Tables(*tables).with(Tables::ARP).0;
    }
    if device % 3 != 2 {
        *tables = Tables(*tables).with(Tables::DHCP_LEASE).0;
    }
}

/// Adds an entry of the ARP table.
pub fn add_arp(whole: &mut WholePoll, mac: Mac, address: &str) {
    let poll = &whole.poll;
    whole.slow.arp.push(Arp {
        tenant_id: poll.tenant_id,
        device_id: poll.device_id,
        observed_at: poll.observed_at,
        lease_epoch: poll.lease_epoch,
        sequence: poll.sequence,
        interface: Some("bridge".to_owned()),
        address: address.to_owned(),
        mac: Some(mac),
        status: None,
        dynamic: Some(true),
        dhcp: None,
        complete: Some(true),
        disabled: None,
        invalid: None,
        published: None,
        comment: None,
    });
}

/// Adds a bound lease.
pub fn add_lease(whole: &mut WholePoll, mac: Mac, address: &str, host_name: Option<&str>) {
    let poll = &whole.poll;
    whole.slow.dhcp_leases.push(DhcpLease {
        tenant_id: poll.tenant_id,
        device_id: poll.device_id,
        observed_at: poll.observed_at,
        lease_epoch: poll.lease_epoch,
        sequence: poll.sequence,
        server: Some("lan".to_owned()),
        address: address.to_owned(),
        mac: Some(mac),
        host_name: host_name.map(str::to_owned),
        status: Some("bound".to_owned()),
        expires_after_s: Some(600),
        comment: None,
        dynamic: Some(true),
        disabled: None,
        blocked: None,
        last_seen_s: Some(3),
        client_id: None,
        active_address: None,
        active_mac: None,
        active_server: None,
    });
}
