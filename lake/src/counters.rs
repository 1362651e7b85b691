//! What counters went up by between two samples.
//!
//! A counter that goes back was set anew, or has come round at 32 bits. The trap: taking the one for the other makes traffic
//! that never was. A reboot, a new association, a person's reset set all counters of the row back; one comes round alone.
//! What went on across a reset is not known, so such a pair counts nothing.

/// What 32 bits can hold, and one more.
const ROUND: u64 = 1 << 32;

/// What each counter went up by from `before` to `after`, where both tell it; null for a pair across a reset.
pub(crate) fn gone_up(before: &[Option<u64>], after: &[Option<u64>]) -> Option<Vec<Option<u64>>> {
    let pairs = || {
        before
            .iter()
            .zip(after)
            .filter_map(|(b, a)| Some(((*b)?, (*a)?)))
    };
    let back = pairs().filter(|(b, a)| a < b).count();
    let forth = pairs().filter(|(b, a)| *b > 0 && a >= b).count();
    if back > 0 && (forth == 0 || !pairs().all(|(b, a)| a >= b || comes_round(b, a))) {
        return None;
    }
    let gone = |(b, a): (&Option<u64>, &Option<u64>)| {
        let (b, a) = ((*b)?, (*a)?);
        Some(if a >= b { a - b } else { a + ROUND - b })
    };
    Some(before.iter().zip(after).map(gone).collect())
}

/// Whether 32 bits can have overflowed, by less than half of what they hold.
const fn comes_round(before: u64, after: u64) -> bool {
    before < ROUND && after < before && after + ROUND - before < ROUND / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_up_come_round_or_were_reset() {
        let up = |before: [u64; 2], after: [u64; 2]| {
            gone_up(&before.map(Some), &after.map(Some))
                .map(|gone| gone.into_iter().flatten().collect::<Vec<_>>())
        };
        assert_eq!(up([100, 1], [200, 3]), Some(vec![100, 2]));
        assert_eq!(up([500, 1], [500, 1]), Some(vec![0, 0]));
        assert_eq!(
            up([4_294_967_290, 7], [10, 8]),
            Some(vec![16, 1]),
            "came round"
        );
        assert_eq!(
            up([4_294_967_290, 7], [10, 0]),
            None,
            "both went back: a reset"
        );
        assert_eq!(up([100, 7], [50, 8]), None, "too far from 2^32");
        assert_eq!(
            up([1_000_000_000_000, 7], [50, 8]),
            None,
            "64 bits do not come round"
        );
        assert_eq!(
            up([4_294_967_290, 0], [10, 0]),
            None,
            "nothing says that it was no reset"
        );
    }

    #[test]
    fn an_unknown_counter_goes_up_by_an_unknown_number() {
        let gone = gone_up(&[None, Some(1), Some(5)], &[Some(4), None, Some(6)]);
        assert_eq!(gone, Some(vec![None, None, Some(1)]));
    }
}
