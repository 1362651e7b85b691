//! The roaming stage: association changes in, verdicts to links out.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::time::SLOT;
use mast_schemas::{DeviceId, Epoch, Mac};
use mast_state::Roaming;
use mast_state::messages::{DeviceControl, RoamEvent, RoamVerdict};

use crate::flow::types::{Scope, StageBuilder, Stream, Time};

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum RoamMessage {
    /// Control, whole: a deleted access point drops its associations, whoever the clients are.
    Control(DeviceControl),
    /// An association changed.
    Event(RoamEvent),
    /// Slot end: a radio belongs to another access point now.
    Moved(DeviceId, Mac),
}

/// Builds the stage; events are exchanged by client already, the others are on every worker.
pub(crate) fn roaming<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, RoamMessage>,
    state: Rc<RefCell<Roaming>>,
) -> Stream<'s, RoamVerdict> {
    let mut stage = StageBuilder::new("roaming", scope, input);
    let (port, verdicts) = stage.port();
    let timers = state.clone();
    let mut out = Vec::new();
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, messages, (to_links,)| {
            if slot == 0 {
                return;
            }
            let (mut control, mut events, mut moved) = (Vec::new(), Vec::new(), Vec::new());
            for message in messages {
                match message {
                    RoamMessage::Control(c) => control.push(c),
                    RoamMessage::Event(e) => events.push(e),
                    RoamMessage::Moved(ap, radio) => moved.push((ap, radio)),
                }
            }
            let state = &mut state.borrow_mut();
            let end = Epoch(slot).end();
            state.begin_slot(end - SLOT, &control, &mut out);
            events.sort_by_key(|e| (e.order(), e.tenant, e.mac));
            events.iter().for_each(|event| state.apply(event, &mut out));
            moved.sort_unstable();
            moved
                .into_iter()
                .for_each(|(ap, radio)| state.radio_moved(ap, radio));
            state.end_slot(end, &mut out);
            to_links.send(slot, &mut out);
        },
    );
    verdicts
}
