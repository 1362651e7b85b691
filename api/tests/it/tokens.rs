//! Who may ask at all.

use insta::assert_snapshot;
use mast_api::Rate;
use mast_api::token::{self, NewToken, Role};

use crate::world::{A, B, World};

#[tokio::test]
async fn nobody_is_refused_and_told_what_to_send() {
    let world = World::new().await;
    let nobody = world.nobody();
    let answer = nobody.get("/api/v1/me").await;
    assert_snapshot!(answer, @r#"
    401 {
      "detail": "send one header Authorization: Bearer mast_…",
      "status": 401,
      "title": "A valid token is needed",
      "type": "urn:mast:problem:unauthenticated"
    }
    "#);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    for value in [
        "Bearer",
        "Bearer ",
        "Basic bWFzdDptYXN0",
        "mast_x",
        "Bearer mast_",
        "Bearer mast_0000000000000000000000000000000000000000000",
        "Bearer ' OR true --",
    ] {
        let answer = nobody
            .send("GET", "/api/v1/me", &[("authorization", value)], "")
            .await;
        assert_eq!(answer.problem(), 401, "{value}");
    }
    let good = world.viewer().await;
    let twice = good.send(
        "GET",
        "/api/v1/me",
        &[("authorization", "Bearer mast_x")],
        "",
    );
    assert_eq!(twice.await.problem(), 401, "two tokens are none");
}

#[tokio::test]
async fn a_token_knows_what_it_is() {
    let world = World::new().await;
    assert_snapshot!(world.viewer().await.get("/api/v1/me").await, @r#"
    200 {
      "expires_at": "[time]",
      "name": "viewer",
      "role": "viewer",
      "tenant": "tenant-AAA",
      "tenant_id": "00000000-0000-0000-0000-00000000000a",
      "token_id": "[id]"
    }
    "#);
    assert_snapshot!(world.super_admin().await.get("/api/v1/me").await, @r#"
    200 {
      "expires_at": "[time]",
      "name": "super_admin",
      "role": "super_admin",
      "tenant": null,
      "tenant_id": null,
      "token_id": "[id]"
    }
    "#);
}

#[tokio::test]
async fn a_token_that_is_taken_back_or_has_ended_is_refused() {
    let world = World::new().await;
    let revoked = world.viewer().await;
    assert!(
        token::revoke(world.owner(), revoked.token_id)
            .await
            .unwrap()
    );
    assert!(
        !token::revoke(world.owner(), revoked.token_id)
            .await
            .unwrap()
    );
    assert_eq!(revoked.get("/api/v1/me").await.problem(), 401);
    let ended = world.viewer().await;
    sqlx::query("UPDATE api_tokens SET expires_at = now() - interval '1 s' WHERE id = $1")
        .bind(ended.token_id)
        .execute(world.owner())
        .await
        .unwrap();
    assert_eq!(ended.get("/api/v1/me").await.problem(), 401);
}

#[tokio::test]
async fn a_token_that_is_remembered_ends_all_the_same() {
    let world = World::new().await;
    let new = NewToken {
        tenant_id: Some(A.tenant()),
        name: "short".to_owned(),
        role: Role::Viewer,
        lifetime_s: 1,
    };
    let (_, text) = token::create(world.owner(), &new).await.unwrap();
    let mut client = world.nobody();
    client.token = Some(text.expose().to_owned());
    assert_eq!(client.get("/api/v1/me").await.status, 200);
    while client.get("/api/v1/me").await.status == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.get("/api/v1/me").await.problem(), 401);
}

#[tokio::test]
async fn tokens_are_kept_as_hashes_and_listed_without_them() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let text = viewer.token.clone().unwrap();
    assert!(text.starts_with("mast_") && text.len() == 48, "{text}");
    let listed = token::list(world.owner()).await.unwrap();
    assert_eq!(listed[0].prefix, text[..12]);
    assert_eq!(listed[0].tenant.as_deref(), Some("tenant-AAA"));
    let rows: Vec<String> = sqlx::query_scalar("SELECT k::text FROM api_tokens k")
        .fetch_all(world.owner())
        .await
        .unwrap();
    assert!(!rows.is_empty() && !rows.iter().any(|row| row.contains(&text[12..])));
}

