//! The rows of the views: what the dataflow maintains, Postgres holds, SQL shows and the oracle recomputes.
//!
//! Their meaning is in `docs/semantics.md`. Gauges (signals, rates, loads) are apart: they change with every poll and are
//! outside the promise that all views of one epoch agree.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::LinkId;
use crate::records::{Outcome, Source};
use crate::time::Span;
use crate::{DeviceId, Mac, SectorId, SiteId, TenantId, Timestamp};

crate::words! {
    /// Whether a device can be reached and managed.
    DeviceState, "device state" {
        /// The last poll read something.
        Online = "online",
        /// It does not answer.
        Offline = "offline",
        /// It answers, but refuses us.
        Unmanageable = "unmanageable",
        /// We did not look, or not recently enough.
        Unobserved = "unobserved",
    }
}

crate::words! {
    /// The state of a link.
    LinkState, "link state" {
        /// Seen, not yet confirmed.
        Discovered = "discovered",
        /// Confirmed and good.
        Active = "active",
        /// Confirmed and bad, or unsteady.
        Degraded = "degraded",
        /// Gone.
        Down = "down",
        /// Gone for long, or moved elsewhere.
        Stale = "stale",
    }
}

impl LinkState {
    /// Active or degraded.
    pub const fn live(self) -> bool {
        matches!(self, Self::Active | Self::Degraded)
    }
}

crate::words! {
    /// Why a link entered its state.
    LinkReason, "link reason" {
        /// First seen, or seen again after it was stale.
        Seen = "seen",
        /// Seen in enough tables.
        Confirmed = "confirmed",
        /// The client's own side reported it.
        ConfirmedByStation = "confirmed_by_station",
        /// Signal or CCQ bad.
        Signal = "signal",
        /// Lost too often.
        Losses = "losses",
        /// Signal and CCQ good again, no losses.
        Recovered = "recovered",
        /// Seen again after it was down.
        Returned = "returned",
        /// Missing from the table.
        Lost = "lost",
        /// Its access point went offline.
        ApOffline = "ap_offline",
        /// Down for too long.
        Expired = "expired",
        /// The client began an association elsewhere.
        Roamed = "roamed",
        /// Stale for too long, pushed out by newer ones, or its access point was deleted.
        Forgotten = "forgotten",
    }
}

crate::words! {
    /// How a site, a sector or a tenant as a whole is.
    HealthState, "health state" {
        /// Of what is observed, all is online.
        Up = "up",
        /// Something is offline or unmanageable, not everything.
        Degraded = "degraded",
        /// All that is observed is offline.
        Down = "down",
        /// Nothing is observed.
        Unknown = "unknown",
        /// A maintenance window is open for all of it, however its devices are.
        Maintenance = "maintenance",
    }
}

crate::words! {
    /// A view whose changes are told, row by row.
    View, "view" {
        /// [`DeviceView`] by device.
        Devices = "devices",
        /// [`LinkView`] by link.
        Links = "links",
        /// [`ClientAddress`] by client.
        ClientAddresses = "client_addresses",
        /// [`Counts`] of the whole tenant.
        TenantCounts = "tenant_counts",
        /// [`Counts`] by site.
        SiteCounts = "site_counts",
        /// [`Counts`] by sector.
        SectorCounts = "sector_counts",
        /// [`Health`] of the whole tenant.
        TenantHealth = "tenant_health",
        /// [`Health`] by site.
        SiteHealth = "site_health",
        /// [`Health`] by sector.
        SectorHealth = "sector_health",
        /// [`AlertView`](crate::alerts::AlertView) by alert.
        Alerts = "alerts",
        /// [`IncidentView`](crate::alerts::IncidentView) by incident.
        Incidents = "incidents",
        /// [`TrendView`](crate::alerts::TrendView) by client.
        Trends = "trends",
    }
}

/// A device now. Attributes are the last known ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// The device.
    pub device_id: DeviceId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// Its state.
    pub state: DeviceState,
    /// Since when; the time of the last poll that changed it, of the overdue instant, or of the slot that made the device known.
    pub since: Timestamp,
    /// Outcome of the poll that set the state; null when time did.
    pub outcome: Option<Outcome>,
    /// Name it gives itself.
    pub identity: Option<String>,
    /// RouterOS version.
    pub version: Option<String>,
    /// Board.
    pub board: Option<String>,
    /// CPU architecture.
    pub architecture: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// RouterBOOT version.
    pub firmware: Option<String>,
}

