//! States as intervals, and what share of a window each had: tables of now over the transitions that are committed.
//!
//! An interval ends where a later transition says that another state began. Later is by slot, not by time: a poll that was
//! bound late can say that what an overdue timer ended had gone on, and then it is right. So intervals never overlap, and
//! what a later transition took back is not shown.
//!
//! Windows end at the instant that the tables of now show. Of a window, what is in no interval of an observed state counts
//! as unobserved: nobody looked then, so it is neither up nor down. Nor is what was in maintenance, which is told for itself.

use crate::columns::Kind::{F64, I32, Id, Text, Time};
use crate::tables::NowTable;

/// The instant that the tables of now show.
macro_rules! as_of {
    () => {
        "(SELECT instant(min(epoch) * 250000) FROM job_progress)"
    };
}

/// From `points` (tenant, `$key`, slot, rank in the slot, time, state) to intervals.
macro_rules! intervals {
    ($key:literal, $columns:literal, $points:literal) => {
        concat!(
            "(SELECT * FROM (SELECT tenant_id, ",
            $key,
            ", state, at AS began_at, min(at) OVER (PARTITION BY tenant_id, ",
            $key,
            " ORDER BY epoch DESC, at DESC, rank DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended_at",
            $columns,
            " FROM (",
            $points,
            ") AS points) AS intervals WHERE ended_at IS NULL OR ended_at > began_at)"
        )
    };
}

// A state whose event is not among the transitions holds after all of them: the job was begun anew, and is not told what it
// takes back. A timer's event comes before that of a poll of the same instant.
macro_rules! device_intervals {
    () => {
        intervals!(
            "device_id",
            ", outcome",
            "SELECT tenant_id, device_id, epoch, at, outcome IS NOT NULL AS rank, to_state AS state, outcome
 FROM device_events WHERE tenant_id = $1
 UNION ALL
 SELECT s.tenant_id, s.device_id, greatest(s.epoch, l.epoch + 1), greatest(s.since, l.at), true, s.state, s.outcome
 FROM device_status s
 CROSS JOIN LATERAL (SELECT max(e.epoch) AS epoch, max(e.at) AS at FROM device_events e
  WHERE e.tenant_id = $1 AND e.device_id = s.device_id) AS l
 WHERE s.tenant_id = $1 AND NOT EXISTS (SELECT FROM device_events e WHERE e.tenant_id = $1
  AND e.device_id = s.device_id AND e.at = s.since AND e.to_state = s.state)"
        )
    };
}

macro_rules! place_intervals {
    () => {
        intervals!(
            "place_kind, place_id",
            "",
            "SELECT tenant_id, place_kind, place_id, epoch, at, true AS rank, to_state AS state
 FROM health_events WHERE tenant_id = $1
 UNION ALL
 SELECT h.tenant_id, h.kind, h.id, greatest(h.epoch, l.epoch + 1), greatest(h.since, l.at), true, h.state
 FROM place_health h
 CROSS JOIN LATERAL (SELECT max(e.epoch) AS epoch, max(e.at) AS at FROM health_events e
  WHERE e.tenant_id = $1 AND e.place_kind = h.kind AND e.place_id = h.id) AS l
 WHERE h.tenant_id = $1 AND NOT EXISTS (SELECT FROM health_events e WHERE e.tenant_id = $1
  AND e.place_kind = h.kind AND e.place_id = h.id AND e.at = h.since AND e.to_state = h.state)"
        )
    };
}

/// Microseconds of an interval that lie in the window of a row.
macro_rules! inside {
    () => {
        "micros(least(coalesce(i.ended_at, w.until), w.until)) - micros(greatest(i.began_at, w.since))"
    };
}

/// Windows that end now, beside an interval `i`.
macro_rules! windows {
    () => {
        concat!(
            "(SELECT hours AS window_hours, until, until - make_interval(hours => hours) AS since FROM (SELECT ",
            as_of!(),
            " AS until) AS now, (VALUES (24), (168), (720)) AS hours (hours) WHERE until IS NOT NULL) AS w"
        )
    };
}

macro_rules! share {
    ($state:literal) => {
        concat!(
            "coalesce(sum(i.us) FILTER (WHERE i.state = '",
            $state,
            "'), 0)"
        )
    };
}

/// Intervals of devices, oldest first for each; the running one has no end.
pub(crate) const DEVICE_STATES: NowTable = NowTable {
    name: "device_states",
    query: concat!(
        "SELECT i.tenant_id, i.device_id, d.name AS device, d.site_id, d.sector_id, i.state, i.began_at, i.ended_at,
 i.outcome, ",
        as_of!(),
        " AS as_of FROM ",
        device_intervals!(),
        " AS i JOIN devices d ON d.id = i.device_id AND d.tenant_id = i.tenant_id"
    ),
    columns: &[
        ("tenant_id", Id),
        ("device_id", Id),
        ("device", Text),
        ("site_id", Id),
        ("sector_id", Id),
        ("state", Text),
        ("began_at", Time),
        ("ended_at", Time),
        ("outcome", Text),
        ("as_of", Time),
    ],
};

