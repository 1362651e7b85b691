//! §7: the link table, row by row, and what else moves a link.

use mast_oracle::script::{Client, Script, at, bad, good, mac, radio};
use mast_schemas::DeviceId;
use mast_schemas::control::Change;
use mast_schemas::records::Outcome;
use mast_schemas::time::Span;
use mast_schemas::views::LinkReason::{
    Confirmed, ConfirmedByStation, Expired, Losses, Lost, Recovered, Returned, Seen, Signal,
};
use mast_schemas::views::LinkState::{Active, Degraded, Discovered, Down, Stale};

use crate::{link, link_id, run, state, transitions};

/// An access point whose tables come every 10 s from 10 s on; `None` = a table without the client.
fn tables(rows: &[Option<Client>]) -> (Script, DeviceId) {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    for (i, row) in rows.iter().enumerate() {
        let t = at(10 + 10 * i as i64);
        s.ap_poll(ap, t, &row.iter().copied().collect::<Vec<_>>());
    }
    (s, ap)
}

fn end(rows: &[Option<Client>]) -> Option<(&'static str, &'static str, i64)> {
    let (s, ap) = tables(rows);
    let oracle = run(&s, at(10 * rows.len() as i64 + 1));
    state(&oracle, ap, mac(1)).map(|(state, reason, since)| {
        (
            state.as_str(),
            reason.as_str(),
            (since.0 - at(0).0) / 1_000_000,
        )
    })
}

/// A client that has been associated for a day.
fn row(signal: i16, ccq: Option<u16>) -> Option<Client> {
    Some((mac(1), Some(signal), ccq, None))
}

const OK: Option<Client> = Some((mac(1), Some(-60), None, None));
const BAD: Option<Client> = Some((mac(1), Some(-90), None, None));
const NO: Option<Client> = None;

#[test]
fn discovered_when_first_seen_then_active_or_degraded_by_its_signal() {
    assert_eq!(end(&[NO]), None);
    assert_eq!(end(&[OK]), Some(("discovered", "seen", 10)));
    assert_eq!(end(&[OK, OK]), Some(("active", "confirmed", 20)));
    assert_eq!(end(&[BAD, OK]), Some(("active", "confirmed", 20)));
    assert_eq!(end(&[OK, BAD]), Some(("degraded", "signal", 20)));
    assert_eq!(
        end(&[OK, NO, OK]),
        Some(("discovered", "seen", 10)),
        "the run begins anew"
    );
    assert_eq!(end(&[OK, NO, OK, OK]), Some(("active", "confirmed", 40)));
    let null = Some((mac(1), None, None, None));
    assert_eq!(
        end(&[null, null]),
        Some(("active", "confirmed", 20)),
        "null is not bad"
    );
}

#[test]
fn two_bad_tables_degrade_and_three_good_ones_recover() {
    let weak_ccq = row(-60, Some(39));
    assert_eq!(end(&[OK, OK, BAD]), Some(("active", "confirmed", 20)));
    assert_eq!(
        end(&[OK, OK, BAD, OK, BAD]),
        Some(("active", "confirmed", 20)),
        "in a row"
    );
    assert_eq!(
        end(&[OK, OK, BAD, weak_ccq]),
        Some(("degraded", "signal", 40))
    );
    let between = row(-78, None);
    assert_eq!(end(&[BAD, BAD, OK, OK]), Some(("degraded", "signal", 20)));
    assert_eq!(
        end(&[BAD, BAD, OK, OK, OK]),
        Some(("active", "recovered", 50))
    );
    assert_eq!(
        end(&[BAD, BAD, OK, between, OK, OK]),
        Some(("degraded", "signal", 20))
    );
    assert_eq!(
        end(&[BAD, BAD, OK, OK, NO, OK, OK]),
        Some(("degraded", "signal", 20))
    );
    let ccq = row(-60, Some(49));
    assert_eq!(
        end(&[BAD, BAD, ccq, ccq, ccq]),
        Some(("degraded", "signal", 20))
    );
}

#[test]
fn three_losses_degrade_and_hold_it_for_the_window() {
    let mut rows = vec![OK, OK, NO, OK, NO, OK];
    assert_eq!(end(&rows).unwrap().0, "active");
    rows.push(NO);
    assert_eq!(end(&rows), Some(("degraded", "losses", 70)));
    // Good tables do not help before the newest loss, at 70 s, is 10 min old.
    rows.extend([OK; 59]);
    assert_eq!(end(&rows).unwrap().0, "degraded");
    rows.push(OK);
    assert_eq!(end(&rows), Some(("active", "recovered", 670)));
}

