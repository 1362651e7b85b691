//! Rules that judge at some hours. Time begins on a Thursday; each poll and tick is a minute after the one before.

use mast_schemas::alerts::{RuleKind, RuleSubject, Subject};
use mast_schemas::records::Tables;
use mast_schemas::views::{Counts, Place};
use mast_schemas::{Epoch, SiteId};

use super::*;
use crate::messages::InterfaceInput;
use crate::rules::{PlaceFact, PlaceRules};

/// From 12 to 16 minutes after midnight.
fn some_minutes() -> Schedule {
    Schedule {
        days: Vec::new(),
        from_minute: Some(12),
        to_minute: Some(16),
        time_zone: "UTC".to_owned(),
    }
}

fn within(schedule: &Schedule, rule: Rule) -> Rule {
    Rule {
        schedule: Some(schedule.clone()),
        ..rule
    }
}

/// A world whose next poll is in this minute.
fn at(minute: i64, rules: &[Rule]) -> World {
    let mut w = World::new(rules);
    w.minute = minute - 1;
    w
}

fn loads(w: &mut World, loads: &[u8]) -> Vec<(i64, Short)> {
    let mut told = Vec::new();
    for load in loads {
        let changes = short(&w.poll(cpu(*load)));
        told.extend(changes.into_iter().map(|change| (w.minute, change)));
    }
    told
}

#[test]
fn outside_of_its_hours_a_value_neither_counts_nor_resets() {
    let two = Rule {
        hits: 2,
        clears: 2,
        ..rule(RuleKind::Cpu)
    };
    let two = within(&some_minutes(), two);
    let mut w = at(10, std::slice::from_ref(&two));
    assert_eq!(loads(&mut w, &[95, 95]), []);
    assert_eq!(w.judged(), []);
    // Minutes 12 to 15 are within; 16 and 17 are not.
    let told = loads(&mut w, &[95, 96, 95, 70, 95, 70]);
    assert_eq!(told, [(13, Short::Opened(96_000))]);
    // The next day the run goes on, and a restart does not change that.
    let mut w = w.restarted(std::slice::from_ref(&two), &[standing(DEVICE)]);
    w.minute += 1_440 - 6;
    assert_eq!(loads(&mut w, &[71]), [(1_452, Short::Cleared(71_000))]);
    // A bad value is remembered likewise.
    assert_eq!(loads(&mut w, &[70, 70, 95, 70]), []);
    w.minute += 1_440 - 5;
    assert_eq!(loads(&mut w, &[97]), [(2_892, Short::Opened(97_000))]);
}

#[test]
fn a_rule_without_hours_judges_beside_one_that_has_some() {
    let (always, some) = (
        rule(RuleKind::Cpu),
        within(&some_minutes(), rule(RuleKind::Cpu)),
    );
    let mut w = at(11, &[always.clone(), some.clone()]);
    let first: Vec<_> = w.poll(cpu(95)).iter().map(|change| change.rule).collect();
    let second: Vec<_> = w.poll(cpu(95)).iter().map(|change| change.rule).collect();
    assert_eq!((first, second), (vec![always.id], vec![some.id]));
}

#[test]
fn an_alert_that_is_open_after_hours_ends_by_hand_or_with_what_it_is_of() {
    let rule = within(&some_minutes(), rule(RuleKind::Cpu));
    let open = || {
        let mut w = at(15, std::slice::from_ref(&rule));
        let id = w.poll(cpu(95)).remove(0).alert_id();
        assert_eq!(loads(&mut w, &[70, 70]), []);
        (w, id)
    };
    let (mut w, id) = open();
    let by_hand = Control::Rule(RuleControl::Resolved(TENANT, id));
    let manual = Short::Ended(Resolution::Manual);
    assert_eq!(short(&w.control(&[by_hand])), [manual]);
    // Good values after hours don't unlatch it.
    assert_eq!(loads(&mut w, &[70, 70]), []);
    assert!(w.judged()[0].latched);
    let (mut w, _) = open();
    let disabled = Rule {
        enabled: false,
        ..rule.clone()
    };
    let ended = Short::Ended(Resolution::RuleDisabled);
    assert_eq!(short(&w.control(&[put(&disabled)])), [ended]);
}

#[test]
fn hours_over_midnight_are_of_the_day_on_which_they_begin() {
    // Friday's night, from 23:58 to 00:03.
    let night = Schedule {
        days: vec![5],
        from_minute: Some(1_438),
        to_minute: Some(3),
        time_zone: "UTC".to_owned(),
    };
    let night = [within(&night, rule(RuleKind::Cpu))];
    // It ends on Saturday, and another one neither begins on Thursday nor on Saturday.
    for (minute, judges) in [
        (1_439, false),
        (1_441, false),
        (2_877, false),
        (2_878, true),
        (2_881, true),
        (2_882, true),
        (2_883, false),
        (4_318, false),
        (4_321, false),
    ] {
        let told = loads(&mut at(minute, &night), &[95]);
        assert_eq!(told.len(), usize::from(judges), "minute {minute}");
    }
}

