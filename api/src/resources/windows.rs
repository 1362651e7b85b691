//! Maintenance windows: whose alerts nobody is told of, and when.

use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::{TenantId, Timestamp, WindowId, control};
use mast_state::incidents::{self, WindowError};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check::Checks;
use super::crud::{self, Resource};
use crate::bounds::LABELS_MAX;
use crate::http::access::{Operator, Viewer};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::Problem;
use crate::http::reply::Versioned;
use crate::http::wire::Time;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// Longest window, microseconds: a year.
const LONGEST: i64 = 366 * 86_400 * 1_000_000;
/// Longest recurrence, bytes.
const RECURRENCE_MAX: usize = 500;

/// A maintenance window.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Window {
    id: Uuid,
    name: String,
    description: Option<String>,
    /// What it is of: `tenant`, `site` or `devices`.
    scope: String,
    site_id: Option<Uuid>,
    site: Option<String>,
    device_ids: Vec<Uuid>,
    /// Begin of the first one.
    starts_at: Time,
    /// End of the first one; not part of it.
    ends_at: Time,
    /// How it recurs, RFC 5545; null: it does not.
    recurrence: Option<String>,
    /// Time zone in which it recurs.
    time_zone: String,
    /// Rises with each change.
    version: i64,
}

impl Versioned for Window {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What people decide of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What is done in it.
    #[serde(default)]
    description: Option<String>,
    /// What it is of: `tenant` (everything), `site` (a site, its sectors and what stands there) or `devices`.
    #[schema(example = "site")]
    scope: String,
    /// The site, for `site`.
    #[serde(default)]
    site_id: Option<Uuid>,
    /// The devices, for `devices`.
    #[serde(default)]
    #[schema(max_items = 100)]
    device_ids: Vec<Uuid>,
    /// Begin of the first one.
    starts_at: Time,
    /// End of the first one; not part of it.
    ends_at: Time,
    /// How it recurs, RFC 5545 without DTSTART; null: it does not.
    #[serde(default)]
    #[schema(example = "FREQ=WEEKLY;BYDAY=SU")]
    recurrence: Option<String>,
    /// Time zone in which it recurs: its local time of day stays, also where clocks are changed.
    #[serde(default = "utc")]
    #[schema(example = "Europe/Ljubljana", default = "UTC")]
    time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl From<&Window> for WindowInput {
    fn from(row: &Window) -> Self {
        Self {
            name: row.name.clone(),
            description: row.description.clone(),
            scope: row.scope.clone(),
            site_id: row.site_id,
            device_ids: row.device_ids.clone(),
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            recurrence: row.recurrence.clone(),
            time_zone: row.time_zone.clone(),
        }
    }
}

/// The window as the dataflow has it, as far as its times are concerned.
fn controlled(input: &WindowInput) -> control::Window {
    control::Window {
        id: WindowId(Uuid::nil()),
        tenant_id: TenantId(Uuid::nil()),
        name: String::new(),
        site_id: None,
        device_ids: Vec::new(),
        starts_at: Timestamp(input.starts_at.0),
        ends_at: Timestamp(input.ends_at.0),
        recurrence: input.recurrence.clone(),
        time_zone: input.time_zone.clone(),
        version: 0,
    }
}

/// What of a window is wrong.
const fn place_of(error: &WindowError) -> &'static str {
    match error {
        WindowError::Length => "/ends_at",
        WindowError::Begin => "/starts_at",
        WindowError::Zone(_) => "/time_zone",
        WindowError::Recurrence(_) | WindowError::NeverAgain => "/recurrence",
    }
}

impl Resource for Window {
    type Input = WindowInput;
    const LISTING: &'static Listing = &LISTING;
    const MOST: Option<i64> = Some(1_000);
    const KEYS: &'static [(&'static str, &'static str)] =
        &[("device_ids", "/device_ids"), ("site_id", "/site_id")];

