//! Curves with a clear answer.

use mast_schemas::alerts::{TrendChange, TrendTest};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::Epoch;

use super::*;

const MAC: Mac = Mac(0x4C5E_0C00_0001);
/// A day at 0 h, UTC.
const BEGIN: i64 = 20_000 * 24;

fn tenant(n: u128) -> TenantId {
    TenantId::from_bytes(n.to_be_bytes())
}

fn ap(n: u128) -> DeviceId {
    DeviceId::from_bytes(n.to_be_bytes())
}

/// What a day has of change, dB.
const fn at_day(hour: i64, from: i64, fall: i64, days: i64) -> i64 {
    let since = hour - from * 24;
    if since <= 0 {
        0
    } else if since >= days * 24 {
        fall
    } else {
        fall * since / (days * 24)
    }
}

/// Half past the hour with this number since [`BEGIN`]: an access point's hour ends there.
fn half_past(hour: i64) -> Timestamp {
    Timestamp::from_secs((BEGIN + hour) * 3_600 + 1_800)
}

struct World {
    trends: Trends,
    out: TrendOut,
}

impl World {
    fn new(t: Thresholds) -> Self {
        Self {
            trends: Trends::new(t),
            out: TrendOut::default(),
        }
    }

    fn slot(&mut self, end: Timestamp, control: &[TrendControl], pieces: &[Piece]) {
        self.trends.begin_slot(end - SLOT, control, &mut self.out);
        pieces.iter().for_each(|piece| self.trends.apply(piece));
        self.trends.end_slot(end, &mut self.out);
    }

    fn piece(&mut self, hour: i64, cdbm: i64, minutes: u8) {
        let piece = piece(hour, cdbm, minutes);
        self.slot(piece.at, &[], &[piece]);
    }

    /// A client seen all the time, with the level of each hour.
    fn hours(&mut self, hours: std::ops::Range<i64>, cdbm: impl Fn(i64) -> i64) {
        hours.for_each(|hour| self.piece(hour, cdbm(hour), 60));
    }

    /// Events so far: hour, change, test.
    fn told(&self) -> Vec<(i64, TrendChange, TrendTest)> {
        let events = self.out.events.iter();
        events
            .map(|e| (i64::from(hour_before(e.at)) - BEGIN, e.change, e.test))
            .collect()
    }

    fn view(&self) -> Option<TrendView> {
        let place = self.trends.find((tenant(1), MAC))?;
        self.trends.view(place)
    }

    fn restarted(&self) -> Self {
        let mut world = Self::new(self.trends.t);
        let records = self.trends.records().into_iter().map(|(_, record)| record);
        let mut out = TrendOut::default();
        world.trends.restore(records.collect(), &mut out);
        let views: Vec<_> = out.views.into_iter().map(|(_, _, view)| view).collect();
        assert_eq!(views, self.view().map(Some).into_iter().collect::<Vec<_>>());
        assert!(out.events.is_empty());
        assert_eq!(world.trends.records(), self.trends.records());
        assert_eq!(world.trends.next_timer(), self.trends.next_timer());
        world
    }
}

fn piece(hour: i64, cdbm: i64, minutes: u8) -> Piece {
    Piece {
        at: half_past(hour),
        ap: ap(1),
        radio: Mac(1),
        tenant: tenant(1),
        mac: MAC,
        mean_cdbm: i16::try_from(cdbm).unwrap_or_default(),
        minutes,
    }
}

/// Four weeks at −60 dBm, then a fall of so much within so many days.
fn fall(db: i64, days: i64) -> World {
    let mut world = World::new(DEFAULT);
    world.hours(0..60 * 24, |hour| -6_000 - at_day(hour, 28, db * 100, days));
    world
}

#[test]
fn a_fall_of_six_within_two_days_is_found_by_the_day() {
    let world = fall(6, 2);
    let [(hour, change, test)] = world.told()[..] else {
        panic!("{:?}", world.told());
    };
    assert_eq!((change, test), (TrendChange::Opened, TrendTest::Day));
    assert!((29 * 24..31 * 24).contains(&hour), "{hour}");
}

