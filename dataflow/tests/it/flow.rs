//! The flow against the oracle: the same views after every slot, the same events, for any number of workers, grouping of
//! slots, size of messages and restarts.

use std::collections::BTreeSet;

use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::Snapshot;
use mast_oracle::{Oracle, script};
use mast_schemas::Mac;
use mast_schemas::alerts::{AlertChange, RuleKind};
use mast_schemas::control::Change;
use mast_schemas::thresholds::{DEFAULT, Thresholds};
use mast_schemas::views::{HealthEvent, HealthSample, HealthState, PlaceKind};
use proptest::prelude::*;

use crate::support::{Served, config, encode, oracle, restored, run, run_with};

/// Compares without printing whole fleets.
fn same<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    ours: &std::collections::BTreeMap<K, V>,
    truth: &std::collections::BTreeMap<K, V>,
) {
    for (key, row) in truth {
        assert_eq!(ours.get(key), Some(row), "{what} {key:?}");
    }
    for key in ours.keys() {
        assert!(
            truth.contains_key(key),
            "{what} {key:?} should not be there: {:?}",
            ours[key]
        );
    }
}

pub(crate) fn compare(at: &str, served: &Served, truth: &mast_oracle::Views) {
    same(
        &format!("{at}: device"),
        &served.views.devices,
        &truth.devices,
    );
    same(&format!("{at}: link"), &served.views.links, &truth.links);
    same(
        &format!("{at}: counts"),
        &served.views.counts,
        &truth.counts,
    );
    same(
        &format!("{at}: signals"),
        &served.views.signals,
        &truth.signals,
    );
    same(
        &format!("{at}: health"),
        &served.views.health,
        &truth.health,
    );
    same(
        &format!("{at}: address"),
        &served.views.addresses,
        &truth.addresses,
    );
    same(&format!("{at}: past"), &served.views.past, &truth.past);
    same(&format!("{at}: air"), &served.views.air, &truth.air);
    same(&format!("{at}: trend"), &served.views.trends, &truth.trends);
    same(&format!("{at}: alert"), &served.views.alerts, &truth.alerts);
    same(
        &format!("{at}: incident"),
        &served.views.incidents,
        &truth.incidents,
    );
}

/// Rates: of a flow and an oracle of which neither was restored.
pub(crate) fn compare_rates(at: &str, served: &Served, truth: &mast_oracle::Views) {
    same(&format!("{at}: rates"), &served.views.rates, &truth.rates);
}

/// The same transitions and history of places, in order of time.
fn compare_places(at: &str, served: &mut Served, events: &mut mast_oracle::Events) {
    let by_place = |e: &HealthEvent| (e.at, e.tenant_id, e.place_kind, e.place_id);
    served.health_events.sort_by_key(by_place);
    assert_eq!(served.health_events, events.health, "{at}");
    let by_place = |row: &HealthSample| (row.at, row.tenant_id, row.place_kind, row.place_id);
    served.history.sort_by_key(by_place);
    assert_eq!(served.history.len(), events.history.len(), "{at}");
    for (ours, truth) in served.history.iter().zip(&events.history) {
        assert_eq!(ours, truth, "{at}");
    }
}

