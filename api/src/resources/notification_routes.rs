//! Routes of notifications: who is told of what, and when.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::notifications::{Occasion, Severity};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check::Checks;
use super::crud::{self, Resource};
use crate::hours::{Written, clock, day, minute, words};
use crate::http::access::{Operator, Viewer};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::Problem;
use crate::http::reply::Versioned;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// Who is told of what, and when.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationRoute {
    id: Uuid,
    name: String,
    enabled: bool,
    /// Severities from this on: `info`, `warning` or `critical`.
    least_severity: String,
    /// `opened`, `escalated`, `resolved`: of what it tells.
    kinds: Vec<String>,
    /// At which sites; null: everywhere. A site that was deleted stays named, and nothing is there any more.
    site_ids: Option<Vec<Uuid>>,
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; null: every day.
    days: Option<Vec<String>>,
    /// From when, such as `08:00`; null: all day.
    from: Option<String>,
    /// Until when, that minute left out; before `from`: over midnight.
    to: Option<String>,
    /// Whose clock.
    time_zone: String,
    /// Whether it tells only what no other route tells.
    fallback: bool,
    /// To whom.
    channel_ids: Vec<Uuid>,
    /// Rises with each change.
    version: i64,
}

impl Versioned for NotificationRoute {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What people decide of a route. A channel is told once of the same, however many routes lead to it. The end of an incident is told
/// where its begin was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotificationRouteInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    #[serde(default = "yes")]
    enabled: bool,
    /// Severities from this on: `info`, `warning` or `critical`.
    #[serde(default = "info")]
    least_severity: String,
    /// `opened`, `escalated`, `resolved`: of what it tells.
    #[serde(default = "all_kinds")]
    kinds: Vec<String>,
    /// At which sites; null or none: everywhere. A site that was deleted stays named, and nothing is there any more.
    #[serde(default)]
    site_ids: Option<Vec<Uuid>>,
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; null: every day. Hours over midnight are of the day on which they begin.
    #[serde(default)]
    days: Option<Vec<String>>,
    /// From when, such as `08:00`; null: all day.
    #[serde(default)]
    from: Option<String>,
    /// Until when, that minute left out; before `from`: over midnight.
    #[serde(default)]
    to: Option<String>,
    /// Whose clock, such as `Europe/Ljubljana`.
    #[serde(default = "utc")]
    time_zone: String,
    /// Whether it tells only what no other route tells.
    #[serde(default)]
    fallback: bool,
    /// To whom.
    channel_ids: Vec<Uuid>,
}

const fn yes() -> bool {
    true
}

fn info() -> String {
    Severity::Info.to_string()
}

fn all_kinds() -> Vec<String> {
    Occasion::ALL.iter().map(ToString::to_string).collect()
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Most sites and channels of a route.
const IDS_MAX: usize = 1_000;

fn is_once<T: Ord>(items: &[T]) -> bool {
    items.iter().collect::<BTreeSet<_>>().len() == items.len()
}

impl NotificationRouteInput {
    /// At which sites; no list says everywhere.
    fn sites(&self) -> Option<&[Uuid]> {
        self.site_ids.as_deref().filter(|sites| !sites.is_empty())
    }

    fn days(&self) -> Option<Vec<i16>> {
        let days = self.days.as_ref()?;
        Some(days.iter().filter_map(|word| day(word)).collect())
    }
}

impl From<&NotificationRoute> for NotificationRouteInput {
    fn from(row: &NotificationRoute) -> Self {
        Self {
            name: row.name.clone(),
            enabled: row.enabled,
            least_severity: row.least_severity.clone(),
            kinds: row.kinds.clone(),
            site_ids: row.site_ids.clone(),
            days: row.days.clone(),
            from: row.from.clone(),
            to: row.to.clone(),
            time_zone: row.time_zone.clone(),
            fallback: row.fallback,
            channel_ids: row.channel_ids.clone(),
        }
    }
}

impl FromRow<'_, PgRow> for NotificationRoute {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let days: Option<Vec<i16>> = row.try_get("days")?;
        let minute = |name| {
            let minute = row.try_get::<Option<i16>, _>(name);
            minute.map(|minute| minute.map(clock))
        };
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            enabled: row.try_get("enabled")?,
            least_severity: row.try_get("least_severity")?,
            kinds: row.try_get("kinds")?,
            site_ids: row.try_get("site_ids")?,
            days: days.as_deref().map(words),
            from: minute("from_minute")?,
            to: minute("to_minute")?,
            time_zone: row.try_get("time_zone")?,
            fallback: row.try_get("fallback")?,
            channel_ids: row.try_get("channel_ids")?,
            version: row.try_get("version")?,
        })
    }
}

impl Resource for NotificationRoute {
    type Input = NotificationRouteInput;
    const LISTING: &'static Listing = &LISTING;
    const MOST: Option<i64> = Some(200);
    const KEYS: &'static [(&'static str, &'static str)] =
        &[("channel_ids", "/channel_ids"), ("site_ids", "/site_ids")];

