//! The tables of now, each a fixed query over one tenant's rows.
//!
//! `$1` is the tenant. It is compared here besides row level security, so that either alone would do.

use crate::alerts::{ALERTS, INCIDENTS, RULES, TRENDS};
use crate::columns::Kind::{self, Bool, F64, I16, I32, I64, Id, Mac, Text, Time};
use crate::ribbons::{DEVICE_AVAILABILITY, DEVICE_STATES, PLACE_AVAILABILITY, PLACE_STATES};

/// A table over Postgres.
#[derive(Debug)]
pub(crate) struct NowTable {
    /// Name in SQL.
    pub(crate) name: &'static str,
    /// What it reads; yields the columns by their names.
    pub(crate) query: &'static str,
    /// Its columns.
    pub(crate) columns: &'static [(&'static str, Kind)],
}

/// All tables of now.
pub(crate) static NOW: &[NowTable] = &[
    DEVICES,
    SITES,
    SECTORS,
    LINKS,
    CLIENTS,
    ALERTS,
    INCIDENTS,
    RULES,
    TRENDS,
    DEVICE_STATES,
    DEVICE_AVAILABILITY,
    PLACE_STATES,
    PLACE_AVAILABILITY,
];

const DEVICES: NowTable = NowTable {
    name: "devices",
    query: "SELECT d.tenant_id, d.id AS device_id, d.name, d.address, d.role, d.enabled, d.interval_ms, d.site_id,
 si.name AS site, d.sector_id, se.name AS sector, coalesce(s.state, 'unobserved') AS state, s.since, s.outcome,
 s.identity, s.version, s.board, s.architecture, s.serial, s.firmware, instant(s.epoch * 250000) AS as_of,
 g.observed_at AS measured_at, g.round_trip_ms, g.cpu_load_percent, g.memory_free_bytes, g.uptime_s
 FROM devices d
 LEFT JOIN device_status s ON s.device_id = d.id AND s.tenant_id = d.tenant_id
 LEFT JOIN device_gauges g ON g.device_id = d.id AND g.tenant_id = d.tenant_id
 LEFT JOIN sites si ON si.id = d.site_id AND si.tenant_id = d.tenant_id
 LEFT JOIN sectors se ON se.id = d.sector_id AND se.tenant_id = d.tenant_id
 WHERE d.tenant_id = $1",
    columns: &[
        ("tenant_id", Id),
        ("device_id", Id),
        ("name", Text),
        ("address", Text),
        ("role", Text),
        ("enabled", Bool),
        ("interval_ms", I32),
        ("site_id", Id),
        ("site", Text),
        ("sector_id", Id),
        ("sector", Text),
        ("state", Text),
        ("since", Time),
        ("outcome", Text),
        ("identity", Text),
        ("version", Text),
        ("board", Text),
        ("architecture", Text),
        ("serial", Text),
        ("firmware", Text),
        ("as_of", Time),
        ("measured_at", Time),
        ("round_trip_ms", I64),
        ("cpu_load_percent", I16),
        ("memory_free_bytes", I64),
        ("uptime_s", I64),
    ],
};

/// What is so now of a place `p`: its counts, signals, health, past, traffic and noise.
macro_rules! place_columns {
    () => {
        "coalesce(c.devices_online, 0) AS devices_online, coalesce(c.devices_offline, 0) AS devices_offline,
 coalesce(c.devices_unmanageable, 0) AS devices_unmanageable, coalesce(c.devices_unobserved, 0) AS devices_unobserved,
 coalesce(c.links_discovered, 0) AS links_discovered, coalesce(c.links_active, 0) AS links_active,
 coalesce(c.links_degraded, 0) AS links_degraded, coalesce(c.links_down, 0) AS links_down,
 coalesce(c.links_stale, 0) AS links_stale, coalesce(c.links_unobserved, 0) AS links_unobserved,
 coalesce(g.clients, 0) AS clients, g.sum_dbm::float8 / NULLIF(g.clients, 0) AS signal_mean_dbm,
 g.p10_dbm AS signal_p10_dbm, g.worst_dbm AS signal_worst_dbm, instant(c.epoch * 250000) AS as_of,
 coalesce(h.state, 'unknown') AS state, h.since, a.hour_ago AS clients_hour_ago, a.week_ago AS clients_week_ago,
 CASE WHEN r.interfaces > 0 THEN r.rx_bps END AS rx_bps, CASE WHEN r.interfaces > 0 THEN r.tx_bps END AS tx_bps,
 r.noise_sum_dbm::float8 / NULLIF(r.radios, 0) AS noise_mean_dbm, r.noise_worst_dbm"
    };
}