#[test]
fn views_equal_the_oracle_after_every_slot() {
    let mut maintained = BTreeSet::new();
    for (seed, workers) in [(1, 1), (2, 2), (3, 4)] {
        let slots = script::random(seed, 6);
        let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
        let mut oracle = Oracle::new(DEFAULT);
        let mut served = Served::default();
        for (slot, input) in slots.iter().zip(encode(&slots, 3)) {
            engine.feed(input).unwrap();
            served.take(engine.outputs().unwrap());
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
            compare(
                &format!("seed {seed}, {workers} workers, slot {}", slot.last.0),
                &served,
                &oracle.views(),
            );
            compare_rates(&format!("seed {seed}"), &served, &oracle.views());
        }
        let mut events = oracle.take_events();
        compare_places(&format!("seed {seed}"), &mut served, &mut events);
        for event in &events.health {
            let maintenance = Some(HealthState::Maintenance);
            if event.to_state == maintenance {
                maintained.insert((event.place_kind, true));
            } else if event.from_state == maintenance && event.to_state.is_some() {
                maintained.insert((event.place_kind, false));
            }
        }
        same_events(&mut served.link_events, events.links, |e| {
            (e.at, e.event_id)
        });
        same_events(&mut served.device_events, events.devices, |e| {
            (e.at, e.event_id)
        });
        same_events(&mut served.alert_events, events.alerts, |e| {
            (e.at, e.event_id)
        });
        same_events(&mut served.incident_events, events.incidents, |e| {
            (e.at, e.event_id)
        });
    }
    let kinds = PlaceKind::ALL.iter();
    let all = kinds.flat_map(|kind| [(*kind, true), (*kind, false)]);
    assert_eq!(maintained, all.collect(), "into maintenance and out of it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn the_same_log_gives_the_same_outputs(
        seed in 0u64..1_000,
        workers in prop::sample::select(vec![1usize, 2, 4]),
        group in 1usize..40,
        per_message in 1usize..9,
    ) {
        let slots = script::random(seed, 5);
        let plain = run(&encode(&slots, 1), 1, 1);
        let other = run(&encode(&slots, per_message), workers, group);
        compare("grouped", &other, &plain.views);
        prop_assert_eq!(other.link_events, plain.link_events);
        prop_assert_eq!(other.device_events, plain.device_events);
        prop_assert_eq!(other.health_events, plain.health_events);
        prop_assert_eq!(other.history, plain.history);
        let (mut alerts, mut incidents) = (other.alert_events, other.incident_events);
        same_events(&mut alerts, plain.alert_events, |e| (e.at, e.event_id));
        same_events(&mut incidents, plain.incident_events, |e| (e.at, e.event_id));
    }

    #[test]
    fn a_restart_from_a_snapshot_changes_nothing(
        seed in 0u64..1_000,
        cut in 0.0f64..1.0,
        before in prop::sample::select(vec![1usize, 2, 4]),
        after in prop::sample::select(vec![1usize, 2, 4]),
    ) {
        let slots = script::random(seed, 5);
        let inputs = encode(&slots, 4);
        let cut = ((inputs.len() as f64) * cut) as usize;
        let whole = run(&inputs, 1, 7);

        let mut served = Served::default();
        let mut engine = Engine::start(config(before), Snapshot::default()).unwrap();
        inputs[..cut].iter().for_each(|i| engine.feed(i.clone()).unwrap());
        served.take(engine.outputs().unwrap());
        let snapshot = engine.snapshot().unwrap();
        drop(engine);
        let mut engine = Engine::start(config(after), snapshot.clone()).unwrap();
        inputs[cut..].iter().for_each(|i| engine.feed(i.clone()).unwrap());
        served.take(engine.outputs().unwrap());
        compare("restored", &served, &whole.views);
        prop_assert_eq!(&served.link_events, &whole.link_events);
        prop_assert_eq!(&served.device_events, &whole.device_events);
        prop_assert_eq!(&served.health_events, &whole.health_events);
        prop_assert_eq!(&served.history, &whole.history);
        let alerts = |served: &Served| {
            let ids = served.alert_events.iter().map(|e| (e.at, e.event_id));
            let incidents = served.incident_events.iter().map(|e| (e.at, e.event_id));
            ids.chain(incidents).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(alerts(&served), alerts(&whole));

        // The oracle goes on from the same snapshot, by its own code.
        let mut oracle = Oracle::restore(DEFAULT, restored(snapshot));
        for slot in &slots[cut..] {
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
        }
        compare("oracle restored", &served, &oracle.views());
    }
}

/// Seven weeks and more, in some thousands of slots: trends that open, close and are forgotten.
#[test]
fn weeks_of_trends_equal_the_oracle() {
    let mut kinds = BTreeSet::new();
    for (seed, workers) in [(1, 1), (2, 2), (3, 4)] {
        let slots = script::days(seed);
        let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
        let mut oracle = Oracle::new(DEFAULT);
        let mut served = Served::default();
        for (n, (slot, input)) in slots.iter().zip(encode(&slots, 3)).enumerate() {
            engine.feed(input).unwrap();
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
            // Rules count for two minutes after they are made.
            if n % 20 == 19 || !slot.control.is_empty() || n + 1 == slots.len() {
                served.take(engine.outputs().unwrap());
                let at = format!("seed {seed}, slot {}", slot.last.0);
                let truth = oracle.views();
                same(&format!("{at}: trend"), &served.views.trends, &truth.trends);
                same(&format!("{at}: alert"), &served.views.alerts, &truth.alerts);
            }
            // Now and then a restart, of both by the records of the flow.
            if n % 701 == 700 {
                served.take(engine.outputs().unwrap());
                let snapshot = engine.snapshot().unwrap();
                drop(engine);
                engine = Engine::start(config(1 + n % 4), snapshot.clone()).unwrap();
                let events = oracle.take_events();
                oracle = Oracle::restore(DEFAULT, restored(snapshot));
                same_words(&mut served, events, &mut kinds);
            }
        }
        let events = oracle.take_events();
        same_words(&mut served, events, &mut kinds);
    }
    assert!(kinds.contains(&RuleKind::SignalDegradation), "{kinds:?}");
}

/// The same events of trends, alerts and incidents since the last time. Notes of which kinds alerts opened.
fn same_words(served: &mut Served, events: mast_oracle::Events, opened: &mut BTreeSet<RuleKind>) {
    let openings = events.alerts.iter();
    let openings = openings.filter(|e| e.change == AlertChange::Opened);
    opened.extend(openings.map(|e| e.kind));
    same_events(&mut served.trend_events, events.trends, |e| {
        (e.at, e.event_id)
    });
    same_events(&mut served.alert_events, events.alerts, |e| {
        (e.at, e.event_id)
    });
    same_events(&mut served.incident_events, events.incidents, |e| {
        (e.at, e.event_id)
    });
}

/// The same events since the last time, in any order.
pub(crate) fn same_events<E: PartialEq + std::fmt::Debug, K: Ord>(
    ours: &mut Vec<E>,
    mut truth: Vec<E>,
    key: impl Fn(&E) -> K,
) {
    let mut ours = std::mem::take(ours);
    ours.sort_by_key(&key);
    truth.sort_by_key(&key);
    assert_eq!(ours.len(), truth.len());
    for (ours, truth) in ours.iter().zip(&truth) {
        assert_eq!(ours, truth);
    }
}

/// An address that several devices claim: the first to show it has it, its own access point is no far end, and who is left
/// inherits.
#[test]
fn the_far_end_is_the_first_that_shows_the_address_and_never_the_access_point() {
    let (client, mut script) = (script::mac(7), script::Script::new());
    for n in 1..=3 {
        script.device(script::at(0), n);
    }
    let ap = script::device(1);
    // The access point claims its client's address itself, and did so first.
    script.interfaces(ap, script::at(1), &[script::radio(ap), client]);
    let mut ends = Vec::new();
    let steps: [(i64, u32, &[Mac]); 5] = [
        (2, 3, &[client]),
        (3, 2, &[client]),
        (4, 3, &[]),
        (5, 2, &[]),
        (6, 3, &[client]),
    ];
    for (s, n, macs) in steps {
        script.ap_poll(ap, script::at(s), &[script::good(client, 100)]);
        script.interfaces(script::device(n), script::at(s), macs);
    }
    let slots = script.slots(script::at(8));
    for workers in [1, 2, 4] {
        let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
        let mut oracle = Oracle::new(DEFAULT);
        let mut served = Served::default();
        ends.clear();
        for (slot, input) in slots.iter().zip(encode(&slots, 1)) {
            engine.feed(input).unwrap();
            served.take(engine.outputs().unwrap());
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
            compare(&format!("{workers} workers"), &served, &oracle.views());
            ends.extend(served.views.links.values().map(|link| link.cpe_device_id));
        }
        ends.dedup();
        let (second, third) = (Some(script::device(2)), Some(script::device(3)));
        assert_eq!(ends, [third, second, None, third]);
    }
}

/// A remote radio whose owner goes and comes: to its controller and back before the next table, away in the slot in which it is
/// first shown, and with an access point that is deleted and made again.
#[test]
fn a_remote_radio_follows_its_owner_to_and_fro() {
    let (controller, ap) = (script::device(1), script::device(2));
    let (bssid, client) = (script::radio(ap), script::good(script::mac(7), 1_000));
    let shown = |script: &mut script::Script, s| {
        script.cap_poll(controller, script::at(s), bssid, &[client]);
    };
    let claims = |script: &mut script::Script, s, macs: &[Mac]| {
        script.interfaces(ap, script::at(s), macs);
    };
    let begun = || {
        let mut script = script::Script::new();
        script.device(script::at(0), 1);
        script.device(script::at(0), 2);
        claims(&mut script, 1, &[bssid]);
        script
    };
    let mut fro = begun();
    shown(&mut fro, 2);
    shown(&mut fro, 3);
    claims(&mut fro, 4, &[]);
    claims(&mut fro, 5, &[bssid]);
    shown(&mut fro, 6);
    let mut away = begun();
    shown(&mut away, 2);
    claims(&mut away, 2, &[]);
    shown(&mut away, 3);
    let mut anew = begun();
    shown(&mut anew, 2);
    anew.change(script::at(3), Change::DeviceDeleted { id: ap });
    anew.device(script::at(3), 2);
    claims(&mut anew, 3, &[bssid]);
    shown(&mut anew, 3);
    shown(&mut anew, 4);
    for (name, script, access_point) in [
        ("fro", fro, ap),
        ("away", away, controller),
        ("anew", anew, ap),
    ] {
        let slots = script.slots(script::at(8));
        for workers in [1, 2, 4] {
            let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
            let mut oracle = Oracle::new(DEFAULT);
            let mut served = Served::default();
            for (slot, input) in slots.iter().zip(encode(&slots, 1)) {
                engine.feed(input).unwrap();
                served.take(engine.outputs().unwrap());
                oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
                compare(
                    &format!("{name}, {workers} workers"),
                    &served,
                    &oracle.views(),
                );
            }
            let links: Vec<_> = served
                .views
                .links
                .keys()
                .map(|id| id.ap_device_id)
                .collect();
            assert_eq!(links, [access_point], "{name}");
            let breaches = mast_oracle::laws(&served.views);
            assert!(breaches.is_empty(), "{name}: {breaches:?}");
        }
    }
}

/// Each threshold moved in the oracle: the comparison with a flow that keeps its own must fail.
#[test]
fn each_threshold_decides_something() {
    let told = |seed: u64, thresholds: Thresholds| {
        let slots = script::random(seed, 6);
        let served = run_with(thresholds, &encode(&slots, 3), 1, 5);
        (slots, served)
    };
    let differs = |(slots, served): &(Vec<script::SlotInput>, Served), theirs: Thresholds| {
        let (oracle, mut events) = oracle(slots, theirs);
        let mut ours = served.link_events.clone();
        ours.sort_by_key(|e| (e.at, e.event_id));
        events.links.sort_by_key(|e| (e.at, e.event_id));
        let devices = events.devices.len() != served.device_events.len();
        let mut alerts = served.alert_events.clone();
        alerts.sort_by_key(|e| (e.at, e.event_id));
        events.alerts.sort_by_key(|e| (e.at, e.event_id));
        let mut incidents = served.incident_events.clone();
        incidents.sort_by_key(|e| (e.at, e.event_id));
        events.incidents.sort_by_key(|e| (e.at, e.event_id));
        let views = oracle.views() != served.views;
        let told = alerts != events.alerts || incidents != events.incidents;
        views || ours != events.links || devices || told
    };
    let mut flows = Vec::new();
    for (name, theirs) in script::flipped() {
        let decided = (300..312).zip(0..).any(|(seed, i)| {
            if flows.len() == i {
                flows.push(told(seed, DEFAULT));
            }
            differs(&flows[i], theirs)
        });
        assert!(decided, "{name} decides nothing in these scenarios");
    }
    assert!(!differs(&flows[0], DEFAULT));
    let (few, more) = script::few_departed();
    let flow = told(300, few);
    assert!(!differs(&flow, few));
    for theirs in more {
        assert!(differs(&flow, theirs), "{theirs:?}");
    }
}

/// The same of trends, over weeks.
#[test]
fn each_threshold_of_trends_decides_something() {
    let told = |seed: u64| {
        let slots = script::days(seed);
        let served = run(&encode(&slots, 3), 1, 50);
        (slots, served)
    };
    let differs = |(slots, served): &(Vec<script::SlotInput>, Served), theirs: Thresholds| {
        let (_, mut events) = oracle(slots, theirs);
        let mut ours = served.trend_events.clone();
        ours.sort_by_key(|e| (e.at, e.event_id));
        events.trends.sort_by_key(|e| (e.at, e.event_id));
        ours != events.trends
    };
    let mut flows = Vec::new();
    for (name, theirs) in script::flipped_trends() {
        // The second of them decides by how much has to be covered.
        let decided = [2, 1].into_iter().zip(0..).any(|(seed, i)| {
            if flows.len() == i {
                flows.push(told(seed));
            }
            differs(&flows[i], theirs)
        });
        assert!(decided, "{name} decides nothing in these scenarios");
    }
    assert!(!differs(&flows[0], DEFAULT));
}

/// After a producer's silence: what was observed in some slots is bound in one of the next.
#[test]
fn polls_that_are_bound_late_are_taken_as_the_oracle_takes_them() {
    for seed in 0..6 {
        let mut slots = script::random(seed, 8);
        for late in slots.chunks_mut(if seed % 2 == 0 { 60 } else { 6 }) {
            let Some((last, before)) = late.split_last_mut() else {
                continue;
            };
            // Within a minute: over hours, timers of links and clients meet polls that lie before them.
            if before
                .first()
                .is_some_and(|first| first.first.0 + 240 > last.last.0)
            {
                let polls = before
                    .iter_mut()
                    .flat_map(|slot| std::mem::take(&mut slot.polls));
                last.polls.splice(0..0, polls.collect::<Vec<_>>());
            }
        }
        let mut engine = Engine::start(config(2), Snapshot::default()).unwrap();
        let mut oracle = Oracle::new(DEFAULT);
        let mut served = Served::default();
        for (slot, input) in slots.iter().zip(encode(&slots, 3)) {
            engine.feed(input).unwrap();
            served.take(engine.outputs().unwrap());
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
            let at = format!("seed {seed}, slot {}", slot.last.0);
            compare(&at, &served, &oracle.views());
        }
        let events = oracle.take_events();
        assert_eq!(served.link_events.len(), events.links.len(), "seed {seed}");
    }
}
