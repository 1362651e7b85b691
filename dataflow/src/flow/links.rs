//! The link stage: tables, verdicts, statuses and station words in, link changes out.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::time::SLOT;
use mast_schemas::{DeviceId, Epoch, LinkId, Mac};
use mast_state::messages::{ApInput, ApOut, DeviceControl, Piece, Stamp};
use mast_state::pairing::{Address, ClientLink};
use mast_state::{Aps, LinkChanges, give_back};

use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::flow::visible::ViewMessage;
use crate::numbers::{DeviceNumber, Names, Numbers};
use crate::outputs::Outputs;

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum LinkMessage {
    /// Control, for the begin of the slot.
    Control(DeviceControl),
    /// Something for an access point's links.
    Input(ApInput),
}

/// The links of a worker.
#[derive(Clone)]
pub(crate) struct Links {
    pub(crate) state: Rc<RefCell<Aps>>,
    /// Those that changed, which views take from there: both stages are of one worker.
    pub(crate) changes: Rc<RefCell<LinkChanges>>,
}

/// What comes out.
pub(crate) struct LinkStreams<'s> {
    /// That links changed in a slot.
    pub(crate) changes: Stream<'s, ViewMessage>,
    /// Links that came (true) or went.
    pub(crate) clients: Stream<'s, (ClientLink, bool)>,
    /// Changes of signal histograms, by access point.
    pub(crate) signals: Stream<'s, (DeviceNumber, i16, i32)>,
    /// To the trends of clients.
    pub(crate) pieces: Stream<'s, Piece>,
}

/// Builds the stage; `input` is on the access points' workers already.
pub(crate) fn links<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, LinkMessage>,
    links: Links,
    names: Numbers,
    (restored_at, restored): (Epoch, ApOut),
    outputs: Rc<RefCell<Outputs>>,
) -> LinkStreams<'s> {
    let mut stage = StageBuilder::new("links", scope, input);
    let (changes_port, changes) = stage.port();
    let (clients_port, clients) = stage.port();
    let (signals_port, signals) = stage.port();
    let (pieces_port, pieces) = stage.port();
    let timers = links.state.clone();
    let mut out = restored;
    stage.build(
        move |c| {
            (
                changes_port.open(c),
                clients_port.open(c),
                signals_port.open(c),
                pieces_port.open(c),
            )
        },
        move || timers.borrow().next_timer(),
        move |slot, messages, (to_changes, to_clients, to_signals, to_pieces)| {
            let state = &mut links.state.borrow_mut();
            if slot > 0 {
                run_slot(state, Epoch(slot), messages, &mut out);
            } else {
                state.begin_slot(restored_at.end(), &controls(&messages), &mut out);
            }
            to_clients.send(slot, &mut existence(&out, &names.read()));
            if !out.links.is_empty() {
                to_changes.send(slot, &mut vec![ViewMessage::Changed]);
                let changed = std::mem::take(&mut out.links);
                links.changes.borrow_mut().put(slot, changed);
            }
            let numbered = |(ap, dbm, n)| (names.read().number(&ap), dbm, n);
            to_signals.send(slot, &mut out.signals.drain(..).map(numbered).collect());
            to_pieces.send(slot, &mut out.pieces);
            let outputs = &mut outputs.borrow_mut();
            outputs
                .link_events
                .extend(out.events.drain(..).map(|e| (Epoch(slot), e)));
            outputs.link_gauges.append(&mut out.gauges);
            give_back(&mut out.events);
        },
    );
    LinkStreams {
        changes,
        clients,
        signals,
        pieces,
    }
}

fn run_slot(state: &mut Aps, slot: Epoch, messages: Vec<LinkMessage>, out: &mut ApOut) {
    let mut control = Vec::new();
    let mut inputs = Vec::with_capacity(messages.len());
    for message in messages {
        match message {
            LinkMessage::Control(c) => control.push(c),
            LinkMessage::Input(input) => inputs.push(input),
        }
    }
    inputs.sort_by_key(place);
    let at_end = inputs.partition_point(|input| !input.stamp().is_end());
    let mut at_end = inputs.split_off(at_end);
    state.begin_slot(slot.end() - SLOT, &control, out);
    inputs.into_iter().for_each(|input| state.apply(input, out));
    state.end_slot(slot.end(), &mut at_end, out);
}

/// Its place in the slot. Ties within one stamp touch different links or radios; this order makes all runs alike.
fn place(input: &ApInput) -> (Stamp, DeviceId, u8, Mac, Mac) {
    let (kind, radio, mac) = match input {
        ApInput::Status(_) => (0, Mac(0), Mac(0)),
        ApInput::Verdict(m) => (1, m.radio, m.mac),
        ApInput::Station { fact, .. } => (2, fact.radio, fact.mac),
        ApInput::Table(m) => (3, m.radio, Mac(0)),
        ApInput::RadioMoved { radio, .. } => (4, *radio, Mac(0)),
        ApInput::Reporter { radio, .. } => (5, *radio, Mac(0)),
    };
    (input.stamp(), input.ap(), kind, radio, mac)
}

fn controls(messages: &[LinkMessage]) -> Vec<DeviceControl> {
    let control = messages.iter().filter_map(|m| match m {
        LinkMessage::Control(c) => Some(c.clone()),
        LinkMessage::Input(_) => None,
    });
    control.collect()
}

/// Links that came and went.
fn existence(out: &ApOut, names: &Names) -> Vec<(ClientLink, bool)> {
    let changed = out
        .links
        .iter()
        .filter(|(_, old, new)| old.is_some() != new.is_some());
    let link = |id: &LinkId| ClientLink {
        client: Address {
            tenant: names.tenant_number(id.tenant_id).0,
            mac: id.mac.into(),
        },
        ap: names.number(&id.ap_device_id).0,
        radio: id.radio_mac.into(),
    };
    changed
        .map(|(id, _, new)| (link(id), new.is_some()))
        .collect()
}
