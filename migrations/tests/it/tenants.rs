//! Two tenants and what one can learn of the other, whatever its session tries.

use std::time::Duration;

use mast_postgres::{Role, find_tenant, impatient_pool, tenant_snapshot, tenant_tx, testing};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use crate::{REFUSED, code, fleet};

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_tenant_reads_and_writes_its_own_rows_alone() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let (a, b) = (fleet(&api, "a").await, fleet(&api, "b").await);

    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    for table in ["tenants", "sites", "sectors", "devices"] {
        let column = if table == "tenants" {
            "id"
        } else {
            "tenant_id"
        };
        let sql = AssertSqlSafe(format!(
            "SELECT count(*), count(*) FILTER (WHERE {column} <> $1) FROM {table}"
        ));
        let seen: (i64, i64) = sqlx::query_as(sql)
            .bind(a.tenant.0)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert!(seen.0 > 0 && seen.1 == 0, "{table}: {seen:?}");
    }
    let changed = sqlx::query("UPDATE devices SET name = 'mine' WHERE id = $1").bind(b.devices[0]);
    assert_eq!(changed.execute(&mut *tx).await.unwrap().rows_affected(), 0);
    let deleted = sqlx::query("DELETE FROM sites WHERE id = $1").bind(b.site);
    assert_eq!(deleted.execute(&mut *tx).await.unwrap().rows_affected(), 0);
    let forged =
        sqlx::query("INSERT INTO sites (id, tenant_id, name) VALUES (gen_random_uuid(), $1, 'x')")
            .bind(b.tenant.0);
    assert_eq!(code(&forged.execute(&mut *tx).await.unwrap_err()), REFUSED);
}

#[tokio::test]
async fn a_row_cannot_be_given_away_nor_stand_in_anothers_site() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let (a, b) = (fleet(&api, "a").await, fleet(&api, "b").await);

    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    let given = sqlx::query("UPDATE devices SET tenant_id = $1, site_id = NULL").bind(b.tenant.0);
    assert_eq!(code(&given.execute(&mut *tx).await.unwrap_err()), REFUSED);
    drop(tx);

    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    let placed = sqlx::query("UPDATE devices SET site_id = $1, sector_id = $2")
        .bind(b.site)
        .bind(b.sector);
    assert_eq!(
        code(&placed.execute(&mut *tx).await.unwrap_err()),
        "23503",
        "foreign key"
    );
}

#[tokio::test]
async fn outside_of_a_tenant_transaction_nothing_is_seen() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let a = fleet(&api, "a").await;
    // The sessions of the pool have all served a tenant by now.
    for _ in 0..10 {
        drop(tenant_tx(&api, a.tenant).await.unwrap());
        tenant_snapshot(&api, a.tenant)
            .await
            .unwrap()
            .commit()
            .await
            .unwrap();
    }
    assert_eq!(count(&api, "SELECT count(*) FROM devices").await, 0);
    assert_eq!(count(&api, "SELECT count(*) FROM tenants").await, 0);
}

/// A pool that does not try connections which were at work a moment ago: who begins a transaction meets none that is gone.
#[tokio::test]
async fn connections_that_the_server_closed_are_passed_over() {
    const CONNECTIONS: u32 = 3;
    let database = testing::database().await;
    let options = database.options(Role::Api);
    let api = impatient_pool(options, CONNECTIONS, Duration::from_secs(10));
    let a = fleet(&api, "a").await;
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        all.push(tenant_snapshot(&api, a.tenant).await.unwrap());
    }
    for transaction in all {
        transaction.commit().await.unwrap();
    }
    while api.num_idle() < CONNECTIONS as usize {
        tokio::task::yield_now().await;
    }
    let mut superuser = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    let closed: Vec<bool> = sqlx::query_scalar(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE usename = 'mast_api' AND datname = current_database()",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(closed, [true; CONNECTIONS as usize]);
    tenant_tx(&api, a.tenant).await.unwrap();
}

