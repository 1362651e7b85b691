//! What a link's samples of an hour add up to: ten bytes, as every link has them.

use mast_schemas::checkpoint::HeardRecord;

use crate::trends::{mean, minutes};

/// Nothing covers more than this of an hour.
const HOUR_MS: u32 = 3_600_000;

/// Signals heard since the access point's hour began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed(2))]
pub(crate) struct Heard {
    sum_dbm: i32,
    covered_ms: u32,
    samples: u16,
}

impl Heard {
    /// One more; beyond what it can count they say nothing.
    pub(crate) fn add(&mut self, dbm: i16, interval_ms: u32) {
        if let Some(samples) = self.samples.checked_add(1) {
            self.samples = samples;
            self.sum_dbm += i32::from(dbm);
            self.covered_ms = self.covered_ms.saturating_add(interval_ms).min(HOUR_MS);
        }
    }

    /// Mean, hundredths of dBm, and minutes covered; `None` of less than half a minute.
    pub(crate) fn piece(self) -> Option<(i16, u8)> {
        let minutes = minutes(self.covered_ms);
        let mean = mean(100 * i64::from(self.sum_dbm), i64::from(self.samples))?;
        (minutes > 0).then_some((mean, minutes))
    }

    pub(crate) const fn record(self) -> HeardRecord {
        HeardRecord {
            sum_dbm: self.sum_dbm,
            samples: self.samples,
            covered_ms: self.covered_ms,
        }
    }
}

impl From<HeardRecord> for Heard {
    fn from(record: HeardRecord) -> Self {
        Self {
            sum_dbm: record.sum_dbm,
            covered_ms: record.covered_ms,
            samples: record.samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(signals: &[i16], interval_ms: u32) -> Heard {
        let mut heard = Heard::default();
        signals.iter().for_each(|dbm| heard.add(*dbm, interval_ms));
        heard
    }

    #[test]
    fn a_mean_is_rounded_halves_up_and_so_are_minutes() {
        // −60.33…, and −60.5 of 200 samples: −60.505 is −60.50, for halves go up.
        assert_eq!(heard(&[-60, -60, -61], 60_000).piece(), Some((-6033, 3)));
        let mut many = heard(&[-60; 99], 10_000);
        (0..101).for_each(|_| many.add(-61, 10_000));
        assert_eq!(many.piece(), Some((-6050, 33)));
        assert_eq!(heard(&[-60; 3], 30_000).piece(), Some((-6000, 2)));
    }

    #[test]
    fn less_than_half_a_minute_says_nothing_and_no_hour_has_more_than_sixty() {
        assert_eq!(Heard::default().piece(), None);
        assert_eq!(heard(&[-60], 29_999).piece(), None);
        assert_eq!(heard(&[-60], 30_000).piece(), Some((-6000, 1)));
        assert_eq!(heard(&[-60; 100], 60_000).piece(), Some((-6000, 60)));
        assert_eq!(heard(&[-60; 2], u32::MAX).piece(), Some((-6000, 60)));
    }

    #[test]
    fn what_no_radio_hears_overflows_nothing() {
        assert_eq!(
            heard(&[i16::MIN; 70_000], 60_000).piece(),
            Some((i16::MIN, 60))
        );
        assert_eq!(
            heard(&[i16::MAX; 70_000], 60_000).piece(),
            Some((i16::MAX, 60))
        );
    }
}
