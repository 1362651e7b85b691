//! Which table a series over time is read from, and in which steps.
//!
//! A step is of whole buckets, so that each bucket is in one step. The trap avoided: a bucket that lies in two steps, which
//! would show what it holds in the wrong one.

use mast_lake::{Reach, Table};
use mast_schemas::Timestamp;
use mast_schemas::rollups::Width;
use mast_schemas::time::Span;

/// Steps of equal length that follow each other and begin at a multiple of their length, so that the same chart a little later shows
/// the same steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Begin of the first.
    pub begin: Timestamp,
    /// Length of each.
    pub step: Span,
    /// How many.
    pub count: u32,
}

/// Shortest step, and what steps of samples are multiples of.
pub(super) const SECOND: Span = Span::secs(1);

const fn up_to_whole(span: i64, unit: i64) -> i64 {
    let parts = span.div_euclid(unit);
    (parts + (span.rem_euclid(unit) > 0) as i64) * unit
}

impl Steps {
    /// The shortest steps of whole units over `[from, to)` of which there are at most `points`.
    pub(super) fn over((from, to): (Timestamp, Timestamp), points: u32, unit: Span) -> Self {
        let range = (to - from).0.max(1);
        let most = i64::from(points.max(1));
        let of = |begin: i64, step: i64| Self {
            begin: Timestamp(begin),
            step: Span(step),
            count: u32::try_from(up_to_whole(from.0 + range - begin, step) / step).unwrap_or(1),
        };
        if most == 1 {
            let begin = from.0.div_euclid(unit.0) * unit.0;
            return of(begin, up_to_whole(from.0 + range - begin, unit.0));
        }
        // A begin that lies before `from` can cost a step more.
        let of_parts = |parts: i64| {
            let step = up_to_whole(up_to_whole(range, parts) / parts, unit.0);
            of(from.0.div_euclid(step) * step, step)
        };
        let steps = of_parts(most);
        if i64::from(steps.count) > most {
            of_parts(most - 1)
        } else {
            steps
        }
    }

    /// End of the last.
    pub fn end(&self) -> Timestamp {
        self.begin + Span(self.step.0.saturating_mul(i64::from(self.count)))
    }

    /// Begin of each.
    pub fn begins(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let Self { begin, step, .. } = *self;
        (0..i64::from(self.count)).map(move |n| begin + Span(n * step.0))
    }
}

/// The table for a series of at most `points` points over `[from, to)`, with its steps: the widest buckets whose steps are no more
/// than a third longer than they had to be, else the samples; but none that no longer reaches back to `from`.
pub(super) fn pick(range: (Timestamp, Timestamp), points: u32, reach: &Reach) -> (Table, Steps) {
    let finest = Steps::over(range, points, SECOND);
    let samples = Table::samples(reach.of);
    let rollup = |width: Width| {
        (
            Table::Rollup(reach.of, width),
            Steps::over(range, points, width.span()),
        )
    };
    let fits = |width: &Width| {
        let step = rollup(*width).1.step.0;
        width.span() <= finest.step && step.saturating_mul(3) <= finest.step.0.saturating_mul(4)
    };
    let best = Width::ALL.iter().rposition(fits);
    let wider = &Width::ALL[best.unwrap_or(0)..];
    // Where that is gone, the next wider one that is left; the widest is kept longest.
    let own = best.is_none().then_some((samples, finest));
    let mut all = own
        .into_iter()
        .chain(wider.iter().map(|width| rollup(*width)));
    all.find(|(table, _)| reach.back_to(*table) <= range.0)
        .unwrap_or_else(|| rollup(Width::Day))
}

#[cfg(test)]
mod tests {
    use mast_lake::Retention;
    use mast_schemas::rollups::Rolled;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(20_000 * 86_400);

    fn chosen(ago: Span, long: Span, points: u32) -> (&'static str, Steps) {
        let from = NOW - ago;
        let reach = Reach {
            of: Rolled::Registration,
            newest: NOW,
            made: [NOW; 4],
            kept: Retention::default(),
        };
        let (table, steps) = pick((from, from + long), points, &reach);
        (table.as_str(), steps)
    }

    fn picked(hours_ago: i64, hours: i64, points: u32) -> &'static str {
        chosen(Span::hours(hours_ago), Span::hours(hours), points).0
    }

    #[test]
    fn the_widest_buckets_that_give_the_points() {
        assert_eq!(picked(1, 1, 300), "registration_samples");
        assert_eq!(picked(1, 1, 60), "registration_1m");
        assert_eq!(picked(24, 24, 300), "registration_1m");
        assert_eq!(picked(24, 24, 96), "registration_15m");
        assert_eq!(picked(7 * 24, 7 * 24, 168), "registration_1h");
        assert_eq!(picked(365 * 24, 365 * 24, 365), "registration_1d");
        assert_eq!(picked(365 * 24, 365 * 24, 2), "registration_1d");
        // Of days there would be half of the points.
        assert_eq!(picked(365 * 24, 365 * 24, 364), "registration_1h");
        assert_eq!(picked(365 * 24, 365 * 24, 2_000), "registration_1h");
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

    #[test]
    fn steps_are_of_whole_buckets_at_their_own_multiples_and_hold_the_range() {
        for ago in [1, 61, 3_599, 86_399, 400_000, 8_000_003, 40_000_000] {
            for long in [1, 59, 3_600, 86_400, 1_000_003, 31_536_000] {
                for points in [1, 2, 7, 60, 300, 2_000] {
                    let (ago, long) = (Span::secs(ago), Span::secs(long));
                    let (table, steps) = chosen(ago, long, points);
                    let unit = Width::ALL
                        .into_iter()
                        .find(|w| Table::Rollup(Rolled::Registration, *w).as_str() == table)
                        .map_or(SECOND, Width::span);
                    let what = format!("{table} {steps:?} for {points} of {long:?}, {ago:?} ago");
                    assert_eq!(steps.step.0 % unit.0, 0, "{what}");
                    assert_eq!(steps.begin.0 % unit.0, 0, "{what}");
                    assert!(points == 1 || steps.begin.0 % steps.step.0 == 0, "{what}");
                    assert!((1..=points).contains(&steps.count), "{what}");
                    assert!(steps.begin <= NOW - ago, "{what}");
                    assert!(steps.end() >= NOW - ago + long, "{what}");
                    assert_eq!(
                        steps.begins().last(),
                        Some(steps.end() - steps.step),
                        "{what}"
                    );
                }
            }
        }
    }
}
