use mast_schemas::Mac;
use mast_schemas::alerts::{Operator, RuleKind};
use mast_schemas::records::{Outcome, Source, Tables};

use super::*;
use crate::messages::{RegistrationInput, Sample};

/// What a rule that finds any value bad opens with; `None` = there was no value.
fn value(kind: RuleKind, poll: PollInput<'_>) -> Option<i64> {
    let any = Rule {
        enter_milli: LEAST,
        ..rule(kind)
    };
    match short(&World::new(&[any]).poll(poll)).as_slice() {
        [Short::Opened(value)] => Some(*value),
        none => {
            assert_eq!(none, []);
            None
        }
    }
}

#[test]
fn values_of_what_a_device_says_of_itself() {
    assert_eq!(value(RuleKind::Cpu, cpu(37)), Some(37_000));
    assert_eq!(value(RuleKind::Cpu, poll()), None);
    for (free, total, milli) in [
        (Some(1), Some(3), Some(66_666)),
        (Some(0), Some(7), Some(100_000)),
        // More free than there is: rounded down, under nothing.
        (Some(4), Some(3), Some(-33_334)),
        (Some(u64::MAX), Some(u64::MAX), Some(0)),
        (Some(0), Some(0), None),
        (None, Some(3), None),
        (Some(1), None, None),
    ] {
        let memory = PollInput {
            memory_free_bytes: free,
            memory_total_bytes: total,
            ..poll()
        };
        let disk = PollInput {
            disk_free_bytes: free,
            disk_total_bytes: total,
            ..poll()
        };
        assert_eq!(value(RuleKind::Memory, memory.clone()), milli);
        assert_eq!(value(RuleKind::Memory, disk.clone()), None);
        assert_eq!(value(RuleKind::Disk, disk), milli);
        assert_eq!(value(RuleKind::Disk, memory), None);
    }
    for (temperatures_c, milli) in [
        ([Some(41.3), Some(38.0)], Some(41_300)),
        ([None, Some(38.5)], Some(38_500)),
        ([Some(-3.25), None], Some(-3_250)),
        ([Some(f32::NAN), Some(1.0)], Some(1_000)),
        ([None, None], None),
    ] {
        let poll = PollInput {
            temperatures_c,
            ..poll()
        };
        assert_eq!(value(RuleKind::Temperature, poll), milli);
    }
}

fn row(source: Source, remote: bool, mac: u64, signal: Option<i16>) -> RegistrationInput<'static> {
    RegistrationInput {
        source,
        interface: "wlan1",
        radio_mac: Some(Mac(if remote { 0xA2 } else { 0xA1 })),
        remote,
        mac: Mac(mac),
        far_end_is_ap: false,
        uptime_s: None,
        sample: Sample {
            signal_dbm: signal,
            tx_ccq_percent: signal.map(|dbm| dbm.unsigned_abs()),
            ..Sample::default()
        },
    }
}

#[test]
fn values_of_clients_are_of_own_radios_and_whole_tables() {
    let (old, new) = (Source::Wireless, Source::Wifi);
    let far = RegistrationInput {
        far_end_is_ap: true,
        ..row(old, false, 9, Some(-1))
    };
    let rows = [
        row(old, false, 1, Some(-60)),
        // Twice in a table: the first counts.
        row(old, false, 1, Some(-10)),
        row(old, false, 2, Some(-71)),
        row(old, false, 3, None),
        // In another table as well: it counts again.
        row(new, false, 1, Some(-60)),
        // Another device's radio, the radio itself, and an access point: no clients here.
        row(old, true, 4, Some(-1)),
        row(old, false, 0xA1, Some(-1)),
        far,
    ];
    let tables = |sources: &[Source]| {
        let bits = sources.iter().map(|s| Tables::registration(*s));
        bits.fold(Tables(0), Tables::with)
    };
    let read = |sources: &[Source], rows| PollInput {
        tables: tables(sources),
        registrations: rows,
        ..poll()
    };
    let three = |poll: PollInput<'_>| {
        [RuleKind::Signal, RuleKind::Ccq, RuleKind::Clients].map(|kind| value(kind, poll.clone()))
    };
    let both = three(read(&[old, new], &rows));
    assert_eq!(both, [Some(-63_667), Some(60_000), Some(4_000)]);
    let one = three(read(&[old], &rows));
    assert_eq!(one, [Some(-65_500), Some(60_000), Some(3_000)]);
    // An empty table is a fact, no table is none.
    assert_eq!(three(read(&[old], &[])), [None, None, Some(0)]);
    assert_eq!(three(read(&[], &[])), [None, None, None]);
    let silent = [row(old, false, 3, None)];
    assert_eq!(three(read(&[old], &silent)), [None, None, Some(1_000)]);
}

