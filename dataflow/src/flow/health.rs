//! The health stage: counts of places and maintenance windows in, their states, past and history out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mast_schemas::Epoch;
use mast_schemas::views::{Counts, Place};
use mast_state::messages::{IncidentInput, PlaceControl, RuleControl};
use mast_state::rules::PlaceFact;
use mast_state::{HealthOut, Places, give_back};
use timely::dataflow::operators::vec::Map;

use crate::flow::places::CountDiff;
use crate::flow::types::{
    Collection, Concatenate, Exchange, Scope, StageBuilder, Stream, Time, updates,
};
use crate::numbers::{Numbers, PlaceNumber};
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

/// What a change of core sites and windows says to places.
pub(crate) fn of_policy(input: IncidentInput) -> Option<PlaceControl> {
    match input {
        IncidentInput::Window(window) => Some(PlaceControl::Window(window)),
        IncidentInput::WindowGone { tenant, id } => Some(PlaceControl::WindowGone(tenant, id)),
        _ => None,
    }
}

/// What a change of rules says to places.
pub(crate) fn of_rules(control: RuleControl) -> Option<PlaceControl> {
    match control {
        RuleControl::Sector {
            tenant,
            sector,
            site,
        } => Some(PlaceControl::Sector(tenant, sector, site)),
        _ => None,
    }
}

/// What the stage reads.
#[derive(Clone, Debug)]
enum HealthMessage {
    Control(PlaceControl),
    Counts(Changed),
    Sum(Fact),
}

/// Builds the stage; `counts` may live anywhere, `sums` are on the places' workers, `control` on all. Tells the counts on the
/// way, since they come together here, and hands the sums on.
pub(crate) fn health<'s>(
    scope: Scope<'s, Time>,
    control: Stream<'s, PlaceControl>,
    counts: Collection<'s, (PlaceNumber, CountDiff)>,
    sums: Stream<'s, Fact>,
    (restored_at, state): (Epoch, Rc<RefCell<Places>>),
    names: Numbers,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, Fact> {
    let changed = updates(counts, move |(place, diff), _, change| {
        let place = names.read().place(place);
        place.map(|place| (place, (change > 0).then(|| Counts::from(diff))))
    });
    let changed = changed.exchange(|(place, _): &Changed| place_route(place));
    let input = scope.concatenate([
        control.map(HealthMessage::Control),
        changed.map(HealthMessage::Counts),
        sums.map(HealthMessage::Sum),
    ]);
    let mut stage = StageBuilder::new("health", scope, input);
    let (port, facts) = stage.port();
    let timers = state.clone();
    let mut out = HealthOut::default();
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, messages, (to_rules,)| {
            let (mut control, mut changed, mut sums) = (Vec::new(), Vec::new(), Vec::new());
            for message in messages {
                match message {
                    HealthMessage::Control(said) => control.push(said),
                    HealthMessage::Counts(change) => changed.push(change),
                    HealthMessage::Sum(sum) => sums.push(sum),
                }
            }
            let changes = settled(changed);
            let counts = changes.iter();
            let mut facts: Vec<Fact> = counts
                .map(|(place, row)| (*place, PlaceFact::Counts(*row)))
                .collect();
            facts.extend(&sums);
            let (state, outputs) = (&mut state.borrow_mut(), &mut outputs.borrow_mut());
            if slot == 0 {
                state.begin(control, changes, sums, &mut out);
                facts.extend(past_facts(&out));
                emit(restored_at, &mut out, outputs);
                to_rules.send(slot, &mut facts);
                return;
            }
            let epoch = Epoch(slot);
            let counts = changes.iter().map(|(place, row)| (epoch, *place, *row));
            outputs.counts.extend(counts);
            state.slot(epoch, control, changes, sums, &mut out);
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
    // Every place has a row at each tick.
    give_back(&mut out.views);
    give_back(&mut out.events);
    give_back(&mut out.past);
    give_back(&mut out.history);
}