#[test]
fn three_tables_without_it_are_down_and_one_table_returns_it() {
    assert_eq!(end(&[OK, OK, NO, NO]), Some(("active", "confirmed", 20)));
    assert_eq!(end(&[OK, OK, NO, NO, NO]), Some(("down", "lost", 50)));
    assert_eq!(
        end(&[OK, NO, NO, NO]),
        Some(("down", "lost", 40)),
        "also when only discovered"
    );
    assert_eq!(
        end(&[OK, OK, NO, NO, NO, NO, OK]),
        Some(("active", "returned", 70))
    );
    assert_eq!(
        end(&[OK, OK, NO, NO, NO, BAD]),
        Some(("degraded", "signal", 60))
    );
    let flapping = [OK, OK, NO, OK, NO, OK, NO, NO, NO, OK];
    assert_eq!(end(&flapping), Some(("degraded", "losses", 100)));
}

#[test]
fn failed_partial_and_replayed_polls_neither_count_nor_reset() {
    let (mut s, ap) = tables(&[OK, OK, NO, NO]);
    s.repeat(1);
    s.poll_failed(ap, at(45), Outcome::Timeout);
    s.poll_ok(ap, at(46));
    assert_eq!(
        state(&run(&s, at(49)), ap, mac(1)),
        Some((Active, Confirmed, at(20)))
    );
    s.ap_poll(ap, at(50), &[]);
    assert_eq!(
        state(&run(&s, at(51)), ap, mac(1)),
        Some((Down, Lost, at(50)))
    );
}

#[test]
fn its_station_confirms_at_once() {
    let mut s = Script::new();
    let (ap, cpe) = (s.device(at(0), 1), s.device(at(0), 2));
    s.ap_poll(ap, at(10), &[good(mac(1), 5)]);
    s.station_poll(cpe, at(12), mac(1), Some(radio(ap)));
    assert_eq!(
        state(&run(&s, at(13)), ap, mac(1)),
        Some((Active, ConfirmedByStation, at(12)))
    );
    // The word stands for the next association only if it came after its begin.
    s.ap_poll(ap, at(20), &[]);
    s.ap_poll(ap, at(30), &[good(mac(1), 3), bad(mac(3), 1)]);
    s.station_poll(cpe, at(31), mac(3), Some(radio(ap)));
    let oracle = run(&s, at(32));
    assert_eq!(state(&oracle, ap, mac(3)), Some((Degraded, Signal, at(31))));
}

#[test]
fn the_stations_word_from_before_the_association_confirms_nothing() {
    let mut s = Script::new();
    let (ap, cpe) = (s.device(at(0), 1), s.device(at(0), 2));
    s.ap_poll(ap, at(10), &[]);
    s.ap_poll(ap, at(11), &[good(mac(9), 1)]);
    s.station_poll(cpe, at(20), mac(1), Some(radio(ap)));
    s.ap_poll(ap, at(40), &[good(mac(1), 10)]);
    assert_eq!(
        state(&run(&s, at(41)), ap, mac(1)),
        Some((Discovered, Seen, at(40)))
    );
    // Five seconds are nothing between clocks.
    s.station_poll(cpe, at(44), mac(1), Some(radio(ap)));
    assert_eq!(
        state(&run(&s, at(45)), ap, mac(1)),
        Some((Active, ConfirmedByStation, at(44)))
    );
}

#[test]
fn a_station_that_stops_saying_so_confirms_no_longer() {
    for gone in [true, false] {
        let mut s = Script::new();
        let (ap, cpe) = (s.device(at(0), 1), s.device(at(0), 2));
        s.ap_poll(ap, at(5), &[good(mac(9), 5)]);
        s.station_poll(cpe, at(10), mac(1), Some(radio(ap)));
        if gone {
            s.station_poll(cpe, at(20), mac(1), None);
        } else {
            s.poll_ok(cpe, at(20));
        }
        s.ap_poll(ap, at(30), &[(mac(1), Some(-60), None, Some(25))]);
        let expected = if gone { Discovered } else { Active };
        assert_eq!(link(&run(&s, at(31)), ap, mac(1)).state, expected);
    }
}

#[test]
fn a_station_row_makes_no_link() {
    let mut s = Script::new();
    let (ap, cpe) = (s.device(at(0), 1), s.device(at(0), 2));
    s.ap_poll(ap, at(5), &[good(mac(9), 5)]);
    s.station_poll(cpe, at(10), mac(1), Some(radio(ap)));
    assert_eq!(run(&s, at(11)).views().links.len(), 1);
}

