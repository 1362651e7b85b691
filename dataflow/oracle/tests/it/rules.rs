//! §18: each kind's value, the step, scopes, and what ends an alert, by numbers written by hand.

use mast_oracle::script::{
    Client, Script, add_client, add_interface, add_radio, at, bad, count_rows, device, group, mac,
    radio, rule, rule_row, sector, site, tag, tenant,
};
use mast_oracle::{Oracle, laws};
use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertStatus, Operator, Resolution, RuleKind, RuleSubject, Scope,
    Severity, Subject, alert_id,
};
use mast_schemas::control::{Change, Rule, Schedule};
use mast_schemas::message::WholePoll;
use mast_schemas::records::{Outcome, Source, Tables};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{DeviceId, Timestamp};

use RuleKind::{
    Ccq, Clients, Cpu, DeviceOfflineCount, DeviceOfflinePercent, Disk, InterfaceDown,
    InterfaceUtilization, LinkDownCount, Memory, NoiseFloor, Offline, SectorClientDrop,
    SectorSignalAvg, Signal, SignalDegradation, SiteDown, Temperature, ThroughputDrop,
    Unmanageable,
};

fn fold(script: &Script, until: Timestamp) -> Oracle {
    let mut oracle = Oracle::new(DEFAULT);
    for slot in script.slots(until) {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
        assert_eq!(laws(&oracle.views()), []);
    }
    oracle
}

/// Second of the script, what became of an alert, and the value that did it, in thousandths.
type Told = (i64, &'static str, Option<i64>);

fn word(e: &AlertEvent) -> &'static str {
    match (e.change, e.resolution) {
        (AlertChange::Opened, None) => "opened",
        (AlertChange::Resolved, Some(resolution)) => resolution.as_str(),
        other => panic!("{other:?}"),
    }
}

fn told(script: &Script, until: i64) -> Vec<Told> {
    let events = fold(script, at(until)).take_events().alerts;
    let second = |e: &AlertEvent| (e.at - at(0)).0 / 1_000_000;
    events
        .iter()
        .map(|e| (second(e), word(e), e.value_milli))
        .collect()
}

fn with_rule(rule: Rule) -> (Script, DeviceId) {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    s.change(at(1), Change::Rule(rule));
    (s, ap)
}

/// What a rule that any value fires says of the poll: its value, or nothing.
fn value(kind: RuleKind, poll: impl FnOnce(&mut Script, DeviceId)) -> Option<i64> {
    let mut row = rule_row(1, kind, 0, 0);
    if !kind.is_state() {
        row.operator = Some(Operator::Gt);
        row.enter_milli = i64::MIN;
    }
    let (mut s, ap) = with_rule(row);
    poll(&mut s, ap);
    let told = told(&s, 100);
    assert!(told.len() < 2, "{told:?}");
    told.first().and_then(|t| t.2)
}

fn read(kind: RuleKind, fill: impl FnOnce(&mut WholePoll)) -> Option<i64> {
    value(kind, |s, ap| fill(s.poll_ok(ap, at(10))))
}

fn table(kind: RuleKind, clients: &[Client]) -> Option<i64> {
    value(kind, |s, ap| {
        s.ap_poll(ap, at(10), clients);
    })
}

#[test]
fn values_of_a_poll() {
    assert_eq!(
        read(Cpu, |p| p.poll.cpu_load_percent = Some(7)),
        Some(7_000)
    );
    assert_eq!(read(Cpu, |_| {}), None);
    let memory = |free, total| {
        read(Memory, |p| {
            (p.poll.memory_free_bytes, p.poll.memory_total_bytes) = (free, total);
        })
    };
    // 2 of 3 are in use: 66.666 %.
    assert_eq!(memory(Some(100), Some(300)), Some(66_666));
    assert_eq!(memory(Some(100), None), None);
    assert_eq!(memory(None, Some(300)), None);
    assert_eq!(memory(Some(0), Some(0)), None);
    let disk = |p: &mut WholePoll| {
        (p.poll.disk_free_bytes, p.poll.disk_total_bytes) = (Some(1), Some(8));
        (p.poll.memory_free_bytes, p.poll.memory_total_bytes) = (Some(1), Some(2));
    };
    assert_eq!(read(Disk, disk), Some(87_500));
    let temperature = |cpu, board| {
        read(Temperature, |p| {
            (p.poll.cpu_temperature_c, p.poll.board_temperature_c) = (cpu, board);
        })
    };
    assert_eq!(temperature(Some(45.1), Some(50.0)), Some(50_000));
    assert_eq!(temperature(Some(45.1), None), Some(45_100));
    assert_eq!(temperature(None, Some(-3.5)), Some(-3_500));
    assert_eq!(temperature(None, None), None);
}

