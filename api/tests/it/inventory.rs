//! The inventory as one document, in and out: as the operator of a tenant, and as those who try more than they may.

use std::fmt::Write as _;

use mast_schemas::control::Change;
use mast_secrets::Credentials;
use serde_json::{Value, json};

use crate::world::{A, Answer, B, Client, SECRET, World};

const PATH: &str = "/api/v1/inventory";

async fn csv(client: &Client, query: &str, text: impl Into<Vec<u8>>) -> Answer {
    let headers = [("content-type", "text/csv; charset=utf-8")];
    let path = format!("{PATH}{query}");
    client.send("POST", &path, &headers, text.into()).await
}

async fn exported(client: &Client, kind: &str) -> Answer {
    let answer = client.send("GET", PATH, &[("accept", kind)], "").await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("content-type"), Some(kind));
    answer
}

/// What became of rows of a kind: created, updated, unchanged.
fn tally(answer: &Answer, kind: &str) -> (u64, u64, u64) {
    assert_eq!(answer.status, 200, "{answer}");
    let tally = &answer.json()[kind];
    let of = |what: &str| tally[what].as_u64().unwrap_or_else(|| panic!("{answer}"));
    (of("created"), of("updated"), of("unchanged"))
}

/// Where and why an inventory was refused: pointers, lines, details.
fn errors(answer: &Answer) -> Vec<(String, u64, String)> {
    assert_eq!(answer.problem(), 422, "{answer}");
    let json = answer.json();
    let errors = json["errors"].as_array().unwrap().iter();
    let text = |error: &Value, field: &str| error[field].as_str().unwrap().to_owned();
    errors
        .map(|e| {
            let line = e["line"].as_u64().unwrap_or_default();
            (text(e, "pointer"), line, text(e, "detail"))
        })
        .collect()
}

async fn credentials(world: &World, device: &str) -> Credentials {
    let ingest = world.database.pool(mast_postgres::Role::Ingest).await;
    let sealed: Vec<u8> = sqlx::query_scalar(
        "SELECT c.ciphertext FROM device_credentials c JOIN devices d ON d.id = c.device_id
         WHERE d.name = $1 AND d.tenant_id = $2",
    )
    .bind(device)
    .bind(A.tenant().0)
    .fetch_one(&ingest)
    .await
    .unwrap();
    let opened = world.keys.decrypt(A.tenant(), &sealed).unwrap();
    Credentials::decode(&opened).unwrap()
}

const TABLE: &str = "\
name,address,site,sector,role,parent,tags,groups,username,password,interval_s,enabled
r1,10.0.0.1,hill,,router,,gold|core,,mast,hush-1,,
ap1,10.0.0.2,hill,north,ap,r1,gold,backbone,mast,hush-2,2.5,false
cpe1,cpe-1.example.net,,,cpe,ap1,,,,,,true
";

#[tokio::test]
async fn a_table_becomes_a_fleet_and_is_told_once() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let would = csv(&operator, "?dry_run=true", TABLE).await;
    assert_eq!(world.outbox(since).await, [], "a dry run leaves no trace");
    let did = csv(&operator, "", TABLE).await;
    assert_eq!(did.body, would.body);
    for (kind, created) in [
        ("sites", 1),
        ("sectors", 1),
        ("groups", 1),
        ("tags", 2),
        ("devices", 3),
    ] {
        assert_eq!(tally(&did, kind), (created, 0, 0), "{kind}");
    }
    assert!(!did.text().contains("hush"), "{did}");
    let told = world.outbox(since).await;
    let devices: Vec<_> = told
        .iter()
        .filter_map(|(_, change)| match change {
            Change::Device(device) => Some(device),
            _ => None,
        })
        .collect();
    assert_eq!(devices.len(), 3, "one record a device: {told:?}");
    let named = |name: &str| *devices.iter().find(|d| d.name == name).unwrap();
    let (router, ap, cpe) = (named("r1"), named("ap1"), named("cpe1"));
    assert_eq!(
        (ap.parent_id, cpe.parent_id),
        (Some(router.id), Some(ap.id))
    );
    assert_eq!((ap.interval_ms, ap.enabled), (2_500, false));
    assert_eq!(
        (router.tag_ids.len(), ap.tag_ids.len(), cpe.tag_ids.len()),
        (2, 1, 0)
    );
    assert!(ap.sector_id.is_some() && router.sector_id.is_none());
    assert_eq!(
        (router.credentials_version, cpe.credentials_version),
        (1, 0)
    );

    let since = world.told().await;
    let again = csv(&operator, "", TABLE).await;
    assert_eq!(tally(&again, "devices"), (0, 0, 3));
    assert_eq!(world.outbox(since).await, []);
}

