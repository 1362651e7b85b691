use mast_schemas::alerts::{AlertId, Operator, RuleKind, alert_id};
use mast_schemas::{GroupId, SectorId, SiteId, TagId};

use super::*;

const GONE: Short = Short::Ended(Resolution::SubjectGone);
const OUT: Short = Short::Ended(Resolution::OutOfScope);
const DELETED: Short = Short::Ended(Resolution::RuleDeleted);
const DISABLED: Short = Short::Ended(Resolution::RuleDisabled);

fn deleted(rule: &Rule) -> Control {
    Control::Rule(RuleControl::Deleted(rule.id))
}

/// A world in which the rule has an alert open, besides a second one that counts a bad value.
fn firing(rule: &Rule, record: &StandingRecord) -> World {
    let counts = Rule {
        id: RuleId::new(),
        hits: 9,
        ..rule.clone()
    };
    let mut w = World::new(&[rule.clone(), counts]);
    w.control(&[device(record)]);
    assert_eq!(short(&w.poll(cpu(95))), [Short::Opened(95_000)]);
    assert_eq!(w.judged().len(), 2);
    w
}

fn everywhere() -> StandingRecord {
    StandingRecord {
        site_id: Some(SiteId::from_bytes([3; 16])),
        sector_id: Some(SectorId::from_bytes([4; 16])),
        group_ids: vec![GroupId::from_bytes([5; 16])],
        tag_ids: vec![TagId::from_bytes([6; 16]), TagId::from_bytes([7; 16])],
        ..standing(DEVICE)
    }
}

/// Every scope that holds [`everywhere`], and the same device as it leaves that scope.
fn scopes() -> Vec<(Scope, StandingRecord)> {
    let here = everywhere();
    let record = |change: fn(&mut StandingRecord)| {
        let mut record = everywhere();
        change(&mut record);
        record
    };
    vec![
        (
            Scope::Site(here.site_id.unwrap()),
            record(|r| (r.site_id, r.sector_id) = (None, None)),
        ),
        (
            Scope::Sector(here.sector_id.unwrap()),
            record(|r| r.sector_id = Some(SectorId::new())),
        ),
        (
            Scope::Group(here.group_ids[0]),
            record(|r| r.group_ids.clear()),
        ),
        (
            Scope::Tag(here.tag_ids[1]),
            record(|r| r.tag_ids.truncate(1)),
        ),
    ]
}

#[test]
fn each_scope_holds_its_devices_and_lets_go_who_leaves() {
    for (scope, elsewhere) in scopes() {
        let scoped = Rule {
            scope,
            ..rule(RuleKind::Cpu)
        };
        let mut w = firing(&scoped, &everywhere());
        assert_eq!(short(&w.control(&[device(&elsewhere)])), [OUT], "{scope:?}");
        assert_eq!(w.judged(), []);
        assert_eq!(w.poll(cpu(95)), [], "{scope:?}");
        // Whoever comes back is judged anew.
        w.control(&[device(&everywhere())]);
        assert_eq!(
            short(&w.poll(cpu(96))),
            [Short::Opened(96_000)],
            "{scope:?}"
        );
    }
}

#[test]
fn a_rule_of_one_device_is_its_alone_before_and_after_it_is_known() {
    let other = StandingRecord {
        device_id: DeviceId::from_bytes([9; 16]),
        ..everywhere()
    };
    let own = Rule {
        scope: Scope::Device(DEVICE),
        ..rule(RuleKind::Cpu)
    };
    let mut w = World::new(&[]);
    w.control(&[device(&everywhere()), device(&other), put(&own)]);
    let of_other = PollInput {
        device: other.device_id,
        ..cpu(95)
    };
    assert_eq!(w.poll(of_other.clone()), []);
    assert_eq!(short(&w.poll(cpu(95))), [Short::Opened(95_000)]);
    // It moves on to the other one.
    let moved = Rule {
        scope: Scope::Device(other.device_id),
        ..own.clone()
    };
    assert_eq!(short(&w.control(&[put(&moved)])), [OUT]);
    assert_eq!(w.poll(cpu(95)), []);
    assert_eq!(short(&w.poll(of_other.clone())), [Short::Opened(95_000)]);
    assert_eq!(short(&w.control(&[deleted(&moved)])), [DELETED]);
    // The rule is there before its device is.
    let (unknown, mut w) = (put(&own), World::new(&[]));
    let forgotten = Control::Device(DeviceControl {
        device: DEVICE,
        info: None,
    });
    w.control(&[forgotten, unknown, device(&everywhere())]);
    assert_eq!(short(&w.poll(cpu(95))), [Short::Opened(95_000)]);
}