#[test]
fn hours_are_of_a_clock_that_people_set_on_and_back() {
    // From 03:00 to 04:00 in Ljubljana.
    let hour = Schedule {
        days: Vec::new(),
        from_minute: Some(180),
        to_minute: Some(240),
        time_zone: "Europe/Ljubljana".to_owned(),
    };
    let hour = [within(&hour, rule(RuleKind::Cpu))];
    let midnight = |days: i64| days * 1_440;
    // 28 March 2026 is day 20540; a day later clocks go on at 01:00 UTC.
    for (minute, judges) in [
        (midnight(20_540) + 119, false),
        (midnight(20_540) + 120, true),
        (midnight(20_540) + 179, true),
        (midnight(20_540) + 180, false),
        (midnight(20_541) + 59, false),
        (midnight(20_541) + 60, true),
        (midnight(20_541) + 119, true),
        (midnight(20_541) + 120, false),
    ] {
        let told = loads(&mut at(minute, &hour), &[95]);
        assert_eq!(told.len(), usize::from(judges), "minute {minute}");
    }
}

#[test]
fn an_edit_of_its_hours_holds_from_the_next_value() {
    let two = Rule {
        hits: 2,
        ..rule(RuleKind::Cpu)
    };
    let some = within(&some_minutes(), two.clone());
    let mut w = at(15, std::slice::from_ref(&some));
    assert_eq!(loads(&mut w, &[95, 96]), []);
    // The run goes on with the first value that is within.
    assert_eq!(
        short(&w.slot(&[put(&two)], &[cpu(97)])),
        [Short::Opened(97_000)]
    );
    assert_eq!(short(&w.slot(&[put(&some)], &[cpu(70)])), []);
    assert_eq!(
        short(&w.slot(&[put(&two)], &[cpu(71)])),
        [Short::Cleared(71_000)]
    );
    // Where there is no such clock, it judges always.
    let nowhere = Schedule {
        time_zone: "Nowhere/Land".to_owned(),
        ..some_minutes()
    };
    let one = Rule { hits: 1, ..two };
    let told = w.slot(&[put(&within(&nowhere, one))], &[cpu(98)]);
    assert_eq!(short(&told), [Short::Opened(98_000)]);
}

#[test]
fn an_interface_that_is_gone_after_hours_ends_its_alert() {
    fn table<'a>(rows: &'a [InterfaceInput<'a>]) -> PollInput<'a> {
        PollInput {
            tables: Tables::INTERFACE,
            interface_rows: rows,
            ..poll()
        }
    }
    let row = |name, running| InterfaceInput {
        name,
        rx_bytes: None,
        tx_bytes: None,
        running: Some(running),
        disabled: false,
        link_rate_bps: None,
    };
    let rule = within(&some_minutes(), rule(RuleKind::InterfaceDown));
    let mut w = at(14, &[rule]);
    let both = [row("ether1", false), row("ether2", false)];
    assert_eq!(w.poll(table(&both)).len(), 2);
    assert_eq!(w.poll(table(&both)), []);
    let told = w.poll(table(&[row("ether1", true), row("ether3", false)]));
    assert_eq!(short(&told), [Short::Ended(Resolution::SubjectGone)]);
    assert_eq!(told[0].subject, Subject::Interface(DEVICE, "ether2".into()));
}

#[test]
fn places_are_judged_by_the_hour_of_their_tick() {
    const SITE: SiteId = SiteId::from_bytes([3; 16]);
    let offline = |n: i64| {
        let devices = [2 - n, n, 0, 0];
        let counts = Counts {
            devices,
            ..Counts::default()
        };
        [(Place::Site(TENANT, SITE), PlaceFact::Counts(Some(counts)))]
    };
    let rule = Rule {
        subject: RuleSubject::Site,
        enter_milli: 0,
        clear_milli: 0,
        ..rule(RuleKind::DeviceOfflineCount)
    };
    let rule = within(&some_minutes(), rule);
    let mut places = PlaceRules::default();
    let mut told = Vec::new();
    for (minute, n) in [(11, 1), (12, 2), (15, 1), (16, 0), (17, 0), (1_452, 0)] {
        let slot = Epoch(240 * minute);
        let mut out = Vec::new();
        let control = RuleControl::Put(Arc::new(rule.clone()));
        places.slot(slot, &[control], offline(n), &mut out);
        told.extend(short(&out).into_iter().map(|change| (minute, change)));
    }
    let expected = [(12, Short::Opened(2_000)), (1_452, Short::Cleared(0))];
    assert_eq!(told, expected);
}