#[test]
fn a_fall_of_six_within_five_days_is_found() {
    let world = fall(6, 5);
    // 24 hours are never 5 dB under the week before, which has fallen too; the week is 4 dB lower after eight days.
    assert_eq!(
        world.told(),
        [(36 * 24, TrendChange::Opened, TrendTest::Week)]
    );
}

#[test]
fn a_fall_of_six_within_ten_days_is_found_by_the_week() {
    let world = fall(6, 10);
    assert_eq!(
        world.told(),
        [(39 * 24, TrendChange::Opened, TrendTest::Week)]
    );
}

#[test]
fn a_signal_that_varies_each_day_is_not_degrading() {
    let mut world = World::new(DEFAULT);
    // 6 dB lower at night than by day.
    world.hours(
        0..60 * 24,
        |hour| if hour % 24 < 8 { -6_600 } else { -6_000 },
    );
    assert_eq!(world.told(), []);
}

#[test]
fn a_fall_of_what_the_thresholds_say_opens_and_a_hundredth_less_does_not() {
    for (db, cdb, opens) in [
        (5, 500, true),
        (5, 499, false),
        (4, 400, true),
        (4, 399, false),
    ] {
        let mut world = World::new(DEFAULT);
        // By the day, a sudden fall; by the week, one that is over before the day can see it.
        world.hours(0..28 * 24, |_| -6_000);
        if db == 5 {
            world.hours(28 * 24..29 * 24, |_| -6_000 - cdb);
            let test = world.told().first().map(|told| told.2);
            assert_eq!(test, opens.then_some(TrendTest::Day), "{cdb}");
        } else {
            world.hours(28 * 24..36 * 24, |_| -6_000 - cdb);
            let test = world.told().first().map(|told| told.2);
            assert_eq!(test, opens.then_some(TrendTest::Week), "{cdb}");
        }
    }
}

#[test]
fn the_windows_that_are_compared_share_no_day() {
    let mut world = World::new(DEFAULT);
    world.hours(0..28 * 24, |_| -6_000);
    // An hour into a day: the day before is one of the last 24 hours, and no part of what they are compared with.
    world.hours(28 * 24..29 * 24 + 1, |_| -6_600);
    let view = world.view().unwrap();
    assert_eq!((view.baseline_cdbm, view.test), (-6_000, TrendTest::Day));
}

#[test]
fn a_client_that_is_seldom_seen_makes_no_claim() {
    let mut world = World::new(DEFAULT);
    // A tenth of the time, and 20 dB lower in the end.
    (0..60 * 24)
        .for_each(|hour| world.piece(hour, if hour < 30 * 24 { -6_000 } else { -8_000 }, 6));
    assert_eq!(world.told(), []);
}

#[test]
fn half_of_the_time_is_enough_and_a_minute_less_is_not() {
    for (last, opens) in [(30, true), (29, false)] {
        let mut world = World::new(DEFAULT);
        (0..28 * 24).for_each(|hour| world.piece(hour, -6_000, 30));
        (28 * 24..29 * 24 - 1).for_each(|hour| world.piece(hour, -6_600, 30));
        // By now the day has enough to say, but for this hour.
        world.out.events.clear();
        world.trends.open.clear();
        world.piece(29 * 24 - 1, -6_600, last);
        assert_eq!(!world.told().is_empty(), opens, "{last}");
    }
}

#[test]
fn the_baseline_is_frozen_while_the_signal_falls_on() {
    let mut world = fall(6, 2);
    let opened = world.view();
    // All windows have long been at −66 dBm when it falls once more.
    world.hours(60 * 24..100 * 24, |_| -7_000);
    assert_eq!(world.told().len(), 1);
    assert_eq!(world.view(), opened);
    let view = opened.unwrap();
    assert!(view.baseline_cdbm > -6_100, "{view:?}");
    assert!(view.baseline_cdbm - view.opened_cdbm >= 500, "{view:?}");
}

