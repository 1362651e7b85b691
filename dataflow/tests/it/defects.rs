//! Mistakes that systems of this kind are known for, each as a history that shows it. The flow is run over it, by one worker
//! and by two, and the oracle; what they say is the same, and what a person would expect. `docs/defects.md` lists them all.

use bytes::Bytes;
use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::Snapshot;
use mast_oracle::Views;
use mast_oracle::script::{
    Script, add_client, add_interface, at, bad, good, mac, radio, site, tenant,
};
use mast_schemas::control::Change;
use mast_schemas::records::{Outcome, Source};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::LinkReason::{ApOffline, Confirmed, Lost};
use mast_schemas::views::LinkState::{Active, Down, Stale};
use mast_schemas::views::{DeviceState, LinkReason, LinkState, LinkView, Place};
use mast_schemas::{DeviceId, LinkId, Mac, Timestamp};

use crate::support::{Served, config, encode, oracle, run};

/// What is served after a script, by any number of workers, which is also what the oracle says.
fn served(script: &Script, until: Timestamp) -> Served {
    let slots = script.slots(until);
    let input = encode(&slots, 4);
    let one = run(&input, 1, 1);
    let two = run(&input, 2, 7);
    let truth: Views = oracle(&slots, DEFAULT).0.views();
    for views in [&one.views, &two.views] {
        assert_eq!(views.devices, truth.devices);
        assert_eq!(views.links, truth.links);
        assert_eq!(views.counts, truth.counts);
        assert_eq!(views.signals, truth.signals);
    }
    one
}

fn link(served: &Served, ap: DeviceId, radio_mac: Mac, mac: Mac) -> &LinkView {
    let id = LinkId {
        tenant_id: tenant(1),
        ap_device_id: ap,
        radio_mac,
        mac,
    };
    served.views.links.get(&id).unwrap()
}

fn state(served: &Served, ap: DeviceId, mac: Mac) -> (LinkState, LinkReason) {
    let link = link(served, ap, radio(ap), mac);
    (link.state, link.reason)
}

/// Client `n` of the access point of a number.
fn client(number: u32, n: u32) -> Mac {
    mac(100 * (number - 1) + n)
}

/// An access point whose links with clients 1 to `n` are active at 20 s.
fn with_clients(script: &mut Script, number: u32, n: u32) -> DeviceId {
    let ap = script.device(at(0), number);
    for t in [10, 20] {
        let clients: Vec<_> = (1..=n)
            .map(|n| good(client(number, n), 1_000 + t))
            .collect();
        script.ap_poll(ap, at(t as i64), &clients);
    }
    ap
}

#[test]
fn an_access_point_that_lost_all_its_clients_ends_their_links() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 3);
    for t in [30, 40, 50] {
        s.ap_poll(ap, at(t), &[]);
    }
    let before = served(&s, at(49));
    let after = served(&s, at(51));
    for n in 1..=3 {
        assert_eq!(state(&before, ap, mac(n)), (Active, Confirmed));
        assert_eq!(state(&after, ap, mac(n)), (Down, Lost));
        assert_eq!(link(&after, ap, radio(ap), mac(n)).since, at(50));
    }
    assert_eq!(
        after.views.counts[&Place::Site(tenant(1), site(1))].links,
        [0, 0, 0, 3, 0]
    );
}

#[test]
fn an_access_point_that_died_takes_its_links_down_and_one_nobody_looks_at_says_so() {
    let mut s = Script::new();
    let dead = with_clients(&mut s, 1, 2);
    let forgotten = with_clients(&mut s, 2, 2);
    s.poll_failed(dead, at(30), Outcome::Timeout);
    s.poll_failed(dead, at(31), Outcome::Timeout);
    let after = served(&s, at(120));
    for n in 1..=2 {
        assert_eq!(state(&after, dead, mac(n)), (Down, ApOffline));
        let last_known = link(&after, forgotten, radio(forgotten), client(2, n));
        assert!(last_known.unobserved, "never green for ever");
    }
    assert_eq!(
        after.views.devices[&forgotten].state,
        DeviceState::Unobserved
    );
}

