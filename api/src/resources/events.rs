//! Transitions of links and of devices.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::crud;
use crate::http::access::Viewer;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::wire::{MacText, Time};
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// A link changed state.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LinkEvent {
    id: Uuid,
    at: Time,
    /// The link, as `/links/{id}` has it; it may be forgotten.
    link_id: String,
    ap_device_id: Uuid,
    ap: Option<String>,
    radio_mac: MacText,
    mac: MacText,
    /// State before; null when it is new.
    from_state: Option<String>,
    /// State after; null when it is forgotten.
    to_state: Option<String>,
    reason: String,
}

pub(crate) static LINKS: Listing = Listing {
    path: "/api/v1/link-events",
    select: "v.event_id AS id, v.at,
 v.ap_device_id || '.' || lpad(to_hex(v.radio_mac), 12, '0') || '.' || lpad(to_hex(v.mac), 12, '0') AS link_id,
 v.ap_device_id, ap.name AS ap, v.radio_mac, v.mac, v.from_state, v.to_state, v.reason",
    from: "link_events v LEFT JOIN devices ap ON ap.id = v.ap_device_id AND ap.tenant_id = v.tenant_id
 WHERE v.tenant_id = $1",
    columns: &[
        Column::new("id", "v.event_id", Kind::Id),
        Column::new("at", "v.at", Kind::Time),
        Column::new("ap_device_id", "v.ap_device_id", Kind::Id).unsorted(),
        Column::new("radio_mac", "v.radio_mac", Kind::Mac).unsorted(),
        Column::new("mac", "v.mac", Kind::Mac).unsorted(),
        Column::new("site_id", "ap.site_id", Kind::Id).or_null().unsorted(),
        Column::new("sector_id", "ap.sector_id", Kind::Id).or_null().unsorted(),
        Column::new("from_state", "v.from_state", Kind::Text).or_null().unsorted(),
        Column::new("to_state", "v.to_state", Kind::Text).or_null().unsorted(),
        Column::new("reason", "v.reason", Kind::Text).unsorted(),
    ],
    key: &["id"],
    sort: "-at",
};

/// Transitions of links, the newest first.
#[utoipa::path(get, path = "/api/v1/link-events", tag = "links", params(ListQuery), responses((status = 200, body = Page<LinkEvent>)))]
pub(crate) async fn of_links(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<LinkEvent>(&who, &LINKS, query, &headers).await
}

/// A device changed state.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct DeviceEvent {
    id: Uuid,
    at: Time,
    device_id: Uuid,
    device: Option<String>,
    from_state: String,
    to_state: String,
    /// Outcome of the poll that decided; null where time did.
    outcome: Option<String>,
}

pub(crate) static DEVICES: Listing = Listing {
    path: "/api/v1/device-events",
    select: "v.event_id AS id, v.at, v.device_id, d.name AS device, v.from_state, v.to_state, v.outcome",
    from: "device_events v LEFT JOIN devices d ON d.id = v.device_id AND d.tenant_id = v.tenant_id
 WHERE v.tenant_id = $1",
    columns: &[
        Column::new("id", "v.event_id", Kind::Id),
        Column::new("at", "v.at", Kind::Time),
        Column::new("device_id", "v.device_id", Kind::Id).unsorted(),
        Column::new("site_id", "d.site_id", Kind::Id)
            .or_null()
            .unsorted(),
        Column::new("from_state", "v.from_state", Kind::Text).unsorted(),
        Column::new("to_state", "v.to_state", Kind::Text).unsorted(),
        Column::new("outcome", "v.outcome", Kind::Text)
            .or_null()
            .unsorted(),
    ],
    key: &["id"],
    sort: "-at",
};

/// Transitions of devices, the newest first.
#[utoipa::path(get, path = "/api/v1/device-events", tag = "devices", params(ListQuery), responses((status = 200, body = Page<DeviceEvent>)))]
pub(crate) async fn of_devices(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<DeviceEvent>(&who, &DEVICES, query, &headers).await
}
