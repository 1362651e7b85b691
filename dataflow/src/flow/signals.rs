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

#[derive(Default)]
struct ApBins {
    standing: Option<Standing>,
    bins: BTreeMap<i16, i32>,
}

/// First half, beside the links: gives each change to the places of its access point, and moves a whole histogram when the
/// access point moves.
pub(crate) fn by_place<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, SignalMessage>,
) -> Stream<'s, (Place, i16, i32)> {
    let mut stage = StageBuilder::new("signals by place", scope, input);
    let (port, changes) = stage.port();
    let mut aps: HashMap<DeviceId, ApBins> = HashMap::new();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, messages, (to_places,)| {
            let mut out: BTreeMap<(Place, i16), i32> = BTreeMap::new();
            let mut add = |standing: Option<Standing>, dbm: i16, n: i32| {
                for place in standing.into_iter().flat_map(places_of) {
                    *out.entry((place, dbm)).or_default() += n;
                }
            };
            for message in messages {
                match message {
                    SignalMessage::Control(control) => {
                        let ap = aps.entry(control.device).or_default();
                        let standing = control.info.map(|i| (i.tenant, i.site, i.sector));
                        for (&dbm, &n) in &ap.bins {
                            add(ap.standing, dbm, -n);
                            add(standing, dbm, n);
                        }
                        ap.standing = standing;
                        if standing.is_none() && ap.bins.is_empty() {
                            aps.remove(&control.device);
                        }
                    }
                    SignalMessage::Bins(device, dbm, n) => {
                        let ap = aps.entry(device).or_default();
                        let count = ap.bins.entry(dbm).or_default();
                        *count += n;
                        if *count == 0 {
                            ap.bins.remove(&dbm);
                        }
                        add(ap.standing, dbm, n);
                    }
                }
            }
            let mut changes = out
                .into_iter()
                .filter(|(_, n)| *n != 0)
                .map(|((p, d), n)| (p, d, n))
                .collect();
            to_places.send(slot, &mut changes);
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
