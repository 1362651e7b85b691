//! Counts of sites, sectors and tenants: devices and links joined with where they stand, added up as one difference.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use differential_dataflow::operators::CountTotal;
use mast_schemas::views::{Counts, DeviceState, Place};
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};
use serde::{Deserialize, Serialize};

use crate::flow::types::Collection;
use crate::flow::visible::Counted;

/// Where a device stands.
pub(crate) type Standing = (TenantId, Option<SiteId>, Option<SectorId>);

/// [`Counts`] as a difference: one update an entity, not one a counter. Held once a device, so in few bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub(crate) struct CountDiff {
    devices: [i32; 4],
    links: [i32; 5],
    links_unobserved: i32,
}

impl CountDiff {
    fn device(state: DeviceState) -> Self {
        let mut diff = Self::default();
        diff.devices[state as usize] = 1;
        diff
    }

    fn link((state, unobserved): Counted) -> Self {
        let mut diff = Self {
            links_unobserved: i32::from(unobserved),
            ..Self::default()
        };
        diff.links[state as usize] = 1;
        diff
    }

    fn values(&mut self) -> impl Iterator<Item = &mut i32> {
        self.devices
            .iter_mut()
            .chain(&mut self.links)
            .chain([&mut self.links_unobserved])
    }
}

impl From<CountDiff> for Counts {
    fn from(d: CountDiff) -> Self {
        Self {
            devices: d.devices.map(i64::from),
            links: d.links.map(i64::from),
            links_unobserved: i64::from(d.links_unobserved),
        }
    }
}

impl IsZero for CountDiff {
    fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl Semigroup for CountDiff {
    fn plus_equals(&mut self, rhs: &Self) {
        let mut rhs = *rhs;
        self.values().zip(rhs.values()).for_each(|(a, b)| *a += *b);
    }
}

impl Monoid for CountDiff {
    fn zero() -> Self {
        Self::default()
    }
}

impl Abelian for CountDiff {
    fn negate(&mut self) {
        self.values().for_each(|v| *v = -*v);
    }
}

impl Multiply<isize> for CountDiff {
    type Output = Self;
    fn multiply(mut self, rhs: &isize) -> Self {
        self.values().for_each(|v| *v *= *rhs as i32);
        self
    }
}

/// The places that a device counts for.
pub(crate) fn places_of((tenant, site, sector): Standing) -> impl Iterator<Item = Place> {
    let site = site.map(|site| Place::Site(tenant, site));
    let sector = sector.map(|sector| Place::Sector(tenant, sector));
    [Some(Place::Tenant(tenant)), site, sector]
        .into_iter()
        .flatten()
}

/// Counts of every place that has something to count.
pub(crate) fn counts<'s>(
    states: Collection<'s, (DeviceId, DeviceState)>,
    links: Collection<'s, (DeviceId, Counted)>,
    standing: Collection<'s, (DeviceId, Standing)>,
) -> Collection<'s, (Place, CountDiff)> {
    // Devices and links of one device are one key with a summed difference before they meet the topology.
    let devices = states.explode(|(device, state)| Some((device, CountDiff::device(state))));
    let links = links.explode(|(ap, counted)| Some((ap, CountDiff::link(counted))));
    let by_device = devices.concat(links).map(|device| (device, ()));
    by_device
        .arrange_by_key()
        .join_core(standing.arrange_by_key(), |_device, &(), &standing| {
            places_of(standing).collect::<Vec<_>>()
        })
        .count_total()
}
