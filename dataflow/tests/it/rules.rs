//! Rules in the flow: the same alerts for any number of workers, any grouping of slots and after any restart; and the mistakes that
//! systems of this kind are known for.

use std::collections::{BTreeMap, BTreeSet};

use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::Snapshot;
use mast_oracle::Oracle;
use mast_oracle::script::{
    Script, SlotInput, add_client, add_interface, add_radio, at, bad, device, device_row, good,
    mac, radio, sector, site, tenant,
};
use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertId, Operator, Resolution, RuleKind, RuleSubject, Scope, Severity,
    Subject, alert_id,
};
use mast_schemas::control::{Change, Rule, Schedule};
use mast_schemas::records::{Outcome, Source, Tables};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{GroupId, RuleId, Timestamp};

use crate::flow::{compare, same_events};
use crate::support::{Served, config, encode, run};

const GROUP: GroupId = GroupId::from_bytes([7; 16]);

/// Rule `n` of tenant 1: over 90 is bad and up to 80 good, at once.
fn rule(n: u8, kind: RuleKind, scope: Scope) -> Rule {
    Rule {
        id: RuleId::from_bytes([n; 16]),
        tenant_id: tenant(1),
        name: format!("rule {n}"),
        kind,
        scope,
        subject: kind.subject().unwrap_or(RuleSubject::Site),
        interface: None,
        operator: (!kind.is_state()).then_some(Operator::Gt),
        enter_milli: 90_000,
        clear_milli: 80_000,
        hits: 1,
        clears: 1,
        severity: Severity::Warning,
        enabled: true,
        version: 1,
        schedule: None,
    }
}

/// From so many minutes after scripts begin, which they do at 08:00 UTC, until later ones; over and over.
fn hours(from: u16, to: u16) -> Option<Schedule> {
    Some(Schedule {
        days: Vec::new(),
        from_minute: Some((480 + from) % 1_440),
        to_minute: Some((480 + to) % 1_440),
        time_zone: "UTC".to_owned(),
    })
}

/// Rules of every kind, with thresholds that the fleet's values cross.
fn rules() -> Vec<Rule> {
    let scopes = [
        Scope::Tenant,
        Scope::Site(site(1)),
        Scope::Sector(sector(1)),
        Scope::Group(GROUP),
        Scope::Device(device(2)),
    ];
    let mut rules = Vec::new();
    for (n, kind) in (1u8..).zip(RuleKind::ALL.iter().copied()) {
        let scope = match (kind.by_polls(), usize::from(n) % 5) {
            (true, of) => scopes[of],
            (false, _) => Scope::Tenant,
        };
        let (operator, enter_milli, clear_milli) = match kind {
            RuleKind::Signal | RuleKind::SectorSignalAvg => (Operator::Lt, -66_000, -64_000),
            RuleKind::Ccq => (Operator::Lte, 60_000, 70_000),
            RuleKind::Clients | RuleKind::LinkDownCount => (Operator::Gt, 2_000, 2_000),
            RuleKind::NoiseFloor => (Operator::Gte, -95_000, -97_000),
            RuleKind::DeviceOfflineCount | RuleKind::DeviceOfflinePercent => (Operator::Gt, 0, 0),
            RuleKind::SectorClientDrop | RuleKind::ThroughputDrop => (Operator::Gt, 20_000, 0),
            RuleKind::InterfaceUtilization => (Operator::Gt, 40_000, 30_000),
            _ => (Operator::Gt, 70_000, 60_000),
        };
        let interface = (kind.subject() == Some(RuleSubject::Interface)).then(|| "ether*".into());
        rules.push(Rule {
            operator: (!kind.is_state()).then_some(operator),
            enter_milli,
            clear_milli,
            hits: u16::from(n) % 2 + 1,
            clears: u16::from(n) % 3 + 1,
            interface,
            schedule: if [2, 7, 12, 19].contains(&n) {
                hours(8, 52)
            } else {
                None
            },
            ..rule(n, kind, scope)
        });
    }
    rules
}

/// Numbers that look random, and are the same for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

const ROUNDS: i64 = 140;
const DEVICES: u32 = 6;

