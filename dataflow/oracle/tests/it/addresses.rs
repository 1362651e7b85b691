//! What routers say of clients (§13).

use mast_oracle::script::{Script, add_arp, add_lease, at, device_row, mac, tenant};
use mast_oracle::{Oracle, Views};
use mast_schemas::control::Change;
use mast_schemas::records::{Outcome, Tables};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{DeviceId, Timestamp};

fn views(script: &Script, until: Timestamp) -> Views {
    let mut oracle = Oracle::new(DEFAULT);
    for slot in script.slots(until) {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
    }
    oracle.views()
}

/// Address, name, and the second since which the word on the first client of a tenant holds.
fn word(views: &Views, of: u32) -> Option<(&str, Option<&str>, i64)> {
    let row = views.addresses.get(&(tenant(of), mac(1)))?;
    let since = (row.since - at(0)).0 / 1_000_000;
    Some((&row.address, row.host_name.as_deref(), since))
}

/// A poll with a whole ARP table of these addresses of the first client.
fn arp(s: &mut Script, device: DeviceId, second: i64, addresses: &[&str]) {
    let poll = s.poll(
        device,
        at(second),
        Outcome::Ok,
        Tables::default().with(Tables::ARP),
    );
    for address in addresses {
        add_arp(poll, mac(1), address);
    }
}

/// A poll with a whole table of leases.
fn leases(s: &mut Script, device: DeviceId, second: i64, rows: &[(&str, Option<&str>)]) {
    let tables = Tables::default().with(Tables::DHCP_LEASE);
    let poll = s.poll(device, at(second), Outcome::Ok, tables);
    for (address, name) in rows {
        add_lease(poll, mac(1), address, *name);
    }
}

#[test]
fn a_lease_holds_before_an_arp_entry_and_what_began_last_before_older_words() {
    let mut s = Script::new();
    let (a, b) = (s.device(at(0), 1), s.device(at(0), 2));
    leases(&mut s, a, 1, &[("10.0.0.1", Some("old"))]);
    arp(&mut s, b, 2, &["10.0.0.2"]);
    assert_eq!(
        word(&views(&s, at(3)), 1),
        Some(("10.0.0.1", Some("old"), 1))
    );
    // The client has moved behind another router; the lease there is newer, and stays so whoever is read last.
    leases(&mut s, b, 4, &[("10.0.1.1", Some("new"))]);
    leases(&mut s, a, 5, &[("10.0.0.1", Some("old"))]);
    assert_eq!(
        word(&views(&s, at(6)), 1),
        Some(("10.0.1.1", Some("new"), 4))
    );
    // Both leases ran out: the ARP entry is all that is left.
    leases(&mut s, a, 7, &[]);
    leases(&mut s, b, 8, &[]);
    assert_eq!(word(&views(&s, at(9)), 1), Some(("10.0.0.2", None, 2)));
    arp(&mut s, b, 10, &[]);
    assert_eq!(word(&views(&s, at(11)), 1), None);
}

#[test]
fn a_new_name_begins_nothing_anew_and_the_first_of_two_rows_counts() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    leases(&mut s, a, 1, &[("10.0.0.1", None)]);
    leases(
        &mut s,
        a,
        2,
        &[("10.0.0.1", Some("phone")), ("10.0.0.1", Some("other"))],
    );
    assert_eq!(
        word(&views(&s, at(3)), 1),
        Some(("10.0.0.1", Some("phone"), 1))
    );
    // Of words of one instant the lowest address holds.
    arp(&mut s, a, 4, &["10.0.0.9", "10.0.0.10"]);
    leases(&mut s, a, 5, &[]);
    assert_eq!(word(&views(&s, at(6)), 1), Some(("10.0.0.10", None, 4)));
}

#[test]
fn rows_that_say_nothing_of_where_a_client_is_do_not_count() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    let both = Tables::default().with(Tables::ARP).with(Tables::DHCP_LEASE);
    let poll = s.poll(a, at(1), Outcome::Ok, both);
    for _ in 0..4 {
        add_arp(poll, mac(1), "10.0.0.1");
        add_lease(poll, mac(1), "10.0.0.1", None);
    }
    let arp = &mut poll.slow.arp;
    (arp[0].complete, arp[1].disabled) = (Some(false), Some(true));
    (arp[2].invalid, arp[3].mac) = (Some(true), None);
    let leases = &mut poll.slow.dhcp_leases;
    (leases[0].status, leases[1].status) = (None, Some("waiting".to_owned()));
    (leases[2].disabled, leases[3].blocked) = (Some(true), Some(true));
    assert_eq!(word(&views(&s, at(2)), 1), None);
    // What is in use counts, not what was reserved.
    let poll = s.poll(a, at(3), Outcome::Ok, both);
    add_lease(poll, mac(9), "10.0.0.1", Some("cpe"));
    let lease = &mut poll.slow.dhcp_leases[0];
    (lease.active_mac, lease.active_address) = (Some(mac(1)), Some("10.0.0.5".to_owned()));
    assert_eq!(
        word(&views(&s, at(4)), 1),
        Some(("10.0.0.5", Some("cpe"), 3))
    );
}

#[test]
fn a_word_outlives_an_outage_and_goes_with_the_device_and_never_to_another_tenant() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    leases(&mut s, a, 1, &[("10.0.0.1", None)]);
    s.poll_failed(a, at(11), Outcome::Timeout);
    s.poll_failed(a, at(21), Outcome::Timeout);
    let foreign = device_row(9, tenant(2), None, None);
    let id = foreign.id;
    s.change(at(22), Change::Device(foreign));
    leases(&mut s, id, 23, &[("10.9.9.9", None)]);
    let seen = views(&s, at(24));
    assert_eq!(word(&seen, 1), Some(("10.0.0.1", None, 1)));
    assert_eq!(word(&seen, 2), Some(("10.9.9.9", None, 23)));
    s.change(at(25), Change::DeviceDeleted { id: a });
    let seen = views(&s, at(26));
    assert_eq!(word(&seen, 1), None);
    assert_eq!(word(&seen, 2), Some(("10.9.9.9", None, 23)));
    // A device that changes its tenant says nothing until it is read again.
    s.change(at(27), Change::Device(device_row(9, tenant(1), None, None)));
    let seen = views(&s, at(28));
    assert_eq!((word(&seen, 1), word(&seen, 2)), (None, None));
}
