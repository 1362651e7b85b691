//! Signals of sites, sectors and tenants: histograms that follow their access points.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hashbrown::HashMap;
use mast_schemas::views::Place;
use mast_schemas::{DeviceId, Epoch};
use mast_state::SignalBins;
use mast_state::messages::DeviceControl;

use crate::flow::places::{Standing, places_of};
use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::outputs::Outputs;

/// What the first half reads.
#[derive(Clone, Debug)]
pub(crate) enum SignalMessage {
    /// Control: where access points stand.
    Control(DeviceControl),
    /// A change of an access point's histogram: (access point, dBm, ±count).
    Bins(DeviceId, i16, i32),
}

/// A device's places, as numbers; `NOWHERE` where it has none. Most devices have no clients, so theirs must be small.
type Numbers = [u32; 3];

const NOWHERE: u32 = u32::MAX;

/// Where devices stand, and the histograms of those that have clients.
#[derive(Default)]
struct Histograms {
    places: Vec<Place>,
    numbers: HashMap<Place, u32>,
    standings: HashMap<DeviceId, Numbers>,
    bins: HashMap<DeviceId, BTreeMap<i16, i32>>,
    /// The slot's changes: (place, dBm, ±count).
    changes: Vec<(u32, i16, i32)>,
}

impl Histograms {
    fn number(&mut self, standing: Standing) -> Numbers {
        let mut numbers = [NOWHERE; 3];
        for (number, place) in numbers.iter_mut().zip(places_of(standing)) {
            *number = *self.numbers.entry(place).or_insert_with(|| {
                self.places.push(place);
                self.places.len() as u32 - 1
            });
        }
        numbers
    }

    fn add(&mut self, numbers: Numbers, dbm: i16, n: i32) {
        self.changes.extend(
            numbers
                .into_iter()
                .filter(|p| *p != NOWHERE)
                .map(|p| (p, dbm, n)),
        );
    }

    fn control(&mut self, control: DeviceControl) {
        let new = control
            .info
            .map(|i| self.number((i.tenant, i.site, i.sector)));
        let old = match new {
            Some(numbers) => self.standings.insert(control.device, numbers),
            None => self.standings.remove(&control.device),
        };
        for (dbm, n) in self.bins.get(&control.device).cloned().unwrap_or_default() {
            old.into_iter()
                .for_each(|numbers| self.add(numbers, dbm, -n));
            new.into_iter()
                .for_each(|numbers| self.add(numbers, dbm, n));
        }
    }

    fn change(&mut self, device: DeviceId, dbm: i16, n: i32) {
        let bins = self.bins.entry(device).or_default();
        let count = bins.entry(dbm).or_default();
        *count += n;
        if *count == 0 {
            bins.remove(&dbm);
            if bins.is_empty() {
                self.bins.remove(&device);
            }
        }
        if let Some(numbers) = self.standings.get(&device) {
            self.add(*numbers, dbm, n);
        }
    }

    /// The slot's changes, each (place, dBm) once.
    fn take(&mut self) -> Vec<(Place, i16, i32)> {
        self.changes
            .sort_unstable_by_key(|(place, dbm, _)| (*place, *dbm));
        let same = self.changes.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let sums = same.map(|same| {
            (
                same[0].0,
                same[0].1,
                same.iter().map(|change| change.2).sum(),
            )
        });
        let sums = sums
            .filter(|(_, _, n)| *n != 0)
            .map(|(place, dbm, n)| (self.places[place as usize], dbm, n))
            .collect();
        self.changes.clear();
        sums
    }
}

/// First half, beside the links: gives each change to the places of its access point, and moves a whole histogram when the
/// access point moves.
pub(crate) fn by_place<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, SignalMessage>,
) -> Stream<'s, (Place, i16, i32)> {
    let mut stage = StageBuilder::new("signals by place", scope, input);
    let (port, changes) = stage.port();
    let mut histograms = Histograms::default();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, messages, (to_places,)| {
            for message in messages {
                match message {
                    SignalMessage::Control(control) => histograms.control(control),
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
    input: Stream<'s, (Place, i16, i32)>,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, ()> {
    let mut stage = StageBuilder::new("signals", scope, input);
    let (port, done) = stage.port();
    let mut places: HashMap<Place, SignalBins> = HashMap::new();
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
            for place in changed {
                let signals = places.get(&place).and_then(SignalBins::signals);
                if signals.is_none() {
                    places.remove(&place);
                }
                outputs.signals.push((Epoch(slot), place, signals));
            }
        },
    );
    done
}
