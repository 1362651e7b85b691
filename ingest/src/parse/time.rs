//! Dates and times as routers write them.
//!
//! Version 6 and the first of 7 write `jul/21/2023` and, in the log, leave out what is of today or of this year; later ones write
//! `2023-07-21`. None of them has a zone. A line's time is an instant only together with the router's clock: its offset
//! from UTC, and how far that clock is off ours.

use super::{Attributes, Reason, first};
use mast_schemas::Timestamp;
use mast_schemas::time::Span;

/// What the two clocks may differ for times of one to mean something to the other.
const AGREE: Span = Span::secs(120);
const DAY_S: i64 = 86_400;

/// A day, as the number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// From a year, a month and a day of it; null when there is no such day.
    pub fn of(year: i64, month: u32, day: u32) -> Option<Self> {
        if !(1..=9_999).contains(&year) || !(1..=12).contains(&month) || day < 1 {
            return None;
        }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u32::from(leap),
            _ => 31,
        };
        if day > days {
            return None;
        }
        // Years begin in March, so the day that some have is the last.
        let (m, d) = (i64::from(month), i64::from(day));
        let y = year - i64::from(m <= 2);
        let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
        let of_year = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
        Some(Self(
            era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468,
        ))
    }

    fn year(self) -> i64 {
        // Off by one at most, which the caller's next step mends.
        1970 + self.0.div_euclid(365) - self.0.div_euclid(365 * 1_461)
    }
}

/// A date without its year, or with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Year, where told.
    pub year: Option<i64>,
    /// Month, from 1.
    pub month: u32,
    /// Day of the month, from 1.
    pub day: u32,
}

/// `2024-05-17`, `may/17/2024`, `May/17/2024` or `may/17`.
///
/// # Errors
/// No such date.
pub fn date(text: &str) -> Result<Date, Reason> {
    const EXPECTED: Reason = "expected a date such as 2024-05-17 or may/17/2024";
    let text = text.trim();
    let number = |t: &str| {
        let plain = !t.is_empty() && t.len() <= 4 && t.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| t.parse::<u32>().ok()).flatten()
    };
    let found = if text.contains('-') {
        let mut parts = text.splitn(3, '-').map(number);
        let mut next = || parts.next().flatten();
        let (year, month, day) = (next(), next(), next());
        year.zip(month).zip(day).map(|((year, month), day)| Date {
            year: Some(i64::from(year)),
            month,
            day,
        })
    } else {
        const MONTHS: [&str; 12] = [
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ];
        let mut parts = text.splitn(3, '/');
        let month = parts.next().unwrap_or_default().to_ascii_lowercase();
        let month = MONTHS.iter().position(|m| *m == month);
        let day = parts.next().and_then(number);
        let year = parts.next().map(|t| number(t).map(i64::from));
        match year {
            Some(None) => None,
            _ => month.zip(day).map(|(month, day)| Date {
                year: year.flatten(),
                month: month as u32 + 1,
                day,
            }),
        }
    };
    let exists = |d: &Date| Day::of(d.year.unwrap_or(2_000), d.month, d.day).is_some();
    found.filter(exists).ok_or(EXPECTED)
}

/// Seconds of a time of day: `14:27:01`.
///
/// # Errors
/// No time of day.
pub fn time_of_day(text: &str) -> Result<u32, Reason> {
    let text = text.trim();
    let one = !text.contains(char::is_whitespace);
    let second = crate::tail::second_of_day(text).filter(|_| one);
    second.ok_or("expected a time of day such as 14:27:01")
}

/// An offset from UTC in seconds: `+03:00`, `-05:30`.
///
/// # Errors
/// No such offset.
pub fn gmt_offset(text: &str) -> Result<i32, Reason> {
    const EXPECTED: Reason = "expected an offset from UTC such as +03:00";
    let text = text.trim();
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let (hours, minutes) = rest.split_once(':').ok_or(EXPECTED)?;
    let number = |t: &str| {
        let plain = t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| t.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (
        number(hours).ok_or(EXPECTED)?,
        number(minutes).ok_or(EXPECTED)?,
    );
    if hours > 15 || minutes > 59 {
        return Err(EXPECTED);
    }
    Ok(sign * (hours * 3_600 + minutes * 60))
}

/// A router's clock beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterClock {
    /// Its zone's offset from UTC now.
    offset_s: i64,
    /// How far it was ahead of ours.
    ahead: Span,
}

impl RouterClock {
    /// From a row of `/system/clock` that came at `now`; null when it says too little.
    pub fn read(attributes: &(impl Attributes + ?Sized), now: Timestamp) -> Option<Self> {
        let text = |name| first(attributes, name);
        let date = date(&text("date")?).ok()?;
        let day = Day::of(date.year?, date.month, date.day)?;
        let second = time_of_day(&text("time")?).ok()?;
        let offset_s = i64::from(gmt_offset(&text("gmt-offset")?).ok()?);
        let utc = Timestamp::from_secs(day.0 * DAY_S + i64::from(second) - offset_s);
        Some(Self {
            offset_s,
            ahead: utc - now,
        })
    }

