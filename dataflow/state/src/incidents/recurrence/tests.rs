use super::*;

/// Rules with their first dates, as python-dateutil 2.9 gives them.
const KNOWN: &[&str] = &[
    "FREQ=DAILY;BYMONTHDAY=29;BYDAY=FR 2026-05-29 2027-01-29 2027-10-29 2028-09-29 2028-12-29 2029-06-29",
    "FREQ=WEEKLY;INTERVAL=3;BYDAY=FR;BYSETPOS=-1,-2 2025-08-22 2025-09-12 2025-10-03 2025-10-24 2025-11-14 2025-12-05",
    "FREQ=YEARLY;INTERVAL=3;BYMONTHDAY=29,-2,-1 2024-10-29 2024-10-30 2024-10-31 2024-11-29 2024-11-30 2024-12-29",
    "FREQ=DAILY;INTERVAL=5;WKST=WE;BYMONTH=1,7;BYDAY=WE,SA,SU 2026-01-03 2026-01-18 2026-01-28 2026-07-12 2026-07-22 2027-01-03",
    "FREQ=YEARLY;INTERVAL=2;BYDAY=SA,TH,WE 2025-11-15 2025-11-19 2025-11-20 2025-11-22 2025-11-26 2025-11-27",
    "FREQ=MONTHLY;INTERVAL=5;BYDAY=-4TU,-1TH,-2SA 2025-01-07 2025-01-18 2025-01-30 2025-06-03 2025-06-21 2025-06-26",
    "FREQ=YEARLY;WKST=SU;BYMONTH=1,3,4,8;BYMONTHDAY=13;BYDAY=WE,TU,FR 2026-01-13 2026-03-13 2027-01-13 2027-04-13 2027-08-13 2029-03-13",
    "FREQ=DAILY 2025-02-11 2025-02-12 2025-02-13 2025-02-14 2025-02-15 2025-02-16",
    "FREQ=WEEKLY;WKST=WE 2025-04-30 2025-05-07 2025-05-14 2025-05-21 2025-05-28 2025-06-04",
    "FREQ=DAILY;INTERVAL=5;BYDAY=SA 2024-09-28 2024-11-02 2024-12-07 2025-01-11 2025-02-15 2025-03-22",
    "FREQ=YEARLY;WKST=SU;BYMONTH=1,3,6,9;BYDAY=WE 2024-06-26 2024-09-04 2024-09-11 2024-09-18 2024-09-25 2025-01-01",
    "FREQ=MONTHLY;BYMONTHDAY=-15 2024-08-17 2024-09-16 2024-10-17 2024-11-16 2024-12-17 2025-01-17",
    "FREQ=WEEKLY;BYMONTH=1,6,8,10 2024-08-07 2024-08-14 2024-08-21 2024-08-28 2024-10-02 2024-10-09",
    "FREQ=DAILY;BYDAY=MO,SA,TH 2026-01-31 2026-02-02 2026-02-05 2026-02-07 2026-02-09 2026-02-12",
    "FREQ=DAILY;WKST=SU;BYMONTH=3,8,11,12;BYDAY=MO,SU 2026-03-01 2026-03-02 2026-03-08 2026-03-09 2026-03-15 2026-03-16",
    "FREQ=DAILY;INTERVAL=4;BYMONTHDAY=31,13,1 2025-06-01 2025-06-13 2025-07-31 2025-09-01 2025-09-13 2025-10-31",
    "FREQ=YEARLY;BYMONTH=9 2025-09-15 2026-09-15 2027-09-15 2028-09-15 2029-09-15 2030-09-15",
    "FREQ=DAILY;WKST=SU 2024-11-29 2024-11-30 2024-12-01 2024-12-02 2024-12-03 2024-12-04",
    "FREQ=WEEKLY;BYDAY=SA,FR 2024-09-27 2024-09-28 2024-10-04 2024-10-05 2024-10-11 2024-10-12",
    "FREQ=WEEKLY;WKST=SU;BYDAY=TH,MO;BYSETPOS=1,2 2026-01-05 2026-01-08 2026-01-12 2026-01-15 2026-01-19 2026-01-22",
    "FREQ=MONTHLY;INTERVAL=3;BYMONTH=7;BYDAY=-2TH,-3FR;BYSETPOS=-2,1 2025-07-11 2026-07-17 2027-07-16 2028-07-14 2029-07-13 2030-07-12",
    "FREQ=MONTHLY;WKST=SU;BYMONTH=2;BYMONTHDAY=1,13;BYDAY=SU,SA 2025-02-01 2026-02-01 2027-02-13 2028-02-13 2031-02-01 2032-02-01",
    "FREQ=DAILY;WKST=WE;BYDAY=WE,FR,TU,MO,SU 2024-04-22 2024-04-23 2024-04-24 2024-04-26 2024-04-28 2024-04-29",
    "FREQ=WEEKLY;INTERVAL=3;WKST=WE 2024-07-29 2024-08-19 2024-09-09 2024-09-30 2024-10-21 2024-11-11",
    "FREQ=YEARLY;BYDAY=WE,TU 2025-12-24 2025-12-30 2025-12-31 2026-01-06 2026-01-07 2026-01-13",
    "FREQ=WEEKLY;BYMONTH=1;BYDAY=TH,TU,MO;BYSETPOS=3,-1 2026-01-01 2026-01-08 2026-01-15 2026-01-22 2026-01-29 2027-01-07",
    "FREQ=WEEKLY;WKST=SU;BYMONTH=1,5;BYDAY=FR,WE,TU;BYSETPOS=2,-1 2025-01-03 2025-01-08 2025-01-10 2025-01-15 2025-01-17 2025-01-22",
    "FREQ=MONTHLY;INTERVAL=3;WKST=MO;BYMONTHDAY=-15,31,30 2024-10-17 2024-10-30 2024-10-31 2025-01-17 2025-01-30 2025-01-31",
    "FREQ=WEEKLY;INTERVAL=5;BYDAY=SU 2026-01-04 2026-02-08 2026-03-15 2026-04-19 2026-05-24 2026-06-28",
    "FREQ=WEEKLY;INTERVAL=2;WKST=WE;BYDAY=FR,MO,SA,TU,TH;BYSETPOS=1,3 2025-11-06 2025-11-08 2025-11-20 2025-11-22 2025-12-04 2025-12-06",
    "FREQ=YEARLY;WKST=MO;BYMONTH=10;BYDAY=-1SA,4SU;BYSETPOS=2 2026-10-31 2027-10-30 2028-10-28 2029-10-28 2030-10-27 2031-10-26",
    "FREQ=YEARLY;INTERVAL=4;BYMONTHDAY=28,29,2;BYSETPOS=1,-2 2024-12-28 2028-01-02 2028-12-28 2032-01-02 2032-12-28 2036-01-02",
    "FREQ=DAILY;INTERVAL=5;BYMONTHDAY=29;BYSETPOS=-2,-1 2025-01-29 2025-04-29 2025-05-29 2026-01-29 2026-04-29 2026-05-29",
    "FREQ=MONTHLY;BYMONTH=4,7,9,11;BYDAY=4SU,-3TU,-2WE,-4TH,2MO;BYSETPOS=3,2 2025-04-14 2025-04-15 2025-07-14 2025-07-15 2025-09-08 2025-09-16",
    "FREQ=YEARLY;BYMONTH=11,12;BYDAY=TU,TH,MO,WE,SA 2025-11-29 2025-12-01 2025-12-02 2025-12-03 2025-12-04 2025-12-06",
    "FREQ=MONTHLY;INTERVAL=5 2024-02-27 2024-07-27 2024-12-27 2025-05-27 2025-10-27 2026-03-27",
    "FREQ=DAILY;BYMONTH=11;BYSETPOS=-1,3 2025-11-01 2025-11-02 2025-11-03 2025-11-04 2025-11-05 2025-11-06",
    "FREQ=DAILY;INTERVAL=4;BYMONTH=1,2,10,11;BYDAY=SU,TH,WE,SA,TU;BYSETPOS=2,1 2026-02-03 2026-02-07 2026-02-11 2026-02-15 2026-02-19 2026-10-01",
    "FREQ=WEEKLY;INTERVAL=3;WKST=SU;BYDAY=TU,TH,MO 2024-10-14 2024-10-15 2024-10-17 2024-11-04 2024-11-05 2024-11-07",
    "FREQ=DAILY;INTERVAL=5;BYDAY=TH,FR,TU,MO,SA;BYSETPOS=-1,3 2026-01-30 2026-02-09 2026-02-14 2026-02-19 2026-02-24 2026-03-06",
    "FREQ=MONTHLY;INTERVAL=3;WKST=SU;BYMONTH=2,4,6,7;BYMONTHDAY=-2 2024-04-29 2024-07-30 2025-04-29 2025-07-30 2026-04-29 2026-07-30",
    "FREQ=YEARLY;WKST=WE;BYMONTHDAY=30,1;BYSETPOS=2 2026-01-30 2027-01-30 2028-01-30 2029-01-30 2030-01-30 2031-01-30",
    "FREQ=WEEKLY;BYDAY=SU,SA,MO;BYSETPOS=2,1 2025-01-12 2025-01-13 2025-01-18 2025-01-20 2025-01-25 2025-01-27",
    "FREQ=MONTHLY;INTERVAL=3;BYMONTH=1,4,6,11;BYDAY=-1MO,-1TH,2FR 2025-11-14 2025-11-24 2025-11-27 2026-11-13 2026-11-26 2026-11-30",
    "FREQ=MONTHLY;BYMONTH=6,7,10,12;BYMONTHDAY=28,31;BYSETPOS=-2 2024-07-28 2024-10-28 2024-12-28 2025-07-28 2025-10-28 2025-12-28",
    "FREQ=MONTHLY;INTERVAL=5;WKST=MO;BYDAY=FR,TU 2024-07-09 2024-07-12 2024-07-16 2024-07-19 2024-07-23 2024-07-26",
    "FREQ=WEEKLY;INTERVAL=3;BYMONTH=12;BYSETPOS=-1 2024-12-17 2025-12-09 2025-12-30 2026-12-01 2026-12-22 2027-12-14",
];

