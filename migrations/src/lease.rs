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

/// As [`acquire`], of many names at once: those that were free.
///
/// # Errors
/// Those of the connection.
pub async fn acquire_all(
    executor: impl PgExecutor<'_>,
    names: &[String],
    holder: Uuid,
    time_to_live: Duration,
) -> Result<Vec<Lease>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"INSERT INTO leases AS held (name, holder, fencing_epoch, expires_at)
           SELECT name, $2::uuid, 1, clock_timestamp() + $3::float8 * interval '1 second'
           FROM unnest($1::text[]) AS name ORDER BY name
           ON CONFLICT (name) DO UPDATE SET
               holder = excluded.holder,
               fencing_epoch = held.fencing_epoch + 1,
               expires_at = excluded.expires_at
           WHERE held.holder = excluded.holder OR held.expires_at <= clock_timestamp()
           RETURNING name, fencing_epoch, micros(expires_at) AS "expires_at!", micros(clock_timestamp()) AS "now!""#,
        names,
        holder,
        time_to_live.as_secs_f64(),
    )
    .fetch_all(executor)
    .await?;
    let lease = |(name, epoch, expires_at, now): (String, i64, i64, i64)| Lease {
        name,
        holder,
        fencing_epoch: epoch.unsigned_abs(),
        expires_at: Timestamp(expires_at),
        database_now: Timestamp(now),
    };
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| lease((row.name, row.fencing_epoch, row.expires_at, row.now)))
        .collect())
}

/// As [`renew`], of many leases of one holder at once: those that are still held.
///
/// # Errors
/// Those of the connection.
pub async fn renew_all(
    executor: impl PgExecutor<'_>,
    leases: &[Lease],
    time_to_live: Duration,
) -> Result<Vec<Lease>, sqlx::Error> {
    let names: Vec<String> = leases.iter().map(|lease| lease.name.clone()).collect();
    let holders: Vec<Uuid> = leases.iter().map(|lease| lease.holder).collect();
    let epochs: Vec<i64> = leases
        .iter()
        .map(|lease| lease.fencing_epoch.cast_signed())
        .collect();
    // Locked in the order of their names, as by `acquire_all`: two nodes never wait for each other.
    let rows = sqlx::query!(
        r#"WITH mine AS (
               SELECT held.name FROM leases AS held
               JOIN unnest($1::text[], $2::uuid[], $3::bigint[]) AS m (name, holder, fencing_epoch)
                 ON held.name = m.name AND held.holder = m.holder AND held.fencing_epoch = m.fencing_epoch
               ORDER BY held.name FOR UPDATE OF held)
           UPDATE leases SET expires_at = clock_timestamp() + $4::float8 * interval '1 second'
           FROM mine WHERE leases.name = mine.name
           RETURNING leases.name, micros(expires_at) AS "expires_at!", micros(clock_timestamp()) AS "now!""#,
        &names,
        &holders,
        &epochs,
        time_to_live.as_secs_f64(),
    )
    .fetch_all(executor)
    .await?;
    let renewed = rows.into_iter().filter_map(|row| {
        let lease = leases.iter().find(|lease| lease.name == row.name)?;
        Some(Lease {
            expires_at: Timestamp(row.expires_at),
            database_now: Timestamp(row.now),
            ..lease.clone()
        })
    });
    Ok(renewed.collect())
}

/// Holders of the leases whose names begin so, as far as they have not expired.
///
/// # Errors
/// Those of the connection.
pub async fn holders(
    executor: impl PgExecutor<'_>,
    prefix: &str,
) -> Result<Vec<(String, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT name, holder FROM leases WHERE starts_with(name, $1) AND expires_at > clock_timestamp()",
        prefix,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.holder)).collect())
}
