//! Tenants, for who runs the installation.

use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mast_schemas::TenantId;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check::{Checks, refused};
use crate::http::access::SuperAdmin;
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::{Begun, IdempotencyKey};
use crate::http::problem::Problem;
use crate::http::reply::{self, Versioned};
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// A customer of the installation.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Tenant {
    id: Uuid,
    name: String,
    /// Rises with each change.
    version: i64,
}

impl Versioned for Tenant {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What is decided of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantInput {
    /// Unique in the installation.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

impl TenantInput {
    fn check(&self) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        checks.done()
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/tenants",
    select: "t.id, t.name, t.version",
    // `$1` is the nil id: the list is of all tenants.
    from: "all_tenants() t WHERE t.id <> $1",
    columns: &[
        Column::new("id", "t.id", Kind::Id),
        Column::new("name", "t.name", Kind::Text).unique(),
    ],
    key: &["id"],
    sort: "name",
};

async fn by_id(tx: &mut PgConnection, id: Uuid) -> Result<Tenant, Problem> {
    LISTING.by_id(tx, Uuid::nil(), id).await
}

/// All tenants. For super-admins, as all of tenants.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", params(ListQuery), responses((status = 200, body = Page<Tenant>)))]
pub(crate) async fn list(
    who: SuperAdmin,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let page: Page<Tenant> = LISTING.page(&mut tx, Uuid::nil(), &query).await?;
    reply::list(&headers, &page)
}

/// A tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)), responses((status = 200, body = Tenant)))]
pub(crate) async fn get(
    who: SuperAdmin,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    reply::thing(&headers, &by_id(&mut tx, id).await?)
}

/// Makes a tenant.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", request_body = TenantInput, responses((status = 201, body = Tenant)))]
pub(crate) async fn create(
    who: SuperAdmin,
    key: IdempotencyKey,
    Body(input): Body<TenantInput>,
) -> Result<Response, Problem> {
    input.check()?;
    let mut once = match key.begin_installation(&who, &input).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(answer),
    };
    let id = TenantId::new();
    mast_postgres::rescope(&mut once.tx, id).await?;
    sqlx::query!(
        "INSERT INTO tenants (id, name) VALUES ($1, $2)",
        id.0,
        input.name
    )
    .execute(&mut *once.tx)
    .await
    .map_err(|e| refused(e, &[]))?;
    let tenant = by_id(&mut once.tx, id.0).await?;
    let answer = reply::created(&format!("{}/{id}", LISTING.path), &tenant)?;
    once.done(answer).await
}

/// Renames a tenant.
#[utoipa::path(patch, path = "/api/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)),
    request_body(content = TenantInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Tenant)))]
pub(crate) async fn patch(
    who: SuperAdmin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    let mut tx = who.write(TenantId(id)).await?;
    let tenant = by_id(&mut tx, id).await?;
    if_match.check(tenant.version)?;
    let before = TenantInput {
        name: tenant.name.clone(),
    };
    let input = patch.apply(&before)?;
    input.check()?;
    if input == before {
        return reply::written(&tenant);
    }
    sqlx::query!("UPDATE tenants SET name = $2 WHERE id = $1", id, input.name)
        .execute(&mut *tx)
        .await
        .map_err(|e| refused(e, &[]))?;
    let tenant = by_id(&mut tx, id).await?;
    tx.commit().await?;
    reply::written(&tenant)
}

/// Deletes a tenant with all that it owns.
#[utoipa::path(delete, path = "/api/v1/tenants/{id}", tag = "tenants", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: SuperAdmin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    let mut tx = who.write(TenantId(id)).await?;
    if_match.check(by_id(&mut tx, id).await?.version)?;
    sqlx::query!("DELETE FROM tenants WHERE id = $1", id)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