#[test]
fn down_for_a_day_is_stale_and_a_month_later_forgotten() {
    let (mut s, ap) = tables(&[OK, OK, NO, NO, NO]);
    s.interfaces(ap, at(55), &[]);
    let cpe = s.device(at(0), 2);
    s.interfaces(cpe, at(56), &[mac(1)]);
    let day = Span::hours(24);
    let stale = at(50) + day;
    assert_eq!(
        link(&run(&s, stale - Span::millis(251)), ap, mac(1)).state,
        Down
    );
    assert_eq!(
        state(&run(&s, stale), ap, mac(1)),
        Some((Stale, Expired, stale))
    );
    let forgotten = stale + Span::hours(24 * 30);
    assert!(
        run(&s, forgotten - Span::millis(251))
            .views()
            .links
            .contains_key(&link_id(ap, mac(1)))
    );
    let mut oracle = run(&s, forgotten);
    assert!(oracle.views().links.is_empty());
    let told = transitions(&mut oracle);
    assert_eq!(told[3..], ["down>stale expired", "stale>- forgotten"]);
}

#[test]
fn unmanaged_links_are_left_out_after_a_day_and_shown_again_when_managed() {
    let (mut s, ap) = tables(&[OK, OK, NO, NO, NO]);
    let out = at(50) + Span::hours(48);
    assert!(!run(&s, out - Span::millis(251)).views().links.is_empty());
    let mut oracle = run(&s, out);
    assert!(oracle.views().links.is_empty());
    assert!(
        !transitions(&mut oracle).contains(&"stale>- forgotten".to_owned()),
        "no event: it is remembered"
    );
    let later = out + Span::secs(100);
    let cpe = s.device(out, 2);
    s.interfaces(cpe, later, &[mac(1)]);
    let view = link(&run(&s, later + Span::secs(1)), ap, mac(1));
    assert_eq!((view.state, view.cpe_device_id), (Stale, Some(cpe)));
    let known = run(&s, later + Span::secs(1)).views().counts;
    assert!(known.values().all(|c| c.links.iter().sum::<i64>() <= 1));
}

#[test]
fn back_from_stale_is_discovered_with_its_first_date() {
    let (mut s, ap) = tables(&[OK, OK, NO, NO, NO]);
    let back = at(50) + Span::hours(30);
    s.ap_poll(ap, back, &[good(mac(1), 5)]);
    let view = link(&run(&s, back), ap, mac(1));
    assert_eq!(
        (view.state, view.reason, view.since, view.discovered_at),
        (Discovered, Seen, back, at(10))
    );
}

#[test]
fn a_radio_keeps_so_many_departed_links() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let clients: Vec<Client> = (0..80).map(|n| good(mac(n), 5)).collect();
    s.ap_poll(ap, at(10), &clients);
    s.ap_poll(ap, at(20), &clients[1..]);
    s.ap_poll(ap, at(30), &clients[60..]);
    // 60 departed, 20 live: 4 × 20 may stay.
    assert_eq!(run(&s, at(31)).views().links.len(), 80);
    s.ap_poll(ap, at(40), &clients[79..]);
    // 79 departed, 64 stay; the one of 20 s goes first, then the lowest addresses of 30 s.
    let oracle = run(&s, at(41));
    let kept: Vec<u32> = (0..80)
        .filter(|n| state(&oracle, ap, mac(*n)).is_some())
        .collect();
    assert_eq!(kept, (15..80).collect::<Vec<_>>());
}

#[test]
fn an_access_points_end_forgets_its_links() {
    let (mut s, ap) = tables(&[OK, OK]);
    s.change(at(30), Change::DeviceDeleted { id: ap });
    let mut oracle = run(&s, at(31));
    assert!(oracle.views().links.is_empty());
    assert_eq!(
        transitions(&mut oracle).last().unwrap(),
        "active>- forgotten"
    );
}

#[test]
fn odd_rows() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let own = radio(ap);
    s.ap_poll(ap, at(10), &[bad(mac(1), 5), good(mac(1), 5), good(own, 5)]);
    let poll = s.ap_poll(
        ap,
        at(20),
        &[bad(mac(1), 15), good(mac(1), 15), good(own, 5)],
    );
    poll.registrations
        .iter_mut()
        .for_each(|r| r.interface = "wlan7".to_owned());
    let oracle = run(&s, at(21));
    assert_eq!(oracle.views().links.len(), 1, "not to itself");
    let view = link(&oracle, ap, mac(1));
    assert_eq!(
        (view.state, view.reason),
        (Degraded, Signal),
        "the first of two rows counts"
    );
    assert_eq!(view.interface, "wlan7");
    assert!(
        [Returned, Losses, Recovered]
            .iter()
            .all(|r| *r != view.reason)
    );
}
