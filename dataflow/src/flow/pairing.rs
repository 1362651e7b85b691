//! Pairing: who owns an address, and so which device is at the far end of a link. Relational, all differential.

use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, LinkId, Mac, TenantId};

use crate::flow::bssids::BssidMessage;
use crate::flow::devices::Claim;
use crate::flow::types::{Collection, Stream};

/// The first two claimants of an address: the owner, and who would own it if the owner were left out.
pub(crate) type Owners = (DeviceId, Option<DeviceId>);

/// The owners of each claimed address: the least claims by (first seen, device).
pub(crate) fn owners<'s>(claims: Collection<'s, Claim>) -> Collection<'s, ((TenantId, Mac), Owners)> {
    claims.reduce(|_address, claims, owners| {
        // Claims come sorted by (first seen, device), each present once.
        let mut devices = claims.iter().map(|((_, device), _)| *device);
        if let Some(first) = devices.next() {
            owners.push(((first, devices.find(|d| *d != first)), 1));
        }
    })
}

/// The device at the far end of each link that has one: the owner of its address, its own access point left out.
pub(crate) fn far_ends<'s>(
    owners: Collection<'s, ((TenantId, Mac), Owners)>,
    links: Collection<'s, ((TenantId, Mac), LinkId)>,
) -> Collection<'s, (LinkId, DeviceId)> {
    links
        .arrange_by_key()
        .join_core(owners.arrange_by_key(), |_client, link, &(first, second)| {
            let device = if first == link.ap_device_id { second } else { Some(first) };
            device.map(|device| (*link, device))
        })
        .consolidate()
}

/// What the BSSID stage learns at a slot's end: owners of the addresses of remote radios, and whether those who report them
/// are unobserved.
pub(crate) fn remote_facts<'s>(
    remote: Collection<'s, (DeviceId, (TenantId, Mac))>,
    owners: Collection<'s, ((TenantId, Mac), Owners)>,
    states: Collection<'s, (DeviceId, DeviceState)>,
) -> Stream<'s, BssidMessage> {
    use timely::dataflow::operators::Concat;
    use timely::dataflow::operators::vec::Map;

    let radios = remote.clone().map(|(_reporter, radio)| radio).distinct();
    let owned = owners
        .semijoin(radios)
        .map(|((tenant, radio), (owner, _))| (tenant, radio, owner))
        .consolidate()
        .inner
        .map(|((tenant, radio, owner), _time, diff)| {
            BssidMessage::Owner(tenant, radio, owner, diff > 0)
        });
    let reported = remote
        .join(states)
        .map(|(reporter, ((tenant, radio), state))| (tenant, radio, reporter, state != DeviceState::Online))
        .consolidate()
        .inner
        .flat_map(|((tenant, radio, reporter, unobserved), _time, diff)| {
            (diff > 0).then_some(BssidMessage::Reporter(tenant, radio, reporter, unobserved))
        });
    owned.concat(reported)
}
