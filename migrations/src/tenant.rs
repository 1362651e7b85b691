//! Transactions that see one tenant.
//!
//! Row level security compares each row with the setting `mast.tenant_id`. It is set with `SET LOCAL`, so it ends with the
//! transaction. A plain `SET` would stay with the *session*, and a session goes back to the pool: the next request, of
//! another tenant, that forgets to set its own would read the last one's rows. Behind a pooler that shares sessions by
//! transaction, it could happen even to one that did set its own. Outside of such a transaction the setting is empty and
//! no row is seen: forgetting is an empty answer, never another's.

use mast_schemas::TenantId;
use sqlx::{AssertSqlSafe, PgExecutor, PgPool, Postgres, Transaction};

/// Opens a transaction that reads and writes the rows of `tenant_id` alone.
///
/// # Errors
/// Those of the pool and the connection.
pub async fn tenant_tx(
    pool: &PgPool,
    tenant_id: TenantId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin(pool, tenant_id, "BEGIN").await
}

/// Opens a read-only transaction over one snapshot of the rows of `tenant_id`: every statement in it sees the same epoch.
///
/// # Errors
/// Those of the pool and the connection.
pub async fn tenant_snapshot(
    pool: &PgPool,
    tenant_id: TenantId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin(
        pool,
        tenant_id,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    )
    .await
}

/// The same for who reads history too. It holds the lake's manifest from before the snapshot: as long as it lasts no file is
/// removed that the manifest names.
///
/// # Errors
/// Those of the pool and the connection.
pub async fn tenant_lake_snapshot(
    pool: &PgPool,
    tenant_id: TenantId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin(
        pool,
        tenant_id,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE lake_manifest IN ACCESS SHARE MODE",
    )
    .await
}

/// Lets a transaction see the rows of another tenant from here on. For who makes a tenant, alone: what it does for the
/// installation and for the new tenant is one transaction.
///
/// # Errors
/// Those of the connection.
pub async fn rescope(
    transaction: &mut Transaction<'static, Postgres>,
    tenant_id: TenantId,
) -> Result<(), sqlx::Error> {
    let tenant_id = tenant_id.0.hyphenated();
    sqlx::raw_sql(AssertSqlSafe(format!(
        "SET LOCAL mast.tenant_id = '{tenant_id}'"
    )))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// One round trip for all statements. A UUID prints as hexadecimal digits and dashes: there is nothing to escape.
///
/// A connection that the pool gave out and that is gone is found out here, when nothing was done yet: another begins. Each of
/// the pool's may be gone, as after a restart of the server.
///
/// A begin that is under way is never given up, also if who asked is gone. Between what was sent and its answer the driver does
/// not know of a transaction, so it would end none: the next one out of the pool would be in this one, with its tenant, its
/// snapshot, and read-only.
async fn begin(
    pool: &PgPool,
    tenant_id: TenantId,
    begin: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let tenant_id = tenant_id.0.hyphenated();
    let statements = format!("{begin}; SET LOCAL mast.tenant_id = '{tenant_id}'");
    let pool = pool.clone();
    let beginning = tokio::spawn(async move {
        let mut others = pool.options().get_max_connections();
        loop {
            match pool.begin_with(AssertSqlSafe(statements.clone())).await {
                Err(error) if others > 0 && is_closed(&error) => others -= 1,
                began => return began,
            }
        }
    });
    // Cut by the end of the runtime alone.
    beginning.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Whether the server closed a connection: it says so if it can, as it stops or was told to.
fn is_closed(error: &sqlx::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error {
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
        ),
        sqlx::Error::Database(error) => {
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P05"))
        }
        _ => false,
    }
}

/// The tenant of a name, before there is a transaction of a tenant. As [`Role::Api`](crate::Role::Api) or the owner.
///
/// # Errors
/// Those of the connection.
pub async fn find_tenant(
    executor: impl PgExecutor<'_>,
    name: &str,
) -> Result<Option<TenantId>, sqlx::Error> {
    let id = sqlx::query_scalar!("SELECT find_tenant($1)", name)
        .fetch_one(executor)
        .await?;
    Ok(id.map(TenantId))
}