#[test]
fn values_of_a_poll_s_clients() {
    let rows = [
        (mac(1), Some(-60), Some(90), None),
        (mac(2), Some(-61), None, None),
        (mac(3), Some(-61), Some(70), None),
        (mac(4), None, None, None),
    ];
    // −182 ÷ 3 = −60.666…, rounded down.
    assert_eq!(table(Signal, &rows), Some(-60_667));
    assert_eq!(table(Ccq, &rows), Some(70_000));
    assert_eq!(table(Clients, &rows), Some(4_000));
    assert_eq!(table(Signal, &rows[3..]), None);
    assert_eq!(table(Ccq, &rows[3..]), None);
    assert_eq!(table(Clients, &[]), Some(0));
    assert_eq!(read(Clients, |_| {}), None);
    // Radios of others, stations' own rows and second rows of one client don't count; another table's row does.
    let odd = |s: &mut Script, ap: DeviceId| {
        let tables = Tables::registration(Source::Wireless)
            .with(Tables::registration(Source::Wifi))
            .with(Tables::registration(Source::Capsman));
        let poll = s.poll(ap, at(10), Outcome::Ok, tables);
        let row = |n, dbm| (mac(n), Some(dbm), None, None);
        add_client(
            poll,
            Source::Wireless,
            "wlan1",
            radio(ap),
            false,
            row(1, -50),
        );
        add_client(
            poll,
            Source::Wireless,
            "wlan1",
            radio(ap),
            false,
            row(1, -99),
        );
        add_client(poll, Source::Wifi, "wifi1", radio(ap), false, row(1, -60));
        add_client(
            poll,
            Source::Capsman,
            "cap1",
            radio(device(2)),
            true,
            row(2, -99),
        );
        // This table was not read whole.
        add_client(poll, Source::W60g, "w60g", radio(ap), false, row(3, -99));
        mast_oracle::script::add_station(poll, Source::Wireless, mac(9), radio(device(3)));
        count_rows(poll);
    };
    assert_eq!(value(Signal, odd), Some(-55_000));
    assert_eq!(value(Clients, odd), Some(2_000));
}

#[test]
fn values_of_a_device() {
    let polls = |kind, outcomes: &[Outcome]| {
        value(kind, |s, ap| {
            for (k, outcome) in (1..).zip(outcomes) {
                s.poll_failed(ap, at(10 * k), *outcome);
            }
        })
    };
    use Outcome::{AuthFailed, Internal, Ok, Timeout};
    assert_eq!(polls(Offline, &[Timeout, Timeout]), Some(1_000));
    assert_eq!(polls(Offline, &[Timeout]), None);
    assert_eq!(polls(Offline, &[AuthFailed, AuthFailed]), None);
    assert_eq!(polls(Unmanageable, &[AuthFailed, AuthFailed]), Some(1_000));
    assert_eq!(polls(Unmanageable, &[Timeout, Timeout]), None);
    // What is unobserved holds: neither good nor bad.
    let (mut s, ap) = with_rule(rule_row(1, Offline, 0, 0));
    s.poll_failed(ap, at(10), Timeout);
    s.poll_failed(ap, at(20), Timeout);
    // Unobserved from 50 on; the next failure is the first of a new run.
    s.poll_failed(ap, at(100), Timeout);
    s.poll_failed(ap, at(105), Internal);
    s.poll_failed(ap, at(110), Timeout);
    s.poll_failed(ap, at(120), Ok);
    assert_eq!(
        told(&s, 130),
        [(20, "opened", Some(1_000)), (120, "cleared", Some(0))]
    );
    // A poll that failed within does not judge what it did not read.
    assert_eq!(
        value(Cpu, |s, ap| {
            s.poll_failed(ap, at(10), Internal).poll.cpu_load_percent = Some(99);
        }),
        None
    );
}

fn interface(s: &mut Script, ap: DeviceId, t: i64, fill: impl FnOnce(&mut WholePoll)) {
    let poll = s.poll(ap, at(t), Outcome::Ok, Tables::INTERFACE);
    add_interface(poll, mac(90), false);
    add_interface(poll, mac(91), false);
    fill(poll);
}

