//! The link table, row by row.

use mast_schemas::records::Source;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{DeviceId, Mac};

use super::*;

const T: Thresholds = DEFAULT;
const MAC: Mac = Mac(0x4C5E_0C00_0001);

fn at(s: i64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + s)
}

fn row(signal_dbm: i16) -> ClientRow {
    let sample = Sample {
        signal_dbm: Some(signal_dbm),
        ..Sample::default()
    };
    ClientRow {
        mac: MAC,
        began: at(0),
        sample,
    }
}

fn ccq(percent: u16) -> ClientRow {
    let sample = Sample {
        tx_ccq_percent: Some(percent),
        ..Sample::default()
    };
    ClientRow {
        mac: MAC,
        began: at(0),
        sample,
    }
}

/// A link that is alone at its radio.
struct Alone {
    link: Link,
    absences: Absences,
}

impl std::ops::Deref for Alone {
    type Target = Link;
    fn deref(&self) -> &Link {
        &self.link
    }
}

impl std::ops::DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl Alone {
    fn new(row: &ClientRow, roamed: bool, confirmed: bool) -> (Self, Changes) {
        let mut absences = Absences::default();
        let marks = (roamed, false);
        let (link, changes) = Link::new(row, at(0), 0, marks, confirmed, (&mut absences, &T));
        (Self { link, absences }, changes)
    }

    fn seen(&mut self, row: &ClientRow, at: Timestamp, confirmed: bool, t: &Thresholds) -> Changes {
        self.link.seen(row, at, confirmed, (&mut self.absences, t))
    }

    fn missing(&mut self, at: Timestamp, t: &Thresholds) -> Changes {
        self.link.missing(at, &mut self.absences, t)
    }

    fn station(&mut self, at: Timestamp, confirms: bool, t: &Thresholds) -> Changes {
        self.link.station(at, confirms, (&self.absences, t))
    }

    fn since(&self) -> Timestamp {
        self.link.since.into()
    }

    fn discovered_at(&self) -> Timestamp {
        self.link.discovered_at.into()
    }

    fn departed_at(&self) -> Option<Timestamp> {
        let since = self.absences.departed_at(self.mac);
        assert_eq!(since.is_some(), self.departed());
        since
    }
}

fn new(row: &ClientRow, confirmed: bool) -> Alone {
    Alone::new(row, false, confirmed).0
}

/// A link that was seen twice, at 0 s and 1 s.
fn live(row: &ClientRow) -> Alone {
    let mut link = new(row, false);
    link.seen(row, at(1), false, &T);
    link
}

fn state(link: &Alone) -> (LinkState, LinkReason) {
    (link.state(), link.reason)
}

fn down() -> Alone {
    let mut link = live(&row(-60));
    (2..5).for_each(|s| drop(link.missing(at(s), &T)));
    link
}

fn stale() -> Alone {
    let mut link = live(&row(-60));
    link.verdict(at(2), true, false);
    link
}

#[test]
fn none_seen_is_discovered() {
    let (link, changes) = Alone::new(&row(-60), false, false);
    assert_eq!(state(&link), (LinkState::Discovered, LinkReason::Seen));
    let seen = (None, Some(LinkState::Discovered), at(0), LinkReason::Seen);
    assert_eq!(changes.as_slice(), [seen]);
}

#[test]
fn none_seen_and_confirmed_by_its_station_is_active_at_once() {
    assert_eq!(
        state(&new(&row(-60), true)),
        (LinkState::Active, LinkReason::ConfirmedByStation)
    );
    assert_eq!(
        state(&new(&row(-90), true)),
        (LinkState::Degraded, LinkReason::Signal)
    );
}

#[test]
fn none_seen_while_roamed_is_stale() {
    let (link, changes) = Alone::new(&row(-60), true, true);
    assert_eq!(state(&link), (LinkState::Stale, LinkReason::Roamed));
    let stale = (None, Some(LinkState::Stale), at(0), LinkReason::Roamed);
    assert_eq!(changes.as_slice(), [stale]);
}

#[test]
fn discovered_at_the_second_table_is_active_or_degraded() {
    assert_eq!(
        state(&live(&row(-80))),
        (LinkState::Active, LinkReason::Confirmed)
    );
    assert_eq!(
        state(&live(&row(-81))),
        (LinkState::Degraded, LinkReason::Signal)
    );
    assert_eq!(
        state(&live(&ccq(39))),
        (LinkState::Degraded, LinkReason::Signal)
    );
    assert_eq!(
        state(&live(&ccq(40))),
        (LinkState::Active, LinkReason::Confirmed)
    );
}

