//! Leases: at most one holder of a name at a time, each with a higher fencing epoch than the one before.
//!
//! A lease alone cannot stop a holder that was paused past its end and goes on; the fencing epoch can: whoever receives
//! its work compares and refuses. So every acquisition raises it, also that of the same holder after a restart.
//! Times are Postgres's, never the holder's.

use std::time::Duration;

use mast_schemas::Timestamp;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A held lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What is held: `ingest/…` for ingest nodes, `dataflow/…` for dataflow jobs.
    pub name: String,
    /// Who holds it.
    pub holder: Uuid,
    /// Higher than that of any earlier holder.
    pub fencing_epoch: u64,
    /// When it ends unless renewed, by Postgres's clock.
    pub expires_at: Timestamp,
    /// Postgres's clock when it answered; a holder whose own differs by more than 2 s must not use the lease.
    pub database_now: Timestamp,
}

/// Takes the lease if it is free, expired, or already `holder`'s; null when another has it.
///
/// `holder` may stay the same over restarts of a node, whose new process then need not wait for the old one's lease to
/// expire. Only a node of which a second process cannot run, by a lock on its data folder, may do that.
///
/// # Errors
/// Those of the connection.
pub async fn acquire(
    executor: impl PgExecutor<'_>,
    name: &str,
    holder: Uuid,
    time_to_live: Duration,
) -> Result<Option<Lease>, sqlx::Error> {
    let row = sqlx::query!(
        r#"INSERT INTO leases AS held (name, holder, fencing_epoch, expires_at)
           VALUES ($1, $2, 1, clock_timestamp() + $3::float8 * interval '1 second')
           ON CONFLICT (name) DO UPDATE SET
               holder = excluded.holder,
               fencing_epoch = held.fencing_epoch + 1,
               expires_at = clock_timestamp() + $3::float8 * interval '1 second'
           WHERE held.holder = excluded.holder OR held.expires_at <= clock_timestamp()
           RETURNING fencing_epoch, micros(expires_at) AS "expires_at!", micros(clock_timestamp()) AS "now!""#,
        name,
        holder,
        time_to_live.as_secs_f64(),
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Lease {
        name: name.to_owned(),
        holder,
        fencing_epoch: row.fencing_epoch.unsigned_abs(),
        expires_at: Timestamp(row.expires_at),
        database_now: Timestamp(row.now),
    }))
}

/// Prolongs the lease; null when it was lost to another holder or another start of this one. An expired lease that nobody
/// took is still the holder's.
///
/// # Errors
/// Those of the connection.
pub async fn renew(
    executor: impl PgExecutor<'_>,
    lease: &Lease,
    time_to_live: Duration,
) -> Result<Option<Lease>, sqlx::Error> {
    let row = sqlx::query!(
        r#"UPDATE leases SET expires_at = clock_timestamp() + $4::float8 * interval '1 second'
           WHERE name = $1 AND holder = $2 AND fencing_epoch = $3
           RETURNING micros(expires_at) AS "expires_at!", micros(clock_timestamp()) AS "now!""#,
        lease.name,
        lease.holder,
        lease.fencing_epoch.cast_signed(),
        time_to_live.as_secs_f64(),
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| Lease {
        expires_at: Timestamp(row.expires_at),
        database_now: Timestamp(row.now),
        ..lease.clone()
    }))
}

/// Ends the lease now, so that another need not wait; false when it was already lost. The row stays, for its epoch.
///
/// # Errors
/// Those of the connection.
pub async fn release(executor: impl PgExecutor<'_>, lease: &Lease) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2 AND fencing_epoch = $3",
        lease.name,
        lease.holder,
        lease.fencing_epoch.cast_signed(),
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() == 1)
}
