//! §17: signals over days, by numbers written by hand. Access points are polled once an hour here, at the whole hour, and a
//! sample covers that hour. Scripts begin at eight o'clock, so that a day begins with hour 16.

use mast_oracle::Oracle;
use mast_oracle::script::{Script, at, mac, radio, tenant};
use mast_schemas::alerts::{TrendChange, TrendEvent, TrendTest};
use mast_schemas::checkpoint::TrendRecord;
use mast_schemas::control::Change;
use mast_schemas::partition::mix;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{DeviceId, Timestamp};

const HOUR: i64 = 3_600;
/// Hours since 1970 at the begin of a script.
const FIRST: u32 = 500_000;

/// Seconds past the whole hour at which an access point's hours end.
fn offset(ap: DeviceId) -> i64 {
    (mix(ap.as_bytes()) % 3_600) as i64
}

fn hourly(s: &mut Script, n: u32) -> DeviceId {
    let ap = s.device(at(0), n);
    s.edit(at(0), ap, |row| row.interval_ms = 3_600_000);
    ap
}

/// A client's signal hour by hour; without one the hour is not polled.
fn curve(
    s: &mut Script,
    ap: DeviceId,
    hours: std::ops::Range<i64>,
    dbm: impl Fn(i64) -> Option<i16>,
) {
    for hour in hours {
        if let Some(dbm) = dbm(hour) {
            s.ap_poll(ap, at(hour * HOUR), &[(mac(1), Some(dbm), None, None)]);
        }
    }
}

fn fold(s: &Script, until: Timestamp) -> Oracle {
    let mut oracle = Oracle::new(DEFAULT);
    for slot in s.slots(until) {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
    }
    oracle
}

/// The hour of which a piece of the access point told, what became of the trend, by which test, baseline and recent mean.
type Told = (i64, TrendChange, TrendTest, i32, Option<i32>);

fn told(ap: DeviceId, events: Vec<TrendEvent>) -> Vec<Told> {
    let hour = |e: &TrendEvent| {
        let us = (e.at - at(offset(ap))).0;
        assert_eq!(us % (HOUR * 1_000_000), 0, "{e:?}");
        us / (HOUR * 1_000_000)
    };
    events
        .iter()
        .map(|e| (hour(e), e.change, e.test, e.baseline_cdbm, e.recent_cdbm))
        .collect()
}

fn story(hours: i64, dbm: impl Fn(i64) -> Option<i16>) -> Vec<Told> {
    let mut s = Script::new();
    let ap = hourly(&mut s, 1);
    curve(&mut s, ap, 0..hours, dbm);
    let mut oracle = fold(&s, at(hours * HOUR));
    told(ap, oracle.take_events().trends)
}

use TrendChange::{Accepted, Gone, Opened, Recovered};
use TrendTest::{Day, Week};

#[test]
fn a_fall_of_six_is_found_by_the_day_when_the_mean_is_five_under() {
    // From hour 200 on 6 dB less: 20 of 24 hours make 5 dB.
    let step = |hour| Some(if hour < 200 { -60 } else { -66 });
    assert_eq!(story(320, step), [(219, Opened, Day, -6_000, Some(-6_500))]);
}

#[test]
fn a_trend_closes_three_under_its_baseline_which_is_frozen() {
    // It falls on to −70 for ten days, and then is as it was: 24 hours at −70, then k of them at −60, are −70 + 10k ÷ 24.
    let curve = |hour| {
        Some(match hour {
            0..200 => -60,
            200..300 => -66,
            300..540 => -70,
            _ => -60,
        })
    };
    // 17 hours are −62.92, sixteen −63.33.
    let recovered = (556, Recovered, Day, -6_000, Some(-6_292));
    assert_eq!(
        story(600, curve),
        [(219, Opened, Day, -6_000, Some(-6_500)), recovered]
    );
}

#[test]
fn exactly_three_under_is_enough() {
    let curve = |hour| Some(if (200..300).contains(&hour) { -66 } else { -60 });
    let recovered = (311, Recovered, Day, -6_000, Some(-6_300));
    assert_eq!(
        story(330, curve),
        [(219, Opened, Day, -6_000, Some(-6_500)), recovered]
    );
}

