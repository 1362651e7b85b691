//! Each threshold decides: one more or one less changes an answer.

use mast_oracle::script::{Script, SlotInput, at, at_ms, bad, good, mac, radio};
use mast_oracle::{Oracle, Views};
use mast_schemas::records::Outcome;
use mast_schemas::thresholds::{DEFAULT, Thresholds};
use mast_schemas::time::Span;
use mast_schemas::{Timestamp, views::LinkEvent};

/// Changes one threshold by so much.
type Flip = fn(&mut Thresholds, i16);
type LongFlip = fn(&mut Thresholds, i64);

/// Rows after each binding, and all transitions.
type Story = (Vec<Views>, Vec<LinkEvent>);

fn tell(slots: &[SlotInput], thresholds: Thresholds) -> Story {
    let mut oracle = Oracle::new(thresholds);
    let mut views = Vec::new();
    for slot in slots {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
        views.push(oracle.views());
    }
    (views, oracle.take_events().links)
}

/// A scenario that lies on the edge of every threshold.
fn edges() -> Vec<SlotInput> {
    let mut s = Script::new();
    let (ap, other) = (s.device(at(0), 1), s.device(at(0), 2));
    s.ap_poll(ap, at(5), &[]);
    s.ap_poll(other, at(5), &[]);
    let at_edges = [
        (-80, None),
        (-81, None),
        (-79, None),
        (-60, Some(40)),
        (-60, Some(39)),
        (-60, Some(41)),
    ];
    let recover = [
        (-77, None),
        (-78, None),
        (-76, None),
        (-60, Some(50)),
        (-60, Some(49)),
        (-60, Some(51)),
    ];
    let mut t = 10;
    let mut tables = |rows: &[(i16, Option<u16>); 6], n: usize| {
        for _ in 0..n {
            let clients: Vec<_> = (0..6)
                .map(|i| (mac(i), Some(rows[i as usize].0), rows[i as usize].1, None))
                .collect();
            s.ap_poll(ap, at(t), &clients);
            t += 10;
        }
    };
    tables(&[(-60, None); 6], 3);
    tables(&at_edges, 3);
    tables(&[(-95, None); 6], 3);
    tables(&recover, 5);
    tables(&[(-60, None); 6], 1);
    losses_and_down(&mut s, ap, &mut t);
    failures(&mut s, ap, t);
    ambiguity(&mut s);
    s.slots(at(2_000) + Span::hours(24 * 40))
}

fn losses_and_down(s: &mut Script, ap: mast_schemas::DeviceId, t: &mut i64) {
    let row = (mac(20), Some(-60), None, None);
    for present in [
        true, true, true, false, true, false, true, false, true, false, false, false, false, true,
    ] {
        s.ap_poll(
            ap,
            at(*t),
            if present {
                std::slice::from_ref(&row)
            } else {
                &[]
            },
        );
        *t += 10;
    }
    // Good from now on: what holds it is the window since the newest loss.
    for _ in 0..80 {
        s.ap_poll(ap, at(*t), &[row]);
        *t += 10;
    }
}

fn failures(s: &mut Script, ap: mast_schemas::DeviceId, t: i64) {
    for k in 0..4 {
        s.poll_failed(ap, at(t + 10 * k), Outcome::Timeout);
    }
    s.ap_poll(ap, at(t + 40), &[(mac(20), Some(-60), None, None)]);
}

fn ambiguity(s: &mut Script) {
    let (x, y) = (s.device(at(0), 11), s.device(at(0), 12));
    for k in 0..6 {
        s.ap_poll(
            if k % 2 == 0 { x } else { y },
            at(2_000 + 20 * k),
            &[good(mac(50), 1)],
        );
    }
}

#[test]
fn one_more_or_less_of_a_count_or_level_is_seen() {
    let flips: &[(&str, Flip)] = &[
        ("degraded_signal_dbm", |t, d| t.degraded_signal_dbm += d),
        ("active_signal_dbm", |t, d| t.active_signal_dbm += d),
        ("degraded_ccq_percent", |t, d| {
            t.degraded_ccq_percent = t.degraded_ccq_percent.wrapping_add_signed(d);
        }),
        ("active_ccq_percent", |t, d| {
            t.active_ccq_percent = t.active_ccq_percent.wrapping_add_signed(d);
        }),
        ("confirm_tables", |t, d| {
            t.confirm_tables = t.confirm_tables.wrapping_add_signed(d as i8);
        }),
        ("degrade_tables", |t, d| {
            t.degrade_tables = t.degrade_tables.wrapping_add_signed(d as i8);
        }),
        ("recover_tables", |t, d| {
            t.recover_tables = t.recover_tables.wrapping_add_signed(d as i8);
        }),
        ("down_tables", |t, d| {
            t.down_tables = t.down_tables.wrapping_add_signed(d as i8);
        }),
        ("losses", |t, d| {
            t.losses = t.losses.wrapping_add_signed(d as i8);
        }),
        ("stale_after", |t, d| {
            t.stale_after.0 += 1_000 * i64::from(d);
        }),
        ("forget_after", |t, d| {
            t.forget_after.0 += 1_000 * i64::from(d);
        }),
        ("ambiguous_owners", |t, d| {
            t.ambiguous_owners = t.ambiguous_owners.wrapping_add_signed(d as i8);
        }),
        ("ambiguous_window", |t, d| {
            t.ambiguous_window.0 += 1_000 * i64::from(d);
        }),
        ("device_failures", |t, d| {
            t.device_failures = t.device_failures.wrapping_add_signed(d as i8);
        }),
        ("unobserved_intervals", |t, d| {
            t.unobserved_intervals = t.unobserved_intervals.wrapping_add_signed(d as i8);
        }),
    ];
    let slots = edges();
    let story = tell(&slots, DEFAULT);
    for (name, flip) in flips {
        for step in [-1, 1] {
            let mut flipped = DEFAULT;
            flip(&mut flipped, step);
            assert!(
                tell(&slots, flipped) != story,
                "{name} {step:+} changes nothing"
            );
        }
    }
}