#[test]
fn it_clears_three_under_its_baseline_and_not_before() {
    let mut world = World::new(DEFAULT);
    world.hours(0..28 * 24, |_| -6_000);
    world.hours(28 * 24..30 * 24, |_| -6_600);
    assert_eq!(world.told().len(), 1);
    world.hours(30 * 24..32 * 24, |_| -6_301);
    assert_eq!(world.told().len(), 1);
    world.hours(32 * 24..34 * 24, |_| -6_300);
    // With half of the hours at −63.01 the mean is −63.005, and halves go up.
    let recovered = (32 * 24 + 11, TrendChange::Recovered, TrendTest::Day);
    assert_eq!(world.told()[1..], [recovered]);
    assert_eq!(world.view(), None);
    let recovered = &world.out.events[1];
    assert_eq!(
        (recovered.baseline_cdbm, recovered.recent_cdbm),
        (-6_000, Some(-6_300))
    );
}

#[test]
fn a_fall_that_is_over_is_not_told_again_by_the_week() {
    let mut world = World::new(DEFAULT);
    let fallen = 28 * 24..34 * 24;
    world.hours(0..60 * 24, |hour| {
        if fallen.contains(&hour) {
            -6_700
        } else {
            -6_000
        }
    });
    let changes: Vec<_> = world.told().into_iter().map(|told| told.1).collect();
    assert_eq!(changes, [TrendChange::Opened, TrendChange::Recovered]);
    // With a last day that is more than 3 dB lower yet it is.
    let mut world = World::new(DEFAULT);
    world.hours(0..28 * 24, |_| -6_000);
    world.hours(28 * 24..33 * 24, |_| -6_480);
    for (last, opens) in [(-6_300, false), (-6_301, true)] {
        let mut world = world.restarted();
        world.hours(33 * 24..36 * 24, |_| last);
        assert_eq!(!world.told().is_empty(), opens, "{last}");
    }
}

#[test]
fn a_client_seen_too_seldom_holds_an_open_trend() {
    let mut world = World::new(DEFAULT);
    world.hours(0..28 * 24, |_| -6_000);
    world.hours(28 * 24..30 * 24, |_| -6_600);
    (30 * 24..40 * 24).for_each(|hour| world.piece(hour, -6_000, 10));
    assert_eq!(world.told().len(), 1);
    assert!(world.view().is_some());
}

#[test]
fn a_new_normal_closes_and_begins_anew() {
    let mut world = fall(6, 2);
    let end = half_past(60 * 24);
    world.slot(end, &[TrendControl::Normal(tenant(1), MAC)], &[]);
    let event = world.out.events.last().unwrap();
    assert_eq!(
        (event.change, event.at),
        (TrendChange::Accepted, end - SLOT)
    );
    assert_eq!(event.recent_cdbm, None);
    assert!(world.view().is_none() && world.trends.records().is_empty());
    // Of another client, or of one that is not degrading, it says nothing.
    world.slot(end + SLOT, &[TrendControl::Normal(tenant(2), MAC)], &[]);
    world.hours(60 * 24 + 1..88 * 24, |_| -6_600);
    assert_eq!(world.told().len(), 2);
    // What was accepted is the baseline now.
    world.hours(88 * 24..90 * 24, |_| -7_200);
    let view = world.view().unwrap();
    assert_eq!(view.baseline_cdbm, -6_600);
}

#[test]
fn a_client_without_a_trend_takes_a_new_normal_too() {
    let mut world = World::new(DEFAULT);
    world.hours(0..28 * 24, |_| -6_000);
    world.slot(
        half_past(28 * 24),
        &[TrendControl::Normal(tenant(1), MAC)],
        &[],
    );
    world.hours(28 * 24 + 1..40 * 24, |_| -6_600);
    assert_eq!(world.told(), []);
}

