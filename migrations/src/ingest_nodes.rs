//! Which ingest nodes live, and how much each can hold: what they need to share their work without speaking to each other.
//!
//! A row says nothing about who holds what: that is the leases' to say. A node that dies leaves a row that expires.

use std::time::Duration;

use mast_schemas::Timestamp;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A node that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    /// Who it is to the leases.
    pub holder: Uuid,
    /// Host and process.
    pub name: String,
    /// Devices for which it has file descriptors.
    pub capacity: u64,
}

/// PostgreSQL's clock, before which nothing else is asked of it.
///
/// # Errors
/// Those of the connection.
pub async fn database_now(executor: impl PgExecutor<'_>) -> Result<Timestamp, sqlx::Error> {
    let now = sqlx::query_scalar!(r#"SELECT micros(clock_timestamp()) AS "now!""#);
    now.fetch_one(executor).await.map(Timestamp)
}

/// Says that a node lives, for as long as `time_to_live`. Rows of nodes that died a day ago go.
///
/// # Errors
/// Those of the connection.
pub async fn live(
    executor: impl PgExecutor<'_>,
    node: &LiveNode,
    time_to_live: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM ingest_nodes WHERE expires_at < clock_timestamp() - interval '1 day' AND holder <> $1)
         INSERT INTO ingest_nodes (holder, name, capacity, expires_at)
         VALUES ($1, $2, $3, clock_timestamp() + $4::float8 * interval '1 second')
         ON CONFLICT (holder) DO UPDATE
         SET name = excluded.name, capacity = excluded.capacity, expires_at = excluded.expires_at",
        node.holder,
        node.name,
        node.capacity.cast_signed(),
        time_to_live.as_secs_f64(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// All nodes that live, by holder.
///
/// # Errors
/// Those of the connection.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<LiveNode>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT holder, name, capacity FROM ingest_nodes WHERE expires_at > clock_timestamp() ORDER BY holder"
    )
    .fetch_all(executor)
    .await?;
    let node = |(holder, name, capacity): (Uuid, String, i64)| LiveNode {
        holder,
        name,
        capacity: capacity.unsigned_abs(),
    };
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| node((row.holder, row.name, row.capacity)))
        .collect())
}

/// Takes a node out: the others need not wait for its row to expire.
///
/// # Errors
/// Those of the connection.
pub async fn leave(executor: impl PgExecutor<'_>, holder: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ingest_nodes WHERE holder = $1", holder)
        .execute(executor)
        .await?;
    Ok(())
}
