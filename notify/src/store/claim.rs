//! What is sent next, and by whom: a claim that is committed before anything is sent.
//!
//! Nobody can send and note it at one moment. A process that dies in between leaves a claim, and when the claim has passed, nobody knows
//! whether the message went out: it is sent once more, marked as a repetition. If that claim is lost too, the delivery is
//! given up and a person decides. Who claims has the channel's row, so two processes never plan for one channel at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mast_schemas::notifications::{NotificationContent, Occasion, Severity};
use mast_schemas::{TenantId, Timestamp};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::route::word;
use super::seconds;
use crate::channel::Settings;
use crate::notice::{Message, Notice};
use crate::plan::{Due, Unit, WINDOW, plan};

/// Deliveries of a channel that are looked at in one go.
const LOOK: i64 = 200;
/// A channel that is switched off is looked at this often.
const OFF: f64 = 30.0;

/// What may be claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Messages of the tenant.
    pub(crate) tenant: usize,
    /// Messages that one channel may have under way, of all processes.
    pub(crate) channel: usize,
    /// How long a claim lasts.
    pub(crate) claim: Duration,
    /// What waits for longer than this is given up.
    pub(crate) age: Duration,
}

/// A message that is this process's to send.
pub(crate) struct Claimed {
    pub(crate) tenant: TenantId,
    pub(crate) claim: Uuid,
    /// From before the claim was made.
    pub(crate) since: Instant,
    pub(crate) kind: String,
    pub(crate) settings: Settings,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) message: Message,
    /// Number of this attempt, since it was queued.
    pub(crate) attempt: u32,
    /// Time since the oldest of it was queued.
    pub(crate) age: Duration,
}

struct Channel {
    id: Uuid,
    kind: String,
    digest_over: Option<usize>,
    settings: Settings,
    sealed: Option<Vec<u8>>,
}

struct Row {
    id: Uuid,
    incident: Uuid,
    occasion: Occasion,
    severity: Severity,
    happened_at: Timestamp,
    content: serde_json::Value,
    attempts: u32,
    digest: Option<Uuid>,
    lost: bool,
    waited: Duration,
    age: Duration,
}

/// Claims what can be sent of a tenant now.
pub(crate) async fn claim(
    pool: &PgPool,
    tenant: TenantId,
    room: Room,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let since = Instant::now();
    let mut tx = mast_postgres::tenant_tx(pool, tenant).await?;
    give_up(&mut tx, tenant, room.age).await?;
    postpone(&mut tx, tenant).await?;
    let mut claimed = Vec::new();
    for channel in channels(&mut tx, tenant).await? {
        let left = room.tenant - claimed.len();
        if left == 0 {
            break;
        }
        let (under_way, recent) = traffic(&mut tx, tenant, channel.id).await?;
        let left = left.min(room.channel.saturating_sub(under_way));
        let rows = rows(&mut tx, tenant, channel.id).await?;
        let due: Vec<Due> = rows.iter().map(Row::due).collect();
        let mut rows: HashMap<Uuid, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
        let over = channel
            .digest_over
            .filter(|_| channel.settings.can_digest());
        for unit in plan(&due, recent, over, left) {
            let of: Vec<Row> = unit
                .deliveries
                .iter()
                .filter_map(|id| rows.remove(id))
                .collect();
            claimed.extend(take(&mut tx, tenant, &channel, &unit, of, since, room.claim).await?);
        }
    }
    tx.commit().await?;
    Ok(claimed)
}

impl Row {
    const fn due(&self) -> Due {
        Due {
            id: self.id,
            digest: self.digest,
            lost: self.lost,
            waited: self.waited,
        }
    }
}

