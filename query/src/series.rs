//! Which table a series over time is read from.

use mast_lake::{Retention, Table};
use mast_schemas::Timestamp;
use mast_schemas::rollups::{Rolled, Width};

/// The table for a series of about `points` points over `[from, to)`: the widest buckets of which there are still that
/// many, else the samples; but none that no longer reaches back to `from`, as of `now`.
pub fn pick(
    of: Rolled,
    (from, to): (Timestamp, Timestamp),
    points: u32,
    now: Timestamp,
    kept: &Retention,
) -> Table {
    let wanted = (to - from).0.max(0) / i64::from(points.max(1));
    let reaches = |table: &Table| now - kept.of(*table) <= from;
    let fits = |width: &Width| width.span().0 <= wanted;
    let widths = Width::ALL.map(|width| Table::Rollup(of, width));
    let best = Width::ALL
        .iter()
        .rposition(fits)
        .map_or(Table::samples(of), |i| widths[i]);
    // Where that is gone, the next wider one that is left; the widest is kept longest.
    let wider = widths
        .into_iter()
        .skip_while(|table| best != Table::samples(of) && *table != best);
    let mut left = std::iter::once(best).chain(wider).filter(reaches);
    left.next().unwrap_or(Table::Rollup(of, Width::Day))
}

#[cfg(test)]
mod tests {
    use mast_schemas::time::Span;

    use super::*;

    fn picked(hours_ago: i64, hours: i64, points: u32) -> &'static str {
        let now = Timestamp::from_secs(20_000 * 86_400);
        let from = now - Span::hours(hours_ago);
        let kept = Retention::default();
        pick(
            Rolled::Registration,
            (from, from + Span::hours(hours)),
            points,
            now,
            &kept,
        )
        .as_str()
    }

    #[test]
    fn the_widest_buckets_that_give_the_points() {
        assert_eq!(picked(1, 1, 300), "registration_samples");
        assert_eq!(picked(1, 1, 60), "registration_1m");
        assert_eq!(picked(24, 24, 300), "registration_1m");
        assert_eq!(picked(24, 24, 96), "registration_15m");
        assert_eq!(picked(7 * 24, 7 * 24, 168), "registration_1h");
        assert_eq!(picked(365 * 24, 365 * 24, 365), "registration_1d");
        assert_eq!(picked(365 * 24, 365 * 24, 366), "registration_1h");
        assert_eq!(picked(1, 0, 0), "registration_samples");
    }

    #[test]
    fn what_is_no_longer_kept_is_not_picked() {
        assert_eq!(
            picked(40 * 24, 1, 300),
            "registration_1m",
            "samples are gone"
        );
        assert_eq!(picked(100 * 24, 1, 60), "registration_15m");
        assert_eq!(picked(400 * 24, 1, 300), "registration_1h");
        assert_eq!(
            picked(4_000 * 24, 1, 300),
            "registration_1d",
            "nothing is left"
        );
    }
}
