//! Counts of sites, sectors and tenants: devices and links where they stand, added up as one difference.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Semigroup};
use differential_dataflow::operators::CountTotal;
use mast_schemas::views::{Counts, DeviceState};
use serde::{Deserialize, Serialize};

use crate::flow::types::Collection;
use crate::flow::visible::Counted;
use crate::numbers::PlaceNumber;

/// [`Counts`] as a difference: one update an entity, not one a counter.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub(crate) struct CountDiff {
    devices: [i32; 4],
    links: [i32; 5],
    links_unobserved: i32,
}

impl CountDiff {
    /// So many devices more or less that are in a state.
    pub(crate) fn devices(state: DeviceState, n: i32) -> Self {
        let mut diff = Self::default();
        diff.devices[state as usize] = n;
        diff
    }

    /// Devices by state.
    pub(crate) fn of_states(states: [i8; 4]) -> Self {
        Self {
            devices: states.map(i32::from),
            ..Self::default()
        }
    }

    /// So many links more or less that are in a state, and unobserved or not.
    pub(crate) fn links((state, unobserved): Counted, n: i32) -> Self {
        let mut diff = Self::default();
        diff.links[state as usize] = n;
        diff.links_unobserved = if unobserved { n } else { 0 };
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

/// Counts of every place that has something to count, of their changes.
pub(crate) fn counts<'s>(
    changes: Collection<'s, PlaceNumber, CountDiff>,
) -> Collection<'s, (PlaceNumber, CountDiff)> {
    changes.count_total()
}
