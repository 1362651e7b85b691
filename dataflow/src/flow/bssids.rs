//! The BSSID stage: which access point has a radio, and where the tables of remote radios and the words of stations go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashSet;
use mast_schemas::{DeviceId, Epoch, Mac, TenantId};
use mast_state::messages::{
    ApInput, DeviceControl, RadioKnown, RemoteTable, RoamEvent, Stamp, StationFact,
};
use mast_state::{BssidOut, Bssids};
use serde::{Deserialize, Serialize};

use crate::flow::types::{Scope, StageBuilder, Stream, Time};

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum BssidInput {
    /// Control, whole and on every worker: nothing of a deleted access point is left, whoever its radios are.
    Control(DeviceControl),
    /// What concerns a radio, exchanged by it.
    Message(BssidMessage),
}

/// What concerns a radio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum BssidMessage {
    /// A radio appeared or went.
    Radio(RadioKnown),
    /// A station's word.
    Station(StationFact),
    /// A remote radio's table.
    Remote(RemoteTable),
    /// An address changed hands in the slot: who had it when the slot began (false), who has it at its end (true). Of all
    /// addresses, also those that are no remote radio's.
    OwnerChanged(TenantId, Mac, DeviceId, bool),
    /// Slot end: a device owns a remote radio's address from now on (true), or no longer.
    Owner(TenantId, Mac, DeviceId, bool),
    /// Slot end: whether a device that reports this remote radio is unobserved.
    Reporter(TenantId, Mac, DeviceId, bool),
}

impl BssidMessage {
    /// The key: tenant and BSSID.
    pub(crate) fn key(&self) -> (TenantId, Mac) {
        match self {
            Self::Radio(m) => (m.tenant, m.radio),
            Self::Station(m) => (m.tenant, m.radio),
            Self::Remote(m) => (m.table.tenant, m.table.radio),
            Self::OwnerChanged(tenant, radio, ..)
            | Self::Owner(tenant, radio, ..)
            | Self::Reporter(tenant, radio, ..) => (*tenant, *radio),
        }
    }

    /// Its place in the slot.
    fn stamp(&self) -> Stamp {
        match self {
            Self::Radio(m) => m.stamp,
            Self::Station(m) => m.stamp,
            Self::Remote(m) => m.table.stamp,
            Self::OwnerChanged(_, _, device, _)
            | Self::Owner(_, _, device, _)
            | Self::Reporter(_, _, device, _) => Stamp::end(*device),
        }
    }

    /// Of messages at one place, radios are made known before their tables, and tables come by rising BSSID. At the end,
    /// who loses an address comes before who gets it, so that what holds is said last.
    fn order(&self) -> (bool, Stamp, u8, Mac) {
        let kind = match self {
            Self::OwnerChanged(..) => 0,
            Self::Radio(_) => 1,
            Self::Station(_) => 2,
            Self::Remote(_) => 3,
            Self::Owner(..) => 4,
            Self::Reporter(..) => 5,
        };
        (
            matches!(self, Self::Owner(_, _, _, true)),
            self.stamp(),
            kind,
            self.key().1,
        )
    }
}

/// Who owned the addresses of the radios that are shown as remote in the slot when it began. Takes out what says so.
///
/// The trap avoided: telling it from when the claim was first seen. A poll may be bound long after it was observed.
fn owners_at_begin(messages: &mut Vec<BssidMessage>) -> BTreeMap<(TenantId, Mac), DeviceId> {
    let shown: HashSet<_> = messages
        .iter()
        .filter(|m| matches!(m, BssidMessage::Radio(radio) if radio.remote && radio.known))
        .map(BssidMessage::key)
        .collect();
    let (mut owners, mut had, mut got) = (BTreeMap::new(), BTreeMap::new(), HashSet::new());
    messages.retain(|message| {
        let key = message.key();
        match message {
            BssidMessage::Owner(.., owner, true) if shown.contains(&key) => {
                owners.insert(key, *owner);
            }
            BssidMessage::OwnerChanged(.., owner, false) if shown.contains(&key) => {
                had.insert(key, *owner);
            }
            BssidMessage::OwnerChanged(.., true) if shown.contains(&key) => {
                got.insert(key);
            }
            _ => {}
        }
        !matches!(message, BssidMessage::OwnerChanged(..))
    });
    // Unless it changed hands, who has it at the end had it at the begin.
    owners.retain(|key, _| !got.contains(key));
    owners.append(&mut had);
    owners
}

/// What comes out, by who needs it.
pub(crate) struct BssidStreams<'s> {
    /// To links.
    pub(crate) links: Stream<'s, ApInput>,
    /// To clients.
    pub(crate) roaming: Stream<'s, RoamEvent>,
    /// Radios that belong to another access point from the slot's end on: the former one, and the radio.
    pub(crate) moved: Stream<'s, (DeviceId, Mac)>,
}

/// Builds the stage; messages are exchanged by key already.
pub(crate) fn bssids<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, BssidInput>,
    state: Rc<RefCell<Bssids>>,
) -> BssidStreams<'s> {
    let mut stage = StageBuilder::new("bssids", scope, input);
    let (links_port, links) = stage.port();
    let (roaming_port, roaming) = stage.port();
    let (moved_port, moved) = stage.port();
    let mut out = BssidOut::default();
    stage.build(
        move |c| (links_port.open(c), roaming_port.open(c), moved_port.open(c)),
        || None,
        move |slot, inputs, (to_links, to_roaming, to_moved)| {
            if inputs.is_empty() {
                return;
            }
            let (mut control, mut messages) = (Vec::new(), Vec::new());
            for input in inputs {
                match input {
                    BssidInput::Control(c) => control.push(c),
                    BssidInput::Message(m) => messages.push(m),
                }
            }
            let state = &mut state.borrow_mut();
            // What a restored state tells in slot 0 was so before.
            if slot > 0 {
                state.begin_slot(&control);
            }
            for ((tenant, radio), owner) in owners_at_begin(&mut messages) {
                state.owner_at_begin(tenant, radio, owner);
            }
            messages.sort_by_key(BssidMessage::order);
            for message in messages {
                match message {
                    BssidMessage::Radio(m) => state.radio(&m, &mut out),
                    BssidMessage::Station(m) => state.station(m, &mut out),
                    BssidMessage::Remote(m) => state.remote(m, &mut out),
                    BssidMessage::OwnerChanged(..) => {}
                    BssidMessage::Owner(tenant, radio, owner, gained) => {
                        state.owner(tenant, radio, gained.then_some(owner));
                    }
                    BssidMessage::Reporter(_, _, device, unobserved) => {
                        state.reporter(device, unobserved);
                    }
                }
            }
            state.end_slot(Epoch(slot).end(), &mut out);
            to_links.send(slot, &mut out.aps);
            to_roaming.send(slot, &mut out.roam);
            to_moved.send(slot, &mut out.moved);
            // Remote radios and their reporters are known from the device stage.
            out.remote_radios.clear();
            out.reporters.clear();
        },
    );
    BssidStreams {
        links,
        roaming,
        moved,
    }
}
