//! What is so now of a site or sector `s`: its counts, signals, health, past, traffic, noise and open alerts.

use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::http::wire::Time;

/// What is so now of a place.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct PlaceNow {
    /// `up`, `degraded`, `down`, `unknown` or `maintenance`.
    state: String,
    /// Since when it is in this state; null while it has no device.
    since: Option<Time>,
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
    /// Live links with a signal.
    clients: i64,
    /// Live links an hour ago; null while it is not known for so long.
    clients_hour_ago: Option<i64>,
    /// Live links a week ago.
    clients_week_ago: Option<i64>,
    signal_mean_dbm: Option<f64>,
    /// The signal that a tenth of the clients do not exceed.
    signal_p10_dbm: Option<i16>,
    signal_worst_dbm: Option<i16>,
    /// What the radios that serve clients receive, in all.
    rx_bps: Option<i64>,
    /// What they send.
    tx_bps: Option<i64>,
    /// Noise at these radios.
    noise_mean_dbm: Option<f64>,
    noise_worst_dbm: Option<i16>,
    /// Alerts of it and of what stands there that did not resolve, whether or not anybody was told.
    alerts_open: i64,
    /// When its counts last changed.
    as_of: Option<Time>,
}

/// The columns of a [`PlaceNow`].
macro_rules! place_columns {
    () => {
        "coalesce(h.state, 'unknown') AS state, h.since,
 coalesce(c.devices_online, 0) AS devices_online, coalesce(c.devices_offline, 0) AS devices_offline,
 coalesce(c.devices_unmanageable, 0) AS devices_unmanageable, coalesce(c.devices_unobserved, 0) AS devices_unobserved,
 coalesce(c.links_discovered, 0) AS links_discovered, coalesce(c.links_active, 0) AS links_active,
 coalesce(c.links_degraded, 0) AS links_degraded, coalesce(c.links_down, 0) AS links_down,
 coalesce(c.links_stale, 0) AS links_stale, coalesce(c.links_unobserved, 0) AS links_unobserved,
 coalesce(g.clients, 0) AS clients, a.hour_ago AS clients_hour_ago, a.week_ago AS clients_week_ago,
 g.sum_dbm::float8 / NULLIF(g.clients, 0) AS signal_mean_dbm, g.p10_dbm AS signal_p10_dbm, g.worst_dbm AS signal_worst_dbm,
 CASE WHEN r.interfaces > 0 THEN r.rx_bps END AS rx_bps, CASE WHEN r.interfaces > 0 THEN r.tx_bps END AS tx_bps,
 r.noise_sum_dbm::float8 / NULLIF(r.radios, 0) AS noise_mean_dbm, r.noise_worst_dbm,
 coalesce(o.alerts, 0) AS alerts_open, c.epoch * 250000 AS as_of"
    };
}
pub(crate) use place_columns;

/// Where they come from. Open alerts are counted once for all places: each would else look at all of the tenant's.
macro_rules! place_joins {
    ($kind:literal) => {
        concat!(
            " LEFT JOIN place_health h ON h.id = s.id AND h.tenant_id = s.tenant_id AND h.kind = '",
            $kind,
            "' LEFT JOIN place_counts c ON c.id = s.id AND c.tenant_id = s.tenant_id AND c.kind = '",
            $kind,
            "' LEFT JOIN place_signals g ON g.id = s.id AND g.tenant_id = s.tenant_id AND g.kind = '",
            $kind,
            "' LEFT JOIN place_past_clients a ON a.id = s.id AND a.tenant_id = s.tenant_id AND a.kind = '",
            $kind,
            "' LEFT JOIN place_air r ON r.id = s.id AND r.tenant_id = s.tenant_id AND r.kind = '",
            $kind,
            "' LEFT JOIN (SELECT coalesce(od.",
            $kind,
            "_id, oe.",
            $kind,
            "_id, CASE oa.subject_kind WHEN 'site' THEN oa.subject_id END) AS place, count(*) AS alerts FROM alerts oa
 LEFT JOIN devices od ON od.id = oa.subject_id AND od.tenant_id = oa.tenant_id
 LEFT JOIN (SELECT tenant_id, site_id, id AS sector_id FROM sectors) oe ON oe.sector_id = oa.subject_id AND oe.tenant_id = oa.tenant_id
 WHERE oa.tenant_id = $1 AND oa.resolved_at IS NULL GROUP BY 1) o ON o.place = s.id"
        )
    };
}
pub(crate) use place_joins;

/// What places can be filtered and sorted by, beside what is their own.
macro_rules! place_filters {
    ($($own:expr),+ $(,)?) => {
        &[
            $($own,)+
            Column::new("state", "coalesce(h.state, 'unknown')", Kind::Text),
            Column::new("since", "h.since", Kind::Time).or_null(),
            Column::new("devices_offline", "coalesce(c.devices_offline, 0)", Kind::Int),
            Column::new("devices_unobserved", "coalesce(c.devices_unobserved, 0)", Kind::Int),
            Column::new("links_down", "coalesce(c.links_down, 0)", Kind::Int),
            Column::new("links_degraded", "coalesce(c.links_degraded, 0)", Kind::Int),
            Column::new("clients", "coalesce(g.clients, 0)", Kind::Int),
            Column::new("alerts_open", "coalesce(o.alerts, 0)", Kind::Int),
            Column::new("signal_worst_dbm", "g.worst_dbm", Kind::Int).or_null(),
            Column::new("rx_bps", "CASE WHEN r.interfaces > 0 THEN r.rx_bps END", Kind::Int).or_null(),
            Column::new("tx_bps", "CASE WHEN r.interfaces > 0 THEN r.tx_bps END", Kind::Int).or_null(),
            Column::new("noise_worst_dbm", "r.noise_worst_dbm", Kind::Int).or_null(),
        ]
    };
}
pub(crate) use place_filters;
