//! Percentiles of what was measured, by the nearest rank: always a value that was measured.

/// The value that this share (0 to 1) of sorted ones does not exceed; null of none.
pub fn percentile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted = [1, 2, 3, 4];
        assert_eq!(percentile(&sorted, 0.5), Some(2));
        assert_eq!(percentile(&sorted, 0.99), Some(4));
        assert_eq!(percentile::<u64>(&[], 0.5), None);
    }
}
