//! When a maintenance window comes again: dates by a rule of RFC 5545, at the local time of day of the first one.
//!
//! Which dates a rule gives is what the library `rrule` says. What it is asked for is dates alone, in UTC: what becomes of a
//! time of day that a clock leaps over or shows twice is decided here (`docs/semantics.md` §19).
//!
//! The trap avoided: a rule that keeps a search busy. Rules that recur within a day are refused; of the others the library looks
//! at 100,000 days, weeks, months or years without a date at most, and what lies [`PATIENCE_DAYS`] past the last begin ends it all.

use std::str::FromStr;

use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use mast_schemas::Timestamp;
use rrule::{RRule, RRuleSet, RRuleSetIter, Unvalidated, Validated};

/// Days after a begin within which the next one must lie: forty years.
pub(super) const PATIENCE_DAYS: i64 = 14_610;
/// The library goes no farther.
const LAST_YEAR: i32 = 9_999;

/// Parts of which the library says which dates they give.
const OF_DATES: [&str; 6] = [
    "INTERVAL",
    "WKST",
    "BYMONTH",
    "BYMONTHDAY",
    "BYDAY",
    "BYSETPOS",
];

/// Why a recurrence is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecurrenceError {
    /// It does not say how often.
    #[error("a recurrence needs FREQ=DAILY, WEEKLY, MONTHLY or YEARLY")]
    Frequency,
    /// A part that windows don't have, or that is no part.
    #[error(
        "`{0}` is no part of a recurrence of windows; these are: FREQ, INTERVAL, COUNT or UNTIL, WKST, BYMONTH, BYMONTHDAY, BYDAY, BYSETPOS"
    )]
    Part(String),
    /// A part with a value that it can't have.
    #[error("`{0}` is not what it can be; RFC 5545 says what it can")]
    Value(String),
    /// A part that is there twice.
    #[error("`{0}` is said twice")]
    Twice(String),
    /// BYDAY with a number, of a day or a week.
    #[error("BYDAY has a number only with FREQ=MONTHLY or YEARLY")]
    Numbered,
    /// COUNT with UNTIL.
    #[error("COUNT and UNTIL exclude each other")]
    Together,
    /// What the library says is wrong.
    #[error("the recurrence is none: {0}")]
    Rule(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The last local date.
    Date(NaiveDate),
    /// The last instant.
    Instant(Timestamp),
}

/// A rule of RFC 5545 by which days recur, without how often it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recurrence {
    dates: RRule<Unvalidated>,
    count: Option<u32>,
    until: Option<Until>,
}

impl FromStr for Recurrence {
    type Err = RecurrenceError;

    fn from_str(text: &str) -> Result<Self, RecurrenceError> {
        // The library cuts texts where characters may go on.
        if !text.is_ascii() {
            return Err(RecurrenceError::Part(text.to_owned()));
        }
        let (mut said, mut of_dates) = (Vec::new(), Vec::new());
        let (mut count, mut until) = (None, None);
        for part in text.split(';') {
            let wrong = || RecurrenceError::Value(part.to_owned());
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| RecurrenceError::Part(part.to_owned()))?;
            let (name, value) = (name.to_ascii_uppercase(), value.to_ascii_uppercase());
            if said.contains(&name) {
                return Err(RecurrenceError::Twice(name));
            }
            match name.as_str() {
                "COUNT" => count = Some(positive(&value).ok_or_else(wrong)?),
                "UNTIL" => until = Some(until_of(&value).ok_or_else(wrong)?),
                "FREQ" if !["DAILY", "WEEKLY", "MONTHLY", "YEARLY"].contains(&value.as_str()) => {
                    return Err(RecurrenceError::Frequency);
                }
                "FREQ" => of_dates.push(format!("{name}={value}")),
                // The library takes the last two letters for the day, whatever is before them.
                "BYDAY" if !value.split(',').all(is_numbered_day) => return Err(wrong()),
                "WKST" if !DAYS.contains(&value.as_str()) => return Err(wrong()),
                // The library takes a 0 for nothing said.
                known if OF_DATES.contains(&known) && value.split(',').all(|item| item != "0") => {
                    of_dates.push(format!("{name}={value}"));
                }
                known if OF_DATES.contains(&known) => return Err(wrong()),
                _ => return Err(RecurrenceError::Part(name)),
            }
            said.push(name);
        }
        if !said.iter().any(|name| name == "FREQ") {
            return Err(RecurrenceError::Frequency);
        }
        if count.is_some() && until.is_some() {
            return Err(RecurrenceError::Together);
        }
        // The library takes the number for nothing said.
        let short = ["FREQ=DAILY", "FREQ=WEEKLY"]
            .iter()
            .any(|freq| of_dates.iter().any(|part| part == freq));
        let numbered =
            |part: &String| part.starts_with("BYDAY=") && part.bytes().any(|b| b.is_ascii_digit());
        if short && of_dates.iter().any(numbered) {
            return Err(RecurrenceError::Numbered);
        }
        let dates: RRule<Unvalidated> = of_dates.join(";").parse().map_err(told)?;
        let rule = Self {
            dates,
            count,
            until,
        };
        // Whether it can be does not depend on the date that it begins with.
        rule.from(NaiveDate::default())?;
        Ok(rule)
    }
}

