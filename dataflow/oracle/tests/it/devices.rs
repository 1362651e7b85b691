//! §3: device states, and which polls count (§2).

use mast_oracle::script::{Script, at, at_ms, device, tenant};
use mast_schemas::Timestamp;
use mast_schemas::control::Change;
use mast_schemas::records::Outcome::{
    self, AuthFailed, Internal, Ok, Partial, Refused, Timeout, TlsFailed,
};
use mast_schemas::views::DeviceState::{self, Offline, Online, Unmanageable, Unobserved};

use crate::{link, run};

/// The device's state, since (s), outcome after polls 10 s apart, the first at 10 s.
fn after(outcomes: &[Outcome]) -> (DeviceState, Timestamp, Option<Outcome>) {
    let mut s = Script::new();
    let id = s.device(at(0), 1);
    for (i, outcome) in outcomes.iter().enumerate() {
        s.poll_failed(id, at(10 + 10 * i as i64), *outcome);
    }
    let view = run(&s, at(10 * outcomes.len() as i64 + 1)).views().devices[&id].clone();
    (view.state, view.since, view.outcome)
}

#[test]
fn polls_make_the_state() {
    assert_eq!(after(&[]), (Unobserved, at_ms(0), None));
    assert_eq!(after(&[Ok]), (Online, at(10), Some(Ok)));
    assert_eq!(
        after(&[Ok, Partial]),
        (Online, at(10), Some(Ok)),
        "since and outcome change with the state only"
    );
    assert_eq!(
        after(&[Ok, Timeout]),
        (Online, at(10), Some(Ok)),
        "one failure is none"
    );
    assert_eq!(
        after(&[Ok, Timeout, Refused]),
        (Offline, at(30), Some(Refused))
    );
    assert_eq!(
        after(&[Ok, AuthFailed, TlsFailed]),
        (Unmanageable, at(30), Some(TlsFailed))
    );
    assert_eq!(
        after(&[Ok, Timeout, AuthFailed]).0,
        Online,
        "another kind starts anew"
    );
    assert_eq!(after(&[Ok, Timeout, AuthFailed, Timeout]).0, Online);
    assert_eq!(
        after(&[Ok, Timeout, Internal, Timeout]).0,
        Offline,
        "ours neither counts nor resets"
    );
    assert_eq!(
        after(&[Ok, Timeout, Ok, Timeout]).0,
        Online,
        "success resets"
    );
    assert_eq!(after(&[Timeout]).0, Unobserved);
    assert_eq!(
        after(&[Timeout, Timeout, AuthFailed]).0,
        Offline,
        "stands until the other kind is decided"
    );
    assert_eq!(
        after(&[Timeout, Timeout, AuthFailed, AuthFailed]).0,
        Unmanageable
    );
    assert_eq!(
        after(&[Timeout, Timeout, Partial]),
        (Online, at(30), Some(Partial))
    );
}

#[test]
fn nobody_looking_is_unobserved_two_intervals_after_the_due_time() {
    let mut s = Script::new();
    let id = s.device(at(0), 1);
    s.poll_ok(id, at(10));
    s.poll_failed(id, at(20), Internal);
    let due = at(10 + 10 + 20);
    assert_eq!(run(&s, at_ms(39_700)).views().devices[&id].state, Online);
    let mut oracle = run(&s, at_ms(39_800));
    let view = &oracle.views().devices[&id];
    assert_eq!(
        (view.state, view.since, view.outcome),
        (Unobserved, due, None)
    );
    let events = oracle.take_events().devices;
    assert_eq!(
        events
            .iter()
            .map(|e| (e.at, e.to_state))
            .collect::<Vec<_>>(),
        [(at(10), Online), (due, Unobserved)]
    );
}

#[test]
fn failures_before_silence_do_not_count_after_it() {
    let mut s = Script::new();
    let id = s.device(at(0), 1);
    s.poll_ok(id, at(10));
    s.poll_failed(id, at(20), Timeout);
    s.poll_failed(id, at(100), Timeout);
    assert_eq!(run(&s, at(101)).views().devices[&id].state, Unobserved);
    s.poll_failed(id, at(110), Timeout);
    assert_eq!(run(&s, at(111)).views().devices[&id].state, Offline);
}

