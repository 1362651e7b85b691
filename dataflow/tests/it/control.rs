//! Changes that people make, bound at an epoch: from that epoch on every view says so, and before it none.

use std::collections::BTreeSet;

use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::Snapshot;
use mast_oracle::script::{
    self, Script, SlotInput, at, device_row, good, mac, sector, site, tenant,
};
use mast_oracle::{Oracle, Views, laws, maintenance_laws, place_laws};
use mast_schemas::control::{Change, Thresholds, Window};
use mast_schemas::records::{Outcome, Source, Tables};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::{HealthState, Place};
use mast_schemas::{DeviceId, Epoch, Timestamp};

use crate::flow::{compare, compare_rates, same_events};
use crate::support::{Served, config, encode, oracle, run};

/// The views after each binding, the same under any number of workers, as the oracle's, and lawful.
fn told(slots: &[SlotInput]) -> Vec<(Epoch, Views)> {
    let mut told = Vec::new();
    for workers in [1, 2, 4] {
        let mut engine = Engine::start(config(workers), Snapshot::default()).unwrap();
        let mut oracle = Oracle::new(DEFAULT);
        let mut served = Served::default();
        told.clear();
        for (slot, input) in slots.iter().zip(encode(slots, 50)) {
            engine.feed(input).unwrap();
            served.take(engine.outputs().unwrap());
            oracle.slot(slot.first, slot.last, &slot.control, slot.polls.clone());
            let at = format!("{workers} workers, slot {}", slot.first.0);
            let truth = oracle.views();
            compare(&at, &served, &truth);
            compare_rates(&at, &served, &truth);
            assert_eq!(laws(&served.views), [], "{at}");
            let records = oracle.records();
            let (windows, standings) = (&records.windows, &records.control);
            assert_eq!(place_laws(&served.views, standings), [], "{at}");
            let breaches = maintenance_laws(&served.views, windows, standings, slot.last.end());
            assert_eq!(breaches, [], "{at}");
            told.push((slot.first, served.views.clone()));
        }
    }
    told
}

/// The views after the binding of the slot that holds `t`, and those before it.
fn around(told: &[(Epoch, Views)], t: Timestamp) -> (&Views, &Views) {
    let i = told
        .iter()
        .position(|(first, _)| *first == Epoch::of(t))
        .unwrap();
    (&told[i - 1].1, &told[i].1)
}

/// An access point with two clients, counters and noise, polled to the end; and a second device of the site.
fn fleet() -> (Script, DeviceId, DeviceId) {
    let mut s = Script::new();
    let (ap, other) = (s.device(at(0), 1), s.device(at(0), 2));
    for k in 0..12i64 {
        let t = at(10 * k + 1);
        let tables = Tables::registration(Source::Wireless).with(Tables::INTERFACE);
        let poll = s.poll(ap, t, Outcome::Ok, tables.with(Tables::RADIO));
        for n in [1, 2] {
            let client = good(mac(n), 1_000 + 10 * k as u64);
            let radio = script::radio(ap);
            script::add_client(poll, Source::Wireless, "wlan1", radio, false, client);
        }
        script::add_interface(poll, script::radio(ap), false);
        let bytes = 1_000_000 * k as u64;
        (poll.interfaces[0].rx_bytes, poll.interfaces[0].tx_bytes) = (Some(bytes), Some(2 * bytes));
        script::add_radio(poll, "wlan1", -95);
        script::count_rows(poll);
        s.poll_ok(other, at(10 * k + 2));
    }
    (s, ap, other)
}

const HERE: Place = Place::Site(tenant(1), site(1));
const THERE: Place = Place::Site(tenant(1), site(2));
const SECTOR: Place = Place::Sector(tenant(1), sector(1));

