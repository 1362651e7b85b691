//! Pairing: who owns an address, and so which device is at the far end of a link. Relational, all differential.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use mast_schemas::views::DeviceState;
use mast_schemas::{LinkId, Timestamp};
use mast_state::Mac48;
use serde::{Deserialize, Serialize};

use crate::flow::bssids::BssidMessage;
use crate::flow::types::{Collection, Stream, Time, updates};
use crate::numbers::{DeviceNumber, Names, PlaceNumber};

/// An address within a tenant.
pub(crate) type Address = (PlaceNumber, Mac48);

/// An instant in two halves: eight bytes that ask for no alignment of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Instant(i32, u32);

impl From<Timestamp> for Instant {
    fn from(Timestamp(us): Timestamp) -> Self {
        Self((us >> 32) as i32, us as u32)
    }
}

#[cfg(test)]
impl From<Instant> for Timestamp {
    fn from(Instant(high, low): Instant) -> Self {
        Self(i64::from(high) << 32 | i64::from(low))
    }
}

/// A claim on an address: who has it since when.
pub(crate) type Claim = (Address, (Instant, DeviceNumber));

/// The first two claimants of an address: the owner with the begin of its claim, and who would own it if the owner were
/// left out.
pub(crate) type Owners = (Instant, DeviceNumber, DeviceNumber);

/// A link by its client: the client's address, (access point, radio).
pub(crate) type ClientLink = (Address, (DeviceNumber, Mac48));

/// Owners by address, arranged once for all that join them.
pub(crate) type OwnersByAddress<'s> =
    Arranged<'s, TraceAgent<ValSpine<Address, Owners, Time, isize>>>;

/// The owners of each claimed address: the least claims by (first seen, device).
pub(crate) fn owners<'s>(
    claims: Collection<'s, Claim>,
    names: Rc<RefCell<Names>>,
) -> OwnersByAddress<'s> {
    // The arrangement that the reduction keeps anyway: arranging its output would hold every address once more.
    claims
        .arrange_by_key()
        .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<_, _, _, _>, _, _>(
            "owners",
            move |_address, claims, owners| {
                let names = names.borrow();
                // Numbers follow the order in which devices became known; ties are decided by id.
                let least = |other: DeviceNumber| {
                    let claims = claims.iter().map(|(claim, _)| **claim);
                    claims
                        .filter(|(_, device)| *device != other)
                        .min_by_key(|(since, device)| (*since, names.device(*device)))
                };
                if let Some((since, first)) = least(DeviceNumber::NONE) {
                    let second = least(first).map_or(DeviceNumber::NONE, |(_, device)| device);
                    owners.push(((since, first, second), 1));
                }
            },
            |updates, address, changes| {
                updates.clear();
                updates.extend(
                    changes
                        .drain(..)
                        .map(|(owners, time, diff)| ((*address, owners), time, diff)),
                );
            },
        )
}

/// Changes of the device at the far end of a link: the owner of its address, its own access point left out. True = got it.
pub(crate) fn far_ends<'s>(
    owners: OwnersByAddress<'s>,
    links: Collection<'s, ClientLink>,
    names: Rc<RefCell<Names>>,
) -> Stream<'s, (LinkId, DeviceNumber, bool)> {
    let far_ends = links
        .arrange_by_key()
        .join_core(owners, |address, &(ap, radio), &(_, first, second)| {
            let device = if first == ap { second } else { first };
            device.get().map(|device| ((*address, ap, radio), device))
        })
        .consolidate();
    updates(far_ends, move |((address, ap, radio), device), _, diff| {
        let names = names.borrow();
        let link = LinkId {
            tenant_id: names.tenant(address.0),
            ap_device_id: names.device(ap),
            radio_mac: radio.into(),
            mac: address.1.into(),
        };
        Some((link, device, diff > 0))
    })
}

/// What the BSSID stage learns at a slot's end: owners of the addresses of remote radios, whether those who report them are
/// unobserved, and every address that changed hands in the slot, for a radio that is first shown in it.
pub(crate) fn remote_facts<'s>(
    remote: Collection<'s, (DeviceNumber, Address)>,
    owners: OwnersByAddress<'s>,
    states: Collection<'s, (DeviceNumber, DeviceState)>,
    names: Rc<RefCell<Names>>,
) -> Stream<'s, BssidMessage> {
    use timely::dataflow::operators::Concat;

    let changed = owners
        .clone()
        .as_collection(|address, &(_, owner, _)| (*address, owner));
    let radios = remote.clone().map(|(_reporter, radio)| radio).distinct();
    let owned = radios
        .map(|radio| (radio, ()))
        .arrange_by_key()
        .join_core(owners, |radio, &(), &(_, owner, _)| Some((*radio, owner)))
        .consolidate();
    let known = names.clone();
    let owned = updates(owned, move |((tenant, radio), owner), _, diff| {
        let names = known.borrow();
        let (tenant, owner) = (names.tenant(tenant), names.device(owner));
        Some(BssidMessage::Owner(tenant, radio.into(), owner, diff > 0))
    });
    let known = names.clone();
    let changed = updates(changed, move |((tenant, radio), owner), slot, diff| {
        // What a restored state tells in slot 0 was so before.
        (slot > 0).then(|| {
            let names = known.borrow();
            let (tenant, owner) = (names.tenant(tenant), names.device(owner));
            BssidMessage::OwnerChanged(tenant, radio.into(), owner, diff > 0)
        })
    });
    let reported = remote
        .join(states)
        .map(|(reporter, (radio, state))| (radio, reporter, state != DeviceState::Online))
        .consolidate();
    let reported = updates(
        reported,
        move |((tenant, radio), reporter, unobserved), _, diff| {
            let names = names.borrow();
            let (tenant, reporter) = (names.tenant(tenant), names.device(reporter));
            (diff > 0).then(|| BssidMessage::Reporter(tenant, radio.into(), reporter, unobserved))
        },
    );
    owned.concat(changed).concat(reported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_keeps_time_and_order() {
        let mut instants = [i64::MIN, -1, 0, 1, u32::MAX.into(), 1 << 32, i64::MAX].map(Timestamp);
        for at in instants {
            assert_eq!(Timestamp::from(Instant::from(at)), at);
        }
        instants.sort_by_key(|at| Instant::from(*at));
        assert!(instants.is_sorted());
    }
}
