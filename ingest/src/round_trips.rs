//! How long polls took, counted without a lock and in little memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Each doubling has so many buckets, so a percentile is right to 3 %.
const PARTS: usize = 32;
/// Up to 2^36 µs, 19 hours; what is longer counts as that.
const DOUBLINGS: usize = 32;

/// A histogram of durations.
#[derive(Debug)]
pub struct RoundTrips(Box<[AtomicU64]>);

impl Default for RoundTrips {
    fn default() -> Self {
        Self((0..PARTS * DOUBLINGS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl RoundTrips {
    /// Counts one.
    pub fn count(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0[bucket(us)].fetch_add(1, Relaxed);
    }

    /// What was counted so far, by bucket; the difference of two is what came between them.
    pub fn snapshot(&self) -> Vec<u64> {
        self.0.iter().map(|count| count.load(Relaxed)).collect()
    }

    /// The duration that a share `q` (0 to 1) of what came between two snapshots did not exceed; null when nothing came.
    pub fn percentile(before: &[u64], after: &[u64], q: f64) -> Option<Duration> {
        let counts: Vec<u64> = after
            .iter()
            .zip(before)
            .map(|(after, before)| after.saturating_sub(*before))
            .collect();
        let all: u64 = counts.iter().sum();
        let wanted = ((all as f64 * q).ceil() as u64).clamp(1, all.max(1));
        let mut seen = 0;
        let place = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_micros(upper(place)))
    }
}

fn bucket(us: u64) -> usize {
    if us < PARTS as u64 {
        return us as usize;
    }
    let power = us.ilog2() as usize;
    let part = (us >> (power - 5)) as usize & (PARTS - 1);
    ((power - 4) * PARTS + part).min(PARTS * DOUBLINGS - 1)
}

/// The longest duration of a bucket, µs.
fn upper(bucket: usize) -> u64 {
    let (power, part) = (bucket / PARTS, (bucket % PARTS) as u64);
    match power {
        0 => part,
        _ => ((PARTS as u64 + part + 1) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_up_to_its_upper_end() {
        for us in (0..100_000).chain([1 << 30, (1 << 35) + 12_345]) {
            let place = bucket(us);
            assert!(upper(place) >= us, "{us}");
            assert!(place == 0 || upper(place - 1) < us, "{us}");
        }
        assert_eq!(bucket(u64::MAX), PARTS * DOUBLINGS - 1);
    }

    #[test]
    fn percentiles_are_of_what_came_between() {
        let trips = RoundTrips::default();
        trips.count(Duration::from_secs(1));
        let before = trips.snapshot();
        assert_eq!(RoundTrips::percentile(&before, &before, 0.5), None);
        for us in 1..=20 {
            trips.count(Duration::from_micros(us));
        }
        let after = trips.snapshot();
        let at = |q| RoundTrips::percentile(&before, &after, q).map(|d| d.as_micros());
        assert_eq!((at(0.5), at(0.99), at(1.0)), (Some(10), Some(20), Some(20)));
    }
}
