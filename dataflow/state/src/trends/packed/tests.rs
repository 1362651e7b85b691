//! What is packed comes back, and takes little.

use proptest::prelude::*;

use super::*;
use crate::messages::Piece;
use crate::trends::pages::Pages;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

/// A day at 23 h, UTC.
const HOUR_NOW: u32 = 20_000 * 24 + 23;

fn empty(hour: u32) -> History {
    History::unpack(&[], hour)
}

/// What packing gives back.
fn again(history: &History) -> History {
    let bytes = history.pack();
    assert!(bytes.len() <= Pages::LONGEST);
    History::unpack(&bytes, history.hour)
}

fn of_buckets(hour: u32, hours: &[(i16, u8)], days: &[(i16, u16)]) -> History {
    let mut history = empty(hour);
    // A mean of no minutes is none.
    for (age, &(mean, minutes)) in (0..).zip(hours).filter(|(_, bucket)| bucket.1 > 0) {
        let number = i64::from(hour) - age;
        history.hours.put(number, (mean, minutes.into()));
    }
    for (age, &(mean, minutes)) in (0..).zip(days).filter(|(_, bucket)| bucket.1 > 0) {
        let number = i64::from(hour) / HOURS - age;
        history.days.put(number, (mean, minutes.into()));
    }
    history
}

fn any_mean() -> impl Strategy<Value = i16> {
    let edge = prop_oneof![Just(i16::MIN), Just(i16::MAX), Just(0), Just(-1)];
    prop_oneof![any::<i16>(), -6_600..-5_400_i16, edge]
}

fn any_history() -> impl Strategy<Value = History> {
    // Beyond what a bucket has there may be what a record says.
    let minutes = prop_oneof![Just(0), Just(60), 0..=60_u8, any::<u8>()];
    let more = prop_oneof![Just(0), Just(1_440), 0..=1_440_u16, any::<u16>()];
    let hours = prop::collection::vec((any_mean(), minutes), 0..=24);
    let days = prop::collection::vec((any_mean(), more), 0..=29);
    (any::<u32>(), hours, days).prop_map(|(hour, hours, days)| of_buckets(hour, &hours, &days))
}

proptest! {
    #[test]
    fn any_history_comes_back(history in any_history()) {
        prop_assert_eq!(again(&history), history);
    }

    #[test]
    fn any_bytes_are_some_history(bytes in prop::collection::vec(any::<u8>(), 0..300), hour: u32) {
        let history = History::unpack(&bytes, hour);
        prop_assert_eq!(again(&again(&history)), again(&history));
    }

    #[test]
    fn a_row_that_ends_too_early_is_some_history(history in any_history(), at in 0..300_usize) {
        let bytes = history.pack();
        History::unpack(&bytes[..at.min(bytes.len())], history.hour);
    }

    /// Packing after each piece is the same as never packing.
    #[test]
    fn pieces_add_up_as_without_packing(
        pieces in prop::collection::vec((0..41_u32, any_mean(), 0..=60_u8), 1..200),
    ) {
        let mut hour = HOUR_NOW;
        let (mut plain, mut packed) = (empty(hour), Vec::new());
        for (after, mean, minutes) in pieces {
            let was = hour;
            // Some gaps are of days, few of weeks, and a clock may go back.
            hour = match after {
                0..36 => hour + after % 4,
                36..39 => hour + after,
                39 => hour + 24 * after,
                _ => hour - 1,
            };
            plain.take(&piece(mean, minutes), hour);
            let mut history = History::unpack(&packed, was);
            history.take(&piece(mean, minutes), hour);
            packed = history.pack();
            let now = i64::from(hour);
            let history = History::unpack(&packed, hour);
            prop_assert_eq!(history.hours.filled(now), plain.hours.filled(now));
            let day = now / HOURS;
            prop_assert_eq!(history.days.filled(day), plain.days.filled(day));
        }
    }
}

