//! States, past and history of places (§9).

use mast_oracle::script::{
    Script, at, device_row, mac, rule_row, sector, site, tenant, window, window_row,
};
use mast_oracle::{Oracle, laws, maintenance_laws, place_laws};
use mast_schemas::alerts::{AlertChange, RuleKind};
use mast_schemas::control::{Change, Window};
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
        let records = oracle.records();
        assert_eq!(place_laws(&views, &records.control), []);
        let (windows, at) = (&records.windows, slot.last.end());
        assert_eq!(maintenance_laws(&views, windows, &records.control, at), []);
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

const TENANT: Place = Place::Tenant(tenant(1));

/// When a place came into maintenance and when it left it, seconds: a device there is polled all the time.
fn maintained(place: Place, edit: impl FnOnce(&mut Window)) -> Vec<i64> {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    for k in 0..10 {
        s.poll_ok(a, at(10 * k + 1));
    }
    let mut row = window_row(1, at(40), at(50));
    edit(&mut row);
    s.change(at(5), Change::Window(row));
    let story = story(&mut fold(&s, at(99)), place);
    let (times, states): (Vec<_>, Vec<_>) = story.into_iter().unzip();
    use HealthState::{Maintenance, Unknown, Up};
    let (begin, turns) = states.split_at(2);
    assert_eq!(begin, [Unknown, Up].map(Some));
    let round = [Maintenance, Up].map(Some);
    assert_eq!(turns, round.repeat(turns.len() / 2), "back to what it was");
    times[2..].to_vec()
}

#[test]
fn a_place_is_in_maintenance_while_a_window_covers_all_of_it() {
    let all = [TENANT, SITE, SECTOR];
    let covered = |edit: &dyn Fn(&mut Window)| all.map(|place| maintained(place, edit));
    let (yes, no) = (vec![40, 50], Vec::new());
    assert_eq!(covered(&|_| {}), [yes.clone(), yes.clone(), yes.clone()]);
    let of_site = covered(&|w| w.site_id = Some(site(1)));
    assert_eq!(of_site, [no.clone(), yes.clone(), yes]);
    for edit in [
        (|w| w.site_id = Some(site(2))) as fn(&mut Window),
        |w| w.device_ids = vec![DeviceId::from_bytes([1; 16])],
        |w| w.tenant_id = tenant(2),
        |w| w.ends_at = w.starts_at,
    ] {
        assert_eq!(covered(&edit), [no.clone(), no.clone(), no.clone()]);
    }
}

#[test]
fn an_edit_or_the_end_of_a_window_holds_from_its_slot() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    for k in 0..10 {
        s.poll_ok(a, at(10 * k + 1));
    }
    s.change(at(15), Change::Window(window_row(1, at(0), at(1_000))));
    let mut later = window_row(1, at(30), at(1_000));
    s.change(at(25), Change::Window(later.clone()));
    later.site_id = Some(site(2));
    s.change(at(45), Change::Window(later.clone()));
    later.site_id = Some(site(1));
    s.change(at(55), Change::Window(later));
    s.change(at(65), Change::WindowDeleted { id: window(1) });
    let mut oracle = fold(&s, at(99));
    let turns: Vec<_> = story(&mut oracle, SITE).into_iter().skip(2).collect();
    use HealthState::{Maintenance, Up};
    assert_eq!(
        turns,
        [
            (15, Maintenance),
            (25, Up),
            (30, Maintenance),
            (45, Up),
            (55, Maintenance),
            (65, Up)
        ]
        .map(|(s, state)| (s, Some(state)))
    );
}

/// Nothing is hidden: devices are counted, the rule of the site fires, and the state is that of the devices when it is over.
#[test]
fn in_maintenance_devices_are_counted_and_rules_go_on() {
    let mut s = Script::new();
    let a = s.device(at(0), 1);
    s.poll_ok(a, at(2));
    fails(
        &mut s,
        a,
        &(12..300).step_by(10).collect::<Vec<_>>(),
        Outcome::Timeout,
    );
    s.change(at(1), Change::Rule(rule_row(1, RuleKind::SiteDown, 0, 0)));
    s.change(at(5), Change::Window(window_row(1, at(10), at(200))));
    let views = fold(&s, at(190)).views();
    assert_eq!(views.health[&SITE].state, HealthState::Maintenance);
    assert_eq!(views.counts[&SITE].devices[1], 1);
    let mut oracle = fold(&s, at(290));
    let story = story(&mut oracle.clone(), SITE);
    assert_eq!(story.last(), Some(&(200, Some(HealthState::Down))));
    let alerts = oracle.take_events().alerts;
    let told = alerts
        .iter()
        .map(|e| (e.change, e.kind, (e.at - at(0)).0 / 1_000_000));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(AlertChange::Opened, RuleKind::SiteDown, 60)]);
}