/// A link now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// Which link.
    pub id: LinkId,
    /// Interface of the access point.
    pub interface: String,
    /// The table that shows it.
    pub source: Source,
    /// The managed device at the far end, if the client is one.
    pub cpe_device_id: Option<DeviceId>,
    /// Its state.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: LinkReason,
    /// When it was first seen.
    pub discovered_at: Timestamp,
    /// The state is the last known one: its access point, or who reports it, is not observed.
    pub unobserved: bool,
    /// Its MAC address has more owners than one client can have.
    pub ambiguous: bool,
}

/// Devices and links counted, for a site, a sector or a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Devices by [`DeviceState`], in its order.
    pub devices: [i64; 4],
    /// Links by [`LinkState`], in its order.
    pub links: [i64; 5],
    /// Links with the unobserved flag.
    pub links_unobserved: i64,
}

/// What counts are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// A whole tenant.
    Tenant(TenantId),
    /// A site.
    Site(TenantId, SiteId),
    /// A sector.
    Sector(TenantId, SectorId),
}

/// Signals over the live links of a place, each once, by the latest value that was not null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Signals {
    /// Live links with a signal.
    pub clients: i64,
    /// Sum of their signals, dBm.
    pub sum_dbm: i64,
    /// The value that a tenth of them (rounded up) do not exceed.
    pub p10_dbm: Option<i16>,
    /// The worst.
    pub worst_dbm: Option<i16>,
}

crate::words! {
    /// What kind of place a row is of.
    PlaceKind, "place kind" {
        /// A whole tenant.
        Tenant = "tenant",
        /// A site.
        Site = "site",
        /// A sector.
        Sector = "sector",
    }
}

impl Place {
    /// Whose it is.
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::Tenant(tenant) | Self::Site(tenant, _) | Self::Sector(tenant, _) => *tenant,
        }
    }

    /// What kind of place.
    pub const fn kind(&self) -> PlaceKind {
        match self {
            Self::Tenant(_) => PlaceKind::Tenant,
            Self::Site(..) => PlaceKind::Site,
            Self::Sector(..) => PlaceKind::Sector,
        }
    }

    /// Its id among those of its kind.
    pub const fn id(&self) -> PlaceId {
        match self {
            Self::Tenant(tenant) => PlaceId(tenant.0),
            Self::Site(_, site) => PlaceId(site.0),
            Self::Sector(_, sector) => PlaceId(sector.0),
        }
    }
}

/// How a place is, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The state.
    pub state: HealthState,
    /// End of the slot that brought it.
    pub since: Timestamp,
}

/// Every place is sampled at the end of the slots that end at whole multiples of this since 1970.
pub const PLACE_TICK: Span = Span::secs(300);

/// Live links of a place in the past; a gauge. Null while it was not sampled then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PastClients {
    /// An hour before the newest sample.
    pub hour_ago: Option<i64>,
    /// Seven days before the newest whole hour.
    pub week_ago: Option<i64>,
}

/// Traffic and noise of a place, over its devices that are online; a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlaceAir {
    /// Interfaces of access points' own radios whose rates are known.
    pub interfaces: i64,
    /// What they receive.
    pub rx_bps: i64,
    /// What they send.
    pub tx_bps: i64,
    /// Radios whose noise floor is known.
    pub radios: i64,
    /// Sum of their noise floors, dBm.
    pub noise_sum_dbm: i64,
    /// The highest.
    pub noise_worst_dbm: Option<i16>,
}

/// Rates of a device's interfaces, from two whole tables; a gauge that never goes to Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceRates {
    /// Owner.
    pub tenant_id: TenantId,
    /// The device.
    pub device_id: DeviceId,
    /// When the newer table was read.
    pub observed_at: Timestamp,
    /// Its interfaces with counters, in the order of the table.
    pub interfaces: Vec<InterfaceRate>,
}

/// Rates of an interface; null where two tables don't tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceRate {
    /// Interface name.
    pub name: std::sync::Arc<str>,
    /// Received.
    pub rx_bps: Option<u64>,
    /// Sent.
    pub tx_bps: Option<u64>,
}

crate::words! {
    /// Whose word on the address of a client it is.
    AddressSource, "address source" {
        /// An entry of an ARP table.
        Arp = "arp",
        /// A lease of a DHCP server.
        Dhcp = "dhcp",
    }
}

