//! What all resources do in the same way.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use insta::assert_snapshot;
use mast_postgres::tenant_tx;
use serde_json::{Value, json};

use crate::world::{A, Answer, Client, JSON, World};

/// All pages of a list, as values of `field`.
async fn pages(client: &Client, path: &str, limit: u32, field: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}&limit={limit}{cursor}")).await;
        all.extend(page.items(field));
        match page.json()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// Twelve sites more, some of them alike.
async fn many_sites(world: &World) {
    let mut tx = tenant_tx(&world.api, A.tenant()).await.unwrap();
    sqlx::query(
        "INSERT INTO sites (id, tenant_id, name, core)
         SELECT gen_random_uuid(), $1, 'many-' || n, n % 2 = 0 FROM generate_series(1, 12) n",
    )
    .bind(A.tenant().0)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    sqlx::query(
        "INSERT INTO place_signals (kind, id, tenant_id, clients, sum_dbm, p10_dbm, worst_dbm, epoch)
         SELECT 'site', s.id, $1, n % 3, 0, NULL, CASE WHEN n % 3 > 0 THEN -60 - n % 3 END, 0
         FROM unnest($2::uuid[]) WITH ORDINALITY AS s (id, n)",
    )
    .bind(A.tenant().0)
    .bind(site_ids(world).await)
    .execute(&dataflow)
    .await
    .unwrap();
}

async fn site_ids(world: &World) -> Vec<uuid::Uuid> {
    let mut tx = tenant_tx(&world.api, A.tenant()).await.unwrap();
    sqlx::query_scalar("SELECT id FROM sites WHERE name LIKE 'many-%' ORDER BY name")
        .fetch_all(&mut *tx)
        .await
        .unwrap()
}

#[tokio::test]
async fn pages_hold_each_item_once_in_every_order() {
    let world = World::new().await;
    many_sites(&world).await;
    let viewer = world.viewer().await;
    for sort in [
        "name",
        "-name",
        "clients",
        "-clients,name",
        "signal_worst_dbm",
        "-signal_worst_dbm",
        "signal_worst_dbm,-clients,name",
        "id",
    ] {
        let path = format!("/api/v1/sites?sort={sort}");
        let whole = pages(&viewer, &path, 500, "id").await;
        assert_eq!(whole.len(), 13, "{sort}");
        for limit in [1, 2, 5, 13] {
            assert_eq!(
                pages(&viewer, &path, limit, "id").await,
                whole,
                "{sort} by {limit}"
            );
        }
    }
    let by_signal = pages(
        &viewer,
        "/api/v1/sites?sort=signal_worst_dbm",
        4,
        "signal_worst_dbm",
    )
    .await;
    let first_null = by_signal.iter().position(Value::is_null).unwrap();
    assert!(
        by_signal[first_null..].iter().all(Value::is_null),
        "nulls last: {by_signal:?}"
    );
    assert!(
        by_signal[..first_null].is_sorted_by_key(|v| v.as_i64()),
        "{by_signal:?}"
    );
}

#[tokio::test]
async fn what_comes_and_goes_between_pages_moves_nothing_else() {
    let world = World::new().await;
    many_sites(&world).await;
    let admin = world.admin().await;
    let first = admin.get("/api/v1/sites?limit=3").await;
    let next = first.json()["next"].as_str().unwrap().to_owned();
    let gone = first.items("id")[1].as_str().unwrap().to_owned();
    assert_eq!(
        admin
            .delete(&format!("/api/v1/sites/{gone}"), "*")
            .await
            .status,
        204
    );
    admin
        .post("/api/v1/sites", json!({ "name": "a first one" }))
        .await;
    let second = admin
        .get(&format!("/api/v1/sites?limit=3&cursor={next}"))
        .await;
    assert_eq!(second.items("name"), ["many-12", "many-2", "many-3"]);
}

#[tokio::test]
async fn a_cursor_is_of_one_filter_and_one_order() {
    let world = World::new().await;
    many_sites(&world).await;
    let viewer = world.viewer().await;
    let page = viewer.get("/api/v1/sites?limit=1").await;
    let next = page.json()["next"].as_str().unwrap().to_owned();
    for more in ["&sort=-name", "&filter=core=true"] {
        let answer = viewer
            .get(&format!("/api/v1/sites?cursor={next}{more}"))
            .await;
        assert_eq!(answer.problem(), 400, "{more}");
    }
}

