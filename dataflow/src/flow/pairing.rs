//! Pairing: who owns an address, and so which device is at the far end of a link. Relational, all differential.

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use mast_schemas::time::SLOT;
use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, TenantId, Timestamp};

use crate::flow::bssids::BssidMessage;
use crate::flow::devices::Claim;
use crate::flow::types::{Collection, Stream, Time, updates};

/// The first two claimants of an address: the owner with the begin of its claim, and who would own it if the owner were
/// left out.
pub(crate) type Owners = (Timestamp, DeviceId, Option<DeviceId>);

/// A link by its client: (tenant, client), (access point, radio).
pub(crate) type ClientLink = ((TenantId, Mac), (DeviceId, Mac));

/// Owners by address, arranged once for all that join them.
pub(crate) type OwnersByAddress<'s> =
    Arranged<'s, TraceAgent<ValSpine<(TenantId, Mac), Owners, Time, isize>>>;

/// The owners of each claimed address: the least claims by (first seen, device).
pub(crate) fn owners<'s>(claims: Collection<'s, Claim>) -> OwnersByAddress<'s> {
    // The arrangement that the reduction keeps anyway: arranging its output would hold every address once more.
    claims
        .arrange_by_key()
        .reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<_, _, _, _>, _, _>(
            "owners",
            |_address, claims, owners| {
                // Claims come sorted by (first seen, device), each present once.
                let mut claims = claims.iter().map(|(claim, _)| **claim);
                if let Some((since, first)) = claims.next() {
                    let second = claims.map(|(_, device)| device).find(|d| *d != first);
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

/// The device at the far end of each link that has one: the owner of its address, its own access point left out.
pub(crate) fn far_ends<'s>(
    owners: OwnersByAddress<'s>,
    links: Collection<'s, ClientLink>,
) -> Collection<'s, (LinkId, DeviceId)> {
    links
        .arrange_by_key()
        .join_core(
            owners,
            |&(tenant_id, mac), &(ap_device_id, radio_mac), &(_, first, second)| {
                let device = if first == ap_device_id {
                    second
                } else {
                    Some(first)
                };
                device.map(|device| {
                    (
                        LinkId {
                            tenant_id,
                            ap_device_id,
                            radio_mac,
                            mac,
                        },
                        device,
                    )
                })
            },
        )
        .consolidate()
}

/// What the BSSID stage learns at a slot's end: owners of the addresses of remote radios, and whether those who report them
/// are unobserved.
pub(crate) fn remote_facts<'s>(
    remote: Collection<'s, (DeviceId, (TenantId, Mac))>,
    owners: OwnersByAddress<'s>,
    states: Collection<'s, (DeviceId, DeviceState)>,
) -> Stream<'s, BssidMessage> {
    use timely::dataflow::operators::Concat;

    let radios = remote.clone().map(|(_reporter, radio)| radio).distinct();
    let owned = radios
        .map(|radio| (radio, ()))
        .arrange_by_key()
        .join_core(owners, |&(tenant, radio), &(), &(since, owner, _)| {
            Some((tenant, radio, owner, since))
        })
        .consolidate();
    let owned = updates(owned, |(tenant, radio, owner, since), slot, diff| {
        // A claim that is older than the slot held when the slot began.
        let held = diff > 0 && since < Epoch(slot).end() - SLOT;
        let at_begin = held.then_some(BssidMessage::OwnerAtBegin(tenant, radio, owner));
        at_begin
            .into_iter()
            .chain([BssidMessage::Owner(tenant, radio, owner, diff > 0)])
    });
    let reported = remote
        .join(states)
        .map(|(reporter, ((tenant, radio), state))| {
            (tenant, radio, reporter, state != DeviceState::Online)
        })
        .consolidate();
    let reported = updates(
        reported,
        |(tenant, radio, reporter, unobserved), _, diff| {
            (diff > 0).then_some(BssidMessage::Reporter(tenant, radio, reporter, unobserved))
        },
    );
    owned.concat(reported)
}