#[test]
fn a_poll_at_the_very_instant_comes_after_the_timer() {
    let mut s = Script::new();
    let id = s.device(at(0), 1);
    s.poll_ok(id, at(10));
    s.poll_ok(id, at(40));
    let events = run(&s, at(41)).take_events().devices;
    let states: Vec<_> = events.iter().map(|e| (e.at, e.to_state)).collect();
    assert_eq!(
        states,
        [(at(10), Online), (at(40), Unobserved), (at(40), Online)]
    );
}

#[test]
fn disabled_is_unobserved_from_the_begin_of_the_slot_and_deleted_is_gone() {
    let mut s = Script::new();
    let id = s.device(at(0), 1);
    s.poll_ok(id, at(10));
    s.edit(at_ms(15_100), id, |d| d.enabled = false);
    let view = run(&s, at(60)).views().devices[&id].clone();
    assert_eq!(
        (view.state, view.since, view.outcome),
        (Unobserved, at(15), None)
    );
    // A poller that does not know it yet changes nothing.
    s.poll_ok(id, at(62));
    let oracle = run(&s, at(63));
    assert_eq!(oracle.views().devices[&id], view);
    assert_eq!(oracle.counters().disabled, 1);
    s.edit(at(64), id, |d| d.enabled = true);
    s.poll_ok(id, at(65));
    assert_eq!(run(&s, at(66)).views().devices[&id].state, Online);
    s.change(at(70), Change::DeviceDeleted { id });
    assert_eq!(run(&s, at(71)).views(), Default::default());
}

#[test]
fn attributes_are_the_last_known_ones() {
    let mut s = Script::new();
    let id = s.device(at(0), 1);
    s.poll_ok(id, at(10)).poll.identity = Some("north".to_owned());
    s.poll_ok(id, at(20)).poll.version = Some("7.16".to_owned());
    let view = run(&s, at(21)).views().devices[&id].clone();
    assert_eq!(
        (view.identity.as_deref(), view.version.as_deref()),
        (Some("north"), Some("7.16"))
    );
}

#[test]
fn polls_that_do_not_count_are_counted() {
    let mut s = Script::new();
    let id = s.device(at(0), 1);
    s.poll_failed(id, at(10), Timeout);
    s.repeat(0);
    s.repeat(8);
    s.new_lease(id);
    s.poll_ok(id, at(20));
    s.poll_failed(id, at(21), Timeout);
    s.poll_failed(id, at(22), Timeout).poll.lease_epoch = 1;
    s.poll_ok(id, at(23)).poll.tenant_id = tenant(2);
    s.poll_ok(device(77), at(24));
    let oracle = run(&s, at(25));
    let counters = oracle.counters();
    assert_eq!((counters.replays, counters.late), (2, 1));
    assert_eq!((counters.wrong_tenant, counters.unknown_device), (1, 1));
    assert_eq!(oracle.views().devices[&id].state, Online);
}

#[test]
fn offline_takes_links_down_and_the_others_freeze_them() {
    use mast_oracle::script::{good, mac};
    let outcomes = [(Timeout, "down", false), (AuthFailed, "active", true)];
    for (outcome, word, unobserved) in outcomes {
        let mut s = Script::new();
        let ap = s.device(at(0), 1);
        s.ap_poll(ap, at(10), &[good(mac(1), 5)]);
        s.ap_poll(ap, at(20), &[good(mac(1), 15)]);
        s.poll_failed(ap, at(30), outcome);
        s.poll_failed(ap, at(40), outcome);
        let oracle = run(&s, at(41));
        let view = link(&oracle, ap, mac(1));
        assert_eq!(
            (view.state.as_str(), view.unobserved),
            (word, unobserved),
            "{outcome}"
        );
        if word == "down" {
            assert_eq!((view.since, view.reason.as_str()), (at(40), "ap_offline"));
        }
        // Never polled again: the flag, whatever the state.
        assert!(link(&run(&s, at(100)), ap, mac(1)).unobserved);
        s.ap_poll(ap, at(50), &[good(mac(1), 45)]);
        let view = link(&run(&s, at(51)), ap, mac(1));
        assert_eq!((view.state.as_str(), view.unobserved), ("active", false));
    }
}
