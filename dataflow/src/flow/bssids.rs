//! The BSSID stage: which access point has a radio, and where the tables of remote radios and the words of stations go.

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::{DeviceId, Epoch, Mac, TenantId};
use mast_state::messages::{ApInput, RadioKnown, RemoteTable, RoamEvent, Stamp, StationFact};
use mast_state::{BssidOut, Bssids};
use serde::{Deserialize, Serialize};

use crate::flow::types::{Scope, StageBuilder, Stream, Time};

/// What the stage reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum BssidMessage {
    /// A radio appeared or went.
    Radio(RadioKnown),
    /// A station's word.
    Station(StationFact),
    /// A remote radio's table.
    Remote(RemoteTable),
    /// Slot begin: who owned a remote radio's address when the slot began, for a radio first shown in it.
    OwnerAtBegin(TenantId, Mac, DeviceId),
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
            Self::OwnerAtBegin(tenant, radio, _)
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
            Self::OwnerAtBegin(_, _, device) => Stamp::begin(*device),
            Self::Owner(_, _, device, _) | Self::Reporter(_, _, device, _) => Stamp::end(*device),
        }
    }

    /// Of messages at one place, radios are made known before their tables, and tables come by rising BSSID. At the end,
    /// who loses an address comes before who gets it, so that what holds is said last.
    fn order(&self) -> (bool, Stamp, u8, Mac) {
        let kind = match self {
            Self::OwnerAtBegin(..) => 0,
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

/// What comes out, by who needs it.
pub(crate) struct BssidStreams<'s> {
    /// To links.
    pub(crate) links: Stream<'s, ApInput>,
    /// To clients.
    pub(crate) roaming: Stream<'s, RoamEvent>,
    /// Radios that belong to another access point from the slot's end on: the former one, and the radio.
    pub(crate) moved: Stream<'s, (DeviceId, Mac)>,
}

/// Builds the stage; `input` is exchanged by key already.
pub(crate) fn bssids<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, BssidMessage>,
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
        move |slot, mut messages, (to_links, to_roaming, to_moved)| {
            if messages.is_empty() {
                return;
            }
            let state = &mut state.borrow_mut();
            messages.sort_by_key(BssidMessage::order);
            for message in messages {
                match message {
                    BssidMessage::Radio(m) => state.radio(&m, &mut out),
                    BssidMessage::Station(m) => state.station(m, &mut out),
                    BssidMessage::Remote(m) => state.remote(m, &mut out),
                    BssidMessage::OwnerAtBegin(tenant, radio, owner) => {
                        state.owner_at_begin(tenant, radio, owner);
                    }
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
