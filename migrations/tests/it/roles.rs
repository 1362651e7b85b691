//! Each role is refused what is not its own work.

use mast_postgres::{Role, testing};
use sqlx::AssertSqlSafe;

use crate::{REFUSED, code, fleet};

#[tokio::test]
async fn each_role_is_refused_what_is_not_its_work() {
    let database = testing::database().await;
    fleet(&database.pool(Role::Api).await, "a").await;
    let refusals: [(Role, &[&str]); 3] = [
        (
            Role::Api,
            &[
                "SELECT * FROM outbox",
                "INSERT INTO outbox (tenant_id, change) VALUES (gen_random_uuid(), '{}')",
                "SELECT * FROM leases",
                "UPDATE job_progress SET epoch = 0",
                "UPDATE device_status SET state = 'online'",
                "DELETE FROM links",
                "INSERT INTO device_pins (device_id, tenant_id) VALUES (gen_random_uuid(), gen_random_uuid())",
                "SELECT * FROM relay_progress",
                "DELETE FROM lake_manifest",
                "SELECT * FROM _sqlx_migrations",
                "INSERT INTO notification_requests (id, tenant_id, incident_id, kind, severity, happened_at, content)
                 VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'opened', 'info', now(), '{}')",
                "UPDATE notification_requests SET content = '{}'",
                "DELETE FROM notification_deliveries",
                "DELETE FROM notification_attempts",
            ],
        ),
        (
            Role::Ingest,
            &[
                "UPDATE devices SET enabled = false",
                "DELETE FROM devices",
                "UPDATE device_credentials SET version = 1",
                "DELETE FROM device_pins",
                "SELECT * FROM tenants",
                "SELECT * FROM outbox",
                "SELECT * FROM links",
                "DELETE FROM leases",
                "SELECT find_tenant('a')",
                "SELECT * FROM notification_channel_secrets",
                "SELECT notification_work()",
            ],
        ),
        (
            Role::Dataflow,
            &[
                "SELECT * FROM devices",
                "SELECT * FROM device_credentials",
                "SELECT * FROM device_pins",
                "SELECT * FROM tenants",
                "INSERT INTO outbox (tenant_id, change) VALUES (gen_random_uuid(), '{}')",
                "UPDATE outbox SET change = '{}'",
                "DELETE FROM leases",
                "DELETE FROM job_progress",
                "SELECT content FROM notification_requests",
                "UPDATE notification_requests SET routed_at = now()",
                "SELECT * FROM notification_channels",
                "SELECT * FROM notification_deliveries",
                "SELECT forget_notifications()",
            ],
        ),
    ];
    for (role, statements) in refusals {
        let pool = database.pool(role).await;
        for statement in statements {
            let run = sqlx::raw_sql(AssertSqlSafe(*statement))
                .execute(&pool)
                .await;
            let error = run.map(|_| ()).expect_err(statement);
            assert_eq!(code(&error), REFUSED, "{role:?}: {statement}: {error}");
        }
    }
}

#[tokio::test]
async fn the_services_can_do_their_work_for_all_tenants() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let (a, b) = (fleet(&api, "a").await, fleet(&api, "b").await);

    let ingest = database.pool(Role::Ingest).await;
    let devices: i64 = sqlx::query_scalar("SELECT count(*) FROM devices")
        .fetch_one(&ingest)
        .await
        .unwrap();
    assert_eq!(devices, 4);
    for fleet in [&a, &b] {
        sqlx::query(
            "INSERT INTO device_pins (device_id, tenant_id, tls_fingerprint) VALUES ($1, $2, 'x')",
        )
        .bind(fleet.devices[0])
        .bind(fleet.tenant.0)
        .execute(&ingest)
        .await
        .unwrap();
    }
    let crossed = sqlx::query("INSERT INTO device_pins (device_id, tenant_id) VALUES ($1, $2)")
        .bind(a.devices[1])
        .bind(b.tenant.0)
        .execute(&ingest)
        .await
        .unwrap_err();
    assert_eq!(code(&crossed), "23503", "a pin is its device's tenant's");

    let dataflow = database.pool(Role::Dataflow).await;
    for fleet in [&a, &b] {
        sqlx::query(
            "INSERT INTO device_status (device_id, tenant_id, state, since, epoch) VALUES ($1, $2, 'online', now(), 1)",
        )
        .bind(fleet.devices[0])
        .bind(fleet.tenant.0)
        .execute(&dataflow)
        .await
        .unwrap();
    }
    let mut tx = mast_postgres::tenant_tx(&api, a.tenant).await.unwrap();
    let seen: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT device_id FROM device_status")
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert_eq!(seen, [a.devices[0]]);
}

#[tokio::test]
async fn only_our_roles_enter_the_database() {
    use sqlx::{Connection, PgConnection};
    let database = testing::database().await;
    let mut superuser = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    sqlx::raw_sql(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'stranger') THEN CREATE ROLE stranger LOGIN; END IF; END $$",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let refused = PgConnection::connect_with(&database.superuser().username("stranger"))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), REFUSED);
}