    fn check(input: &WindowInput) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &input.name);
        checks.text("/description", input.description.as_deref());
        let scopes = ["tenant", "site", "devices"];
        let known = scopes.contains(&input.scope.as_str());
        checks.must(known, "/scope", "must be one of tenant, site, devices");
        let rule = "must name the site of the scope site, and be null else";
        let fits = !known || (input.scope == "site") == input.site_id.is_some();
        checks.must(fits, "/site_id", rule);
        let rule =
            format!("must name 1 to {LABELS_MAX} devices for the scope devices, and none else");
        let fits = !known || (input.scope == "devices") != input.device_ids.is_empty();
        let few = input.device_ids.len() <= LABELS_MAX;
        checks.must(fits && few, "/device_ids", rule);
        let length = input.ends_at.0.saturating_sub(input.starts_at.0);
        checks.must(length > 0, "/ends_at", "must be after starts_at");
        checks.must(
            length <= LONGEST,
            "/ends_at",
            "must be within a year of starts_at",
        );
        // From its begin on, each time that it was is counted.
        let oldest = Timestamp::from_system(SystemTime::now()).0 - LONGEST;
        let recent = input.recurrence.is_none() || input.starts_at.0 >= oldest;
        let rule = "of a window that recurs must be within the last year, or later";
        checks.must(recent, "/starts_at", rule);
        let short = input.recurrence.as_ref();
        let short = short.is_none_or(|text| (1..=RECURRENCE_MAX).contains(&text.len()));
        let rule = format!("must be null or have 1 to {RECURRENCE_MAX} bytes");
        checks.must(short, "/recurrence", rule);
        if length > 0
            && short
            && recent
            && let Err(error) = incidents::check(&controlled(input))
        {
            checks.must(false, place_of(&error), error.to_string());
        }
        checks.done()
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &WindowInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO maintenance_windows (tenant_id, id, name, description, scope, site_id, device_ids, starts_at,
                 ends_at, recurrence, time_zone)
             VALUES ($1, $2, $3, $4, $5, $6, $7, instant($8), instant($9), $10, $11)",
            tenant,
            id,
            input.name,
            input.description,
            input.scope,
            input.site_id,
            &input.device_ids,
            input.starts_at.0,
            input.ends_at.0,
            input.recurrence,
            input.time_zone,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &WindowInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE maintenance_windows SET name = $3, description = $4, scope = $5, site_id = $6, device_ids = $7,
                 starts_at = instant($8), ends_at = instant($9), recurrence = $10, time_zone = $11
             WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.name,
            input.description,
            input.scope,
            input.site_id,
            &input.device_ids,
            input.starts_at.0,
            input.ends_at.0,
            input.recurrence,
            input.time_zone,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM maintenance_windows WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/maintenance-windows",
    select: "w.id, w.name, w.description, w.scope, w.site_id, p.name AS site, w.device_ids,
 w.starts_at, w.ends_at, w.recurrence, w.time_zone, w.version",
    from:
        "maintenance_windows w LEFT JOIN sites p ON p.id = w.site_id AND p.tenant_id = w.tenant_id
 WHERE w.tenant_id = $1",
    columns: &[
        Column::new("id", "w.id", Kind::Id),
        Column::new("name", "w.name", Kind::Text).unique(),
        Column::new("scope", "w.scope", Kind::Text),
        Column::new("site_id", "w.site_id", Kind::Id)
            .or_null()
            .unsorted(),
        Column::new("device_id", "w.device_ids", Kind::Ids).unsorted(),
        Column::new("starts_at", "w.starts_at", Kind::Time),
        Column::new("ends_at", "w.ends_at", Kind::Time),
        Column::new("recurrence", "w.recurrence", Kind::Text)
            .or_null()
            .unsorted(),
    ],
    key: &["id"],
    sort: "starts_at",
};

/// Maintenance windows.
#[utoipa::path(get, path = "/api/v1/maintenance-windows", tag = "maintenance", params(ListQuery), responses((status = 200, body = Page<Window>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Window>(&who, &LISTING, query, &headers).await
}

/// A maintenance window.
#[utoipa::path(get, path = "/api/v1/maintenance-windows/{id}", tag = "maintenance", params(("id" = Uuid, Path)), responses((status = 200, body = Window)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<Window>(&who, id, &headers).await
}

/// Makes a maintenance window. While it is open, alerts of what it is of are suppressed, not hidden, and nobody is told of them.
#[utoipa::path(post, path = "/api/v1/maintenance-windows", tag = "maintenance", request_body = WindowInput, responses((status = 201, body = Window)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<WindowInput>,
) -> Result<Response, Problem> {
    crud::create::<Window, _>(&who, key, &input).await
}

/// Changes a maintenance window.
#[utoipa::path(patch, path = "/api/v1/maintenance-windows/{id}", tag = "maintenance", params(("id" = Uuid, Path)),
    request_body(content = WindowInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Window)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<Window, _>(&who, id, if_match, patch).await
}

/// Deletes a maintenance window; one that is open ends.
#[utoipa::path(delete, path = "/api/v1/maintenance-windows/{id}", tag = "maintenance", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<Window, _>(&who, id, if_match).await
}
