//! The device stage: polls in, statuses, claims, tables and station rows out.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::views::DeviceState;
use mast_schemas::{Epoch, TenantId};
use mast_state::messages::{
    AddressChange, ApInput, Control, DeviceControl, DeviceOut, IncidentInput, RoamEvent,
    RuleChange, RuleControl, Verdict,
};
use mast_state::pairing::{Address, AddressClaim, RemoteRadio};
use mast_state::{Devices, Measure, Reported, Reporters};

use crate::decode::{Columns, Rows};
use crate::flow::bssids::BssidMessage;
use crate::flow::pairing::AddressMessage;
use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Names, Numbers};
use crate::outputs::{Message, Outputs};

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum DeviceMessage {
    /// Control, for the begin of the slot, and its place in the order of that.
    Control(u32, DeviceControl),
    /// What control says of rules, likewise.
    Rule(u32, RuleControl),
    /// A telemetry record.
    Telemetry(Message),
}

/// What comes out, by who needs it.
pub(crate) struct DeviceStreams<'s> {
    /// To the links of the same device.
    pub(crate) links: Stream<'s, ApInput>,
    /// To the clients.
    pub(crate) roaming: Stream<'s, RoamEvent>,
    /// To the BSSIDs.
    pub(crate) bssids: Stream<'s, BssidMessage>,
    /// What they say of addresses.
    pub(crate) claims: Stream<'s, AddressMessage>,
    /// States that devices came into (1) and left (-1).
    pub(crate) states: Stream<'s, (DeviceNumber, DeviceState, i8)>,
    /// Changes of what devices say of clients.
    pub(crate) addresses: Stream<'s, AddressChange>,
    /// Changes of what devices add to their places.
    pub(crate) air: Stream<'s, (DeviceNumber, Measure, i64)>,
    /// Changes of alerts.
    pub(crate) rules: Stream<'s, RuleChange>,
    /// Devices that began or ceased to be offline or failing.
    pub(crate) conditions: Stream<'s, IncidentInput>,
}

/// Polls whose devices are looked for together: what their steps read fits a core's cache.
const TOGETHER: usize = 256;

/// Builds the stage on `state`, whose restored part is told in slot 0 by `restored`.
pub(crate) fn devices<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, DeviceMessage>,
    state: Rc<RefCell<Devices>>,
    names: Numbers,
    (restored_at, restored): (Epoch, DeviceOut),
    outputs: Rc<RefCell<Outputs>>,
) -> DeviceStreams<'s> {
    let mut stage = StageBuilder::new("devices", scope, input);
    let (links_port, links) = stage.port();
    let (roaming_port, roaming) = stage.port();
    let (bssids_port, bssids) = stage.port();
    let (claims_port, claims) = stage.port();
    let (states_port, states) = stage.port();
    let (air_port, air) = stage.port();
    let (addresses_port, addresses) = stage.port();
    let (rules_port, rules) = stage.port();
    let (conditions_port, conditions) = stage.port();
    let timers = state.clone();
    let mut out = restored;
    let mut reporters = Reporters::default();
    let open = move |c: &[_]| {
        (
            links_port.open(c),
            roaming_port.open(c),
            bssids_port.open(c),
            claims_port.open(c),
            states_port.open(c),
            air_port.open(c),
            addresses_port.open(c),
            rules_port.open(c),
            conditions_port.open(c),
        )
    };
    stage.build(
        open,
        move || timers.borrow().next_timer(),
        move |slot,
              messages,
              (
            to_links,
            to_roaming,
            to_bssids,
            to_claims,
            to_states,
            to_air,
            to_addresses,
            to_rules,
            to_conditions,
        )| {
            if slot > 0 {
                let history = run_slot(
                    &mut state.borrow_mut(),
                    Epoch(slot),
                    messages,
                    &mut out,
                    &outputs,
                );
                outputs.borrow_mut().history.extend(history);
            } else {
                let (control, _) = by_kind(messages);
                state
                    .borrow_mut()
                    .begin_slot(restored_at.end(), &control, &mut out);
            }
            let state = &state.borrow();
            let changed = out.states.iter().map(|(device, ..)| *device);
            let reported = reporters.slot(&out.radios, changed, |device| state.state(device));
            let names = &names.read();
            to_links.send(slot, &mut link_messages(&mut out));
            to_roaming.send(slot, &mut out.roam);
            to_states.send(slot, &mut state_changes(&mut out, names));
            to_claims.send(slot, &mut said_of_addresses(&mut out, names));
            let numbered = |(device, measure, n)| (names.number(&device), measure, n);
            to_addresses.send(slot, &mut out.addresses);
            to_rules.send(slot, &mut out.rules);
            let conditions = out.conditions.drain(..).map(IncidentInput::Condition);
            to_conditions.send(slot, &mut conditions.collect());
            to_air.send(slot, &mut out.air.drain(..).map(numbered).collect());
            to_bssids.send(slot, &mut bssid_messages(&mut out, reported));
            emit(slot, &mut out, &mut outputs.borrow_mut());
            out.give_back();
        },
    );
    DeviceStreams {
        links,
        roaming,
        bssids,
        claims,
        states,
        air,
        addresses,
        rules,
        conditions,
    }
}