/// How long each device had which state in the last day, week and 30 days.
pub(crate) const DEVICE_AVAILABILITY: NowTable = NowTable {
    name: "device_availability",
    query: concat!(
        "SELECT tenant_id, device_id, device, site_id, sector_id, window_hours, online / 1e6::float8 AS online_s,
 offline / 1e6::float8 AS offline_s, unmanageable / 1e6::float8 AS unmanageable_s,
 window_hours * 3600 - (online + offline + unmanageable) / 1e6::float8 AS unobserved_s,
 online::float8 / NULLIF(online + offline + unmanageable, 0)::float8 AS availability, as_of
 FROM (SELECT d.tenant_id, d.id AS device_id, d.name AS device, d.site_id, d.sector_id, w.window_hours, ",
        share!("online"),
        " AS online, ",
        share!("offline"),
        " AS offline, ",
        share!("unmanageable"),
        " AS unmanageable, w.until AS as_of
 FROM devices d CROSS JOIN ",
        windows!(),
        " LEFT JOIN LATERAL (SELECT i.state, ",
        inside!(),
        " AS us FROM ",
        device_intervals!(),
        " AS i WHERE i.device_id = d.id AND i.began_at < w.until AND (i.ended_at IS NULL OR i.ended_at > w.since)) AS i ON true
 WHERE d.tenant_id = $1
 GROUP BY d.tenant_id, d.id, d.name, d.site_id, d.sector_id, w.window_hours, w.until) AS shares"
    ),
    columns: &[
        ("tenant_id", Id),
        ("device_id", Id),
        ("device", Text),
        ("site_id", Id),
        ("sector_id", Id),
        ("window_hours", I32),
        ("online_s", F64),
        ("offline_s", F64),
        ("unmanageable_s", F64),
        ("unobserved_s", F64),
        ("availability", F64),
        ("as_of", Time),
    ],
};

/// Intervals of tenants, sites and sectors while they have devices.
pub(crate) const PLACE_STATES: NowTable = NowTable {
    name: "place_states",
    query: concat!(
        "SELECT i.tenant_id, i.place_kind, i.place_id, coalesce(si.name, se.name, t.name) AS name,
 coalesce(si.id, se.site_id) AS site_id, i.state, i.began_at, i.ended_at, ",
        as_of!(),
        " AS as_of FROM ",
        place_intervals!(),
        " AS i
 LEFT JOIN tenants t ON i.place_kind = 'tenant' AND t.id = i.place_id
 LEFT JOIN sites si ON i.place_kind = 'site' AND si.id = i.place_id AND si.tenant_id = i.tenant_id
 LEFT JOIN sectors se ON i.place_kind = 'sector' AND se.id = i.place_id AND se.tenant_id = i.tenant_id
 WHERE i.state IS NOT NULL"
    ),
    columns: &[
        ("tenant_id", Id),
        ("place_kind", Text),
        ("place_id", Id),
        ("name", Text),
        ("site_id", Id),
        ("state", Text),
        ("began_at", Time),
        ("ended_at", Time),
        ("as_of", Time),
    ],
};

/// How long each place had which state in the last day, week and 30 days.
pub(crate) const PLACE_AVAILABILITY: NowTable = NowTable {
    name: "place_availability",
    query: concat!(
        "SELECT tenant_id, place_kind, place_id, window_hours, up / 1e6::float8 AS up_s, degraded / 1e6::float8 AS degraded_s,
 down / 1e6::float8 AS down_s, maintenance / 1e6::float8 AS maintenance_s,
 window_hours * 3600 - (up + degraded + down + maintenance) / 1e6::float8 AS unobserved_s,
 (up + degraded)::float8 / NULLIF(up + degraded + down, 0)::float8 AS availability, as_of
 FROM (SELECT h.tenant_id, h.kind AS place_kind, h.id AS place_id, w.window_hours, ",
        share!("up"),
        " AS up, ",
        share!("degraded"),
        " AS degraded, ",
        share!("down"),
        " AS down, ",
        share!("maintenance"),
        " AS maintenance, w.until AS as_of
 FROM place_health h CROSS JOIN ",
        windows!(),
        " LEFT JOIN LATERAL (SELECT i.state, ",
        inside!(),
        " AS us FROM ",
        place_intervals!(),
        " AS i WHERE i.place_kind = h.kind AND i.place_id = h.id AND i.began_at < w.until
  AND (i.ended_at IS NULL OR i.ended_at > w.since)) AS i ON true
 WHERE h.tenant_id = $1
 GROUP BY h.tenant_id, h.kind, h.id, w.window_hours, w.until) AS shares"
    ),
    columns: &[
        ("tenant_id", Id),
        ("place_kind", Text),
        ("place_id", Id),
        ("window_hours", I32),
        ("up_s", F64),
        ("degraded_s", F64),
        ("down_s", F64),
        ("maintenance_s", F64),
        ("unobserved_s", F64),
        ("availability", F64),
        ("as_of", Time),
    ],
};
