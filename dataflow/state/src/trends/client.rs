//! One client, and its history: buckets of hours and days, in rings whose newest bucket says which the others are, and the windows
//! over them.

use std::ops::RangeInclusive;

use mast_schemas::alerts::TrendTest;
use mast_schemas::thresholds::Thresholds;

use super::mean;
use crate::compact::Mac48;
use crate::messages::Piece;

/// Hours of a day.
pub(super) const HOURS: i64 = 24;
/// Minutes of an hour.
pub(super) const HOUR: i64 = 60;
/// Minutes of a day.
pub(super) const DAY: i64 = HOURS * HOUR;

/// Buckets by number, of which the newest `N` are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring<M, const N: usize> {
    means: [i16; N],
    minutes: [M; N],
}

impl<M: Copy + Default + Into<i64> + TryFrom<i64>, const N: usize> Ring<M, N> {
    pub(super) fn new() -> Self {
        Self {
            means: [0; N],
            minutes: [M::default(); N],
        }
    }

    fn place(number: i64) -> usize {
        usize::try_from(number.rem_euclid(i64::try_from(N).unwrap_or(i64::MAX))).unwrap_or(0)
    }

    /// Empties the buckets after `from`, up to `to`.
    fn advance(&mut self, from: i64, to: i64) {
        let oldest = to.saturating_sub(i64::try_from(N).unwrap_or(i64::MAX));
        for number in from.max(oldest) + 1..=to {
            self.put(number, (0, 0));
        }
    }

    pub(super) fn put(&mut self, number: i64, (mean, minutes): (i16, i64)) {
        let i = Self::place(number);
        self.means[i] = mean;
        self.minutes[i] = M::try_from(minutes).unwrap_or_default();
    }

    /// Buckets that have something, newest first: how many before `newest`, mean, minutes.
    pub(super) fn filled(&self, newest: i64) -> Vec<(u8, i16, M)> {
        let ages = (0..u8::MAX).take(N);
        let places = ages.map(|age| (age, Self::place(newest - i64::from(age))));
        let filled = places.filter(|(_, i)| self.minutes[*i].into() > 0);
        let mut buckets = Vec::with_capacity(filled.clone().count());
        buckets.extend(filled.map(|(age, i)| (age, self.means[i], self.minutes[i])));
        buckets
    }

    /// A bucket's mean and minutes.
    fn get(&self, number: i64) -> (i16, i64) {
        let i = Self::place(number);
        (self.means[i], self.minutes[i].into())
    }

    fn add(&mut self, number: i64, piece: &Piece, most: i64) {
        let (had, was) = self.get(number);
        let more = i64::from(piece.minutes);
        let sum = i64::from(had) * was + i64::from(piece.mean_cdbm) * more;
        if let Some(mean) = mean(sum, was + more) {
            self.put(number, (mean, (was + more).min(most)));
        }
    }

    /// The mean of buckets, each of `length` minutes, if enough of their time is covered.
    fn window(&self, range: RangeInclusive<i64>, length: i64, t: &Thresholds) -> Option<i16> {
        let whole = length * (range.end() - range.start() + 1);
        let buckets = range.map(|number| self.get(number));
        let (sum, minutes) = buckets.fold((0, 0), |(sum, all), (mean, minutes)| {
            (sum + i64::from(mean) * minutes, all + minutes)
        });
        let covered = minutes * 100 >= whole * i64::from(t.trend_coverage_percent);
        mean(sum, minutes).filter(|_| covered)
    }
}

/// A client: 16 bytes, and its history packed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// Access point and radio of its newest piece, and its tenant, by number.
    pub(super) place: u32,
    /// Hour of its newest piece.
    pub(super) hour: u32,
    pub(super) mac: Mac48,
}

impl Client {
    /// Day of its newest piece.
    pub(super) const fn day(&self) -> u32 {
        self.hour / HOURS as u32
    }
}

/// A client's history as it is worked with, for a while: 192 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    /// Hour of the newest piece.
    pub(super) hour: u32,
    pub(super) hours: Ring<u8, 24>,
    pub(super) days: Ring<u16, 29>,
}

impl History {
    /// A piece of `hour`, which is not before the newest.
    pub(super) fn take(&mut self, piece: &Piece, hour: u32) {
        let (from, to) = (i64::from(self.hour), i64::from(hour));
        self.hours.advance(from, to);
        self.days.advance(from / HOURS, to / HOURS);
        self.hour = hour;
        self.hours.add(to, piece, HOUR);
        self.days.add(to / HOURS, piece, DAY);
    }

    /// Mean of the window that a test looks at.
    pub(super) fn recent(&self, test: TrendTest, t: &Thresholds) -> Option<i16> {
        let hour = i64::from(self.hour);
        let day = hour / HOURS;
        match test {
            TrendTest::Day => self.hours.window(hour - (HOURS - 1)..=hour, HOUR, t),
            TrendTest::Week => self.days.window(day - 7..=day - 1, DAY, t),
        }
    }

    /// Mean of the window that it compares that with; they share nothing.
    pub(super) fn before(&self, test: TrendTest, t: &Thresholds) -> Option<i16> {
        let hour = i64::from(self.hour);
        let (day, last) = (hour / HOURS, (hour - (HOURS - 1)) / HOURS);
        let days = match test {
            TrendTest::Day => last - 7..=last - 1,
            TrendTest::Week => day - 28..=day - 8,
        };
        self.days.window(days, DAY, t)
    }
}