/// More than an hour of a small fleet whose values come and go, while people edit rules and devices.
fn fleet(seed: u64, resolve: &[(Timestamp, AlertId)]) -> Script {
    let (mut s, mut dice) = (Script::new(), Dice(seed));
    for n in 1..=DEVICES {
        let place = n % 2 + 1;
        let mut row = device_row(n, tenant(1), Some(site(place)), Some(sector(place)));
        row.interval_ms = 30_000;
        if n % 3 == 0 {
            row.group_ids.push(GROUP);
        }
        s.change(at(0), Change::Device(row));
    }
    let mut rules = rules();
    for rule in &rules {
        s.change(at(0), Change::Rule(rule.clone()));
    }
    for round in 0..ROUNDS {
        let t = 30 * round + 1;
        for n in 1..=DEVICES {
            let when = at(t + i64::from(n) * 4);
            if round % 20 >= 17 && u64::from(n) != dice.below(7) {
                let outcome = [Outcome::Timeout, Outcome::AuthFailed][(round / 20 % 2) as usize];
                s.poll_failed(device(n), when, outcome);
                continue;
            }
            polled(&mut s, &mut dice, n, when, round);
        }
        edit(&mut s, &mut dice, &mut rules, t + 29);
    }
    for (t, id) in resolve {
        let (tenant_id, id) = (tenant(1), *id);
        s.change(*t, Change::AlertResolved { tenant_id, id });
    }
    s
}

/// A whole poll with values that sometimes are bad.
fn polled(s: &mut Script, dice: &mut Dice, n: u32, when: Timestamp, round: i64) {
    let tables = Tables::registration(Source::Wireless)
        .with(Tables::INTERFACE)
        .with(Tables::RADIO);
    let ap = device(n);
    let load = [20, 75, 95][dice.below(3) as usize];
    let whole = s.poll(ap, when, Outcome::Ok, tables);
    whole.poll.cpu_load_percent = Some(load);
    whole.poll.uptime_s = Some(1_000 + round as u64 * 30);
    (whole.poll.memory_total_bytes, whole.poll.disk_total_bytes) = (Some(1_000), Some(3_000));
    whole.poll.memory_free_bytes = (dice.below(9) > 0).then(|| dice.below(1_000));
    whole.poll.disk_free_bytes = Some(dice.below(3_000));
    whole.poll.cpu_temperature_c = Some(50.0 + dice.below(400) as f32 / 10.0);
    for k in 0..dice.below(5) as u32 {
        let client = mac(100 * n + k);
        let signal = Some(-55 - dice.below(25) as i16);
        let row = (
            client,
            signal,
            Some(40 + dice.below(50) as u16),
            Some(9_000),
        );
        add_client(whole, Source::Wireless, "wlan1", radio(ap), false, row);
    }
    // What goes through grows slower and slower.
    let traffic = (90_000 - 300 * round as u64) * round as u64;
    for (k, name) in ["ether1", "ether2", "wlan1"].into_iter().enumerate() {
        if k == 1 && dice.below(8) == 0 {
            continue;
        }
        add_interface(whole, mac(9_000 + 10 * n + k as u32), false);
        let Some(row) = whole.interfaces.last_mut() else {
            continue;
        };
        row.name = name.to_owned();
        row.running = (dice.below(6) > 0).then(|| dice.below(4) > 0);
        row.disabled = Some(dice.below(12) == 0);
        row.rx_bytes = Some(traffic + dice.below(90_000));
        row.tx_bytes = Some(traffic);
        row.link_rate_bps = Some(20_000);
    }
    add_radio(whole, "wlan1", -100 + dice.below(9) as i16);
}

fn edit(s: &mut Script, dice: &mut Dice, rules: &mut [Rule], t: i64) {
    let which = dice.below(rules.len() as u64) as usize;
    let rule = &mut rules[which];
    match dice.below(24) {
        0 => rule.enabled = !rule.enabled,
        1 => rule.severity = Severity::Critical,
        2 => rule.enter_milli += 1_000,
        3 => rule.scope = Scope::Site(site(dice.below(2) as u32 + 1)),
        4 => rule.hits = 1,
        5 => {
            s.change(at(t), Change::RuleDeleted { id: rule.id });
            // Made again in the same slot.
            rule.enabled = true;
        }
        6 => rule.scope = Scope::Tenant,
        11 if rule.schedule.is_some() => rule.schedule = None,
        12 if rule.schedule.is_some() => {
            // Those that are within become those that are not, a while from now.
            let from = (t / 60 + 2) as u16;
            rule.schedule = hours(from + 12, from);
        }
        7 | 8 => {
            let place = dice.below(2) as u32 + 1;
            return s.edit(at(t), device(dice.below(6) as u32 + 1), |row| {
                (row.site_id, row.sector_id) = (Some(site(place)), Some(sector(place)));
            });
        }
        9 => {
            return s.edit(at(t), device(dice.below(6) as u32 + 1), |row| {
                row.enabled = !row.enabled;
            });
        }
        10 => {
            return s.edit(at(t), device(dice.below(6) as u32 + 1), |row| {
                row.group_ids = if row.group_ids.is_empty() {
                    vec![GROUP]
                } else {
                    Vec::new()
                };
            });
        }
        _ => return,
    }
    s.change(at(t), Change::Rule(rule.clone()));
}

