//! The fleet at a glance.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::access::Viewer;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;

/// Counts of the whole tenant. Those of devices and links are of one instant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// End of the newest slot that is committed; null before the first.
    as_of: Option<Time>,
    sites: i64,
    sectors: i64,
    devices: DeviceCounts,
    links: LinkCounts,
    signals: Signals,
}

/// Devices by state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceCounts {
    total: i64,
    online: i64,
    offline: i64,
    unmanageable: i64,
    unobserved: i64,
}

/// Links by state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkCounts {
    discovered: i64,
    active: i64,
    degraded: i64,
    down: i64,
    stale: i64,
    /// Those whose state is the last known one.
    unobserved: i64,
}

/// Signals of the live links.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Signals {
    /// Live links with a signal.
    clients: i64,
    mean_dbm: Option<f64>,
    /// The signal that a tenth of them do not exceed.
    p10_dbm: Option<i16>,
    worst_dbm: Option<i16>,
}

/// The fleet at a glance.
#[utoipa::path(get, path = "/api/v1/fleet/summary", tag = "fleet", responses((status = 200, body = Summary)))]
pub(crate) async fn summary(who: Viewer, headers: HeaderMap) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let row = sqlx::query!(
        r#"SELECT (SELECT min(epoch) * 250000 FROM job_progress) AS as_of,
               (SELECT count(*) FROM sites WHERE tenant_id = $1) AS "sites!",
               (SELECT count(*) FROM sectors WHERE tenant_id = $1) AS "sectors!",
               (SELECT count(*) FROM devices WHERE tenant_id = $1) AS "devices!",
               coalesce(c.devices_online, 0) AS "online!", coalesce(c.devices_offline, 0) AS "offline!",
               coalesce(c.devices_unmanageable, 0) AS "unmanageable!", coalesce(c.links_discovered, 0) AS "discovered!",
               coalesce(c.links_active, 0) AS "active!", coalesce(c.links_degraded, 0) AS "degraded!",
               coalesce(c.links_down, 0) AS "down!", coalesce(c.links_stale, 0) AS "stale!",
               coalesce(c.links_unobserved, 0) AS "links_unobserved!", coalesce(g.clients, 0) AS "clients!",
               g.sum_dbm::float8 / NULLIF(g.clients, 0) AS mean_dbm, g.p10_dbm AS "p10_dbm?", g.worst_dbm AS "worst_dbm?"
           FROM (SELECT $1::uuid AS id) t
           LEFT JOIN place_counts c ON c.kind = 'tenant' AND c.id = t.id AND c.tenant_id = t.id
           LEFT JOIN place_signals g ON g.kind = 'tenant' AND g.id = t.id AND g.tenant_id = t.id"#,
        who.tenant().0,
    )
    .fetch_one(&mut *tx)
    .await?;
    let summary = Summary {
        as_of: row.as_of.map(Time),
        sites: row.sites,
        sectors: row.sectors,
        devices: DeviceCounts {
            total: row.devices,
            online: row.online,
            offline: row.offline,
            unmanageable: row.unmanageable,
            // A device that the dataflow has not heard of yet is one that nobody has observed.
            unobserved: row.devices - row.online - row.offline - row.unmanageable,
        },
        links: LinkCounts {
            discovered: row.discovered,
            active: row.active,
            degraded: row.degraded,
            down: row.down,
            stale: row.stale,
            unobserved: row.links_unobserved,
        },
        signals: Signals {
            clients: row.clients,
            mean_dbm: row.mean_dbm,
            p10_dbm: row.p10_dbm,
            worst_dbm: row.worst_dbm,
        },
    };
    reply::list(&headers, &summary)
}
