//! Openings and ends of alerts, incidents and trends.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::alerts::Alert;
use super::crud;
use crate::http::access::Viewer;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::http::wire::{MacText, Time};
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// An alert opened or resolved.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct AlertEvent {
    id: Uuid,
    at: Time,
    alert_id: Uuid,
    rule_id: Uuid,
    kind: String,
    severity: String,
    subject_kind: String,
    subject_id: Uuid,
    interface: Option<String>,
    /// `opened` or `resolved`.
    change: String,
    /// Why it resolved.
    resolution: Option<String>,
    /// The value that did it.
    value: Option<f64>,
    /// What it is compared with: to enter when it opened, to clear when it resolved.
    threshold: Option<f64>,
}

macro_rules! alert_event_columns {
    () => {
        "v.event_id AS id, v.at, v.alert_id, v.rule_id, v.kind, v.severity, v.subject_kind, v.subject_id, v.interface, v.change,
 v.resolution, v.value_milli::float8 / 1000 AS value, v.threshold_milli::float8 / 1000 AS threshold"
    };
}

impl AlertEvent {
    /// What the value was compared with.
    pub(crate) const fn threshold(&self) -> Option<f64> {
        self.threshold
    }
}

/// The events of an alert, the oldest first.
pub(crate) async fn of_alert(
    tx: &mut PgConnection,
    tenant: Uuid,
    alert: Uuid,
) -> Result<Vec<AlertEvent>, Problem> {
    let sql = concat!(
        "SELECT ",
        alert_event_columns!(),
        " FROM alert_events v WHERE v.tenant_id = $1 AND v.alert_id = $2 ORDER BY v.at, v.change"
    );
    let events = sqlx::query_as(sql).bind(tenant).bind(alert);
    Ok(events.fetch_all(tx).await?)
}

/// The events of an alert's rule and subject within a time, whose ends are part of it, the oldest first.
pub(crate) async fn of_rule_and_subject(
    tx: &mut PgConnection,
    tenant: Uuid,
    alert: &Alert,
    (from, until): (Time, Time),
) -> Result<Vec<AlertEvent>, Problem> {
    let sql = concat!(
        "SELECT ",
        alert_event_columns!(),
        " FROM alert_events v WHERE v.tenant_id = $1 AND v.at >= instant($2) AND v.at <= instant($3) AND v.rule_id = $4
 AND v.subject_kind = $5 AND v.subject_id = $6 AND v.interface IS NOT DISTINCT FROM $7 ORDER BY v.at, v.change"
    );
    let live = &alert.live;
    let events = sqlx::query_as(sql).bind(tenant).bind(from.0).bind(until.0);
    let events = events.bind(live.rule_id).bind(&live.subject_kind);
    let events = events.bind(live.subject_id).bind(&live.interface);
    Ok(events.fetch_all(tx).await?)
}

pub(crate) static ALERTS: Listing = Listing {
    path: "/api/v1/alert-events",
    select: alert_event_columns!(),
    from: "alert_events v WHERE v.tenant_id = $1",
    columns: &[
        Column::new("id", "v.event_id", Kind::Id),
        Column::new("at", "v.at", Kind::Time),
        Column::new("alert_id", "v.alert_id", Kind::Id).unsorted(),
        Column::new("rule_id", "v.rule_id", Kind::Id).unsorted(),
        Column::new("kind", "v.kind", Kind::Text).unsorted(),
        Column::new("severity", "v.severity", Kind::Text).unsorted(),
        Column::new("subject_kind", "v.subject_kind", Kind::Text).unsorted(),
        Column::new("subject_id", "v.subject_id", Kind::Id).unsorted(),
        Column::new("change", "v.change", Kind::Text).unsorted(),
        Column::new("resolution", "v.resolution", Kind::Text)
            .or_null()
            .unsorted(),
    ],
    key: &["id"],
    sort: "-at",
};

/// Openings and resolvings of alerts, the newest first; also of those that nobody was told of.
#[utoipa::path(get, path = "/api/v1/alert-events", tag = "alerts", params(ListQuery), responses((status = 200, body = Page<AlertEvent>)))]
pub(crate) async fn of_alerts(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<AlertEvent>(&who, &ALERTS, query, &headers).await
}

/// An incident opened, escalated or closed.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct IncidentEvent {
    id: Uuid,
    at: Time,
    incident_id: Uuid,
    /// `opened`, `escalated`, `resolved` or `merged`.
    change: String,
    /// The incident that took its alerts.
    merged_into: Option<Uuid>,
    root_kind: String,
    root_id: Uuid,
    kind: String,
    severity: String,
    opened_at: Time,
    alerts: i64,
    devices: i64,
    clients: i64,
}

pub(crate) static INCIDENTS: Listing = Listing {
    path: "/api/v1/incident-events",
    select: "v.event_id AS id, v.at, v.incident_id, v.change, v.merged_into, v.root_kind, v.root_id, v.kind,
 v.severity, v.opened_at, v.alerts, v.devices, v.clients",
    from: "incident_events v WHERE v.tenant_id = $1",
    columns: &[
        Column::new("id", "v.event_id", Kind::Id),
        Column::new("at", "v.at", Kind::Time),
        Column::new("incident_id", "v.incident_id", Kind::Id).unsorted(),
        Column::new("change", "v.change", Kind::Text).unsorted(),
        Column::new("root_kind", "v.root_kind", Kind::Text).unsorted(),
        Column::new("root_id", "v.root_id", Kind::Id).unsorted(),
        Column::new("kind", "v.kind", Kind::Text).unsorted(),
        Column::new("severity", "v.severity", Kind::Text).unsorted(),
    ],
    key: &["id"],
    sort: "-at",
};

/// What became of incidents, the newest first.
#[utoipa::path(get, path = "/api/v1/incident-events", tag = "incidents", params(ListQuery), responses((status = 200, body = Page<IncidentEvent>)))]
pub(crate) async fn of_incidents(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<IncidentEvent>(&who, &INCIDENTS, query, &headers).await
}

/// A client's signal began or ceased to degrade.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct TrendEvent {
    id: Uuid,
    at: Time,
    mac: MacText,
    ap_device_id: Uuid,
    radio_mac: MacText,
    /// `opened`, `recovered`, `accepted` or `gone`.
    change: String,
    /// `day` or `week`.
    test: String,
    baseline_dbm: f64,
    /// Mean of the recent window; null where none was asked.
    recent_dbm: Option<f64>,
}

pub(crate) static TRENDS: Listing = Listing {
    path: "/api/v1/trend-events",
    select: "v.event_id AS id, v.at, v.mac, v.ap_device_id, v.radio_mac, v.change, v.test,
 v.baseline_cdbm::float8 / 100 AS baseline_dbm, v.recent_cdbm::float8 / 100 AS recent_dbm",
    from: "trend_events v WHERE v.tenant_id = $1",
    columns: &[
        Column::new("id", "v.event_id", Kind::Id),
        Column::new("at", "v.at", Kind::Time),
        Column::new("mac", "v.mac", Kind::Mac).unsorted(),
        Column::new("ap_device_id", "v.ap_device_id", Kind::Id).unsorted(),
        Column::new("change", "v.change", Kind::Text).unsorted(),
        Column::new("test", "v.test", Kind::Text).unsorted(),
    ],
    key: &["id"],
    sort: "-at",
};

/// Beginnings and ends of trends, the newest first.
#[utoipa::path(get, path = "/api/v1/trend-events", tag = "trends", params(ListQuery), responses((status = 200, body = Page<TrendEvent>)))]
pub(crate) async fn of_trends(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<TrendEvent>(&who, &TRENDS, query, &headers).await
}