#[tokio::test]
async fn what_is_exported_imports_as_unchanged_in_both_formats() {
    let world = World::new().await;
    let operator = world.operator().await;
    let site = json!({ "name": "=hill", "latitude": 46.05, "longitude": 14.500_000_1, "elevation_m": -3.5,
        "address": "1, \"Main\" St.", "notes": "a\nb", "core": true });
    let file = json!({ "tenants": [{ "name": "tenant-AAA", "sites": [site],
        "sectors": [{ "name": "@n", "site": "=hill", "azimuth_deg": 12.25, "range_m": 5_000 }],
        "devices": [
            { "name": "-ap", "address": "10.0.0.1", "username": "user-hush", "password": "hush", "site": "=hill",
              "sector": "@n", "role": "ap", "tls": "pinned", "api_port": 1, "api_ssl_port": 65_535, "interval_s": 0.123,
              "enabled": false, "parent": "+r", "groups": ["a|b\\", "c"], "tags": ["'x", "=y"] },
            { "name": "+r", "address": "::1" } ] }] });
    let since = world.told().await;
    let first = operator.post(PATH, file).await;
    assert_eq!(tally(&first, "devices"), (2, 0, 0));
    assert!(!world.outbox(since).await.is_empty());
    let (since, viewer) = (world.told().await, world.viewer().await);
    let json = exported(&viewer, "application/json").await;
    let table = exported(&viewer, "text/csv").await;
    for answer in [&json, &table] {
        let text = answer.text();
        for secret in ["hush", "password", "username", SECRET] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
    let again = operator
        .send(
            "POST",
            PATH,
            &[("content-type", "application/json")],
            json.body,
        )
        .await;
    for (kind, unchanged) in [
        ("sites", 2),
        ("sectors", 2),
        ("groups", 3),
        ("tags", 3),
        ("devices", 6),
    ] {
        assert_eq!(tally(&again, kind), (0, 0, unchanged), "{kind}: {again}");
    }
    let again = csv(&operator, "", table.body.clone()).await;
    assert_eq!(tally(&again, "devices"), (0, 0, 6));
    assert_eq!(
        tally(&again, "sites"),
        (0, 0, 2),
        "a place that a row names stays as it is"
    );
    assert_eq!(world.outbox(since).await, []);
    let formula = |cell: &str| {
        cell.trim_start_matches('"')
            .starts_with(['=', '+', '-', '@'])
    };
    let text = table.text();
    assert!(
        !text.lines().any(|row| row.split(',').any(formula)),
        "{text}"
    );
    let known = [("accept", "text/csv"), ("if-none-match", table.etag())];
    assert_eq!(viewer.send("GET", PATH, &known, "").await.status, 304);
    let other = [("accept", "image/png")];
    assert_eq!(viewer.send("GET", PATH, &other, "").await.problem(), 406);
}

#[tokio::test]
async fn a_device_that_comes_without_a_password_keeps_its_own() {
    let world = World::new().await;
    let operator = world.operator().await;
    csv(&operator, "", TABLE).await;
    let without = TABLE.replace("hush-1", "").replace("hush-2", "hush-3");
    let report = csv(&operator, "", without).await;
    assert_eq!(tally(&report, "devices"), (0, 1, 2));
    assert_eq!(credentials(&world, "r1").await.password.expose(), "hush-1");
    assert_eq!(credentials(&world, "ap1").await.password.expose(), "hush-3");
    let renamed = "name,address,username\nr1,10.0.0.1,other\n";
    assert_eq!(
        tally(&csv(&operator, "", renamed).await, "devices"),
        (0, 1, 0)
    );
    let now = credentials(&world, "r1").await;
    assert_eq!(
        (now.username.as_str(), now.password.expose()),
        ("other", "hush-1")
    );
    let since = world.told().await;
    let refused = csv(&operator, "", "name,address,username\nnew,h,u\ncpe1,h,u\n").await;
    let places: Vec<_> = errors(&refused)
        .into_iter()
        .map(|(p, line, _)| (p, line))
        .collect();
    assert_eq!(
        places,
        [("/password".to_owned(), 2), ("/password".to_owned(), 3)]
    );
    assert_eq!(world.outbox(since).await, []);
}

#[tokio::test]
async fn nothing_is_written_where_anything_is_wrong() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    for (text, pointer, line, words) in [
        (
            "name,address,colour\nok,h,red\n",
            "",
            1,
            "no column \"colour\"",
        ),
        (
            "name,address\nok,h\nbad,a b\n",
            "/address",
            3,
            "neither an IP address",
        ),
        ("name,address\nok,h\nok,i\n", "/name", 3, "another device"),
        ("name,address\nok,h\n,i\n", "/name", 3, "empty"),
        ("name,address\nok,h\nbad,h,x\n", "", 3, "3 cells"),
        (
            "name,address\nok,h\nb\0d,h\n",
            "/name",
            3,
            "control characters",
        ),
        (
            "name,address,parent\nok,h,nobody\n",
            "/parent",
            2,
            "no device \"nobody\"",
        ),
        (
            "name,address,parent\nok,h,ap-BBB\n",
            "/parent",
            2,
            "no device",
        ),
        (
            "name,address,parent\na,h,b\nb,h,c\nc,h,a\n",
            "/parent",
            2,
            "over others",
        ),
        ("name,address,sector\nok,h,north\n", "/sector", 2, "no site"),
        (
            "name,address,api_port\nok,h,70000\n",
            "/api_port",
            2,
            "a port",
        ),
        (
            "name,address,interval_s\nok,h,NaN\n",
            "/interval_s",
            2,
            "out of range",
        ),
        ("name,address,tls\nok,h,maybe\n", "/tls", 2, "none of auto"),
        ("", "", 1, "no header row"),
    ] {
        let answer = csv(&operator, "", text).await;
        let errors = errors(&answer);
        let found = errors
            .iter()
            .any(|(p, l, d)| p == pointer && *l == line && d.contains(words));
        assert!(found, "{text:?}: {answer}");
        let dry = csv(&operator, "?dry_run=true", text).await;
        assert_eq!(dry.body, answer.body, "{text:?}");
    }
    let huge = format!("name,address\n\"{}\",h\n", "x".repeat(3 << 20));
    assert!(
        errors(&csv(&operator, "", huge).await)[0]
            .2
            .contains("3145728 bytes")
    );
    assert_eq!(
        csv(&operator, "", b"name,address\n\xff,h\n")
            .await
            .problem(),
        400
    );
    assert_eq!(csv(&operator, "?dry=true", TABLE).await.problem(), 400);
    assert_eq!(
        csv(&operator, "", vec![b'x'; (32 << 20) + 1])
            .await
            .problem(),
        413
    );
    let xml = [("content-type", "text/xml")];
    assert_eq!(operator.send("POST", PATH, &xml, "x").await.problem(), 415);
    assert_eq!(world.outbox(since).await, []);
}