const fn piece(mean_cdbm: i16, minutes: u8) -> Piece {
    Piece {
        at: Timestamp(0),
        ap: DeviceId::from_bytes([0; 16]),
        radio: Mac(0),
        tenant: TenantId::from_bytes([0; 16]),
        mac: Mac(0),
        mean_cdbm,
        minutes,
    }
}

#[test]
fn steps_of_any_width_come_back() {
    for bit in 0..16 {
        let wide = (1_i32 << bit) as i16;
        for step in [wide, wide.wrapping_neg(), wide.wrapping_sub(1), !wide] {
            // One that is wide among narrow ones, and all of one width.
            for every in [1, 7, 24] {
                let means = (0..24_i16).map(|n| match n / every % 2 {
                    0 => (-6_000, 60),
                    _ => (step.wrapping_sub(6_000), 59),
                });
                let history = of_buckets(HOUR_NOW, &means.collect::<Vec<_>>(), &[(step, 1)]);
                assert_eq!(again(&history), history);
            }
        }
    }
}

#[test]
fn what_is_empty_takes_nothing_and_what_is_seldom_seen_takes_little() {
    assert!(empty(HOUR_NOW).pack().is_empty());
    let bytes = |hours: &[(i16, u8)], days: &[(i16, u16)]| {
        let history = of_buckets(HOUR_NOW, hours, days);
        assert_eq!(again(&history), history);
        history.pack().len()
    };
    assert_eq!(bytes(&[(-6_012, 60)], &[(-6_012, 60)]), 8);
    assert_eq!(bytes(&[(-6_012, 17)], &[(-6_031, 77)]), 9);
    // All of one level, all of the time.
    assert_eq!(bytes(&[(-6_000, 60); 24], &[(-6_000, 1_440); 29]), 11);
}

#[test]
fn a_wide_step_costs_itself_only() {
    let level = |n: i16| (-6_000 + n % 2, 60);
    let mut hours: Vec<(i16, u8)> = (0..24).map(level).collect();
    let narrow = of_buckets(HOUR_NOW, &hours, &[]).pack().len();
    hours[12..].iter_mut().for_each(|bucket| bucket.0 = 0);
    let wide = of_buckets(HOUR_NOW, &hours, &[]).pack().len();
    assert!(wide <= narrow + 3, "{narrow} {wide}");
}

#[test]
fn what_follows_no_pattern_is_hardly_wider_than_plain() {
    let mut seed = 1_u64;
    let mut dice = || {
        seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (seed >> 33) as u32
    };
    for _ in 0..1_000 {
        let hours = [(); 24].map(|()| (dice() as i16, 1 + (dice() % 59) as u8));
        let days = [(); 29].map(|()| (dice() as i16, 1 + (dice() % 1_439) as u16));
        let history = of_buckets(HOUR_NOW, &hours, &days);
        assert_eq!(again(&history), history);
        // In rings it is 188.
        let length = history.pack().len();
        assert!(length <= 190, "{length}");
    }
}

/// Two access points heard it, both all the time, in the first hour of a day.
#[test]
fn more_minutes_than_there_were_come_back() {
    let midnight = HOUR_NOW + 1;
    let history = of_buckets(midnight, &[(-6_012, 60)], &[(-6_020, 120)]);
    assert_eq!(again(&history), history);
}

#[test]
fn the_longest_row_fits_its_page() {
    // Every step and every lack is as wide as it can be.
    let mean = |n: i16| if n % 2 == 0 { -16_384 } else { 16_383 };
    let hours: Vec<_> = (0..24).map(|n| (mean(n), u8::MAX)).collect();
    let days: Vec<_> = (0..29).map(|n| (mean(n), 1_440 + 32_767)).collect();
    let history = of_buckets(HOUR_NOW, &hours, &days);
    assert_eq!(again(&history), history);
    assert!(history.pack().len() <= 242);
}
