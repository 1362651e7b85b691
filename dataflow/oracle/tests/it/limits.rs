//! §7.1: what counts as bad, as places decide it.

use mast_oracle::script::{Client, Script, at, device_row, mac, sector, site, tenant, thresholds};
use mast_schemas::DeviceId;
use mast_schemas::control::{Change, Thresholds};
use mast_schemas::records::Source;

use crate::{run, state};

/// A client at −60 dBm and with a CCQ of 55 %: fine by the registry, which calls a CCQ good from 50.
const CLIENT: Client = (mac(1), Some(-60), Some(55), None);

/// The tenant says nothing yet.
fn of_tenant(n: u32) -> Thresholds {
    Thresholds {
        id: thresholds(n),
        tenant_id: tenant(1),
        site_id: None,
        sector_id: None,
        technology: None,
        degraded_signal_dbm: None,
        active_signal_dbm: None,
        degraded_ccq_percent: None,
        active_ccq_percent: None,
        version: 1,
    }
}

fn of_site(n: u32) -> Thresholds {
    Thresholds {
        site_id: Some(site(1)),
        ..of_tenant(n)
    }
}

fn of_sector(n: u32) -> Thresholds {
    Thresholds {
        sector_id: Some(sector(1)),
        ..of_site(n)
    }
}

fn signal(of: Thresholds, dbm: i16) -> Thresholds {
    Thresholds {
        degraded_signal_dbm: Some(dbm),
        ..of
    }
}

/// The link's state after two tables, where these rows hold.
fn judged(rows: &[Thresholds]) -> &'static str {
    let mut s = Script::new();
    for row in rows {
        s.change(at(0), Change::Thresholds(row.clone()));
    }
    let ap = s.device(at(0), 1);
    s.ap_poll(ap, at(10), &[CLIENT]);
    s.ap_poll(ap, at(20), &[CLIENT]);
    end(&s, ap, 21)
}

fn end(s: &Script, ap: DeviceId, until: i64) -> &'static str {
    state(&run(s, at(until)), ap, mac(1)).map_or("none", |(state, ..)| state.as_str())
}

#[test]
fn the_closest_place_that_says_something_holds() {
    let (low, high) = (-80, -50);
    assert_eq!(judged(&[]), "active");
    assert_eq!(judged(&[signal(of_tenant(1), high)]), "degraded");
    assert_eq!(judged(&[signal(of_site(1), high)]), "degraded");
    assert_eq!(judged(&[signal(of_sector(1), high)]), "degraded");
    let site_over_tenant = [signal(of_tenant(1), high), signal(of_site(2), low)];
    assert_eq!(judged(&site_over_tenant), "active");
    let sector_over_site = [signal(of_site(1), low), signal(of_sector(2), high)];
    assert_eq!(judged(&sector_over_site), "degraded");
    // What it leaves open is said further up, each number by itself.
    let ccq = Thresholds {
        degraded_ccq_percent: Some(56),
        ..of_sector(2)
    };
    assert_eq!(judged(&[signal(of_site(1), high), ccq.clone()]), "degraded");
    assert_eq!(judged(&[signal(of_site(1), low), ccq]), "degraded");
}

#[test]
fn another_place_or_technology_says_nothing_here() {
    let elsewhere = Thresholds {
        site_id: Some(site(2)),
        ..signal(of_tenant(1), -50)
    };
    assert_eq!(judged(&[elsewhere]), "active");
    let strangers = Thresholds {
        tenant_id: tenant(2),
        ..signal(of_tenant(1), -50)
    };
    assert_eq!(judged(&[strangers]), "active");
    let w60g = Thresholds {
        technology: Some(Source::W60g),
        ..signal(of_sector(1), -50)
    };
    assert_eq!(judged(&[w60g]), "active");
}

#[test]
fn in_one_place_the_technology_comes_first_then_the_lowest_id() {
    let wireless = Thresholds {
        technology: Some(Source::Wireless),
        ..signal(of_site(9), -50)
    };
    let all = signal(of_site(1), -80);
    assert_eq!(judged(&[all.clone(), wireless.clone()]), "degraded");
    // But a closer place comes before it.
    assert_eq!(judged(&[signal(of_sector(2), -80), wireless]), "active");
    assert_eq!(judged(&[all, signal(of_site(2), -50)]), "active");
}

#[test]
fn what_is_bad_is_not_good() {
    // Bad below −50; the registry calls −60 good. It must not flicker.
    let mut s = Script::new();
    s.change(at(0), Change::Thresholds(signal(of_site(1), -50)));
    let ap = s.device(at(0), 1);
    for k in 1..=12 {
        s.ap_poll(ap, at(10 * k), &[CLIENT]);
    }
    let oracle = run(&s, at(121));
    let since = state(&oracle, ap, mac(1)).unwrap().2;
    assert_eq!(since, at(20), "degraded once, and so it stays");
    assert_eq!(end(&s, ap, 121), "degraded");
}

#[test]
fn a_change_holds_from_the_next_table_on() {
    let mut s = Script::new();
    let ap = s.device(at(0), 1);
    let mut told = Vec::new();
    for k in 1..=18 {
        let t = at(10 * k);
        match k {
            4 => drop(s.change(at(35), Change::Thresholds(signal(of_site(1), -50)))),
            8 => drop(s.change(at(75), Change::ThresholdsDeleted { id: thresholds(1) })),
            12 => {
                s.change(at(115), Change::Thresholds(signal(of_site(1), -50)));
            }
            // It moves to where nobody says anything.
            15 => drop(s.change(
                at(145),
                Change::Device(device_row(1, tenant(1), Some(site(2)), None)),
            )),
            _ => {}
        }
        s.ap_poll(ap, t, &[CLIENT]);
        told.push(end(&s, ap, 10 * k + 1));
    }
    let mut runs: Vec<(&str, usize)> = Vec::new();
    for state in told {
        match runs.last_mut() {
            Some((last, n)) if *last == state => *n += 1,
            _ => runs.push((state, 1)),
        }
    }
    // Two bad tables degrade, three good ones end it.
    assert_eq!(
        runs,
        [
            ("discovered", 1),
            ("active", 3),
            ("degraded", 5),
            ("active", 3),
            ("degraded", 4),
            ("active", 2)
        ]
    );
}

#[test]
fn what_a_deleted_place_said_goes_with_it() {
    let mut s = Script::new();
    s.change(at(0), Change::Thresholds(signal(of_sector(1), -50)));
    s.change(at(0), Change::Thresholds(signal(of_site(2), -50)));
    let ap = s.device(at(0), 1);
    s.change(at(1), Change::SectorDeleted { id: sector(1) });
    s.change(at(1), Change::SiteDeleted { id: site(1) });
    // It comes back to the same ids, of which nothing is left.
    let row = device_row(1, tenant(1), Some(site(1)), Some(sector(1)));
    s.change(at(2), Change::Device(row));
    s.ap_poll(ap, at(10), &[CLIENT]);
    s.ap_poll(ap, at(20), &[CLIENT]);
    assert_eq!(end(&s, ap, 21), "active");
}