/// The IP address of a client and the name that it told, as a router says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAddress {
    /// Owner.
    pub tenant_id: TenantId,
    /// The client.
    pub mac: Mac,
    /// IP address, as the router writes it.
    pub address: String,
    /// Name that the client told.
    pub host_name: Option<String>,
    /// From which table.
    pub source: AddressSource,
    /// Whose table.
    pub device_id: DeviceId,
    /// When that table first had this address for this client.
    pub since: Timestamp,
}

/// The latest measurements of a link; a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkGauge {
    /// Which link.
    pub id: LinkId,
    /// When measured.
    pub observed_at: Timestamp,
    /// Signal at the access point.
    pub signal_dbm: Option<i16>,
    /// Signal at the station: its own word, else what the access point says of it.
    pub station_signal_dbm: Option<i16>,
    /// Signal to noise at the access point.
    pub snr_db: Option<i16>,
    /// Transmit CCQ.
    pub tx_ccq_percent: Option<u16>,
    /// Transmit rate.
    pub tx_rate_bps: Option<u64>,
    /// Receive rate.
    pub rx_rate_bps: Option<u64>,
}

/// The latest measurements of a device; a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceGauge {
    /// Which device.
    pub device_id: DeviceId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// When measured.
    pub observed_at: Timestamp,
    /// Round trip.
    pub round_trip_ms: Option<u32>,
    /// CPU load.
    pub cpu_load_percent: Option<u8>,
    /// Free memory.
    pub memory_free_bytes: Option<u64>,
    /// Uptime.
    pub uptime_s: Option<u64>,
}

crate::record! {
    /// A link changed state.
    LinkEvent / LinkEventColumns, "link_events" {
        /// [`link_event_id`] of the link and what happened, so that a replay makes the same one.
        event_id: EventId,
        /// Owner.
        tenant_id: TenantId,
        /// Access point.
        ap_device_id: DeviceId,
        /// Radio.
        radio_mac: Mac,
        /// Client.
        mac: Mac,
        /// When.
        at: Timestamp,
        /// State before; null when it is new.
        from_state: Option<LinkState>,
        /// State after; null when it is forgotten.
        to_state: Option<LinkState>,
        /// Why.
        reason: LinkReason,
    }
}

crate::record! {
    /// A device changed state.
    DeviceEvent / DeviceEventColumns, "device_events" {
        /// [`device_event_id`] of the device and what happened.
        event_id: EventId,
        /// Owner.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When.
        at: Timestamp,
        /// State before.
        from_state: DeviceState,
        /// State after.
        to_state: DeviceState,
        /// Outcome that decided; null when time did.
        outcome: Option<Outcome>,
    }
}

crate::record! {
    /// A place changed state.
    HealthEvent / HealthEventColumns, "health_events" {
        /// [`health_event_id`] of the place and what happened.
        event_id: EventId,
        /// Owner.
        tenant_id: TenantId,
        /// What kind of place.
        place_kind: PlaceKind,
        /// The place.
        place_id: PlaceId,
        /// When: the end of a slot.
        at: Timestamp,
        /// State before; null when it had no device.
        from_state: Option<HealthState>,
        /// State after; null when it has no device any more.
        to_state: Option<HealthState>,
    }
}

crate::record! {
    /// A place at an instant: when its state changed (then `since` is `at`), and at each [`PLACE_TICK`].
    ///
    /// What is said of signals, noise and traffic is null in rows of before it was kept. Sums and numbers, not means, so that
    /// those of several places or times can be added up.
    HealthSample / HealthSampleColumns, "site_health_history" {
        /// Owner.
        tenant_id: TenantId,
        /// What kind of place.
        place_kind: PlaceKind,
        /// The place.
        place_id: PlaceId,
        /// When: the end of a slot.
        at: Timestamp,
        /// State from then on; null when it has no device any more.
        state: Option<HealthState>,
        /// Since when it has that state.
        since: Timestamp,
        /// Devices online.
        devices_online: u32,
        /// Devices offline.
        devices_offline: u32,
        /// Devices unmanageable.
        devices_unmanageable: u32,
        /// Devices unobserved.
        devices_unobserved: u32,
        /// Links discovered.
        links_discovered: u32,
        /// Links active.
        links_active: u32,
        /// Links degraded.
        links_degraded: u32,
        /// Links down.
        links_down: u32,
        /// Live links with a signal, each once, by the latest value that was not null.
        signal_clients: Option<u32>,
        /// Sum of their signals, dBm; null where there is none.
        signal_sum_dbm: Option<i64>,
        /// The signal that a tenth of them (rounded up) do not exceed, dBm.
        signal_p10_dbm: Option<i16>,
        /// The worst, dBm.
        signal_worst_dbm: Option<i16>,
        /// Clients whose signal degrades.
        clients_degrading: Option<u32>,
        /// Radios of devices that are online whose noise floor is known.
        noise_radios: Option<u32>,
        /// Sum of their noise floors, dBm; null where there is none.
        noise_sum_dbm: Option<i64>,
        /// The highest, dBm.
        noise_worst_dbm: Option<i16>,
        /// What access points' own radios receive, bits a second; null where no rate is known.
        rx_bps: Option<i64>,
        /// What they send, bits a second; null where no rate is known.
        tx_bps: Option<i64>,
    }
}

