//! Mistakes that pollers of such routers are known for: each test is a router on which they show. `docs/defects.md` lists them.

use super::support::{Menus, access_point, listen, router, spec, trust};
use mast_ingest::parse::{self, Known, Stamp};
use mast_ingest::session::{Polled, Session};
use mast_schemas::Mac;
use mast_schemas::control::TlsPolicy;
use mast_schemas::records::{Outcome, Source, Tables};
use std::sync::Arc;

async fn poll(menus: Menus) -> Polled {
    let address = listen(move |stream| router(stream, menus.clone())).await;
    let mut session = Session::new(Arc::new(spec(address, TlsPolicy::Plain, "secret")));
    session.poll(&trust(Arc::default())).await
}

/// Menus differ in how they write an address. It is one all the same, so what is joined by it is found.
#[test]
fn an_address_is_the_same_in_whatever_case_a_menu_writes_it() {
    let row = |mac: &str| {
        let words = [("interface", "wlan1"), ("mac-address", mac)];
        let parsed = parse::registration(
            Stamp::default(),
            Source::Wireless,
            &Known::default(),
            None,
            &words[..],
        );
        parsed.row.unwrap().mac
    };
    let words = [("name", "wlan1"), ("mac-address", "4C:5E:0C:AB:CD:EF")];
    let interface = parse::interface(Stamp::default(), &words[..]).row.unwrap();
    for written in [
        "4C:5E:0C:AB:CD:EF",
        "4c:5e:0c:ab:cd:ef",
        "4C-5e-0C-aB-cD-eF",
    ] {
        assert_eq!(Some(row(written)), interface.mac, "{written}");
    }
    assert_eq!(interface.mac, Some(Mac(0x4C5E_0CAB_CDEF)));
}

/// From 7.13 on the menu of the newer wifi is there on every board, and is empty without an error where the radio is one of
/// the older driver's. Its clients are read where they are.
#[tokio::test]
async fn an_empty_newer_table_hides_no_clients_of_the_older_one() {
    let mut menus = access_point();
    menus.insert("/interface/wifi/print", Vec::new());
    menus.insert("/interface/wifi/registration-table/print", Vec::new());
    let polled = poll(menus).await;
    assert_eq!(polled.outcome, Outcome::Ok);
    let both = Tables::registration(Source::Wireless).with(Tables::registration(Source::Wifi));
    assert!(polled.tables.has(both), "{:?}", polled.tables);
    assert_eq!(polled.registrations_read, Some(1));
    assert_eq!(polled.registrations[0].source, Source::Wireless);
}

/// The clients of a controller's access points are in a table of its own; one who reads the radios' tables alone sees none.
#[tokio::test]
async fn a_controllers_table_shows_the_clients_of_its_access_points() {
    let mut menus = access_point();
    let row = [
        ("interface", "cap-hill"),
        ("mac-address", "02:00:00:00:00:77"),
        ("rx-signal", "-51"),
        ("uptime", "3m"),
    ];
    let row = row.map(|(name, value)| (name, value.to_owned())).to_vec();
    menus.insert("/caps-man/registration-table/print", vec![row]);
    let polled = poll(menus).await;
    assert!(polled.tables.has(Tables::registration(Source::Capsman)));
    let sources: Vec<_> = polled.registrations.iter().map(|row| row.source).collect();
    assert_eq!(polled.registrations_read, Some(2), "both tables, merged");
    assert!(sources.contains(&Source::Wireless) && sources.contains(&Source::Capsman));
}

/// A level with its rate behind it is a level, of either name; one that is not told is none, never 0 dBm.
#[test]
fn a_signal_is_read_in_each_form_and_is_never_zero_for_want_of_one() {
    let signal = |source, name: &'static str, value: &'static str| {
        let words = [
            ("interface", "wlan1"),
            ("mac-address", "02:00:00:00:00:99"),
            (name, value),
        ];
        let (stamp, known) = (Stamp::default(), Known::default());
        let parsed = parse::registration(stamp, source, &known, None, &words[..]);
        (parsed.row.unwrap().signal_dbm, parsed.issues.len())
    };
    let (old, new) = (Source::Wireless, Source::Wifi);
    assert_eq!(signal(old, "signal-strength", "-51@1Mbps"), (Some(-51), 0));
    assert_eq!(signal(new, "signal", "-51"), (Some(-51), 0));
    assert_eq!(signal(old, "comment", "x"), (None, 0));
    assert_eq!(signal(new, "signal", ""), (None, 0));
    let unreadable = signal(new, "signal", "strong");
    assert_eq!(unreadable, (None, 1), "and what can't be read is named");
}
