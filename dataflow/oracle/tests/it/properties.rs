//! Laws over random fleets.

use std::collections::BTreeSet;

use mast_oracle::script::{SlotInput, days, random};
use mast_oracle::{Events, Oracle, laws, maintenance_laws, place_laws, rule_laws};
use mast_schemas::alerts::RuleKind;
use mast_schemas::checkpoint::RoamRecord;
use mast_schemas::thresholds::DEFAULT;
use proptest::prelude::*;

fn fold(oracle: &mut Oracle, slots: &[SlotInput]) {
    for slot in slots {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
    }
}

fn folded(slots: &[SlotInput]) -> (Oracle, Events) {
    let mut oracle = Oracle::new(DEFAULT);
    fold(&mut oracle, slots);
    let events = oracle.take_events();
    (oracle, events)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_laws_hold_after_every_slot(seed: u64) {
        let mut oracle = Oracle::new(DEFAULT);
        for slot in random(seed, 5) {
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
            let (views, records) = (oracle.views(), oracle.records());
            prop_assert_eq!(laws(&views), vec![]);
            prop_assert_eq!(place_laws(&views, &records.control), vec![]);
            prop_assert_eq!(rule_laws(&views, &records.rules, &records.control), vec![]);
            let at = slot.last.end();
            let breaches = maintenance_laws(&views, &records.windows, &records.control, at);
            prop_assert_eq!(breaches, vec![]);
        }
    }

    #[test]
    fn order_within_a_slot_and_duplicates_change_nothing(seed: u64, salt: u64) {
        let slots = random(seed, 5);
        let (oracle, events) = folded(&slots);
        let mut shuffled = slots;
        let mut seen = Vec::new();
        for (i, slot) in shuffled.iter_mut().enumerate() {
            let turn = salt as usize % slot.polls.len().max(1);
            slot.polls.rotate_left(turn);
            if !slot.polls.is_empty() {
                seen.push(slot.polls[0].clone());
                slot.polls.push(slot.polls[turn].clone());
            }
            // A replay of long ago; it must have been bound before, since else it is no replay.
            if i % 7 == 3 && seen.len() > 1 {
                slot.polls.push(seen[salt as usize % (seen.len() - 1)].clone());
            }
            slot.polls.reverse();
        }
        let (again, same) = folded(&shuffled);
        prop_assert_eq!(oracle.views(), again.views());
        prop_assert_eq!(oracle.records(), again.records());
        prop_assert_eq!(events, same);
        prop_assert!(again.counters().replays >= oracle.counters().replays);
    }

    #[test]
    fn restored_from_its_records_it_goes_on_as_if_nothing_had_been(seed: u64, cut in 0.0..1.0f64) {
        let slots = random(seed, 5);
        let (early, late) = slots.split_at((slots.len() as f64 * cut) as usize);
        let (mut oracle, _) = folded(early);
        let mut restored = Oracle::restore(DEFAULT, oracle.records());
        if let Some(slot) = early.last() {
            restored.set_now(slot.last);
        }
        prop_assert_eq!(restored.views().without_air(), oracle.views().without_air());
        fold(&mut oracle, late);
        fold(&mut restored, late);
        prop_assert_eq!(restored.views().without_air(), oracle.views().without_air());
        let (a, b) = (restored.records(), oracle.records());
        prop_assert_eq!(a.devices, b.devices);
        prop_assert_eq!(a.roam, b.roam);
        prop_assert_eq!(a.aps, b.aps);
        prop_assert_eq!(a.caps, b.caps);
        prop_assert_eq!(a.bssids, b.bssids);
        prop_assert_eq!(a.health, b.health);
        prop_assert_eq!(a.judged, b.judged);
        prop_assert_eq!(a.throughput, b.throughput);
        prop_assert_eq!(a.trends, b.trends);
        prop_assert_eq!(a.alerts, b.alerts);
        prop_assert_eq!(a.incidents, b.incidents);
        prop_assert_eq!(restored.take_events(), oracle.take_events());
    }
}