#[test]
fn interfaces_that_do_not_run() {
    let down = |fill: fn(&mut WholePoll)| value(InterfaceDown, |s, ap| interface(s, ap, 10, fill));
    assert_eq!(down(|_| {}), None);
    assert_eq!(down(|p| p.interfaces[1].running = Some(false)), Some(1_000));
    assert_eq!(down(|p| p.interfaces[1].running = None), None);
    let disabled = |p: &mut WholePoll| {
        (p.interfaces[1].running, p.interfaces[1].disabled) = (Some(false), Some(true));
    };
    assert_eq!(down(disabled), None);
    // Of two of one name the first counts.
    let twice = |p: &mut WholePoll| {
        p.interfaces[1].name = "wlan1".to_owned();
        p.interfaces[1].running = Some(false);
    };
    assert_eq!(down(twice), None);
    let first_disabled = |p: &mut WholePoll| {
        p.interfaces[0].disabled = Some(true);
        p.interfaces[1].name = "wlan1".to_owned();
        p.interfaces[1].running = Some(false);
    };
    assert_eq!(down(first_disabled), None);
}

#[test]
fn how_full_an_interface_is() {
    let full = |rx: Option<u64>, tx: Option<u64>, rate: Option<u64>| {
        value(InterfaceUtilization, |s, ap| {
            for (k, t) in [(0, 10), (1, 20)] {
                interface(s, ap, t, |p| {
                    p.poll.uptime_s = Some(100 + 10 * k);
                    p.interfaces[0].rx_bytes = rx.map(|rx| 5_000_000_000 + k * rx);
                    p.interfaces[0].tx_bytes = tx.map(|tx| 5_000_000_000 + k * tx);
                    p.interfaces[0].link_rate_bps = rate;
                });
            }
        })
    };
    // 1,250,000 bytes in 10 s are 1 Mbit/s.
    assert_eq!(
        full(Some(1_250_000), Some(0), Some(3_000_000)),
        Some(33_333)
    );
    assert_eq!(
        full(Some(1_250_000), Some(2_500_000), Some(3_000_000)),
        Some(66_666)
    );
    assert_eq!(full(Some(1_250_000), Some(0), None), None);
    assert_eq!(full(Some(1_250_000), Some(0), Some(0)), None);
    assert_eq!(full(None, Some(1_250_000), Some(3_000_000)), None);
}

#[test]
fn an_interface_is_named_by_a_pattern_and_goes_with_its_row() {
    let mut row = rule_row(1, InterfaceDown, 0, 0);
    row.interface = Some("wlan*".to_owned());
    let (mut s, ap) = with_rule(row);
    let down = |p: &mut WholePoll| p.interfaces[0].running = Some(false);
    interface(&mut s, ap, 10, |p| {
        down(p);
        p.interfaces[1].name = "ether1".to_owned();
        p.interfaces[1].running = Some(false);
    });
    // Nothing was read: it stays.
    s.poll_ok(ap, at(20));
    interface(&mut s, ap, 30, |p| drop(p.interfaces.remove(0)));
    interface(&mut s, ap, 40, down);
    interface(&mut s, ap, 50, |p| {
        down(p);
        p.interfaces[0].disabled = Some(true);
    });
    let opened = Some(1_000);
    let expected = [
        (10, "opened", opened),
        (30, "subject_gone", None),
        (40, "opened", opened),
        (50, "subject_gone", None),
    ];
    assert_eq!(told(&s, 60), expected);
    let views = fold(&s, at(45)).views().alerts;
    let alert = views.values().next().map(|a| a.subject.clone());
    assert_eq!(alert, Some(Subject::Interface(ap, "wlan1".into())));
}

fn load(s: &mut Script, ap: DeviceId, from: i64, loads: &[u8]) {
    for (k, load) in (0..).zip(loads) {
        s.poll_ok(ap, at(from + 10 * k)).poll.cpu_load_percent = Some(*load);
    }
}

fn cpu(hits: u16, clears: u16) -> Rule {
    Rule {
        hits,
        clears,
        ..rule_row(1, Cpu, 90, 80)
    }
}

#[test]
fn so_many_in_a_row_fire_and_clear() {
    let (mut s, ap) = with_rule(cpu(3, 2));
    // 90 is not more than 90; 81 is neither bad nor good; 80 is good.
    load(
        &mut s,
        ap,
        10,
        &[91, 92, 90, 91, 95, 97, 81, 80, 81, 80, 79, 99],
    );
    let expected = [(60, "opened", Some(97_000)), (110, "cleared", Some(79_000))];
    assert_eq!(told(&s, 130), expected);
}

#[test]
fn a_poll_that_has_no_value_neither_counts_nor_resets() {
    let (mut s, ap) = with_rule(cpu(2, 1));
    load(&mut s, ap, 10, &[91]);
    s.poll_ok(ap, at(20));
    s.poll_failed(ap, at(25), Outcome::Timeout);
    load(&mut s, ap, 30, &[92]);
    assert_eq!(told(&s, 40), [(30, "opened", Some(92_000))]);
}