#[tokio::test]
async fn no_setting_of_a_session_opens_anothers_rows() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let (a, _b) = (fleet(&api, "a").await, fleet(&api, "b").await);
    for refused in [
        "SET ROLE mast_owner",
        "SET ROLE mast_dataflow",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER TABLE devices DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE devices NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY all_of_it ON devices USING (true)",
        "DROP POLICY api ON devices",
        "CREATE FUNCTION public.current_tenant(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE devices (id uuid)",
        "TRUNCATE devices",
        "SET LOCAL row_security = off; SELECT count(*) FROM devices",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT * FROM pg_statistic",
    ] {
        let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
        let error = sqlx::raw_sql(refused).execute(&mut *tx).await.unwrap_err();
        assert_eq!(code(&error), REFUSED, "{refused}: {error}");
    }
    // A predicate that leaks what it is shown is shown only what the tenant may see.
    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    let seen: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM devices WHERE 1 / (length(name) - 2) IS NULL OR true",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!(seen, 2);
}

#[tokio::test]
async fn a_snapshot_is_read_only_and_repeats_what_it_read() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let a = fleet(&api, "a").await;
    let mut snapshot = tenant_snapshot(&api, a.tenant).await.unwrap();
    let before: i64 = sqlx::query_scalar("SELECT count(*) FROM devices")
        .fetch_one(&mut *snapshot)
        .await
        .unwrap();
    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    sqlx::query("DELETE FROM devices")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let after: i64 = sqlx::query_scalar("SELECT count(*) FROM devices")
        .fetch_one(&mut *snapshot)
        .await
        .unwrap();
    assert_eq!((before, after), (2, 2));
    let error = sqlx::query("DELETE FROM devices")
        .execute(&mut *snapshot)
        .await
        .unwrap_err();
    assert_eq!(code(&error), "25006", "read only");
}

#[tokio::test]
async fn a_tenant_is_found_by_a_name_that_one_knows() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let a = fleet(&api, "a").await;
    assert_eq!(find_tenant(&api, "a").await.unwrap(), Some(a.tenant));
    assert_eq!(find_tenant(&api, "nobody").await.unwrap(), None);
}

/// An API from before writes credentials alone.
#[tokio::test]
async fn a_device_tells_whether_it_has_credentials_whoever_writes_them() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let a = fleet(&api, "a").await;
    let writes = [
        "INSERT INTO device_credentials (device_id, tenant_id, ciphertext) VALUES ($1, $2, 'a')
         ON CONFLICT (device_id) DO UPDATE SET ciphertext = excluded.ciphertext",
        "DELETE FROM device_credentials WHERE device_id = $1 AND tenant_id = $2",
    ];
    for (write, has) in [(writes[0], true), (writes[0], true), (writes[1], false)] {
        let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
        let run = sqlx::query(write).bind(a.devices[0]).bind(a.tenant.0);
        run.execute(&mut *tx).await.unwrap();
        let told: Vec<bool> = sqlx::query_scalar(
            "SELECT has_credentials FROM devices WHERE id = ANY ($1) ORDER BY id <> $2",
        )
        .bind(a.devices)
        .bind(a.devices[0])
        .fetch_all(&mut *tx)
        .await
        .unwrap();
        assert_eq!(told, [has, false]);
        tx.commit().await.unwrap();
    }
}

/// Whoever asked is gone at any moment of it: its transaction must not wait in the pool for the next one.
#[tokio::test]
async fn a_begin_that_is_given_up_leaves_no_transaction_to_the_next() {
    let database = testing::database().await;
    let options = database.options(Role::Api);
    let api = impatient_pool(options, 1, Duration::from_secs(30));
    let a = fleet(&api, "a").await;
    for moment in 0..100 {
        let begins = tenant_snapshot(&api, a.tenant);
        let patience = Duration::from_micros(20 * moment);
        drop(tokio::time::timeout(patience, begins).await);
        let seen = sqlx::query_scalar("SELECT current_setting('mast.tenant_id', true)");
        let seen: Option<String> = seen.fetch_one(&api).await.unwrap();
        assert_eq!(seen.unwrap_or_default(), "", "after {patience:?}");
        let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
        let writes = sqlx::query("UPDATE devices SET name = name WHERE id = $1").bind(a.devices[0]);
        let written = writes.execute(&mut *tx).await;
        assert!(written.is_ok(), "after {patience:?}: {written:?}");
        tx.commit().await.unwrap();
    }
}
