//! §6: one live radio for an address.

use mast_oracle::script::{Script, at, good, mac};
use mast_oracle::{Oracle, laws};
use mast_schemas::DeviceId;
use mast_schemas::control::Change;
use mast_schemas::time::Span;
use mast_schemas::views::LinkReason::Roamed;
use mast_schemas::views::LinkState::{Active, Discovered, Down, Stale};

use crate::{link, run, state, transitions};

/// Two access points; the client is active at the first since 5 s.
fn two() -> (Script, DeviceId, DeviceId) {
    let mut s = Script::new();
    let (a, b) = (s.device(at(0), 1), s.device(at(0), 2));
    s.ap_poll(a, at(10), &[good(mac(1), 5)]);
    s.ap_poll(a, at(20), &[good(mac(1), 15)]);
    s.ap_poll(b, at(21), &[]);
    (s, a, b)
}

#[test]
fn the_newer_association_takes_over_at_once() {
    let (mut s, a, b) = two();
    s.ap_poll(b, at(31), &[good(mac(1), 3)]);
    let oracle = run(&s, at(32));
    assert_eq!(state(&oracle, a, mac(1)), Some((Stale, Roamed, at(31))));
    assert_eq!(link(&oracle, b, mac(1)).state, Discovered);
    // The ghost at the first access point stays what it is, never down.
    for k in 4..20 {
        s.ap_poll(a, at(10 * k), &[good(mac(1), 10 * k as u64 - 5)]);
        s.ap_poll(b, at(10 * k + 1), &[good(mac(1), 10 * k as u64 - 27)]);
    }
    let mut oracle = run(&s, at(195));
    assert_eq!(state(&oracle, a, mac(1)), Some((Stale, Roamed, at(31))));
    assert_eq!(link(&oracle, b, mac(1)).state, Active);
    assert_eq!(laws(&oracle.views()), []);
    assert!(!transitions(&mut oracle).iter().any(|t| t.contains(">down")));
}

#[test]
fn an_older_association_never_reopens() {
    let (mut s, a, b) = two();
    s.ap_poll(b, at(31), &[good(mac(1), 3)]);
    s.ap_poll(a, at(40), &[]);
    s.ap_poll(a, at(50), &[good(mac(1), 45)]);
    let oracle = run(&s, at(51));
    assert_eq!(state(&oracle, a, mac(1)), Some((Stale, Roamed, at(31))));
    assert_eq!(link(&oracle, b, mac(1)).state, Discovered);
    // A newer one does.
    s.ap_poll(a, at(60), &[]);
    s.ap_poll(a, at(70), &[good(mac(1), 2)]);
    let oracle = run(&s, at(71));
    assert_eq!(link(&oracle, a, mac(1)).state, Discovered);
    assert_eq!(state(&oracle, b, mac(1)), Some((Stale, Roamed, at(70))));
}

#[test]
fn a_ghost_seen_for_the_first_time_is_stale_from_the_start() {
    let (mut s, a, b) = two();
    s.ap_poll(b, at(31), &[good(mac(1), 1_000)]);
    let mut oracle = run(&s, at(32));
    assert_eq!(state(&oracle, b, mac(1)), Some((Stale, Roamed, at(31))));
    assert_eq!(link(&oracle, a, mac(1)).state, Active);
    assert_eq!(transitions(&mut oracle).last().unwrap(), "->stale roamed");
}

#[test]
fn equal_begins_go_to_the_greater_place() {
    let (mut s, a, b) = two();
    s.ap_poll(b, at(31), &[good(mac(1), 26)]);
    let oracle = run(&s, at(32));
    assert_eq!(
        (
            link(&oracle, a, mac(1)).state,
            link(&oracle, b, mac(1)).state
        ),
        (Stale, Discovered)
    );
}

#[test]
fn without_uptime_the_first_sighting_counts() {
    let mut s = Script::new();
    let (a, b) = (s.device(at(0), 1), s.device(at(0), 2));
    let row = (mac(1), Some(-60), None, None);
    s.ap_poll(b, at(10), &[row]);
    s.ap_poll(a, at(11), &[row]);
    s.ap_poll(b, at(20), &[row]);
    s.ap_poll(a, at(21), &[row]);
    let oracle = run(&s, at(22));
    assert_eq!(
        (
            link(&oracle, a, mac(1)).state,
            link(&oracle, b, mac(1)).state
        ),
        (Active, Stale)
    );
}

