//! Which versions run, and on how many devices.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use super::crud;
use crate::http::access::Viewer;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// A version as it was last seen.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Firmware {
    /// RouterOS; null where a device has not told.
    routeros_version: Option<String>,
    board: Option<String>,
    architecture: Option<String>,
    /// RouterBOOT.
    firmware: Option<String>,
    devices: i64,
    /// Of them, those that can be reached.
    online: i64,
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/firmware",
    select: "f.*",
    from: "(SELECT s.version AS routeros_version, s.board, s.architecture, s.firmware, count(*) AS devices,
  count(*) FILTER (WHERE s.state = 'online') AS online
  FROM devices d LEFT JOIN device_status s ON s.device_id = d.id AND s.tenant_id = d.tenant_id
  WHERE d.tenant_id = $1 GROUP BY 1, 2, 3, 4) f WHERE true",
    columns: &[
        Column::new("routeros_version", "f.routeros_version", Kind::Text).or_null(),
        Column::new("board", "f.board", Kind::Text).or_null(),
        Column::new("architecture", "f.architecture", Kind::Text).or_null(),
        Column::new("firmware", "f.firmware", Kind::Text).or_null(),
        Column::new("devices", "f.devices", Kind::Int),
        Column::new("online", "f.online", Kind::Int),
    ],
    key: &["routeros_version", "board", "architecture", "firmware"],
    sort: "-devices",
};

/// Versions seen, those of most devices first.
#[utoipa::path(get, path = "/api/v1/firmware", tag = "fleet", params(ListQuery), responses((status = 200, body = Page<Firmware>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Firmware>(&who, &LISTING, query, &headers).await
}
