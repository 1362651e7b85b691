//! What is shown of the views and of history.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{A, World, seen_at};

#[tokio::test]
async fn a_device_is_shown_with_its_state() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    assert_snapshot!(viewer.get(&format!("/api/v1/devices/{}", A.ap())).await, @r#"
    200 {
      "address": "AAA.example.net",
      "api_port": 8728,
      "api_ssl_port": 8729,
      "architecture": null,
      "board": "board-AAA",
      "cpu_load_percent": 10,
      "enabled": true,
      "firmware": null,
      "group_ids": [
        "00000000-0000-0000-0000-00000000a401"
      ],
      "has_credentials": false,
      "id": "00000000-0000-0000-0000-00000000a001",
      "identity": "id-AAA",
      "interval_ms": 30000,
      "measured_at": "[time]",
      "memory_free_bytes": null,
      "name": "ap-AAA",
      "outcome": "ok",
      "parent_id": null,
      "role": "ap",
      "round_trip_ms": null,
      "routeros_version": "7.16.2 (stable)",
      "sector": "sector-AAA",
      "sector_id": "00000000-0000-0000-0000-00000000a201",
      "serial": null,
      "since": "[time]",
      "site": "site-AAA",
      "site_id": "00000000-0000-0000-0000-00000000a101",
      "state": "online",
      "tag_ids": [
        "00000000-0000-0000-0000-00000000a501"
      ],
      "tls": "auto",
      "uptime_s": 1000,
      "version": 1
    }
    "#);
    let unheard = viewer
        .get(&format!("/api/v1/devices/{}", A.id(4)))
        .await
        .json();
    assert_eq!(
        (&unheard["state"], &unheard["since"]),
        (&json!("unobserved"), &Value::Null)
    );
}