/// Where [`place_columns`] come from.
macro_rules! place_joins {
    ($kind:literal) => {
        concat!(
            " LEFT JOIN place_health h ON h.id = p.id AND h.tenant_id = p.tenant_id AND h.kind = '",
            $kind,
            "'",
            " LEFT JOIN place_past_clients a ON a.id = p.id AND a.tenant_id = p.tenant_id AND a.kind = '",
            $kind,
            "'",
            " LEFT JOIN place_air r ON r.id = p.id AND r.tenant_id = p.tenant_id AND r.kind = '",
            $kind,
            "'",
            " LEFT JOIN place_counts c ON c.id = p.id AND c.tenant_id = p.tenant_id AND c.kind = '",
            $kind,
            "'",
            " LEFT JOIN place_signals g ON g.id = p.id AND g.tenant_id = p.tenant_id AND g.kind = '",
            $kind,
            "'"
        )
    };
}

const SITES: NowTable = NowTable {
    name: "sites",
    query: concat!(
        "SELECT p.tenant_id, p.id AS site_id, p.name, p.latitude AS latitude_deg, p.longitude AS longitude_deg, p.elevation_m, ",
        place_columns!(),
        " FROM sites p",
        place_joins!("site"),
        " WHERE p.tenant_id = $1"
    ),
    columns: &[
        ("tenant_id", Id),
        ("site_id", Id),
        ("name", Text),
        ("latitude_deg", F64),
        ("longitude_deg", F64),
        ("elevation_m", F64),
        ("devices_online", I64),
        ("devices_offline", I64),
        ("devices_unmanageable", I64),
        ("devices_unobserved", I64),
        ("links_discovered", I64),
        ("links_active", I64),
        ("links_degraded", I64),
        ("links_down", I64),
        ("links_stale", I64),
        ("links_unobserved", I64),
        ("clients", I64),
        ("signal_mean_dbm", F64),
        ("signal_p10_dbm", I16),
        ("signal_worst_dbm", I16),
        ("as_of", Time),
        ("state", Text),
        ("since", Time),
        ("clients_hour_ago", I64),
        ("clients_week_ago", I64),
        ("rx_bps", I64),
        ("tx_bps", I64),
        ("noise_mean_dbm", F64),
        ("noise_worst_dbm", I16),
    ],
};

const SECTORS: NowTable = NowTable {
    name: "sectors",
    query: concat!(
        "SELECT p.tenant_id, p.id AS sector_id, p.name, p.site_id, si.name AS site, p.azimuth_deg, p.beamwidth_deg, ",
        place_columns!(),
        " FROM sectors p JOIN sites si ON si.id = p.site_id AND si.tenant_id = p.tenant_id",
        place_joins!("sector"),
        " WHERE p.tenant_id = $1"
    ),
    columns: &[
        ("tenant_id", Id),
        ("sector_id", Id),
        ("name", Text),
        ("site_id", Id),
        ("site", Text),
        ("azimuth_deg", F64),
        ("beamwidth_deg", F64),
        ("devices_online", I64),
        ("devices_offline", I64),
        ("devices_unmanageable", I64),
        ("devices_unobserved", I64),
        ("links_discovered", I64),
        ("links_active", I64),
        ("links_degraded", I64),
        ("links_down", I64),
        ("links_stale", I64),
        ("links_unobserved", I64),
        ("clients", I64),
        ("signal_mean_dbm", F64),
        ("signal_p10_dbm", I16),
        ("signal_worst_dbm", I16),
        ("as_of", Time),
        ("state", Text),
        ("since", Time),
        ("clients_hour_ago", I64),
        ("clients_week_ago", I64),
        ("rx_bps", I64),
        ("tx_bps", I64),
        ("noise_mean_dbm", F64),
        ("noise_worst_dbm", I16),
    ],
};