#[test]
fn a_departed_owner_holds_against_older_associations_for_a_day() {
    for (hours, expected) in [(1, Stale), (25, Discovered)] {
        let (mut s, a, b) = two();
        for k in 3..7 {
            s.ap_poll(a, at(10 * k), &[]);
        }
        let t = at(60) + Span::hours(hours);
        s.ap_poll(b, t, &[good(mac(1), 10_000_000)]);
        let oracle = run(&s, t);
        assert_eq!(link(&oracle, b, mac(1)).state, expected, "{hours} h");
        assert!(matches!(link(&oracle, a, mac(1)).state, Down | Stale));
    }
}

#[test]
fn an_association_that_ends_unseen_leaves_no_live_link() {
    // The client departs once, then nobody polls for two days, then it is elsewhere with an old association.
    let (mut s, a, b) = two();
    s.ap_poll(a, at(30), &[]);
    let t = at(30) + Span::hours(48);
    s.ap_poll(b, t, &[good(mac(1), 1_000_000)]);
    s.ap_poll(b, t + Span::secs(10), &[good(mac(1), 1_000_010)]);
    let oracle = run(&s, t + Span::secs(11));
    assert_eq!(laws(&oracle.views()), []);
    assert_eq!(link(&oracle, b, mac(1)).state, Active);
}

#[test]
fn the_heir_of_a_deleted_access_point() {
    let (mut s, a, b) = two();
    s.ap_poll(b, at(31), &[good(mac(1), 3)]);
    s.ap_poll(a, at(40), &[good(mac(1), 35)]);
    s.change(at(45), Change::DeviceDeleted { id: b });
    assert_eq!(
        link(&run(&s, at(46)), a, mac(1)).state,
        Stale,
        "nothing until it is seen"
    );
    s.ap_poll(a, at(50), &[good(mac(1), 45)]);
    s.ap_poll(a, at(60), &[good(mac(1), 55)]);
    assert_eq!(link(&run(&s, at(61)), a, mac(1)).state, Active);
}

/// A client that associates by turns with two access points: changes at 5 (first sighting at 10), 31, 41, 51, … s.
fn cloned(changes: i64) -> (Script, DeviceId, DeviceId) {
    let (mut s, a, b) = two();
    for k in 0..changes - 1 {
        let (ap, other) = if k % 2 == 0 { (b, a) } else { (a, b) };
        s.ap_poll(ap, at(31 + 10 * k), &[good(mac(1), 1)]);
        s.ap_poll(other, at(36 + 10 * k), &[good(mac(1), 6 + 10 * k as u64)]);
        s.ap_poll(ap, at(38 + 10 * k), &[]);
        s.ap_poll(ap, at(39 + 10 * k), &[good(mac(1), 8)]);
    }
    (s, a, b)
}

#[test]
fn more_than_three_owners_in_ten_minutes_are_ambiguous_and_make_no_events() {
    let (s, a, _) = cloned(3);
    assert!(!link(&run(&s, at(60)), a, mac(1)).ambiguous);
    let (mut s, a, b) = cloned(4);
    let mut oracle = run(&s, at(60));
    assert!(link(&oracle, a, mac(1)).ambiguous && link(&oracle, b, mac(1)).ambiguous);
    assert_eq!(laws(&oracle.views()), []);
    let before = transitions(&mut oracle).len();
    for k in 6..60 {
        s.ap_poll(a, at(10 * k), &[good(mac(1), 10 * k as u64)]);
        s.ap_poll(b, at(10 * k + 1), &[good(mac(1), 10 * k as u64 - 20)]);
    }
    let mut oracle = run(&s, at(600));
    assert_eq!(
        (
            link(&oracle, a, mac(1)).state,
            link(&oracle, b, mac(1)).state
        ),
        (Active, Active),
        "both kept"
    );
    assert_eq!(transitions(&mut oracle).len(), before);
    // Ten minutes after the last change, at 51 s, it is over.
    let mut oracle: Oracle = run(&s, at(652));
    let (a, b) = (link(&oracle, a, mac(1)), link(&oracle, b, mac(1)));
    assert!(!a.ambiguous && !b.ambiguous);
    assert_eq!(
        [a.state, b.state].iter().filter(|s| **s == Stale).count(),
        1
    );
    assert_eq!(
        transitions(&mut oracle).last().unwrap(),
        "active>stale roamed"
    );
    assert_eq!(laws(&oracle.views()), []);
}