/// Ends what is too old, and what was lost twice.
async fn give_up(
    tx: &mut PgConnection,
    tenant: TenantId,
    age: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH lost AS (
             UPDATE notification_deliveries
             SET state = 'dead', claim = NULL, claimed_until = NULL, ended_at = clock_timestamp(),
                 reason = 'the process that sent it died, and so did the one that repeated it: nobody knows whether it arrived'
             WHERE tenant_id = $1 AND state = 'sending' AND repeated AND claimed_until <= clock_timestamp()
             RETURNING id, digest_id, attempts, began_at)
         INSERT INTO notification_attempts
             (tenant_id, delivery_id, message_id, attempt, repeated, began_at, duration_ms, outcome, reply)
         SELECT $1, id, coalesce(digest_id, id), attempts, true, coalesce(began_at, clock_timestamp()), 0, 'unknown',
             'the process died before it knew'
         FROM lost",
        tenant.0,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE notification_deliveries
         SET state = 'dead', ended_at = clock_timestamp(), reason = coalesce(reason || '; ', '') || 'it waited for too long'
         WHERE tenant_id = $1 AND state = 'pending' AND queued_at < clock_timestamp() - $2::float8 * interval '1 second'",
        tenant.0,
        seconds(age),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What waits for a channel that is switched off is looked at again later.
async fn postpone(tx: &mut PgConnection, tenant: TenantId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE notification_deliveries d SET next_attempt_at = clock_timestamp() + $2::float8 * interval '1 second'
         FROM notification_channels c
         WHERE d.tenant_id = $1 AND d.state = 'pending' AND d.next_attempt_at <= clock_timestamp()
             AND c.tenant_id = $1 AND c.id = d.channel_id AND NOT c.enabled",
        tenant.0,
        OFF,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Channels for which something can be sent, each held until this transaction ends; those that another process holds are its own.
async fn channels(tx: &mut PgConnection, tenant: TenantId) -> Result<Vec<Channel>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT c.id, c.kind, c.digest_over, c.settings AS "settings: Json<Settings>",
               (SELECT ciphertext FROM notification_channel_secrets s WHERE s.tenant_id = $1 AND s.channel_id = c.id)
           FROM notification_channels c
           WHERE c.tenant_id = $1 AND c.enabled AND EXISTS (
               SELECT FROM notification_deliveries d
               WHERE d.tenant_id = $1 AND d.channel_id = c.id
                   AND ((d.state = 'pending' AND d.next_attempt_at <= clock_timestamp())
                       OR (d.state = 'sending' AND d.claimed_until <= clock_timestamp())))
           ORDER BY c.id FOR NO KEY UPDATE OF c SKIP LOCKED"#,
        tenant.0,
    )
    .fetch_all(tx)
    .await?;
    let channels = rows.into_iter().map(|row| Channel {
        id: row.id,
        kind: row.kind,
        digest_over: row.digest_over.and_then(|over| usize::try_from(over).ok()),
        settings: row.settings.0,
        sealed: row.ciphertext,
    });
    Ok(channels.collect())
}

/// Messages of a channel that are under way, and that began in the last minute.
async fn traffic(
    tx: &mut PgConnection,
    tenant: TenantId,
    channel: Uuid,
) -> Result<(usize, usize), sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT count(DISTINCT coalesce(digest_id, id))
                   FILTER (WHERE state = 'sending' AND claimed_until > clock_timestamp()) AS "under_way!",
               count(DISTINCT coalesce(digest_id, id))
                   FILTER (WHERE began_at > clock_timestamp() - $3::float8 * interval '1 second') AS "recent!"
           FROM notification_deliveries
           WHERE tenant_id = $1 AND channel_id = $2
               AND (state = 'sending' OR began_at > clock_timestamp() - $3::float8 * interval '1 second')"#,
        tenant.0,
        channel,
        seconds(WINDOW),
    )
    .fetch_one(tx)
    .await?;
    let count = |n: i64| usize::try_from(n).unwrap_or(0);
    Ok((count(row.under_way), count(row.recent)))
}