/// Runs one slot: control, polls in their order, timers. Returns the messages for the lake.
fn run_slot(
    state: &mut Devices,
    slot: Epoch,
    messages: Vec<DeviceMessage>,
    out: &mut DeviceOut,
    outputs: &Rc<RefCell<Outputs>>,
) -> Vec<(Epoch, Message, Vec<Verdict>)> {
    let (control, mut telemetry) = by_kind(messages);
    // Decided by place in the log, not by the order of arrival.
    telemetry.sort_by_key(|m| (m.partition, m.offset));
    state.begin_slot(slot.end() - mast_schemas::time::SLOT, &control, out);

    let mut decoded = Vec::with_capacity(telemetry.len());
    for message in telemetry {
        match Columns::decode(&message.header, &message.body) {
            Ok(Some(columns)) => decoded.push((message, columns)),
            Ok(None) => {}
            Err(e) => outputs
                .borrow_mut()
                .poison
                .push((slot, message, e.to_string())),
        }
    }
    let mut rows: Vec<Option<Rows<'_>>> = Vec::with_capacity(decoded.len());
    for (message, columns) in &decoded {
        match columns.rows() {
            Ok(r) => rows.push(Some(r)),
            Err(e) => {
                outputs
                    .borrow_mut()
                    .poison
                    .push((slot, message.clone(), e.to_string()));
                rows.push(None);
            }
        }
    }
    let mut order: Vec<_> = rows
        .iter()
        .enumerate()
        .filter_map(|(m, r)| r.as_ref().map(|r| (m, r)))
        .flat_map(|(m, r)| (0..r.len()).map(move |p| (r.order(p), m, p)))
        .collect();
    order.sort_unstable();
    let mut verdicts: Vec<Vec<Verdict>> = rows
        .iter()
        .map(|r| vec![Verdict::UnknownDevice; r.as_ref().map_or(0, Rows::len)])
        .collect();
    let mut found = Vec::with_capacity(TOGETHER);
    for order in order.chunks(TOGETHER) {
        state.find(order.iter().map(|((_, device, _), ..)| *device), &mut found);
        for (&(_, m, p), found) in order.iter().zip(&found) {
            if let Some(rows) = &rows[m] {
                verdicts[m][p] = state.poll_found(*found, &rows.poll(p), out);
            }
        }
    }
    state.end_slot(slot.end(), out);
    drop(rows);
    decoded
        .into_iter()
        .zip(verdicts)
        .filter(|(_, v)| !v.is_empty())
        .map(|((m, _), v)| (slot, m, v))
        .collect()
}

fn by_kind(messages: Vec<DeviceMessage>) -> (Vec<Control>, Vec<Message>) {
    let (mut control, mut telemetry) = (Vec::new(), Vec::new());
    for message in messages {
        match message {
            DeviceMessage::Control(order, c) => control.push((order, Control::Device(c))),
            DeviceMessage::Rule(order, c) => control.push((order, Control::Rule(c))),
            DeviceMessage::Telemetry(m) => telemetry.push(m),
        }
    }
    control.sort_by_key(|(order, _)| *order);
    let control = control.into_iter().map(|(_, c)| c).collect();
    (control, telemetry)
}

fn link_messages(out: &mut DeviceOut) -> Vec<ApInput> {
    let statuses = out.statuses.drain(..).map(ApInput::Status);
    statuses
        .chain(out.tables.drain(..).map(ApInput::Table))
        .collect()
}

fn bssid_messages(out: &mut DeviceOut, reported: Vec<Reported>) -> Vec<BssidMessage> {
    let radios = out.radios.drain(..).map(BssidMessage::Radio);
    let stations = out.stations.drain(..).map(BssidMessage::Station);
    let reported = reported
        .into_iter()
        .map(|(tenant, radio, device, unobserved)| {
            BssidMessage::Reporter(tenant, radio, device, unobserved)
        });
    radios
        .chain(stations)
        .chain(out.remote.drain(..).map(BssidMessage::Remote))
        .chain(reported)
        .collect()
}

fn state_changes(out: &mut DeviceOut, names: &Names) -> Vec<(DeviceNumber, DeviceState, i8)> {
    let mut changes = Vec::new();
    for (device, old, new) in out.states.drain(..) {
        let device = names.number(&device);
        changes.extend(old.map(|state| (device, state, -1)));
        changes.extend(new.map(|state| (device, state, 1)));
    }
    changes
}

fn address(names: &Names, tenant: TenantId, mac: mast_schemas::Mac) -> Address {
    Address {
        tenant: names.tenant_number(tenant).0,
        mac: mac.into(),
    }
}

fn said_of_addresses(out: &mut DeviceOut, names: &Names) -> Vec<AddressMessage> {
    let claims = out.claims.drain(..).map(|claim| {
        AddressMessage::Claim(AddressClaim {
            address: address(names, claim.tenant, claim.mac),
            device: names.number(&claim.device).0,
            since: claim.first_seen,
            came: claim.diff > 0,
        })
    });
    let remote = out.radios.iter().filter(|radio| radio.remote);
    let radios = remote.map(|radio| {
        AddressMessage::Radio(RemoteRadio {
            address: address(names, radio.tenant, radio.radio),
            more: radio.known,
        })
    });
    claims.chain(radios).collect()
}

fn emit(slot: Time, out: &mut DeviceOut, outputs: &mut Outputs) {
    let epoch = Epoch(slot);
    outputs.devices.extend(
        out.views
            .drain(..)
            .map(|(device, _, new)| (epoch, device, new)),
    );
    outputs
        .device_events
        .extend(out.events.drain(..).map(|e| (epoch, e)));
    outputs.device_gauges.append(&mut out.gauges);
    outputs.interface_rates.append(&mut out.rates);
}
