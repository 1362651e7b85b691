//! When maintenance windows are open (§19).

use std::cell::RefCell;

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, TimeZone, Weekday};
use chrono_tz::Tz;
use mast_schemas::control;
use mast_schemas::time::Span;
use mast_schemas::{SiteId, TenantId, Timestamp};

/// So many days after one time there is no other.
const FARTHEST: i64 = 14_610;

/// Begin and end of one time that a window is open.
type Opening = (Timestamp, Timestamp);

/// A maintenance window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) row: control::Window,
    recurrence: Option<Recurrence>,
    /// Begin and end of each time up to the first that begins after the instant.
    known: RefCell<Option<(Timestamp, Vec<Opening>)>>,
}

/// How often, and on which days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    Day,
    Week,
    Month,
    Year,
}

/// A recurrence rule with what the first time says of days.
#[derive(Clone, Debug)]
struct Recurrence {
    zone: Tz,
    first: chrono::NaiveDateTime,
    every: Every,
    interval: i64,
    count: Option<usize>,
    until: Until,
    week_begins: Weekday,
    months: Vec<i64>,
    month_days: Vec<i64>,
    /// The n-th of a month or year, counted from its end if negative; 0 = each.
    week_days: Vec<(i64, Weekday)>,
    positions: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Ever,
    Date(NaiveDate),
    Instant(Timestamp),
}