#[test]
fn rules_of_another_tenant_judge_nothing_here() {
    let tenant_id = TenantId::new();
    for scope in [
        Scope::Tenant,
        Scope::Site(everywhere().site_id.unwrap()),
        Scope::Device(DEVICE),
    ] {
        let theirs = Rule {
            tenant_id,
            scope,
            ..rule(RuleKind::Cpu)
        };
        let mut w = World::new(&[theirs]);
        w.control(&[device(&everywhere())]);
        assert_eq!(w.poll(cpu(95)), []);
    }
}

#[test]
fn a_device_that_is_deleted_disabled_or_anothers_is_no_subject() {
    let scoped = Rule {
        scope: Scope::Site(everywhere().site_id.unwrap()),
        ..rule(RuleKind::Cpu)
    };
    let disabled = StandingRecord {
        enabled: false,
        ..everywhere()
    };
    let elsewhere = StandingRecord {
        site_id: None,
        sector_id: None,
        ..disabled.clone()
    };
    let theirs = StandingRecord {
        tenant_id: TenantId::new(),
        ..everywhere()
    };
    let info = None;
    let gone = Control::Device(DeviceControl {
        device: DEVICE,
        info,
    });
    for (change, ended) in [
        (gone, GONE),
        (device(&disabled), GONE),
        (device(&elsewhere), OUT),
        (device(&theirs), GONE),
    ] {
        let mut w = firing(&scoped, &everywhere());
        let told = w.control(&[change]);
        assert_eq!(short(&told), [ended]);
        assert_eq!(told[0].at.0, 60_000_000 * w.minute);
        assert_eq!(w.judged(), []);
    }
}

#[test]
fn a_rule_that_is_deleted_disabled_or_becomes_another_ends_its_alerts() {
    let old = rule(RuleKind::Cpu);
    let disabled = Rule {
        enabled: false,
        ..old.clone()
    };
    let kind = Rule {
        kind: RuleKind::Memory,
        ..old.clone()
    };
    let of_places = Rule {
        kind: RuleKind::DeviceOfflineCount,
        subject: RuleSubject::Site,
        enabled: false,
        ..old.clone()
    };
    let elsewhere = Rule {
        scope: Scope::Site(SiteId::new()),
        ..old.clone()
    };
    for (change, ended) in [
        (deleted(&old), DELETED),
        (put(&disabled), DISABLED),
        (put(&kind), DELETED),
        (put(&of_places), DELETED),
        (put(&elsewhere), OUT),
    ] {
        let mut w = firing(&old, &everywhere());
        assert_eq!(short(&w.control(&[change])), [ended]);
        assert_eq!(w.poll(cpu(99)), [], "{ended:?}");
        // The other rule goes on counting.
        assert_eq!(w.judged().len(), 1);
        assert_eq!(w.judged()[0].run, 2);
        // Made again it begins anew.
        w.control(&[put(&old)]);
        assert_eq!(short(&w.poll(cpu(97))), [Short::Opened(97_000)]);
    }
    // In the order of the records, each once.
    let mut w = firing(&old, &everywhere());
    let info = None;
    let gone = Control::Device(DeviceControl {
        device: DEVICE,
        info,
    });
    assert_eq!(
        short(&w.control(&[put(&disabled), deleted(&old), gone])),
        [DISABLED]
    );
}

#[test]
fn another_pattern_is_another_rule() {
    let old = Rule {
        interface: Some("a".to_owned()),
        ..rule(RuleKind::Cpu)
    };
    let new = Rule {
        interface: Some("b".to_owned()),
        ..old.clone()
    };
    assert_eq!(
        short(&firing(&old, &everywhere()).control(&[put(&new)])),
        [DELETED]
    );
}

#[test]
fn an_edit_holds_from_the_next_value_and_runs_go_on() {
    let old = Rule {
        hits: 4,
        ..rule(RuleKind::Cpu)
    };
    let mut w = World::new(std::slice::from_ref(&old));
    for _ in 0..3 {
        assert_eq!(w.poll(cpu(95)), []);
    }
    // Fewer hits than have been counted, and a lower threshold.
    let new = Rule {
        hits: 2,
        enter_milli: 50_000,
        clear_milli: 40_000,
        ..old
    };
    assert_eq!(w.control(&[put(&new)]), []);
    assert_eq!(short(&w.poll(cpu(55))), [Short::Opened(55_000)]);
    // What was good is so no longer, by another operator; the alert stays open.
    let turned = Rule {
        operator: Some(Operator::Lt),
        ..new
    };
    assert_eq!(w.control(&[put(&turned)]), []);
    assert_eq!(w.poll(cpu(30)), []);
    assert_eq!(short(&w.poll(cpu(45))), [Short::Cleared(45_000)]);
}

