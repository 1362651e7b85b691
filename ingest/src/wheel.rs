//! When each device is due: a grid of its own, offset by its hash, so that polls spread evenly over
//! the interval and stay where they are.
//!
//! There is no queue. Each device is a task that sleeps until its next grid point, so the timer wheel
//! is the runtime's, a slow device can delay no other, and a change touches one task only. A poll that
//! overruns skips grid points, it never piles up.

use mast_schemas::partition::mix;
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, Timestamp};

/// The times at which a device is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    interval_us: i64,
    offset_us: i64,
}

impl Grid {
    /// The grid of a device polled every `interval_ms`; an interval of 0 counts as 1 ms.
    pub fn new(device: &DeviceId, interval_ms: u32) -> Self {
        let interval_us = i64::from(interval_ms.max(1)) * 1_000;
        let offset = mix(device.as_bytes()) % interval_us.unsigned_abs();
        Self {
            interval_us,
            offset_us: offset.cast_signed(),
        }
    }

    /// The first grid point after `now`.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let passed = (now.0.saturating_sub(self.offset_us)).div_euclid(self.interval_us) + 1;
        Timestamp(
            passed
                .saturating_mul(self.interval_us)
                .saturating_add(self.offset_us),
        )
    }

    /// Time between two points.
    pub fn interval(&self) -> Span {
        Span(self.interval_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    proptest! {
        #[test]
        fn the_next_point_is_later_by_at_most_an_interval(
            id in any::<u128>(), interval_ms in 1u32..86_400_000, now in 0i64..4_000_000_000_000_000,
        ) {
            let grid = Grid::new(&DeviceId(Uuid::from_u128(id)), interval_ms);
            let next = grid.next(Timestamp(now));
            prop_assert!(next.0 > now && next.0 - now <= grid.interval().0);
            prop_assert_eq!(grid.next(next), next + grid.interval(), "points are one interval apart");
        }
    }

    #[test]
    fn devices_spread_over_the_interval() {
        let mut tenths = [0; 10];
        for i in 0..1_000u128 {
            let grid = Grid::new(&DeviceId(Uuid::from_u128(i)), 60_000);
            tenths[(grid.next(Timestamp(0)).0 / 6_000_001) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (60..140).contains(n)), "{tenths:?}");
    }
}