/// A table of strangers is a table: those who are not in it are missing, and the strangers have links of their own.
#[test]
fn a_table_of_strangers_misses_the_known_and_shows_the_strangers() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 1);
    for t in [30, 40, 50] {
        s.ap_poll(ap, at(t), &[good(mac(77), t as u64)]);
    }
    let after = served(&s, at(51));
    assert_eq!(state(&after, ap, mac(1)), (Down, Lost));
    assert_eq!(state(&after, ap, mac(77)), (Active, Confirmed));
    assert_eq!(link(&after, ap, radio(ap), mac(77)).cpe_device_id, None);
}

#[test]
fn a_message_delivered_many_times_counts_once() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 2);
    s.ap_poll(ap, at(30), &[good(mac(1), 1_030)]);
    for again in 1..=9 {
        s.repeat(again);
    }
    let after = served(&s, at(36));
    assert_eq!(
        state(&after, ap, mac(2)),
        (Active, Confirmed),
        "missing once, not ten times"
    );
    assert_eq!(served(&s, at(29)).views.links, after.views.links);
}

#[test]
fn a_client_that_roams_has_one_live_link_at_once() {
    let mut s = Script::new();
    let from = with_clients(&mut s, 1, 1);
    let to = s.device(at(0), 2);
    s.ap_poll(to, at(31), &[good(mac(1), 3)]);
    let after = served(&s, at(32));
    assert_eq!(
        state(&after, from, mac(1)).0,
        Stale,
        "without waiting for the old one's tables"
    );
    assert_eq!(state(&after, from, mac(1)).1, LinkReason::Roamed);
    let live = after
        .views
        .links
        .values()
        .filter(|link| link.state != Stale);
    assert_eq!(live.count(), 1);
}

#[test]
fn a_registration_before_its_owners_first_interfaces_is_not_lost() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 1);
    let cpe = s.device(at(0), 2);
    let early = served(&s, at(21));
    assert_eq!(link(&early, ap, radio(ap), mac(1)).cpe_device_id, None);
    s.interfaces(cpe, at(25), &[mac(1)]);
    let late = served(&s, at(26));
    let (early, late) = (
        link(&early, ap, radio(ap), mac(1)),
        link(&late, ap, radio(ap), mac(1)),
    );
    assert_eq!(late.cpe_device_id, Some(cpe), "without another table");
    assert_eq!((late.state, late.since), (early.state, early.since));
}

#[test]
fn rows_of_what_was_just_deleted_stop_nothing() {
    let mut s = Script::new();
    let gone = with_clients(&mut s, 1, 1);
    let stays = with_clients(&mut s, 2, 1);
    s.change(at(25), Change::DeviceDeleted { id: gone });
    s.ap_poll(gone, at(30), &[good(mac(1), 1_030)]);
    s.ap_poll(stays, at(30), &[]);
    s.ap_poll(stays, at(40), &[]);
    s.ap_poll(stays, at(50), &[]);
    let after = served(&s, at(51));
    assert!(!after.views.devices.contains_key(&gone));
    assert!(after.views.links.keys().all(|id| id.ap_device_id == stays));
    assert_eq!(
        state(&after, stays, client(2, 1)),
        (Down, Lost),
        "those after it were read"
    );
}

/// A message that can't be read is left out and told, once; it is not tried for ever, and what came with it counts.
#[test]
fn a_message_that_is_damaged_is_left_out_and_the_others_count() {
    let mut s = Script::new();
    with_clients(&mut s, 1, 2);
    with_clients(&mut s, 2, 2);
    with_clients(&mut s, 3, 2);
    let slots = s.slots(at(21));
    let mut input = encode(&slots, 1);
    let damaged = input
        .iter_mut()
        .flat_map(|slot| &mut slot.messages)
        .next()
        .unwrap();
    let (partition, offset) = (damaged.partition, damaged.offset);
    damaged.body = Bytes::from(vec![0xA5; damaged.body.len()]);
    let mut engine = Engine::start(config(2), Snapshot::default()).unwrap();
    for slot in &input {
        engine.feed(slot.clone()).unwrap();
    }
    let mut outputs = engine.outputs().unwrap();
    let poison = std::mem::take(&mut outputs.poison);
    let places: Vec<_> = poison
        .iter()
        .map(|(_, m, _)| (m.partition, m.offset))
        .collect();
    assert_eq!(places, [(partition, offset)]);
    assert!(!poison[0].2.is_empty(), "with the reason");
    let mut served = Served::default();
    served.take(outputs);
    let active = served
        .views
        .links
        .values()
        .filter(|link| link.state == Active);
    assert_eq!(active.count(), 4, "of the two whose tables were all whole");
    assert_eq!(served.views.links.len(), 6);
}

