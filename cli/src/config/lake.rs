//! How long history is kept.

use mast_lake::Retention;
use mast_schemas::time::Span;
use serde::{Deserialize, Serialize};

use super::Problem;

/// Days that tables of the lake are kept, where a tenant has not said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Lake {
    /// Samples and events.
    pub(crate) raw_days: u32,
    /// Rollups of a minute.
    pub(crate) minute_days: u32,
    /// Rollups of a quarter of an hour.
    pub(crate) quarter_days: u32,
    /// Rollups of an hour.
    pub(crate) hour_days: u32,
    /// Rollups of a day.
    pub(crate) day_days: u32,
}

/// A day is rolled up from what is at most this old.
const LEAST_DAYS: u32 = 3;
const MOST_DAYS: u32 = 36_500;

impl Default for Lake {
    fn default() -> Self {
        Self {
            raw_days: 30,
            minute_days: 90,
            quarter_days: 365,
            hour_days: 5 * 365,
            day_days: 5 * 365,
        }
    }
}

impl Lake {
    /// As the lake takes it.
    pub(crate) fn retention(&self) -> Retention {
        let span = |days: u32| Span::hours(24 * i64::from(days));
        Retention {
            raw: span(self.raw_days),
            minute: span(self.minute_days),
            quarter: span(self.quarter_days),
            hour: span(self.hour_days),
            day: span(self.day_days),
        }
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        for (key, days) in [
            ("lake.raw_days", self.raw_days),
            ("lake.minute_days", self.minute_days),
            ("lake.quarter_days", self.quarter_days),
            ("lake.hour_days", self.hour_days),
            ("lake.day_days", self.day_days),
        ] {
            if !(LEAST_DAYS..=MOST_DAYS).contains(&days) {
                found.push((key, format!("must be {LEAST_DAYS} to {MOST_DAYS}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_lakes() {
        assert_eq!(Lake::default().retention(), Retention::default());
        let short = Lake {
            raw_days: 2,
            ..Lake::default()
        };
        let mut found = Vec::new();
        short.problems(&mut found);
        assert_eq!(found, [("lake.raw_days", "must be 3 to 36500".to_owned())]);
    }
}
