//! The trend stage: pieces of access points' hours in, degrading clients out.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::time::SLOT;
use mast_schemas::{DeviceId, Epoch, TenantId};
use mast_state::messages::{Piece, TrendControl};
use mast_state::{TrendOut, Trends};

use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::outputs::Outputs;

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum TrendMessage {
    /// Control, for the begin of the slot: of the clients here, and of tenants.
    Control(TrendControl),
    /// What an access point says of a client.
    Piece(Piece),
}

/// A change of how many of a tenant's clients degrade at an access point.
pub(crate) type DegradingDiff = (TenantId, DeviceId, i64);

/// Builds the stage; `input` is exchanged by client already.
pub(crate) fn trends<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, TrendMessage>,
    state: Rc<RefCell<Trends>>,
    restored: TrendOut,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, DegradingDiff> {
    let mut stage = StageBuilder::new("trends", scope, input);
    let (port, degrading) = stage.port();
    let timers = state.clone();
    let mut out = restored;
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, messages, (to_places,)| {
            let epoch = Epoch(slot);
            if slot > 0 {
                run_slot(&mut state.borrow_mut(), epoch, messages, &mut out);
            }
            let changes = out.views.iter().flat_map(|(_, old, new)| {
                let old = old.map(|view| (view.tenant_id, view.ap_device_id, -1));
                let new = new.map(|view| (view.tenant_id, view.ap_device_id, 1));
                old.into_iter().chain(new)
            });
            to_places.send(slot, &mut changes.collect());
            let outputs = &mut outputs.borrow_mut();
            let views = out.views.drain(..);
            outputs
                .trends
                .extend(views.map(|(client, _, new)| (epoch, client, new)));
            let events = out.events.drain(..);
            outputs
                .trend_events
                .extend(events.map(|event| (epoch, event)));
        },
    );
    degrading
}

fn run_slot(state: &mut Trends, slot: Epoch, messages: Vec<TrendMessage>, out: &mut TrendOut) {
    let (mut control, mut pieces) = (Vec::new(), Vec::new());
    for message in messages {
        match message {
            TrendMessage::Control(change) => control.push(change),
            TrendMessage::Piece(piece) => pieces.push(piece),
        }
    }
    pieces.sort_unstable();
    state.begin_slot(slot.end() - SLOT, &control, out);
    pieces.iter().for_each(|piece| state.apply(piece));
    state.end_slot(slot.end(), out);
}