#[tokio::test]
async fn a_document_that_is_wrong_says_where() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let tenant = |more: Value| {
        let mut tenant = json!({ "name": "tenant-AAA" });
        tenant
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "tenants": [tenant] })
    };
    for (body, pointer, words) in [
        (json!({ "tenants": [] }), "/tenants", "one tenant"),
        (
            json!({ "tenants": [{ "name": "tenant-BBB" }] }),
            "/tenants/0/name",
            "another tenant",
        ),
        (
            json!({ "tenants": [{ "name": "tenant-AAA" }, { "name": "b" }] }),
            "/tenants",
            "one tenant",
        ),
        (
            tenant(json!({ "devices": [{ "name": "d", "address": "h", "site": "x" }] })),
            "/tenants/0/devices/0/site",
            "no site \"x\"",
        ),
        (
            tenant(json!({ "devices": [{ "name": "d", "address": "h", "password": 31337 }] })),
            "/tenants/0/devices/0/password",
            "expected a string",
        ),
        (
            tenant(json!({ "devises": [] })),
            "/tenants/0/devises",
            "`devises`",
        ),
    ] {
        let answer = operator.post(PATH, body.clone()).await;
        let found = errors(&answer);
        assert!(
            found
                .iter()
                .any(|(p, _, d)| p == pointer && d.contains(words)),
            "{body}: {answer}"
        );
        assert!(
            !answer.text().contains("31337") && !answer.text().contains(SECRET),
            "{answer}"
        );
    }
    let json = [("content-type", "application/json")];
    assert_eq!(operator.send("POST", PATH, &json, "{").await.problem(), 400);
    assert_eq!(world.outbox(since).await, []);
}