fn week_day(text: &str) -> Option<Weekday> {
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

fn numbers(text: &str) -> Option<Vec<i64>> {
    text.split(',').map(|n| n.parse().ok()).collect()
}

fn nth_week_days(text: &str) -> Option<Vec<(i64, Weekday)>> {
    let one = |text: &str| {
        let (nth, day) = text.split_at_checked(text.len().checked_sub(2)?)?;
        let nth = if nth.is_empty() { 0 } else { nth.parse().ok()? };
        Some((nth, week_day(day)?))
    };
    text.split(',').map(one).collect()
}

fn until(text: &str) -> Option<Until> {
    let date = NaiveDate::parse_from_str(text.get(..8)?, "%Y%m%d").ok()?;
    if text.len() == 8 {
        return Some(Until::Date(date));
    }
    let instant = chrono::NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?;
    Some(Until::Instant(Timestamp(
        instant.and_utc().timestamp_micros(),
    )))
}

impl Recurrence {
    fn parse(row: &control::Window) -> Option<Self> {
        let zone: Tz = row.time_zone.parse().ok()?;
        let first = DateTime::from_timestamp_micros(row.starts_at.0)?;
        let mut rule = Self {
            zone,
            first: first.with_timezone(&zone).naive_local(),
            every: Every::Day,
            interval: 1,
            count: None,
            until: Until::Ever,
            week_begins: Weekday::Mon,
            months: Vec::new(),
            month_days: Vec::new(),
            week_days: Vec::new(),
            positions: Vec::new(),
        };
        for part in row.recurrence.as_ref()?.split(';') {
            let (name, value) = part.split_once('=')?;
            match name {
                "FREQ" => {
                    rule.every = match value {
                        "DAILY" => Every::Day,
                        "WEEKLY" => Every::Week,
                        "MONTHLY" => Every::Month,
                        "YEARLY" => Every::Year,
                        _ => return None,
                    }
                }
                "INTERVAL" => rule.interval = value.parse().ok().filter(|n| *n > 0)?,
                "COUNT" => rule.count = Some(value.parse().ok()?),
                "UNTIL" => rule.until = until(value)?,
                "WKST" => rule.week_begins = week_day(value)?,
                "BYMONTH" => rule.months = numbers(value)?,
                "BYMONTHDAY" => rule.month_days = numbers(value)?,
                "BYDAY" => rule.week_days = nth_week_days(value)?,
                "BYSETPOS" => rule.positions = numbers(value)?,
                _ => return None,
            }
        }
        rule.fill();
        Some(rule)
    }

    /// What the rule does not say of days is as the first time has it.
    fn fill(&mut self) {
        let first = self.first.date();
        let no_day = self.month_days.is_empty() && self.week_days.is_empty();
        match self.every {
            Every::Week if self.week_days.is_empty() => self.week_days = vec![(0, first.weekday())],
            Every::Month if no_day => self.month_days = vec![i64::from(first.day())],
            Every::Year if no_day => {
                self.month_days = vec![i64::from(first.day())];
                if self.months.is_empty() {
                    self.months = vec![i64::from(first.month())];
                }
            }
            _ => {}
        }
    }

    /// First day of the period that holds a day.
    fn period(&self, date: NaiveDate) -> NaiveDate {
        let begin = match self.every {
            Every::Day => Some(date),
            Every::Week => date.checked_sub_days(Days::new(u64::from(
                date.weekday().days_since(self.week_begins),
            ))),
            Every::Month => date.with_day(1),
            Every::Year => date.with_ordinal(1),
        };
        begin.unwrap_or(date)
    }

    /// How many periods there are between the first time's and a day's.
    fn periods(&self, date: NaiveDate) -> i64 {
        let (a, b) = (self.period(self.first.date()), self.period(date));
        let months = |d: NaiveDate| i64::from(d.year()) * 12 + i64::from(d.month0());
        match self.every {
            Every::Day => (b - a).num_days(),
            Every::Week => (b - a).num_days() / 7,
            Every::Month => months(b) - months(a),
            Every::Year => i64::from(b.year() - a.year()),
        }
    }

    /// Whether the rule's days hold a day.
    fn has(&self, date: NaiveDate) -> bool {
        let of_month = |d: NaiveDate| d.month() == date.month() && d.year() == date.year();
        let of_year = |d: NaiveDate| d.year() == date.year();
        let by_month = self.every == Every::Month || !self.months.is_empty();
        let whole = |d: NaiveDate| if by_month { of_month(d) } else { of_year(d) };
        // How many days of the same name there are from here to the begin, or the end, of the month or year.
        let step = |n: i64, sign: i64| {
            let days = Days::new(7 * n.unsigned_abs());
            let there = if sign < 0 {
                date.checked_sub_days(days)
            } else {
                date.checked_add_days(days)
            };
            there.is_some_and(whole)
        };
        let nth = |nth: i64| match nth {
            0 => true,
            n if n > 0 => step(n - 1, -1) && !step(n, -1),
            n => step(-n - 1, 1) && !step(-n, 1),
        };
        let length = (27..31).filter(|n| date.with_day(n + 1).is_some()).max();
        let length = i64::from(length.unwrap_or(27) + 1);
        let (month, day) = (i64::from(date.month()), i64::from(date.day()));
        (self.months.is_empty() || self.months.contains(&month))
            && (self.month_days.is_empty()
                || (self.month_days.iter()).any(|n| *n == day || *n == day - length - 1))
            && (self.week_days.is_empty()
                || (self.week_days.iter()).any(|(n, name)| *name == date.weekday() && nth(*n)))
    }

    /// The days that the rule gives after the first time's, of periods that hold days up to `last`.
    fn days(&self, last: NaiveDate) -> Vec<NaiveDate> {
        let first = self.first.date();
        let mut all = Vec::new();
        let mut period: Vec<NaiveDate> = Vec::new();
        let begin = self.period(first);
        let turn = |period: &mut Vec<NaiveDate>, all: &mut Vec<NaiveDate>| {
            let n = period.len() as i64;
            let picked = |(i, _): &(i64, &NaiveDate)| {
                let mut positions = self.positions.iter();
                self.positions.is_empty() || positions.any(|p| *p == i + 1 || *p == i - n)
            };
            let picked = (0..)
                .zip(period.iter())
                .filter(picked)
                .map(|(_, date)| *date);
            all.extend(picked.filter(|date| *date > first));
            period.clear();
        };
        let mut begun = begin;
        for date in begin.iter_days() {
            if self.period(date) != begun {
                turn(&mut period, &mut all);
                begun = self.period(date);
                if date > last {
                    break;
                }
            }
            if self.periods(date) % self.interval == 0 && self.has(date) {
                period.push(date);
            }
        }
        all
    }

    fn begin(&self, date: NaiveDate) -> Option<Timestamp> {
        let local = self
            .zone
            .from_local_datetime(&date.and_time(self.first.time()));
        match local {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => {
                Some(Timestamp(at.timestamp_micros()))
            }
            LocalResult::None => None,
        }
    }

    /// Begins after the first one, up to the first that lies after an instant.
    fn begins(&self, after: Timestamp) -> Vec<Timestamp> {
        let now = DateTime::from_timestamp_micros(after.0);
        let now = now.map(|now| now.with_timezone(&self.zone).date_naive());
        let from = now.unwrap_or_default().max(self.first.date());
        let mut begins = Vec::new();
        // Most recur soon.
        for days in [40, 800, FARTHEST + 1] {
            begins = self.begins_to(after, from + Days::new(days.unsigned_abs()));
            if begins.last().is_some_and(|at| *at > after) {
                break;
            }
        }
        begins
    }

    fn begins_to(&self, after: Timestamp, last: NaiveDate) -> Vec<Timestamp> {
        let mut before = self.first.date();
        let mut begins = Vec::new();
        let most = self
            .count
            .map_or(usize::MAX, |count| count.saturating_sub(1));
        for date in self.days(last) {
            let too_late = matches!(self.until, Until::Date(last) if date > last);
            if too_late || begins.len() >= most || (date - before).num_days() > FARTHEST {
                break;
            }
            let Some(at) = self.begin(date) else { continue };
            if matches!(self.until, Until::Instant(last) if at > last) {
                break;
            }
            before = date;
            begins.push(at);
            if at > after {
                break;
            }
        }
        begins
    }
}

impl Window {
    pub(crate) fn new(row: control::Window) -> Self {
        let recurrence = Recurrence::parse(&row);
        Self {
            row,
            recurrence,
            known: RefCell::new(None),
        }
    }

    /// Begin and end of each time, up to the first that begins after an instant.
    fn times(&self, after: Timestamp) -> Vec<Opening> {
        let lasts = self.row.ends_at - self.row.starts_at;
        if lasts <= Span(0) {
            return Vec::new();
        }
        let others = self.recurrence.as_ref().map(|rule| rule.begins(after));
        let begins = [self.row.starts_at]
            .into_iter()
            .chain(others.into_iter().flatten());
        begins.map(|begin| (begin, begin + lasts)).collect()
    }

    /// Asks of times that hold all up to the first that begins after an instant, and may hold later ones. They are counted
    /// for a month, because a window is asked at every poll and its days are gone through from the first on.
    fn of_times<T>(&self, after: Timestamp, ask: impl FnOnce(&[Opening]) -> T) -> T {
        let mut known = self.known.borrow_mut();
        if known.as_ref().is_none_or(|(to, _)| after > *to) {
            let to = after + Span::hours(31 * 24);
            *known = Some((to, self.times(to)));
        }
        ask(known.as_ref().map_or(&[], |(_, times)| times))
    }

    /// What it covers all of: its tenant, or a site of it. Devices are no place.
    pub(crate) fn covers(&self) -> Option<(TenantId, Option<SiteId>)> {
        let row = &self.row;
        let covers = row.site_id.is_some() || row.device_ids.is_empty();
        covers.then_some((row.tenant_id, row.site_id))
    }

    pub(crate) fn is_open(&self, at: Timestamp) -> bool {
        self.of_times(at, |times| {
            (times.iter()).any(|(begin, end)| *begin <= at && at < *end)
        })
    }

    /// When it next opens or closes.
    pub(crate) fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        self.of_times(after, |times| {
            let all = times.iter().flat_map(|(begin, end)| [*begin, *end]);
            all.filter(|at| *at > after).min()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(utc: &str) -> Timestamp {
        let at = chrono::NaiveDateTime::parse_from_str(utc, "%Y-%m-%d %H:%M");
        Timestamp(at.map_or(0, |at| at.and_utc().timestamp_micros()))
    }

    /// The first `n` begins of a window of an hour, in UTC.
    fn begins(first: &str, zone: &str, recurrence: &str, n: usize) -> Vec<String> {
        let starts_at = instant(first);
        let window = Window::new(control::Window {
            id: mast_schemas::WindowId::default(),
            tenant_id: TenantId::default(),
            name: String::new(),
            site_id: None,
            device_ids: Vec::new(),
            starts_at,
            ends_at: starts_at + Span::hours(1),
            recurrence: Some(recurrence.to_owned()),
            time_zone: zone.to_owned(),
            version: 1,
        });
        let (mut all, mut after) = (Vec::new(), starts_at - Span(1));
        while all.len() < n
            && let Some(begin) = window.next_change(after)
        {
            assert!(window.is_open(begin) && !window.is_open(begin - Span(1)));
            let at = DateTime::from_timestamp_micros(begin.0);
            all.extend(at.map(|at| at.format("%m-%d %H:%M").to_string()));
            after = begin + Span::hours(1);
            assert_eq!(window.next_change(begin), Some(after));
            assert!(!window.is_open(after) && window.is_open(after - Span(1)));
        }
        all
    }

    #[test]
    fn a_week_goes_by_the_clocks_of_the_zone() {
        // 3:30 there; clocks go forward on 28 March 2027 at 2:00 and back on 31 October at 3:00.
        let weekly = begins("2027-03-21 02:30", "Europe/Ljubljana", "FREQ=WEEKLY", 3);
        assert_eq!(weekly, ["03-21 02:30", "03-28 01:30", "04-04 01:30"]);
        // 2:30 is leapt over then, and there twice in autumn.
        let leapt = begins("2027-03-21 01:30", "Europe/Ljubljana", "FREQ=WEEKLY", 2);
        assert_eq!(leapt, ["03-21 01:30", "04-04 00:30"]);
        let twice = begins("2027-10-30 00:30", "Europe/Ljubljana", "FREQ=DAILY", 3);
        assert_eq!(twice, ["10-30 00:30", "10-31 00:30", "11-01 01:30"]);
    }

    #[test]
    fn how_often_how_many_and_until_when() {
        let utc = |rule: &str, n| begins("2027-01-15 22:00", "UTC", rule, n);
        assert_eq!(
            utc("FREQ=DAILY;INTERVAL=3", 3),
            ["01-15 22:00", "01-18 22:00", "01-21 22:00"]
        );
        assert_eq!(utc("FREQ=DAILY;COUNT=2", 9), ["01-15 22:00", "01-16 22:00"]);
        assert_eq!(utc("FREQ=DAILY;UNTIL=20270117", 9).len(), 3);
        assert_eq!(utc("FREQ=DAILY;UNTIL=20270117T215959Z", 9).len(), 2);
        assert_eq!(utc("FREQ=DAILY;UNTIL=20270117T220000Z", 9).len(), 3);
    }

    #[test]
    fn on_which_days() {
        // 15 January 2027 is a Friday, and the first time is one whatever the rule says.
        let utc = |rule: &str, n| {
            let all = begins("2027-01-15 22:00", "UTC", rule, n);
            all.iter().map(|at| at[..5].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            utc("FREQ=WEEKLY;BYDAY=SU,TU", 4),
            ["01-15", "01-17", "01-19", "01-24"]
        );
        // The other week begins on Monday, or on Sunday.
        assert_eq!(
            utc("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", 3),
            ["01-15", "01-17", "01-31"]
        );
        assert_eq!(
            utc("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;WKST=SU", 3),
            ["01-15", "01-24", "02-07"]
        );
        assert_eq!(utc("FREQ=MONTHLY", 3), ["01-15", "02-15", "03-15"]);
        assert_eq!(
            utc("FREQ=MONTHLY;BYDAY=1MO,-1SU", 4),
            ["01-15", "01-31", "02-01", "02-28"]
        );
        assert_eq!(
            utc("FREQ=MONTHLY;BYMONTHDAY=31,-2", 5),
            ["01-15", "01-30", "01-31", "02-27", "03-30"]
        );
        assert_eq!(
            utc("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", 3),
            ["01-15", "01-29", "02-26"]
        );
        assert_eq!(
            utc("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", 3),
            ["01-15", "03-28", "03-26"]
        );
        assert_eq!(utc("FREQ=YEARLY;BYDAY=20MO", 2), ["01-15", "05-17"]);
        assert_eq!(
            utc("FREQ=DAILY;BYMONTH=3;BYMONTHDAY=1,2", 4),
            ["01-15", "03-01", "03-02", "03-01"]
        );
        assert_eq!(utc("FREQ=YEARLY", 2), ["01-15", "01-15"]);
    }

    #[test]
    fn what_cannot_be_read_is_there_once() {
        for rule in [
            "FREQ=HOURLY",
            "FREQ=DAILY;BYHOUR=3",
            "often",
            "FREQ=WEEKLY;BYDAY=XX",
        ] {
            assert_eq!(
                begins("2027-01-15 22:00", "UTC", rule, 3),
                ["01-15 22:00"],
                "{rule}"
            );
        }
        assert_eq!(
            begins("2027-01-15 22:00", "Europe/Atlantis", "FREQ=DAILY", 3).len(),
            1
        );
        // 30 February never comes.
        let never = begins(
            "2027-01-15 22:00",
            "UTC",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            3,
        );
        assert_eq!(never.len(), 1);
    }
}