#[tokio::test]
async fn the_fleet_at_a_glance() {
    let world = World::new().await;
    assert_snapshot!(world.viewer().await.get("/api/v1/fleet/summary").await, @r#"
    200 {
      "as_of": "[time]",
      "devices": {
        "offline": 1,
        "online": 1,
        "total": 4,
        "unmanageable": 0,
        "unobserved": 2
      },
      "links": {
        "active": 1,
        "degraded": 1,
        "discovered": 0,
        "down": 0,
        "stale": 1,
        "unobserved": 0
      },
      "sectors": 1,
      "signals": {
        "clients": 2,
        "mean_dbm": -75.0,
        "p10_dbm": -80,
        "worst_dbm": -80
      },
      "sites": 1
    }
    "#);
}

#[tokio::test]
async fn links_clients_and_issues() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    assert_snapshot!(viewer.get(&format!("/api/v1/links/{}", A.link())).await, @r#"
    200 {
      "ambiguous": false,
      "ap": "ap-AAA",
      "ap_device_id": "00000000-0000-0000-0000-00000000a001",
      "cpe": "cpe-AAA",
      "cpe_device_id": "00000000-0000-0000-0000-00000000a003",
      "discovered_at": "[time]",
      "id": "00000000-0000-0000-0000-00000000a001.020000000af1.020000000a01",
      "interface": "wlan-AAA",
      "mac": "02:00:00:00:0A:01",
      "measured_at": "[time]",
      "radio_mac": "02:00:00:00:0A:F1",
      "reason": "confirmed",
      "rx_rate_bps": null,
      "sector": "sector-AAA",
      "sector_id": "00000000-0000-0000-0000-00000000a201",
      "signal_dbm": -70,
      "since": "[time]",
      "site": "site-AAA",
      "site_id": "00000000-0000-0000-0000-00000000a101",
      "snr_db": null,
      "source": "wireless",
      "state": "active",
      "station_signal_dbm": null,
      "tx_ccq_percent": null,
      "tx_rate_bps": 54000000,
      "unobserved": false
    }
    "#);
    let of_bad = viewer
        .get("/api/v1/links?filter=signal_dbm%3C-75&sort=signal_dbm")
        .await;
    assert_eq!(of_bad.items("state"), ["degraded"]);
    // The client that has a live link and a stale one is shown by the live one.
    let clients = viewer.get("/api/v1/clients").await;
    assert_eq!(clients.items("state"), ["active", "degraded"]);
    let unknown = viewer.get("/api/v1/clients?filter=registered=false").await;
    assert_snapshot!(unknown, @r#"
    200 {
      "items": [
        {
          "address": "10.0.0.7",
          "address_since": "[time]",
          "address_source": "dhcp",
          "ambiguous": false,
          "ap": "ap-AAA",
          "ap_device_id": "00000000-0000-0000-0000-00000000a001",
          "cpe": null,
          "cpe_device_id": null,
          "discovered_at": "[time]",
          "host_name": "host-AAA",
          "interface": "wlan-AAA",
          "link_id": "00000000-0000-0000-0000-00000000a001.020000000af1.020000000a02",
          "mac": "02:00:00:00:0A:02",
          "measured_at": "[time]",
          "registered": false,
          "rx_rate_bps": null,
          "sector": "sector-AAA",
          "sector_id": "00000000-0000-0000-0000-00000000a201",
          "signal_dbm": -80,
          "since": "[time]",
          "site": "site-AAA",
          "site_id": "00000000-0000-0000-0000-00000000a101",
          "snr_db": null,
          "state": "degraded",
          "station_signal_dbm": null,
          "tx_rate_bps": 54000000,
          "unobserved": false
        }
      ],
      "next": null
    }
    "#);
    assert_eq!(
        viewer
            .get("/api/v1/wireless-issues")
            .await
            .items("signal_dbm"),
        [-80]
    );
    let mut other = A.link();
    other.replace_range(other.len() - 1.., "9");
    assert_eq!(
        viewer
            .get(&format!("/api/v1/links/{other}"))
            .await
            .problem(),
        404
    );
}

#[tokio::test]
async fn events_are_the_newest_first() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let events = viewer.get("/api/v1/device-events").await;
    assert_eq!(
        events.items("to_state"),
        ["unobserved", "offline", "online"]
    );
    let one = viewer
        .get(&format!(
            "/api/v1/device-events?filter=device_id={}",
            A.ap()
        ))
        .await;
    assert_snapshot!(one, @r#"
    200 {
      "items": [
        {
          "at": "[time]",
          "device": "ap-AAA",
          "device_id": "00000000-0000-0000-0000-00000000a001",
          "from_state": "unobserved",
          "id": "00000000-0000-0000-0000-00000000a701",
          "outcome": "ok",
          "to_state": "online"
        }
      ],
      "next": null
    }
    "#);
    let links = viewer
        .get(&format!(
            "/api/v1/link-events?filter=ap_device_id={}",
            A.ap()
        ))
        .await;
    assert_eq!(links.items("to_state").len(), 2);
    let at = viewer
        .get("/api/v1/device-events?filter=at%3C2020-01-01T00:00:00Z")
        .await;
    assert_eq!(at.items("id"), Vec::<Value>::new());
}

#[tokio::test]
async fn versions_seen_are_counted() {
    let world = World::new().await;
    assert_snapshot!(world.viewer().await.get("/api/v1/firmware").await, @r#"
    200 {
      "items": [
        {
          "architecture": null,
          "board": "board-AAA",
          "devices": 3,
          "firmware": null,
          "online": 1,
          "routeros_version": "7.16.2 (stable)"
        },
        {
          "architecture": null,
          "board": null,
          "devices": 1,
          "firmware": null,
          "online": 0,
          "routeros_version": null
        }
      ],
      "next": null
    }
    "#);
}

#[tokio::test]
async fn interfaces_are_those_of_the_newest_table() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let at = format!("/api/v1/devices/{}/interfaces", A.ap());
    assert_snapshot!(viewer.get(&at).await, @r#"
    200 {
      "items": [
        {
          "comment": null,
          "disabled": null,
          "interface_type": null,
          "link_downs": null,
          "link_rate_bps": 1000000,
          "mac": "02:00:00:00:0A:F1",
          "name": "wlan-AAA",
          "observed_at": "[time]",
          "rates_at": null,
          "running": true,
          "rx_bps": null,
          "rx_bytes": 3000000,
          "rx_drops": null,
          "rx_errors": null,
          "rx_packets": null,
          "tx_bps": null,
          "tx_bytes": null,
          "tx_drops": null,
          "tx_errors": null,
          "tx_packets": null
        }
      ],
      "next": null
    }
    "#);
    let none = viewer
        .get(&format!("/api/v1/devices/{}/interfaces", A.id(2)))
        .await;
    assert_eq!(none.items("name"), Vec::<Value>::new());
}

#[tokio::test]
async fn an_answer_without_what_the_dataflow_alone_knows_says_so() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let device = format!("/api/v1/devices/{}", A.ap());
    // No dataflow runs here. The lake holds all that is committed, but rates are in no file.
    let rates = viewer.get(&format!("{device}/interfaces")).await;
    assert_eq!(rates.header("mast-tail"), Some("lake-only"));
    let rates = viewer.sql("SELECT * FROM interface_rates").await;
    assert_eq!(rates.header("mast-tail"), Some("lake-only"));
    assert_eq!(rates.json(), json!([]));
    let whole = viewer.sql("SELECT count(*) FROM polls").await;
    assert_eq!(whole.header("mast-tail"), None);
    for path in [device.as_str(), "/api/v1/sites", &format!("{device}/log")] {
        let answer = viewer.get(path).await;
        assert_eq!(answer.header("mast-tail"), None, "{path}");
    }
    // Behind the lake's last commit there is more, which nobody tells.
    sqlx::query("UPDATE job_progress SET epoch = epoch + 40")
        .execute(&world.database.pool(mast_postgres::Role::Dataflow).await)
        .await
        .unwrap();
    let behind = viewer.sql("SELECT count(*) FROM polls").await;
    assert_eq!(behind.header("mast-tail"), Some("lake-only"));
    assert_eq!(behind.header("mast-as-of"), whole.header("mast-as-of"));
    let log = viewer.get(&format!("{device}/log")).await;
    assert_eq!(log.header("mast-tail"), Some("lake-only"));
    let views = viewer.sql("SELECT count(*) FROM devices").await;
    assert_eq!(views.header("mast-tail"), None);
    assert_ne!(views.header("mast-as-of"), whole.header("mast-as-of"));
}

#[tokio::test]
async fn a_log_comes_in_pages() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let at = format!("/api/v1/devices/{}/log", A.ap());
    let first = viewer.get(&format!("{at}?limit=2")).await;
    assert_eq!(first.items("message"), ["line 3 of AAA", "line 2 of AAA"]);
    let next = first.json()["next"].as_str().unwrap().to_owned();
    let second = viewer.get(&format!("{at}?limit=2&cursor={next}")).await;
    assert_snapshot!(second, @r#"
    200 {
      "items": [
        {
          "happened_at": null,
          "message": "line 0 of AAA",
          "observed_at": "[time]",
          "origin": "device",
          "topics": "system,info"
        }
      ],
      "next": null
    }
    "#);
    let found = viewer
        .get(&format!("{at}?search=LINE%202&topic=info"))
        .await;
    assert_eq!(found.items("message"), ["line 2 of AAA"]);
    let quoted = viewer.get(&format!("{at}?search='%20OR%20true--")).await;
    assert_eq!(quoted.items("message"), Vec::<Value>::new());
    for wrong in ["cursor=x", "limit=0", "from=yesterday"] {
        assert_eq!(
            viewer.get(&format!("{at}?{wrong}")).await.problem(),
            400,
            "{wrong}"
        );
    }
}

/// From the first sample to a second after the last, in steps of ten seconds.
fn span() -> String {
    let time = |s: i64| {
        let at = chrono::DateTime::from_timestamp_micros(seen_at().0 + s * 1_000_000).unwrap();
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    format!("from={}&to={}", time(0), time(31))
}

/// Means of the steps that have one, and how many have none between the first and the last.
fn means(answer: &crate::world::Answer) -> (Vec<f64>, usize) {
    let json = answer.json();
    let points = json["points"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"));
    let means: Vec<Option<f64>> = points.iter().map(|p| p["mean"].as_f64()).collect();
    let first = means.iter().position(Option::is_some).unwrap_or(0);
    let last = means.iter().rposition(Option::is_some).unwrap_or(0);
    let gaps = means[first..=last]
        .iter()
        .filter(|mean| mean.is_none())
        .count();
    (means.into_iter().flatten().collect(), gaps)
}

#[tokio::test]
async fn a_series_has_what_was_measured_and_gaps_where_nothing_was() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let (device, link) = (
        format!("/api/v1/devices/{}", A.ap()),
        format!("/api/v1/links/{}", A.link()),
    );
    let get = async |path: String| viewer.get(&format!("{path}&{}&points=32", span())).await;
    let cpu = get(format!("{device}/series?metric=cpu_load_percent")).await;
    assert_eq!(means(&cpu), (vec![10.0, 12.0, 13.0], 28), "{cpu}");
    let signal = get(format!("{link}/series?metric=signal_dbm")).await;
    assert_eq!(means(&signal).0, [-60.0, -62.0, -63.0], "{signal}");
    // 2 MB in 20 s, then 1 MB in 10 s.
    let rate = get(format!("{device}/interfaces/wlan-AAA/series?metric=rx_bps")).await;
    assert_eq!(means(&rate).0, [800_000.0, 800_000.0], "{rate}");
    let one = viewer
        .get(&format!(
            "{device}/series?metric=cpu_load_percent&{}&points=1",
            span()
        ))
        .await;
    assert_eq!(one.json()["points"].as_array().unwrap().len(), 1, "{one}");
}

#[tokio::test]
async fn a_series_that_is_none_is_refused() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let device = format!("/api/v1/devices/{}/series", A.ap());
    assert_snapshot!(viewer.get(&format!("{device}?metric=cpu")).await, @r#"
    400 {
      "detail": "metric: there are cpu_load_percent, round_trip_ms, memory_free_bytes, disk_free_bytes, uptime_s, cpu_temperature_c, board_temperature_c, voltage_v, registrations",
      "status": 400,
      "title": "A parameter is not valid",
      "type": "urn:mast:problem:invalid-parameter"
    }
    "#);
    for wrong in [
        "",
        "metric=cpu_load_percent&points=0",
        "metric=cpu_load_percent&points=2001",
        "metric=cpu_load_percent&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "metric=cpu_load_percent&from=1970-01-01T00:00:00Z",
        "metric=cpu_load_percent&from=x",
    ] {
        assert_eq!(
            viewer.get(&format!("{device}?{wrong}")).await.problem(),
            400,
            "{wrong}"
        );
    }
    let quoted = format!(
        "/api/v1/devices/{}/interfaces/x'%20OR%20true--/series?metric=rx_bps",
        A.ap()
    );
    assert_eq!(means(&viewer.get(&quoted).await).0, Vec::<f64>::new());
}
