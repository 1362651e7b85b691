//! What came of a message, noted for each delivery that it told.

use std::time::Duration;

use mast_schemas::TenantId;
use mast_schemas::notifications::AttemptOutcome;
use sqlx::PgPool;
use uuid::Uuid;

use super::seconds;
use crate::outcome::Attempt;

/// What follows on an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing: it was told.
    Told,
    /// Another attempt, after this.
    Again(Duration),
    /// Nothing: it is given up.
    Dead,
}

impl Ended {
    const fn state(self) -> &'static str {
        match self {
            Self::Told => "delivered",
            Self::Again(_) => "pending",
            Self::Dead => "dead",
        }
    }
}

/// Notes what came of a message. How many deliveries it told; none where the claim had passed and another process has it.
pub(crate) async fn record(
    pool: &PgPool,
    tenant: TenantId,
    claim: Uuid,
    attempt: &Attempt,
    ended: Ended,
) -> Result<u64, sqlx::Error> {
    let pause = match ended {
        Ended::Again(pause) => Some(seconds(pause)),
        Ended::Told | Ended::Dead => None,
    };
    let failed = attempt.outcome != AttemptOutcome::Delivered;
    let mut tx = mast_postgres::tenant_tx(pool, tenant).await?;
    let noted = sqlx::query!(
        "WITH ended AS (
             UPDATE notification_deliveries d
             SET state = $3, claim = NULL, claimed_until = NULL, repeated = false, reason = $4,
                 next_attempt_at = coalesce(clock_timestamp() + $5::float8 * interval '1 second', d.next_attempt_at),
                 ended_at = CASE WHEN $5::float8 IS NULL THEN clock_timestamp() END
             FROM notification_deliveries old
             WHERE d.tenant_id = $1 AND d.claim = $2 AND old.tenant_id = $1 AND old.id = d.id
             RETURNING d.id, d.digest_id, d.attempts, d.began_at, old.repeated)
         INSERT INTO notification_attempts
             (tenant_id, delivery_id, message_id, attempt, repeated, began_at, duration_ms, outcome, status, reply)
         SELECT $1, id, coalesce(digest_id, id), attempts, repeated, coalesce(began_at, clock_timestamp()), $6, $7, $8, $9
         FROM ended",
        tenant.0,
        claim,
        ended.state(),
        failed.then_some(attempt.reply.as_str()),
        pause,
        i32::try_from(attempt.took.as_millis()).unwrap_or(i32::MAX),
        attempt.outcome.as_str(),
        attempt.status.map(i32::from),
        attempt.reply,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(noted.rows_affected())
}
