//! Links: a client at one radio of one access point, now.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::{LinkId, Mac};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::crud;
use crate::http::access::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::{MacText, Time};
use crate::listing::{Bind, Column, Kind, ListQuery, Listing, Page};

/// What a link is called: access point, radio and client, parted by dots; addresses without colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkRef {
    pub(crate) ap: Uuid,
    pub(crate) radio: Mac,
    pub(crate) mac: Mac,
}

impl fmt::Display for LinkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:012x}.{:012x}", self.ap, self.radio.0, self.mac.0)
    }
}

impl FromStr for LinkRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a link is called device.radio.client, such as \
                             01890a5d-ac96-774b-bcce-b302099a8057.4c5e0ca25451.4c5e0ca25452";
        let mut parts = text.split('.');
        let (Some(ap), Some(radio), Some(mac), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(WRONG);
        };
        Ok(Self {
            ap: Uuid::parse_str(ap).map_err(|_| WRONG)?,
            radio: radio.parse().map_err(|_| WRONG)?,
            mac: mac.parse().map_err(|_| WRONG)?,
        })
    }
}

impl<'de> Deserialize<'de> for LinkRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl LinkRef {
    fn key(self) -> Vec<Bind> {
        let mac = |mac: Mac| Bind::Int(vec![mac.0.cast_signed()]);
        vec![Bind::Id(vec![self.ap]), mac(self.radio), mac(self.mac)]
    }
}

impl From<LinkId> for LinkRef {
    fn from(id: LinkId) -> Self {
        Self {
            ap: id.ap_device_id.0,
            radio: id.radio_mac,
            mac: id.mac,
        }
    }
}

/// What the dataflow says of a link: live streams carry this much of it.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveLink {
    /// Access point, radio and client, parted by dots.
    pub(crate) id: String,
    pub(crate) ap_device_id: Uuid,
    /// Interface of the access point.
    pub(crate) interface: String,
    /// BSSID, or a stand-in where the router does not tell it.
    pub(crate) radio_mac: MacText,
    /// The client's address.
    pub(crate) mac: MacText,
    /// The managed device that the client is; null: none that is known.
    pub(crate) cpe_device_id: Option<Uuid>,
    /// The table that shows it.
    pub(crate) source: String,
    /// `discovered`, `active`, `degraded`, `down` or `stale`.
    pub(crate) state: String,
    pub(crate) since: Time,
    /// Why it is in this state.
    pub(crate) reason: String,
    pub(crate) discovered_at: Time,
    /// The state is the last known one.
    pub(crate) unobserved: bool,
    /// The client's address has more owners than one client can have.
    pub(crate) ambiguous: bool,
}

/// A link.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Link {
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub(super) live: LiveLink,
    /// Name of the access point.
    ap: Option<String>,
    cpe: Option<String>,
    site_id: Option<Uuid>,
    site: Option<String>,
    sector_id: Option<Uuid>,
    sector: Option<String>,
    /// When the measurements were taken.
    measured_at: Option<Time>,
    /// Signal at the access point.
    signal_dbm: Option<i16>,
    /// Signal at the station.
    station_signal_dbm: Option<i16>,
    snr_db: Option<i16>,
    tx_ccq_percent: Option<i32>,
    tx_rate_bps: Option<i64>,
    rx_rate_bps: Option<i64>,
}

/// What the dataflow says of a link `l`.
macro_rules! live_link_columns {
    () => {
        "l.ap_device_id || '.' || lpad(to_hex(l.radio_mac), 12, '0') || '.' || lpad(to_hex(l.mac), 12, '0') AS id,
 l.ap_device_id, l.interface, l.radio_mac, l.mac, l.cpe_device_id, l.source, l.state, l.since,
 l.reason, l.discovered_at, l.unobserved, l.ambiguous"
    };
}
pub(crate) use live_link_columns;

/// The columns of a link over `l`, its gauges `g`, its devices `ap` and `cpe` and its place `p` and `e`.
macro_rules! link_columns {
    () => {
        concat!(
            $crate::resources::links::live_link_columns!(),
            ", ap.name AS ap, cpe.name AS cpe, ap.site_id, p.name AS site, ap.sector_id, e.name AS sector,
 g.observed_at AS measured_at, g.signal_dbm, g.station_signal_dbm, g.snr_db, g.tx_ccq_percent, g.tx_rate_bps,
 g.rx_rate_bps"
        )
    };
}
pub(crate) use link_columns;