/// Id of a tenant, a site or a sector; which, a [`PlaceKind`] beside it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlaceId(pub Uuid);

/// Id of a derived event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

/// Ids that are no entity's own: stored as the others are.
macro_rules! stored_as_id {
    ($($name:ident),+) => {$(
        impl crate::column::Column for $name {
            type Builder = crate::column::IdBuilder;
            fn data_type() -> arrow::datatypes::DataType {
                TenantId::data_type()
            }
            fn append(&self, builder: &mut Self::Builder) {
                crate::column::Column::append(&TenantId(self.0), builder);
            }
            fn append_null(builder: &mut Self::Builder) {
                <TenantId as crate::column::Column>::append_null(builder);
            }
            fn finish(builder: &mut Self::Builder) -> arrow::array::ArrayRef {
                <TenantId as crate::column::Column>::finish(builder)
            }
            fn read(
                array: &dyn arrow::array::Array,
                row: usize,
            ) -> Result<Self, crate::SchemaError> {
                <TenantId as crate::column::Column>::read(array, row).map(|id| Self(id.0))
            }
        }
    )+};
}

pub(crate) use stored_as_id;

stored_as_id!(EventId, PlaceId);

/// Namespace of derived event ids.
const EVENTS: Uuid = Uuid::from_u128(0x6d61_7374_2e65_7665_6e74_732e_7631_0000);

/// Id of a link's transition: UUIDv5 over the link, the instant and the states. A link has at most one transition from
/// one given state to another at one instant.
pub fn link_event_id(
    link: &LinkId,
    at: Timestamp,
    from: Option<LinkState>,
    to: Option<LinkState>,
) -> EventId {
    let mut name = Vec::with_capacity(64);
    name.extend_from_slice(link.tenant_id.as_bytes());
    name.extend_from_slice(link.ap_device_id.as_bytes());
    name.extend_from_slice(&link.radio_mac.0.to_be_bytes());
    name.extend_from_slice(&link.mac.0.to_be_bytes());
    event_id(
        name,
        at,
        from.map_or("", LinkState::as_str),
        to.map_or("", LinkState::as_str),
    )
}

/// Id of a device's transition: UUIDv5 over the device, the instant and the states.
pub fn device_event_id(
    device: &DeviceId,
    at: Timestamp,
    from: DeviceState,
    to: DeviceState,
) -> EventId {
    event_id(device.as_bytes().to_vec(), at, from.as_str(), to.as_str())
}

/// Id of a place's transition: UUIDv5 over the place, the instant and the states.
pub fn health_event_id(
    place: &Place,
    at: Timestamp,
    from: Option<HealthState>,
    to: Option<HealthState>,
) -> EventId {
    let mut name = Vec::with_capacity(64);
    name.extend_from_slice(place.tenant().as_bytes());
    name.extend_from_slice(place.kind().as_str().as_bytes());
    name.extend_from_slice(place.id().0.as_bytes());
    event_id(
        name,
        at,
        from.map_or("", HealthState::as_str),
        to.map_or("", HealthState::as_str),
    )
}

fn event_id(mut name: Vec<u8>, at: Timestamp, from: &str, to: &str) -> EventId {
    name.extend_from_slice(&at.0.to_be_bytes());
    name.extend_from_slice(from.as_bytes());
    name.push(b'>');
    name.extend_from_slice(to.as_bytes());
    EventId(Uuid::new_v5(&EVENTS, &name))
}
