//! What parts say of themselves, kept in Postgres so that whoever asks sees all of them, wherever they run.
//!
//! Times are Postgres's: a part whose clock is off must not look alive, or dead, because of it.

use mast_schemas::health::{Health, State};
use mast_schemas::{SchemaError, Timestamp};
use serde_json::Value;
use sqlx::PgExecutor;

/// What a part last said.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// How it was.
    pub health: Health,
    /// Since when.
    pub since: Timestamp,
    /// When it said so.
    pub seen_at: Timestamp,
    /// How long ago that is, milliseconds.
    pub age_ms: i64,
}

/// Notes how a part is. A role may speak for its own parts only.
///
/// # Errors
/// Those of the connection.
pub async fn report(executor: impl PgExecutor<'_>, health: &Health) -> Result<(), sqlx::Error> {
    let numbers = serde_json::to_value(&health.numbers).unwrap_or(Value::Null);
    sqlx::query!(
        "INSERT INTO part_reports AS p (part, name, state, reason, remedy, numbers, since, seen_at)
         SELECT $1, $2, $3, $4, $5, $6::jsonb, at, at FROM clock_timestamp() AS at
         ON CONFLICT (part, name) DO UPDATE SET
             state = excluded.state, reason = excluded.reason, remedy = excluded.remedy, numbers = excluded.numbers,
             since = CASE WHEN p.state = excluded.state THEN p.since ELSE excluded.since END,
             seen_at = excluded.seen_at",
        health.part.as_str(),
        health.name,
        health.state.as_str(),
        health.reason,
        health.remedy,
        numbers,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets parts of the own kinds that have said nothing for a week.
///
/// # Errors
/// Those of the connection.
pub async fn forget(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM part_reports WHERE seen_at < clock_timestamp() - interval '7 days'")
        .execute(executor)
        .await?;
    Ok(())
}

/// What all parts last said. As the role of the API.
///
/// # Errors
/// Those of the connection.
pub async fn said(executor: impl PgExecutor<'_>) -> Result<Vec<Said>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT part AS "part!", name AS "name!", state AS "state!", reason AS "reason!", remedy AS "remedy!",
                  numbers AS "numbers!", micros(since) AS "since!", micros(seen_at) AS "seen_at!",
                  (extract(epoch FROM clock_timestamp() - seen_at) * 1000)::bigint AS "age_ms!"
           FROM parts ORDER BY part, name"#
    )
    .fetch_all(executor)
    .await?;
    let word = |e: SchemaError| sqlx::Error::Decode(Box::new(e));
    rows.into_iter()
        .map(|row| {
            let health = Health {
                part: row.part.parse().map_err(word)?,
                name: row.name,
                state: row.state.parse::<State>().map_err(word)?,
                reason: row.reason,
                remedy: row.remedy,
                numbers: serde_json::from_value(row.numbers).unwrap_or_default(),
            };
            Ok(Said {
                health,
                since: Timestamp(row.since),
                seen_at: Timestamp(row.seen_at),
                age_ms: row.age_ms,
            })
        })
        .collect()
}
