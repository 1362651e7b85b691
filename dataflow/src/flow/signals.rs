//! What is added up for sites, sectors and tenants: signals, noise and traffic that follow their devices.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use mast_schemas::Epoch;
use mast_state::rules::PlaceFact;
use mast_state::{Measure, PlaceSums};

use crate::flow::health::Fact;
use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Names, PlaceNumber, Standing};
use crate::outputs::Outputs;

/// What the first half reads.
#[derive(Clone, Debug)]
pub(crate) enum SignalMessage {
    /// Control: where a device stands; `None` = it is deleted.
    Standing(DeviceNumber, Option<Standing>),
    /// A change of what a device adds.
    Sum(DeviceNumber, Measure, i64),
}

/// A change of a place's sum.
pub(crate) type PlaceChange = (PlaceNumber, Measure, i64);

/// Where devices stand, and the sums of those that have clients.
#[derive(Default)]
struct Sums {
    /// By number. Most devices have no clients, so theirs must be small.
    standings: Vec<Standing>,
    sums: HashMap<DeviceNumber, BTreeMap<Measure, i64>>,
    /// The slot's changes.
    changes: Vec<PlaceChange>,
}

const NOWHERE: Standing = [PlaceNumber::NONE; 3];

impl Sums {
    fn add(&mut self, standing: Standing, measure: Measure, n: i64) {
        self.changes.extend(
            standing
                .into_iter()
                .filter(|place| *place != PlaceNumber::NONE)
                .map(|place| (place, measure, n)),
        );
    }

    fn stand(&mut self, device: DeviceNumber, new: Option<Standing>) {
        let i = device.0 as usize;
        if self.standings.len() <= i {
            self.standings.resize(i + 1, NOWHERE);
        }
        let new = new.unwrap_or(NOWHERE);
        let old = std::mem::replace(&mut self.standings[i], new);
        for (measure, n) in self.sums.get(&device).cloned().unwrap_or_default() {
            self.add(old, measure, -n);
            self.add(new, measure, n);
        }
    }

    fn change(&mut self, device: DeviceNumber, measure: Measure, n: i64) {
        let sums = self.sums.entry(device).or_default();
        let sum = sums.entry(measure).or_default();
        *sum += n;
        if *sum == 0 {
            sums.remove(&measure);
            if sums.is_empty() {
                self.sums.remove(&device);
            }
        }
        let standing = self.standings.get(device.0 as usize);
        self.add(standing.copied().unwrap_or(NOWHERE), measure, n);
    }

    /// The slot's changes, each (place, measure) once.
    fn take(&mut self) -> Vec<PlaceChange> {
        self.changes
            .sort_unstable_by_key(|(place, measure, _)| (*place, *measure));
        let same = self.changes.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let sums = same.map(|same| {
            let sum = same.iter().map(|change| change.2).sum();
            (same[0].0, same[0].1, sum)
        });
        let sums = sums.filter(|(_, _, n)| *n != 0).collect();
        self.changes.clear();
        sums
    }
}

/// First half, beside the links: gives each change to the places of its device, and moves all of its sums when the device moves.
pub(crate) fn by_place<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, SignalMessage>,
) -> Stream<'s, PlaceChange> {
    let mut stage = StageBuilder::new("signals by place", scope, input);
    let (port, changes) = stage.port();
    let mut sums = Sums::default();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, messages, (to_places,)| {
            for message in messages {
                match message {
                    SignalMessage::Standing(device, new) => sums.stand(device, new),
                    SignalMessage::Sum(device, measure, n) => sums.change(device, measure, n),
                }
            }
            to_places.send(slot, &mut sums.take());
        },
    );
    changes
}

/// Second half, by place: adds up and tells what changed, also to the rules. `input` is exchanged by place already.
pub(crate) fn signals<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, PlaceChange>,
    names: Rc<RefCell<Names>>,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, Fact> {
    let mut stage = StageBuilder::new("signals", scope, input);
    let (port, facts) = stage.port();
    let mut places: HashMap<PlaceNumber, PlaceSums> = HashMap::new();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, changes, (to_rules,)| {
            let mut facts = Vec::new();
            // Whether the signals changed, and whether the rest did.
            let mut changed: BTreeMap<PlaceNumber, (bool, bool)> = BTreeMap::new();
            for (place, measure, n) in changes {
                places.entry(place).or_default().add(measure, n);
                let (signals, air) = changed.entry(place).or_default();
                *if matches!(measure, Measure::Signal(_)) {
                    signals
                } else {
                    air
                } = true;
            }
            let (outputs, names, epoch) = (&mut outputs.borrow_mut(), names.borrow(), Epoch(slot));
            for (number, (signals, air)) in changed {
                let Some(sums) = places.get(&number) else {
                    continue;
                };
                if let Some(place) = names.place(number) {
                    if signals {
                        facts.push((place, PlaceFact::Signals(sums.signals())));
                        outputs.signals.push((epoch, place, sums.signals()));
                    }
                    if air {
                        facts.push((place, PlaceFact::Air(sums.air())));
                        outputs.air.push((epoch, place, sums.air()));
                    }
                }
                if sums.is_empty() {
                    places.remove(&number);
                }
            }
            to_rules.send(slot, &mut facts);
        },
    );
    facts
}