#[test]
fn the_severity_of_an_open_alert_is_that_of_its_rule() {
    let old = rule(RuleKind::Cpu);
    let mut w = firing(&old, &everywhere());
    let critical = Rule {
        severity: Severity::Critical,
        ..old.clone()
    };
    let told = w.control(&[put(&critical)]);
    assert_eq!(short(&told), [Short::Severity(Severity::Critical)]);
    assert_eq!(told[0].event(), None);
    assert_eq!(
        told[0].view().map(|view| view.severity),
        Some(Severity::Critical)
    );
    assert_eq!(w.control(&[put(&critical)]), []);
    assert_eq!(w.poll(cpu(10))[0].severity, Severity::Critical);
    // With an edit that ends the alert: as the rule is then; with one that deletes it: its last.
    let disabled = Rule {
        enabled: false,
        ..critical.clone()
    };
    let kind = Rule {
        kind: RuleKind::Memory,
        ..critical
    };
    for (change, severity) in [(disabled, Severity::Critical), (kind, Severity::Warning)] {
        let told = firing(&old, &everywhere()).control(&[put(&change)]);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].kind, told[0].severity), (RuleKind::Cpu, severity));
    }
}

#[test]
fn what_a_person_resolved_opens_again_only_after_it_was_good() {
    let two = Rule {
        clears: 2,
        ..rule(RuleKind::Cpu)
    };
    let mut w = World::new(std::slice::from_ref(&two));
    let opened = w.poll(cpu(95)).remove(0);
    let resolve = |tenant, id| Control::Rule(RuleControl::Resolved(tenant, id));
    let unknown = alert_id(two.id, &opened.subject, Timestamp(0));
    let id: AlertId = opened.alert_id();
    for other in [resolve(TENANT, unknown), resolve(TenantId::new(), id)] {
        assert_eq!(w.control(&[other]), []);
    }
    let told = w.control(&[resolve(TENANT, id), resolve(TENANT, id)]);
    assert_eq!(short(&told), [Short::Ended(Resolution::Manual)]);
    assert_eq!(told[0].threshold_milli, None);
    for value in [95, 80, 95, 80] {
        assert_eq!(w.poll(cpu(value)), []);
    }
    assert!(w.judged()[0].latched);
    assert_eq!(w.poll(cpu(79)), []);
    assert_eq!(w.judged(), []);
    assert_eq!(short(&w.poll(cpu(95))), [Short::Opened(95_000)]);
    // A rule that is disabled forgets the latch.
    let id = w.devices.judged()[0]
        .1
        .open
        .map(|(at, _)| alert_id(two.id, &opened.subject, at));
    w.control(&[resolve(TENANT, id.unwrap())]);
    let disabled = Rule {
        enabled: false,
        ..two.clone()
    };
    assert_eq!(w.control(&[put(&disabled), put(&two)]), []);
    assert_eq!(short(&w.poll(cpu(95))), [Short::Opened(95_000)]);
}

#[test]
fn whoever_goes_on_from_records_tells_the_same() {
    let three = Rule {
        hits: 3,
        clears: 2,
        ..rule(RuleKind::Cpu)
    };
    let own = Rule {
        scope: Scope::Device(DEVICE),
        ..three.clone()
    };
    let own = Rule {
        id: RuleId::new(),
        hits: 2,
        ..own
    };
    let rules = [three, own];
    let values = [95, 95, 70, 95, 95, 95, 85, 70, 95, 70, 70, 95];
    let run = |restarts: bool| {
        let mut w = World::new(&rules);
        let mut told = Vec::new();
        for (n, value) in values.into_iter().enumerate() {
            let mut changes = w.poll(cpu(value));
            changes.sort_by_key(|change| change.rule);
            told.extend(changes);
            if n == 4 {
                let id = told[0].alert_id();
                told.extend(w.control(&[Control::Rule(RuleControl::Resolved(TENANT, id))]));
            }
            if restarts {
                w = w.restarted(&rules, &[standing(DEVICE)]);
            }
        }
        told
    };
    let told = run(false);
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(run(true), told);
}
