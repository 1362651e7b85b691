//! Nothing of B for A: every route of the table, with the ids of B, asked by A.
//!
//! The routes come from the document, which is made from the table of routes: a new route that this test has no ids or body
//! for fails it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{A, Answer, B, Client, Fleet, JSON, SECRET, World};

/// The path with the ids of a fleet's things.
fn filled(path: &str, fleet: Fleet) -> String {
    let id = match path {
        p if p.starts_with("/api/v1/tenants/") => fleet.tenant().to_string(),
        p if p.starts_with("/api/v1/sites/") => fleet.site().to_string(),
        p if p.starts_with("/api/v1/sectors/") => fleet.sector().to_string(),
        p if p.starts_with("/api/v1/devices/") => fleet.ap().to_string(),
        p if p.starts_with("/api/v1/groups/") => fleet.group().to_string(),
        p if p.starts_with("/api/v1/tags/") => fleet.tag().to_string(),
        p if p.starts_with("/api/v1/thresholds/") => fleet.thresholds().to_string(),
        p if p.starts_with("/api/v1/notification-channels/") => fleet.channel().to_string(),
        p if p.starts_with("/api/v1/notification-routes/") => fleet.route().to_string(),
        p if p.starts_with("/api/v1/notification-deliveries/") => fleet.delivery().to_string(),
        p if p.starts_with("/api/v1/links/") => fleet.link(),
        p if p.starts_with("/api/v1/rules/") => fleet.rule().to_string(),
        p if p.starts_with("/api/v1/maintenance-windows/") => fleet.window().to_string(),
        p if p.starts_with("/api/v1/alerts/") => fleet.alert().to_string(),
        p if p.starts_with("/api/v1/incidents/") => fleet.incident().to_string(),
        p if p.starts_with("/api/v1/trends/") => fleet.degrading().to_string(),
        p if !p.contains('{') => String::new(),
        p => panic!(
            "whose id is in {p}? Say it here, so that the route is tried with another tenant's"
        ),
    };
    let path = path
        .replace("{id}", &id)
        .replace("{mac}", &id)
        .replace("{name}", &format!("wlan-{}", fleet.word));
    let metric = match path {
        _ if !path.ends_with("/series") => return path,
        _ if path.contains("/links/") => "signal_dbm",
        _ if path.contains("/interfaces/") => "rx_bps",
        _ => "cpu_load_percent",
    };
    format!("{path}?metric={metric}")
}

/// Bodies that refer to a fleet's things, and are good ones of that fleet.
fn bodies(path: &str, fleet: Fleet) -> Vec<Value> {
    let device = |field: &str, value: Value| json!({ "name": "d", "address": "h", field: value });
    match path {
        "/api/v1/tenants" | "/api/v1/sites" | "/api/v1/groups" | "/api/v1/tags" => Vec::new(),
        "/api/v1/sectors" => vec![json!({ "name": "s", "site_id": fleet.site() })],
        "/api/v1/devices" => vec![
            device("site_id", json!(fleet.site())),
            device("sector_id", json!(fleet.sector())),
            device("parent_id", json!(fleet.ap())),
            device("group_ids", json!([fleet.group()])),
            device("tag_ids", json!([fleet.tag()])),
        ],
        "/api/v1/thresholds" => vec![
            json!({ "site_id": fleet.site() }),
            json!({ "site_id": fleet.site(), "sector_id": fleet.sector() }),
        ],
        "/api/v1/notification-channels" => Vec::new(),
        "/api/v1/notification-channels/{id}/test"
        | "/api/v1/notification-deliveries/{id}/retry" => vec![json!({})],
        "/api/v1/notification-routes" => vec![
            json!({ "name": "r", "channel_ids": [fleet.channel()] }),
            json!({ "name": "r", "channel_ids": [], "site_ids": [fleet.site()] }),
        ],
        "/api/v1/inventory" => {
            let name = format!("tenant-{}", fleet.word);
            vec![json!({ "tenants": [{ "name": name, "sites": [{ "name": "own-0" }] }] })]
        }
        "/api/v1/sql" => vec![
            json!({ "sql": format!("SELECT * FROM devices WHERE tenant_id = '{}'", fleet.tenant()) }),
        ],
        "/api/v1/rules" | "/api/v1/rules/preview" => {
            let rule = |scope: &str, id: Uuid| json!({ "name": "r", "kind": "offline", "severity": "info", "scope": scope, "scope_id": id });
            vec![
                rule("site", fleet.site()),
                rule("sector", fleet.sector()),
                rule("group", fleet.group()),
                rule("tag", fleet.tag()),
                rule("device", fleet.ap()),
            ]
        }
        "/api/v1/maintenance-windows" => {
            let window = |scope: &str, field: &str, value: Value| {
                json!({ "name": "w", "scope": scope, field: value, "starts_at": "2026-01-31T10:00:00Z",
                    "ends_at": "2026-01-31T11:00:00Z" })
            };
            vec![
                window("site", "site_id", json!(fleet.site())),
                window("devices", "device_ids", json!([fleet.ap()])),
            ]
        }
        path if path.ends_with("/comments") => vec![json!({ "note": "n" })],
        path if path.contains("/{id}/") || path.contains("/{mac}/") => vec![json!({})],
        path => panic!("what does a body of {path} refer to? Say it here"),
    }
}

/// Every method of every route.
fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(&mast_api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(|(method, operation)| (method.to_uppercase(), path.clone(), operation.clone()))
    });
    operations.collect()
}

async fn ask(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let headers = [JSON, ("if-match", "*")];
    let body = body.map(Value::to_string).unwrap_or_default();
    client.send(method, path, &headers, body).await
}