#[test]
fn roaming_between_access_points_keeps_the_history() {
    let mut world = World::new(DEFAULT);
    world.hours(0..28 * 24, |_| -6_000);
    for hour in 28 * 24..29 * 24 + 3 {
        let mut piece = piece(hour, -6_600, 60);
        (piece.ap, piece.radio) = (ap(2 + hour as u128 % 2), Mac(2));
        world.slot(piece.at, &[], &[piece]);
        if let Some(view) = world.view() {
            assert_eq!((view.ap_device_id, view.radio_mac), (piece.ap, Mac(2)));
        }
    }
    assert_eq!(world.told().len(), 1);
    // The view follows its newest piece.
    let aps = world.out.views.iter().filter_map(|(_, _, new)| *new);
    let aps: Vec<_> = aps.map(|view| view.ap_device_id).collect();
    assert!(
        aps.len() > 1 && aps.windows(2).all(|two| two[0] != two[1]),
        "{aps:?}"
    );
}

#[test]
fn pieces_of_one_hour_are_weighed_by_their_minutes() {
    let mut world = World::new(DEFAULT);
    world.piece(5, -6_000, 20);
    world.piece(5, -7_001, 20);
    let record = world.trends.records().remove(0).1;
    // −6500.5, halves up.
    assert_eq!(record.hours, [(0, -6_500, 40)]);
    world.piece(5, -6_000, 60);
    let record = world.trends.records().remove(0).1;
    assert_eq!(record.hours, [(0, -6_200, 60)]);
    assert_eq!(record.days, [(0, -6_200, 100)]);
}

#[test]
fn a_piece_at_a_whole_hour_is_of_the_hour_that_ended() {
    let mut world = World::new(DEFAULT);
    let mut piece = piece(24, -6_000, 60);
    piece.at = Timestamp::from_secs((BEGIN + 24) * 3_600);
    world.slot(piece.at, &[], &[piece]);
    let record = world.trends.records().remove(0).1;
    assert_eq!(i64::from(record.hour), BEGIN + 23);
}

#[test]
fn what_is_older_than_a_bucket_is_not_taken_for_it() {
    let mut world = World::new(DEFAULT);
    world.hours(0..29 * 24, |_| -6_000);
    // The rings come round: after a gap of any length only what was within it is left.
    for gap in [23, 24, 25, 28 * 24, 29 * 24, 57 * 24] {
        let mut world = world.restarted();
        world.piece(29 * 24 - 1 + gap, -6_100, 60);
        let record = world.trends.records().remove(0).1;
        let hours = record.hours.iter().map(|bucket| i64::from(bucket.0));
        let kept = (0..24 - gap).map(|n| gap + n);
        assert!(hours.eq([0].into_iter().chain(kept)), "{gap}: {record:?}");
        let days = record.days.iter().map(|bucket| i64::from(bucket.0));
        let later = (29 * 24 - 1 + gap) / 24 - 28;
        assert!(
            days.eq([0].into_iter().chain(later..29)),
            "{gap}: {record:?}"
        );
        assert_eq!(record.days[0], (0, -6_100, 60));
    }
}

#[test]
fn a_client_is_forgotten_after_28_days() {
    for degrading in [true, false] {
        let mut world = World::new(DEFAULT);
        world.hours(0..28 * 24, |_| -6_000);
        world.hours(
            28 * 24..30 * 24,
            |_| if degrading { -6_600 } else { -6_000 },
        );
        world.out = TrendOut::default();
        let day = Timestamp::from_secs((BEGIN + 29 * 24 + 29 * 24) * 3_600);
        assert_eq!(world.trends.next_timer(), Some(day + SLOT));
        world.slot(day, &[], &[]);
        assert_eq!(world.trends.records().len(), 1);
        assert!(world.out.events.is_empty());
        world.slot(Epoch::of(day).end(), &[], &[]);
        assert!(world.trends.records().is_empty());
        assert_eq!(world.trends.next_timer(), None);
        let gone: Vec<_> = world.out.events.iter().map(|e| (e.change, e.at)).collect();
        let expected = degrading.then_some((TrendChange::Gone, day + SLOT));
        assert_eq!(gone, Vec::from_iter(expected));
        assert_eq!(world.out.views.len(), usize::from(degrading));
    }
}

