//! When a maintenance window comes again: the part of RFC 5545 that such windows need, over local dates.
//!
//! The trap avoided: a rule that keeps a search busy. Only whole days recur, periods are looked at one after the other, and
//! a search ends once it is [`PATIENCE_DAYS`] past the last begin, whatever a rule says.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, TimeZone, Weekday,
};
use chrono_tz::Tz;
use mast_schemas::Timestamp;

/// Days after a begin within which the next one must lie: forty years.
pub(super) const PATIENCE_DAYS: i64 = 14_610;

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
    /// Parts that exclude each other.
    #[error("{0}")]
    Together(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// The last local date.
    Date(NaiveDate),
    /// The last instant.
    Instant(Timestamp),
}

/// A rule of RFC 5545 without times of day: see `docs/semantics.md` §19.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recurrence {
    frequency: Frequency,
    interval: u32,
    count: Option<u32>,
    until: Option<Until>,
    week_start: Weekday,
    months: Vec<u32>,
    month_days: Vec<i32>,
    /// The nth of its month or year, counted from its end if negative; 0 = each.
    days: Vec<(i32, Weekday)>,
    positions: Vec<i32>,
}

impl FromStr for Recurrence {
    type Err = RecurrenceError;

    fn from_str(text: &str) -> Result<Self, RecurrenceError> {
        let mut rule = Self {
            frequency: Frequency::Daily,
            interval: 1,
            count: None,
            until: None,
            week_start: Weekday::Mon,
            months: Vec::new(),
            month_days: Vec::new(),
            days: Vec::new(),
            positions: Vec::new(),
        };
        let mut said: Vec<String> = Vec::new();
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
                "FREQ" => {
                    rule.frequency = match value.as_str() {
                        "DAILY" => Frequency::Daily,
                        "WEEKLY" => Frequency::Weekly,
                        "MONTHLY" => Frequency::Monthly,
                        "YEARLY" => Frequency::Yearly,
                        _ => return Err(RecurrenceError::Frequency),
                    };
                }
                "INTERVAL" => rule.interval = positive(&value).ok_or_else(wrong)?,
                "COUNT" => rule.count = Some(positive(&value).ok_or_else(wrong)?),
                "UNTIL" => rule.until = Some(until(&value).ok_or_else(wrong)?),
                "WKST" => rule.week_start = weekday(&value).ok_or_else(wrong)?,
                "BYMONTH" => {
                    let month = |n: &str| numbered(n, 12).filter(|n| *n > 0);
                    let months = list(&value, month).ok_or_else(wrong)?;
                    rule.months = months.into_iter().map(i32::unsigned_abs).collect();
                }
                "BYMONTHDAY" => {
                    rule.month_days = list(&value, |n| numbered(n, 31)).ok_or_else(wrong)?;
                }
                "BYDAY" => rule.days = list(&value, day).ok_or_else(wrong)?,
                "BYSETPOS" => {
                    rule.positions = list(&value, |n| numbered(n, 366)).ok_or_else(wrong)?;
                }
                _ => return Err(RecurrenceError::Part(name)),
            }
            said.push(name);
        }
        if !said.iter().any(|name| name == "FREQ") {
            return Err(RecurrenceError::Frequency);
        }
        rule.consistent().map(|()| rule)
    }
}

impl Recurrence {
    fn consistent(&self) -> Result<(), RecurrenceError> {
        let together = |wrong, why| if wrong { Err(why) } else { Ok(()) };
        let short = matches!(self.frequency, Frequency::Daily | Frequency::Weekly);
        for (wrong, why) in [
            (
                self.count.is_some() && self.until.is_some(),
                "COUNT and UNTIL exclude each other",
            ),
            (
                short && self.days.iter().any(|(nth, _)| *nth != 0),
                "BYDAY has a number only with FREQ=MONTHLY or YEARLY",
            ),
            (
                self.frequency == Frequency::Weekly && !self.month_days.is_empty(),
                "BYMONTHDAY is not for FREQ=WEEKLY",
            ),
            (
                !self.positions.is_empty()
                    && self.months.is_empty()
                    && self.month_days.is_empty()
                    && self.days.is_empty(),
                "BYSETPOS picks from what another BY part says",
            ),
        ] {
            together(wrong, RecurrenceError::Together(why))?;
        }
        Ok(())
    }

    /// What the first date decides where the rule does not say it.
    fn completed(mut self, first: NaiveDate) -> Self {
        if self.days.is_empty() && self.month_days.is_empty() {
            match self.frequency {
                Frequency::Daily => {}
                Frequency::Weekly => self.days.push((0, first.weekday())),
                Frequency::Monthly => self.month_days.push(first.day().cast_signed()),
                Frequency::Yearly => {
                    if self.months.is_empty() {
                        self.months.push(first.month());
                    }
                    self.month_days.push(first.day().cast_signed());
                }
            }
        }
        self
    }