#[tokio::test]
async fn many_problems_are_shown_in_part_and_counted() {
    let world = World::new().await;
    let operator = world.operator().await;
    let rows = (0..250).fold("name,address\n".to_owned(), |text, n| {
        text + &format!("d{n},a b\n")
    });
    let answer = csv(&operator, "", rows).await;
    assert_eq!(errors(&answer).len(), 100);
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("100 of 250"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_import_with_a_key_is_done_once() {
    let world = World::new().await;
    let operator = world.operator().await;
    let headers = [
        ("content-type", "text/csv"),
        ("idempotency-key", "import-1"),
    ];
    let first = operator.send("POST", PATH, &headers, TABLE).await;
    let since = world.told().await;
    let second = operator.send("POST", PATH, &headers, TABLE).await;
    assert_eq!(tally(&first, "devices"), (3, 0, 0));
    assert_eq!(first.body, second.body, "the first answer again");
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let other = TABLE.replace("ap1", "ap2");
    let reused = operator.send("POST", PATH, &headers, other).await;
    assert_eq!(reused.problem(), 422);
    assert_eq!(world.outbox(since).await, []);
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("SELECT body FROM idempotency_keys")
        .fetch_all(world.owner())
        .await
        .unwrap();
    assert_eq!(kept.len(), 1);
    assert!(!String::from_utf8_lossy(&kept[0]).contains("hush"));
}

#[tokio::test]
async fn a_super_admin_imports_for_the_tenant_that_it_names() {
    let world = World::new().await;
    let (root, stranger) = (world.super_admin().await, world.stranger().await);
    assert_eq!(csv(&root, "", TABLE).await.problem(), 400, "which tenant?");
    let theirs = exported(&stranger, "application/json").await.body;
    let did = csv(&root.of("tenant-AAA"), "", TABLE).await;
    assert_eq!(tally(&did, "devices"), (3, 0, 0));
    assert_eq!(exported(&stranger, "application/json").await.body, theirs);
    let did = csv(&root.of(B.tenant()), "", TABLE).await;
    assert_eq!(
        tally(&did, "devices"),
        (3, 0, 0),
        "the same names are others' there"
    );
}

#[tokio::test]
async fn ten_thousand_devices_come_in_one_request_and_go_out_in_one() {
    let world = World::new().await;
    let operator = world.operator().await;
    let mut text =
        "name,address,site,sector,role,parent,tags,username,password,interval_s\r\n".to_owned();
    for n in 0..10_000 {
        let (site, parent) = (n / 100, n / 10 * 10);
        let parent = if n == parent {
            String::new()
        } else {
            format!("device-number-{parent}")
        };
        write!(
            text,
            "device-number-{n},10.{}.{}.{},site-{site},sector-{},cpe,{parent},fibre|batch-{site},mast,secret-password-{n},30\r\n",
            n >> 16, n >> 8 & 255, n & 255, n % 3,
        )
        .unwrap();
    }
    assert!(
        text.len() > 1 << 20,
        "more than other bodies may have: {}",
        text.len()
    );
    let begun = std::time::Instant::now();
    let first = csv(&operator, "", text.clone()).await;
    println!("10,000 devices by CSV: {:?}", begun.elapsed());
    assert_eq!(tally(&first, "devices"), (10_000, 0, 0));
    assert_eq!(
        (
            tally(&first, "sites").0,
            tally(&first, "sectors").0,
            tally(&first, "tags").0
        ),
        (100, 300, 101)
    );
    let begun = std::time::Instant::now();
    let again = csv(&operator, "", text).await;
    println!("again: {:?}", begun.elapsed());
    assert_eq!(tally(&again, "devices"), (0, 0, 10_000));
    let table = exported(&operator, "text/csv").await;
    assert_eq!(table.text().lines().count(), 10_005);
    assert_eq!(
        tally(&csv(&operator, "", table.body).await, "devices"),
        (0, 0, 10_004)
    );
}