/// Deliveries of a channel that can be sent: due, or lost. What is told of one incident stays in its order.
async fn rows(
    tx: &mut PgConnection,
    tenant: TenantId,
    channel: Uuid,
) -> Result<Vec<Row>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT d.id, d.incident_id, d.kind, d.severity, micros(d.happened_at) AS "happened_at!", r.content,
               d.attempts, d.digest_id, d.state = 'sending' AS "lost!",
               extract(epoch FROM clock_timestamp() - d.next_attempt_at)::float8 AS "waited_s!",
               extract(epoch FROM clock_timestamp() - d.queued_at)::float8 AS "age_s!"
           FROM notification_deliveries d
           JOIN notification_requests r ON r.tenant_id = d.tenant_id AND r.id = d.request_id
           WHERE d.tenant_id = $1 AND d.channel_id = $2
               AND ((d.state = 'pending' AND d.next_attempt_at <= clock_timestamp()
                       AND NOT EXISTS (
                           SELECT FROM notification_deliveries e
                           WHERE e.tenant_id = $1 AND e.channel_id = $2 AND e.incident_id = d.incident_id
                               AND e.state IN ('pending', 'sending') AND e.happened_at < d.happened_at))
                   OR (d.state = 'sending' AND d.claimed_until <= clock_timestamp()))
           ORDER BY d.happened_at, d.id LIMIT $3"#,
        tenant.0,
        channel,
        LOOK,
    )
    .fetch_all(tx)
    .await?;
    let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let read = rows.into_iter().map(|row| {
        Ok(Row {
            id: row.id,
            incident: row.incident_id,
            occasion: row.kind.parse().map_err(word)?,
            severity: row.severity.parse().map_err(word)?,
            happened_at: Timestamp(row.happened_at),
            content: row.content,
            attempts: row.attempts.unsigned_abs(),
            digest: row.digest_id,
            lost: row.lost,
            waited: duration(row.waited_s),
            age: duration(row.age_s),
        })
    });
    read.collect()
}

/// Claims one message. None where nothing of it can be read: that is given up.
async fn take(
    tx: &mut PgConnection,
    tenant: TenantId,
    channel: &Channel,
    unit: &Unit,
    rows: Vec<Row>,
    since: Instant,
    lasts: Duration,
) -> Result<Option<Claimed>, sqlx::Error> {
    let attempt =
        rows.iter().map(|row| row.attempts).max().unwrap_or(0) + u32::from(!unit.repeated);
    let age = rows.iter().map(|row| row.age).max().unwrap_or_default();
    let (mut notices, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        match serde_json::from_value::<NotificationContent>(row.content) {
            Ok(content) => notices.push(Notice::new(
                row.id,
                row.incident,
                (row.occasion, row.severity),
                row.happened_at,
                content,
            )),
            Err(error) => {
                tracing::error!(%error, delivery = %row.id, "the content of a notification can't be read");
                unreadable.push(row.id);
            }
        }
    }
    if !unreadable.is_empty() {
        sqlx::query!(
            "UPDATE notification_deliveries
             SET state = 'dead', claim = NULL, claimed_until = NULL, ended_at = clock_timestamp(), reason = 'its content can''t be read'
             WHERE tenant_id = $1 AND id = ANY ($2)",
            tenant.0,
            &unreadable,
        )
        .execute(&mut *tx)
        .await?;
    }
    let Some(first) = notices.first().map(|notice| notice.id) else {
        return Ok(None);
    };
    let ids: Vec<Uuid> = notices.iter().map(|notice| notice.id).collect();
    let claim = Uuid::now_v7();
    if unit.repeated {
        note_lost(tx, tenant, &ids).await?;
    }
    sqlx::query!(
        "UPDATE notification_deliveries
         SET state = 'sending', claim = $3, claimed_until = clock_timestamp() + $4::float8 * interval '1 second',
             began_at = clock_timestamp(), attempts = $5, repeated = $6, digest_id = $7
         WHERE tenant_id = $1 AND id = ANY ($2)",
        tenant.0,
        &ids,
        claim,
        seconds(lasts),
        attempt.cast_signed(),
        unit.repeated,
        unit.digest,
    )
    .execute(tx)
    .await?;
    Ok(Some(Claimed {
        tenant,
        claim,
        since,
        kind: channel.kind.clone(),
        settings: channel.settings.clone(),
        sealed: channel.sealed.clone(),
        message: Message {
            id: unit.digest.unwrap_or(first),
            repeated: unit.repeated,
            test: false,
            notices,
        },
        attempt,
        age,
    }))
}

/// The attempt that is repeated ended in a way that nobody knows.
async fn note_lost(
    tx: &mut PgConnection,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO notification_attempts
             (tenant_id, delivery_id, message_id, attempt, repeated, began_at, duration_ms, outcome, reply)
         SELECT tenant_id, id, coalesce(digest_id, id), attempts, false, coalesce(began_at, clock_timestamp()), 0, 'unknown',
             'the process died before it knew'
         FROM notification_deliveries WHERE tenant_id = $1 AND id = ANY ($2)",
        tenant.0,
        ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}