#[test]
fn discovered_and_missed_counts_anew() {
    let mut link = new(&row(-60), false);
    link.missing(at(1), &T);
    link.seen(&row(-60), at(2), false, &T);
    assert_eq!(link.state(), LinkState::Discovered);
    link.seen(&row(-60), at(3), false, &T);
    assert_eq!(link.state(), LinkState::Active);
}

#[test]
fn discovered_and_present_is_confirmed_by_its_stations_word() {
    let mut link = new(&row(-60), false);
    assert!(link.station(at(1), false, &T).is_empty());
    link.station(at(1), true, &T);
    assert_eq!(
        state(&link),
        (LinkState::Active, LinkReason::ConfirmedByStation)
    );
    let mut missed = new(&row(-60), false);
    missed.missing(at(1), &T);
    assert!(missed.station(at(2), true, &T).is_empty());
}

#[test]
fn active_degrades_at_two_bad_tables_in_a_row() {
    let mut link = live(&row(-60));
    for (s, signal, expected) in [
        (2, -90, LinkState::Active),
        (3, -60, LinkState::Active),
        (4, -90, LinkState::Active),
        (5, -90, LinkState::Degraded),
    ] {
        link.seen(&row(signal), at(s), false, &T);
        assert_eq!(link.state(), expected, "{s}");
    }
    assert_eq!((link.reason, link.since()), (LinkReason::Signal, at(5)));
}

#[test]
fn active_degrades_at_the_third_loss_within_ten_minutes() {
    let mut link = live(&row(-60));
    for (s, expected) in [
        (10, LinkState::Active),
        (400, LinkState::Active),
        (609, LinkState::Degraded),
    ] {
        link.missing(at(s), &T);
        assert_eq!(link.state(), expected, "{s}");
        link.seen(&row(-60), at(s + 1), false, &T);
    }
    assert_eq!(link.reason, LinkReason::Losses);
}

#[test]
fn losses_further_apart_than_the_window_do_not_degrade() {
    let mut link = live(&row(-60));
    for s in [10, 400, 610] {
        link.missing(at(s), &T);
        link.seen(&row(-60), at(s + 1), false, &T);
    }
    assert_eq!(link.state(), LinkState::Active);
}

#[test]
fn degraded_recovers_at_three_good_tables_in_a_row() {
    let mut link = live(&row(-90));
    for (s, signal) in [(2, -77), (3, -77), (4, -78), (5, -77), (6, -77)] {
        link.seen(&row(signal), at(s), false, &T);
        assert_eq!(link.state(), LinkState::Degraded, "{s}");
    }
    link.seen(&ccq(50), at(7), false, &T);
    assert_eq!(state(&link), (LinkState::Active, LinkReason::Recovered));
}

#[test]
fn degraded_does_not_recover_while_a_loss_is_in_the_window() {
    let mut link = live(&row(-90));
    link.missing(at(2), &T);
    (3..10).for_each(|s| drop(link.seen(&row(-60), at(s), false, &T)));
    assert_eq!(link.state(), LinkState::Degraded);
    link.seen(&row(-60), at(602), false, &T);
    assert_eq!(state(&link), (LinkState::Active, LinkReason::Recovered));
}

#[test]
fn missing_from_three_tables_in_a_row_is_down() {
    for mut link in [new(&row(-60), false), live(&row(-60)), live(&row(-90))] {
        link.missing(at(2), &T);
        link.missing(at(3), &T);
        assert_ne!(link.state(), LinkState::Down);
        link.missing(at(4), &T);
        assert_eq!(state(&link), (LinkState::Down, LinkReason::Lost));
        assert_eq!((link.since(), link.departed_at()), (at(4), Some(at(2))));
    }
}

#[test]
fn access_point_offline_is_down_at_that_instant() {
    for mut link in [new(&row(-60), false), live(&row(-60)), live(&row(-90))] {
        link.missing(at(2), &T);
        link.ap_offline(at(3));
        assert_eq!(state(&link), (LinkState::Down, LinkReason::ApOffline));
        assert_eq!((link.since(), link.miss_run), (at(3), 0));
    }
    for mut link in [down(), stale()] {
        assert!(link.ap_offline(at(9)).is_empty());
    }
}

#[test]
fn down_and_seen_returns_at_once() {
    let mut link = down();
    link.seen(&row(-60), at(9), false, &T);
    assert_eq!(state(&link), (LinkState::Active, LinkReason::Returned));
    let mut link = down();
    link.seen(&row(-90), at(9), false, &T);
    assert_eq!(state(&link), (LinkState::Degraded, LinkReason::Signal));
}