fn instant(text: &str) -> Timestamp {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    Timestamp(time.and_utc().timestamp_micros())
}

fn begins(rule: &str, zone: Tz, starts_at: &str) -> Begins {
    Begins::new(Some(&rule.parse().unwrap()), zone, instant(starts_at)).unwrap()
}

/// The begins in UTC.
fn first(n: usize, rule: &str, zone: Tz, starts_at: &str) -> Vec<String> {
    let begins = begins(rule, zone, starts_at).take(n);
    let text = |at: Timestamp| DateTime::from_timestamp_micros(at.0).unwrap();
    begins
        .map(|at| text(at).format("%Y-%m-%d %H:%M").to_string())
        .collect()
}

#[test]
fn dates_are_those_of_another_implementation() {
    for line in KNOWN {
        let mut words = line.split(' ');
        let rule = words.next().unwrap();
        let dates: Vec<_> = words.map(|date| format!("{date} 02:30")).collect();
        assert_eq!(
            first(dates.len(), rule, Tz::UTC, &dates[0]),
            dates,
            "{rule}"
        );
    }
}

#[test]
fn the_time_of_day_is_local_whatever_the_clock_does() {
    // Central Europe: summer time began on 2026-03-29 and ends on 2026-10-25.
    let weekly = "FREQ=WEEKLY;BYDAY=SU";
    let zone = Tz::Europe__Ljubljana;
    assert_eq!(
        first(3, weekly, zone, "2026-03-22 03:00"),
        ["2026-03-22 03:00", "2026-03-29 02:00", "2026-04-05 02:00"]
    );
    assert_eq!(
        first(3, weekly, zone, "2026-10-18 02:00"),
        ["2026-10-18 02:00", "2026-10-25 03:00", "2026-11-01 03:00"]
    );
}

