//! The roaming stage: association changes in, verdicts to links out.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::Epoch;
use mast_state::Roaming;
use mast_state::messages::{RoamEvent, RoamVerdict};

use crate::flow::types::{Scope, StageBuilder, Stream, Time};

/// Builds the stage; `input` is exchanged by client already.
pub(crate) fn roaming<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, RoamEvent>,
    state: Rc<RefCell<Roaming>>,
) -> Stream<'s, RoamVerdict> {
    let mut stage = StageBuilder::new("roaming", scope, input);
    let (port, verdicts) = stage.port();
    let timers = state.clone();
    let mut out = Vec::new();
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, mut events, (to_links,)| {
            if slot == 0 {
                return;
            }
            let state = &mut state.borrow_mut();
            // Departures of a table come before its arrivals, so that a client moved between two radios of one access
            // point leaves before it arrives.
            events.sort_by_key(|e| (e.stamp, e.tenant, e.mac, e.association.radio, e.association.ap));
            for event in &events {
                state.apply(event, &mut out);
            }
            state.end_slot(Epoch(slot).end(), &mut out);
            to_links.send(slot, &mut out);
        },
    );
    verdicts
}
