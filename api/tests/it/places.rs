//! The health of places, now and in the past, and the addresses of clients.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{A, B, World};

#[tokio::test]
async fn a_site_is_shown_with_its_health() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let site = viewer.get(&format!("/api/v1/sites/{}", A.site())).await;
    assert_snapshot!(site, @r#"
    200 {
      "address": null,
      "alerts_open": 1,
      "as_of": "[time]",
      "clients": 2,
      "clients_hour_ago": 3,
      "clients_week_ago": null,
      "core": false,
      "devices_offline": 1,
      "devices_online": 1,
      "devices_unmanageable": 0,
      "devices_unobserved": 1,
      "elevation_m": null,
      "id": "00000000-0000-0000-0000-00000000a101",
      "latitude": 45.5,
      "links_active": 1,
      "links_degraded": 1,
      "links_discovered": 0,
      "links_down": 0,
      "links_stale": 1,
      "links_unobserved": 0,
      "longitude": 14.5,
      "name": "site-AAA",
      "noise_mean_dbm": -98.5,
      "noise_worst_dbm": -95,
      "notes": "AAA",
      "rx_bps": 2000000,
      "signal_mean_dbm": -75.0,
      "signal_p10_dbm": -80,
      "signal_worst_dbm": -80,
      "since": "[time]",
      "state": "degraded",
      "tx_bps": 9000000,
      "version": 1
    }
    "#);
    let sector = viewer
        .get(&format!("/api/v1/sectors/{}", A.sector()))
        .await
        .json();
    for field in [
        "state",
        "since",
        "clients_hour_ago",
        "rx_bps",
        "noise_mean_dbm",
        "links_stale",
    ] {
        assert_eq!(sector[field], site.json()[field], "{field}");
    }
    // Nothing is known of a place without a device.
    let operator = world.operator().await;
    let made = operator
        .post("/api/v1/sites", json!({ "name": "new" }))
        .await
        .json();
    assert_eq!(
        (
            &made["state"],
            &made["since"],
            &made["rx_bps"],
            &made["clients_week_ago"]
        ),
        (&json!("unknown"), &Value::Null, &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn places_are_filtered_and_sorted_by_state() {
    let world = World::new().await;
    let operator = world.operator().await;
    operator
        .post("/api/v1/sites", json!({ "name": "new" }))
        .await;
    for (query, names) in [
        ("filter=state=degraded", vec!["site-AAA"]),
        ("filter=state=unknown", vec!["new"]),
        ("filter=state=up|down", vec![]),
        ("filter=rx_bps%3E1000000", vec!["site-AAA"]),
        ("sort=-state", vec!["new", "site-AAA"]),
        ("sort=state,name", vec!["site-AAA", "new"]),
        ("sort=since", vec!["site-AAA", "new"]),
    ] {
        let list = operator.get(&format!("/api/v1/sites?{query}")).await;
        assert_eq!(list.items("name"), names, "{query}");
    }
    let sectors = operator.get("/api/v1/sectors?filter=state=degraded").await;
    assert_eq!(sectors.items("name"), ["sector-AAA"]);
}

/// A list that is known is sent again once the state of a place is another.
#[tokio::test]
async fn the_tag_of_a_place_changes_with_its_state() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let site = format!("/api/v1/sites/{}", A.site());
    for path in ["/api/v1/sites", &site] {
        let first = viewer.get(path).await;
        let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
        sqlx::query(
            "UPDATE place_health SET state = CASE state WHEN 'up' THEN 'down' ELSE 'up' END",
        )
        .execute(&dataflow)
        .await
        .unwrap();
        let known = [("if-none-match", first.etag())];
        let again = viewer
            .send("GET", path, &known, axum::body::Body::empty())
            .await;
        assert_eq!(again.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_past_of_a_place_is_intervals_and_shares() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    for place in [
        format!("/api/v1/sites/{}", A.site()),
        format!("/api/v1/sectors/{}", A.sector()),
    ] {
        let windows = viewer.get(&format!("{place}/availability")).await;
        assert_eq!(windows.items("window_hours"), [24, 168, 720], "{windows}");
        assert_eq!(windows.items("availability"), [1.0, 1.0, 1.0]);
        for (n, hours) in [24.0, 168.0, 720.0].into_iter().enumerate() {
            let (up, unobserved) = (
                windows.items("up_s")[n].clone(),
                &windows.items("unobserved_s")[n],
            );
            let degraded = windows.items("degraded_s")[n].as_f64().unwrap();
            assert_eq!(up, 3_600.0);
            assert!((0.0..1.0).contains(&degraded), "{windows}");
            assert_eq!(
                unobserved.as_f64().unwrap(),
                hours * 3_600.0 - 3_600.0 - degraded
            );
        }
        let states = viewer.get(&format!("{place}/states")).await;
        assert_eq!(states.items("state"), ["up", "degraded"], "{states}");
        let ends = states.items("ended_at");
        assert_eq!(ends[0], states.items("began_at")[1]);
        assert_eq!(ends[1], Value::Null);
        for hours in [24, 168, 720] {
            let again = viewer.get(&format!("{place}/states?hours={hours}")).await;
            assert_eq!(again.json(), states.json());
        }
        for wrong in ["hours=0", "hours=25", "hours=x", "days=1"] {
            assert_eq!(
                viewer
                    .get(&format!("{place}/states?{wrong}"))
                    .await
                    .problem(),
                400,
                "{wrong}"
            );
        }
    }
    for path in ["availability", "states"] {
        let theirs = format!("/api/v1/sites/{}/{path}", B.site());
        assert_eq!(viewer.get(&theirs).await.problem(), 404);
        let none = format!("/api/v1/sectors/{}/{path}", A.site());
        assert_eq!(
            viewer.get(&none).await.problem(),
            404,
            "a site is no sector"
        );
    }
    // What had never a device has no past.
    let operator = world.operator().await;
    let made = operator
        .post("/api/v1/sites", json!({ "name": "new" }))
        .await;
    for path in ["availability", "states"] {
        let past = viewer
            .get(&format!("{}/{path}", made.header("location").unwrap()))
            .await;
        assert_eq!(past.items("state"), Vec::<Value>::new());
    }
}

/// A place in a window of maintenance says so, in lists too, and its windows of time tell it apart from what was up and down.
#[tokio::test]
async fn maintenance_is_a_state_and_a_share_of_its_own() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    // As the dataflow writes it: both tenants' sites, since they were degraded.
    for change in [
        "UPDATE health_events SET to_state = 'maintenance' WHERE to_state = 'degraded'",
        "UPDATE place_health SET state = 'maintenance'",
        "UPDATE job_progress SET epoch = epoch + 14400",
    ] {
        sqlx::query(change).execute(&dataflow).await.unwrap();
    }
    let path = format!("/api/v1/sites/{}", A.site());
    let site = viewer.get(&path).await.json();
    assert_eq!(site["state"], "maintenance");
    // Nothing is hidden.
    assert_eq!(
        (&site["devices_online"], &site["devices_offline"]),
        (&json!(1), &json!(1))
    );
    let list = viewer.get("/api/v1/sites?filter=state=maintenance").await;
    assert_eq!(list.items("name"), ["site-AAA"]);
    let windows = viewer.get(&format!("{path}/availability")).await;
    for (n, hours) in [24.0, 168.0, 720.0].into_iter().enumerate() {
        let of = |field| windows.items(field)[n].as_f64().unwrap();
        let (up, maintenance) = (of("up_s"), of("maintenance_s"));
        assert_eq!((up, of("degraded_s"), of("down_s")), (3_600.0, 0.0, 0.0));
        assert!((3_600.0..3_601.0).contains(&maintenance), "{windows}");
        assert_eq!(of("unobserved_s"), hours * 3_600.0 - up - maintenance);
        assert_eq!(of("availability"), 1.0);
    }
    let states = viewer.get(&format!("{path}/states")).await;
    assert_eq!(states.items("state"), ["up", "maintenance"], "{states}");
}

/// A ribbon shows what reaches into its window, and not what ended before.
#[tokio::test]
async fn a_ribbon_begins_with_what_was_so_at_its_begin() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    sqlx::query(
        "INSERT INTO health_events (event_id, tenant_id, place_kind, place_id, at, from_state, to_state, epoch)
         SELECT gen_random_uuid(), tenant_id, place_kind, place_id, at - make_interval(hours => h), NULL, s, epoch - h * 14400
         FROM health_events CROSS JOIN (VALUES (100, 'down'), (30, 'up'), (20, 'degraded')) AS x (h, s) WHERE to_state = 'up'",
    )
    .execute(&dataflow)
    .await
    .unwrap();
    for (hours, states) in [
        (24, vec!["up", "degraded", "up", "degraded"]),
        (168, vec!["down", "up", "degraded", "up", "degraded"]),
    ] {
        let ribbon = viewer
            .get(&format!("/api/v1/sites/{}/states?hours={hours}", A.site()))
            .await;
        assert_eq!(ribbon.items("state"), states, "{ribbon}");
    }
}

#[tokio::test]
async fn a_client_is_found_by_whatever_people_know_it_by() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    for (filter, found) in [
        ("search~10.0.0.7", vec!["02:00:00:00:0A:02"]),
        ("search~HOST-a", vec!["02:00:00:00:0A:02"]),
        ("search~00:00:0a:02", vec!["02:00:00:00:0A:02"]),
        ("search~0000000A02", vec!["02:00:00:00:0A:02"]),
        ("search~cpe-AAA", vec!["02:00:00:00:0A:01"]),
        (
            "search~02:00:00",
            vec!["02:00:00:00:0A:01", "02:00:00:00:0A:02"],
        ),
        ("search~BBB", vec![]),
        ("search~'", vec![]),
        ("address=10.0.0.7", vec!["02:00:00:00:0A:02"]),
        ("address=null", vec!["02:00:00:00:0A:01"]),
        ("host_name~host,registered=false", vec!["02:00:00:00:0A:02"]),
        ("address_source=arp", vec![]),
    ] {
        let list = viewer
            .get(&format!("/api/v1/clients?filter={filter}"))
            .await;
        assert_eq!(list.items("mac"), found, "{filter}");
    }
    let by_name = viewer.get("/api/v1/clients?sort=-host_name").await;
    assert_eq!(by_name.items("host_name"), [json!("host-AAA"), Value::Null]);
}

/// A count of alerts is of those that are open now: of the place, of its sectors and of what stands there.
#[tokio::test]
async fn open_alerts_of_a_place_and_of_what_stands_there_are_counted() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    let counts = async || {
        let mut counts = Vec::new();
        for path in [
            format!("/api/v1/sites/{}", A.site()),
            format!("/api/v1/sectors/{}", A.sector()),
        ] {
            let place = viewer.get(&path).await;
            assert_eq!(place.status, 200, "{place}");
            counts.push(place.json()["alerts_open"].as_i64().unwrap());
        }
        counts
    };
    assert_eq!(
        counts().await,
        [1, 1],
        "of its access point; another alert has resolved"
    );
    // Of the site, of the sector, of a customer at the site, of an interface, and of what stands nowhere.
    for (kind, id) in [
        ("site", A.site()),
        ("sector", A.sector()),
        ("device", A.id(3)),
        ("interface", A.ap()),
        ("device", A.id(4)),
    ] {
        sqlx::query(
            "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface, opened_at,
                 value_milli, status, epoch)
             VALUES (gen_random_uuid(), $1, $2, 'cpu', 'info', $3, $4, CASE $3 WHEN 'interface' THEN 'ether1' END, now(), 1,
                 'waiting', 1)",
        )
        .bind(A.tenant().0)
        .bind(A.rule())
        .bind(kind)
        .bind(id)
        .execute(&dataflow)
        .await
        .unwrap();
    }
    assert_eq!(counts().await, [5, 3]);
    let listed = viewer
        .get("/api/v1/sites?filter=alerts_open%3E4&sort=-alerts_open")
        .await;
    assert_eq!(listed.items("alerts_open"), [5], "{listed}");
    sqlx::query(
        "UPDATE alerts SET resolved_at = now(), resolution = 'cleared' WHERE tenant_id = $1",
    )
    .bind(A.tenant().0)
    .execute(&dataflow)
    .await
    .unwrap();
    assert_eq!(counts().await, [0, 0]);
}