#[test]
fn a_device_that_moves_takes_its_links_signals_and_traffic_with_it() {
    let (mut s, ap, _) = fleet();
    s.edit(at(65), ap, |row| {
        (row.site_id, row.sector_id) = (Some(site(2)), None);
    });
    let told = told(&s.slots(at(115)));
    let (before, after) = around(&told, at(65));
    assert_eq!(
        (
            before.counts[&HERE].devices[0],
            before.counts[&HERE].links[1]
        ),
        (2, 2)
    );
    assert_eq!(
        (after.counts[&HERE].devices[0], after.counts[&HERE].links[1]),
        (1, 0)
    );
    assert_eq!(
        (
            after.counts[&THERE].devices[0],
            after.counts[&THERE].links[1]
        ),
        (1, 2)
    );
    assert!(!before.counts.contains_key(&THERE) && !before.health.contains_key(&THERE));
    assert_eq!(after.health[&THERE].state, HealthState::Up);
    assert_eq!(after.health[&THERE].since, Epoch::of(at(65)).end());
    assert_eq!(after.health[&HERE], before.health[&HERE]);
    assert_eq!(after.signals.get(&THERE), before.signals.get(&HERE));
    assert_eq!(before.signals[&HERE].clients, 2);
    assert!(!after.signals.contains_key(&HERE) && !after.signals.contains_key(&SECTOR));
    assert_eq!(after.air.get(&THERE), before.air.get(&HERE));
    // A million bytes in 10 s.
    assert_eq!(
        (after.air[&THERE].rx_bps, after.air[&THERE].tx_bps),
        (800_000, 1_600_000)
    );
    assert_eq!(after.air[&THERE].noise_worst_dbm, Some(-95));
    assert!(!after.air.contains_key(&HERE));
}

#[test]
fn a_deleted_sector_leaves_its_devices_to_the_site_and_a_deleted_site_to_the_tenant() {
    let (mut s, ..) = fleet();
    s.change(at(45), Change::SectorDeleted { id: sector(1) });
    s.change(at(75), Change::SiteDeleted { id: site(1) });
    let told = told(&s.slots(at(115)));
    let (before, after) = around(&told, at(45));
    let of_sector = |views: &Views| {
        views.counts.contains_key(&SECTOR)
            || views.health.contains_key(&SECTOR)
            || views.signals.contains_key(&SECTOR)
            || views.air.contains_key(&SECTOR)
    };
    assert!(of_sector(before) && !of_sector(after));
    assert_eq!(after.counts[&HERE], before.counts[&HERE]);
    let (before, after) = around(&told, at(75));
    assert!(before.health.contains_key(&HERE) && !after.health.contains_key(&HERE));
    let whole = Place::Tenant(tenant(1));
    assert_eq!(after.counts.keys().collect::<Vec<_>>(), [&whole]);
    assert_eq!(after.counts[&whole], before.counts[&whole]);
    assert_eq!(after.health[&whole], before.health[&whole]);
}

#[test]
fn a_deleted_tenant_takes_all_of_its_rows_and_none_of_anothers() {
    let (mut s, ..) = fleet();
    let foreign = device_row(9, tenant(2), Some(site(9)), None);
    let id = foreign.id;
    s.change(at(0), Change::Device(foreign));
    for k in 0..12 {
        s.ap_poll(id, at(10 * k + 3), &[good(mac(1), 500 + 10 * k as u64)]);
        let tables = Tables::default().with(Tables::ARP);
        let poll = s.poll(id, at(10 * k + 4), Outcome::Ok, tables);
        script::add_arp(poll, mac(1), "10.0.0.1");
    }
    s.change(at(55), Change::TenantDeleted { id: tenant(1) });
    let told = told(&s.slots(at(115)));
    let (before, after) = around(&told, at(55));
    let owners = |views: &Views| -> BTreeSet<_> {
        let places = views.counts.keys().chain(views.health.keys());
        let places = places.chain(views.signals.keys()).chain(views.air.keys());
        let devices = views.devices.values().map(|d| d.tenant_id);
        let rates = views.rates.values().map(|r| r.tenant_id);
        let links = views.links.keys().map(|l| l.tenant_id);
        let addresses = views.addresses.keys().map(|(tenant, _)| *tenant);
        let links = links.chain(addresses);
        let places = places.map(Place::tenant);
        places.chain(devices).chain(links).chain(rates).collect()
    };
    assert_eq!(owners(before), [tenant(1), tenant(2)].into());
    assert_eq!(owners(after), [tenant(2)].into());
    let theirs = Place::Site(tenant(2), site(9));
    assert_eq!(after.counts[&theirs], before.counts[&theirs]);
    assert_eq!(after.health[&theirs], before.health[&theirs]);
    // Polls of its devices go on for a while: they change nothing any more.
    assert_eq!(owners(&told.last().unwrap().1), [tenant(2)].into());
}

