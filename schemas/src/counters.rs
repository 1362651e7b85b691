//! Rates: what counters went up by between two samples of one thing, one after the other.
//!
//! Two samples more than [`PAIR`] apart tell nothing. A counter that goes back was set anew, or has come round at 32 bits.
//! The trap: taking the one for the other makes traffic that never was. A reboot, a new association, a person's reset set
//! all counters of the row back; one comes round alone. What went on across a reset is not known, so such a pair counts
//! nothing.

use crate::time::Span;

/// Two samples further apart than this tell nothing of the rate between them.
pub const PAIR: Span = Span::secs(900);

/// What 32 bits can hold, and one more.
const ROUND: u64 = 1 << 32;

/// What each counter of a row went up by from `before` to `after`, `apart` from each other, where both tell it; null when
/// nothing can be told of the pair.
pub fn gone_up(
    apart: Span,
    before: &[Option<u64>],
    after: &[Option<u64>],
) -> Option<Vec<Option<u64>>> {
    if apart.0 <= 0 || apart > PAIR {
        return None;
    }
    let pairs = || {
        before
            .iter()
            .zip(after)
            .filter_map(|(b, a)| Some(((*b)?, (*a)?)))
    };
    let back = pairs().filter(|(b, a)| a < b).count();
    let forth = pairs().filter(|(b, a)| *b > 0 && a >= b).count();
    if back > 0 && (forth == 0 || !pairs().all(|(b, a)| a >= b || comes_round(b, a).is_some())) {
        return None;
    }
    let gone = |(b, a): (&Option<u64>, &Option<u64>)| {
        let (b, a) = ((*b)?, (*a)?);
        a.checked_sub(b).or_else(|| comes_round(b, a))
    };
    let gone: Vec<_> = before.iter().zip(after).map(gone).collect();
    gone.iter().any(Option::is_some).then_some(gone)
}

/// What a counter went up by if it overflowed 32 bits; null where that can't be, or by half of what they hold or more.
pub const fn comes_round(before: u64, after: u64) -> Option<u64> {
    if before >= ROUND || after >= before {
        return None;
    }
    let gone = after + ROUND - before;
    if gone < ROUND / 2 { Some(gone) } else { None }
}

/// Bits a second, rounded down; null for what no 63 bits hold, and for no time.
pub fn bits_per_second(bytes: u64, apart: Span) -> Option<i64> {
    let us = u128::try_from(apart.0).ok().filter(|us| *us > 0)?;
    i64::try_from(u128::from(bytes) * 8 * 1_000_000 / us).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_up_come_round_or_were_reset() {
        let up = |before: [u64; 2], after: [u64; 2]| {
            gone_up(Span::secs(30), &before.map(Some), &after.map(Some))
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
        let of = |before, after| gone_up(Span::secs(30), before, after);
        let gone = of(&[None, Some(1), Some(5)], &[Some(4), None, Some(6)]);
        assert_eq!(gone, Some(vec![None, None, Some(1)]));
        assert_eq!(of(&[None, Some(1)], &[Some(4), None]), None);
    }

    #[test]
    fn a_pair_is_up_to_fifteen_minutes_apart_and_in_order() {
        let of = |apart| gone_up(apart, &[Some(1)], &[Some(5)]);
        assert_eq!(of(PAIR), Some(vec![Some(4)]));
        assert_eq!(of(Span(PAIR.0 + 1)), None);
        assert_eq!(of(Span(0)), None);
        assert_eq!(of(Span(-1)), None);
    }

    #[test]
    fn rates_are_whole_bits_a_second() {
        assert_eq!(bits_per_second(1_000, Span::secs(8)), Some(1_000));
        assert_eq!(bits_per_second(1, Span::secs(9)), Some(0));
        assert_eq!(bits_per_second(u64::MAX, Span(1)), None);
        assert_eq!(bits_per_second(1, Span(0)), None);
    }
}
