//! Signals of sites, sectors and tenants: histograms that follow their access points.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hashbrown::HashMap;
use mast_schemas::Epoch;
use mast_state::SignalBins;

use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Names, PlaceNumber, Standing};
use crate::outputs::Outputs;

/// What the first half reads.
#[derive(Clone, Debug)]
pub(crate) enum SignalMessage {
    /// Control: where an access point stands; `None` = it is deleted.
    Standing(DeviceNumber, Option<Standing>),
    /// A change of an access point's histogram: (access point, dBm, ±count).
    Bins(DeviceNumber, i16, i32),
}

/// Where devices stand, and the histograms of those that have clients.
#[derive(Default)]
struct Histograms {
    /// By number. Most devices have no clients, so theirs must be small.
    standings: Vec<Standing>,
    bins: HashMap<DeviceNumber, BTreeMap<i16, i32>>,
    /// The slot's changes: (place, dBm, ±count).
    changes: Vec<(PlaceNumber, i16, i32)>,
}

const NOWHERE: Standing = [PlaceNumber::NONE; 3];

impl Histograms {
    fn add(&mut self, standing: Standing, dbm: i16, n: i32) {
        self.changes.extend(
            standing
                .into_iter()
                .filter(|place| *place != PlaceNumber::NONE)
                .map(|place| (place, dbm, n)),
        );
    }

    fn stand(&mut self, device: DeviceNumber, new: Option<Standing>) {
        let i = device.0 as usize;
        if self.standings.len() <= i {
            self.standings.resize(i + 1, NOWHERE);
        }
        let new = new.unwrap_or(NOWHERE);
        let old = std::mem::replace(&mut self.standings[i], new);
        for (dbm, n) in self.bins.get(&device).cloned().unwrap_or_default() {
            self.add(old, dbm, -n);
            self.add(new, dbm, n);
        }
    }

    fn change(&mut self, device: DeviceNumber, dbm: i16, n: i32) {
        let bins = self.bins.entry(device).or_default();
        let count = bins.entry(dbm).or_default();
        *count += n;
        if *count == 0 {
            bins.remove(&dbm);
            if bins.is_empty() {
                self.bins.remove(&device);
            }
        }
        let standing = self.standings.get(device.0 as usize);
        self.add(standing.copied().unwrap_or(NOWHERE), dbm, n);
    }

    /// The slot's changes, each (place, dBm) once.
    fn take(&mut self) -> Vec<(PlaceNumber, i16, i32)> {
        self.changes
            .sort_unstable_by_key(|(place, dbm, _)| (*place, *dbm));
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

/// First half, beside the links: gives each change to the places of its access point, and moves a whole histogram when the
/// access point moves.
pub(crate) fn by_place<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, SignalMessage>,
) -> Stream<'s, (PlaceNumber, i16, i32)> {
    let mut stage = StageBuilder::new("signals by place", scope, input);
    let (port, changes) = stage.port();
    let mut histograms = Histograms::default();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, messages, (to_places,)| {
            for message in messages {
                match message {
                    SignalMessage::Standing(device, new) => histograms.stand(device, new),
                    SignalMessage::Bins(device, dbm, n) => histograms.change(device, dbm, n),
                }
            }
            to_places.send(slot, &mut histograms.take());
        },
    );
    changes
}

/// Second half, by place: adds up and tells what changed. `input` is exchanged by place already.
pub(crate) fn signals<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, (PlaceNumber, i16, i32)>,
    names: Rc<RefCell<Names>>,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, ()> {
    let mut stage = StageBuilder::new("signals", scope, input);
    let (port, done) = stage.port();
    let mut places: HashMap<PlaceNumber, SignalBins> = HashMap::new();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, changes, _ports| {
            let mut changed = BTreeSet::new();
            for (place, dbm, n) in changes {
                places.entry(place).or_default().add(dbm, n);
                changed.insert(place);
            }
            let outputs = &mut outputs.borrow_mut();
            for number in changed {
                let signals = places.get(&number).and_then(SignalBins::signals);
                if signals.is_none() {
                    places.remove(&number);
                }
                let place = names.borrow().place(number);
                outputs
                    .signals
                    .extend(place.map(|place| (Epoch(slot), place, signals)));
            }
        },
    );
    done
}
