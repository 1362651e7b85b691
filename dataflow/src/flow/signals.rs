//! What is added up for sites, sectors and tenants: signals, noise, traffic and degrading clients.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use mast_schemas::Epoch;
use mast_state::rules::PlaceFact;
use mast_state::{Measure, PlaceSums};

use crate::flow::health::Fact;
use crate::flow::standing::PlaceChange;
use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::{Numbers, PlaceNumber};
use crate::outputs::Outputs;

/// Builds the stage: adds up, and tells what changed, also to the rules. `input` is exchanged by place already.
pub(crate) fn signals<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, PlaceChange>,
    names: Numbers,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, Fact> {
    let mut stage = StageBuilder::new("signals", scope, input);
    let (port, facts) = stage.port();
    // Boxed: they are large, and tables have places to spare.
    let mut places: HashMap<PlaceNumber, Box<PlaceSums>> = HashMap::new();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, changes, (to_rules,)| {
            let mut facts = Vec::new();
            // Whether the signals changed, the number of degrading clients, and the rest.
            let mut changed: BTreeMap<PlaceNumber, [bool; 3]> = BTreeMap::new();
            for (place, measure, n) in changes {
                places.entry(place).or_default().add(measure, n);
                let what = match measure {
                    Measure::Signal(_) => 0,
                    Measure::Degrading => 1,
                    _ => 2,
                };
                changed.entry(place).or_default()[what] = true;
            }
            let (outputs, names, epoch) = (&mut outputs.borrow_mut(), names.read(), Epoch(slot));
            for (number, [signals, degrading, air]) in changed {
                let Some(sums) = places.get(&number) else {
                    continue;
                };
                if let Some(place) = names.place(number) {
                    if signals {
                        facts.push((place, PlaceFact::Signals(sums.signals())));
                        outputs.signals.push((epoch, place, sums.signals()));
                    }
                    if degrading {
                        facts.push((place, PlaceFact::Degrading(sums.degrading())));
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