/// Scripts begin on Friday 15 January 2027 at 08:00 UTC.
fn hours(days: &[u8], from: u16, to: u16, zone: &str) -> Option<Schedule> {
    Some(Schedule {
        days: days.to_vec(),
        from_minute: Some(from),
        to_minute: Some(to),
        time_zone: zone.to_owned(),
    })
}

#[test]
fn outside_of_its_hours_a_value_neither_counts_nor_resets() {
    let (mut s, ap) = with_rule(Rule {
        schedule: hours(&[], 482, 483, "UTC"),
        ..cpu(2, 1)
    });
    // From 08:02 to 08:03.
    load(&mut s, ap, 90, &[91, 91, 91, 92, 70]);
    load(&mut s, ap, 150, &[93, 94]);
    // What is open stays so.
    load(&mut s, ap, 180, &[70, 70]);
    s.change(at(201), Change::Rule(cpu(2, 1)));
    load(&mut s, ap, 210, &[71]);
    let expected = [
        (160, "opened", Some(94_000)),
        (210, "cleared", Some(71_000)),
    ];
    assert_eq!(told(&s, 230), expected);
    // A run goes on after hours.
    let (mut s, ap) = with_rule(Rule {
        schedule: hours(&[], 482, 483, "UTC"),
        ..cpu(2, 1)
    });
    load(&mut s, ap, 170, &[91, 70, 70]);
    s.change(at(195), Change::Rule(cpu(2, 1)));
    load(&mut s, ap, 200, &[92]);
    assert_eq!(told(&s, 230), [(200, "opened", Some(92_000))]);
}

#[test]
fn hours_are_of_a_clock_and_of_the_day_on_which_they_begin() {
    let fires = |schedule: Option<Schedule>| {
        let (mut s, ap) = with_rule(Rule {
            schedule,
            ..cpu(1, 1)
        });
        load(&mut s, ap, 10, &[91]);
        !told(&s, 20).is_empty()
    };
    for (days, from, to, zone, within) in [
        (&[5][..], 480, 481, "UTC", true),
        (&[4], 480, 481, "UTC", false),
        (&[5], 481, 480, "UTC", false),
        (&[4], 481, 481, "UTC", true),
        (&[4], 1_320, 500, "UTC", true),
        (&[5], 1_320, 500, "UTC", false),
        // 09:00 there, 03:00 there, and 22:00 on Friday there.
        (&[5], 540, 541, "Europe/Ljubljana", true),
        (&[], 480, 481, "Europe/Ljubljana", false),
        (&[], 180, 181, "America/New_York", true),
        (&[5], 1_320, 60, "Pacific/Kiritimati", true),
        // On no clock a rule judges always.
        (&[1], 0, 1, "Nowhere/Land", true),
    ] {
        let schedule = hours(days, from, to, zone);
        assert_eq!(fires(schedule), within, "{days:?} {from} {to} {zone}");
    }
    let all_day = |days: &[u8]| {
        hours(days, 0, 0, "UTC").map(|hours| Schedule {
            from_minute: None,
            to_minute: None,
            ..hours
        })
    };
    assert!(fires(all_day(&[])) && fires(all_day(&[5])) && !fires(all_day(&[4, 6])));
}

#[test]
fn operators_compare_as_they_say() {
    let fires = |operator, loads: &[u8]| {
        let (mut s, ap) = with_rule(Rule {
            operator: Some(operator),
            clear_milli: 90_000,
            ..cpu(1, 1)
        });
        load(&mut s, ap, 10, loads);
        let told = told(&s, 100);
        told.iter().map(|t| (t.0, t.1)).collect::<Vec<_>>()
    };
    let both = |open, clear| vec![(open, "opened"), (clear, "cleared")];
    assert_eq!(fires(Operator::Gt, &[90, 91, 90]), both(20, 30));
    assert_eq!(fires(Operator::Gte, &[89, 90, 89]), both(20, 30));
    assert_eq!(fires(Operator::Lt, &[90, 89, 90]), both(20, 30));
    assert_eq!(fires(Operator::Lte, &[91, 90, 91]), both(20, 30));
}

