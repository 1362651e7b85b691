//! Postgres goes away under load, and comes back: 503 meanwhile, nothing half-written, nothing twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use mast_api::token::{self, NewToken, Role};
use mast_api::{ApiConfig, router};
use mast_postgres::{Private, impatient_pool, migrate, tenant_tx};
use mast_query::{Engine, EngineConfig};
use mast_schemas::TenantId;
use mast_secrets::KeyFile;
use serde_json::json;
use tower::ServiceExt;

/// Where the unprivileged user that Postgres runs as can go.
pub(crate) fn folder() -> tempfile::TempDir {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let made = tempfile::tempdir_in(target).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(made.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    made
}

/// A service of one tenant, with the token of its operator.
pub(crate) struct Service {
    pub(crate) config: ApiConfig,
    pub(crate) tenant: TenantId,
    pub(crate) token: String,
}

pub(crate) async fn service(private: &Private, folder: &Path) -> Service {
    let owner = private.pool(mast_postgres::Role::Owner, 1).await.unwrap();
    migrate(&owner).await.unwrap();
    let pool = || {
        let options = private.options(mast_postgres::Role::Api);
        impatient_pool(options, 4, Duration::from_secs(2))
    };
    let tenant = TenantId::new();
    let mut tx = tenant_tx(&pool(), tenant).await.unwrap();
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'a')")
        .bind(tenant.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let new = NewToken {
        tenant_id: Some(tenant),
        name: "t".to_owned(),
        role: Role::Operator,
        lifetime_s: 3_600,
    };
    let (_, token) = token::create(&owner, &new).await.unwrap();
    owner.close().await;
    let engine = Engine::new(EngineConfig::new(pool(), folder.join("lake"))).unwrap();
    let keys = Arc::new(KeyFile::open_or_create(&folder.join("key")).unwrap());
    Service {
        config: ApiConfig::new(pool(), engine, keys),
        tenant,
        token: token.expose().to_owned(),
    }
}

async fn make(router: &Router, token: &str, n: usize) -> (u16, Option<String>) {
    let request = Request::post("/api/v1/sites")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", format!("key-{n}"))
        .body(Body::from(
            json!({ "name": format!("site-{n}") }).to_string(),
        ))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let after = response.headers().get("retry-after");
    let after = after.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), after)
}

async fn get(router: &Router, token: &str, path: &str) -> axum::response::Response {
    let request = Request::get(path).header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_where_postgres_left_them() {
    const SITES: usize = 60;
    let folder = folder();
    let data = folder.path().join("postgres");
    let private = Private::start(&data).await.unwrap();
    let Service { config, token, .. } = service(&private, folder.path()).await;
    let router = router(config);
    assert_eq!(make(&router, &token, 0).await.0, 201);

    let asking: Vec<_> = (1..SITES)
        .map(|n| {
            let (router, token) = (router.clone(), token.clone());
            tokio::spawn(async move { (n, make(&router, &token, n).await) })
        })
        .collect();
    private.stop().await.unwrap();
    let mut again = Vec::new();
    for task in asking {
        match task.await.unwrap() {
            (_, (201, _)) => {}
            (n, (503, after)) => {
                assert!(after.unwrap().parse::<u64>().unwrap() > 0);
                again.push(n);
            }
            other => panic!("{other:?}"),
        }
    }
    let (status, after) = make(&router, &token, SITES).await;
    assert_eq!((status, after.is_some()), (503, true));
    assert_eq!(get(&router, &token, "/health").await.status(), 200);
    assert_eq!(get(&router, &token, "/health/ready").await.status(), 503);

    let private = Private::start(&data).await.unwrap();
    assert_eq!(get(&router, &token, "/health/ready").await.status(), 200);
    // All of them, also those that were answered: with their keys nothing is done twice.
    for n in 0..=SITES {
        assert_eq!(make(&router, &token, n).await.0, 201, "{n}");
    }
    let dataflow = private
        .pool(mast_postgres::Role::Dataflow, 1)
        .await
        .unwrap();
    let told: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT change #>> '{row,name}') FROM outbox WHERE change ->> 'entity' = 'site'",
    )
    .fetch_one(&dataflow)
    .await
    .unwrap();
    let all = i64::try_from(SITES).unwrap() + 1;
    assert_eq!(
        told,
        (all, all),
        "each site is made and told of once; {again:?} came again"
    );
    dataflow.close().await;
    private.stop().await.unwrap();
}
