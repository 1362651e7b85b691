//! Tags of devices.

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

/// A tag of devices.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Tag {
    id: Uuid,
    name: String,
    /// Colour on the screen.
    color: Option<String>,
    /// Rises with each change.
    version: i64,
    /// How many devices have it.
    devices: i64,
}

impl Versioned for Tag {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What people decide of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Colour on the screen.
    #[serde(default)]
    #[schema(pattern = "^#[0-9a-f]{6}$")]
    color: Option<String>,
}

impl From<&Tag> for TagInput {
    fn from(row: &Tag) -> Self {
        Self {
            name: row.name.clone(),
            color: row.color.clone(),
        }
    }
}

impl Resource for Tag {
    type Input = TagInput;
    const LISTING: &'static Listing = &LISTING;

    fn check(input: &TagInput) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &input.name);
        let hex = |c: &u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let color = input.color.as_deref().is_none_or(|text| {
            let digits = text.as_bytes().strip_prefix(b"#");
            digits.is_some_and(|d| d.len() == 6 && d.iter().all(hex))
        });
        checks.must(color, "/color", "must be null or like #1e90ff");
        checks.done()
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &TagInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO tags (tenant_id, id, name, color) VALUES ($1, $2, $3, $4)",
            tenant,
            id,
            input.name,
            input.color,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &TagInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE tags SET name = $3, color = $4 WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.name,
            input.color,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM tags WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/tags",
    select: "l.id, l.name, l.color, l.version,
 (SELECT count(*) FROM devices d WHERE d.tenant_id = l.tenant_id AND d.tag_ids @> ARRAY[l.id]) AS devices",
    from: "tags l WHERE l.tenant_id = $1",
    columns: &[
        Column::new("id", "l.id", Kind::Id),
        Column::new("name", "l.name", Kind::Text).unique(),
    ],
    key: &["id"],
    sort: "name",
};

/// Tags of devices.
#[utoipa::path(get, path = "/api/v1/tags", tag = "tags", params(ListQuery), responses((status = 200, body = Page<Tag>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Tag>(&who, &LISTING, query, &headers).await
}

/// A tag of devices.
#[utoipa::path(get, path = "/api/v1/tags/{id}", tag = "tags", params(("id" = Uuid, Path)), responses((status = 200, body = Tag)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<Tag>(&who, id, &headers).await
}

/// Makes a tag. Devices carry it by their `tag_ids`.
#[utoipa::path(post, path = "/api/v1/tags", tag = "tags", request_body = TagInput, responses((status = 201, body = Tag)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<TagInput>,
) -> Result<Response, Problem> {
    crud::create::<Tag, _>(&who, key, &input).await
}

/// Changes a tag of devices.
#[utoipa::path(patch, path = "/api/v1/tags/{id}", tag = "tags", params(("id" = Uuid, Path)),
    request_body(content = TagInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Tag)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<Tag, _>(&who, id, if_match, patch).await
}

/// Deletes a tag and takes it off its devices.
#[utoipa::path(delete, path = "/api/v1/tags/{id}", tag = "tags", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Admin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<Tag, _>(&who, id, if_match).await
}