#[test]
fn what_a_person_resolves_is_latched_until_it_is_good() {
    let (mut s, ap) = with_rule(cpu(1, 2));
    load(&mut s, ap, 10, &[91, 91, 91, 70, 91, 70, 70, 91]);
    let resolved = Change::AlertResolved {
        tenant_id: tenant(1),
        id: alert_id(rule(1), &Subject::Device(ap), at(10)),
    };
    s.change(at(15), resolved.clone());
    // It is not open any more, so that a second word does nothing.
    s.change(at(55), resolved);
    let expected = [
        (10, "opened", Some(91_000)),
        (15, "manual", None),
        (80, "opened", Some(91_000)),
    ];
    assert_eq!(told(&s, 90), expected);
    // Of another tenant nothing is resolved.
    let (mut s, ap) = with_rule(cpu(1, 1));
    load(&mut s, ap, 10, &[91]);
    let foreign = Change::AlertResolved {
        tenant_id: tenant(2),
        id: alert_id(rule(1), &Subject::Device(ap), at(10)),
    };
    s.change(at(15), foreign);
    assert_eq!(told(&s, 20).len(), 1);
}

/// A device whose load fires at 10 and 30, and what ends that at 20.
fn ended(scope: Scope, edit: impl FnOnce(&mut Script, DeviceId)) -> Vec<(i64, &'static str)> {
    let (mut s, ap) = with_rule(Rule { scope, ..cpu(1, 1) });
    s.edit(at(0), ap, |row| {
        (row.group_ids, row.tag_ids) = (vec![group(1)], vec![tag(1)]);
    });
    load(&mut s, ap, 10, &[91, 91, 91]);
    edit(&mut s, ap);
    told(&s, 40).iter().map(|t| (t.0, t.1)).collect()
}

#[test]
fn a_rule_judges_what_is_in_its_scope() {
    let fires = |scope| ended(scope, |_, _| {}).len();
    for scope in [
        Scope::Tenant,
        Scope::Site(site(1)),
        Scope::Sector(sector(1)),
        Scope::Group(group(1)),
        Scope::Tag(tag(1)),
        Scope::Device(device(1)),
    ] {
        assert_eq!(fires(scope), 1, "{scope:?}");
    }
    for scope in [
        Scope::Site(site(2)),
        Scope::Sector(sector(2)),
        Scope::Group(group(2)),
        Scope::Tag(tag(2)),
        Scope::Device(device(2)),
    ] {
        assert_eq!(fires(scope), 0, "{scope:?}");
    }
    let (mut s, ap) = with_rule(Rule {
        tenant_id: tenant(2),
        ..cpu(1, 1)
    });
    load(&mut s, ap, 10, &[91]);
    assert_eq!(told(&s, 20), []);
}

#[test]
fn what_ends_an_alert_and_when() {
    let edited = |edit: fn(&mut Rule)| {
        move |s: &mut Script, _: DeviceId| {
            let mut row = cpu(1, 1);
            edit(&mut row);
            s.change(at(15), Change::Rule(row));
        }
    };
    let opened = (10, "opened");
    let until = |what| vec![opened, (15, what)];
    let anew = |what| vec![opened, (15, what), (20, "opened")];
    let tenant_wide = |edit: fn(&mut Rule)| ended(Scope::Tenant, edited(edit));
    assert_eq!(tenant_wide(|r| r.enabled = false), until("rule_disabled"));
    assert_eq!(
        tenant_wide(|r| r.scope = Scope::Site(site(2))),
        until("out_of_scope")
    );
    assert_eq!(tenant_wide(|r| r.scope = Scope::Site(site(1))), [opened]);
    assert_eq!(
        tenant_wide(|r| (r.enabled, r.scope) = (false, Scope::Site(site(2)))),
        until("rule_disabled")
    );
    assert_eq!(
        tenant_wide(|r| (r.kind, r.enabled) = (Memory, false)),
        until("rule_deleted")
    );
    // Other numbers hold from the next value: 91 is now good.
    assert_eq!(
        tenant_wide(|r| r.clear_milli = 95_000),
        [opened, (20, "cleared"), (30, "opened")]
    );
    assert_eq!(
        tenant_wide(|r| (r.enter_milli, r.clear_milli) = (95_000, 95_000)),
        [opened, (20, "cleared")]
    );
    let change = |change: Change| {
        ended(Scope::Tenant, |s, _| {
            s.change(at(15), change);
        })
    };
    assert_eq!(
        change(Change::RuleDeleted { id: rule(1) }),
        until("rule_deleted")
    );
    assert_eq!(
        change(Change::TenantDeleted { id: tenant(1) }),
        until("rule_deleted")
    );
    assert_eq!(
        change(Change::DeviceDeleted { id: device(1) }),
        until("subject_gone")
    );
    let device = |scope, edit: fn(&mut mast_schemas::control::Device)| {
        ended(scope, |s, ap| s.edit(at(15), ap, edit))
    };
    assert_eq!(
        device(Scope::Tenant, |d| d.enabled = false),
        until("subject_gone")
    );
    assert_eq!(
        device(Scope::Tenant, |d| d.tenant_id = tenant(2)),
        until("subject_gone")
    );
    assert_eq!(
        device(Scope::Site(site(1)), |d| (d.site_id, d.sector_id) =
            (None, None)),
        until("out_of_scope")
    );
    assert_eq!(
        device(Scope::Group(group(1)), |d| d.group_ids = vec![group(2)]),
        until("out_of_scope")
    );
    assert_eq!(
        device(Scope::Tag(tag(1)), |d| d.tag_ids.clear()),
        until("out_of_scope")
    );
    let site_deleted = ended(Scope::Sector(sector(1)), |s, _| {
        s.change(at(15), Change::SiteDeleted { id: site(1) });
    });
    assert_eq!(site_deleted, until("out_of_scope"));
    // Gone and back within a slot is gone.
    let to_and_fro = ended(Scope::Tag(tag(1)), |s, ap| {
        s.edit(at(15), ap, |d| d.tag_ids.clear());
        s.edit(at(15), ap, |d| d.tag_ids = vec![tag(1)]);
    });
    assert_eq!(to_and_fro, anew("out_of_scope"));
}

