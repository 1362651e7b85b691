//! Sites.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check::Checks;
use super::crud::{self, Resource};
use super::places::{PlaceNow, place_columns, place_filters, place_joins};
use crate::bounds;
use crate::http::access::{Admin, Operator, Viewer};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::Problem;
use crate::http::reply::Versioned;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// A tower or another place with devices.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Site {
    id: Uuid,
    name: String,
    /// Degrees north.
    latitude: Option<f64>,
    /// Degrees east.
    longitude: Option<f64>,
    /// Height of the ground above sea level.
    elevation_m: Option<f64>,
    /// Where it is, in words.
    address: Option<String>,
    notes: Option<String>,
    /// Whether it is the core of the network, to which links between sites point.
    core: bool,
    /// Rises with each change.
    version: i64,
    #[serde(flatten)]
    #[sqlx(flatten)]
    now: PlaceNow,
}

impl Versioned for Site {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What people decide of a site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SiteInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Degrees north. With `longitude`, or neither.
    #[serde(default)]
    #[schema(minimum = -90, maximum = 90)]
    latitude: Option<f64>,
    /// Degrees east.
    #[serde(default)]
    #[schema(minimum = -180, maximum = 180)]
    longitude: Option<f64>,
    /// Height of the ground above sea level.
    #[serde(default)]
    #[schema(minimum = -500, maximum = 9000)]
    elevation_m: Option<f64>,
    /// Where it is, in words.
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    notes: Option<String>,
    /// Whether it is the core of the network.
    #[serde(default)]
    core: bool,
}

impl From<&Site> for SiteInput {
    fn from(site: &Site) -> Self {
        Self {
            name: site.name.clone(),
            latitude: site.latitude,
            longitude: site.longitude,
            elevation_m: site.elevation_m,
            address: site.address.clone(),
            notes: site.notes.clone(),
            core: site.core,
        }
    }
}

impl Resource for Site {
    type Input = SiteInput;
    const LISTING: &'static Listing = &LISTING;

    fn check(input: &SiteInput) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &input.name);
        checks.range("/latitude", input.latitude, bounds::LATITUDE);
        checks.range("/longitude", input.longitude, bounds::LONGITUDE);
        checks.range("/elevation_m", input.elevation_m, bounds::ELEVATION_M);
        checks.text("/address", input.address.as_deref());
        checks.text("/notes", input.notes.as_deref());
        let both = input.latitude.is_some() == input.longitude.is_some();
        checks.must(
            both,
            "/longitude",
            "give both latitude and longitude, or neither",
        );
        checks.done()
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &SiteInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO sites (tenant_id, id, name, latitude, longitude, elevation_m, address, notes, core)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            tenant,
            id,
            input.name,
            input.latitude,
            input.longitude,
            input.elevation_m,
            input.address,
            input.notes,
            input.core,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &SiteInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE sites SET name = $3, latitude = $4, longitude = $5, elevation_m = $6, address = $7, notes = $8,
                 core = $9
             WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.name,
            input.latitude,
            input.longitude,
            input.elevation_m,
            input.address,
            input.notes,
            input.core,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM sites WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/sites",
    select: concat!(
        "s.id, s.name, s.latitude, s.longitude, s.elevation_m, s.address, s.notes, s.core, s.version, ",
        place_columns!()
    ),
    from: concat!("sites s", place_joins!("site"), " WHERE s.tenant_id = $1"),
    columns: place_filters![
        Column::new("id", "s.id", Kind::Id),
        Column::new("name", "s.name", Kind::Text).unique(),
        Column::new("core", "s.core", Kind::Bool).unsorted(),
        Column::new("latitude", "s.latitude", Kind::Float).or_null(),
        Column::new("longitude", "s.longitude", Kind::Float).or_null(),
        Column::new("elevation_m", "s.elevation_m", Kind::Float).or_null(),
    ],
    key: &["id"],
    sort: "name",
};

/// Sites, with what is so of them now.
#[utoipa::path(get, path = "/api/v1/sites", tag = "sites", params(ListQuery), responses((status = 200, body = Page<Site>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Site>(&who, &LISTING, query, &headers).await
}

/// A site.
#[utoipa::path(get, path = "/api/v1/sites/{id}", tag = "sites", params(("id" = Uuid, Path)), responses((status = 200, body = Site)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<Site>(&who, id, &headers).await
}

/// Makes a site.
#[utoipa::path(post, path = "/api/v1/sites", tag = "sites", request_body = SiteInput, responses((status = 201, body = Site)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<SiteInput>,
) -> Result<Response, Problem> {
    crud::create::<Site, _>(&who, key, &input).await
}

/// Changes a site.
#[utoipa::path(patch, path = "/api/v1/sites/{id}", tag = "sites", params(("id" = Uuid, Path)),
    request_body(content = SiteInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Site)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<Site, _>(&who, id, if_match, patch).await
}

/// Deletes a site with its sectors. Its devices go on without one.
#[utoipa::path(delete, path = "/api/v1/sites/{id}", tag = "sites", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Admin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<Site, _>(&who, id, if_match).await
}