const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// Whether it is a day of the week, with a number before it or without.
fn is_numbered_day(item: &str) -> bool {
    let Some((number, day)) = item
        .len()
        .checked_sub(2)
        .and_then(|at| item.split_at_checked(at))
    else {
        return false;
    };
    let nth = || number.parse::<i8>().is_ok_and(|nth| nth != 0);
    DAYS.contains(&day) && (number.is_empty() || nth())
}

fn told(error: rrule::RRuleError) -> RecurrenceError {
    RecurrenceError::Rule(error.to_string())
}

/// A date as the library is asked for it.
fn midnight(date: NaiveDate) -> DateTime<rrule::Tz> {
    rrule::Tz::UTC.from_utc_datetime(&date.and_time(NaiveTime::MIN))
}

impl Recurrence {
    /// The dates that it gives, from one on.
    fn from(&self, first: NaiveDate) -> Result<RRuleSet, RecurrenceError> {
        let first = midnight(first);
        let rule: RRule<Validated> = self.dates.clone().validate(first).map_err(told)?;
        Ok(RRuleSet::new(first).rrule(rule).limit())
    }
}

fn positive(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n| *n > 0)
}

fn until_of(text: &str) -> Option<Until> {
    if let Some(instant) = text.strip_suffix('Z') {
        let instant = NaiveDateTime::parse_from_str(instant, "%Y%m%dT%H%M%S").ok()?;
        let us = instant.and_utc().timestamp_micros();
        return Some(Until::Instant(Timestamp(us)));
    }
    let date = NaiveDate::parse_from_str(text, "%Y%m%d").ok()?;
    (text.len() == 8).then_some(Until::Date(date))
}

/// The begins of a window, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Begins {
    zone: Tz,
    starts_at: Timestamp,
    /// The same in local time.
    first: NaiveDateTime,
    /// Dates to come; `None` = no more.
    dates: Option<RRuleSetIter>,
    count: Option<u32>,
    until: Option<Until>,
    /// Begins so far.
    counted: u32,
    /// Date of the newest one.
    last: NaiveDate,
}

impl Begins {
    /// The begins of a window that recurs by `rule`; `None` when no calendar has `starts_at`.
    pub(super) fn new(rule: Option<&Recurrence>, zone: Tz, starts_at: Timestamp) -> Option<Self> {
        let first = DateTime::from_timestamp_micros(starts_at.0)?;
        let first = zone.from_utc_datetime(&first.naive_utc()).naive_local();
        let rule = rule.filter(|_| first.year() <= LAST_YEAR);
        let dates = rule.and_then(|rule| rule.from(first.date()).ok());
        Some(Self {
            zone,
            starts_at,
            first,
            dates: dates.map(|dates| (&dates).into_iter()),
            count: rule.and_then(|rule| rule.count),
            until: rule.and_then(|rule| rule.until),
            counted: 0,
            last: first.date(),
        })
    }

    /// The instant of the begin on a local date, if the clock shows it there.
    fn at(&self, date: NaiveDate) -> Option<Timestamp> {
        let local = date.and_time(self.first.time());
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => {
                Some(Timestamp(t.timestamp_micros()))
            }
            LocalResult::None => None,
        }
    }

    /// The next date by the rule, if it is one of these windows still, with its begin.
    fn following(&mut self) -> Option<(NaiveDate, Timestamp)> {
        if self.count.is_some_and(|count| self.counted >= count) {
            return None;
        }
        loop {
            let date = self.dates.as_mut()?.next()?.date_naive();
            if date <= self.first.date() {
                continue;
            }
            if (date - self.last).num_days() > PATIENCE_DAYS {
                return None;
            }
            let Some(at) = self.at(date) else {
                continue;
            };
            let past = match self.until {
                None => false,
                Some(Until::Date(last)) => date > last,
                Some(Until::Instant(last)) => at > last,
            };
            return (!past).then_some((date, at));
        }
    }
}

impl Iterator for Begins {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        if self.counted == 0 {
            self.counted = 1;
            return Some(self.starts_at);
        }
        let Some((date, at)) = self.following() else {
            // Later dates are none either.
            self.dates = None;
            return None;
        };
        self.counted = self.counted.saturating_add(1);
        self.last = date;
        Some(at)
    }
}

#[cfg(test)]
mod tests;
