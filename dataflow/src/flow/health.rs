//! The health stage: counts of places in, their states, past and history out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mast_schemas::Epoch;
use mast_schemas::views::{Counts, Place};
use mast_state::rules::PlaceFact;
use mast_state::{HealthOut, Places};

use crate::flow::places::CountDiff;
use crate::flow::types::{Collection, Exchange, Scope, StageBuilder, Stream, Time, updates};
use crate::numbers::{Names, PlaceNumber};
use crate::outputs::Outputs;

/// A place's counts: as they are now, or `None` as they no longer are.
type Changed = (Place, Option<Counts>);

/// Which worker keeps a place.
pub(crate) fn place_route(place: &Place) -> u64 {
    id_route(&place.id().0)
}

/// Which worker keeps the place with this id.
pub(crate) fn id_route(id: &uuid::Uuid) -> u64 {
    mast_schemas::partition::mix(id.as_bytes())
}

/// What is so of a place from now on, for its rules.
pub(crate) type Fact = (Place, PlaceFact);

/// Builds the stage; `counts` may live anywhere. Tells the counts on the way, since they come together here.
pub(crate) fn health<'s>(
    scope: Scope<'s, Time>,
    counts: Collection<'s, (PlaceNumber, CountDiff)>,
    (restored_at, state): (Epoch, Rc<RefCell<Places>>),
    names: Rc<RefCell<Names>>,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, Fact> {
    let changed = updates(counts, move |(place, diff), _, change| {
        let place = names.borrow().place(place);
        place.map(|place| (place, (change > 0).then(|| Counts::from(diff))))
    });
    let input = changed.exchange(|(place, _): &Changed| place_route(place));
    let mut stage = StageBuilder::new("health", scope, input);
    let (port, facts) = stage.port();
    let timers = state.clone();
    let mut out = HealthOut::default();
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, changed, (to_rules,)| {
            let changes = settled(changed);
            let counts = changes.iter();
            let mut facts: Vec<Fact> = counts
                .map(|(place, row)| (*place, PlaceFact::Counts(*row)))
                .collect();
            let (state, outputs) = (&mut state.borrow_mut(), &mut outputs.borrow_mut());
            if slot == 0 {
                state.begin(changes, &mut out);
                facts.extend(past_facts(&out));
                emit(restored_at, &mut out, outputs);
                to_rules.send(slot, &mut facts);
                return;
            }
            let epoch = Epoch(slot);
            let counts = changes.iter().map(|(place, row)| (epoch, *place, *row));
            outputs.counts.extend(counts);
            state.slot(epoch, changes, &mut out);
            facts.extend(past_facts(&out));
            emit(epoch, &mut out, outputs);
            to_rules.send(slot, &mut facts);
        },
    );
    facts
}

fn past_facts(out: &HealthOut) -> impl Iterator<Item = Fact> {
    let past = out.past.iter();
    past.map(|(place, past)| {
        let hour_ago = past.and_then(|past| past.hour_ago);
        (*place, PlaceFact::HourAgo(hour_ago))
    })
}

/// Of a place's two changes in a slot, the one that holds.
fn settled(changed: Vec<Changed>) -> BTreeMap<Place, Option<Counts>> {
    let mut settled = BTreeMap::new();
    for (place, counts) in changed {
        let row = settled.entry(place).or_insert(None);
        if counts.is_some() {
            *row = counts;
        }
    }
    settled
}

fn emit(epoch: Epoch, out: &mut HealthOut, outputs: &mut Outputs) {
    let views = out.views.drain(..);
    outputs
        .health
        .extend(views.map(|(place, row)| (epoch, place, row)));
    let events = out.events.drain(..);
    outputs
        .health_events
        .extend(events.map(|event| (epoch, event)));
    let past = out.past.drain(..);
    outputs
        .past_clients
        .extend(past.map(|(place, row)| (epoch, place, row)));
    let history = out.history.drain(..);
    outputs
        .health_history
        .extend(history.map(|row| (epoch, row)));
}
