//! §4, §5, §9: who is at the far end, remote radios, counts and signals.

use mast_oracle::script::{
    Script, add_interface, at, at_ms, device, good, mac, radio, sector, site, tenant,
};
use mast_schemas::control::Change;
use mast_schemas::records::{Outcome, Source, Tables};
use mast_schemas::views::{LinkState, Place};
use mast_schemas::{DeviceId, LinkId, Mac, Timestamp};

use crate::{link, run};

/// An access point with one client.
fn ap_with_client(s: &mut Script) -> DeviceId {
    let ap = s.device(at(0), 1);
    s.ap_poll(ap, at(10), &[good(mac(1), 5)]);
    s.ap_poll(ap, at(20), &[good(mac(1), 15)]);
    ap
}

#[test]
fn the_first_claim_counts_and_only_whole_tables_or_deletion_end_it() {
    let mut s = Script::new();
    let ap = ap_with_client(&mut s);
    let (second, first) = (s.device(at(0), 2), s.device(at(0), 3));
    let far_end = |s: &Script, t| link(&run(s, t), ap, mac(1)).cpe_device_id;
    assert_eq!(far_end(&s, at(21)), None);
    s.interfaces(first, at(22), &[mac(1), mac(7)]);
    s.interfaces(second, at(23), &[mac(1)]);
    assert_eq!(far_end(&s, at(24)), Some(first));
    s.poll_failed(first, at(32), Outcome::Timeout);
    s.poll_failed(first, at(33), Outcome::Timeout);
    s.poll_ok(first, at(34));
    assert_eq!(
        far_end(&s, at(80)),
        Some(first),
        "neither failures nor silence"
    );
    s.interfaces(first, at(84), &[mac(7)]);
    assert_eq!(far_end(&s, at(85)), Some(second));
    s.interfaces(first, at(94), &[mac(1)]);
    assert_eq!(far_end(&s, at(95)), Some(second), "the claim begins anew");
    s.change(at(96), Change::DeviceDeleted { id: second });
    assert_eq!(far_end(&s, at(97)), Some(first));
}

#[test]
fn ties_go_to_the_lower_id_and_never_to_the_access_point() {
    let mut s = Script::new();
    let ap = ap_with_client(&mut s);
    s.interfaces(ap, at(21), &[mac(1)]);
    assert_eq!(link(&run(&s, at(22)), ap, mac(1)).cpe_device_id, None);
    for n in [3, 2] {
        let id = s.device(at(0), n);
        s.interfaces(id, at(23), &[mac(1)]);
    }
    assert_eq!(
        link(&run(&s, at(24)), ap, mac(1)).cpe_device_id,
        Some(device(2))
    );
}

#[test]
fn a_remote_interface_and_another_tenants_claim_nothing() {
    let mut s = Script::new();
    let ap = ap_with_client(&mut s);
    let controller = s.device(at(0), 2);
    add_interface(
        s.poll(controller, at(21), Outcome::Ok, Tables::INTERFACE),
        mac(1),
        true,
    );
    let row = mast_oracle::script::device_row(3, tenant(2), None, None);
    s.change(at(0), Change::Device(row));
    s.interfaces(device(3), at(21), &[mac(1)]);
    assert_eq!(link(&run(&s, at(22)), ap, mac(1)).cpe_device_id, None);
}

/// Links of a remote radio, by their access point.
fn caps(s: &Script, bssid: Mac, t: Timestamp) -> Vec<(DeviceId, LinkState)> {
    let views = run(s, t).views();
    views
        .links
        .values()
        .filter(|l| l.id.radio_mac == bssid)
        .map(|l| (l.id.ap_device_id, l.state))
        .collect()
}

#[test]
fn a_remote_radio_belongs_to_its_owner_else_to_the_lowest_controller() {
    let mut s = Script::new();
    let (low, high, cap) = (s.device(at(0), 1), s.device(at(0), 2), s.device(at(0), 3));
    let bssid = radio(cap);
    s.cap_poll(high, at(10), bssid, &[good(mac(1), 5)]);
    assert_eq!(caps(&s, bssid, at(11)), [(high, LinkState::Discovered)]);
    // Another controller with a lower id: the links begin anew under it.
    s.cap_poll(low, at(12), bssid, &[good(mac(5), 2)]);
    assert_eq!(caps(&s, bssid, at(13)), []);
    s.cap_poll(high, at(20), bssid, &[good(mac(1), 15)]);
    s.cap_poll(high, at(30), bssid, &[good(mac(1), 25)]);
    assert_eq!(caps(&s, bssid, at(31)), [(low, LinkState::Active)]);
    // The owner is known: the same again.
    s.interfaces(cap, at(32), &[bssid]);
    assert_eq!(caps(&s, bssid, at(33)), []);
    s.cap_poll(high, at(40), bssid, &[good(mac(1), 35)]);
    s.cap_poll(high, at(50), bssid, &[good(mac(1), 45)]);
    s.interfaces(cap, at(51), &[bssid]);
    assert_eq!(caps(&s, bssid, at(52)), [(cap, LinkState::Active)]);
    let mut oracle = run(&s, at(52));
    let events = oracle.take_events().links;
    assert!(events.iter().all(|e| e.to_state != Some(LinkState::Down)));
    assert_eq!(events.iter().filter(|e| e.to_state.is_none()).count(), 3);
}