#[test]
fn a_begin_that_the_clock_leaps_over_is_none_and_of_one_shown_twice_it_is_the_first() {
    let zone = Tz::Europe__Ljubljana;
    // 02:30 in local time: there is none on 2026-03-29, and it does not count.
    assert_eq!(
        first(9, "FREQ=DAILY;COUNT=3", zone, "2026-03-28 01:30"),
        ["2026-03-28 01:30", "2026-03-30 00:30", "2026-03-31 00:30"]
    );
    // On 2026-10-25 there are two: 00:30 and 01:30 UTC.
    assert_eq!(
        first(3, "FREQ=DAILY", zone, "2026-10-24 00:30"),
        ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"]
    );
}

#[test]
fn the_first_one_is_there_and_counts_whether_or_not_the_rule_gives_it() {
    // A Wednesday.
    let rule = "FREQ=WEEKLY;BYDAY=SU;COUNT=3";
    assert_eq!(
        first(9, rule, Tz::UTC, "2026-04-01 10:00"),
        ["2026-04-01 10:00", "2026-04-05 10:00", "2026-04-12 10:00"]
    );
    assert_eq!(
        first(9, "FREQ=DAILY;COUNT=1", Tz::UTC, "2026-04-01 10:00").len(),
        1
    );
}

#[test]
fn until_has_its_day_or_its_instant() {
    // 19:00 on June 1st in New York.
    let days = |rule| first(99, rule, Tz::America__New_York, "2026-06-01 23:00").len();
    assert_eq!(days("FREQ=DAILY;UNTIL=20260603"), 3);
    assert_eq!(days("FREQ=DAILY;UNTIL=20260603T230000Z"), 3);
    assert_eq!(days("FREQ=DAILY;UNTIL=20260603T225959Z"), 2);
    assert_eq!(days("FREQ=DAILY;UNTIL=20260501"), 1);
}

