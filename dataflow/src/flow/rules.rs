//! The stage of rules of places. Rules of devices are judged in the device stage, where polls are.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::Epoch;
use mast_state::messages::{RuleChange, RuleControl};
use mast_state::rules::PlaceRules;

use crate::flow::health::Fact;
use crate::flow::types::{Scope, StageBuilder, Stream, Time};

/// What the stage of places reads.
#[derive(Clone, Debug)]
pub(crate) enum PlaceMessage {
    /// Control, for the begin of the slot, and its place in the order of that.
    Control(u32, RuleControl),
    /// What is so of a place at the end of the slot.
    Fact(Fact),
}

/// Builds the stage; `input` is on the places' workers already, control on all.
pub(crate) fn places<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, PlaceMessage>,
    state: Rc<RefCell<PlaceRules>>,
) -> Stream<'s, RuleChange> {
    let mut stage = StageBuilder::new("rules of places", scope, input);
    let (port, changes) = stage.port();
    let timers = state.clone();
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, messages, (to_alerts,)| {
            let (mut control, mut facts) = (Vec::new(), Vec::new());
            for message in messages {
                match message {
                    PlaceMessage::Control(order, change) => control.push((order, change)),
                    PlaceMessage::Fact(fact) => facts.push(fact),
                }
            }
            control.sort_by_key(|(order, _)| *order);
            let control: Vec<_> = control.into_iter().map(|(_, change)| change).collect();
            let (state, mut out) = (&mut state.borrow_mut(), Vec::new());
            if slot == 0 {
                state.begin(&control, facts);
            } else {
                state.slot(Epoch(slot), &control, facts, &mut out);
            }
            to_alerts.send(slot, &mut out);
        },
    );
    changes
}