#[test]
fn a_fall_of_four_is_found_by_the_week() {
    // Days begin at hours 16, 40 and so on: hour 712 is that of day 29. Seven days after it the whole last week is 4 dB less.
    let step = |hour| Some(if hour < 712 { -60 } else { -64 });
    let opened = (880, Opened, Week, -6_000, Some(-6_400));
    assert_eq!(story(920, step), [opened]);
    // While that is open, only the week is asked: back at −60 from day 36 on, it is 3 dB under after two days (5 ÷ 7 × 4 = 2.86).
    let back = |hour| Some(if (712..880).contains(&hour) { -64 } else { -60 });
    let recovered = (928, Recovered, Week, -6_000, Some(-6_286));
    assert_eq!(story(960, back), [opened, recovered]);
}

#[test]
fn what_varies_by_day_is_no_trend() {
    let day_and_night = |hour: i64| Some(if hour % 24 < 12 { -60 } else { -66 });
    assert_eq!(story(800, day_and_night), []);
}

#[test]
fn both_windows_must_be_covered_by_half() {
    // Every second hour is half of the time, every third is not.
    let step = |every: i64| {
        move |hour: i64| (hour % every == 0).then_some(if hour < 200 { -60 } else { -66 })
    };
    assert_eq!(
        story(320, step(2)),
        [(218, Opened, Day, -6_000, Some(-6_500))]
    );
    assert_eq!(story(320, step(3)), []);
    // The week before begins when the client is first seen: 84 hours of it must be covered.
    let late =
        |first: i64| move |hour: i64| (hour >= first).then_some(if hour < 208 { -60 } else { -66 });
    // Hour 227 − 23 is of the day that begins with hour 184, so that the 7 days before are hours 16 to 183.
    assert_eq!(
        story(228, late(100)),
        [(227, Opened, Day, -6_000, Some(-6_500))]
    );
    assert_eq!(story(228, late(101)), []);
}

#[test]
fn an_open_trend_of_a_client_that_is_seldom_seen_stays_as_it_is() {
    // At hour 256 seven hours at −66 and five at −60 are the half of a day, and make −63.5. Later there are fewer.
    let curve = |hour: i64| match hour {
        0..200 => Some(-60),
        200..240 => Some(-66),
        _ => (hour % 4 == 0).then_some(-60),
    };
    assert_eq!(
        story(320, curve),
        [(219, Opened, Day, -6_000, Some(-6_500))]
    );
}

#[test]
fn the_new_normal_forgets_what_was() {
    let mut s = Script::new();
    let ap = hourly(&mut s, 1);
    curve(&mut s, ap, 0..600, |hour| {
        Some(if hour < 200 { -60 } else { -66 })
    });
    let accept = Change::TrendNormal {
        tenant_id: tenant(1),
        mac: mac(1),
    };
    s.change(at(250 * HOUR), accept);
    let mut oracle = fold(&s, at(600 * HOUR));
    assert_eq!(oracle.views().trends.len(), 0);
    let events = oracle.take_events().trends;
    let (opened, accepted) = (&events[0], &events[1]);
    assert_eq!(events.len(), 2);
    assert_eq!((opened.change, accepted.change), (Opened, Accepted));
    assert_eq!(accepted.at, at(250 * HOUR));
    assert_eq!(
        (accepted.baseline_cdbm, accepted.recent_cdbm),
        (-6_000, None)
    );
}

#[test]
fn a_client_that_moves_keeps_its_past() {
    let mut s = Script::new();
    let (a, b) = (hourly(&mut s, 1), hourly(&mut s, 2));
    curve(&mut s, a, 0..200, |_| Some(-60));
    curve(&mut s, b, 200..320, |_| Some(-66));
    let mut oracle = fold(&s, at(320 * HOUR));
    let expected = (219, Opened, Day, -6_000, Some(-6_500));
    assert_eq!(told(b, oracle.take_events().trends), [expected]);
    let view = oracle.views().trends[&(tenant(1), mac(1))];
    assert_eq!((view.ap_device_id, view.radio_mac), (b, radio(b)));
    assert_eq!(
        (view.test, view.baseline_cdbm, view.opened_cdbm),
        (Day, -6_000, -6_500)
    );
    assert_eq!(view.since, at(219 * HOUR + offset(b)));
}