#[test]
fn a_deleted_tenant_takes_its_clients_without_a_word() {
    let mut world = fall(6, 2);
    let mut other = piece(60 * 24, -6_000, 60);
    other.tenant = tenant(2);
    world.slot(other.at, &[], &[other]);
    world.out = TrendOut::default();
    world.slot(other.at + SLOT, &[TrendControl::TenantGone(tenant(1))], &[]);
    let [(key, Some(_), None)] = world.out.views[..] else {
        panic!("{:?}", world.out.views);
    };
    assert_eq!(key, (tenant(1), MAC));
    assert!(world.out.events.is_empty());
    let left: Vec<_> = world.trends.records();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].1.tenant_id, tenant(2));
}

#[test]
fn a_restart_at_any_hour_changes_nothing() {
    let curve = |hour| -6_000 - at_day(hour, 28, 700, 4) + at_day(hour, 40, 600, 3);
    let mut whole = World::new(DEFAULT);
    whole.hours(0..55 * 24, curve);
    let mut parts = World::new(DEFAULT);
    let mut events = Vec::new();
    for hour in 0..55 * 24 {
        parts.piece(hour, curve(hour), 60);
        if hour % 17 == 0 {
            events.append(&mut parts.out.events);
            parts = parts.restarted();
        }
    }
    events.append(&mut parts.out.events);
    let changes: Vec<_> = events.iter().map(|event| event.change).collect();
    assert_eq!(changes, [TrendChange::Opened, TrendChange::Recovered]);
    assert_eq!(events, whole.out.events);
    assert_eq!(parts.trends.records(), whole.trends.records());
}

/// Bytes a client, but for the index, after so many hours, of which one in `seldom` has nothing or is covered in part.
fn bytes(hours: i64, seldom: u64) -> f64 {
    const CLIENTS: u64 = 320;
    let mut seed = 1_u64;
    let mut dice = |n: u64| {
        seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (seed >> 33) % n
    };
    let mut world = World::new(DEFAULT);
    let mut levels = [0_i64; CLIENTS as usize];
    for hour in 0..hours {
        let mut pieces = Vec::new();
        for (n, level) in (0..).zip(&mut levels) {
            // From day to day it wanders by up to 3 dB, within a day by up to 6, and each hour has some tenths of its own.
            *level = (*level + dice(41) as i64 - 20).clamp(-300, 300);
            let turn = std::f64::consts::TAU * (hour as f64 + (n % 24) as f64) / 24.0;
            let daily = turn.sin() * (n % 7 * 100) as f64;
            let own = (dice(31) + dice(31)) as i64 - 30;
            let minutes = match dice(4 * seldom) {
                0 if hour > 0 => continue,
                1..4 => 1 + dice(59) as u8,
                _ => 60,
            };
            let mut piece = piece(hour, -6_000 + *level + daily as i64 + own, minutes);
            piece.mac = Mac(MAC.0 + n);
            pieces.push(piece);
        }
        world.slot(half_past(hour), &[], &pieces);
    }
    assert_eq!(world.trends.index.len() as u64, CLIENTS);
    let histories = world.trends.histories.heap() as f64;
    size_of::<Client>() as f64 + histories / CLIENTS as f64
}

#[test]
fn a_client_is_small() {
    assert_eq!(size_of::<Client>(), 16);
    // An hour is all that a new one has; then a month, without a gap, with one in seventy-five hours, one in ten.
    let all = [(1, 75), (30 * 24, 1 << 40), (30 * 24, 75), (30 * 24, 10)];
    let all = all.map(|(hours, seldom)| bytes(hours, seldom));
    let most = [23.0, 84.0, 91.0, 115.0];
    assert!(
        all.iter().zip(most).all(|(bytes, most)| *bytes <= most),
        "{all:?}"
    );
}