#[test]
fn what_was_counted_goes_with_the_alert() {
    // Bad once of two times, then out of the scope and back: bad once is not enough.
    let (mut s, ap) = with_rule(Rule {
        scope: Scope::Tag(tag(1)),
        ..cpu(2, 1)
    });
    s.edit(at(0), ap, |d| d.tag_ids = vec![tag(1)]);
    load(&mut s, ap, 10, &[91, 91, 91]);
    s.edit(at(11), ap, |d| d.tag_ids.clear());
    s.edit(at(12), ap, |d| d.tag_ids = vec![tag(1)]);
    assert_eq!(told(&s, 40), [(30, "opened", Some(91_000))]);
    // An edit of other fields lets the run go on.
    let (mut s, ap) = with_rule(cpu(2, 1));
    load(&mut s, ap, 10, &[91, 91]);
    s.change(
        at(15),
        Change::Rule(Rule {
            severity: Severity::Critical,
            ..cpu(2, 1)
        }),
    );
    assert_eq!(told(&s, 40), [(20, "opened", Some(91_000))]);
}

#[test]
fn an_alert_has_its_rule_s_severity_and_its_events_the_thresholds() {
    let (mut s, ap) = with_rule(cpu(1, 1));
    load(&mut s, ap, 10, &[91, 91, 70]);
    s.change(
        at(15),
        Change::Rule(Rule {
            severity: Severity::Critical,
            ..cpu(1, 1)
        }),
    );
    let oracle = fold(&s, at(25));
    let alert = oracle.views().alerts.into_values().next();
    let alert = alert.map(|a| (a.severity, a.value_milli, a.opened_at, a.status));
    assert_eq!(
        alert,
        Some((Severity::Critical, 91_000, at(10), AlertStatus::Open))
    );
    let events = fold(&s, at(40)).take_events().alerts;
    let numbers = events
        .iter()
        .map(|e| (e.severity, e.threshold_milli, e.resolution));
    let expected = [
        (Severity::Warning, Some(90_000), None),
        (Severity::Critical, Some(80_000), Some(Resolution::Cleared)),
    ];
    assert_eq!(numbers.collect::<Vec<_>>(), expected);
    let (mut s, ap) = with_rule(rule_row(1, Offline, 0, 0));
    s.poll_failed(ap, at(10), Outcome::Timeout);
    s.poll_failed(ap, at(20), Outcome::Timeout);
    let event = fold(&s, at(21)).take_events().alerts.remove(0);
    assert_eq!(
        (event.value_milli, event.threshold_milli),
        (Some(1_000), None)
    );
}

/// Two devices of a site and sector, polled each 10 s up to `until`; the poll is filled by device and second.
fn place(rule: Rule, until: i64, poll: impl Fn(&mut Script, DeviceId, i64)) -> Script {
    let mut s = Script::new();
    let (a, b) = (s.device(at(0), 1), s.device(at(0), 2));
    s.change(at(1), Change::Rule(rule));
    for k in 0..until / 10 {
        poll(&mut s, a, 10 * k + 2);
        poll(&mut s, b, 10 * k + 3);
    }
    s
}

/// A rule on sites or sectors that any value fires.
fn any(kind: RuleKind, subject: RuleSubject) -> Rule {
    let mut row = rule_row(1, kind, 0, 0);
    row.subject = subject;
    if !kind.is_state() {
        row.operator = Some(Operator::Gt);
        row.enter_milli = i64::MIN;
    }
    row
}

