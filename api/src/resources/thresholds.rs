//! Thresholds: what counts as bad, of a tenant, a site or a sector.

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::records::Source;
use mast_schemas::thresholds::DEFAULT;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::check::Checks;
use super::crud::{self, Resource};
use crate::bounds;
use crate::http::access::{Operator, Viewer};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::Problem;
use crate::http::reply::Versioned;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// What is to count as bad in a place. The closest place that says something holds: sector, site, tenant, and then the default;
/// at one place, thresholds of the link's technology come before those of all.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Thresholds {
    id: Uuid,
    /// The site; null: the whole tenant.
    site_id: Option<Uuid>,
    /// The sector; null: the whole site.
    sector_id: Option<Uuid>,
    /// Of which technology; null: all.
    technology: Option<String>,
    /// A signal below this is bad; null: as further up.
    degraded_signal_dbm: Option<i16>,
    /// A signal at or above this is good.
    active_signal_dbm: Option<i16>,
    /// A CCQ below this is bad.
    degraded_ccq_percent: Option<i16>,
    /// A CCQ at or above this is good.
    active_ccq_percent: Option<i16>,
    /// Rises with each change.
    version: i64,
}

impl Versioned for Thresholds {
    fn version(&self) -> i64 {
        self.version
    }
}

/// What people decide of what counts as bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThresholdsInput {
    /// The site; null: the whole tenant.
    #[serde(default)]
    site_id: Option<Uuid>,
    /// The sector, with its site; null: the whole site.
    #[serde(default)]
    sector_id: Option<Uuid>,
    /// `wireless`, `wifi`, `wifiwave2`, `capsman` or `w60g`; null: all.
    #[serde(default)]
    technology: Option<String>,
    #[serde(default)]
    #[schema(minimum = -120, maximum = 0)]
    degraded_signal_dbm: Option<i16>,
    #[serde(default)]
    #[schema(minimum = -120, maximum = 0)]
    active_signal_dbm: Option<i16>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 100)]
    degraded_ccq_percent: Option<i16>,
    #[serde(default)]
    #[schema(minimum = 0, maximum = 100)]
    active_ccq_percent: Option<i16>,
}

impl From<&Thresholds> for ThresholdsInput {
    fn from(row: &Thresholds) -> Self {
        Self {
            site_id: row.site_id,
            sector_id: row.sector_id,
            technology: row.technology.clone(),
            degraded_signal_dbm: row.degraded_signal_dbm,
            active_signal_dbm: row.active_signal_dbm,
            degraded_ccq_percent: row.degraded_ccq_percent,
            active_ccq_percent: row.active_ccq_percent,
        }
    }
}

impl Resource for Thresholds {
    type Input = ThresholdsInput;
    const LISTING: &'static Listing = &LISTING;
    const KEYS: &'static [(&'static str, &'static str)] =
        &[("sector_id", "/sector_id"), ("site_id", "/site_id")];