#[tokio::test]
async fn the_role_of_the_api_reads_no_token() {
    let world = World::new().await;
    world.viewer().await;
    let refused = sqlx::query("SELECT * FROM api_tokens")
        .fetch_all(&world.api)
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().unwrap(),
        "42501"
    );
}

#[tokio::test]
async fn roles_and_tenants_of_tokens_fit() {
    let world = World::new().await;
    for (tenant_id, role) in [(None, Role::Admin), (Some(A.tenant()), Role::SuperAdmin)] {
        let new = NewToken {
            tenant_id,
            name: "x".to_owned(),
            role,
            lifetime_s: 1,
        };
        assert!(token::create(world.owner(), &new).await.is_err());
    }
}

#[tokio::test]
async fn a_super_admin_names_the_tenant() {
    let world = World::new().await;
    let root = world.super_admin().await;
    assert_snapshot!(root.get("/api/v1/sites").await, @r#"
    400 {
      "detail": "this token is for all tenants: name one in the header Mast-Tenant, by id or name",
      "status": 400,
      "title": "Name a tenant",
      "type": "urn:mast:problem:tenant-required"
    }
    "#);
    for name in ["tenant-AAA".to_owned(), A.tenant().to_string()] {
        let names = root.of(name).get("/api/v1/sites").await.items("name");
        assert_eq!(names, ["site-AAA"]);
    }
    let names = root.of(B.tenant()).get("/api/v1/sites").await.items("name");
    assert_eq!(names, ["site-BBB"]);
    for name in ["tenant-CCC", "01890a5d-ac96-774b-bcce-b302099a8057", ""] {
        assert_eq!(
            root.of(name).get("/api/v1/sites").await.problem(),
            404,
            "{name}"
        );
    }
}

#[tokio::test]
async fn who_names_another_tenant_acts_on_none() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    for name in ["tenant-BBB".to_owned(), B.tenant().to_string()] {
        assert_eq!(viewer.of(name).get("/api/v1/sites").await.problem(), 404);
    }
    assert_eq!(
        viewer.of("tenant-AAA").get("/api/v1/sites").await.status,
        200
    );
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let world = World::with(|config| {
        config.rate = Rate {
            per_second: 1,
            burst: 3,
        };
    })
    .await;
    let (viewer, other) = (world.viewer().await, world.operator().await);
    for _ in 0..3 {
        assert_eq!(viewer.get("/api/v1/me").await.status, 200);
    }
    let mut refused = viewer.get("/api/v1/me").await;
    // A second may have passed by now, for one more.
    if refused.status == 200 {
        refused = viewer.get("/api/v1/me").await;
    }
    assert_snapshot!(refused, @r#"
    429 {
      "detail": "this token asks too often",
      "status": 429,
      "title": "Too many requests",
      "type": "urn:mast:problem:too-many-requests"
    }
    "#);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        other.get("/api/v1/me").await.status,
        200,
        "each has its own"
    );
}

#[tokio::test]
async fn guessing_tokens_is_slow_and_stops_nobody_who_has_one() {
    let world = World::new().await;
    let good = world.viewer().await;
    assert_eq!(good.get("/api/v1/me").await.status, 200);
    let mut guesser = world.nobody();
    let mut answers = Vec::new();
    for n in 0..30 {
        guesser.token = Some(format!("mast_{n:043}"));
        answers.push(guesser.get("/api/v1/me").await.problem());
    }
    assert_eq!(answers[0], 401);
    assert_eq!(answers[29], 429);
    assert_eq!(good.get("/api/v1/me").await.status, 200);
}