fn one_fails(s: &mut Script, id: DeviceId, t: i64) {
    if id == device(1) {
        s.poll_failed(id, at(t), Outcome::Timeout);
    } else {
        s.poll_ok(id, at(t));
    }
}

#[test]
fn devices_of_a_place_that_are_offline() {
    let first = |kind, subject, poll: fn(&mut Script, DeviceId, i64)| {
        told(&place(any(kind, subject), 60, poll), 61)
    };
    for subject in [RuleSubject::Site, RuleSubject::Sector] {
        let opened = |value| vec![(60, "opened", Some(value))];
        assert_eq!(
            first(DeviceOfflinePercent, subject, one_fails),
            opened(50_000)
        );
        assert_eq!(first(DeviceOfflineCount, subject, one_fails), opened(1_000));
        assert_eq!(first(LinkDownCount, subject, one_fails), opened(0));
        assert_eq!(first(SignalDegradation, subject, one_fails), opened(0));
    }
    let all_fail: fn(&mut Script, DeviceId, i64) = |s, id, t| {
        s.poll_failed(id, at(t), Outcome::Timeout);
    };
    assert_eq!(first(SiteDown, RuleSubject::Site, one_fails), []);
    assert_eq!(
        first(SiteDown, RuleSubject::Site, all_fail),
        [(60, "opened", Some(1_000))]
    );
    // Nobody is polled: the place is unknown.
    let nothing: fn(&mut Script, DeviceId, i64) = |_, _, _| {};
    for kind in [
        DeviceOfflinePercent,
        DeviceOfflineCount,
        LinkDownCount,
        SignalDegradation,
        SiteDown,
    ] {
        assert_eq!(first(kind, RuleSubject::Site, nothing), [], "{kind:?}");
    }
}

#[test]
fn ticks_are_whole_minutes_and_each_counts() {
    let mut row = rule_row(1, DeviceOfflineCount, 0, 0);
    (row.hits, row.clears) = (2, 2);
    let s = place(row, 400, |s, id, t| {
        if t < 200 {
            one_fails(s, id, t);
        } else {
            s.poll_ok(id, at(t));
        }
    });
    assert_eq!(
        told(&s, 400),
        [(120, "opened", Some(1_000)), (300, "cleared", Some(0))]
    );
}

#[test]
fn signals_and_links_of_a_place() {
    let polls = |s: &mut Script, id: DeviceId, t: i64| {
        let rows = [
            bad(mac(1), 60),
            (mac(2), Some(-60), None, None),
            (mac(3), Some(-61), None, None),
        ];
        if id == device(1) {
            s.ap_poll(id, at(t), if t < 20 { &rows } else { &rows[..2] });
        } else {
            s.poll_ok(id, at(t));
        }
    };
    // −90 and −60; the third is down from 42 on.
    let signal = any(SectorSignalAvg, RuleSubject::Sector);
    assert_eq!(
        told(&place(signal, 60, polls), 61),
        [(60, "opened", Some(-75_000))]
    );
    let down = any(LinkDownCount, RuleSubject::Sector);
    assert_eq!(
        told(&place(down, 60, polls), 61),
        [(60, "opened", Some(1_000))]
    );
    let none = any(SectorSignalAvg, RuleSubject::Sector);
    assert_eq!(told(&place(none, 60, one_fails), 61), []);
}

#[test]
fn clients_that_a_sector_lost_within_an_hour() {
    let rows: Vec<Client> = (0..3).map(|n| (mac(n), Some(-60), None, None)).collect();
    let s = place(
        any(SectorClientDrop, RuleSubject::Sector),
        5_000,
        |s, id, t| {
            if id == device(1) {
                s.ap_poll(id, at(t), if t < 3_000 { &rows } else { &rows[..2] });
            }
        },
    );
    // The place is sampled from 300 on, with three live links; at 3,900 that is an hour ago. 1 of 3 are lost.
    assert_eq!(told(&s, 5_000), [(3_900, "opened", Some(33_333))]);
}

fn traffic(s: &mut Script, id: DeviceId, t: i64, bytes: u64) {
    let tables = Tables::registration(Source::Wireless)
        .with(Tables::INTERFACE)
        .with(Tables::RADIO);
    let poll = s.poll(id, at(t), Outcome::Ok, tables);
    add_client(
        poll,
        Source::Wireless,
        "wlan1",
        radio(id),
        false,
        (mac(1), None, None, None),
    );
    add_interface(poll, radio(id), false);
    poll.interfaces[0].rx_bytes = Some(bytes);
    poll.interfaces[0].tx_bytes = Some(0);
    add_radio(poll, "wlan1", -100 - (t % 10) as i16);
    count_rows(poll);
}

