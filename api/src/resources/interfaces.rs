//! Interfaces of a device, as its newest interface table has them.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::history;
use crate::http::access::Viewer;
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::Page;

/// An interface. Counters are since boot or creation, as the router counts.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Interface {
    name: String,
    /// When the table was read.
    observed_at: Time,
    mac: Option<String>,
    /// RouterOS type, such as `ether` or `wlan`.
    interface_type: Option<String>,
    running: Option<bool>,
    disabled: Option<bool>,
    comment: Option<String>,
    rx_bytes: Option<u64>,
    tx_bytes: Option<u64>,
    rx_packets: Option<u64>,
    tx_packets: Option<u64>,
    rx_errors: Option<u64>,
    tx_errors: Option<u64>,
    rx_drops: Option<u64>,
    tx_drops: Option<u64>,
    link_downs: Option<u32>,
    /// Negotiated rate.
    link_rate_bps: Option<u64>,
    /// Received now, by the two newest tables. Null: they don't tell; or, with the header `Mast-Tail: lake-only`, the rates
    /// could not be had.
    rx_bps: Option<u64>,
    /// Sent now.
    tx_bps: Option<u64>,
    /// When the newer of these tables was read.
    rates_at: Option<Time>,
}

/// A table that is older than this is history alone.
const NEWEST: &str = "INTERVAL '7 days'";

/// Interfaces of a device.
#[utoipa::path(get, path = "/api/v1/devices/{id}/interfaces", tag = "devices", params(("id" = Uuid, Path)), responses((status = 200, body = Page<Interface>)))]
pub(crate) async fn of_device(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    history::must_be_device(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    let sql = format!(
        "SELECT s.name, s.observed_at, mac, interface_type, running, disabled, comment, rx_bytes, tx_bytes, rx_packets,
            tx_packets, rx_errors, tx_errors, rx_drops, tx_drops, link_downs, link_rate_bps, rx_bps, tx_bps,
            r.observed_at AS rates_at
         FROM (SELECT *, rank() OVER (ORDER BY lease_epoch DESC, sequence DESC) AS polls_ago FROM interface_samples
            WHERE device_id = '{id}' AND observed_at > now() - {NEWEST} AND NOT late) s
         LEFT JOIN (SELECT * FROM interface_rates WHERE device_id = '{id}') r ON r.name = s.name
         WHERE polls_ago = 1 ORDER BY s.name"
    );
    let items: Vec<Interface> = history::rows(&who.queries(), &sql).await?;
    reply::list(&headers, &Page::whole(items))
}
