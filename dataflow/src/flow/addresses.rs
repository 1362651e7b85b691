//! The addresses stage: what devices say of clients in, what holds for each client out.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::Epoch;
use mast_state::Addresses;
use mast_state::messages::AddressChange;

use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::outputs::Outputs;

/// Builds the stage; `input` is exchanged by tenant and MAC already. What it holds comes again from the devices in slot 0.
pub(crate) fn addresses<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, AddressChange>,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, ()> {
    let mut stage = StageBuilder::new("addresses", scope, input);
    let (port, done) = stage.port();
    let mut state = Addresses::default();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, changes, _ports| {
            changes.into_iter().for_each(|change| state.change(change));
            let changed = state.end_slot();
            // Restored ones were told before.
            if slot > 0 {
                let rows = changed.into_iter();
                let rows = rows.map(|(tenant, mac, row)| (Epoch(slot), (tenant, mac), row));
                outputs.borrow_mut().addresses.extend(rows);
            }
        },
    );
    done
}