    fn check(input: &NotificationRouteInput) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &input.name);
        let known = input.least_severity.parse::<Severity>().is_ok();
        checks.must(
            known,
            "/least_severity",
            "must be info, warning or critical",
        );
        let known = input
            .kinds
            .iter()
            .all(|kind| kind.parse::<Occasion>().is_ok());
        let some = known && !input.kinds.is_empty() && is_once(&input.kinds);
        checks.must(
            some,
            "/kinds",
            "must be some of opened, escalated and resolved, each once",
        );
        let hours = Written {
            days: input.days.as_deref(),
            from: input.from.as_deref(),
            to: input.to.as_deref(),
            time_zone: &input.time_zone,
        };
        for (pointer, rule) in hours.faults(["/days", "/from", "/to", "/time_zone"]) {
            checks.must(false, pointer, rule);
        }
        let sites = input.site_ids.as_deref().unwrap_or_default();
        for (pointer, ids) in [
            ("/site_ids", sites),
            ("/channel_ids", input.channel_ids.as_slice()),
        ] {
            let few = ids.len() <= IDS_MAX && is_once(ids);
            checks.must(
                few,
                pointer,
                format!("must be at most {IDS_MAX}, each once"),
            );
        }
        checks.done()
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &NotificationRouteInput,
    ) -> Result<(), sqlx::Error> {
        let days = input.days();
        sqlx::query!(
            "INSERT INTO notification_routes (tenant_id, id, name, enabled, least_severity, kinds, site_ids, days, from_minute,
                 to_minute, time_zone, fallback, channel_ids)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            tenant,
            id,
            input.name,
            input.enabled,
            input.least_severity,
            &input.kinds,
            input.sites(),
            days.as_deref(),
            input.from.as_deref().and_then(minute),
            input.to.as_deref().and_then(minute),
            input.time_zone,
            input.fallback,
            &input.channel_ids,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &NotificationRouteInput,
    ) -> Result<(), sqlx::Error> {
        let days = input.days();
        sqlx::query!(
            "UPDATE notification_routes SET name = $3, enabled = $4, least_severity = $5, kinds = $6, site_ids = $7, days = $8,
                 from_minute = $9, to_minute = $10, time_zone = $11, fallback = $12, channel_ids = $13
             WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.name,
            input.enabled,
            input.least_severity,
            &input.kinds,
            input.sites(),
            days.as_deref(),
            input.from.as_deref().and_then(minute),
            input.to.as_deref().and_then(minute),
            input.time_zone,
            input.fallback,
            &input.channel_ids,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM notification_routes WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/notification-routes",
    select: "t.id, t.name, t.enabled, t.least_severity, t.kinds, t.site_ids, t.days, t.from_minute, t.to_minute, t.time_zone,
 t.fallback, t.channel_ids, t.version",
    from: "notification_routes t WHERE t.tenant_id = $1",
    columns: &[
        Column::new("id", "t.id", Kind::Id),
        Column::new("name", "t.name", Kind::Text),
        Column::new("enabled", "t.enabled", Kind::Bool).unsorted(),
        Column::new("fallback", "t.fallback", Kind::Bool).unsorted(),
        Column::new("channel_ids", "t.channel_ids", Kind::Ids).unsorted(),
    ],
    key: &["id"],
    sort: "name",
};

/// Routes of notifications.
#[utoipa::path(get, path = "/api/v1/notification-routes", tag = "notifications", params(ListQuery), responses((status = 200, body = Page<NotificationRoute>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<NotificationRoute>(&who, &LISTING, query, &headers).await
}

/// A route of notifications.
#[utoipa::path(get, path = "/api/v1/notification-routes/{id}", tag = "notifications", params(("id" = Uuid, Path)), responses((status = 200, body = NotificationRoute)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<NotificationRoute>(&who, id, &headers).await
}

/// Makes a route: what happens from now on goes by it.
#[utoipa::path(post, path = "/api/v1/notification-routes", tag = "notifications", request_body = NotificationRouteInput, responses((status = 201, body = NotificationRoute)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<NotificationRouteInput>,
) -> Result<Response, Problem> {
    crud::create::<NotificationRoute, _>(&who, key, &input).await
}

/// Changes a route of notifications.
#[utoipa::path(patch, path = "/api/v1/notification-routes/{id}", tag = "notifications", params(("id" = Uuid, Path)),
    request_body(content = NotificationRouteInput, content_type = "application/merge-patch+json"), responses((status = 200, body = NotificationRoute)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<NotificationRoute, _>(&who, id, if_match, patch).await
}

/// Deletes a route of notifications.
#[utoipa::path(delete, path = "/api/v1/notification-routes/{id}", tag = "notifications", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<NotificationRoute, _>(&who, id, if_match).await
}
