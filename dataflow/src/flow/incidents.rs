//! The incident stage: raw alerts and what they depend on in, alerts and incidents as people see them out. The last stage.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::{Epoch, TenantId};
use mast_state::messages::IncidentInput;
use mast_state::{IncidentOut, Incidents, give_back};

use crate::control::DeviceDiff;
use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::Names;
use crate::outputs::Outputs;

/// Which worker keeps a tenant's alerts.
pub(crate) fn tenant_route(tenant: TenantId) -> u64 {
    mast_schemas::partition::mix(tenant.as_bytes())
}

/// What a change of a device says to the tenants that have it and had it.
pub(crate) fn of_device(diff: &DeviceDiff, names: &Names) -> Vec<IncidentInput> {
    let device = diff.control.device;
    let info = diff.control.info.as_ref();
    let old = diff.old.map(|standing| {
        let [tenant, ..] = names.standing(standing);
        names.tenant(tenant)
    });
    let left = old.filter(|old| info.is_none_or(|info| info.tenant != *old));
    let left = left.map(|tenant| IncidentInput::Device {
        tenant,
        device,
        info: None,
    });
    let came = info.map(|info| IncidentInput::Device {
        tenant: info.tenant,
        device,
        info: Some(info.clone()),
    });
    left.into_iter().chain(came).collect()
}

/// Builds the stage; `input` is on the tenants' workers already.
pub(crate) fn incidents<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, IncidentInput>,
    (restored_at, state): (Epoch, Rc<RefCell<Incidents>>),
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, ()> {
    let mut stage = StageBuilder::new("incidents", scope, input);
    let (port, done) = stage.port();
    let timers = state.clone();
    let mut out = IncidentOut::default();
    stage.build(
        move |c| (port.open(c),),
        move || timers.borrow().next_timer(),
        move |slot, inputs, _ports| {
            let epoch = Epoch(slot);
            let (state, outputs) = (&mut state.borrow_mut(), &mut outputs.borrow_mut());
            for input in inputs {
                if let IncidentInput::Rule(change) = &input {
                    outputs
                        .alert_events
                        .extend(change.event().map(|e| (epoch, e)));
                }
                state.apply(input, &mut out);
            }
            // What was restored was told before.
            let now = if slot == 0 { restored_at } else { epoch };
            state.end_slot(now.end(), &mut out);
            let alerts = out.alerts.drain(..);
            outputs
                .alerts
                .extend(alerts.map(|(id, row)| (epoch, id, row)));
            let incidents = out.incidents.drain(..);
            outputs
                .incidents
                .extend(incidents.map(|(id, row)| (epoch, id, row)));
            let events = out.events.drain(..);
            outputs
                .incident_events
                .extend(events.map(|event| (epoch, event)));
            // The first polls under many rules open more alerts at once than ever after.
            give_back(&mut out.alerts);
            give_back(&mut out.incidents);
            give_back(&mut out.events);
        },
    );
    done
}
