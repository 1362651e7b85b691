//! Pairing: who owns an address, and so which device is at the far end of a link. Two stages, because links come after remote
//! radios, and these after claims; see [`mast_state::pairing`].

use std::cell::RefCell;
use std::rc::Rc;

use mast_schemas::{DeviceId, LinkId};
use mast_state::give_back;
use mast_state::pairing::{
    Address, AddressClaim, ClientLink, FarEnds, Owners, OwnersOut, RemoteRadio,
};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Map;

use crate::flow::bssids::BssidMessage;
use crate::flow::types::{Concatenate, Exchange, Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Names, Numbers, PlaceNumber};

/// What devices say of addresses.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum AddressMessage {
    /// A claim came or went.
    Claim(AddressClaim),
    /// A remote radio was reported, or is no longer.
    Radio(RemoteRadio),
}

impl AddressMessage {
    const fn address(&self) -> Address {
        match self {
            Self::Claim(claim) => claim.address,
            Self::Radio(radio) => radio.address,
        }
    }
}

/// What links say of their clients.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum PairMessage {
    /// A link came or went.
    Link(ClientLink, bool),
    /// An address has another owner, or another one who would own it.
    Touched(Address),
}

/// What comes of claims.
pub(crate) struct OwnerStreams<'s> {
    /// To the BSSIDs.
    pub(crate) bssids: Stream<'s, BssidMessage>,
    /// To the far ends, on the workers of the addresses already.
    pub(crate) touched: Stream<'s, Address>,
}

fn ids(names: &Names) -> impl Fn(u32) -> DeviceId {
    |number| names.device(DeviceNumber(number))
}

/// First stage: the owner of each claimed address. The BSSID stage learns at a slot's end who owns the addresses of remote
/// radios, and every address that changed hands in the slot, for a radio that is first shown in it.
pub(crate) fn owners<'s>(
    scope: Scope<'s, Time>,
    said: Stream<'s, AddressMessage>,
    state: Rc<RefCell<Owners>>,
    names: Numbers,
) -> OwnerStreams<'s> {
    let input = said.exchange(|message: &AddressMessage| message.address().route());
    let mut stage = StageBuilder::new("owners", scope, input);
    let (bssids_port, bssids) = stage.port();
    let (touched_port, touched) = stage.port();
    let mut out = OwnersOut::default();
    stage.build(
        move |c| (bssids_port.open(c), touched_port.open(c)),
        || None,
        move |slot, messages, (to_bssids, to_far_ends)| {
            let (state, names) = (&mut state.borrow_mut(), &names.read());
            for message in messages {
                match message {
                    AddressMessage::Claim(claim) => state.claim(&claim, ids(names)),
                    AddressMessage::Radio(radio) => state.radio(&radio),
                }
            }
            state.end_slot(slot, ids(names), &mut out);
            // What a restored state tells in slot 0 was so before.
            let changed = out.changed.drain(..).filter(|_| slot > 0);
            let mut messages: Vec<_> = changed
                .map(|(radio, owner, has)| {
                    let (tenant, owner) = (tenant(names, radio), ids(names)(owner));
                    BssidMessage::OwnerChanged(tenant, radio.mac.into(), owner, has)
                })
                .collect();
            messages.extend(out.remote.drain(..).map(|(radio, owner, has)| {
                let (tenant, owner) = (tenant(names, radio), ids(names)(owner));
                BssidMessage::Owner(tenant, radio.mac.into(), owner, has)
            }));
            to_bssids.send(slot, &mut messages);
            to_far_ends.send(slot, &mut out.touched);
            give_back(&mut out.changed);
        },
    );
    OwnerStreams { bssids, touched }
}

fn tenant(names: &Names, address: Address) -> mast_schemas::TenantId {
    names.tenant(PlaceNumber(address.tenant))
}

/// Second stage: changes of the device at the far end of a link, which is the owner of its address, its own access point left
/// out. True = got it. `links` may be anywhere.
pub(crate) fn far_ends<'s>(
    scope: Scope<'s, Time>,
    links: Stream<'s, (ClientLink, bool)>,
    touched: Stream<'s, Address>,
    owners: Rc<RefCell<Owners>>,
    names: Numbers,
) -> Stream<'s, (LinkId, DeviceNumber, bool)> {
    let links = links
        .exchange(|(link, _): &(ClientLink, bool)| link.client.route())
        .map(|(link, came)| PairMessage::Link(link, came));
    let input = scope.concatenate([links, touched.map(PairMessage::Touched)]);
    let mut stage = StageBuilder::new("far ends", scope, input);
    let (port, far_ends) = stage.port();
    let mut state = FarEnds::default();
    let (mut touched, mut out) = (Vec::new(), Vec::new());
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, messages, (to_views,)| {
            for message in messages {
                match message {
                    PairMessage::Link(link, came) => state.link(link, came, &mut out),
                    PairMessage::Touched(address) => touched.push(address),
                }
            }
            let names = &names.read();
            let owners = &mut owners.borrow_mut();
            state.end_slot(slot, &touched, (owners, ids(names)), &mut out);
            touched.clear();
            let told = out.drain(..).map(|(link, device, is)| {
                let link = LinkId {
                    tenant_id: tenant(names, link.client),
                    ap_device_id: names.device(DeviceNumber(link.ap)),
                    radio_mac: link.radio.into(),
                    mac: link.client.mac.into(),
                };
                (link, DeviceNumber(device), is)
            });
            to_views.send(slot, &mut told.collect());
            give_back(&mut out);
        },
    );
    far_ends
}
