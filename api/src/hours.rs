//! Hours of the week as people write them: when a route of notifications tells, and when a rule judges.

use std::collections::BTreeSet;

use chrono_tz::Tz;

/// The words of days, from Monday.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Number of a day, Monday 1.
pub(crate) fn day(word: &str) -> Option<i16> {
    let at = DAYS.iter().position(|day| *day == word)?;
    i16::try_from(at + 1).ok()
}

/// Words of days.
pub(crate) fn words(days: &[i16]) -> Vec<String> {
    let word = |day: &i16| DAYS.get(usize::try_from(day - 1).ok()?);
    let words = days.iter().filter_map(word);
    words.map(ToString::to_string).collect()
}

/// Minute of the day of `08:05`.
pub(crate) fn minute(text: &str) -> Option<i16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: i16| -> Option<i16> {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n| digits && *n < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// A minute of the day as it is written.
pub(crate) fn clock(minute: i16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// Hours as they came.
pub(crate) struct Written<'a> {
    pub(crate) days: Option<&'a [String]>,
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) time_zone: &'a str,
}

impl Written<'_> {
    /// What is wrong with them. `pointers` are of days, from, to and time zone.
    pub(crate) fn faults(&self, pointers: [&'static str; 4]) -> Vec<(&'static str, String)> {
        let [days, from, to, time_zone] = pointers;
        let mut faults = Vec::new();
        let mut must = |holds: bool, pointer, rule: &str| {
            if !holds {
                faults.push((pointer, rule.to_owned()));
            }
        };
        let some = self.days.is_none_or(|days| {
            let once: BTreeSet<_> = days.iter().collect();
            let known = days.iter().all(|word| day(word).is_some());
            !days.is_empty() && once.len() == days.len() && known
        });
        let all = DAYS.join(", ");
        must(
            some,
            days,
            &format!("must be null, or some of {all}, each once"),
        );
        for (pointer, text) in [(from, self.from), (to, self.to)] {
            let reads = text.is_none_or(|text| minute(text).is_some());
            must(reads, pointer, "must be null or a time such as 08:00");
        }
        let both = self.from.is_some() == self.to.is_some();
        must(both, to, "give both from and to, or neither");
        let known = self.time_zone.parse::<Tz>().is_ok();
        let rule = "must be a time zone of IANA, such as Europe/Ljubljana";
        must(known, time_zone, rule);
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_day_are_read_as_they_are_written() {
        for (text, read) in [("00:00", 0), ("08:05", 485), ("23:59", 1_439)] {
            assert_eq!(minute(text), Some(read));
            assert_eq!(clock(read), text);
        }
        for bad in [
            "", "8:00", "24:00", "12:60", "12", "12:00:00", "-1:00", "+1:00", "1²:00",
        ] {
            assert_eq!(minute(bad), None, "{bad}");
        }
        assert_eq!(
            (day("mon"), day("sun"), day("Sun")),
            (Some(1), Some(7), None)
        );
        assert_eq!(words(&[1, 7, 0, 8]), ["mon", "sun"]);
    }
}
