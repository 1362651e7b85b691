//! The rows of live views: the same from a snapshot and from a change.

use mast_schemas::LinkId;
use mast_schemas::alerts::{AlertView, IncidentView, TrendView};
use mast_schemas::views::{ClientAddress, Counts, DeviceView, Health, LinkView, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use uuid::Uuid;

use crate::http::wire::{MacText, Time};
use crate::resources::alerts::LiveAlert;
use crate::resources::devices::{DeviceStatus, LiveDevice};
use crate::resources::incidents::LiveIncident;
use crate::resources::links::{LinkRef, LiveLink};
use crate::resources::trends::LiveTrend;

/// A row of a view. Its `id` is the one that changes name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum LiveRow {
    Device(LiveDevice),
    Link(LiveLink),
    Address(LiveAddress),
    Counts(LiveCounts),
    Health(LiveHealth),
    Alert(LiveAlert),
    Incident(LiveIncident),
    Trend(LiveTrend),
}

/// What routers say of a client.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveAddress {
    /// The client's MAC address.
    id: MacText,
    /// IP address, as the router writes it.
    address: String,
    /// Name that the client told.
    host_name: Option<String>,
    /// From which table: `arp` or `dhcp`.
    source: String,
    /// Whose table.
    device_id: Uuid,
    /// When that table first had this address for this client.
    since: Time,
}

/// Devices and links of a place, by state.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveCounts {
    /// The tenant, the site or the sector.
    id: Uuid,
    devices_online: i64,
    devices_offline: i64,
    devices_unmanageable: i64,
    devices_unobserved: i64,
    links_discovered: i64,
    links_active: i64,
    links_degraded: i64,
    links_down: i64,
    links_stale: i64,
    /// Links whose state is the last known one.
    links_unobserved: i64,
}

/// How a place is.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveHealth {
    /// The tenant, the site or the sector.
    id: Uuid,
    /// `up`, `degraded`, `down`, `unknown` or `maintenance`.
    state: String,
    since: Time,
}

impl From<DeviceView> for LiveDevice {
    fn from(view: DeviceView) -> Self {
        Self {
            id: view.device_id.0,
            status: DeviceStatus {
                state: view.state.to_string(),
                since: Some(view.since.into()),
                outcome: view.outcome.map(|outcome| outcome.to_string()),
                identity: view.identity,
                routeros_version: view.version,
                board: view.board,
                architecture: view.architecture,
                serial: view.serial,
                firmware: view.firmware,
            },
        }
    }
}

impl From<LinkView> for LiveLink {
    fn from(view: LinkView) -> Self {
        Self {
            id: LinkRef::from(view.id).to_string(),
            ap_device_id: view.id.ap_device_id.0,
            radio_mac: view.id.radio_mac.into(),
            mac: view.id.mac.into(),
            interface: view.interface,
            source: view.source.to_string(),
            cpe_device_id: view.cpe_device_id.map(|id| id.0),
            state: view.state.to_string(),
            since: view.since.into(),
            reason: view.reason.to_string(),
            discovered_at: view.discovered_at.into(),
            unobserved: view.unobserved,
            ambiguous: view.ambiguous,
        }
    }
}

impl From<ClientAddress> for LiveAddress {
    fn from(view: ClientAddress) -> Self {
        Self {
            id: view.mac.into(),
            address: view.address,
            host_name: view.host_name,
            source: view.source.to_string(),
            device_id: view.device_id.0,
            since: view.since.into(),
        }
    }
}

impl LiveCounts {
    fn new(id: Uuid, counts: Counts) -> Self {
        let [online, offline, unmanageable, unobserved] = counts.devices;
        let [discovered, active, degraded, down, stale] = counts.links;
        Self {
            id,
            devices_online: online,
            devices_offline: offline,
            devices_unmanageable: unmanageable,
            devices_unobserved: unobserved,
            links_discovered: discovered,
            links_active: active,
            links_degraded: degraded,
            links_down: down,
            links_stale: stale,
            links_unobserved: counts.links_unobserved,
        }
    }
}

impl LiveHealth {
    fn new(id: Uuid, health: Health) -> Self {
        Self {
            id,
            state: health.state.to_string(),
            since: health.since.into(),
        }
    }
}

/// What happened to a row.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// It is new, or another one now.
    Upsert,
    /// It is gone.
    Delete,
}

/// A change of a row.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RowChange {
    #[schema(schema_with = view_words)]
    pub(crate) view: View,
    op: Op,
    /// Which row.
    id: String,
    /// The row, whole; without it where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<LiveRow>,
}

/// The names of the views.
pub(crate) fn view_words() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(View::ALL.iter().map(|view| view.as_str())))
        .build()
}

impl RowChange {
    /// A change as the dataflow stored it, in the words of listeners.
    pub(super) fn read(view: View, key: &str, row: Option<&str>) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct DeviceKey {
            device_id: Uuid,
        }
        #[derive(Deserialize)]
        struct ClientKey {
            mac: String,
        }
        #[derive(Deserialize)]
        struct IdKey {
            id: Uuid,
        }
        let (id, row) = match view {
            View::Devices => {
                let id = parse::<DeviceKey>(key)?.device_id;
                let row = row.map(parse::<DeviceView>).transpose()?;
                (id.to_string(), row.map(|row| LiveRow::Device(row.into())))
            }
            View::Links => {
                let id = LinkRef::from(parse::<LinkId>(key)?);
                let row = row.map(parse::<LinkView>).transpose()?;
                (id.to_string(), row.map(|row| LiveRow::Link(row.into())))
            }
            View::ClientAddresses => {
                let row = row.map(parse::<ClientAddress>).transpose()?;
                let row = row.map(|row| LiveRow::Address(row.into()));
                (parse::<ClientKey>(key)?.mac, row)
            }
            View::TenantCounts | View::SiteCounts | View::SectorCounts => {
                let id = parse::<IdKey>(key)?.id;
                let row = row.map(parse::<Counts>).transpose()?;
                let row = row.map(|row| LiveRow::Counts(LiveCounts::new(id, row)));
                (id.to_string(), row)
            }
            View::TenantHealth | View::SiteHealth | View::SectorHealth => {
                let id = parse::<IdKey>(key)?.id;
                let row = row.map(parse::<Health>).transpose()?;
                let row = row.map(|row| LiveRow::Health(LiveHealth::new(id, row)));
                (id.to_string(), row)
            }
            View::Alerts => {
                let row = row.map(parse::<AlertView>).transpose()?;
                let row = row.map(|row| LiveRow::Alert(row.into()));
                (parse::<IdKey>(key)?.id.to_string(), row)
            }
            View::Incidents => {
                let row = row.map(parse::<IncidentView>).transpose()?;
                let row = row.map(|row| LiveRow::Incident(row.into()));
                (parse::<IdKey>(key)?.id.to_string(), row)
            }
            View::Trends => {
                let row = row.map(parse::<TrendView>).transpose()?;
                let row = row.map(|row| LiveRow::Trend(row.into()));
                (parse::<ClientKey>(key)?.mac, row)
            }
        };
        let op = match row {
            Some(_) => Op::Upsert,
            None => Op::Delete,
        };
        Ok(Self { view, op, id, row })
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    serde_json::from_str(json)
}