#[test]
fn what_never_comes_again_ends_the_search() {
    for rule in [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=65535",
        "FREQ=YEARLY;INTERVAL=41",
        "FREQ=WEEKLY;INTERVAL=65535",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYSETPOS=2",
    ] {
        assert_eq!(
            first(2, rule, Tz::UTC, "2026-04-01 10:00").len(),
            1,
            "{rule}"
        );
    }
    // Years without a February 29th lie within the patience.
    let leap = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29";
    let dates = first(3, leap, Tz::UTC, "2096-02-29 10:00");
    assert_eq!(dates[1..], ["2104-02-29 10:00", "2108-02-29 10:00"]);
}

#[test]
fn what_is_no_rule_is_refused_with_the_part_that_is_wrong() {
    for (rule, told) in [
        ("", "``"),
        ("INTERVAL=2", "FREQ"),
        ("FREQ=SECONDLY", "FREQ"),
        ("FREQ=HOURLY", "FREQ"),
        ("FREQ=DAILY;", "``"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=0"),
        ("FREQ=DAILY;COUNT=-1", "COUNT=-1"),
        ("FREQ=DAILY;COUNT=99999999999", "COUNT"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "exclude"),
        ("FREQ=DAILY;UNTIL=20260101T000000", "UNTIL"),
        ("FREQ=DAILY;UNTIL=2026011", "UNTIL"),
        ("FREQ=DAILY;BYHOUR=3", "BYHOUR"),
        ("FREQ=YEARLY;BYWEEKNO=3", "BYWEEKNO"),
        ("FREQ=WEEKLY;BYDAY=1SU", "number"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY"),
        ("FREQ=DAILY;BYDAY=-1SU", "number"),
        ("FREQ=MONTHLY;BYDAY=6MO", "6"),
        ("FREQ=MONTHLY;BYDAY=XX", "XX"),
        ("FREQ=WEEKLY;BYDAY=xSU", "xSU"),
        ("FREQ=WEEKLY;BYDAY=MO, SU", " SU"),
        ("FREQ=WEEKLY;BYDAY=SUNDAY", "SUNDAY"),
        ("FREQ=MONTHLY;BYDAY=+MO", "+MO"),
        ("FREQ=MONTHLY;BYDAY=0MO", "0MO"),
        ("FREQ=WEEKLY;WKST=xMO", "xMO"),
        ("FREQ=MONTHLY;BYDAY=é", "é"),
        ("FREQ=MONTHLY;BYDAY=€", "€"),
        ("FREQ=DAILY;INTERVAL=4294967295", "INTERVAL"),
        ("FREQ=MONTHLY;BYDAY=54MO", "54"),
        ("FREQ=MONTHLY;BYMONTH=13", "13"),
        ("FREQ=MONTHLY;BYMONTH=-1", "-1"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "0"),
    ] {
        let error = rule.parse::<Recurrence>().unwrap_err().to_string();
        assert!(error.contains(told), "{rule}: {error}");
    }
    assert_eq!(
        "freq=weekly;byday=su".parse::<Recurrence>(),
        "FREQ=WEEKLY;BYDAY=SU".parse::<Recurrence>()
    );
}