macro_rules! link_joins {
    () => {
        " LEFT JOIN link_gauges g ON g.tenant_id = l.tenant_id AND g.ap_device_id = l.ap_device_id
  AND g.radio_mac = l.radio_mac AND g.mac = l.mac
 LEFT JOIN devices ap ON ap.id = l.ap_device_id AND ap.tenant_id = l.tenant_id
 LEFT JOIN devices cpe ON cpe.id = l.cpe_device_id AND cpe.tenant_id = l.tenant_id
 LEFT JOIN sites p ON p.id = ap.site_id AND p.tenant_id = l.tenant_id
 LEFT JOIN sectors e ON e.id = ap.sector_id AND e.tenant_id = l.tenant_id"
    };
}
pub(crate) use link_joins;

/// What links can be filtered and sorted by.
pub(crate) const COLUMNS: &[Column] = &[
    Column::new("ap_device_id", "l.ap_device_id", Kind::Id),
    Column::new("radio_mac", "l.radio_mac", Kind::Mac),
    Column::new("mac", "l.mac", Kind::Mac),
    Column::new("ap", "ap.name", Kind::Text).or_null(),
    Column::new("cpe_device_id", "l.cpe_device_id", Kind::Id).or_null(),
    Column::new("cpe", "cpe.name", Kind::Text).or_null(),
    Column::new("interface", "l.interface", Kind::Text),
    Column::new("source", "l.source", Kind::Text),
    Column::new("site_id", "ap.site_id", Kind::Id).or_null(),
    Column::new("sector_id", "ap.sector_id", Kind::Id).or_null(),
    Column::new("state", "l.state", Kind::Text),
    Column::new("since", "l.since", Kind::Time),
    Column::new("reason", "l.reason", Kind::Text),
    Column::new("unobserved", "l.unobserved", Kind::Bool).unsorted(),
    Column::new("ambiguous", "l.ambiguous", Kind::Bool).unsorted(),
    Column::new("signal_dbm", "g.signal_dbm", Kind::Int).or_null(),
    Column::new("station_signal_dbm", "g.station_signal_dbm", Kind::Int).or_null(),
    Column::new("snr_db", "g.snr_db", Kind::Int).or_null(),
    Column::new("tx_ccq_percent", "g.tx_ccq_percent", Kind::Int).or_null(),
];

/// What tells a link from all others.
pub(crate) const KEY: &[&str] = &["ap_device_id", "radio_mac", "mac"];

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/links",
    select: link_columns!(),
    from: concat!("links l", link_joins!(), " WHERE l.tenant_id = $1"),
    columns: COLUMNS,
    key: KEY,
    sort: "ap_device_id,radio_mac,mac",
};

/// The link, if this tenant has it.
pub(crate) async fn find(
    tx: &mut PgConnection,
    tenant: Uuid,
    link: LinkRef,
) -> Result<Link, Problem> {
    let found = LISTING.one(tx, tenant, link.key()).await?;
    found.ok_or_else(Problem::not_found)
}

/// Links, with their last measurements.
#[utoipa::path(get, path = "/api/v1/links", tag = "links", params(ListQuery), responses((status = 200, body = Page<Link>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Link>(&who, &LISTING, query, &headers).await
}

/// A link.
#[utoipa::path(get, path = "/api/v1/links/{id}", tag = "links", params(("id" = String, Path)), responses((status = 200, body = Link)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<LinkRef>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    reply::list(&headers, &find(&mut tx, who.tenant().0, id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_called_by_its_parts() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057.4c5e0ca25451.00000000000a";
        let link: LinkRef = text.parse().unwrap();
        assert_eq!((link.to_string().as_str(), link.mac), (text, Mac(10)));
        for bad in [
            "",
            "x",
            "a.b.c",
            &text[1..],
            &format!("{text}.1"),
            "..",
            &text[..50],
        ] {
            assert!(bad.parse::<LinkRef>().is_err(), "{bad}");
        }
    }
}
