use super::*;
use mast_schemas::TenantId;

const HOUR: i64 = 3_600;

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn site(n: u8) -> SiteId {
    SiteId::from_bytes([n; 16])
}

fn window(n: u8, from: i64, to: i64) -> Window {
    Window {
        id: WindowId::from_bytes([n; 16]),
        tenant_id: TenantId::default(),
        name: String::new(),
        site_id: None,
        device_ids: Vec::new(),
        starts_at: Timestamp::from_secs(from),
        ends_at: Timestamp::from_secs(to),
        recurrence: None,
        time_zone: "UTC".to_owned(),
        version: 1,
    }
}

#[test]
fn a_window_has_its_begin_and_not_its_end() {
    let mut windows = Windows::default();
    windows.put(window(1, 100, 200));
    for (now, turned, open, edge) in [
        (99, false, false, Some(100)),
        (100, true, true, Some(200)),
        (199, false, true, Some(200)),
        (200, true, false, None),
        (300, false, false, None),
    ] {
        assert_eq!(windows.advance(Timestamp::from_secs(now)), turned, "{now}");
        assert_eq!(windows.site(None), open, "{now}");
        assert_eq!(windows.edge(), edge.map(Timestamp::from_secs), "{now}");
    }
}

#[test]
fn a_window_is_for_what_it_names() {
    let mut windows = Windows::default();
    windows.put(Window {
        site_id: Some(site(1)),
        ..window(1, 0, 100)
    });
    windows.put(Window {
        device_ids: vec![device(1), device(2), device(1)],
        ..window(2, 0, 50)
    });
    assert!(windows.advance(Timestamp(0)));
    assert!(windows.site(Some(site(1))) && !windows.site(Some(site(2))) && !windows.site(None));
    assert!(windows.device(device(9), Some(site(1))));
    assert!(windows.device(device(1), None) && !windows.device(device(3), Some(site(2))));
    assert!(windows.advance(Timestamp::from_secs(50)));
    assert!(!windows.device(device(1), None) && windows.site(Some(site(1))));
    // What is taken out while it is open is open no more.
    assert!(windows.remove(WindowId::from_bytes([1; 16])));
    assert!(!windows.site(Some(site(1))));
}

#[test]
fn windows_that_overlap_are_open_until_the_last_one_ends() {
    let mut windows = Windows::default();
    windows.put(Window {
        recurrence: Some("FREQ=DAILY;COUNT=2".to_owned()),
        ..window(1, 0, 30 * HOUR)
    });
    for (hour, open) in [(0, true), (29, true), (31, true), (53, true), (54, false)] {
        windows.advance(Timestamp::from_secs(hour * HOUR));
        assert_eq!(windows.site(None), open, "{hour}");
    }
}

#[test]
fn who_comes_late_finds_the_window_as_it_is() {
    // The hour from 03:00 each Sunday in Ljubljana, since Sunday 2026-01-04; years later, in summer.
    let sunday = Window {
        recurrence: Some("FREQ=WEEKLY;BYDAY=SU".to_owned()),
        time_zone: "Europe/Ljubljana".to_owned(),
        ..window(1, 1_767_492_000, 1_767_495_600)
    };
    let mut windows = Windows::default();
    windows.put(sunday);
    // 2029-07-01 01:30 UTC is 03:30 there.
    assert!(windows.advance(Timestamp::from_secs(1_877_563_800)));
    assert_eq!(windows.edge(), Some(Timestamp::from_secs(1_877_565_600)));
}

#[test]
fn an_edit_takes_the_place_of_what_was() {
    let mut windows = Windows::default();
    windows.put(window(1, 0, 100));
    windows.advance(Timestamp::from_secs(10));
    windows.put(window(1, 50, 100));
    windows.advance(Timestamp::from_secs(11));
    assert!(!windows.site(None));
    assert_eq!(windows.edge(), Some(Timestamp::from_secs(50)));
}

#[test]
fn what_is_refused_does_not_recur() {
    let with = |zone: &str, rule: Option<&str>| Window {
        time_zone: zone.to_owned(),
        recurrence: rule.map(str::to_owned),
        ..window(1, 0, 100)
    };
    assert_eq!(check(&with("UTC", None)), Ok(()));
    assert_eq!(check(&with("Europe/Ljubljana", Some("FREQ=DAILY"))), Ok(()));
    assert_eq!(check(&window(1, 100, 100)), Err(WindowError::Length));
    assert_eq!(check(&window(1, -5, 100)), Err(WindowError::Begin));
    assert_eq!(
        check(&with("Europe/Nowhere", None)),
        Err(WindowError::Zone("Europe/Nowhere".to_owned()))
    );
    let never = "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30";
    assert_eq!(
        check(&with("UTC", Some(never))),
        Err(WindowError::NeverAgain)
    );
    assert!(matches!(
        check(&with("UTC", Some("FREQ=SECONDLY"))),
        Err(WindowError::Recurrence(_))
    ));

    let mut windows = Windows::default();
    windows.put(with("Europe/Nowhere", Some("FREQ=DAILY")));
    assert!(windows.advance(Timestamp::from_secs(10)));
    assert!(windows.advance(Timestamp::from_secs(100)));
    assert_eq!(windows.edge(), None);
    // Neither is one that has no length.
    windows.put(window(2, 200, 200));
    windows.put(window(3, 300, 200));
    assert!(!windows.advance(Timestamp::from_secs(250)));
}

#[test]
fn whoever_asks_of_one_moment_hears_until_when_a_window_is_open() {
    let secs = Timestamp::from_secs;
    let once = window(1, 100, 200);
    for (now, until) in [(99, None), (100, Some(200)), (199, Some(200)), (200, None)] {
        assert_eq!(open_until(&once, secs(now)), until.map(secs), "{now}");
    }
    let daily = Window {
        recurrence: Some("FREQ=DAILY".to_owned()),
        ..window(1, 0, HOUR)
    };
    let on_the_third_day = 48 * HOUR;
    assert_eq!(
        open_until(&daily, secs(on_the_third_day + 5)),
        Some(secs(on_the_third_day + HOUR))
    );
    assert_eq!(open_until(&daily, secs(on_the_third_day + HOUR)), None);
}
