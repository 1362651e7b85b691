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
            Self::Owner(tenant, radio, ..) | Self::Reporter(tenant, radio, ..) => (*tenant, *radio),
        }
    }

    /// Its place in the slot; what applies at the slot's end has none.
    fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Radio(m) => Some(m.stamp),
            Self::Station(m) => Some(m.stamp),
            Self::Remote(m) => Some(m.table.stamp),
            Self::Owner(..) | Self::Reporter(..) => None,
        }
    }

    /// Of messages at one place, radios are made known before their tables, and tables come by rising BSSID.
    fn order(&self) -> (Option<Stamp>, u8, Mac) {
        let kind = match self {
            Self::Radio(_) => 0,
            Self::Station(_) => 1,
            Self::Remote(_) => 2,
            // Who loses the address before who gets it, so that what holds is said last.
            Self::Owner(_, _, _, false) => 3,
            Self::Owner(..) => 4,
            Self::Reporter(..) => 5,
        };
        (self.stamp(), kind, self.key().1)
    }
}

/// Builds the stage; `input` is exchanged by key already. Returns messages to links and to clients.
pub(crate) fn bssids<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, BssidMessage>,
    state: Rc<RefCell<Bssids>>,
) -> (Stream<'s, ApInput>, Stream<'s, RoamEvent>) {
    let mut stage = StageBuilder::new("bssids", scope, input);
    let (links_port, links) = stage.port();
    let (roaming_port, roaming) = stage.port();
    let mut out = BssidOut::default();
    stage.build(
        move |c| (links_port.open(c), roaming_port.open(c)),
        || None,
        move |slot, mut messages, (to_links, to_roaming)| {
            if messages.is_empty() {
                return;
            }
            let state = &mut state.borrow_mut();
            messages.sort_by_key(BssidMessage::order);
            // Without a stamp = at the slot's end; `None` sorts first, so they are taken apart here.
            let (at_end, in_order): (Vec<_>, Vec<_>) = messages.into_iter().partition(|m| m.stamp().is_none());
            for message in in_order.into_iter().chain(at_end) {
                match message {
                    BssidMessage::Radio(m) => state.radio(&m, &mut out),
                    BssidMessage::Station(m) => state.station(m, &mut out),
                    BssidMessage::Remote(m) => state.remote(m, &mut out),
                    BssidMessage::Owner(tenant, radio, owner, gained) => {
                        state.owner(tenant, radio, gained.then_some(owner));
                    }
                    BssidMessage::Reporter(_, _, device, unobserved) => state.reporter(device, unobserved),
                }
            }
            state.end_slot(Epoch(slot).end(), &mut out);
            to_links.send(slot, &mut out.aps);
            to_roaming.send(slot, &mut out.roam);
        },
    );
    (links, roaming)
}
