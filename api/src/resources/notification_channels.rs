//! Channels of notifications: where operators are told.
//!
//! Secrets go in and never come out: they part from the settings before anything is stored, are sealed as credentials of devices are,
//! and a channel tells only which ones it has. A PATCH names what it changes alone, so it is laid over the settings with their secrets,
//! which are opened for that, and sealed anew.

use std::time::SystemTime;

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mast_notify::channel::{Email, Http, Settings, Slack, Webhook};
use mast_notify::notice::Message;
use mast_notify::{Attempt, Secrets};
use mast_schemas::notifications::{AttemptOutcome, ChannelKind};
use mast_secrets::SecretsError;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check::{Checks, refused};
use super::crud;
use crate::http::access::{Access, Admin, Operator, Viewer, Writes};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query, object};
use crate::http::idempotency::{Begun, IdempotencyKey};
use crate::http::problem::{FieldError, Kind as ProblemKind, Problem};
use crate::http::reply::{self, Versioned};
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// So many a tenant may have.
const MOST: i64 = 200;

/// Where operators are told.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationChannel {
    id: Uuid,
    name: String,
    /// `email`, `webhook`, `slack` or `http`.
    kind: String,
    enabled: bool,
    /// When more than so many would be sent within a minute, the rest are told in one message; null: never.
    digest_over: Option<i32>,
    /// Where it leads, in short.
    target: String,
    email: Option<Email>,
    webhook: Option<Webhook>,
    slack: Option<Slack>,
    http: Option<Http>,
    /// Which secrets are stored. They are never shown.
    secret_names: Vec<String>,
    /// Rises with each change.
    version: i64,
}

impl Versioned for NotificationChannel {
    fn version(&self) -> i64 {
        self.version
    }
}

impl FromRow<'_, PgRow> for NotificationChannel {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let Json(Settings {
            email,
            webhook,
            slack,
            http,
        }) = row.try_get("settings")?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            kind: row.try_get("kind")?,
            enabled: row.try_get("enabled")?,
            digest_over: row.try_get("digest_over")?,
            target: row.try_get("target")?,
            email,
            webhook,
            slack,
            http,
            secret_names: row.try_get("secret_names")?,
            version: row.try_get("version")?,
        })
    }
}

/// What people decide of a channel: the object of its kind, and none of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotificationChannelInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `email`, `webhook`, `slack` or `http`.
    #[schema(schema_with = kinds)]
    kind: ChannelKind,
    #[serde(default = "yes")]
    enabled: bool,
    /// When more than so many would be sent within a minute, the rest are told in one message; null: never.
    #[serde(default = "five")]
    #[schema(minimum = 1, maximum = 100)]
    digest_over: Option<i32>,
    #[serde(default, deserialize_with = "object")]
    email: Option<Email>,
    #[serde(default, deserialize_with = "object")]
    webhook: Option<Webhook>,
    #[serde(default, deserialize_with = "object")]
    slack: Option<Slack>,
    #[serde(default, deserialize_with = "object")]
    http: Option<Http>,
}

const fn yes() -> bool {
    true
}

const fn five() -> Option<i32> {
    Some(5)
}

fn kinds() -> utoipa::openapi::Object {
    use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(ChannelKind::ALL.iter().map(|word| word.as_str())))
        .build()
}

impl NotificationChannelInput {
    /// What a row says, with its secrets.
    fn of(row: &NotificationChannel, secrets: Secrets) -> Self {
        let settings = Settings {
            email: row.email.clone(),
            webhook: row.webhook.clone(),
            slack: row.slack.clone(),
            http: row.http.clone(),
        };
        Self {
            name: row.name.clone(),
            kind: row.kind.parse().unwrap_or(ChannelKind::Http),
            enabled: row.enabled,
            digest_over: row.digest_over,
            ..Self::from(settings.with(secrets))
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            email: self.email.clone(),
            webhook: self.webhook.clone(),
            slack: self.slack.clone(),
            http: self.http.clone(),
        }
    }

    fn check<W: Writes>(&self, who: &Access<W>) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        let within = self
            .digest_over
            .is_none_or(|over| (1..=100).contains(&over));
        checks.must(within, "/digest_over", "must be null or 1 to 100");
        for (pointer, what) in self.settings().faults(self.kind, who.sender().guard()) {
            checks.must(false, &pointer, what);
        }
        checks.done()
    }

    /// What tells whether the same is asked again: nothing that is secret.
    fn public(&self) -> Self {
        Self {
            name: self.name.clone(),
            kind: self.kind,
            enabled: self.enabled,
            digest_over: self.digest_over,
            ..Self::from(self.settings().public())
        }
    }
}