#[test]
fn noise_and_traffic_of_a_place() {
    // Noise −102 and −103.
    let s = place(any(NoiseFloor, RuleSubject::Site), 60, |s, id, t| {
        traffic(s, id, t, 0);
    });
    assert_eq!(told(&s, 61), [(60, "opened", Some(-102_500))]);
    assert_eq!(
        told(
            &place(any(NoiseFloor, RuleSubject::Site), 60, one_fails),
            61
        ),
        []
    );
    // 1,000 bytes a second, from 3,600 on 250. The rule sees ticks from 60 on; 3,660 is the first with one 60 before it.
    let falls = |s: &mut Script, id: DeviceId, t: i64| {
        let bytes = if t < 3_600 {
            1_000 * t
        } else {
            3_600_000 + 250 * (t - 3_600)
        };
        if id == device(1) {
            traffic(s, id, t, bytes as u64);
        }
    };
    let drop = any(ThroughputDrop, RuleSubject::Site);
    assert_eq!(
        told(&place(drop.clone(), 3_800, falls), 3_700),
        [(3_660, "opened", Some(75_000))]
    );
    // A rule that is away for a while begins anew.
    let mut s = place(drop.clone(), 3_800, falls);
    s.change(
        at(1_000),
        Change::Rule(Rule {
            enabled: false,
            ..drop.clone()
        }),
    );
    s.change(at(1_100), Change::Rule(drop));
    assert_eq!(told(&s, 3_800), []);
}

#[test]
fn a_place_rule_judges_places_in_its_scope() {
    let judged = |kind, subject, scope| {
        let row = Rule {
            scope,
            ..any(kind, subject)
        };
        let oracle = fold(&place(row, 60, one_fails), at(61));
        let alerts = oracle.views().alerts;
        alerts.into_values().map(|a| a.subject).collect::<Vec<_>>()
    };
    use RuleSubject::{Sector, Site};
    let (one_site, one_sector) = ([Subject::Site(site(1))], [Subject::Sector(sector(1))]);
    let count = DeviceOfflineCount;
    assert_eq!(judged(count, Site, Scope::Tenant), one_site);
    assert_eq!(judged(count, Sector, Scope::Tenant), one_sector);
    assert_eq!(judged(count, Site, Scope::Site(site(1))), one_site);
    assert_eq!(judged(count, Sector, Scope::Site(site(1))), one_sector);
    assert_eq!(judged(count, Sector, Scope::Sector(sector(1))), one_sector);
    assert_eq!(judged(count, Site, Scope::Sector(sector(1))), []);
    assert_eq!(judged(count, Site, Scope::Site(site(2))), []);
    assert_eq!(judged(count, Sector, Scope::Site(site(2))), []);
    assert_eq!(judged(count, Site, Scope::Device(device(1))), []);
    assert_eq!(judged(count, Site, Scope::Group(group(1))), []);
}

#[test]
fn a_place_without_devices_is_gone_at_the_slot_s_end() {
    let mut s = place(any(DeviceOfflineCount, RuleSubject::Sector), 60, one_fails);
    for n in [1, 2] {
        s.edit(at(100), device(n), |d| d.sector_id = None);
    }
    let oracle = &mut fold(&s, at(110));
    let events = oracle.take_events().alerts;
    assert_eq!(word(&events[1]), "subject_gone");
    assert_eq!(events[1].at.0, at(100).0 + 250_000);
    // And what leaves the scope does so at the slot's begin.
    let row = any(DeviceOfflineCount, RuleSubject::Sector);
    let mut s = place(row.clone(), 60, one_fails);
    s.change(
        at(100),
        Change::Rule(Rule {
            scope: Scope::Site(site(2)),
            ..row
        }),
    );
    assert_eq!(told(&s, 110)[1], (100, "out_of_scope", None));
}

/// One device was off before our outage: that nobody sees the other any more is no news of the site.
#[test]
fn a_site_of_which_a_device_is_not_looked_at_is_not_said_to_be_down() {
    let mut s = Script::new();
    let (dead, well) = (s.device(at(0), 1), s.device(at(0), 2));
    let mut row = any(SiteDown, RuleSubject::Site);
    row.hits = 1;
    s.change(at(0), Change::Rule(row));
    for t in (1..300).step_by(10) {
        // Ours looks at one of them no more; the other is found silent all along.
        s.poll_failed(dead, at(t), Outcome::Timeout);
        if t < 60 {
            s.poll_ok(well, at(t));
        }
    }
    assert_eq!(told(&s, 300), []);
}
