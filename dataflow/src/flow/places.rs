//! Counts of sites, sectors and tenants: devices and links joined with where they stand, added up as one difference.

use differential_dataflow::difference::{Abelian, IsZero, Monoid, Multiply, Semigroup};
use differential_dataflow::operators::CountTotal;
use mast_schemas::views::{Counts, DeviceState, LinkState};
use serde::{Deserialize, Serialize};

use crate::flow::types::Collection;
use crate::flow::visible::Counted;
use crate::numbers::{DeviceNumber, PlaceNumber, Standing};

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
    fn of(kind: Kind) -> Self {
        let mut diff = Self::default();
        match kind {
            Kind::Device(state) => diff.devices[state as usize] = 1,
            Kind::Link(state, unobserved) => {
                diff.links[state as usize] = 1;
                diff.links_unobserved = i32::from(unobserved);
            }
        }
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

/// What a device adds to the counts of its places, as often as it has it. Held for every device, so in few bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Kind {
    Device(DeviceState),
    Link(LinkState, bool),
}

/// Counts of every place that has something to count.
pub(crate) fn counts<'s>(
    states: Collection<'s, (DeviceNumber, DeviceState)>,
    links: Collection<'s, (DeviceNumber, Counted)>,
    standing: Collection<'s, (DeviceNumber, Standing)>,
) -> Collection<'s, (PlaceNumber, CountDiff)> {
    let devices = states.map(|(device, state)| (device, Kind::Device(state)));
    let links = links.map(|(ap, (state, unobserved))| (ap, Kind::Link(state, unobserved)));
    // Links of one state are one row of their access point, however many.
    devices
        .concat(links)
        .arrange_by_key()
        .join_core(standing.arrange_by_key(), |_device, &kind, &standing| {
            let places = standing
                .into_iter()
                .filter(|place| *place != PlaceNumber::NONE);
            places.map(move |place| (place, kind)).collect::<Vec<_>>()
        })
        .explode(|(place, kind)| Some((place, CountDiff::of(kind))))
        .count_total()
}