/// A scenario whose answer turns on one threshold: told as it is, one less, one more.
fn differs(
    script: &Script,
    until: Timestamp,
    what: &str,
    flip: fn(&mut Thresholds, i64),
    step: i64,
) {
    let mut flipped = DEFAULT;
    flip(&mut flipped, step);
    let slots = script.slots(until);
    assert!(
        tell(&slots, DEFAULT) != tell(&slots, flipped),
        "{what} {step:+} changes nothing"
    );
}

#[test]
fn the_window_of_losses_to_the_millisecond() {
    for (step, gap_ms) in [(1, 600_000), (-1, 599_999)] {
        let mut s = Script::new();
        let ap = s.device(at(0), 1);
        let row = [(mac(1), Some(-60), None, None)];
        for (ms, present) in [
            (0, true),
            (1_000, true),
            (2_000, false),
            (3_000, true),
            (4_000, false),
        ] {
            s.ap_poll(ap, at_ms(10_000 + ms), if present { &row } else { &[] });
        }
        s.ap_poll(ap, at_ms(15_000), &row);
        s.ap_poll(ap, at_ms(12_000 + gap_ms), &[]);
        let until = at_ms(13_000 + gap_ms);
        differs(
            &s,
            until,
            "loss_window",
            |t, d| t.loss_window.0 += 1_000 * d,
            step,
        );
    }
}

#[test]
fn the_tolerance_of_begins_to_the_millisecond() {
    // The station spoke 5 s before the association began.
    for (step, ms) in [(1, 14_999), (-1, 15_000)] {
        let mut s = Script::new();
        let (ap, cpe) = (s.device(at(0), 1), s.device(at(0), 2));
        s.ap_poll(ap, at(5), &[good(mac(9), 1)]);
        s.station_poll(cpe, at_ms(ms), mac(1), Some(radio(ap)));
        s.ap_poll(ap, at(30), &[good(mac(1), 10)]);
        differs(
            &s,
            at(31),
            "association_tolerance",
            |t, d| t.association_tolerance.0 += 1_000 * d,
            step,
        );
    }
}

#[test]
fn unmanaged_links_to_the_slot() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let row = [(mac(1), Some(-90), None, None)];
    for k in 1..7 {
        s.ap_poll(ap, at(10 * k), if k < 3 { &row } else { &[] });
    }
    let out = at(50) + DEFAULT.stale_after + DEFAULT.forget_unmanaged_after;
    // `now` is the end of a slot: the one that ends at `out`, and the one before.
    let before = out - Span::millis(250) - Span::millis(1);
    let flip: fn(&mut Thresholds, i64) = |t, d| t.forget_unmanaged_after.0 += 250_000 * d;
    differs(&s, before, "forget_unmanaged_after", flip, -1);
    differs(&s, out - Span::millis(1), "forget_unmanaged_after", flip, 1);
}

#[test]
fn the_cap_on_departed_links() {
    let (least, factor): (LongFlip, LongFlip) = (
        |t, d| t.departed_least = t.departed_least.wrapping_add_signed(d as i32),
        |t, d| t.departed_factor = t.departed_factor.wrapping_add_signed(d as i32),
    );
    for (stay, what, flip) in [
        (0, "departed_least", least),
        (20, "departed_factor", factor),
    ] {
        for (step, departed) in [
            (-1, if stay == 0 { 64 } else { 80 }),
            (1, if stay == 0 { 65 } else { 81 }),
        ] {
            let mut s = Script::new();
            let ap = s.device(at(0), 1);
            let all: Vec<_> = (0..stay + departed).map(|n| bad(mac(n), 3)).collect();
            s.ap_poll(ap, at(10), &all);
            s.ap_poll(ap, at(20), &all[..stay as usize]);
            differs(&s, at(21), what, flip, step);
        }
    }
}