    /// The instant of a log line's time, read at `now`. Null where the text is none, where the clocks do not agree, and
    /// where the instant lies ahead or before there were such routers: what a clock said that was set later.
    pub fn instant(&self, text: &str, now: Timestamp) -> Option<Timestamp> {
        if self.ahead.0.abs() > AGREE.0 {
            return None;
        }
        let local_now = (now + self.ahead).0.div_euclid(1_000_000) + self.offset_s;
        let latest = local_now + AGREE.0 / 1_000_000;
        let mut words = text.split_ascii_whitespace();
        let (head, tail) = (words.next()?, words.next());
        if words.next().is_some() {
            return None;
        }
        let second = i64::from(time_of_day(tail.unwrap_or(head)).ok()?);
        let local = match tail.map(|_| date(head)) {
            None => {
                let today = local_now.div_euclid(DAY_S) * DAY_S + second;
                if today > latest { today - DAY_S } else { today }
            }
            Some(Err(_)) => return None,
            Some(Ok(date)) => {
                let at = |year| Day::of(year, date.month, date.day).map(|d| d.0 * DAY_S + second);
                match date.year {
                    Some(year) => at(year)?,
                    // The last such day there was.
                    None => {
                        let year = Day(local_now.div_euclid(DAY_S)).year() + 1;
                        (year - 6..=year)
                            .rev()
                            .filter_map(at)
                            .find(|local| *local <= latest)?
                    }
                }
            }
        };
        let found = Timestamp::from_secs(local - self.offset_s);
        let sensible = found >= Timestamp::from_secs(1_262_304_000) && found <= now + AGREE;
        sensible.then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(year: i64, month: u32, day: u32, second: i64) -> Timestamp {
        Timestamp::from_secs(Day::of(year, month, day).unwrap().0 * DAY_S + second)
    }

    fn clock(date: &str, time: &str, offset: &str, now: Timestamp) -> RouterClock {
        let row = [("date", date), ("time", time), ("gmt-offset", offset)];
        RouterClock::read(row.as_slice(), now).unwrap()
    }

    #[test]
    fn days_count_from_1970() {
        assert_eq!(Day::of(1970, 1, 1), Some(Day(0)));
        assert_eq!(Day::of(2000, 3, 1), Some(Day(11_017)));
        assert_eq!(Day::of(2024, 2, 29), Some(Day(19_782)));
        assert_eq!(Day::of(2023, 2, 29), None);
        assert_eq!(Day::of(2023, 4, 31), None);
    }

    #[test]
    fn dates_in_every_form() {
        let d = |year, month, day| Ok(Date { year, month, day });
        assert_eq!(date("2024-05-17"), d(Some(2024), 5, 17));
        assert_eq!(date("jul/21/2023"), d(Some(2023), 7, 21));
        assert_eq!(date("Dec/03/2021"), d(Some(2021), 12, 3));
        assert_eq!(date("feb/29"), d(None, 2, 29));
        for bad in [
            "",
            "2024-05",
            "2024-13-01",
            "may",
            "may/32",
            "may/1/x",
            "1/2/3",
            "-1-1-1",
        ] {
            assert!(date(bad).is_err(), "{bad}");
        }
        assert_eq!(gmt_offset("+05:30"), Ok(19_800));
        assert_eq!(gmt_offset("-03:00"), Ok(-10_800));
        assert!(gmt_offset("3").is_err());
    }

    #[test]
    fn a_line_of_version_6_gets_the_year_and_the_day_that_it_leaves_out() {
        // The third of January 2026, 01:00:10 in a zone three hours ahead.
        let now = at(2026, 1, 2, 79_210);
        let clock = clock("jan/03/2026", "01:00:10", "+03:00", now);
        let told = |text| clock.instant(text, now);
        assert_eq!(told("00:59:00"), Some(at(2026, 1, 2, 79_140)));
        assert_eq!(
            told("01:30:00"),
            Some(at(2026, 1, 1, 81_000)),
            "yesterday's"
        );
        assert_eq!(told("jan/03 00:00:01"), Some(at(2026, 1, 2, 75_601)));
        assert_eq!(
            told("dec/31 23:59:59"),
            Some(at(2025, 12, 31, 75_599)),
            "last year's"
        );
        assert_eq!(
            told("feb/29 00:00:00"),
            Some(at(2024, 2, 28, 75_600)),
            "the last there was"
        );
        assert_eq!(
            told("jan/02/1970 00:00:12"),
            None,
            "before its clock was set"
        );
        assert_eq!(told("some other day"), None);
    }

    #[test]
    fn a_clock_that_is_wrong_makes_no_instants() {
        let now = at(2026, 8, 21, 30_000);
        let wrong = clock("2026-08-20", "08:20:00", "+00:00", now);
        assert_eq!(wrong.instant("2026-08-20 08:19:00", now), None);
        let right = clock("2026-08-21", "08:20:30", "+00:00", now);
        assert_eq!(
            right.instant("2026-08-21 08:19:00", now),
            Some(at(2026, 8, 21, 29_940))
        );
        assert_eq!(
            right.instant("2026-08-22 08:19:00", now),
            None,
            "that is to come"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_none(text in "\\PC{0,24}") {
            let now = at(2026, 8, 21, 30_000);
            let clock = clock("2026-08-21", "08:20:30", "+00:00", now);
            if let Some(found) = clock.instant(&text, now) {
                prop_assert!(found <= now + AGREE);
            }
            let _ = date(&text);
            let _ = gmt_offset(&text);
        }

        #[test]
        fn a_full_time_is_what_it_says(days in 15_000i64..20_600, second in 0i64..86_400) {
            // By counting up from a known day, month by month.
            let (mut year, mut month, mut left) = (1970i64, 1u32, days);
            loop {
                let next = if month == 12 { Day::of(year + 1, 1, 1) } else { Day::of(year, month + 1, 1) };
                let length = next.unwrap().0 - Day::of(year, month, 1).unwrap().0;
                if left < length { break; }
                left -= length;
                (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            }
            let text = format!(
                "{year}-{month:02}-{:02} {:02}:{:02}:{:02}",
                left + 1, second / 3_600, second / 60 % 60, second % 60,
            );
            let now = at(2026, 8, 21, 30_000);
            let clock = clock("2026-08-21", "08:20:00", "+00:00", now);
            prop_assert_eq!(clock.instant(&text, now), Some(Timestamp::from_secs(days * DAY_S + second)));
        }
    }
}
