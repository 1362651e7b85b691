//! The view stage: links with the device at their far end, as readers see them.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::views::LinkState;
use mast_schemas::{DeviceId, Epoch, LinkId};
use mast_state::Forgetting;
use mast_state::messages::LinkCore;

use crate::flow::types::{Collection, Scope, StageBuilder, Stream, Time};
use crate::outputs::Outputs;

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum ViewMessage {
    /// A link changed; `None` = forgotten.
    Link(LinkId, Option<LinkCore>),
    /// The far end lost (false) or got (true) a device.
    FarEnd(LinkId, DeviceId, bool),
}

/// A link as counts see it: state, and whether it is unobserved.
pub(crate) type Counted = (LinkState, bool);

/// Builds the stage; `input` is on the access points' workers already. Returns the visible links, by access point.
pub(crate) fn visible<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, ViewMessage>,
    state: Rc<RefCell<Forgetting>>,
    restored_at: Epoch,
    outputs: Rc<RefCell<Outputs>>,
) -> Collection<'s, (DeviceId, Counted)> {
    use differential_dataflow::AsCollection;

    let mut stage = StageBuilder::new("visible", scope, input);
    let (port, counted) = stage.port();
    let timers = state.clone();
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, mut messages, (to_counts,)| {
            let now = if slot == 0 { restored_at } else { Epoch(slot) };
            let state = &mut state.borrow_mut();
            // A far end that is lost is told before one that is won, so that what holds is said last.
            messages.sort_by_key(|m| match m {
                ViewMessage::Link(..) => 0,
                ViewMessage::FarEnd(.., false) => 1,
                ViewMessage::FarEnd(.., true) => 2,
            });
            for message in messages {
                match message {
                    ViewMessage::Link(link, core) => state.link(link, core),
                    ViewMessage::FarEnd(link, device, gained) => state.far_end(link, device, gained),
                }
            }
            let mut updates = Vec::new();
            let outputs = &mut outputs.borrow_mut();
            for (link, old, new) in state.end_slot(now.end()) {
                let count = |v: &mast_schemas::views::LinkView| (v.state, v.unobserved);
                let (before, after) = (old.as_ref().map(count), new.as_ref().map(count));
                if before != after {
                    updates.extend(before.map(|c| ((link.ap_device_id, c), slot, -1)));
                    updates.extend(after.map(|c| ((link.ap_device_id, c), slot, 1)));
                }
                outputs.links.push((Epoch(slot), link, new));
            }
            to_counts.send(slot, &mut updates);
        },
    );
    counted.as_collection()
}