#[test]
fn a_device_that_does_not_answer_or_refuses_is_bad_and_one_that_nobody_saw_is_neither() {
    let failed = |outcome| PollInput { outcome, ..poll() };
    let (offline, refuses) = (failed(Outcome::Timeout), failed(Outcome::AuthFailed));
    let rules = [rule(RuleKind::Offline), rule(RuleKind::Unmanageable)];
    let mut w = World::new(&rules);
    // Unobserved until two polls in a row have failed.
    assert_eq!(w.poll(offline.clone()), []);
    let told = w.poll(offline.clone());
    assert_eq!(short(&told), [Short::Opened(1_000)]);
    assert_eq!(
        (told[0].rule, told[0].kind),
        (rules[0].id, RuleKind::Offline)
    );
    assert_eq!(told[0].threshold_milli, None);
    // What says nothing of the device is no value.
    assert_eq!(w.poll(failed(Outcome::Internal)), []);
    assert_eq!(w.poll(refuses.clone()), []);
    let told = w.poll(refuses);
    let by_rule = |rule: &Rule| {
        let of: Vec<_> = told.iter().filter(|c| c.rule == rule.id).cloned().collect();
        short(&of)
    };
    assert_eq!(by_rule(&rules[0]), [Short::Cleared(0)]);
    assert_eq!(by_rule(&rules[1]), [Short::Opened(1_000)]);
    assert_eq!(short(&w.poll(poll())), [Short::Cleared(0)]);
    // It is not looked at: nothing resolves, and nothing opens.
    assert_eq!(w.poll(offline.clone()), []);
    assert_eq!(short(&w.poll(offline.clone())), [Short::Opened(1_000)]);
    w.minute += 10;
    assert_eq!(w.control(&[]), []);
    assert_eq!(w.judged().len(), 1);
    assert_eq!(w.poll(offline), []);
    assert_eq!(short(&w.poll(poll())), [Short::Cleared(0)]);
}

#[test]
fn runs_hits_and_clears_decide_and_a_poll_without_a_value_does_not() {
    let three = Rule {
        hits: 3,
        clears: 2,
        ..rule(RuleKind::Cpu)
    };
    let mut w = World::new(std::slice::from_ref(&three));
    let values = [
        Some(95),
        Some(96),
        None,
        Some(97),
        Some(80),
        Some(85),
        Some(80),
        None,
        Some(79),
    ];
    let told: Vec<_> = values
        .into_iter()
        .map(|value| {
            let cpu_load_percent = value;
            short(&w.poll(PollInput {
                cpu_load_percent,
                ..poll()
            }))
        })
        .collect();
    let at = |i: usize| told[i].as_slice();
    assert_eq!(at(3), [Short::Opened(97_000)]);
    assert_eq!(at(8), [Short::Cleared(79_000)]);
    assert_eq!(told.iter().flatten().count(), 2);
    // Nothing is kept of a device that is fine.
    assert_eq!(w.judged(), []);
    w.poll(cpu(95));
    assert_eq!(w.judged().len(), 1);
    w.poll(cpu(90));
    assert_eq!(w.judged(), []);
}

#[test]
fn what_a_change_says_is_enough_for_the_view_and_the_event() {
    let rule = rule(RuleKind::Cpu);
    let mut w = World::new(std::slice::from_ref(&rule));
    let opened = w.poll(cpu(95)).remove(0);
    let at = Timestamp::default() + Span::secs(120) + Span::millis(100);
    let view = opened.view().unwrap();
    assert_eq!((view.opened_at, view.value_milli), (at, 95_000));
    assert_eq!((view.rule_id, view.severity), (rule.id, Severity::Warning));
    assert_eq!(opened.event().unwrap().threshold_milli, Some(90_000));
    let cleared = w.poll(cpu(10)).remove(0);
    assert_eq!(cleared.view(), None);
    assert_eq!(cleared.alert_id(), opened.alert_id());
    let event = cleared.event().unwrap();
    assert_eq!(event.at, at + Span::secs(60));
    assert_eq!(
        (event.value_milli, event.threshold_milli),
        (Some(10_000), Some(80_000))
    );
    assert_eq!(event.resolution, Some(Resolution::Cleared));
    assert_ne!(event.event_id, opened.event().unwrap().event_id);
}

#[test]
fn many_rules_find_their_own_values_by_any_operator() {
    let operators = [Operator::Gt, Operator::Gte, Operator::Lt, Operator::Lte];
    let all: Vec<Rule> = (0..100)
        .flat_map(|percent| operators.map(|operator| (percent, operator)))
        .map(|(percent, operator)| Rule {
            operator: Some(operator),
            enter_milli: percent * 1_000,
            clear_milli: percent * 1_000,
            ..rule(RuleKind::Cpu)
        })
        .collect();
    for percent in [0u8, 1, 50, 99, 100] {
        let mut w = World::new(&all);
        let told = w.poll(cpu(percent));
        let mut opened: Vec<_> = told.iter().map(|change| change.rule).collect();
        let bad = |rule: &&Rule| crate::rules::bad(rule, i64::from(percent) * 1_000);
        let mut expected: Vec<_> = all.iter().filter(bad).map(|rule| rule.id).collect();
        opened.sort_unstable();
        expected.sort_unstable();
        assert_eq!(opened, expected, "{percent}");
    }
}
