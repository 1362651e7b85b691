//! Sectors.

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

/// A sector of a site: where its access points look.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Sector {
    id: Uuid,
    site_id: Uuid,
    /// Name of its site.
    site: String,
    name: String,
    /// Where it looks, degrees from north.
    azimuth_deg: Option<f64>,
    /// How wide it looks.
    beamwidth_deg: Option<f64>,
    /// How far it reaches.
    range_m: Option<f64>,
    /// Rises with each change.
    version: i64,
    #[serde(flatten)]
    #[sqlx(flatten)]
    now: PlaceNow,
}

impl Versioned for Sector {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What people decide of a sector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SectorInput {
    /// Its devices move with it.
    site_id: Uuid,
    /// Unique in the site.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Where it looks, degrees from north.
    #[serde(default)]
    #[schema(minimum = 0, exclusive_maximum = 360)]
    azimuth_deg: Option<f64>,
    /// How wide it looks.
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 360)]
    beamwidth_deg: Option<f64>,
    /// How far it reaches.
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 1000000)]
    range_m: Option<f64>,
}

impl From<&Sector> for SectorInput {
    fn from(sector: &Sector) -> Self {
        Self {
            site_id: sector.site_id,
            name: sector.name.clone(),
            azimuth_deg: sector.azimuth_deg,
            beamwidth_deg: sector.beamwidth_deg,
            range_m: sector.range_m,
        }
    }
}

impl Resource for Sector {
    type Input = SectorInput;
    const LISTING: &'static Listing = &LISTING;
    const KEYS: &'static [(&'static str, &'static str)] = &[("site_id", "/site_id")];

    fn check(input: &SectorInput) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &input.name);
        checks.range("/azimuth_deg", input.azimuth_deg, bounds::AZIMUTH_DEG);
        checks.range("/beamwidth_deg", input.beamwidth_deg, bounds::BEAMWIDTH_DEG);
        checks.range("/range_m", input.range_m, bounds::RANGE_M);
        checks.done()
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &SectorInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO sectors (tenant_id, id, site_id, name, azimuth_deg, beamwidth_deg, range_m)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            tenant,
            id,
            input.site_id,
            input.name,
            input.azimuth_deg,
            input.beamwidth_deg,
            input.range_m,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &SectorInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE sectors SET site_id = $3, name = $4, azimuth_deg = $5, beamwidth_deg = $6, range_m = $7
             WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.site_id,
            input.name,
            input.azimuth_deg,
            input.beamwidth_deg,
            input.range_m,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM sectors WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/sectors",
    select: concat!(
        "s.id, s.site_id, p.name AS site, s.name, s.azimuth_deg, s.beamwidth_deg, s.range_m, s.version, ",
        place_columns!()
    ),
    from: concat!(
        "sectors s JOIN sites p ON p.id = s.site_id AND p.tenant_id = s.tenant_id",
        place_joins!("sector"),
        " WHERE s.tenant_id = $1"
    ),
    columns: place_filters![
        Column::new("id", "s.id", Kind::Id),
        Column::new("site_id", "s.site_id", Kind::Id),
        Column::new("site", "p.name", Kind::Text),
        Column::new("name", "s.name", Kind::Text),
    ],
    key: &["id"],
    sort: "site,name",
};

/// Sectors, with what is so of them now.
#[utoipa::path(get, path = "/api/v1/sectors", tag = "sectors", params(ListQuery), responses((status = 200, body = Page<Sector>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Sector>(&who, &LISTING, query, &headers).await
}

/// A sector.
#[utoipa::path(get, path = "/api/v1/sectors/{id}", tag = "sectors", params(("id" = Uuid, Path)), responses((status = 200, body = Sector)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<Sector>(&who, id, &headers).await
}

/// Makes a sector.
#[utoipa::path(post, path = "/api/v1/sectors", tag = "sectors", request_body = SectorInput, responses((status = 201, body = Sector)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<SectorInput>,
) -> Result<Response, Problem> {
    crud::create::<Sector, _>(&who, key, &input).await
}

/// Changes a sector.
#[utoipa::path(patch, path = "/api/v1/sectors/{id}", tag = "sectors", params(("id" = Uuid, Path)),
    request_body(content = SectorInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Sector)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<Sector, _>(&who, id, if_match, patch).await
}

/// Deletes a sector. Its devices stay on the site.
#[utoipa::path(delete, path = "/api/v1/sectors/{id}", tag = "sectors", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Admin,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<Sector, _>(&who, id, if_match).await
}
