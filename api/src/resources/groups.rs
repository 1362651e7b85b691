//! Groups of devices.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check::Checks;
use super::crud::{self, Resource};
use crate::http::access::{Admin, Operator, Viewer};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::Problem;
use crate::http::reply::Versioned;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// A group of devices.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Group {
    id: Uuid,
    name: String,
    /// What it is for.
    description: Option<String>,
    /// Rises with each change.
    version: i64,
    /// How many devices have it.
    devices: i64,
}

impl Versioned for Group {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What people decide of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
}

impl From<&Group> for GroupInput {
    fn from(row: &Group) -> Self {
        Self {
            name: row.name.clone(),
            description: row.description.clone(),
        }
    }
}

impl Resource for Group {
    type Input = GroupInput;
    const LISTING: &'static Listing = &LISTING;

    fn check(input: &GroupInput) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &input.name);
        checks.text("/description", input.description.as_deref());
        checks.done()
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &GroupInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO device_groups (tenant_id, id, name, description) VALUES ($1, $2, $3, $4)",
            tenant,
            id,
            input.name,
            input.description,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &GroupInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE device_groups SET name = $3, description = $4 WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.name,
            input.description,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM device_groups WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/groups",
    select: "l.id, l.name, l.description, l.version,
 (SELECT count(*) FROM devices d WHERE d.tenant_id = l.tenant_id AND d.group_ids @> ARRAY[l.id]) AS devices",
    from: "device_groups l WHERE l.tenant_id = $1",
    columns: &[
        Column::new("id", "l.id", Kind::Id),
        Column::new("name", "l.name", Kind::Text).unique(),
    ],
    key: &["id"],
    sort: "name",
};

/// Groups of devices.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", params(ListQuery), responses((status = 200, body = Page<Group>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Group>(&who, &LISTING, query, &headers).await
}

/// A group of devices.
#[utoipa::path(get, path = "/api/v1/groups/{id}", tag = "groups", params(("id" = Uuid, Path)), responses((status = 200, body = Group)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<Group>(&who, id, &headers).await
}

/// Makes a group. Devices join it by their `group_ids`.
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", request_body = GroupInput, responses((status = 201, body = Group)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<GroupInput>,
) -> Result<Response, Problem> {
    crud::create::<Group, _>(&who, key, &input).await
}

/// Changes a group of devices.
#[utoipa::path(patch, path = "/api/v1/groups/{id}", tag = "groups", params(("id" = Uuid, Path)),
    request_body(content = GroupInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Group)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<Group, _>(&who, id, if_match, patch).await
}

/// Deletes a group and takes it off its devices.
#[utoipa::path(delete, path = "/api/v1/groups/{id}", tag = "groups", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Admin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<Group, _>(&who, id, if_match).await
}
