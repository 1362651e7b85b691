//! Trends through the flow: days of tables of two access points, for any number of workers, with and without restarts.

use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::{SlotInput, Snapshot};
use mast_oracle::script::{Client, Script, at, device, mac, radio, tenant};
use mast_schemas::alerts::{TrendChange, TrendTest};
use mast_schemas::control::Change;
use mast_schemas::{Mac, Timestamp};

use crate::support::{Served, config, encode, run};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Falls at day 9, at the first access point, and goes on to the second at day 12.
const ROAMS: Mac = mac(1);
/// Stays as it is.
const STEADY: Mac = mac(2);
/// Falls at day 9; a person says at day 13 that this is normal.
const ACCEPTED: Mac = mac(3);
/// Falls at day 9, and is gone from day 11.
const GONE: Mac = mac(4);
/// Falls at day 9, and is as it was from day 14.
const RECOVERS: Mac = mac(5);

/// Days with polls.
const DAYS: i64 = 16;

/// Clients of both access points in an hour.
fn tables(hour: i64) -> [Vec<Client>; 2] {
    let day = hour / 24;
    let fallen = if day < 9 { -60 } else { -67 };
    let shown = |mac, dbm, since_hour: i64| {
        let uptime = (hour - since_hour) * HOUR + 1_000;
        (mac, Some(dbm), None, Some(u64::try_from(uptime).unwrap()))
    };
    let mut first = vec![shown(STEADY, -60, 0), shown(ACCEPTED, fallen, 0)];
    let mut second = vec![shown(RECOVERS, if day < 14 { fallen } else { -60 }, 0)];
    if day < 12 {
        first.push(shown(ROAMS, fallen, 0));
    } else {
        second.push(shown(ROAMS, fallen, 12 * 24));
    }
    if day < 11 {
        first.push(shown(GONE, fallen, 0));
    }
    [first, second]
}

/// Days with polls, up to the slot that holds `until`.
fn days(until: Timestamp) -> Vec<SlotInput> {
    let mut script = Script::new();
    for n in [1, 2] {
        let id = script.device(at(0), n);
        // A row stands for the interval of its poll.
        script.edit(at(0), id, |row| row.interval_ms = 3_600_000);
    }
    for hour in 0..DAYS * 24 {
        for (clients, n) in tables(hour).iter().zip([1, 2]) {
            script.ap_poll(device(n), at(hour * HOUR + 60), clients);
        }
    }
    let normal = Change::TrendNormal {
        tenant_id: tenant(1),
        mac: ACCEPTED,
    };
    script.change(at(13 * DAY + 60), normal);
    encode(&script.slots(until), 4)
}

/// Day, client and change of each event, in order.
fn told(served: &Served) -> Vec<(i64, Mac, TrendChange)> {
    let events = served.trend_events.iter();
    events
        .map(|e| ((e.at.0 - at(0).0) / 1_000_000 / DAY, e.mac, e.change))
        .collect()
}

#[test]
fn days_of_tables_tell_who_degrades_for_any_number_of_workers() {
    let slots = days(at(DAYS * DAY));
    // Within day 12, after the roaming client's first hour there.
    let early = run(&slots[..12 * 24 + 20], 1, 50);
    let open: Vec<_> = early.views.trends.keys().map(|(_, mac)| *mac).collect();
    assert_eq!(open, [ROAMS, ACCEPTED, GONE, RECOVERS]);
    assert_eq!(
        early.views.trends[&(tenant(1), ROAMS)].ap_device_id,
        device(2)
    );
    assert_eq!(
        early.views.trends[&(tenant(1), GONE)].ap_device_id,
        device(1)
    );

    let whole = run(&slots, 1, 50);
    let mut events = told(&whole);
    events.retain(|event| event.2 != TrendChange::Opened);
    assert_eq!(
        events,
        [
            (13, ACCEPTED, TrendChange::Accepted),
            (14, RECOVERS, TrendChange::Recovered),
        ]
    );
    let opened = whole.trend_events.iter();
    let opened: Vec<_> = opened
        .filter(|event| event.change == TrendChange::Opened)
        .map(|e| (e.mac, e.test, e.baseline_cdbm))
        .collect();
    let by_day = [ROAMS, ACCEPTED, GONE, RECOVERS].map(|mac| (mac, TrendTest::Day, -6_000));
    assert_eq!(opened.len(), 4);
    assert!(
        by_day.iter().all(|event| opened.contains(event)),
        "{opened:?}"
    );
    let open: Vec<_> = whole.views.trends.keys().map(|(_, mac)| *mac).collect();
    assert_eq!(open, [ROAMS, GONE]);
    let view = whole.views.trends[&(tenant(1), ROAMS)];
    assert_eq!(
        (view.ap_device_id, view.radio_mac),
        (device(2), radio(device(2)))
    );

    for workers in [2, 4] {
        let other = run(&slots, workers, 7);
        assert_eq!(other.views.trends, whole.views.trends);
        assert_eq!(other.trend_events, whole.trend_events);
    }
}

#[test]
fn restarts_within_hours_and_days_change_no_trend() {
    let slots = days(at(DAYS * DAY));
    let whole = run(&slots, 1, 50);
    let mut served = Served::default();
    let mut snapshot = Snapshot::default();
    for (part, workers) in slots
        .chunks(slots.len() / 13)
        .zip([1, 2, 4].into_iter().cycle())
    {
        let mut engine = Engine::start(config(workers), snapshot).unwrap();
        part.iter()
            .for_each(|input| engine.feed(input.clone()).unwrap());
        served.take(engine.outputs().unwrap());
        snapshot = engine.snapshot().unwrap();
    }
    assert_eq!(served.views.trends, whole.views.trends);
    assert_eq!(served.trend_events, whole.trend_events);
}

#[test]
fn a_client_that_is_not_seen_any_more_is_gone_after_28_days() {
    // It begins at 8:00 UTC: the last piece is of day 11 there, and day 40 begins 8 hours before that of the script.
    let slots = days(at(40 * DAY));
    let served = run(&slots, 1, 500);
    let last = told(&served).pop();
    assert_eq!(last, Some((39, GONE, TrendChange::Gone)));
    let open: Vec<_> = served.views.trends.keys().map(|(_, mac)| *mac).collect();
    assert_eq!(open, [ROAMS]);
}

#[test]
fn a_deleted_tenant_takes_its_trends_with_it() {
    let mut slots = days(at(DAYS * DAY));
    slots.truncate(11 * 24);
    let before = run(&slots, 2, 50);
    let last = slots.last_mut().unwrap();
    last.control.push(Change::TenantDeleted { id: tenant(1) });
    let after = run(&slots, 2, 50);
    assert!(!before.views.trends.is_empty() && after.views.trends.is_empty());
    assert_eq!(after.trend_events, before.trend_events);
}
