//! Each threshold of trends and alerts decides: one more or one less changes an answer.

use mast_oracle::script::{Script, SlotInput, at, device_row, mac, rule_row, tenant};
use mast_oracle::{Events, Oracle};
use mast_schemas::Timestamp;
use mast_schemas::alerts::{AlertView, RuleKind};
use mast_schemas::control::{Change, Role};
use mast_schemas::records::Outcome;
use mast_schemas::thresholds::{DEFAULT, Thresholds};

type Flip = fn(&mut Thresholds, i64);

fn tell(slots: &[SlotInput], thresholds: Thresholds) -> (Vec<AlertView>, Events) {
    let mut oracle = Oracle::new(thresholds);
    for slot in slots {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
    }
    let alerts = oracle.views().alerts.into_values().collect();
    (alerts, oracle.take_events())
}

fn decides(slots: &[SlotInput], what: &str, flip: Flip, step: i64) {
    let mut flipped = DEFAULT;
    flip(&mut flipped, step);
    let changed = tell(slots, DEFAULT) != tell(slots, flipped);
    assert!(changed, "{what} {step:+} changes nothing");
}

/// A client's signal by the hour; without one the hour is not polled.
fn hours(n: i64, dbm: impl Fn(i64) -> Option<i16>) -> Vec<SlotInput> {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    s.edit(at(0), ap, |row| row.interval_ms = 3_600_000);
    for hour in 0..n {
        if let Some(dbm) = dbm(hour) {
            s.ap_poll(ap, at(3_600 * hour), &[(mac(1), Some(dbm), None, None)]);
        }
    }
    s.slots(at(3_600 * n))
}

#[test]
fn a_decibel_more_or_less_of_a_trend() {
    let step = |first, less: i16| move |hour| Some(if hour < first { -60 } else { -60 - less });
    let day = hours(320, step(200, 6));
    let week = hours(920, step(712, 4));
    let back = |hour| Some(if (200..300).contains(&hour) { -66 } else { -60 });
    let back = hours(330, back);
    for d in [-1, 1] {
        decides(
            &day,
            "trend_day_db",
            |t, d| t.trend_day_db = t.trend_day_db.wrapping_add_signed(d as i8),
            d,
        );
        decides(
            &week,
            "trend_week_db",
            |t, d| t.trend_week_db = t.trend_week_db.wrapping_add_signed(d as i8),
            d,
        );
        decides(
            &back,
            "trend_clear_db",
            |t, d| t.trend_clear_db = t.trend_clear_db.wrapping_add_signed(d as i8),
            d,
        );
    }
}

#[test]
fn a_percent_more_or_less_of_what_is_covered() {
    let flip: Flip = |t, d| {
        t.trend_coverage_percent = t.trend_coverage_percent.wrapping_add_signed(d as i8);
    };
    // Of the week before, 84 hours are a half, and 83 are 49.4 %.
    for (d, first) in [(1, 100), (-1, 101)] {
        let late = hours(228, |hour| {
            (hour >= first).then_some(if hour < 208 { -60 } else { -66 })
        });
        decides(&late, "trend_coverage_percent", flip, d);
    }
}

fn router() -> Script {
    let mut s = Script::new();
    let mut row = device_row(1, tenant(1), None, None);
    row.role = Role::Router;
    s.change(at(0), Change::Device(row));
    s.change(at(0), Change::Rule(rule_row(1, RuleKind::Offline, 0, 0)));
    s.change(at(0), Change::Rule(rule_row(2, RuleKind::Cpu, 90, 80)));
    s
}

/// Up to the end of the slot that ends at this second, or `slots` before.
fn until(s: &Script, second: i64, slots: i64) -> Vec<SlotInput> {
    s.slots(Timestamp(at(second).0 - 250_000 * slots - 1))
}

#[test]
fn a_slot_more_or_less_of_waiting() {
    let mut s = router();
    for t in [10, 20] {
        s.poll_failed(mast_oracle::script::device(1), at(t), Outcome::Timeout);
    }
    let flip: Flip = |t, d| t.alert_settle.0 += 250_000 * d;
    decides(&until(&s, 25, 0), "alert_settle", flip, 1);
    decides(&until(&s, 25, 1), "alert_settle", flip, -1);
}

#[test]
fn a_change_more_or_less_and_a_slot_more_or_less_of_flapping() {
    let mut s = router();
    for (k, load) in (1..).zip([99, 10, 99, 10, 99]) {
        let poll = s.poll_ok(mast_oracle::script::device(1), at(10 * k));
        poll.poll.cpu_load_percent = Some(load);
    }
    let changes: Flip = |t, d| t.flap_changes = t.flap_changes.wrapping_add_signed(d as i8);
    // Five changes are flapping, but not of six; of four they are until the second is out of the window.
    decides(&until(&s, 60, 0), "flap_changes", changes, 1);
    decides(&until(&s, 615, 0), "flap_changes", changes, -1);
    let window: Flip = |t, d| t.flap_window.0 += 250_000 * d;
    decides(&until(&s, 610, 0), "flap_window", window, 1);
    decides(&until(&s, 610, 1), "flap_window", window, -1);
}