fn slots(seed: u64) -> Vec<SlotInput> {
    let until = at(30 * ROUNDS + 40);
    // Some alerts are resolved by hand a while after they opened.
    let first = run(&encode(&fleet(seed, &[]).slots(until), 9), 1, 50);
    let opened = first.alert_events.iter();
    let opened = opened.filter(|event| event.change == AlertChange::Opened);
    let late = |event: &AlertEvent| {
        (
            event.at + mast_schemas::time::Span::secs(20),
            event.alert_id,
        )
    };
    let resolve: Vec<_> = opened.step_by(5).map(late).collect();
    fleet(seed, &resolve).slots(until)
}

/// Each alert opens once and resolves once, and those that are open are shown.
fn lawful(served: &Served) {
    let mut open: BTreeMap<(RuleId, _), AlertId> = BTreeMap::new();
    for event in &served.alert_events {
        let of = (event.rule_id, (event.subject_id, event.interface.clone()));
        match event.change {
            AlertChange::Opened => {
                let before = open.insert(of, event.alert_id);
                assert_eq!(before, None, "{event:?}");
            }
            AlertChange::Resolved => {
                let before = open.remove(&of);
                assert_eq!(before, Some(event.alert_id), "{event:?}");
            }
        }
    }
    let shown: BTreeSet<_> = served.views.alerts.keys().copied().collect();
    let open: BTreeSet<_> = open.into_values().collect();
    assert_eq!(shown, open);
}

fn same(at: &str, ours: &Served, other: &Served) {
    for (n, (a, b)) in ours
        .alert_events
        .iter()
        .zip(&other.alert_events)
        .enumerate()
    {
        assert_eq!(a, b, "{at}: event {n}");
    }
    assert_eq!(ours.alert_events.len(), other.alert_events.len(), "{at}");
    assert_eq!(ours.views.alerts, other.views.alerts, "{at}");
}

/// Rules of every kind over more than an hour: after each slot the same alerts and incidents as the oracle's.
#[test]
fn rules_of_every_kind_equal_the_oracle_after_every_slot() {
    for (seed, workers) in [(1, 1), (2, 2), (3, 4)] {
        let slots = slots(seed);
        let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
        let (mut oracle, mut served) = (Oracle::new(DEFAULT), Served::default());
        for (slot, input) in slots.iter().zip(encode(&slots, 3)) {
            engine.feed(input).unwrap();
            served.take(engine.outputs().unwrap());
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
            let at = format!("seed {seed}, {workers} workers, slot {}", slot.last.0);
            compare(&at, &served, &oracle.views());
        }
        let events = oracle.take_events();
        same_events(&mut served.alert_events, events.alerts, |e| {
            (e.at, e.event_id)
        });
        same_events(&mut served.incident_events, events.incidents, |e| {
            (e.at, e.event_id)
        });
    }
}

#[test]
fn alerts_do_not_depend_on_workers_nor_on_restarts() {
    let (mut kinds, mut resolutions) = (BTreeSet::new(), BTreeSet::new());
    for seed in 1..=2 {
        let inputs = encode(&slots(seed), 9);
        let plain = run(&inputs, 1, 1);
        lawful(&plain);
        for event in &plain.alert_events {
            kinds.insert(event.kind);
            resolutions.extend(event.resolution);
        }
        for (workers, group) in [(2, 7), (4, 300)] {
            let other = run(&inputs, workers, group);
            same(&format!("seed {seed}, {workers} workers"), &other, &plain);
        }
        // A kill every so often, with another number of workers after it.
        let (mut served, mut snapshot) = (Served::default(), Snapshot::default());
        for (n, part) in inputs.chunks(inputs.len() / 9 + 1).enumerate() {
            let mut engine = Engine::start(config([1, 4, 2][n % 3]), snapshot).unwrap();
            part.iter()
                .for_each(|input| engine.feed(input.clone()).unwrap());
            served.take(engine.outputs().unwrap());
            snapshot = engine.snapshot().unwrap();
        }
        same(&format!("seed {seed}, restarted"), &served, &plain);
        assert_eq!(served.views.air, plain.views.air, "seed {seed}, restarted");
    }
    // Degrading clients take days.
    let all = RuleKind::ALL.iter().copied();
    let missing: Vec<_> = all.filter(|kind| !kinds.contains(kind)).collect();
    assert_eq!(missing, [RuleKind::SignalDegradation]);
    assert_eq!(resolutions.len(), Resolution::ALL.len(), "{resolutions:?}");
}

