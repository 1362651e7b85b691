//! Trends: clients whose signal degrades over days, and those whose did.

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::Mac;
use mast_schemas::alerts::TrendView;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::alerts::notes::{self, Note, On};
use super::crud;
use crate::http::access::{Operator, Viewer};
use crate::http::extract::{Body, Path, Query};
use crate::http::idempotency::{Begun, IdempotencyKey};
use crate::http::problem::Problem;
use crate::http::wire::{MacText, Time};
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// What the dataflow says of a client whose signal degrades: live streams carry this much of it.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveTrend {
    /// The client's MAC address.
    pub(crate) id: MacText,
    /// Access point at which it was last.
    pub(crate) ap_device_id: Uuid,
    /// Radio of it.
    pub(crate) radio_mac: MacText,
    /// Which comparison says so: `day` (the last day with the week before) or `week` (the last week with the three before).
    pub(crate) test: String,
    pub(crate) since: Time,
    /// What is normal, frozen when it began.
    pub(crate) baseline_dbm: f64,
    /// What it was when it began.
    pub(crate) opened_dbm: f64,
}

impl From<TrendView> for LiveTrend {
    fn from(view: TrendView) -> Self {
        Self {
            id: view.mac.into(),
            ap_device_id: view.ap_device_id.0,
            radio_mac: view.radio_mac.into(),
            test: view.test.to_string(),
            since: view.since.into(),
            baseline_dbm: f64::from(view.baseline_cdbm) / 100.0,
            opened_dbm: f64::from(view.opened_cdbm) / 100.0,
        }
    }
}

/// A trend of a client's signal.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Trend {
    #[serde(flatten)]
    #[sqlx(flatten)]
    live: LiveTrend,
    /// `degrading`, or how it ended: `recovered`, `accepted` or `gone`.
    status: String,
    /// Name of the access point.
    ap: Option<String>,
    site_id: Option<Uuid>,
    site: Option<String>,
    sector_id: Option<Uuid>,
    sector: Option<String>,
    /// Null while it degrades.
    ended_at: Option<Time>,
}

macro_rules! live_trend_columns {
    () => {
        "t.mac AS id, t.ap_device_id, t.radio_mac, t.test, t.since, t.baseline_cdbm::float8 / 100 AS baseline_dbm,
 t.opened_cdbm::float8 / 100 AS opened_dbm"
    };
}
pub(crate) use live_trend_columns;

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/trends",
    select: concat!(
        live_trend_columns!(),
        ", t.mac, (t.baseline_cdbm - t.opened_cdbm)::float8 / 100 AS fall_db, coalesce(t.ending, 'degrading') AS status, ap.name AS ap, ap.site_id, p.name AS site, ap.sector_id,
 e.name AS sector, t.ended_at"
    ),
    from: "trends t
 LEFT JOIN devices ap ON ap.id = t.ap_device_id AND ap.tenant_id = t.tenant_id
 LEFT JOIN sites p ON p.id = ap.site_id AND p.tenant_id = t.tenant_id
 LEFT JOIN sectors e ON e.id = ap.sector_id AND e.tenant_id = t.tenant_id
 WHERE t.tenant_id = $1",
    columns: &[
        Column::new("mac", "t.mac", Kind::Mac),
        Column::new("since", "t.since", Kind::Time),
        Column::new("status", "coalesce(t.ending, 'degrading')", Kind::Text),
        Column::new("test", "t.test", Kind::Text).unsorted(),
        Column::new("ap_device_id", "t.ap_device_id", Kind::Id).unsorted(),
        Column::new("site_id", "ap.site_id", Kind::Id).or_null().unsorted(),
        Column::new("sector_id", "ap.sector_id", Kind::Id).or_null().unsorted(),
        Column::new("ended_at", "t.ended_at", Kind::Time).or_null(),
        Column::new(
            "fall_db",
            "((t.baseline_cdbm - t.opened_cdbm)::float8 / 100)",
            Kind::Float,
        ),
    ],
    key: &["mac", "since"],
    sort: "-since",
};

/// Trends, the newest first: clients whose signal degrades with `filter=status=degrading`, and trends that ended within 90 days.
#[utoipa::path(get, path = "/api/v1/trends", tag = "trends", params(ListQuery), responses((status = 200, body = Page<Trend>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Trend>(&who, &LISTING, query, &headers).await
}

/// That a client's signal is as it is to be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptInput {
    #[serde(default)]
    note: Option<String>,
}

/// Takes a client's signal for normal: what was normal before is forgotten, and an open trend ends with the next slot of the
/// dataflow. For clients that have one.
#[utoipa::path(post, path = "/api/v1/trends/{mac}/accept", tag = "trends",
    params(("mac" = String, Path, description = "MAC address of the client")), request_body = AcceptInput,
    responses((status = 201, body = Note)))]
pub(crate) async fn accept(
    who: Operator,
    Path(mac): Path<Mac>,
    key: IdempotencyKey,
    Body(input): Body<AcceptInput>,
) -> Result<Response, Problem> {
    notes::check(input.note.as_deref())?;
    let mut once = match key.begin(&who, &input).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(answer),
    };
    let (tenant, mac) = (who.tenant().0, mac.0.cast_signed());
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM trends WHERE tenant_id = $1 AND mac = $2 AND ended_at IS NULL) AS "found!""#,
        tenant,
        mac
    )
    .fetch_one(&mut *once.tx)
    .await?;
    if !found {
        return Err(Problem::not_found());
    }
    let (by, on) = ((tenant, who.by()), On::Client(mac));
    notes::made(once, by, on, "accept", input.note.as_deref()).await
}