#[test]
fn down_for_a_day_is_stale_and_after_a_month_forgotten() {
    let mut link = down();
    let due = at(4) + T.stale_after;
    assert!(link.fire(Timestamp(due.0 - 1), &T).0.is_empty());
    link.fire(due, &T);
    assert_eq!(state(&link), (LinkState::Stale, LinkReason::Expired));
    assert_eq!(link.since(), due);
    assert!(!link.fire(Timestamp((due + T.forget_after).0 - 1), &T).1);
    let (changes, forgotten) = link.fire(due + T.forget_after, &T);
    assert!(forgotten);
    let gone = (
        Some(LinkState::Stale),
        None,
        due + T.forget_after,
        LinkReason::Forgotten,
    );
    assert_eq!(changes.as_slice(), [gone]);
}

#[test]
fn roamed_is_stale_at_once_from_any_state() {
    for mut link in [
        new(&row(-60), false),
        live(&row(-60)),
        live(&row(-90)),
        down(),
    ] {
        link.verdict(at(9), true, false);
        assert_eq!(state(&link), (LinkState::Stale, LinkReason::Roamed));
        assert_eq!(link.since(), at(9));
    }
    assert!(stale().verdict(at(9), true, false).is_empty());
}

#[test]
fn stale_while_roamed_stays_and_is_not_forgotten_while_present() {
    let mut link = stale();
    assert!(link.seen(&row(-60), at(9), true, &T).is_empty());
    assert!(!link.fire(at(9) + T.forget_after, &T).1);
    link.missing(at(9) + T.forget_after, &T);
    let (changes, forgotten) = link.fire(at(9) + T.forget_after, &T);
    assert!(forgotten);
    assert_eq!(changes[0].2, at(2) + T.forget_after);
}

#[test]
fn stale_and_seen_is_discovered_with_its_first_sighting() {
    let mut link = stale();
    assert!(link.verdict(at(8), false, false).is_empty());
    link.seen(&row(-60), at(9), false, &T);
    assert_eq!(state(&link), (LinkState::Discovered, LinkReason::Seen));
    assert_eq!(link.discovered_at(), at(0));
    link.seen(&row(-60), at(10), false, &T);
    assert_eq!(state(&link), (LinkState::Active, LinkReason::Confirmed));
}

#[test]
fn a_signal_that_is_not_told_is_neither_bad_nor_forgotten() {
    let mut link = live(&row(-60));
    let unknown = ClientRow {
        sample: Sample::default(),
        ..row(0)
    };
    (2..9).for_each(|s| drop(link.seen(&unknown, at(s), false, &T)));
    assert_eq!(link.state(), LinkState::Active);
    assert_eq!(link.live_signal(), Some(-60));
}

#[test]
fn a_link_is_small() {
    assert_eq!(size_of::<Link>(), 48);
}

/// What of a link stands beside it is recorded and restored with it.
#[test]
fn a_link_comes_back_from_its_record_as_it_was() {
    let reporter = Reporter {
        device: DeviceId::default(),
        source: Source::Wifi,
        unobserved: false,
    };
    let mut twice = live(&row(-60));
    twice.missing(at(10), &T);
    twice.seen(&row(-90), at(11), false, &T);
    twice.missing(at(20), &T);
    let mut bad = live(&row(-60));
    bad.seen(&row(-90), at(2), false, &T);
    let mut good = live(&row(-90));
    good.seen(&row(-60), at(2), false, &T);
    let mut ambiguous = new(&row(-90), false);
    ambiguous.verdict(at(1), false, true);
    for link in [twice, bad, good, ambiguous, down(), stale()] {
        let record = link.record(&reporter, &link.absences);
        let mut absences = Absences::default();
        let restored = Link::restore(&record, 0, &mut absences);
        assert_eq!(restored.head(), link.head());
        assert_eq!(restored.record(&reporter, &absences), record);
        let told = |link: &Link| (link.run, link.miss_run, link.departed(), link.signal());
        assert_eq!(told(&restored), told(&link));
    }
}

#[test]
fn a_status_holds_each_state_beside_its_flags() {
    for state in LinkState::ALL {
        let mut status = Status(0);
        for flag in [ROAMED, AMBIGUOUS, BAD, DEPARTED] {
            status.set_state(LinkState::Stale);
            status.set(flag, true);
            status.set_state(*state);
            assert_eq!((status.state(), status.has(flag)), (*state, true));
            status.set(flag, false);
            assert_eq!((status.state(), status.has(flag)), (*state, false));
        }
    }
}