/// A CPE with two radios, or a bonded pair, has a link for each.
#[test]
fn two_radios_of_one_customer_are_two_links() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 2);
    let cpe = s.device(at(0), 2);
    s.interfaces(cpe, at(5), &[mac(1), mac(2)]);
    // And the second of them also on another radio of the access point.
    let other_radio = mac(500);
    for t in [30, 40] {
        let poll = s.ap_poll(ap, at(t), &[good(mac(1), 1_000 + t as u64)]);
        add_client(
            poll,
            Source::Wireless,
            "wlan2",
            other_radio,
            false,
            good(mac(2), t as u64 - 25),
        );
    }
    let after = served(&s, at(41));
    for (radio, mac) in [(radio(ap), mac(1)), (other_radio, mac(2))] {
        let link = link(&after, ap, radio, mac);
        assert_eq!((link.state, link.cpe_device_id), (Active, Some(cpe)));
    }
    assert_eq!(
        after.views.counts[&Place::Tenant(tenant(1))].links[1],
        2,
        "counted as two"
    );
}

/// A signal that swings about the threshold changes nothing that people see.
#[test]
fn a_signal_about_the_threshold_does_not_flicker() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 1);
    for i in 0..30 {
        let swing = if i % 2 == 0 { -81 } else { -79 };
        s.ap_poll(
            ap,
            at(30 + 10 * i),
            &[(mac(1), Some(swing), None, Some(2_000 + 10 * i as u64))],
        );
    }
    let after = served(&s, at(331));
    assert_eq!(state(&after, ap, mac(1)), (Active, Confirmed));
    let told: Vec<_> = after.link_events.iter().map(|e| e.to_state).collect();
    assert_eq!(told.len(), 2, "discovered, active: {told:?}");
}

/// A signal that is not told is none, not 0 dBm: it is no part of a mean.
#[test]
fn a_signal_that_is_not_told_is_no_part_of_a_mean() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    for t in [10, 20] {
        let up = Some(1_000 + t as u64);
        s.ap_poll(
            ap,
            at(t),
            &[(mac(1), Some(-70), None, up), (mac(2), None, None, up)],
        );
    }
    let after = served(&s, at(21));
    let signals = after.views.signals[&Place::Tenant(tenant(1))];
    assert_eq!((signals.clients, signals.sum_dbm), (1, -70));
    assert_eq!(signals.worst_dbm, Some(-70));
}

/// An access point that hears its own address, or owns the client's, is no customer of itself.
#[test]
fn an_access_point_is_never_at_both_ends() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 1);
    let poll = s.ap_poll(ap, at(30), &[good(radio(ap), 5), bad(mac(1), 1_030)]);
    add_interface(poll, mac(1), false);
    let after = served(&s, at(31));
    assert_eq!(after.views.links.len(), 1, "none with itself");
    assert_eq!(link(&after, ap, radio(ap), mac(1)).cpe_device_id, None);
}

/// Rows that waited out an outage are of their own time: what they say of long ago is no news of now.
#[test]
fn rows_of_long_ago_revive_nothing() {
    let mut s = Script::new();
    let ap = with_clients(&mut s, 1, 1);
    for t in [30, 40, 50] {
        s.ap_poll(ap, at(t), &[]);
    }
    let down = served(&s, at(51));
    // Of the former lease, when the client was still there; it comes only now.
    let mut late = s
        .slots(at(21))
        .into_iter()
        .flat_map(|slot| slot.polls)
        .last()
        .unwrap();
    late.poll.observed_at = at(22);
    s.push(mast_schemas::Epoch::of(at(55)), late);
    let after = served(&s, at(56));
    assert_eq!(state(&after, ap, mac(1)), (Down, Lost));
    assert_eq!(after.views.links, down.views.links);
}