/// Access point 1 of tenant 1 with rule 1, polled every 10 s with these loads.
fn loads(rules: &[Rule], loads: &[u8]) -> Script {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    for rule in rules {
        s.change(at(0), Change::Rule(rule.clone()));
    }
    for (n, load) in (1..).zip(loads) {
        s.poll_ok(ap, at(10 * n)).poll.cpu_load_percent = Some(*load);
    }
    s
}

/// What was told of alerts by a script, by one worker and by four.
fn told(script: &Script, until: i64) -> (Vec<(Timestamp, AlertChange)>, Served) {
    let input = encode(&script.slots(at(until)), 4);
    let served = run(&input, 1, 1);
    same("four workers", &run(&input, 4, 5), &served);
    lawful(&served);
    let events = served.alert_events.iter();
    (
        events.map(|event| (event.at, event.change)).collect(),
        served,
    )
}

const OPENED: AlertChange = AlertChange::Opened;
const RESOLVED: AlertChange = AlertChange::Resolved;

#[test]
fn an_alert_opens_after_its_hits_and_resolves_after_its_clears() {
    let three = Rule {
        hits: 3,
        clears: 2,
        ..rule(1, RuleKind::Cpu, Scope::Tenant)
    };
    // A value at the threshold is neither bad nor good: it neither opens nor resolves.
    let s = loads(&[three], &[95, 95, 90, 95, 95, 95, 90, 80, 90, 80, 80]);
    let (events, served) = told(&s, 200);
    assert_eq!(events, [(at(60), OPENED), (at(110), RESOLVED)]);
    assert!(served.views.alerts.is_empty());
}

#[test]
fn outside_of_its_hours_a_rule_neither_counts_nor_resets() {
    let minute = Rule {
        hits: 2,
        schedule: hours(1, 2),
        ..rule(1, RuleKind::Cpu, Scope::Tenant)
    };
    // From 60 s to 120 s.
    let s = loads(
        &[minute],
        &[95, 95, 95, 95, 95, 95, 95, 70, 70, 70, 95, 70, 70],
    );
    let (events, _) = told(&s, 200);
    assert_eq!(events, [(at(70), OPENED), (at(80), RESOLVED)]);
    let open = Rule {
        schedule: hours(1, 2),
        ..rule(1, RuleKind::Cpu, Scope::Tenant)
    };
    let s = loads(&[open], &[95, 95, 95, 95, 95, 95, 95, 95, 95, 95, 95, 70]);
    let (events, served) = told(&s, 200);
    assert_eq!(events, [(at(60), OPENED)]);
    assert_eq!(served.views.alerts.len(), 1);
}

#[test]
fn a_message_that_is_delivered_again_is_no_further_hit() {
    let three = Rule {
        hits: 3,
        ..rule(1, RuleKind::Cpu, Scope::Tenant)
    };
    let mut s = loads(&[three], &[95]);
    s.repeat(1);
    s.repeat(2);
    s.repeat(3);
    assert_eq!(told(&s, 60).0, []);
}

#[test]
fn twenty_bad_polls_are_one_alert() {
    let s = loads(&[rule(1, RuleKind::Cpu, Scope::Tenant)], &[99; 20]);
    let (events, served) = told(&s, 300);
    assert_eq!(events, [(at(10), OPENED)]);
    // What is counted is what is shown.
    assert_eq!(served.views.alerts.len(), 1);
}

#[test]
fn no_data_neither_resolves_nor_fires() {
    let lost = Rule {
        enter_milli: 10_000,
        clear_milli: 0,
        ..rule(2, RuleKind::SectorClientDrop, Scope::Tenant)
    };
    let weak = Rule {
        operator: Some(Operator::Lt),
        enter_milli: -80_000,
        clear_milli: -70_000,
        ..rule(3, RuleKind::SectorSignalAvg, Scope::Tenant)
    };
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    for rule in [rule(1, RuleKind::Cpu, Scope::Tenant), lost, weak] {
        s.change(at(0), Change::Rule(rule));
    }
    for n in 1..=400 {
        s.ap_poll(ap, at(10 * n), &[bad(mac(1), 9_000), bad(mac(2), 9_000)])
            .poll
            .cpu_load_percent = Some(95);
    }
    // Nobody polls for hours: whoever looks sees what was, and that nobody looks.
    let (events, served) = told(&s, 9_000);
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(served.views.alerts.len(), 2);
}

