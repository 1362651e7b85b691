//! Writes of each resource, and what the outbox tells of them.

use insta::assert_snapshot;
use mast_schemas::control::Change;
use mast_secrets::Credentials;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{A, B, Client, World};

/// The words of the records since `told`.
async fn told(world: &World, since: i64) -> String {
    let records = world.outbox(since).await;
    let words = records.iter().map(|(_, change)| {
        let json = serde_json::to_value(change).unwrap();
        json["entity"].as_str().unwrap().to_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}

fn path(answer: &crate::world::Answer) -> String {
    answer.header("location").unwrap().to_owned()
}

#[tokio::test]
async fn a_site_lives() {
    let world = World::new().await;
    let admin = world.admin().await;
    let since = world.told().await;
    let site = json!({ "name": "hill", "latitude": 46.1, "longitude": 14.5, "elevation_m": 300.0, "address": "Hill 1",
                       "notes": "key at the farm", "core": true });
    let made = admin.post("/api/v1/sites", site).await;
    assert_snapshot!(made, @r#"
    201 {
      "address": "Hill 1",
      "alerts_open": 0,
      "as_of": null,
      "clients": 0,
      "clients_hour_ago": null,
      "clients_week_ago": null,
      "core": true,
      "devices_offline": 0,
      "devices_online": 0,
      "devices_unmanageable": 0,
      "devices_unobserved": 0,
      "elevation_m": 300.0,
      "id": "[id]",
      "latitude": 46.1,
      "links_active": 0,
      "links_degraded": 0,
      "links_discovered": 0,
      "links_down": 0,
      "links_stale": 0,
      "links_unobserved": 0,
      "longitude": 14.5,
      "name": "hill",
      "noise_mean_dbm": null,
      "noise_worst_dbm": null,
      "notes": "key at the farm",
      "rx_bps": null,
      "signal_mean_dbm": null,
      "signal_p10_dbm": null,
      "signal_worst_dbm": null,
      "since": null,
      "state": "unknown",
      "tx_bps": null,
      "version": 1
    }
    "#);
    let at = path(&made);
    assert_eq!(admin.get(&at).await.json(), made.json());
    let patch = json!({ "latitude": null, "longitude": null, "notes": null, "core": false });
    assert_snapshot!(admin.patch(&at, made.etag(), patch).await, @r#"
    200 {
      "address": "Hill 1",
      "alerts_open": 0,
      "as_of": null,
      "clients": 0,
      "clients_hour_ago": null,
      "clients_week_ago": null,
      "core": false,
      "devices_offline": 0,
      "devices_online": 0,
      "devices_unmanageable": 0,
      "devices_unobserved": 0,
      "elevation_m": 300.0,
      "id": "[id]",
      "latitude": null,
      "links_active": 0,
      "links_degraded": 0,
      "links_discovered": 0,
      "links_down": 0,
      "links_stale": 0,
      "links_unobserved": 0,
      "longitude": null,
      "name": "hill",
      "noise_mean_dbm": null,
      "noise_worst_dbm": null,
      "notes": null,
      "rx_bps": null,
      "signal_mean_dbm": null,
      "signal_p10_dbm": null,
      "signal_worst_dbm": null,
      "since": null,
      "state": "unknown",
      "tx_bps": null,
      "version": 2
    }
    "#);
    assert_snapshot!(admin.post("/api/v1/sites", json!({ "name": "hill" })).await, @r#"
    409 {
      "detail": "something of this kind has that name or place already",
      "status": 409,
      "title": "It is taken",
      "type": "urn:mast:problem:conflict"
    }
    "#);
    let renamed = admin.patch(&at, "*", json!({ "name": "site-AAA" })).await;
    assert_eq!(renamed.problem(), 409);
    let half = admin.patch(&at, "*", json!({ "latitude": 1.0 })).await;
    assert_snapshot!(half, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "give both latitude and longitude, or neither",
          "pointer": "/longitude"
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
    assert_eq!(admin.delete(&at, "\"1\"").await.problem(), 412);
    assert_eq!(admin.delete(&at, "\"2\"").await.status, 204);
    assert_eq!(admin.get(&at).await.problem(), 404);
    assert_eq!(admin.delete(&at, "*").await.problem(), 404);
    assert_eq!(told(&world, since).await, "site site site_deleted");
}

#[tokio::test]
async fn a_sector_lives_and_takes_its_devices_along() {
    let world = World::new().await;
    let admin = world.admin().await;
    let sector = json!({ "site_id": A.site(), "name": "south", "azimuth_deg": 180.0, "beamwidth_deg": 90.0, "range_m": 5e3 });
    let made = admin.post("/api/v1/sectors", sector).await;
    assert_snapshot!(made, @r#"
    201 {
      "alerts_open": 0,
      "as_of": null,
      "azimuth_deg": 180.0,
      "beamwidth_deg": 90.0,
      "clients": 0,
      "clients_hour_ago": null,
      "clients_week_ago": null,
      "devices_offline": 0,
      "devices_online": 0,
      "devices_unmanageable": 0,
      "devices_unobserved": 0,
      "id": "[id]",
      "links_active": 0,
      "links_degraded": 0,
      "links_discovered": 0,
      "links_down": 0,
      "links_stale": 0,
      "links_unobserved": 0,
      "name": "south",
      "noise_mean_dbm": null,
      "noise_worst_dbm": null,
      "range_m": 5000.0,
      "rx_bps": null,
      "signal_mean_dbm": null,
      "signal_p10_dbm": null,
      "signal_worst_dbm": null,
      "since": null,
      "site": "site-AAA",
      "site_id": "00000000-0000-0000-0000-00000000a101",
      "state": "unknown",
      "tx_bps": null,
      "version": 1
    }
    "#);
    let hill = admin
        .post("/api/v1/sites", json!({ "name": "hill" }))
        .await
        .json()["id"]
        .clone();
    let device = admin
        .post(
            "/api/v1/devices",
            json!({ "name": "d", "address": "h", "sector_id": made.json()["id"] }),
        )
        .await;
    assert_eq!(
        device.json()["site_id"],
        json!(A.site()),
        "a sector implies its site: {device}"
    );
    let since = world.told().await;
    let moved = admin
        .patch(&path(&made), "*", json!({ "site_id": hill }))
        .await;
    assert_eq!(moved.json()["site_id"], hill, "{moved}");
    assert_eq!(admin.get(&path(&device)).await.json()["site_id"], hill);
    assert_eq!(told(&world, since).await, "sector device");
    let since = world.told().await;
    assert_eq!(admin.delete(&path(&made), "*").await.status, 204);
    let stays = admin.get(&path(&device)).await.json();
    assert_eq!(
        (&stays["site_id"], &stays["sector_id"]),
        (&hill, &Value::Null)
    );
    assert_eq!(told(&world, since).await, "sector_deleted device");
    for (field, value) in [
        ("azimuth_deg", 360.0),
        ("beamwidth_deg", 0.0),
        ("range_m", -1.0),
    ] {
        let wrong = json!({ "site_id": A.site(), "name": "w", field: value });
        let answer = admin.post("/api/v1/sectors", wrong).await;
        assert_eq!(answer.problem(), 422, "{answer}");
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("/{field}"));
    }
}

async fn credentials(world: &World, device: &Value) -> Option<(i64, i64, Credentials)> {
    let ingest = world.database.pool(mast_postgres::Role::Ingest).await;
    let id: Uuid = serde_json::from_value(device["id"].clone()).unwrap();
    let row: Option<(Vec<u8>, i64, i64)> = sqlx::query_as(
        "SELECT c.ciphertext, c.version, d.credentials_version
         FROM device_credentials c JOIN devices d ON d.id = c.device_id WHERE d.id = $1",
    )
    .bind(id)
    .fetch_optional(&ingest)
    .await
    .unwrap();
    let (sealed, version, known) = row?;
    let opened = world.keys.decrypt(A.tenant(), &sealed).unwrap();
    Some((version, known, Credentials::decode(&opened).unwrap()))
}

#[tokio::test]
async fn a_device_lives_and_shows_no_credentials() {
    let world = World::new().await;
    let admin = world.admin().await;
    let device = json!({
        "name": "ap9", "address": "192.0.2.9", "tls": "pinned", "role": "ap", "sector_id": A.sector(), "parent_id": A.ap(),
        "group_ids": [A.group(), A.group()], "tag_ids": [A.tag()], "interval_ms": 5000,
        "credentials": { "username": "mast", "password": "hunter2" },
    });
    let made = admin.post("/api/v1/devices", device).await;
    assert_snapshot!(made, @r#"
    201 {
      "address": "192.0.2.9",
      "api_port": 8728,
      "api_ssl_port": 8729,
      "architecture": null,
      "board": null,
      "cpu_load_percent": null,
      "enabled": true,
      "firmware": null,
      "group_ids": [
        "00000000-0000-0000-0000-00000000a401"
      ],
      "has_credentials": true,
      "id": "[id]",
      "identity": null,
      "interval_ms": 5000,
      "measured_at": null,
      "memory_free_bytes": null,
      "name": "ap9",
      "outcome": null,
      "parent_id": "00000000-0000-0000-0000-00000000a001",
      "role": "ap",
      "round_trip_ms": null,
      "routeros_version": null,
      "sector": "sector-AAA",
      "sector_id": "00000000-0000-0000-0000-00000000a201",
      "serial": null,
      "since": null,
      "site": "site-AAA",
      "site_id": "00000000-0000-0000-0000-00000000a101",
      "state": "unobserved",
      "tag_ids": [
        "00000000-0000-0000-0000-00000000a501"
      ],
      "tls": "pinned",
      "uptime_s": null,
      "version": 1
    }
    "#);
    let at = path(&made);
    let (version, known, stored) = credentials(&world, &made.json()).await.unwrap();
    assert_eq!((version, known), (1, 1));
    assert_eq!(
        (stored.username.as_str(), stored.password.expose()),
        ("mast", "hunter2")
    );

    let since = world.told().await;
    let same = admin
        .patch(&at, made.etag(), json!({ "enabled": false }))
        .await;
    assert_eq!(same.json()["has_credentials"], true);
    let new = json!({ "credentials": { "username": "m", "password": "0ther-0ne" } });
    assert_eq!(admin.patch(&at, "*", new).await.status, 200);
    let (version, known, stored) = credentials(&world, &made.json()).await.unwrap();
    assert_eq!(
        (version, known, stored.password.expose()),
        (2, 2, "0ther-0ne")
    );
    let without = admin.patch(&at, "*", json!({ "credentials": null })).await;
    assert_eq!(without.json()["has_credentials"], false);
    assert!(credentials(&world, &made.json()).await.is_none());

    let records = world.outbox(since).await.into_iter();
    let versions: Vec<_> = records
        .map(|(_, change)| match change {
            Change::Device(d) => (d.version, d.credentials_version, d.enabled),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(versions, [(2, 1, false), (3, 2, false), (4, 3, false)]);
    assert_eq!(admin.delete(&at, "*").await.status, 204);
    for answer in [admin.get(&at).await, admin.get("/api/v1/devices").await] {
        assert!(!answer.text().contains("hunter2") && !answer.text().contains("0ther-0ne"));
    }
}

async fn refused(client: &Client, device: Value, pointer: &str) {
    let answer = client.post("/api/v1/devices", device).await;
    assert_eq!(answer.problem(), 422, "{answer}");
    assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{answer}");
}

#[tokio::test]
async fn a_device_refers_to_what_its_tenant_has() {
    let world = World::new().await;
    let admin = world.admin().await;
    let device = |field: &str, value: Value| json!({ "name": "d", "address": "h", field: value });
    for id in [json!(B.site()), json!(Uuid::from_u128(1))] {
        refused(&admin, device("site_id", id), "/site_id").await;
    }
    for (field, id) in [("sector_id", B.sector()), ("parent_id", B.ap())] {
        refused(&admin, device(field, json!(id)), &format!("/{field}")).await;
    }
    refused(
        &admin,
        device("group_ids", json!([A.group(), B.group()])),
        "/group_ids",
    )
    .await;
    refused(&admin, device("tag_ids", json!([B.tag()])), "/tag_ids").await;
    refused(&admin, device("address", json!("http://h")), "/address").await;
    refused(&admin, device("api_port", json!(0)), "/api_port").await;
    refused(&admin, device("api_port", json!(70_000)), "/api_port").await;
    refused(&admin, device("tls", json!("none")), "/tls").await;
    refused(&admin, device("interval_ms", json!(1)), "/interval_ms").await;
    let hill = admin
        .post("/api/v1/sites", json!({ "name": "hill" }))
        .await
        .json()["id"]
        .clone();
    let other = json!({ "name": "d", "address": "h", "site_id": hill, "sector_id": A.sector() });
    refused(&admin, other, "/sector_id").await;
}

#[tokio::test]
async fn half_of_a_place_is_meant_as_the_whole() {
    let world = World::new().await;
    let admin = world.admin().await;
    let hill = admin
        .post("/api/v1/sites", json!({ "name": "hill" }))
        .await
        .json()["id"]
        .clone();
    let top = admin
        .post("/api/v1/sectors", json!({ "site_id": hill, "name": "top" }))
        .await
        .json()["id"]
        .clone();
    let at = format!("/api/v1/devices/{}", A.ap());
    let place = async |patch: Value| {
        let device = admin.patch(&at, "*", patch).await.json();
        (device["site_id"].clone(), device["sector_id"].clone())
    };
    let old = (json!(A.site()), json!(A.sector()));
    assert_eq!(
        place(json!({ "site_id": hill })).await,
        (hill.clone(), Value::Null)
    );
    assert_eq!(place(json!({ "sector_id": A.sector() })).await, old);
    assert_eq!(
        place(json!({ "sector_id": top })).await,
        (hill.clone(), top.clone())
    );
    assert_eq!(
        place(json!({ "sector_id": null })).await,
        (hill, Value::Null)
    );
    assert_eq!(
        place(json!({ "site_id": null })).await,
        (Value::Null, Value::Null)
    );
}

#[tokio::test]
async fn parents_make_no_ring() {
    let world = World::new().await;
    let admin = world.admin().await;
    let hang = async |on: u128, under: u128| {
        let at = format!("/api/v1/devices/{}", A.id(on));
        admin
            .patch(&at, "*", json!({ "parent_id": A.id(under) }))
            .await
    };
    assert_eq!(hang(2, 1).await.status, 200);
    assert_eq!(hang(3, 2).await.status, 200);
    for (on, under) in [(1, 3), (1, 2), (1, 1)] {
        assert_eq!(hang(on, under).await.problem(), 422);
    }
    let since = world.told().await;
    assert_eq!(
        admin
            .delete(&format!("/api/v1/devices/{}", A.id(2)), "*")
            .await
            .status,
        204
    );
    assert_eq!(
        told(&world, since).await,
        "device_deleted device",
        "the child hangs on nothing"
    );
}

#[tokio::test]
async fn groups_and_tags_live_on_devices() {
    let world = World::new().await;
    let admin = world.admin().await;
    assert_snapshot!(admin.get("/api/v1/groups").await, @r#"
    200 {
      "items": [
        {
          "description": null,
          "devices": 1,
          "id": "00000000-0000-0000-0000-00000000a401",
          "name": "group-AAA",
          "version": 1
        }
      ],
      "next": null
    }
    "#);
    let tag = admin
        .post("/api/v1/tags", json!({ "name": "new", "color": "#00ff00" }))
        .await;
    assert_snapshot!(tag, @r##"
    201 {
      "color": "#00ff00",
      "devices": 0,
      "id": "[id]",
      "name": "new",
      "version": 1
    }
    "##);
    for color in ["red", "#00FF00", "#00ff0", "00ff000"] {
        let wrong = admin
            .post("/api/v1/tags", json!({ "name": "w", "color": color }))
            .await;
        assert_eq!(wrong.problem(), 422, "{color}");
    }
    let group = admin
        .post(
            "/api/v1/groups",
            json!({ "name": "new", "description": "x" }),
        )
        .await;
    assert_eq!(group.status, 201);
    let again = admin.post("/api/v1/groups", json!({ "name": "new" })).await;
    assert_eq!(again.problem(), 409);
    let since = world.told().await;
    assert_eq!(
        admin
            .delete(&format!("/api/v1/tags/{}", A.tag()), "*")
            .await
            .status,
        204
    );
    assert_eq!(
        told(&world, since).await,
        "device tag_deleted".replace("device", "device device")
    );
    let device = admin
        .get(&format!("/api/v1/devices/{}", A.ap()))
        .await
        .json();
    assert_eq!(
        (&device["tag_ids"], &device["group_ids"]),
        (&json!([]), &json!([A.group()]))
    );
    let renamed = admin
        .patch(&path(&group), group.etag(), json!({ "name": "other" }))
        .await;
    assert_eq!(renamed.json()["name"], "other");
}

#[tokio::test]
async fn thresholds_are_of_a_place_and_a_technology() {
    let world = World::new().await;
    let operator = world.operator().await;
    let here = |more: Value| {
        let mut input = json!({ "site_id": A.site(), "sector_id": A.sector() });
        input
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        input
    };
    let since = world.told().await;
    let made = operator
        .post(
            "/api/v1/thresholds",
            here(json!({ "degraded_signal_dbm": -70, "active_signal_dbm": -66 })),
        )
        .await;
    assert_snapshot!(made, @r#"
    201 {
      "active_ccq_percent": null,
      "active_signal_dbm": -66,
      "degraded_ccq_percent": null,
      "degraded_signal_dbm": -70,
      "id": "[id]",
      "sector_id": "00000000-0000-0000-0000-00000000a201",
      "site_id": "00000000-0000-0000-0000-00000000a101",
      "technology": null,
      "version": 1
    }
    "#);
    let again = operator
        .post(
            "/api/v1/thresholds",
            here(json!({ "degraded_ccq_percent": 30 })),
        )
        .await;
    assert_eq!(
        again.problem(),
        409,
        "one of each place and technology: {again}"
    );
    let other =
        here(json!({ "technology": "w60g", "degraded_signal_dbm": -60, "active_signal_dbm": -55 }));
    assert_eq!(operator.post("/api/v1/thresholds", other).await.status, 201);
    for (wrong, pointer) in [
        (json!({ "technology": "lora" }), "/technology"),
        (
            json!({ "degraded_signal_dbm": -60, "active_signal_dbm": -61, "technology": "wifi" }),
            "/active_signal_dbm",
        ),
        (
            json!({ "degraded_signal_dbm": -60, "technology": "wifi" }),
            "/active_signal_dbm",
        ),
        (
            json!({ "degraded_signal_dbm": 5, "active_signal_dbm": 6, "technology": "wifi" }),
            "/degraded_signal_dbm",
        ),
        (json!({ "site_id": null }), "/site_id"),
        (
            json!({ "site_id": B.site(), "sector_id": null, "technology": "wifi" }),
            "/site_id",
        ),
    ] {
        let answer = operator.post("/api/v1/thresholds", here(wrong)).await;
        assert_eq!(answer.problem(), 422, "{answer}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{answer}");
    }
    assert_eq!(operator.delete(&path(&made), made.etag()).await.status, 204);
    assert_eq!(
        told(&world, since).await,
        "thresholds thresholds thresholds_deleted"
    );
}

#[tokio::test]
async fn a_tenant_lives_and_takes_everything_with_it() {
    let world = World::new().await;
    let root = world.super_admin().await;
    assert_snapshot!(root.get("/api/v1/tenants").await, @r#"
    200 {
      "items": [
        {
          "id": "00000000-0000-0000-0000-00000000000a",
          "name": "tenant-AAA",
          "version": 1
        },
        {
          "id": "00000000-0000-0000-0000-00000000000b",
          "name": "tenant-BBB",
          "version": 1
        }
      ],
      "next": null
    }
    "#);
    let made = root.post("/api/v1/tenants", json!({ "name": "new" })).await;
    assert_snapshot!(made, @r#"
    201 {
      "id": "[id]",
      "name": "new",
      "version": 1
    }
    "#);
    assert_eq!(
        root.post("/api/v1/tenants", json!({ "name": "new" }))
            .await
            .problem(),
        409
    );
    let site = root
        .of("new")
        .post("/api/v1/sites", json!({ "name": "s" }))
        .await;
    assert_eq!(site.status, 201);
    let renamed = root
        .patch(&path(&made), made.etag(), json!({ "name": "newer" }))
        .await;
    assert_eq!(
        (
            renamed.json()["name"].as_str(),
            renamed.json()["version"].as_i64()
        ),
        (Some("newer"), Some(2))
    );
    let stranger = world.stranger().await;
    let since = world.told().await;
    let at = format!("/api/v1/tenants/{}", B.tenant());
    assert_eq!(root.delete(&at, "*").await.status, 204);
    assert_eq!(root.get(&at).await.problem(), 404);
    let words = told(&world, since).await;
    for word in [
        "tenant_deleted",
        "site_deleted",
        "device_deleted",
        "group_deleted",
        "tag_deleted",
        "thresholds_deleted",
    ] {
        assert!(words.split(' ').any(|w| w == word), "{word}: {words}");
    }
    assert_eq!(
        stranger.get("/api/v1/me").await.problem(),
        401,
        "its tokens went with it"
    );
    assert_eq!(
        root.of("tenant-AAA")
            .get("/api/v1/sites")
            .await
            .items("name"),
        ["site-AAA"]
    );
}

/// Who has the writers' turn for long holds up nobody's connection for long.
#[tokio::test]
async fn a_turn_that_is_not_had_in_time_is_503() {
    let world = World::new().await;
    let operator = world.operator().await;
    let mut other = world.api.begin().await.unwrap();
    sqlx::query("SELECT take_turn()")
        .execute(&mut *other)
        .await
        .unwrap();
    let waited = operator
        .post("/api/v1/tags", json!({ "name": "late" }))
        .await;
    assert_eq!(waited.problem(), 503);
    assert!(waited.header("retry-after").is_some());
    other.rollback().await.unwrap();
    let made = operator
        .post("/api/v1/tags", json!({ "name": "late" }))
        .await;
    assert_eq!(made.status, 201);
}
