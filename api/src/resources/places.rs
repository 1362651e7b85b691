//! What is so now of a site or sector `s`, as SQL.

/// Its counts and signals.
macro_rules! place_columns {
    () => {
        "coalesce(c.devices_online, 0) AS devices_online, coalesce(c.devices_offline, 0) AS devices_offline,
 coalesce(c.devices_unmanageable, 0) AS devices_unmanageable, coalesce(c.devices_unobserved, 0) AS devices_unobserved,
 coalesce(c.links_active, 0) AS links_active, coalesce(c.links_degraded, 0) AS links_degraded,
 coalesce(c.links_down, 0) AS links_down, coalesce(c.links_unobserved, 0) AS links_unobserved,
 coalesce(g.clients, 0) AS clients, g.sum_dbm::float8 / NULLIF(g.clients, 0) AS signal_mean_dbm,
 g.p10_dbm AS signal_p10_dbm, g.worst_dbm AS signal_worst_dbm, c.epoch * 250000 AS as_of"
    };
}
pub(crate) use place_columns;

/// Where [`place_columns`] come from.
macro_rules! place_joins {
    ($kind:literal) => {
        concat!(
            " LEFT JOIN place_counts c ON c.id = s.id AND c.tenant_id = s.tenant_id AND c.kind = '",
            $kind,
            "' LEFT JOIN place_signals g ON g.id = s.id AND g.tenant_id = s.tenant_id AND g.kind = '",
            $kind,
            "'"
        )
    };
}
pub(crate) use place_joins;