impl From<Settings> for NotificationChannelInput {
    fn from(settings: Settings) -> Self {
        let Settings {
            email,
            webhook,
            slack,
            http,
        } = settings;
        Self {
            name: String::new(),
            kind: ChannelKind::Http,
            enabled: true,
            digest_over: None,
            email,
            webhook,
            slack,
            http,
        }
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/notification-channels",
    select: "c.id, c.name, c.kind, c.enabled, c.digest_over, c.target, c.settings, c.secret_names, c.version",
    from: "notification_channels c WHERE c.tenant_id = $1",
    columns: &[
        Column::new("id", "c.id", Kind::Id),
        Column::new("name", "c.name", Kind::Text),
        Column::new("kind", "c.kind", Kind::Text),
        Column::new("enabled", "c.enabled", Kind::Bool).unsorted(),
    ],
    key: &["id"],
    sort: "name",
};

/// Channels of notifications, without their secrets.
#[utoipa::path(get, path = "/api/v1/notification-channels", tag = "notifications", params(ListQuery), responses((status = 200, body = Page<NotificationChannel>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<NotificationChannel>(&who, &LISTING, query, &headers).await
}

/// A channel of notifications, without its secrets.
#[utoipa::path(get, path = "/api/v1/notification-channels/{id}", tag = "notifications", params(("id" = Uuid, Path)), responses((status = 200, body = NotificationChannel)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let channel: NotificationChannel = LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    reply::thing(&headers, &channel)
}

/// Makes a channel. Routes lead to it by their `channel_ids`; try it by `…/test`.
#[utoipa::path(post, path = "/api/v1/notification-channels", tag = "notifications", request_body = NotificationChannelInput, responses((status = 201, body = NotificationChannel)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<NotificationChannelInput>,
) -> Result<Response, Problem> {
    input.check(&who)?;
    let mut once = match key.begin(&who, &input.public()).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(answer),
    };
    let (tenant, id) = (who.tenant().0, Uuid::now_v7());
    let (settings, secrets) = (input.settings(), input.settings().secrets());
    sqlx::query!(
        "INSERT INTO notification_channels (tenant_id, id, name, kind, enabled, digest_over, target, settings, secret_names)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        id,
        input.name,
        input.kind.as_str(),
        input.enabled,
        input.digest_over,
        settings.target(),
        Json(settings.public()) as _,
        &secrets.names(),
    )
    .execute(&mut *once.tx)
    .await
    .map_err(|e| refused(e, &[]))?;
    store(&mut once.tx, &who, id, &secrets).await?;
    crud::not_too_many(&mut once.tx, &LISTING, tenant, MOST).await?;
    let channel: NotificationChannel = LISTING.by_id(&mut once.tx, tenant, id).await?;
    let answer = reply::created(&format!("{}/{id}", LISTING.path), &channel)?;
    once.done(answer).await
}

/// Changes a channel. Secrets that are not named stay; another kind needs its own.
#[utoipa::path(patch, path = "/api/v1/notification-channels/{id}", tag = "notifications", params(("id" = Uuid, Path)),
    request_body(content = NotificationChannelInput, content_type = "application/merge-patch+json"), responses((status = 200, body = NotificationChannel)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    let tenant = who.tenant().0;
    let mut tx = who.write().await?;
    let channel: NotificationChannel = LISTING.by_id(&mut tx, tenant, id).await?;
    if_match.check(channel.version)?;
    // Secrets that do not open any more are missed by the check below, each at its place.
    let before = NotificationChannelInput::of(
        &channel,
        opened(&mut tx, &who, id).await?.unwrap_or_default(),
    );
    let input = patch.apply(&before)?;
    input.check(&who)?;
    if input == before {
        return reply::written(&channel);
    }
    // Whoever may change a channel must not learn by that what others stored.
    let strays = input.settings().strays(&before.settings());
    if !strays.is_empty() {
        let anew = "the channel leads to another server now: name this anew as well";
        let strays = strays
            .iter()
            .map(|pointer| FieldError::new(pointer.as_str(), anew));
        return Err(Problem::invalid(strays.collect()));
    }
    let (settings, secrets) = (input.settings(), input.settings().secrets());
    sqlx::query!(
        "UPDATE notification_channels
         SET name = $3, kind = $4, enabled = $5, digest_over = $6, target = $7, settings = $8, secret_names = $9
         WHERE tenant_id = $1 AND id = $2",
        tenant,
        id,
        input.name,
        input.kind.as_str(),
        input.enabled,
        input.digest_over,
        settings.target(),
        Json(settings.public()) as _,
        &secrets.names(),
    )
    .execute(&mut *tx)
    .await
    .map_err(|e| refused(e, &[]))?;
    store(&mut tx, &who, id, &secrets).await?;
    let channel: NotificationChannel = LISTING.by_id(&mut tx, tenant, id).await?;
    tx.commit().await?;
    reply::written(&channel)
}