    fn check(input: &ThresholdsInput) -> Result<(), Problem> {
        let mut checks = Checks::default();
        let placed = input.sector_id.is_none() || input.site_id.is_some();
        checks.must(placed, "/site_id", "name the site of the sector too");
        let known = input.technology.as_deref();
        let known = known.is_none_or(|word| word.parse::<Source>().is_ok());
        let words: Vec<_> = Source::ALL.iter().map(|s| s.as_str()).collect();
        let words = words.join(", ");
        checks.must(
            known,
            "/technology",
            format!("must be null or one of {words}"),
        );
        let (low, good) = (input.degraded_signal_dbm, input.active_signal_dbm);
        for (pointer, value) in [("/degraded_signal_dbm", low), ("/active_signal_dbm", good)] {
            checks.range(pointer, value.map(f64::from), bounds::SIGNAL_DBM);
        }
        // What is not said is taken to be the default here; further up may say otherwise.
        let apart =
            good.unwrap_or(DEFAULT.active_signal_dbm) >= low.unwrap_or(DEFAULT.degraded_signal_dbm);
        checks.must(
            apart,
            "/active_signal_dbm",
            "must not be below degraded_signal_dbm",
        );
        let (low, good) = (input.degraded_ccq_percent, input.active_ccq_percent);
        for (pointer, value) in [
            ("/degraded_ccq_percent", low),
            ("/active_ccq_percent", good),
        ] {
            checks.range(pointer, value.map(f64::from), bounds::PERCENT);
        }
        let default = (DEFAULT.active_ccq_percent, DEFAULT.degraded_ccq_percent);
        let good = good.map_or(i32::from(default.0), i32::from);
        let low = low.map_or(i32::from(default.1), i32::from);
        checks.must(
            good >= low,
            "/active_ccq_percent",
            "must not be below degraded_ccq_percent",
        );
        checks.done()
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &ThresholdsInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO thresholds (tenant_id, id, site_id, sector_id, technology, degraded_signal_dbm,
                 active_signal_dbm, degraded_ccq_percent, active_ccq_percent)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            tenant,
            id,
            input.site_id,
            input.sector_id,
            input.technology,
            input.degraded_signal_dbm,
            input.active_signal_dbm,
            input.degraded_ccq_percent,
            input.active_ccq_percent,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &ThresholdsInput,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE thresholds SET site_id = $3, sector_id = $4, technology = $5, degraded_signal_dbm = $6,
                 active_signal_dbm = $7, degraded_ccq_percent = $8, active_ccq_percent = $9
             WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.site_id,
            input.sector_id,
            input.technology,
            input.degraded_signal_dbm,
            input.active_signal_dbm,
            input.degraded_ccq_percent,
            input.active_ccq_percent,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM thresholds WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/thresholds",
    select:
        "t.id, t.site_id, t.sector_id, t.technology, t.degraded_signal_dbm, t.active_signal_dbm,
 t.degraded_ccq_percent, t.active_ccq_percent, t.version",
    from: "thresholds t WHERE t.tenant_id = $1",
    columns: &[
        Column::new("id", "t.id", Kind::Id),
        Column::new("site_id", "t.site_id", Kind::Id).or_null(),
        Column::new("sector_id", "t.sector_id", Kind::Id).or_null(),
        Column::new("technology", "t.technology", Kind::Text).or_null(),
    ],
    key: &["id"],
    sort: "id",
};

/// Thresholds, of all places.
#[utoipa::path(get, path = "/api/v1/thresholds", tag = "thresholds", params(ListQuery), responses((status = 200, body = Page<Thresholds>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Thresholds>(&who, &LISTING, query, &headers).await
}

/// Thresholds of a place.
#[utoipa::path(get, path = "/api/v1/thresholds/{id}", tag = "thresholds", params(("id" = Uuid, Path)), responses((status = 200, body = Thresholds)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<Thresholds>(&who, id, &headers).await
}

/// Decides what is to count as bad in a place: links are judged by it from their next poll on. Where two places together would call one signal
/// bad and good, good begins where bad ends.
#[utoipa::path(post, path = "/api/v1/thresholds", tag = "thresholds", request_body = ThresholdsInput, responses((status = 201, body = Thresholds)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<ThresholdsInput>,
) -> Result<Response, Problem> {
    crud::create::<Thresholds, _>(&who, key, &input).await
}

/// Changes thresholds of a place.
#[utoipa::path(patch, path = "/api/v1/thresholds/{id}", tag = "thresholds", params(("id" = Uuid, Path)),
    request_body(content = ThresholdsInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Thresholds)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<Thresholds, _>(&who, id, if_match, patch).await
}

/// Deletes thresholds: those further up hold.
#[utoipa::path(delete, path = "/api/v1/thresholds/{id}", tag = "thresholds", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<Thresholds, _>(&who, id, if_match).await
}
