//! Random scenarios: after each binding all views and events equal the oracle's.

use std::fmt::Write;

use mast_oracle::script::{SlotInput, device, few_departed, flipped, random};
use mast_oracle::{Events, Oracle, Views};
use mast_schemas::Mac;
use mast_schemas::thresholds::{DEFAULT, Thresholds};

use crate::fleet::Fleet;

/// The first difference, in words.
fn difference(ours: &(Views, Events), theirs: &(Views, Events)) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let mut text = String::new();
    macro_rules! maps {
        ($($field:ident),+) => {$(
            let (a, b) = (&ours.0.$field, &theirs.0.$field);
            for key in a.keys().chain(b.keys()).filter(|k| a.get(k) != b.get(k)).take(3) {
                let name = stringify!($field);
                writeln!(text, "{name} {key:?}\n ours   {:?}\n oracle {:?}", a.get(key), b.get(key)).unwrap();
            }
        )+};
    }
    maps!(devices, links, addresses, counts, signals);
    for event in ours
        .1
        .links
        .iter()
        .filter(|e| !theirs.1.links.contains(e))
        .take(3)
    {
        writeln!(text, "only ours {event:?}").unwrap();
    }
    for event in theirs
        .1
        .links
        .iter()
        .filter(|e| !ours.1.links.contains(e))
        .take(3)
    {
        writeln!(text, "only oracle {event:?}").unwrap();
    }
    if ours.1.devices != theirs.1.devices {
        writeln!(text, "{:?}\n{:?}", ours.1.devices, theirs.1.devices).unwrap();
    }
    Some(text)
}

fn run(
    script: &[SlotInput],
    (ours, theirs): (Thresholds, Thresholds),
    instances: impl Fn(usize) -> usize,
    restart: impl Fn(usize) -> bool,
) -> Result<(), String> {
    let mut fleet = Fleet::new(ours, instances(0));
    let mut oracle = Oracle::new(theirs).without_places();
    for (i, input) in script.iter().enumerate() {
        fleet.slots(input);
        oracle.slot(input.first, input.last, &input.control, input.polls.clone());
        let ours_now = (fleet.views(), fleet.take_events());
        // Alerts, incidents and trends are compared in the flow.
        let views = oracle.views().without_air().without_alerts();
        let theirs_now = (views, oracle.take_events().without_alerts());
        if let Some(text) = difference(&ours_now, &theirs_now) {
            let slots = (input.first, input.last);
            let seen = (input.control.iter().map(|c| &c.change)).collect::<Vec<_>>();
            return Err(format!("binding {i}, slots {slots:?}, {seen:?}\n{text}"));
        }
        if restart(i) {
            fleet = Fleet::restore(ours, instances(i), fleet.checkpoint());
            if fleet.views() != ours_now.0 {
                let text = difference(&(fleet.views(), ours_now.1.clone()), &ours_now);
                return Err(format!("restart after binding {i}\n{}", text.unwrap()));
            }
        }
    }
    Ok(())
}

/// A few seeds; `MAST_SEEDS=n` for many more, `MAST_SEEDS=a..b` for these.
fn seeds(from: u64, few: u64) -> std::ops::Range<u64> {
    let Ok(wished) = std::env::var("MAST_SEEDS") else {
        return from..from + few;
    };
    let number = |text: &str| text.parse::<u64>().unwrap();
    match wished.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => from..from + number(&wished),
    }
}

/// Runs each seed and fails with all that differ.
fn each(seeds: impl Iterator<Item = u64>, run: impl Fn(u64) -> Result<(), String>) {
    let failed = seeds.filter_map(|seed| Some((seed, run(seed).err()?)));
    let failed: Vec<_> = failed
        .map(|(seed, text)| format!("seed {seed}: {text}"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn views_and_events_equal_the_oracle() {
    each(seeds(0, 12), |seed| {
        let script = random(seed, 4 + seed as usize % 6);
        run(&script, (DEFAULT, DEFAULT), |_| 1, |_| false)
    });
}

/// Without claims on the radios of CAPs and with one controller no radio moves.
#[test]
fn remote_radios_that_do_not_move_equal_the_oracle() {
    each(seeds(400, 12), |seed| {
        let mut script = random(seed, 4 + seed as usize % 6);
        for whole in script.iter_mut().flat_map(|input| &mut input.polls) {
            let is_radio = |mac: &Mac| mac.0 >> 32 == 0xDC2C;
            whole
                .interfaces
                .retain(|i| !i.mac.as_ref().is_some_and(is_radio));
        }
        let second = device(2);
        for input in &mut script {
            input.polls.retain(|whole| whole.poll.device_id != second);
        }
        run(&script, (DEFAULT, DEFAULT), |i| 1 + i % 4, |i| i % 11 == 0)
    });
}

/// After a silence of the producer: what was observed in many slots is bound in one of the next.
#[test]
fn polls_that_are_bound_late_equal_the_oracle() {
    each(seeds(600, 8), |seed| {
        let mut script = random(seed, 4 + seed as usize % 6);
        for late in script.chunks_mut(if seed % 2 == 0 { 60 } else { 6 }) {
            let Some((last, before)) = late.split_last_mut() else {
                continue;
            };
            // Within a minute: over hours, timers of links and clients meet polls that lie before them.
            let begin = before.first().map(|first| first.first.0);
            if begin.is_some_and(|begin| begin + 240 > last.last.0) {
                let polls = before
                    .iter_mut()
                    .flat_map(|slot| std::mem::take(&mut slot.polls));
                last.polls.splice(0..0, polls.collect::<Vec<_>>());
            }
        }
        run(&script, (DEFAULT, DEFAULT), |i| 1 + i % 3, |_| false)
    });
}

#[test]
fn spreading_keys_over_instances_changes_nothing() {
    for (seed, n) in [(100, 2), (101, 4), (102, 3)] {
        let script = random(seed, 6);
        if let Err(text) = run(&script, (DEFAULT, DEFAULT), |_| n, |_| false) {
            panic!("seed {seed}: {text}");
        }
    }
}

#[test]
fn a_restart_from_records_changes_nothing() {
    each(seeds(200, 6), |seed| {
        let every = 3 + seed as usize % 7;
        run(
            &random(seed, 5),
            (DEFAULT, DEFAULT),
            |i| 1 + i % 4,
            |i| i % every == 0,
        )
    });
}

/// Each threshold moved: the comparison with an oracle that keeps the default must fail.
#[test]
fn each_threshold_decides_something() {
    for (name, ours) in flipped() {
        let decided = (300..312)
            .any(|seed| run(&random(seed, 6), (ours, DEFAULT), |_| 1, |_| false).is_err());
        assert!(decided, "{name} decides nothing in these scenarios");
    }
    let (few, more) = few_departed();
    let script = random(300, 6);
    run(&script, (few, few), |_| 1, |_| false).unwrap();
    for other in more {
        assert!(
            run(&script, (other, few), |_| 1, |_| false).is_err(),
            "{other:?}"
        );
    }
}