#[tokio::test]
async fn filters_say_what_they_mean() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let names = async |filter: String| {
        let answer = viewer
            .get(&format!("/api/v1/devices?filter={filter}"))
            .await;
        assert_eq!(answer.status, 200, "{filter}: {answer}");
        let names = answer.items("name");
        names
            .iter()
            .map(|n| n.as_str().unwrap()[..2].to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (filter, found) in [
        ("", "ap bp cp zz"),
        ("state=online", "ap"),
        ("state=online|offline", "ap bp"),
        ("state!=online|offline", "cp zz"),
        ("name~PE-", "cp"),
        ("site_id=null", "zz"),
        ("site_id!=null", "ap bp cp"),
        (&format!("site_id={}|null", A.site()), "ap bp cp zz"),
        (&format!("group_ids={}", A.group()), "ap"),
        (&format!("tag_ids={}|{}", A.tag(), A.ap()), "ap bp"),
        ("cpu_load_percent%3E=10", "ap"),
        ("cpu_load_percent%3E10", ""),
        ("enabled=true,role=ap,state=offline", "bp"),
        ("since%3E2020-01-01T00:00:00Z", "ap bp cp"),
        ("since%3C2020-01-01T00:00:00%2B02:00", ""),
        ("outcome=null", "cp zz"),
        ("name=x'%20OR%20true--", ""),
    ] {
        assert_eq!(names(filter.to_owned()).await, found, "{filter}");
    }
}

#[tokio::test]
async fn every_column_of_every_list_filters_and_sorts() {
    let world = World::new().await;
    let (viewer, root) = (world.viewer().await, world.super_admin().await);
    let document: Value = serde_json::from_str(&mast_api::openapi()).unwrap();
    let mut lists = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let described = |name: &str| {
            let found = parameters.iter().find(|p| p["name"] == name)?;
            let (_, columns) = found["description"].as_str()?.split_once("Columns: ")?;
            Some(columns.to_owned())
        };
        let (Some(filters), Some(sorts)) = (described("filter"), described("sort")) else {
            continue;
        };
        lists += 1;
        let client = if path.contains("tenants") {
            &root
        } else {
            &viewer
        };
        let columns = |text: &str| -> BTreeSet<String> {
            text.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect()
        };
        let (sorts, _) = sorts.split_once(". Without").unwrap();
        for column in columns(sorts) {
            for direction in ["", "-"] {
                let page = client
                    .get(&format!("{path}?limit=1&sort={direction}{column}"))
                    .await;
                assert_eq!(page.status, 200, "{path} by {direction}{column}: {page}");
                if let Some(next) = page.json()["next"].as_str() {
                    let next = client
                        .get(&format!(
                            "{path}?limit=1&sort={direction}{column}&cursor={next}"
                        ))
                        .await;
                    assert_eq!(next.status, 200, "{path} by {direction}{column}: {next}");
                }
            }
        }
        for part in filters.split("), ") {
            let column = part.split('`').nth(1).unwrap();
            let value = match part {
                p if p.contains("UUID") => A.ap().to_string(),
                p if p.contains("MAC") => "02:00:00:00:0A:01".to_owned(),
                p if p.contains("a time") => "2026-01-01T00:00:00Z".to_owned(),
                p if p.contains("number") => "1".to_owned(),
                p if p.contains("true or") => "true".to_owned(),
                _ => "x".to_owned(),
            };
            let (_, ops) = part.split_once("; ").unwrap();
            for op in ops.trim_end_matches(['.', ')']).split(' ') {
                let op = op.replace('<', "%3C").replace('>', "%3E");
                let page = client
                    .get(&format!("{path}?filter={column}{op}{value}"))
                    .await;
                assert_eq!(page.status, 200, "{path}: {column} {op} {value}: {page}");
            }
        }
    }
    assert!(lists >= 13, "{lists}");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let world = World::new().await;
    let operator = world.operator().await;
    let site = format!("/api/v1/sites/{}", A.site());
    for path in [
        "/api/v1/sites",
        &site,
        "/api/v1/fleet/summary",
        "/api/v1/me",
    ] {
        let first = operator.get(path).await;
        let known = [("if-none-match", first.etag())];
        let again = operator.send("GET", path, &known, Body::empty()).await;
        assert_eq!(
            (again.status.as_u16(), again.body.len()),
            (304, 0),
            "{path}"
        );
        assert_eq!(again.etag(), first.etag());
    }
    let first = operator.get(&site).await;
    operator
        .patch(&site, "*", json!({ "notes": "changed" }))
        .await;
    let known = [("if-none-match", first.etag())];
    assert_eq!(
        operator
            .send("GET", &site, &known, Body::empty())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn of_two_writers_of_one_version_one_wins() {
    let world = World::new().await;
    let operator = world.operator().await;
    let site = format!("/api/v1/sites/{}", A.site());
    let etag = operator.get(&site).await.etag().to_owned();
    let (one, two) = tokio::join!(
        operator.patch(&site, &etag, json!({ "notes": "one" })),
        operator.patch(&site, &etag, json!({ "notes": "two" })),
    );
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn a_patch_that_says_nothing_new_writes_nothing() {
    let world = World::new().await;
    let operator = world.operator().await;
    let site = format!("/api/v1/sites/{}", A.site());
    let (before, told) = (operator.get(&site).await.json(), world.told().await);
    let patched = operator
        .patch(&site, "*", json!({ "name": "site-AAA" }))
        .await;
    assert_eq!(patched.json(), before);
    assert_eq!(world.outbox(told).await, []);
}

async fn keyed(client: &Client, key: &str, body: Value) -> Answer {
    let headers = [JSON, ("idempotency-key", key)];
    client
        .send("POST", "/api/v1/sites", &headers, body.to_string())
        .await
}

#[tokio::test]
async fn a_post_with_a_key_is_done_once() {
    let world = World::new().await;
    let operator = world.operator().await;
    let told = world.told().await;
    let first = keyed(&operator, "one", json!({ "name": "x" })).await;
    let again = keyed(&operator, "one", json!({ "name": "x" })).await;
    assert_eq!((first.status.as_u16(), &first.body), (201, &again.body));
    for name in ["location", "etag", "content-type"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(world.outbox(told).await.len(), 1);
    assert_snapshot!(keyed(&operator, "one", json!({ "name": "y" })).await, @r#"
    422 {
      "detail": "it was used for another path or body; take a new key for each thing that is to be done",
      "status": 422,
      "title": "The Idempotency-Key was used for another request",
      "type": "urn:mast:problem:idempotency-key-reused"
    }
    "#);
    assert_eq!(
        keyed(&operator, "", json!({ "name": "y" })).await.problem(),
        400
    );
}

#[tokio::test]
async fn a_key_of_work_that_failed_is_free_again() {
    let world = World::new().await;
    let operator = world.operator().await;
    assert_eq!(
        keyed(&operator, "k", json!({ "name": "site-AAA" }))
            .await
            .problem(),
        409
    );
    let done = keyed(&operator, "k", json!({ "name": "another" })).await;
    assert_eq!(done.status, 201, "{done}");
}

#[tokio::test]
async fn many_at_once_with_one_key_are_done_once() {
    let world = World::new().await;
    let operator = world.operator().await;
    let asks = (0..8).map(|_| keyed(&operator, "same", json!({ "name": "once" })));
    let answers = futures::future::join_all(asks).await;
    let ids: BTreeSet<_> = answers.iter().map(|a| a.json()["id"].to_string()).collect();
    assert!(
        answers.iter().all(|a| a.status == 201) && ids.len() == 1,
        "{ids:?}"
    );
}

#[tokio::test]
async fn a_key_is_its_tenants_own() {
    let world = World::new().await;
    let (operator, stranger) = (world.operator().await, world.stranger().await);
    let ours = keyed(&operator, "k", json!({ "name": "x" })).await;
    let theirs = keyed(&stranger, "k", json!({ "name": "x" })).await;
    assert_eq!(theirs.status, 201);
    assert_ne!(ours.json()["id"], theirs.json()["id"]);
    let root = world.super_admin().await;
    let make = async || {
        let headers = [JSON, ("idempotency-key", "k")];
        let body = json!({ "name": "made once" }).to_string();
        root.send("POST", "/api/v1/tenants", &headers, body).await
    };
    let (first, again) = (make().await, make().await);
    assert_eq!((first.status.as_u16(), &first.body), (201, &again.body));
}

/// A list that is kept is read once, ends with a write, and is nobody else's.
#[tokio::test]
async fn a_list_that_is_kept_ends_with_a_write_and_is_no_strangers() {
    let world = World::with(|config| config.kept_for = Duration::from_secs(3_600)).await;
    let (viewer, operator) = (world.viewer().await, world.operator().await);
    let before = viewer.get("/api/v1/tags").await;
    // By the back door, which no API knows of.
    let mut tx = tenant_tx(&world.api, A.tenant()).await.unwrap();
    sqlx::query("INSERT INTO tags (tenant_id, id, name) VALUES ($1, gen_random_uuid(), 'unseen')")
        .bind(A.tenant().0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let kept = viewer.get("/api/v1/tags").await;
    assert_eq!(kept.body, before.body);
    let known = [("if-none-match", before.etag())];
    let not_modified = viewer.send("GET", "/api/v1/tags", &known, Body::empty());
    assert_eq!(not_modified.await.status, 304);
    let other = viewer.get("/api/v1/tags?limit=500").await;
    assert!(other.items("name").contains(&json!("unseen")), "{other}");
    let stranger = world.stranger().await.get("/api/v1/tags").await;
    assert!(!stranger.items("name").contains(&json!("unseen")));
    assert_ne!(stranger.body, before.body);

    let made = operator
        .post("/api/v1/tags", json!({ "name": "new" }))
        .await;
    assert_eq!(made.status, 201);
    let after = viewer.get("/api/v1/tags").await;
    for name in ["new", "unseen"] {
        assert!(after.items("name").contains(&json!(name)), "{after}");
    }
    // Nor does a refused one leave an old answer.
    let refused = operator
        .post("/api/v1/tags", json!({ "name": "new" }))
        .await;
    assert_eq!(refused.status, 409);
    assert_eq!(viewer.get("/api/v1/tags").await.body, after.body);
}