    /// First day of the `n`th period that counts, and the first day after it.
    fn period(&self, first: NaiveDate, n: u32) -> Option<(NaiveDate, NaiveDate)> {
        let steps = n.checked_mul(self.interval)?;
        let days = |days: u32| Days::new(u64::from(days));
        match self.frequency {
            Frequency::Daily => {
                let begin = first.checked_add_days(days(steps))?;
                Some((begin, begin.succ_opt()?))
            }
            Frequency::Weekly => {
                let into = first.weekday().days_since(self.week_start);
                let begin = first.checked_sub_days(days(into))?;
                let begin = begin.checked_add_days(days(steps.checked_mul(7)?))?;
                Some((begin, begin.checked_add_days(days(7))?))
            }
            Frequency::Monthly => {
                let begin = first.with_day(1)?.checked_add_months(Months::new(steps))?;
                Some((begin, begin.checked_add_months(Months::new(1))?))
            }
            Frequency::Yearly => {
                let begin = first.with_ordinal(1)?;
                let begin = begin.checked_add_months(Months::new(steps.checked_mul(12)?))?;
                Some((begin, begin.checked_add_months(Months::new(12))?))
            }
        }
    }

    /// The dates of a period, rising.
    fn dates(&self, (begin, end): (NaiveDate, NaiveDate)) -> Vec<NaiveDate> {
        let days = begin.iter_days().take_while(|date| *date < end);
        let dates: Vec<_> = days.filter(|date| self.has(*date)).collect();
        if self.positions.is_empty() {
            return dates;
        }
        let n = i32::try_from(dates.len()).unwrap_or(i32::MAX);
        let picked = (1..).zip(dates);
        picked
            .filter(|(place, _)| {
                self.positions.contains(place) || self.positions.contains(&(place - n - 1))
            })
            .map(|(_, date)| date)
            .collect()
    }

    fn has(&self, date: NaiveDate) -> bool {
        let year_days = if date.leap_year() { 366 } else { 365 };
        let month_days = i32::from(date.num_days_in_month());
        let day = date.day().cast_signed();
        // Days within which a numbered weekday is counted: (day, how many).
        let (place, of) = if self.frequency == Frequency::Yearly && self.months.is_empty() {
            (date.ordinal().cast_signed(), year_days)
        } else {
            (day, month_days)
        };
        let nth = (place - 1) / 7 + 1;
        let nth_last = -((of - place) / 7 + 1);
        let numbered = |n: i32| n == 0 || n == nth || n == nth_last;
        let weekday = date.weekday();
        let mut days = self.days.iter();
        let mut month_day = self.month_days.iter();
        (self.months.is_empty() || self.months.contains(&date.month()))
            && (self.month_days.is_empty()
                || month_day.any(|n| *n == day || *n == day - month_days - 1))
            && (self.days.is_empty() || days.any(|(n, day)| *day == weekday && numbered(*n)))
    }
}

fn positive(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n| *n > 0)
}

/// A number other than 0 that is at most so great, either way.
fn numbered(text: &str, most: u32) -> Option<i32> {
    let n: i32 = text.parse().ok()?;
    (n != 0 && n.unsigned_abs() <= most).then_some(n)
}

fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',').map(item).collect()
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return None,
    })
}

fn day(text: &str) -> Option<(i32, Weekday)> {
    let (n, name) = text.split_at_checked(text.len().checked_sub(2)?)?;
    let n = if n.is_empty() { 0 } else { numbered(n, 53)? };
    Some((n, weekday(name)?))
}

fn until(text: &str) -> Option<Until> {
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
    rule: Option<Recurrence>,
    zone: Tz,
    starts_at: Timestamp,
    /// The same in local time.
    first: NaiveDateTime,
    /// Dates of periods before this one have been taken out.
    period: u32,
    /// Dates to come, falling.
    pending: Vec<NaiveDate>,
    /// Begins so far.
    counted: u32,
    last: NaiveDate,
}

impl Begins {
    /// The begins of a window that recurs by `rule`; `None` when no calendar has `starts_at`.
    pub(super) fn new(rule: Option<Recurrence>, zone: Tz, starts_at: Timestamp) -> Option<Self> {
        let first = DateTime::from_timestamp_micros(starts_at.0)?;
        let first = zone.from_utc_datetime(&first.naive_utc()).naive_local();
        Some(Self {
            rule: rule.map(|rule| rule.completed(first.date())),
            zone,
            starts_at,
            first,
            period: 0,
            pending: Vec::new(),
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

    /// The next date by the rule that is after the first one.
    fn next_date(&mut self) -> Option<NaiveDate> {
        let rule = self.rule.as_ref()?;
        loop {
            if let Some(date) = self.pending.pop() {
                return Some(date);
            }
            let first = self.first.date();
            let period = rule.period(first, self.period)?;
            if (period.0 - self.last).num_days() > PATIENCE_DAYS {
                return None;
            }
            self.period = self.period.checked_add(1)?;
            let dates = rule.dates(period).into_iter().rev();
            self.pending = dates.filter(|date| *date > first).collect();
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
        let rule = self.rule.as_ref()?;
        let (count, until) = (rule.count, rule.until);
        if count.is_some_and(|count| self.counted >= count) {
            return None;
        }
        loop {
            let date = self.next_date()?;
            let Some(at) = self.at(date) else {
                continue;
            };
            let past = match until {
                None => false,
                Some(Until::Date(last)) => date > last,
                Some(Until::Instant(last)) => at > last,
            };
            if past || (date - self.last).num_days() > PATIENCE_DAYS {
                // Later dates are past it as well.
                self.rule = None;
                return None;
            }
            self.counted = self.counted.saturating_add(1);
            self.last = date;
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