#[test]
fn a_signal_that_is_not_told_raises_no_mean_and_a_ccq_that_is_not_told_is_not_low() {
    let weak = Rule {
        operator: Some(Operator::Lt),
        enter_milli: -75_000,
        clear_milli: -72_000,
        ..rule(1, RuleKind::Signal, Scope::Tenant)
    };
    let ccq = Rule {
        operator: Some(Operator::Lt),
        enter_milli: 50_000,
        clear_milli: 60_000,
        ..rule(2, RuleKind::Ccq, Scope::Tenant)
    };
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    s.change(at(0), Change::Rule(weak))
        .change(at(0), Change::Rule(ccq));
    let silent = (mac(2), None, None, Some(9_000));
    s.ap_poll(ap, at(10), &[bad(mac(1), 9_000), silent]);
    let served = told(&s, 20).1;
    let opened: Vec<_> = served
        .alert_events
        .iter()
        .map(|e| (e.kind, e.value_milli))
        .collect();
    assert_eq!(opened, [(RuleKind::Signal, Some(-90_000))]);
    s.ap_poll(ap, at(20), &[good(mac(1), 9_010), silent]);
    assert_eq!(told(&s, 30).1.views.alerts.len(), 0);
}

#[test]
fn a_rule_that_is_disabled_or_deleted_leaves_no_alert_open() {
    let first = rule(1, RuleKind::Cpu, Scope::Tenant);
    let second = rule(2, RuleKind::Cpu, Scope::Site(site(1)));
    let mut s = loads(&[first.clone(), second.clone()], &[95, 95, 95]);
    assert_eq!(told(&s, 15).1.views.alerts.len(), 2);
    let enabled = false;
    s.change(at(16), Change::Rule(Rule { enabled, ..first }));
    s.change(at(16), Change::RuleDeleted { id: second.id });
    let (events, served) = told(&s, 60);
    assert_eq!(events.len(), 4);
    assert!(served.views.alerts.is_empty());
    let why: BTreeSet<_> = served
        .alert_events
        .iter()
        .filter_map(|e| e.resolution)
        .collect();
    assert_eq!(
        why,
        BTreeSet::from([Resolution::RuleDisabled, Resolution::RuleDeleted])
    );
}

#[test]
fn what_a_person_resolved_is_not_opened_again_by_the_next_poll() {
    let first = rule(1, RuleKind::Cpu, Scope::Tenant);
    let mut s = loads(std::slice::from_ref(&first), &[95, 95, 95, 95, 70, 95]);
    let (tenant_id, id) = (
        tenant(1),
        alert_id(first.id, &Subject::Device(device(1)), at(10)),
    );
    s.change(at(15), Change::AlertResolved { tenant_id, id });
    let (events, served) = told(&s, 100);
    let opened: Vec<_> = events
        .iter()
        .filter(|e| e.1 == OPENED)
        .map(|e| e.0)
        .collect();
    assert_eq!(opened, [at(10), at(60)]);
    assert_eq!(served.alert_events[1].resolution, Some(Resolution::Manual));
}

#[test]
fn each_rule_judges_for_itself_and_with_its_own_severity() {
    let rules = [
        (Scope::Tenant, Severity::Info),
        (Scope::Sector(sector(1)), Severity::Warning),
        (Scope::Device(device(1)), Severity::Critical),
    ];
    let rules: Vec<_> = (1..)
        .zip(rules)
        .map(|(n, (scope, severity))| Rule {
            severity,
            ..rule(n, RuleKind::Offline, scope)
        })
        .collect();
    let mut s = loads(&rules, &[1]);
    for t in [20, 30] {
        s.poll_failed(device(1), at(t), Outcome::Timeout);
    }
    let served = told(&s, 40).1;
    let severities: BTreeSet<_> = served
        .views
        .alerts
        .values()
        .map(|alert| alert.severity)
        .collect();
    assert_eq!(severities.len(), 3);
    assert_eq!(served.views.alerts.len(), 3);
}

#[test]
fn a_tenant_that_is_deleted_takes_its_rules_along() {
    let down = rule(2, RuleKind::SiteDown, Scope::Tenant);
    let mut s = loads(&[rule(1, RuleKind::Cpu, Scope::Tenant), down], &[95]);
    for t in [20, 30, 40, 50] {
        s.poll_failed(device(1), at(t), Outcome::Timeout);
    }
    s.change(at(70), Change::TenantDeleted { id: tenant(1) });
    let (events, served) = told(&s, 200);
    assert_eq!(events.len(), 4, "{events:?}");
    let why: Vec<_> = served
        .alert_events
        .iter()
        .filter_map(|e| e.resolution)
        .collect();
    assert_eq!(why, [Resolution::RuleDeleted; 2]);
}
