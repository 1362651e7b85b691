//! Thresholds that are not the defaults, for tests that each of them decides something.

use mast_schemas::thresholds::{DEFAULT, Thresholds};
use mast_schemas::time::Span;

/// Each threshold by name, moved alone, so far that [`super::random`] scenarios tell it from the default. Those of departed
/// links are in [`few_departed`].
pub fn flipped() -> Vec<(&'static str, Thresholds)> {
    let t = DEFAULT;
    vec![
        (
            "degraded_signal_dbm",
            Thresholds {
                degraded_signal_dbm: -70,
                ..t
            },
        ),
        (
            "active_signal_dbm",
            Thresholds {
                active_signal_dbm: -40,
                ..t
            },
        ),
        (
            "degraded_ccq_percent",
            Thresholds {
                degraded_ccq_percent: 90,
                ..t
            },
        ),
        (
            "active_ccq_percent",
            Thresholds {
                active_ccq_percent: 101,
                ..t
            },
        ),
        (
            "confirm_tables",
            Thresholds {
                confirm_tables: 3,
                ..t
            },
        ),
        (
            "degrade_tables",
            Thresholds {
                degrade_tables: 3,
                ..t
            },
        ),
        (
            "recover_tables",
            Thresholds {
                recover_tables: 4,
                ..t
            },
        ),
        (
            "down_tables",
            Thresholds {
                down_tables: 4,
                ..t
            },
        ),
        ("losses", Thresholds { losses: 2, ..t }),
        (
            "loss_window",
            Thresholds {
                loss_window: Span::secs(60),
                ..t
            },
        ),
        (
            "stale_after",
            Thresholds {
                stale_after: Span::hours(12),
                ..t
            },
        ),
        (
            "forget_after",
            Thresholds {
                forget_after: Span::hours(48),
                ..t
            },
        ),
        (
            "forget_unmanaged_after",
            Thresholds {
                forget_unmanaged_after: Span::hours(1),
                ..t
            },
        ),
        (
            "ambiguous_owners",
            Thresholds {
                ambiguous_owners: 2,
                ..t
            },
        ),
        (
            "ambiguous_window",
            Thresholds {
                ambiguous_window: Span::secs(60),
                ..t
            },
        ),
        (
            "association_tolerance",
            Thresholds {
                association_tolerance: Span::secs(30),
                ..t
            },
        ),
        (
            "device_failures",
            Thresholds {
                device_failures: 3,
                ..t
            },
        ),
        (
            "unobserved_intervals",
            Thresholds {
                unobserved_intervals: 3,
                ..t
            },
        ),
    ]
}

/// The same for what [`super::days`] scenarios tell from the default.
pub fn flipped_trends() -> Vec<(&'static str, Thresholds)> {
    let t = DEFAULT;
    let flip = |name, flip: fn(&mut Thresholds)| {
        let mut flipped = t;
        flip(&mut flipped);
        (name, flipped)
    };
    vec![
        flip("trend_day_db", |t| t.trend_day_db = 6),
        flip("trend_week_db", |t| t.trend_week_db = 3),
        flip("trend_clear_db", |t| t.trend_clear_db = 2),
        flip("trend_coverage_percent", |t| t.trend_coverage_percent = 40),
    ]
}

/// No scenario departs as many clients as a radio keeps. Thresholds by which it keeps few, and others that tell each of the two
/// from them.
pub const fn few_departed() -> (Thresholds, [Thresholds; 2]) {
    let few = Thresholds {
        departed_least: 1,
        departed_factor: 0,
        ..DEFAULT
    };
    let least = Thresholds {
        departed_least: 2,
        ..few
    };
    let factor = Thresholds {
        departed_factor: 1,
        ..few
    };
    (few, [least, factor])
}