#[test]
fn slots_closed_one_by_one_are_slots_closed_at_once() {
    for seed in 0..3 {
        let slots = random(seed, 4);
        let (oracle, events) = folded(&slots);
        let mut split = Oracle::new(DEFAULT);
        for slot in &slots {
            split.slot(slot.first, slot.first, &slot.control, slot.polls.clone());
            for n in (slot.first.0 + 1..=slot.last.0).step_by(3_000) {
                let last = mast_schemas::Epoch((n + 2_999).min(slot.last.0));
                split.slot(mast_schemas::Epoch(n), last, &[], Vec::new());
            }
        }
        assert_eq!(split.views(), oracle.views());
        assert_eq!(split.take_events(), events);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn weeks_of_trends_hold_the_laws_and_go_on_from_their_records(seed: u64, cut in 0.0..1.0f64) {
        let slots = days(seed);
        let (early, late) = slots.split_at((slots.len() as f64 * cut) as usize);
        let (mut oracle, _) = folded(early);
        let mut restored = Oracle::restore(DEFAULT, oracle.records());
        fold(&mut restored, late);
        for slot in late {
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
            prop_assert_eq!(laws(&oracle.views()), vec![]);
        }
        prop_assert_eq!(restored.views().without_air(), oracle.views().without_air());
        prop_assert_eq!(restored.records().trends, oracle.records().trends);
        prop_assert_eq!(restored.take_events(), oracle.take_events());
    }
}

/// What random scenarios make of alerts and trends, in words.
fn alert_words(events: &Events, told: &mut BTreeSet<String>) {
    for e in &events.alerts {
        let resolution = e.resolution.map_or("-", |r| r.as_str());
        told.insert(format!("{} {}", e.kind, e.change));
        told.insert(format!("{} {resolution}", e.change));
    }
    told.extend(
        events
            .incidents
            .iter()
            .map(|e| format!("incident {}", e.change)),
    );
    told.extend(events.trends.iter().map(|e| format!("trend {}", e.change)));
    told.extend(
        events
            .trends
            .iter()
            .map(|e| format!("trend of the {}", e.test)),
    );
}

#[test]
fn random_fleets_make_alerts_of_every_kind_and_end_them_in_every_way() {
    let mut told = BTreeSet::new();
    for seed in 0..40 {
        let mut oracle = Oracle::new(DEFAULT);
        for slot in random(seed, 6) {
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
            for alert in oracle.views().alerts.values() {
                let why = alert.suppressor.map_or("-", |s| s.as_str());
                told.insert(format!("{} {why}", alert.status));
                // Before it was settled for itself: with another one of its root.
                let early = slot.last.end() < alert.opened_at + DEFAULT.alert_settle;
                if early && alert.kind == RuleKind::Offline && alert.incident_id.is_some() {
                    told.insert("decided with another".to_owned());
                }
            }
        }
        alert_words(&oracle.take_events(), &mut told);
    }
    for seed in 0..6 {
        let (_, events) = folded(&days(seed));
        alert_words(&events, &mut told);
    }
    let kinds = RuleKind::ALL.iter();
    // The one takes an hour of ticks, the other a whole site at a tick; both have scenes of their own.
    let rare = ["throughput_drop", "site_down"];
    let kinds = kinds.filter(|kind| !rare.contains(&kind.as_str()));
    let kinds = kinds.map(|kind| format!("{kind} opened"));
    let wanted = "resolved cleared,resolved manual,resolved rule_disabled,resolved rule_deleted,resolved out_of_scope,\
        resolved subject_gone,waiting -,open -,suppressed maintenance,suppressed flapping,suppressed dependency,\
        decided with another,incident opened,incident escalated,incident resolved,incident merged,trend opened,trend recovered,\
        trend of the day,trend of the week";
    for word in kinds.chain(wanted.split(',').map(|w| w.trim().to_owned())) {
        assert!(told.contains(&word), "never: {word}\n{told:#?}");
    }
}

/// A generator that never makes some trouble would prove nothing about it.
#[test]
fn random_fleets_reach_every_state_and_reason() {
    let (mut told, mut devices, mut flags) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..40 {
        let mut oracle = Oracle::new(DEFAULT);
        for slot in random(seed, 6) {
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
            for link in oracle.views().links.values() {
                flags.insert((
                    link.unobserved,
                    link.ambiguous,
                    link.cpe_device_id.is_some(),
                ));
            }
            let others = |r: &RoamRecord| !r.others.is_empty();
            let records = oracle.records();
            told.extend(records.roam.iter().any(others).then(|| "others".to_owned()));
            let moved = records
                .caps
                .iter()
                .any(|c| !c.reporters.contains(&c.ap_device_id));
            told.extend(moved.then(|| "cap owned".to_owned()));
        }
        let events = oracle.take_events();
        let word = |s: Option<mast_schemas::views::LinkState>| s.map_or("-", |s| s.as_str());
        for e in &events.links {
            told.insert(format!(
                "{}>{} {}",
                word(e.from_state),
                word(e.to_state),
                e.reason
            ));
        }
        devices.extend(events.devices.iter().map(|e| (e.from_state, e.to_state)));
        let c = oracle.counters();
        let counted = [
            ("replays", c.replays),
            ("late", c.late),
            ("unknown", c.unknown_device),
            ("wrong tenant", c.wrong_tenant),
            ("disabled", c.disabled),
        ];
        told.extend(counted.iter().filter(|c| c.1 > 0).map(|c| c.0.to_owned()));
    }
    let wanted = "->discovered seen,->stale roamed,discovered>active confirmed,discovered>degraded signal,\
        discovered>active confirmed_by_station,discovered>stale roamed,discovered>down lost,\
        discovered>down ap_offline,active>degraded signal,active>degraded losses,active>down lost,\
        active>down ap_offline,active>stale roamed,degraded>active recovered,degraded>down lost,\
        degraded>down ap_offline,degraded>stale roamed,down>active returned,down>degraded signal,\
        down>degraded losses,down>stale expired,down>stale roamed,stale>discovered seen,stale>- forgotten,\
        active>- forgotten,down>- forgotten,others,cap owned,replays,late,\
        unknown,wrong tenant,disabled";
    for transition in wanted.split(',') {
        assert!(
            told.contains(transition.trim()),
            "never: {transition}\n{told:#?}"
        );
    }
    assert_eq!(flags.len(), 8, "{flags:?}");
    assert!(devices.len() >= 11, "{devices:?}");
}