/// A fleet is imported at once, answers, is moved to another site in one slot, and one half of it is switched off.
#[test]
fn ten_thousand_devices_imported_at_once_count_from_that_epoch_on() {
    const MANY: u32 = 10_000;
    let mut s = Script::new();
    for n in 0..MANY {
        let row = device_row(n, tenant(1), Some(site(1 + n % 10)), None);
        s.change(at(0), Change::Device(row));
    }
    for n in 0..MANY {
        s.poll_ok(script::device(n), at(2));
    }
    for n in 0..MANY {
        let id = script::device(n);
        s.edit(at(5), id, |row| row.site_id = Some(site(77)));
    }
    for n in 0..MANY / 2 {
        s.edit(at(8), script::device(n), |row| row.enabled = false);
    }
    let told = told(&s.slots(at(9)));
    let of_site = |views: &Views, n| {
        let place = Place::Site(tenant(1), site(n));
        let state = views.health.get(&place).map(|health| health.state);
        (views.counts.get(&place).map(|c| c.devices), state)
    };
    let first = &told[0].1;
    assert_eq!(first.devices.len(), MANY as usize);
    let unobserved = (Some([0, 0, 0, 1_000]), Some(HealthState::Unknown));
    assert!((1..=10).all(|n| of_site(first, n) == unobserved));
    let (_, answered) = around(&told, at(2));
    let online = (Some([1_000, 0, 0, 0]), Some(HealthState::Up));
    assert!((1..=10).all(|n| of_site(answered, n) == online));
    let (_, moved) = around(&told, at(5));
    assert!((1..=10).all(|n| of_site(moved, n) == (None, None)));
    let all = (Some([10_000, 0, 0, 0]), Some(HealthState::Up));
    assert_eq!(of_site(moved, 77), all);
    let (_, halved) = around(&told, at(8));
    let half = (Some([5_000, 0, 0, 5_000]), Some(HealthState::Up));
    assert_eq!(of_site(halved, 77), half);
}

#[test]
fn what_counts_as_bad_is_judged_anew_from_the_slot_that_binds_it() {
    let (mut s, ap, _) = fleet();
    let row = |n, sector_id, dbm| Thresholds {
        id: script::thresholds(n),
        tenant_id: tenant(1),
        site_id: Some(site(1)),
        sector_id,
        technology: Some(Source::Wireless),
        degraded_signal_dbm: Some(dbm),
        active_signal_dbm: None,
        degraded_ccq_percent: None,
        active_ccq_percent: None,
        version: 1,
    };
    // All clients are at −60 dBm: bad for the site, then fine for the sector.
    s.change(at(35), Change::Thresholds(row(1, None, -30)));
    s.change(at(75), Change::Thresholds(row(2, Some(sector(1)), -80)));
    let told = told(&s.slots(at(115)));
    let degraded = |t| around(&told, t).1.counts[&Place::Sector(tenant(1), sector(1))].links[2];
    assert_eq!((degraded(at(35)), degraded(at(41))), (0, 0));
    // The second table judged by it.
    assert_eq!((degraded(at(51)), degraded(at(75))), (2, 2));
    // The third good one.
    assert_eq!((degraded(at(91)), degraded(at(101))), (2, 0));
    assert_eq!(
        told[0].1.counts.len(),
        3,
        "of {ap}: tenant, site and sector"
    );
}

/// States of places with the slot's end since which each holds, as they came.
fn stories(told: &[(Epoch, Views)], place: Place) -> Vec<(HealthState, Timestamp)> {
    let health = told
        .iter()
        .filter_map(|(_, views)| views.health.get(&place));
    let mut story: Vec<_> = health.map(|health| (health.state, health.since)).collect();
    story.dedup();
    story
}

/// The end of the slot that holds an instant; a window that begins or ends then does so at this end.
fn end(t: i64) -> Timestamp {
    Epoch::of(at(t)).end()
}

