//! States, past and history of places (§9).

use mast_oracle::script::{Script, at, device_row, mac, sector, site, tenant};
use mast_oracle::{Oracle, laws, place_laws};
use mast_schemas::control::Change;
use mast_schemas::records::Outcome;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::{HealthState, PastClients, Place};
use mast_schemas::{DeviceId, Timestamp};

const SITE: Place = Place::Site(tenant(1), site(1));
const SECTOR: Place = Place::Sector(tenant(1), sector(1));

fn fold(script: &Script, until: Timestamp) -> Oracle {
    let mut oracle = Oracle::new(DEFAULT);
    for slot in script.slots(until) {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
        let views = oracle.views();
        assert_eq!(laws(&views), []);
        assert_eq!(place_laws(&views, &oracle.records().control), []);
    }
    oracle
}

/// States of a place, with the second since which each holds.
fn story(oracle: &mut Oracle, place: Place) -> Vec<(i64, Option<HealthState>)> {
    let events = oracle.take_events().health;
    let of_place = events
        .into_iter()
        .filter(|e| (e.place_kind, e.place_id) == (place.kind(), place.id()));
    of_place
        .map(|e| ((e.at - at(0)).0 / 1_000_000, e.to_state))
        .collect()
}

fn fails(script: &mut Script, device: DeviceId, seconds: &[i64], outcome: Outcome) {
    for s in seconds {
        script.poll_failed(device, at(*s), outcome);
    }
}

#[test]
fn a_site_goes_from_unknown_up_degraded_and_down_to_unknown() {
    let mut s = Script::new();
    let (a, b) = (s.device(at(0), 1), s.device(at(0), 2));
    s.poll_ok(a, at(2));
    s.poll_ok(b, at(3));
    fails(&mut s, a, &[12, 22, 32, 42, 52, 62], Outcome::Timeout);
    s.poll_ok(b, at(13));
    s.poll_ok(b, at(23));
    fails(&mut s, b, &[33, 43], Outcome::Refused);
    fails(&mut s, b, &[53, 63], Outcome::AuthFailed);
    let mut oracle = fold(&s, at(120));
    use HealthState::{Degraded, Down, Unknown, Up};
    assert_eq!(
        story(&mut oracle, SITE),
        [
            (0, Some(Unknown)),
            (2, Some(Up)),
            (22, Some(Degraded)),
            (43, Some(Down)),
            // Who refuses us has power.
            (63, Some(Degraded)),
            // Device 1 was last polled at 62: overdue at 62 + 10 + 2 × 10, then only the other one is known of, to 93.
            (93, Some(Unknown)),
        ]
    );
}

#[test]
fn what_comes_and_goes_within_a_slot_is_no_transition() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    s.poll_ok(a, at(2));
    fails(&mut s, a, &[12], Outcome::Timeout);
    s.poll_failed(a, at(22), Outcome::Timeout);
    s.poll_ok(a, at(22));
    let mut oracle = fold(&s, at(25));
    let states: Vec<_> = story(&mut oracle, SITE).into_iter().map(|e| e.1).collect();
    assert_eq!(states, [Some(HealthState::Unknown), Some(HealthState::Up)]);
}

#[test]
fn a_place_has_a_state_while_it_has_a_device() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    s.poll_ok(a, at(2));
    s.change(at(10), Change::SectorDeleted { id: sector(1) });
    s.change(at(20), Change::SiteDeleted { id: site(1) });
    s.change(
        at(30),
        Change::Device(device_row(1, tenant(1), Some(site(1)), None)),
    );
    let mut oracle = fold(&s, at(31));
    assert_eq!(oracle.views().health.get(&SECTOR), None);
    assert_eq!(oracle.views().health[&SITE].state, HealthState::Up);
    let history = oracle.take_events().history;
    let gone: Vec<_> = history
        .iter()
        .filter(|row| row.state.is_none())
        .map(|row| (row.place_kind, row.since == row.at, row.devices_online))
        .collect();
    assert_eq!(
        gone,
        [(SECTOR.kind(), true, 0), (SITE.kind(), true, 0)],
        "{history:?}"
    );
}

/// Live links rise to one, then to two. The script begins at a whole hour.
#[test]
fn live_links_of_an_hour_ago_are_those_of_the_sample() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let two = [1, 2].map(|n| (mac(n), Some(-60), None, None));
    for k in 0..1_000 {
        let t = 10 * k + 1;
        s.ap_poll(ap, at(t), if t < 1_500 { &two[..1] } else { &two });
    }
    let past = |until: i64| fold(&s, at(until)).views().past.get(&SITE).copied();
    let hour_ago = |n| {
        let (hour_ago, week_ago) = (Some(n), None);
        Some(PastClients { hour_ago, week_ago })
    };
    // The place is there from 0 on; the first sample that it has is that of 300, when one link is live.
    assert_eq!(past(3_599), None);
    assert_eq!(past(3_899), None);
    assert_eq!(past(3_901), hour_ago(1));
    assert_eq!(past(5_101), hour_ago(1));
    assert_eq!(past(5_399), hour_ago(1));
    assert_eq!(past(5_401), hour_ago(2));
}

#[test]
fn every_tick_and_every_change_has_one_row_of_history() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    for k in 0..200 {
        s.poll_ok(a, at(10 * k + 1));
    }
    let mut oracle = fold(&s, at(1_201));
    let history = oracle.take_events().history;
    let rows: Vec<_> = history
        .iter()
        .filter(|row| (row.place_kind, row.place_id) == (SITE.kind(), SITE.id()))
        .map(|row| ((row.at - at(0)).0 / 1_000_000, row.since == row.at))
        .collect();
    assert_eq!(
        rows,
        [
            (0, true),
            (1, true),
            (300, false),
            (600, false),
            (900, false),
            (1_200, false)
        ]
    );
}
