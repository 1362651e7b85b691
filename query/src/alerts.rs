//! Alert rules, and what is open now of alerts, incidents and trends. What was is in the history of their events.

use crate::columns::Kind::{Bool, F64, I32, I64, Id, Mac, Text, Time};
use crate::tables::NowTable;

pub(crate) const ALERTS: NowTable = NowTable {
    name: "alerts",
    query: "SELECT a.tenant_id, a.alert_id, a.rule_id, r.name AS rule, a.kind, a.severity, a.subject_kind, a.subject_id,
 CASE a.subject_kind WHEN 'site' THEN p.name WHEN 'sector' THEN e.name ELSE d.name END AS subject, a.interface, d.id AS device_id,
 p.id AS site_id, p.name AS site, e.id AS sector_id, e.name AS sector, a.opened_at, a.value_milli::float8 / 1000 AS value,
 a.status, a.suppressor, a.cause_device_id, c.name AS cause, a.incident_id, a.acknowledged_at, a.acknowledged_by,
 a.silenced_until, a.assignee, instant(a.epoch * 250000) AS as_of
 FROM alerts a
 LEFT JOIN alert_rules r ON r.id = a.rule_id AND r.tenant_id = a.tenant_id
 LEFT JOIN devices d ON d.id = a.subject_id AND d.tenant_id = a.tenant_id
 LEFT JOIN sectors e ON e.id = CASE a.subject_kind WHEN 'sector' THEN a.subject_id ELSE d.sector_id END
  AND e.tenant_id = a.tenant_id
 LEFT JOIN sites p ON p.id = CASE a.subject_kind WHEN 'site' THEN a.subject_id WHEN 'sector' THEN e.site_id ELSE d.site_id END
  AND p.tenant_id = a.tenant_id
 LEFT JOIN devices c ON c.id = a.cause_device_id AND c.tenant_id = a.tenant_id
 WHERE a.tenant_id = $1 AND a.resolved_at IS NULL",
    columns: &[
        ("tenant_id", Id),
        ("alert_id", Id),
        ("rule_id", Id),
        ("rule", Text),
        ("kind", Text),
        ("severity", Text),
        ("subject_kind", Text),
        ("subject_id", Id),
        ("subject", Text),
        ("interface", Text),
        ("device_id", Id),
        ("site_id", Id),
        ("site", Text),
        ("sector_id", Id),
        ("sector", Text),
        ("opened_at", Time),
        ("value", F64),
        ("status", Text),
        ("suppressor", Text),
        ("cause_device_id", Id),
        ("cause", Text),
        ("incident_id", Id),
        ("acknowledged_at", Time),
        ("acknowledged_by", Text),
        ("silenced_until", Time),
        ("assignee", Text),
        ("as_of", Time),
    ],
};

pub(crate) const INCIDENTS: NowTable = NowTable {
    name: "incidents",
    query: "SELECT i.tenant_id, i.incident_id, i.root_kind, i.root_id,
 CASE i.root_kind WHEN 'site' THEN p.name WHEN 'sector' THEN e.name ELSE d.name END AS root, p.id AS site_id, p.name AS site,
 i.kind, i.severity, i.opened_at, i.alerts, i.devices, i.clients, i.alerts_most, i.devices_most, i.clients_most,
 i.acknowledged_at, i.acknowledged_by, instant(i.epoch * 250000) AS as_of
 FROM incidents i
 LEFT JOIN devices d ON d.id = i.root_id AND d.tenant_id = i.tenant_id
 LEFT JOIN sectors e ON e.id = i.root_id AND e.tenant_id = i.tenant_id
 LEFT JOIN sites p ON p.id = CASE i.root_kind WHEN 'site' THEN i.root_id WHEN 'sector' THEN e.site_id ELSE d.site_id END
  AND p.tenant_id = i.tenant_id
 WHERE i.tenant_id = $1 AND i.closed_at IS NULL",
    columns: &[
        ("tenant_id", Id),
        ("incident_id", Id),
        ("root_kind", Text),
        ("root_id", Id),
        ("root", Text),
        ("site_id", Id),
        ("site", Text),
        ("kind", Text),
        ("severity", Text),
        ("opened_at", Time),
        ("alerts", I64),
        ("devices", I64),
        ("clients", I64),
        ("alerts_most", I64),
        ("devices_most", I64),
        ("clients_most", I64),
        ("acknowledged_at", Time),
        ("acknowledged_by", Text),
        ("as_of", Time),
    ],
};

pub(crate) const RULES: NowTable = NowTable {
    name: "rules",
    query: "SELECT r.tenant_id, r.id AS rule_id, r.name, r.kind, r.scope,
 coalesce(r.site_id, r.sector_id, r.group_id, r.tag_id, r.device_id) AS scope_id, r.subject, r.interface, r.operator,
 CASE WHEN r.operator IS NOT NULL THEN r.enter_milli::float8 / 1000 END AS enter,
 CASE WHEN r.operator IS NOT NULL THEN r.clear_milli::float8 / 1000 END AS clear,
 r.hits, r.clears, r.severity, r.enabled,
 (SELECT string_agg((ARRAY['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])[d], ',' ORDER BY d) FROM unnest(r.schedule_days) d)
  AS schedule_days,
 left(make_time(r.schedule_from / 60, r.schedule_from % 60, 0)::text, 5) AS schedule_from,
 left(make_time(r.schedule_to / 60, r.schedule_to % 60, 0)::text, 5) AS schedule_to, r.schedule_zone
 FROM alert_rules r WHERE r.tenant_id = $1",
    columns: &[
        ("tenant_id", Id),
        ("rule_id", Id),
        ("name", Text),
        ("kind", Text),
        ("scope", Text),
        ("scope_id", Id),
        ("subject", Text),
        ("interface", Text),
        ("operator", Text),
        ("enter", F64),
        ("clear", F64),
        ("hits", I32),
        ("clears", I32),
        ("severity", Text),
        ("enabled", Bool),
        ("schedule_days", Text),
        ("schedule_from", Text),
        ("schedule_to", Text),
        ("schedule_zone", Text),
    ],
};

pub(crate) const TRENDS: NowTable = NowTable {
    name: "trends",
    query: "SELECT t.tenant_id, t.mac, t.ap_device_id, ap.name AS ap, t.radio_mac, ap.site_id, p.name AS site, ap.sector_id,
 e.name AS sector, t.test, t.since, t.baseline_cdbm::float8 / 100 AS baseline_dbm,
 t.opened_cdbm::float8 / 100 AS opened_dbm, instant(t.epoch * 250000) AS as_of
 FROM trends t
 LEFT JOIN devices ap ON ap.id = t.ap_device_id AND ap.tenant_id = t.tenant_id
 LEFT JOIN sites p ON p.id = ap.site_id AND p.tenant_id = t.tenant_id
 LEFT JOIN sectors e ON e.id = ap.sector_id AND e.tenant_id = t.tenant_id
 WHERE t.tenant_id = $1 AND t.ended_at IS NULL",
    columns: &[
        ("tenant_id", Id),
        ("mac", Mac),
        ("ap_device_id", Id),
        ("ap", Text),
        ("radio_mac", Mac),
        ("site_id", Id),
        ("site", Text),
        ("sector_id", Id),
        ("sector", Text),
        ("test", Text),
        ("since", Time),
        ("baseline_dbm", F64),
        ("opened_dbm", F64),
        ("as_of", Time),
    ],
};
