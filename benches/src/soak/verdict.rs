//! Whether a series is flat, decided on numbers alone.
//!
//! The first third is warm-up: caches fill, tables grow to their size. Of the other two the medians are compared, so
//! that a single peak, a compaction or a moment of many failures is neither a leak nor hides one. A leak of a byte that
//! grows with time shows as the difference of the medians, over a third of the run.

use serde::{Deserialize, Serialize};

/// What a third may be higher than the one before: noise of the allocator and of caches.
const SHARE: f64 = 0.05;

/// A series of one process and what it amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Median of the first third.
    pub first: u64,
    /// Median of the second third.
    pub middle: u64,
    /// Median of the last third.
    pub last: u64,
    /// The highest of all.
    pub peak: u64,
    /// Whether the last third is no higher than the one before, but for noise.
    pub flat: bool,
}

impl Trend {
    /// Of a series in order of time; `noise` is a difference that means nothing, whatever the height.
    pub(super) fn of(series: &[u64], noise: u64) -> Self {
        let third = series.len() / 3;
        let (first, rest) = series.split_at(third);
        let (middle, last) = rest.split_at(rest.len() / 2);
        let (first, middle, last) = (median(first), median(middle), median(last));
        let allowed = middle as f64 * (1.0 + SHARE) + noise as f64;
        Self {
            first,
            middle,
            last,
            peak: series.iter().copied().max().unwrap_or(0),
            flat: last as f64 <= allowed,
        }
    }
}

fn median(series: &[u64]) -> u64 {
    let mut sorted = series.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_flat_and_what_grows_is_not() {
        let flat = |series: Vec<u64>| Trend::of(&series, 10).flat;
        assert!(flat(vec![1_000; 90]));
        assert!(flat((0..90).map(|n| 1_000 + n % 7 * 20).collect()), "noise");
        assert!(
            flat((0..90).map(|n| 1_000.min(n * 40)).collect()),
            "warm-up"
        );
        assert!(
            flat(
                (0..90)
                    .map(|n| if n == 80 { 9_000 } else { 1_000 })
                    .collect()
            ),
            "a peak"
        );
        assert!(!flat((0..90).map(|n| 1_000 + n * 10).collect()), "a leak");
        assert!(!flat((0..90).map(|n| 100 + n).collect()), "a slow one");
        assert!(flat(Vec::new()));
    }
}