#[test]
fn after_28_days_without_a_piece_a_client_is_forgotten() {
    let mut s = Script::new();
    let ap = hourly(&mut s, 1);
    // The last piece is of hour 299, which is of the day that begins with hour 280.
    curve(&mut s, ap, 0..300, |hour| {
        Some(if hour < 200 { -60 } else { -66 })
    });
    let day = 280 + 29 * 24;
    let mut oracle = fold(&s, at(day * HOUR - 1));
    assert_eq!(oracle.take_events().trends.len(), 1);
    assert_eq!(oracle.records().trends.len(), 1);
    let mut oracle = fold(&s, at(day * HOUR));
    let gone = oracle.take_events().trends.remove(1);
    assert_eq!((gone.change, gone.recent_cdbm), (Gone, None));
    assert_eq!(gone.at.0, at(day * HOUR).0 + 250_000);
    assert_eq!(oracle.records().trends, []);
}

#[test]
fn a_deleted_tenant_takes_its_clients_along_without_a_word() {
    let mut s = Script::new();
    let ap = hourly(&mut s, 1);
    curve(&mut s, ap, 0..240, |hour| {
        Some(if hour < 200 { -60 } else { -66 })
    });
    s.change(at(240 * HOUR), Change::TenantDeleted { id: tenant(1) });
    let mut oracle = fold(&s, at(2_000 * HOUR));
    assert_eq!(oracle.take_events().trends.len(), 1);
    assert_eq!(oracle.views().trends.len(), 0);
}

/// What is kept of the client after these samples of an hour, each covering ten seconds.
fn kept(samples: &[Option<i16>]) -> Option<TrendRecord> {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let first = offset(ap) + 1;
    for (k, dbm) in (0..).zip(samples) {
        s.ap_poll(ap, at(first + 10 * k), &[(mac(1), *dbm, None, None)]);
    }
    let oracle = fold(&s, at(first + HOUR));
    oracle.records().trends.pop()
}

#[test]
fn a_piece_has_a_mean_of_hundredths_and_whole_minutes() {
    let piece = |samples: &[i16]| {
        let samples: Vec<_> = samples.iter().map(|s| Some(*s)).collect();
        kept(&samples).map(|record| (record.hours[0].1, record.hours[0].2))
    };
    // 20 s are less than half a minute, 30 s are half a minute, 80 s are one, 90 s two.
    assert_eq!(piece(&[-60, -61]), None);
    assert_eq!(piece(&[-60, -61, -61]), Some((-6_067, 1)));
    // −481 ÷ 8 = −60.125.
    assert_eq!(
        piece(&[-60, -60, -60, -60, -60, -60, -60, -61]),
        Some((-6_012, 1))
    );
    assert_eq!(piece(&[-60; 9]), Some((-6_000, 2)));
    // A row without a signal is no sample.
    let some = kept(&[Some(-60), None, Some(-60), Some(-63)]);
    let record = some.map(|record| (record.hours, record.days, record.hour));
    // The hour ends within the script's second hour.
    let hours = vec![(0, -6_100, 1)];
    assert_eq!(record, Some((hours, vec![(0, -6_100, 1)], FIRST + 1)));
}

#[test]
fn pieces_of_one_hour_make_one_mean_by_their_minutes() {
    let mut s = Script::new();
    let (a, b) = (s.device(at(0), 1), s.device(at(0), 2));
    // Both hours end in the second hour of the script.
    for k in 0..6 {
        s.ap_poll(a, at(3_000 + 10 * k), &[(mac(1), Some(-60), None, None)]);
    }
    s.ap_poll(a, at(3_100), &[]);
    for k in 0..12 {
        s.ap_poll(b, at(3_200 + 10 * k), &[(mac(1), Some(-61), None, None)]);
    }
    let oracle = fold(&s, at(2 * HOUR));
    let record = &oracle.records().trends[0];
    let (first, last) = (offset(a).min(offset(b)), offset(a).max(offset(b)));
    assert!(
        first > 0 && last < 3_000,
        "{first} {last}: both instants lie before the samples"
    );
    // (1 × −6,000 + 2 × −6,100) ÷ 3.
    assert_eq!(record.hours, [(0, -6_067, 3)]);
    assert_eq!(record.ap_device_id, if offset(a) == last { a } else { b });
}

#[test]
fn a_forgotten_link_says_nothing_more() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let begin = offset(ap) + 1;
    for k in 0..6 {
        s.ap_poll(ap, at(begin + 10 * k), &[(mac(1), Some(-60), None, None)]);
    }
    s.change(at(begin + 100), Change::DeviceDeleted { id: ap });
    assert_eq!(fold(&s, at(begin + HOUR)).records().trends, []);
}