#[test]
fn a_remote_radio_is_unobserved_with_its_controller() {
    let mut s = Script::new();
    let (controller, cap) = (s.device(at(0), 1), s.device(at(0), 2));
    let bssid = radio(cap);
    s.interfaces(cap, at(5), &[bssid]);
    s.cap_poll(controller, at(10), bssid, &[good(mac(1), 5)]);
    s.cap_poll(controller, at(20), bssid, &[good(mac(1), 15)]);
    let flag = |s: &Script, t| {
        let id = LinkId {
            tenant_id: tenant(1),
            ap_device_id: cap,
            radio_mac: bssid,
            mac: mac(1),
        };
        let view = run(s, t).views().links[&id].clone();
        (view.state, view.unobserved)
    };
    s.poll_ok(cap, at(22));
    assert_eq!(flag(&s, at(23)), (LinkState::Active, false));
    s.poll_failed(controller, at(30), Outcome::Timeout);
    s.poll_failed(controller, at(40), Outcome::Timeout);
    s.poll_ok(cap, at(41));
    assert_eq!(
        flag(&s, at(42)),
        (LinkState::Active, true),
        "the controller is offline, the access point is not"
    );
    s.cap_poll(controller, at(43), bssid, &[good(mac(1), 38)]);
    assert_eq!(flag(&s, at(44)), (LinkState::Active, false));
}

#[test]
fn only_the_reporter_that_shows_a_link_can_miss_it() {
    let mut s = Script::new();
    let (controller, cap) = (s.device(at(0), 1), s.device(at(0), 2));
    let bssid = radio(cap);
    s.interfaces(cap, at(5), &[bssid]);
    for k in 1..8 {
        s.cap_poll(
            controller,
            at(10 * k),
            bssid,
            &[good(mac(1), 10 * k as u64)],
        );
        s.ap_poll(cap, at(10 * k + 1), &[]);
    }
    assert_eq!(link(&run(&s, at(75)), cap, mac(1)).state, LinkState::Active);
    // The controller misses it, the access point itself shows it: that one reports it from now on.
    s.cap_poll(controller, at(80), bssid, &[]);
    s.ap_poll(cap, at(81), &[good(mac(1), 80)]);
    for k in 9..14 {
        s.cap_poll(controller, at(10 * k), bssid, &[]);
        s.ap_poll(cap, at(10 * k + 1), &[good(mac(1), 10 * k as u64)]);
    }
    let view = link(&run(&s, at(135)), cap, mac(1));
    assert_eq!(
        (view.state, view.source, view.interface.as_str()),
        (LinkState::Active, Source::Wireless, "wlan1")
    );
}

#[test]
fn counts_follow_devices_between_places() {
    let mut s = Script::new();
    let ap = ap_with_client(&mut s);
    let (t, here, there) = (
        tenant(1),
        Place::Site(tenant(1), site(1)),
        Place::Site(tenant(1), site(2)),
    );
    let views = run(&s, at(21)).views();
    assert_eq!(views.counts[&here], views.counts[&Place::Tenant(t)]);
    assert_eq!(views.counts[&here].links, [0, 1, 0, 0, 0]);
    assert_eq!(views.counts[&here].devices, [1, 0, 0, 0]);
    s.edit(at(22), ap, |d| {
        (d.site_id, d.sector_id) = (Some(site(2)), None);
    });
    let views = run(&s, at(23)).views();
    assert!(
        !views.counts.contains_key(&here)
            && !views.counts.contains_key(&Place::Sector(t, sector(1)))
    );
    assert_eq!(views.counts[&there].links, [0, 1, 0, 0, 0]);
    s.change(at(24), Change::SiteDeleted { id: site(2) });
    assert_eq!(run(&s, at(25)).views().counts.len(), 1);
    assert_eq!(
        run(&s, at_ms(80_000)).views().counts[&Place::Tenant(t)].links_unobserved,
        1
    );
    s.change(at(90), Change::TenantDeleted { id: t });
    assert_eq!(run(&s, at(91)).views(), Default::default());
}

#[test]
fn signals_are_of_live_links() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let rows: Vec<_> = (0..11)
        .map(|n| (mac(n), Some(-50 - n as i16), None, None))
        .collect();
    s.ap_poll(ap, at(10), &rows);
    assert!(
        run(&s, at(11)).views().signals.is_empty(),
        "discovered is not live"
    );
    let mut rows = rows;
    rows[10].1 = None;
    s.ap_poll(ap, at(20), &rows);
    let signals = run(&s, at(21)).views().signals[&Place::Tenant(tenant(1))];
    assert_eq!(
        (signals.clients, signals.sum_dbm),
        (11, -605),
        "a null keeps the last value"
    );
    assert_eq!(
        (signals.p10_dbm, signals.worst_dbm),
        (Some(-59), Some(-60)),
        "ceil(11/10) = 2nd worst"
    );
}

#[test]
fn a_client_keeps_the_begin_of_its_association_when_its_radio_moves() {
    let mut s = Script::new();
    let (controller, cap, other) = (s.device(at(0), 1), s.device(at(0), 2), s.device(at(0), 3));
    let (bssid, row) = (radio(cap), (mac(1), Some(-60), None, None));
    s.cap_poll(controller, at(10), bssid, &[row]);
    s.cap_poll(controller, at(20), bssid, &[row]);
    // It is at another access point since 25 s, when its radio's owner becomes known; the controller shows it still.
    s.ap_poll(other, at(30), &[good(mac(1), 5)]);
    s.interfaces(cap, at(31), &[bssid]);
    s.cap_poll(controller, at(40), bssid, &[row]);
    let oracle = run(&s, at(41));
    assert_eq!(caps(&s, bssid, at(41)), [(cap, LinkState::Stale)]);
    assert_eq!(link(&oracle, other, mac(1)).state, LinkState::Discovered);
    // A client that went meanwhile is nowhere.
    s.cap_poll(controller, at(50), bssid, &[]);
    assert_eq!(run(&s, at(51)).records().roam[0].others, []);
}
