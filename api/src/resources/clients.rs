//! Clients: each MAC address once, by its live link, else by the one that changed last. Registered ones are managed devices;
//! of the others that address is known, and what routers say of it: IP address and host name.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::crud;
use super::links::{link_columns, link_joins};
use crate::http::access::Viewer;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::wire::{MacText, Time};
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// A client.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Client {
    mac: MacText,
    /// Whether it is a managed device.
    registered: bool,
    cpe_device_id: Option<Uuid>,
    /// Name of the managed device.
    cpe: Option<String>,
    /// Its IP address, as a router's ARP table or DHCP leases say.
    address: Option<String>,
    /// Name that it told the DHCP server.
    host_name: Option<String>,
    /// `arp` or `dhcp`.
    address_source: Option<String>,
    /// Since when a router says so.
    address_since: Option<Time>,
    /// Its link.
    #[sqlx(rename = "id")]
    link_id: String,
    ap_device_id: Uuid,
    ap: Option<String>,
    interface: String,
    site_id: Option<Uuid>,
    site: Option<String>,
    sector_id: Option<Uuid>,
    sector: Option<String>,
    /// State of its link.
    state: String,
    since: Time,
    discovered_at: Time,
    unobserved: bool,
    ambiguous: bool,
    measured_at: Option<Time>,
    signal_dbm: Option<i16>,
    station_signal_dbm: Option<i16>,
    snr_db: Option<i16>,
    tx_rate_bps: Option<i64>,
    rx_rate_bps: Option<i64>,
}

/// All that people know a client by: its MAC address, with colons and without, its IP address and its names.
const SEARCH: &str = r"concat_ws(' ', regexp_replace(lpad(to_hex(c.mac), 12, '0'), '(..)(?=.)', '\1:', 'g'),
 lpad(to_hex(c.mac), 12, '0'), c.address, c.host_name, c.cpe)";

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/clients",
    select: "c.*, c.cpe_device_id IS NOT NULL AS registered",
    from: concat!(
        "(SELECT DISTINCT ON (l.mac) i.address, i.host_name, i.source AS address_source, i.since AS address_since, ",
        link_columns!(),
        " FROM links l",
        link_joins!(),
        " LEFT JOIN client_addresses i ON i.tenant_id = l.tenant_id AND i.mac = l.mac
 WHERE l.tenant_id = $1
 ORDER BY l.mac, (l.state IN ('active', 'degraded')) DESC, l.since DESC, l.ap_device_id, l.radio_mac) c WHERE true"
    ),
    columns: &[
        Column::new("mac", "c.mac", Kind::Mac),
        Column::new("search", SEARCH, Kind::Text).unsorted(),
        Column::new("address", "c.address", Kind::Text).or_null(),
        Column::new("host_name", "c.host_name", Kind::Text).or_null(),
        Column::new("address_source", "c.address_source", Kind::Text).or_null(),
        Column::new("address_since", "c.address_since", Kind::Time).or_null(),
        Column::new("registered", "(c.cpe_device_id IS NOT NULL)", Kind::Bool).unsorted(),
        Column::new("cpe_device_id", "c.cpe_device_id", Kind::Id).or_null(),
        Column::new("cpe", "c.cpe", Kind::Text).or_null(),
        Column::new("ap_device_id", "c.ap_device_id", Kind::Id),
        Column::new("ap", "c.ap", Kind::Text).or_null(),
        Column::new("site_id", "c.site_id", Kind::Id).or_null(),
        Column::new("sector_id", "c.sector_id", Kind::Id).or_null(),
        Column::new("state", "c.state", Kind::Text),
        Column::new("since", "c.since", Kind::Time),
        Column::new("unobserved", "c.unobserved", Kind::Bool).unsorted(),
        Column::new("ambiguous", "c.ambiguous", Kind::Bool).unsorted(),
        Column::new("signal_dbm", "c.signal_dbm", Kind::Int).or_null(),
    ],
    key: &["mac"],
    sort: "mac",
};

/// Clients, registered and unknown: `filter=registered=false` are those that no managed device is. `filter=search~hill`
/// finds a part of a MAC address, an IP address, a host name or a device's name.
#[utoipa::path(get, path = "/api/v1/clients", tag = "clients", params(ListQuery), responses((status = 200, body = Page<Client>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Client>(&who, &LISTING, query, &headers).await
}
