//! Hours of the week on somebody's clock.

use chrono::{DateTime, Datelike, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::Timestamp;
use crate::control::Schedule;

/// Times of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Hours over midnight are of the day on which they begin.
    pub days: Days,
    /// From this minute of the day to before that one; from above to: over midnight. Null: all day.
    pub span: Option<(u16, u16)>,
    /// Whose clock.
    pub zone: Tz,
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0b1111_1110);

    /// Whether a day is one of them, Monday 1.
    pub const fn has(self, day: u8) -> bool {
        day < 8 && self.0 & (1 << day) != 0
    }
}

impl FromIterator<u8> for Days {
    /// Those of these numbers, Monday 1; there are no others.
    fn from_iter<I: IntoIterator<Item = u8>>(days: I) -> Self {
        let bit = |day: u8| 1u8.checked_shl(day.into()).unwrap_or(0);
        let bits = days.into_iter().map(bit);
        Self(bits.fold(0, |all, day| all | day) & Self::ALL.0)
    }
}

impl Hours {
    /// The hours that a schedule says; none if there is no such zone.
    pub fn of(schedule: &Schedule) -> Option<Self> {
        let days = match schedule.days.as_slice() {
            [] => Days::ALL,
            days => days.iter().copied().collect(),
        };
        Some(Self {
            days,
            span: schedule.from_minute.zip(schedule.to_minute),
            zone: schedule.time_zone.parse().ok()?,
        })
    }

    /// Whether an instant is within.
    pub fn contain(&self, at: Timestamp) -> bool {
        let utc = DateTime::<Utc>::from_timestamp_micros(at.0).unwrap_or_default();
        let local = self.zone.from_utc_datetime(&utc.naive_utc());
        let day = u8::try_from(local.weekday().number_from_monday()).unwrap_or(1);
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0);
        let before = if day == 1 { 7 } else { day - 1 };
        match self.span {
            None => self.days.has(day),
            Some((from, to)) if from < to => self.days.has(day) && (from..to).contains(&minute),
            // From 00:00 to 00:00, as from 08:00 to 08:00, is a day from there on.
            Some((from, to)) => {
                (self.days.has(day) && minute >= from) || (self.days.has(before) && minute < to)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let read = DateTime::parse_from_rfc3339(text).unwrap();
        Timestamp(read.timestamp_micros())
    }

    fn hours(days: &[u8], span: Option<(u16, u16)>, zone: &str) -> Hours {
        let schedule = Schedule {
            days: days.to_vec(),
            from_minute: span.map(|(from, _)| from),
            to_minute: span.map(|(_, to)| to),
            time_zone: zone.to_owned(),
        };
        Hours::of(&schedule).unwrap()
    }

    #[test]
    fn hours_are_of_a_zone_and_may_pass_midnight() {
        let night = hours(&[5], Some((22 * 60, 6 * 60)), "Europe/Ljubljana");
        for (instant, within) in [
            // Friday 6 March 2026, winter: an hour before UTC.
            ("2026-03-06T20:59:00Z", false),
            ("2026-03-06T21:00:00Z", true),
            ("2026-03-07T04:59:59Z", true),
            ("2026-03-07T05:00:00Z", false),
            ("2026-03-07T22:00:00Z", false),
            // The night before Friday began on Thursday.
            ("2026-03-06T03:00:00Z", false),
            // Friday 3 July, summer: two hours before UTC.
            ("2026-07-03T20:00:00Z", true),
            ("2026-07-03T19:59:00Z", false),
        ] {
            assert_eq!(night.contain(at(instant)), within, "{instant}");
        }
        let office = hours(
            &[1, 2, 3, 4, 5],
            Some((8 * 60, 17 * 60)),
            "America/New_York",
        );
        for (instant, within) in [
            ("2026-03-06T13:00:00Z", true),
            ("2026-03-06T12:59:59Z", false),
            ("2026-03-06T22:00:00Z", false),
            ("2026-03-07T15:00:00Z", false),
            // After 8 March clocks are an hour further.
            ("2026-03-09T12:00:00Z", true),
        ] {
            assert_eq!(office.contain(at(instant)), within, "{instant}");
        }
        // A Monday's night began on Sunday.
        let sunday = hours(&[7], Some((1_320, 360)), "UTC");
        assert!(sunday.contain(at("2026-03-09T01:00:00Z")));
        assert!(!sunday.contain(at("2026-03-10T01:00:00Z")));
        let all = hours(&[], Some((480, 480)), "UTC");
        assert!(all.contain(at("2026-03-09T07:59:00Z")) && all.contain(at("2026-03-09T08:00:00Z")));
        assert!(!hours(&[1], None, "Asia/Tokyo").contain(at("2026-03-09T15:00:00Z")));
    }

    #[test]
    fn an_hour_that_comes_twice_is_within_twice_and_one_that_is_left_out_never() {
        let small_hours = hours(&[7], Some((120, 180)), "Europe/Ljubljana");
        for (instant, within) in [
            // On 25 October 2026 at 03:00 clocks go back to 02:00.
            ("2026-10-24T23:59:59Z", false),
            ("2026-10-25T00:00:00Z", true),
            ("2026-10-25T01:00:00Z", true),
            ("2026-10-25T01:59:59Z", true),
            ("2026-10-25T02:00:00Z", false),
            // On 29 March 2026 at 02:00 they go on to 03:00.
            ("2026-03-29T00:59:59Z", false),
            ("2026-03-29T01:00:00Z", false),
        ] {
            assert_eq!(small_hours.contain(at(instant)), within, "{instant}");
        }
    }

    #[test]
    fn a_zone_that_is_not_known_says_no_hours() {
        let nowhere = Schedule {
            days: Vec::new(),
            from_minute: None,
            to_minute: None,
            time_zone: "Nowhere/Land".to_owned(),
        };
        assert_eq!(Hours::of(&nowhere), None);
    }

    #[test]
    fn days_are_those_from_monday_to_sunday() {
        let days: Days = [0, 2, 7, 8, 9, 255].into_iter().collect();
        let has: Vec<u8> = (0..=255).filter(|day| days.has(*day)).collect();
        assert_eq!(has, [2, 7]);
        assert_eq!((1..8).collect::<Days>(), Days::ALL);
        // Numbers that are no day are not all days.
        let none = hours(&[9], None, "UTC");
        assert!(!none.contain(at("2026-03-09T15:00:00Z")));
    }
}
