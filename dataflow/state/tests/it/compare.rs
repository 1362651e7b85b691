//! Random scenarios: after each binding all views and events equal the oracle's.

use std::fmt::Write;

use mast_oracle::script::{SlotInput, random};
use mast_oracle::{Events, Oracle, Views};
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
    maps!(devices, links, counts, signals);
    for event in ours.1.links.iter().filter(|e| !theirs.1.links.contains(e)).take(3) {
        writeln!(text, "only ours {event:?}").unwrap();
    }
    for event in theirs.1.links.iter().filter(|e| !ours.1.links.contains(e)).take(3) {
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
    let mut oracle = Oracle::new(theirs);
    for (i, input) in script.iter().enumerate() {
        fleet.slots(input);
        oracle.slot(input.first, input.last, &input.control, fleet.polls(input));
        let ours_now = (fleet.views(), fleet.take_events());
        let theirs_now = (oracle.views(), oracle.take_events());
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

#[test]
fn views_and_events_equal_the_oracle() {
    for seed in 0..12 {
        let script = random(seed, 4 + seed as usize % 6);
        if let Err(text) = run(&script, (DEFAULT, DEFAULT), |_| 1, |_| false) {
            panic!("seed {seed}: {text}");
        }
    }
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
    for seed in 200..206 {
        let script = random(seed, 5);
        let every = 3 + seed as usize % 7;
        let run = run(&script, (DEFAULT, DEFAULT), |i| 1 + i % 4, |i| i % every == 0);
        if let Err(text) = run {
            panic!("seed {seed}: {text}");
        }
    }
}