/// Deletes a channel and takes it off its routes. What waits for it is told by nobody.
#[utoipa::path(delete, path = "/api/v1/notification-channels/{id}", tag = "notifications", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Admin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let tenant = who.tenant().0;
    let mut tx = who.write().await?;
    let channel: NotificationChannel = LISTING.by_id(&mut tx, tenant, id).await?;
    if_match.check(channel.version)?;
    sqlx::query!(
        "DELETE FROM notification_channels WHERE tenant_id = $1 AND id = $2",
        tenant,
        id
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationTest {
    /// Status of HTTP, or reply code of SMTP.
    status: Option<u16>,
    /// What was answered.
    reply: String,
    duration_ms: u64,
}

/// Sends a test message at once, also by a channel that is switched off, and says what came of it.
#[utoipa::path(post, path = "/api/v1/notification-channels/{id}/test", tag = "notifications", params(("id" = Uuid, Path)), responses((status = 200, body = NotificationTest)))]
pub(crate) async fn test(who: Operator, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let _turn = who.app().test_turn()?;
    let mut tx = who.read().await?;
    let channel: NotificationChannel = LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    let secrets = opened(&mut tx, &who, id).await?;
    drop(tx);
    let Some(secrets) = secrets else {
        return Err(Problem::new(
            ProblemKind::NotificationFailed,
            "the stored secrets do not open with this installation's key: enter them again",
        ));
    };
    let settings = NotificationChannelInput::of(&channel, secrets).settings();
    let message = Message::test(Uuid::now_v7(), SystemTime::now());
    let Attempt {
        outcome,
        status,
        reply,
        took,
        ..
    } = who.sender().send(&settings, &message).await;
    if outcome != AttemptOutcome::Delivered {
        let status = status.map_or_else(String::new, |status| format!("{status} "));
        let detail = format!("{status}{reply}");
        return Err(Problem::new(
            ProblemKind::NotificationFailed,
            detail.trim_end(),
        ));
    }
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    reply::done(&NotificationTest {
        status,
        reply,
        duration_ms,
    })
}

/// The secrets of a channel; null: they do not open any more.
async fn opened<W: Writes>(
    tx: &mut PgConnection,
    who: &Access<W>,
    id: Uuid,
) -> Result<Option<Secrets>, Problem> {
    let sealed = sqlx::query_scalar!(
        "SELECT ciphertext FROM notification_channel_secrets WHERE tenant_id = $1 AND channel_id = $2",
        who.tenant().0,
        id,
    )
    .fetch_optional(tx)
    .await?;
    let Some(sealed) = sealed else {
        return Ok(Some(Secrets::default()));
    };
    match Secrets::open(&**who.keys(), who.tenant(), &sealed) {
        Ok(secrets) => Ok(Some(secrets)),
        Err(SecretsError::Unreadable | SecretsError::Form { .. } | SecretsError::Credentials) => {
            Ok(None)
        }
        Err(error) => Err(Problem::internal(&error)),
    }
}

async fn store<W: Writes>(
    tx: &mut PgConnection,
    who: &Access<W>,
    id: Uuid,
    secrets: &Secrets,
) -> Result<(), Problem> {
    let sealed = secrets
        .seal(&**who.keys(), who.tenant())
        .map_err(|e| Problem::internal(&e))?;
    sqlx::query!(
        "INSERT INTO notification_channel_secrets (tenant_id, channel_id, ciphertext) VALUES ($1, $2, $3)
         ON CONFLICT (channel_id) DO UPDATE SET ciphertext = excluded.ciphertext",
        who.tenant().0,
        id,
        sealed,
    )
    .execute(tx)
    .await?;
    Ok(())
}
