//! What became of notifications: a log, and another chance for what was given up.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::crud;
use crate::http::access::{Operator, Viewer};
use crate::http::extract::{Path, Query};
use crate::http::idempotency::{Begun, IdempotencyKey};
use crate::http::problem::{Kind as ProblemKind, Problem};
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// What one channel is told of one occasion.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct NotificationDelivery {
    id: Uuid,
    channel_id: Uuid,
    /// Name of the channel; null: it was deleted.
    channel: Option<String>,
    incident_id: Uuid,
    /// `opened`, `escalated` or `resolved`.
    kind: String,
    /// `info`, `warning` or `critical`.
    severity: String,
    happened_at: Time,
    site_id: Option<Uuid>,
    /// What is told, in a line.
    title: Option<String>,
    /// `pending`, `sending`, `delivered` or `dead`.
    state: String,
    /// Attempts since it was queued.
    attempts: i32,
    /// When it is tried next, or was due.
    next_attempt_at: Time,
    /// The message that tells it together with others.
    digest_id: Option<Uuid>,
    /// Why it was not told yet, or was given up.
    reason: Option<String>,
    created_at: Time,
    /// When it was delivered or given up.
    ended_at: Option<Time>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct NotificationAttempt {
    /// Number of the attempt since it was queued.
    attempt: i32,
    /// Whether it repeated one whose end nobody knows.
    repeated: bool,
    began_at: Time,
    duration_ms: i32,
    /// `delivered`, `failed`, `refused` or `unknown`.
    outcome: String,
    /// Status of HTTP, or reply code of SMTP.
    status: Option<i32>,
    /// What was answered, or why nothing was.
    reply: String,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationDeliveryLog {
    #[serde(flatten)]
    delivery: NotificationDelivery,
    /// Oldest first; kept for 30 days.
    log: Vec<NotificationAttempt>,
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/notification-deliveries",
    select: "d.id, d.channel_id, c.name AS channel, d.incident_id, d.kind, d.severity, micros(d.happened_at) AS happened_at,
 r.site_id, r.content ->> 'title' AS title, d.state, d.attempts, micros(d.next_attempt_at) AS next_attempt_at, d.digest_id,
 d.reason, micros(d.created_at) AS created_at, micros(d.ended_at) AS ended_at",
    from: "notification_deliveries d
 LEFT JOIN notification_requests r ON r.tenant_id = d.tenant_id AND r.id = d.request_id
 LEFT JOIN notification_channels c ON c.tenant_id = d.tenant_id AND c.id = d.channel_id
 WHERE d.tenant_id = $1",
    columns: &[
        Column::new("id", "d.id", Kind::Id),
        Column::new("created_at", "d.created_at", Kind::Time),
        Column::new("happened_at", "d.happened_at", Kind::Time),
        Column::new("channel_id", "d.channel_id", Kind::Id).unsorted(),
        Column::new("incident_id", "d.incident_id", Kind::Id).unsorted(),
        Column::new("site_id", "r.site_id", Kind::Id).or_null().unsorted(),
        Column::new("kind", "d.kind", Kind::Text).unsorted(),
        Column::new("severity", "d.severity", Kind::Text).unsorted(),
        Column::new("state", "d.state", Kind::Text).unsorted(),
        Column::new("attempts", "d.attempts", Kind::Int).unsorted(),
    ],
    key: &["id"],
    sort: "-created_at",
};

/// Deliveries, the newest first.
#[utoipa::path(get, path = "/api/v1/notification-deliveries", tag = "notifications", params(ListQuery), responses((status = 200, body = Page<NotificationDelivery>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<NotificationDelivery>(&who, &LISTING, query, &headers).await
}

/// A delivery with its attempts.
#[utoipa::path(get, path = "/api/v1/notification-deliveries/{id}", tag = "notifications", params(("id" = Uuid, Path)), responses((status = 200, body = NotificationDeliveryLog)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let log = with_log(&mut tx, who.tenant().0, id).await?;
    reply::list(&headers, &log)
}

async fn with_log(
    tx: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<NotificationDeliveryLog, Problem> {
    let delivery: NotificationDelivery = LISTING.by_id(tx, tenant, id).await?;
    let log = sqlx::query_as!(
        NotificationAttempt,
        r#"SELECT attempt, repeated, micros(began_at) AS "began_at!: Time", duration_ms, outcome, status, reply
           FROM notification_attempts WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY id"#,
        tenant,
        id,
    )
    .fetch_all(tx)
    .await?;
    Ok(NotificationDeliveryLog { delivery, log })
}

/// Queues a delivery that was given up once more, as new: it is told with the same id, so its receiver can know it.
#[utoipa::path(post, path = "/api/v1/notification-deliveries/{id}/retry", tag = "notifications", params(("id" = Uuid, Path)), responses((status = 200, body = NotificationDeliveryLog)))]
pub(crate) async fn retry(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
) -> Result<Response, Problem> {
    let mut once = match key.begin(&who, &()).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(answer),
    };
    let tenant = who.tenant().0;
    let queued = sqlx::query!(
        "UPDATE notification_deliveries
         SET state = 'pending', attempts = 0, queued_at = clock_timestamp(), next_attempt_at = clock_timestamp(), digest_id = NULL,
             repeated = false, reason = NULL, ended_at = NULL
         WHERE tenant_id = $1 AND id = $2 AND state = 'dead'
             AND EXISTS (SELECT FROM notification_channels c WHERE c.tenant_id = $1 AND c.id = channel_id)",
        tenant,
        id,
    )
    .execute(&mut *once.tx)
    .await?;
    let log = with_log(&mut once.tx, tenant, id).await?;
    if queued.rows_affected() == 0 {
        let why = match log.delivery.channel {
            Some(_) => "only what is dead can be queued again",
            None => "its channel was deleted",
        };
        return Err(Problem::new(ProblemKind::Conflict, why));
    }
    let answer = reply::done(&log)?;
    once.done(answer).await
}