#[test]
fn windows_of_a_tenant_and_of_sites_are_maintenance_of_places() {
    use HealthState::{Maintenance, Unknown, Up};
    let (mut s, ap, other) = fleet();
    let window = |n, from, to, site_id| Window {
        site_id,
        ..script::window_row(n, at(from), at(to))
    };
    // One of the site, one of all of the tenant that overlaps it, one of a site where nothing stands, one of devices.
    s.change(at(5), Change::Window(window(1, 20, 40, Some(site(1)))));
    s.change(at(5), Change::Window(window(2, 35, 50, None)));
    s.change(at(5), Change::Window(window(3, 30, 100, Some(site(2)))));
    let of_devices = Window {
        device_ids: vec![ap, other],
        ..window(4, 0, 1_000, None)
    };
    s.change(at(5), Change::Window(of_devices));
    // Others have nothing to say here, whatever they name.
    for (n, site_id) in [(5, Some(site(1))), (6, None)] {
        let theirs = Window {
            tenant_id: tenant(2),
            ..window(n, 0, 1_000, site_id)
        };
        s.change(at(5), Change::Window(theirs));
    }
    // The sector moves with both of its devices to where a window is open, and the window is called off.
    for id in [ap, other] {
        s.edit(at(65), id, |row| {
            row.site_id = Some(site(2));
            row.sector_id = Some(sector(1));
        });
    }
    s.change(
        at(85),
        Change::WindowDeleted {
            id: script::window(3),
        },
    );
    let told = told(&s.slots(at(115)));
    let whole = stories(&told, Place::Tenant(tenant(1)));
    let (begin, polled) = ((Unknown, end(0)), (Up, end(1)));
    let slot_end = |t: i64| at(t);
    assert_eq!(
        whole,
        [
            begin,
            polled,
            (Maintenance, slot_end(35)),
            (Up, slot_end(50))
        ]
    );
    assert_eq!(
        stories(&told, HERE),
        [
            begin,
            polled,
            (Maintenance, slot_end(20)),
            (Up, slot_end(50))
        ]
    );
    assert_eq!(
        stories(&told, THERE),
        [(Maintenance, end(65)), (Up, end(85))]
    );
    let sector = stories(&told, SECTOR);
    assert_eq!(sector[..2], [begin, polled]);
    assert_eq!(
        sector[2..],
        [
            (Maintenance, slot_end(20)),
            (Up, slot_end(50)),
            (Maintenance, end(65)),
            (Up, end(85))
        ]
    );
    // What is counted is told beside it.
    let (_, views) = around(&told, at(31));
    assert_eq!(views.health[&HERE].state, Maintenance);
    assert_eq!(
        (views.counts[&HERE].devices[0], views.counts[&HERE].links[1]),
        (2, 2)
    );
}

/// The job is down while one window opens and another closes: what the log holds is what decides, and so nothing differs.
#[test]
fn windows_that_turn_while_the_job_is_down_are_told_once_and_at_their_time() {
    let (mut s, ..) = fleet();
    s.change(at(5), Change::Window(script::window_row(1, at(10), at(42))));
    s.change(at(5), Change::Window(script::window_row(2, at(61), at(90))));
    let slots = s.slots(at(115));
    let inputs = encode(&slots, 4);
    let whole = run(&inputs, 1, 1);
    let (_, events) = oracle(&slots, DEFAULT);
    let maintenance = Some(HealthState::Maintenance);
    let begun = events.health.iter().filter(|e| e.to_state == maintenance);
    assert_eq!(begun.count(), 6, "tenant, site and sector, twice");
    let mut told = whole.health_events.clone();
    same_events(&mut told, events.health, |e| (e.at, e.event_id));
    for cut in 1..inputs.len() {
        let mut served = Served::default();
        let mut engine = Engine::start(config(2), Snapshot::default()).unwrap();
        inputs[..cut]
            .iter()
            .for_each(|i| engine.feed(i.clone()).unwrap());
        served.take(engine.outputs().unwrap());
        let snapshot = engine.snapshot().unwrap();
        drop(engine);
        let mut engine = Engine::start(config(1 + cut % 4), snapshot).unwrap();
        inputs[cut..]
            .iter()
            .for_each(|i| engine.feed(i.clone()).unwrap());
        served.take(engine.outputs().unwrap());
        compare(&format!("cut at {cut}"), &served, &whole.views);
        assert_eq!(served.health_events, whole.health_events, "cut at {cut}");
        assert_eq!(served.history, whole.history, "cut at {cut}");
    }
}
