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
    links: LinkDiff,
}

/// Of these the links.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub(crate) struct LinkDiff {
    states: [i32; 5],
    unobserved: i32,
}

impl LinkDiff {
    /// So many links more or less that are in a state, and unobserved or not.
    pub(crate) fn of((state, unobserved): Counted, n: i32) -> Self {
        let mut diff = Self::default();
        diff.states[state as usize] = n;
        diff.unobserved = if unobserved { n } else { 0 };
        diff
    }

    /// Adds them up.
    pub(crate) fn add(&mut self, more: &Self) {
        let states = self.states.iter_mut().zip(more.states);
        states.for_each(|(n, more)| *n += more);
        self.unobserved += more.unobserved;
    }
}

impl CountDiff {
    /// So many devices more or less that are in a state.
    pub(crate) fn devices(state: DeviceState, n: i32) -> Self {
        let mut diff = Self::default();
        diff.devices[state as usize] = n;
        diff
    }

    /// All that a device adds: by how often it is in each state, and with its links.
    pub(crate) fn of(states: [i8; 4], links: LinkDiff) -> Self {
        let devices = states.map(i32::from);
        Self { devices, links }
    }
}

impl From<LinkDiff> for CountDiff {
    fn from(links: LinkDiff) -> Self {
        let devices = [0; 4];
        Self { devices, links }
    }
}

impl From<CountDiff> for Counts {
    fn from(d: CountDiff) -> Self {
        Self {
            devices: d.devices.map(i64::from),
            links: d.links.states.map(i64::from),
            links_unobserved: i64::from(d.links.unobserved),
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
        let devices = self.devices.iter_mut().zip(rhs.devices);
        devices.for_each(|(n, more)| *n += more);
        self.links.add(&rhs.links);
    }
}

impl Monoid for CountDiff {
    fn zero() -> Self {
        Self::default()
    }
}

impl Abelian for CountDiff {
    fn negate(&mut self) {
        self.devices = self.devices.map(|n| -n);
        self.links.states = self.links.states.map(|n| -n);
        self.links.unobserved = -self.links.unobserved;
    }
}

/// Counts of every place that has something to count, of their changes.
pub(crate) fn counts<'s>(
    changes: Collection<'s, PlaceNumber, CountDiff>,
) -> Collection<'s, (PlaceNumber, CountDiff)> {
    changes.count_total()
}