macro_rules! link_select {
    ($distinct:literal, $columns:literal, $joins:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $distinct,
            "l.tenant_id, l.ap_device_id, ap.name AS ap, l.interface, l.radio_mac, l.mac, l.cpe_device_id,
 cpe.name AS cpe, ap.site_id, si.name AS site, ap.sector_id, se.name AS sector, l.source, l.state, l.since, l.reason,
 l.discovered_at, l.unobserved, l.ambiguous, instant(l.epoch * 250000) AS as_of, g.observed_at AS measured_at,
 g.signal_dbm, g.station_signal_dbm, g.snr_db, g.tx_ccq_percent, g.tx_rate_bps, g.rx_rate_bps",
            $columns,
            "
 FROM links l
 LEFT JOIN link_gauges g ON g.tenant_id = l.tenant_id AND g.ap_device_id = l.ap_device_id
  AND g.radio_mac = l.radio_mac AND g.mac = l.mac
 LEFT JOIN devices ap ON ap.id = l.ap_device_id AND ap.tenant_id = l.tenant_id
 LEFT JOIN devices cpe ON cpe.id = l.cpe_device_id AND cpe.tenant_id = l.tenant_id
 LEFT JOIN sites si ON si.id = ap.site_id AND si.tenant_id = l.tenant_id
 LEFT JOIN sectors se ON se.id = ap.sector_id AND se.tenant_id = l.tenant_id",
            $joins,
            "
 WHERE l.tenant_id = $1",
            $order
        )
    };
}

macro_rules! link_columns {
    ($($more:expr),*) => {
        &[
            ("tenant_id", Id),
            ("ap_device_id", Id),
            ("ap", Text),
            ("interface", Text),
            ("radio_mac", Mac),
            ("mac", Mac),
            ("cpe_device_id", Id),
            ("cpe", Text),
            ("site_id", Id),
            ("site", Text),
            ("sector_id", Id),
            ("sector", Text),
            ("source", Text),
            ("state", Text),
            ("since", Time),
            ("reason", Text),
            ("discovered_at", Time),
            ("unobserved", Bool),
            ("ambiguous", Bool),
            ("as_of", Time),
            ("measured_at", Time),
            ("signal_dbm", I16),
            ("station_signal_dbm", I16),
            ("snr_db", I16),
            ("tx_ccq_percent", I32),
            ("tx_rate_bps", I64),
            ("rx_rate_bps", I64),
            $($more),*
        ]
    };
}

const LINKS: NowTable = NowTable {
    name: "links",
    query: link_select!("", "", "", ""),
    columns: link_columns!(),
};

/// Each client once: its live link, else the one that changed last; with its IP address and name, as routers say.
const CLIENTS: NowTable = NowTable {
    name: "clients",
    query: link_select!(
        "DISTINCT ON (l.mac) ",
        ", a.address, a.host_name, a.source AS address_source, a.since AS address_since",
        "
 LEFT JOIN client_addresses a ON a.tenant_id = l.tenant_id AND a.mac = l.mac",
        " ORDER BY l.mac, (l.state IN ('active', 'degraded')) DESC, l.since DESC, l.ap_device_id, l.radio_mac"
    ),
    columns: link_columns!(
        ("address", Text),
        ("host_name", Text),
        ("address_source", Text),
        ("address_since", Time)
    ),
};
