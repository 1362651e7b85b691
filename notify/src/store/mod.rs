//! The queue in Postgres. Every statement runs in a transaction of one tenant; the one question about all of them,
//! [`tenants`], is answered with ids alone.

mod claim;
mod outcome;
mod route;

use std::time::Duration;

use mast_schemas::TenantId;
use sqlx::PgPool;

pub(crate) use self::claim::{Claimed, Room, claim};
pub(crate) use self::outcome::{Ended, record};
pub(crate) use self::route::route;

/// Tenants for which there is something to do now.
pub(crate) async fn tenants(pool: &PgPool) -> Result<Vec<TenantId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(r#"SELECT tenant_id AS "tenant_id!" FROM notification_work()"#);
    let ids = ids.fetch_all(pool).await?;
    Ok(ids.into_iter().map(TenantId).collect())
}

/// How much waits, of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Requests and deliveries that are not done with.
    pub waiting: i64,
    /// Since when the oldest of them waits.
    pub oldest: Duration,
    /// Deliveries that were given up in the last day.
    pub dead: i64,
}

/// How much waits, and how much was given up.
///
/// # Errors
/// Those of the connection.
pub async fn backlog(executor: impl sqlx::PgExecutor<'_>) -> Result<Backlog, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT waiting AS "waiting!", oldest_ms AS "oldest_ms!", dead AS "dead!" FROM notification_backlog()"#
    );
    let row = row.fetch_one(executor).await?;
    let oldest = Duration::from_millis(u64::try_from(row.oldest_ms).unwrap_or(0));
    Ok(Backlog {
        waiting: row.waiting,
        oldest,
        dead: row.dead,
    })
}

/// Drops what ended 30 days ago.
pub(crate) async fn forget(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let gone = sqlx::query_scalar!("SELECT forget_notifications()")
        .fetch_one(pool)
        .await?;
    Ok(gone.unwrap_or_default())
}

/// A duration as SQL takes it, in seconds.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