fn shows_b(answer: &Answer) -> bool {
    let text = answer.text();
    let headers = format!("{:?}", answer.headers);
    [text, headers]
        .iter()
        .any(|text| text.contains(SECRET) || text.contains(&B.tenant().to_string()))
}

#[tokio::test]
async fn no_route_shows_or_changes_anything_of_another_tenant() {
    let world = World::new().await;
    let (ours, theirs) = (world.admin().await, world.stranger().await);
    let everything = async || {
        let mut all = Vec::new();
        for (method, path, _) in operations() {
            if method == "GET" && !path.starts_with("/api/v1/tenants") && path != "/api/v1/me" {
                all.push(ask(&theirs, "GET", &filled(&path, B), None).await.text());
            }
        }
        all
    };
    let (before, since) = (everything().await, world.told().await);
    assert!(
        before.concat().contains(SECRET),
        "what must not be seen is there to be seen"
    );
    let mut asked = 0;
    for (method, path, _) in operations() {
        let at = filled(&path, B);
        let answer = match method.as_str() {
            "GET" | "DELETE" => ask(&ours, &method, &at, None).await,
            "PATCH" => ask(&ours, "PATCH", &at, Some(&json!({ "name": "mine" }))).await,
            "POST" => {
                for body in bodies(&path, B) {
                    let answer = ask(&ours, "POST", &at, Some(&body)).await;
                    let refused = match path.contains('{') {
                        true => answer.status == 404,
                        false => answer.status == 422 || path == "/api/v1/sql",
                    };
                    assert!(refused && !shows_b(&answer), "POST {path} {body}: {answer}");
                    asked += 1;
                }
                continue;
            }
            other => panic!("{other} {path}: how is it asked?"),
        };
        asked += 1;
        assert!(!shows_b(&answer), "{method} {path}: {answer}");
        let expected = match path.as_str() {
            p if p.starts_with("/api/v1/tenants") => 403,
            p if p.contains('{') => 404,
            _ => 200,
        };
        assert_eq!(answer.status, expected, "{method} {at}: {answer}");
    }
    assert!(asked > 50, "{asked}");
    assert_eq!(
        world.outbox(since).await,
        [],
        "nothing was written for anybody"
    );
    assert_eq!(everything().await, before);
}

/// The same requests about one's own things are good ones: they were refused for whose they were about.
#[tokio::test]
async fn the_same_of_ones_own_is_answered() {
    let world = World::new().await;
    let ours = world.admin().await;
    for (method, path, _) in operations() {
        if method == "GET" && !path.starts_with("/api/v1/tenants") {
            let answer = ask(&ours, "GET", &filled(&path, A), None).await;
            assert_eq!(answer.status, 200, "{path}: {answer}");
        }
        if method == "POST" && path != "/api/v1/sql" {
            for (n, mut body) in bodies(&path, A).into_iter().enumerate() {
                if body.get("name").is_some() {
                    body["name"] = json!(format!("own-{n}"));
                } else if path == "/api/v1/thresholds" {
                    body["technology"] = json!("w60g");
                }
                let answer = ask(&ours, "POST", &filled(&path, A), Some(&body)).await;
                let asks = path == "/api/v1/inventory" || path.ends_with("/preview");
                let acts = path.contains('{')
                    && !path.ends_with("/comments")
                    && !path.ends_with("/accept");
                let expected = match !asks && !acts {
                    true => 201,
                    // Its host is nobody's here: it was tried all the same.
                    false if path.ends_with("/test") => 502,
                    false => 200,
                };
                assert_eq!(answer.status, expected, "{path} {body}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn no_route_answers_nobody() {
    let world = World::new().await;
    let nobody = world.nobody();
    for (n, (method, path, operation)) in operations().into_iter().enumerate() {
        let open = operation.get("security").is_none();
        assert_eq!(open, path.starts_with("/health"), "{path}");
        if open {
            continue;
        }
        // What is refused for who asks is refused before what is asked is read.
        let answer = ask(
            &nobody,
            &method,
            &filled(&path, A),
            Some(&json!("nonsense")),
        )
        .await;
        assert_eq!(answer.problem(), 401, "{n} {method} {path}");
    }
}

#[tokio::test]
async fn a_viewer_writes_nothing() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let since = world.told().await;
    for (method, path, _) in operations() {
        let asks = path == "/api/v1/sql" || path.ends_with("/preview");
        if method != "GET" && !asks {
            let answer = ask(&viewer, &method, &filled(&path, A), Some(&json!({}))).await;
            assert_eq!(answer.problem(), 403, "{method} {path}");
        }
    }
    assert_eq!(world.outbox(since).await, []);
}

/// A list of devices looks states and measurements up by the device alone: whose they are is for the database to say.
#[tokio::test]
async fn what_is_said_of_a_device_in_the_name_of_another_tenant_is_not_shown() {
    let world = World::new().await;
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    for said in [
        "INSERT INTO device_status (device_id, tenant_id, state, since, identity, epoch)
         VALUES ($1, $2, 'online', now(), 'BBB', 1)",
        "INSERT INTO device_gauges (device_id, tenant_id, observed_at, uptime_s) VALUES ($1, $2, now(), 77)",
    ] {
        let said = sqlx::query(said).bind(A.id(4)).bind(B.tenant().0);
        assert_eq!(said.execute(&dataflow).await.unwrap().rows_affected(), 1);
    }
    let path = format!("/api/v1/devices?filter=id={}", A.id(4));
    let list = world.viewer().await.get(&path).await.json();
    let device = &list["items"][0];
    assert_eq!(
        (&device["state"], &device["identity"], &device["uptime_s"]),
        (&json!("unobserved"), &Value::Null, &Value::Null)
    );
}
