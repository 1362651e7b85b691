//! Alerts: open ones, and those of the last 90 days.

pub(crate) mod acts;
mod ancestors;
pub(crate) mod deed;
pub(crate) mod explain;
pub(crate) mod notes;
mod suppression;

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::alerts::AlertView;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::crud;
use crate::http::access::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};
use crate::rules::decimal;

/// What the dataflow says of an open alert: live streams carry this much of it.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveAlert {
    pub(crate) id: Uuid,
    pub(crate) rule_id: Uuid,
    /// Kind of the rule.
    pub(crate) kind: String,
    /// `info`, `warning` or `critical`.
    pub(crate) severity: String,
    /// What it is of: `device`, `interface`, `site` or `sector`.
    pub(crate) subject_kind: String,
    /// Id of the device, site or sector.
    pub(crate) subject_id: Uuid,
    /// Name of the interface.
    pub(crate) interface: Option<String>,
    pub(crate) opened_at: Time,
    /// The value that opened it.
    pub(crate) value: f64,
    /// `waiting` (what is above may be the cause), `open` (people are told), `suppressed`, or `resolved`.
    pub(crate) status: String,
    /// Why nobody is told: `maintenance`, `flapping` or `dependency`.
    pub(crate) suppressor: Option<String>,
    /// The farthest device above it that is offline.
    pub(crate) cause_device_id: Option<Uuid>,
    /// The incident that it is in.
    pub(crate) incident_id: Option<Uuid>,
}

impl From<AlertView> for LiveAlert {
    fn from(view: AlertView) -> Self {
        Self {
            id: view.alert_id.0,
            rule_id: view.rule_id.0,
            kind: view.kind.to_string(),
            severity: view.severity.to_string(),
            subject_kind: view.subject.kind().to_string(),
            subject_id: view.subject.id(),
            interface: view.subject.interface().map(str::to_owned),
            opened_at: view.opened_at.into(),
            value: decimal(view.value_milli),
            status: view.status.to_string(),
            suppressor: view.suppressor.map(|why| why.to_string()),
            cause_device_id: view.cause_device_id.map(|id| id.0),
            incident_id: view.incident_id.map(|id| id.0),
        }
    }
}

/// An alert.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Alert {
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub(crate) live: LiveAlert,
    /// Name of the rule; null where it is deleted.
    rule: Option<String>,
    /// Name of the device, site or sector; null where it is deleted.
    subject: Option<String>,
    site_id: Option<Uuid>,
    site: Option<String>,
    sector_id: Option<Uuid>,
    sector: Option<String>,
    /// Name of the device that is the cause.
    cause: Option<String>,
    /// Null while it is open.
    resolved_at: Option<Time>,
    /// Why it resolved.
    resolution: Option<String>,
    /// The value that resolved it.
    resolved_value: Option<f64>,
    acknowledged_at: Option<Time>,
    /// Who did: name of the token.
    acknowledged_by: Option<String>,
    /// Until then escalations that are of silenced alerts alone are told nobody.
    silenced_until: Option<Time>,
    /// Who sees to it.
    assignee: Option<String>,
}

/// How an alert `a` is.
macro_rules! alert_status {
    () => {
        "(CASE WHEN a.resolved_at IS NULL THEN a.status ELSE 'resolved' END)"
    };
}

/// What the dataflow says of an alert `a`.
macro_rules! live_alert_columns {
    () => {
        concat!(
            "a.alert_id AS id, a.rule_id, a.kind, a.severity, a.subject_kind, a.subject_id, a.interface,
 a.opened_at, a.value_milli::float8 / 1000 AS value, ",
            $crate::resources::alerts::alert_status!(),
            " AS status, a.suppressor, a.cause_device_id, a.incident_id"
        )
    };
}
pub(crate) use alert_status;
pub(crate) use live_alert_columns;

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/alerts",
    select: concat!(
        live_alert_columns!(),
        ", r.name AS rule, CASE a.subject_kind WHEN 'site' THEN p.name WHEN 'sector' THEN e.name ELSE d.name END AS subject,
 p.id AS site_id, p.name AS site, e.id AS sector_id, e.name AS sector, c.name AS cause,
 a.resolved_at, a.resolution, a.resolved_value_milli::float8 / 1000 AS resolved_value,
 array_position(ARRAY['info', 'warning', 'critical'], a.severity)::bigint AS severity_level,
 a.acknowledged_at, a.acknowledged_by, a.silenced_until, a.assignee"
    ),
    from: "alerts a
 LEFT JOIN alert_rules r ON r.id = a.rule_id AND r.tenant_id = a.tenant_id
 LEFT JOIN devices d ON d.id = a.subject_id AND d.tenant_id = a.tenant_id
 LEFT JOIN sectors e ON e.id = CASE a.subject_kind WHEN 'sector' THEN a.subject_id ELSE d.sector_id END
  AND e.tenant_id = a.tenant_id
 LEFT JOIN sites p ON p.id = CASE a.subject_kind WHEN 'site' THEN a.subject_id WHEN 'sector' THEN e.site_id ELSE d.site_id END
  AND p.tenant_id = a.tenant_id
 LEFT JOIN devices c ON c.id = a.cause_device_id AND c.tenant_id = a.tenant_id
 WHERE a.tenant_id = $1",
    columns: &[
        Column::new("id", "a.alert_id", Kind::Id),
        Column::new("opened_at", "a.opened_at", Kind::Time),
        Column::new("resolved_at", "a.resolved_at", Kind::Time).or_null(),
        Column::new("status", alert_status!(), Kind::Text),
        Column::new(
            "severity_level",
            "array_position(ARRAY['info', 'warning', 'critical'], a.severity)",
            Kind::Int,
        ),
        Column::new("severity", "a.severity", Kind::Text).unsorted(),
        Column::new("kind", "a.kind", Kind::Text).unsorted(),
        Column::new("rule_id", "a.rule_id", Kind::Id).unsorted(),
        Column::new("subject_kind", "a.subject_kind", Kind::Text).unsorted(),
        Column::new("subject_id", "a.subject_id", Kind::Id).unsorted(),
        Column::new("device_id", "d.id", Kind::Id).or_null().unsorted(),
        Column::new("site_id", "p.id", Kind::Id).or_null().unsorted(),
        Column::new("sector_id", "e.id", Kind::Id).or_null().unsorted(),
        Column::new("incident_id", "a.incident_id", Kind::Id).or_null().unsorted(),
        Column::new("suppressor", "a.suppressor", Kind::Text).or_null().unsorted(),
        Column::new("resolution", "a.resolution", Kind::Text).or_null().unsorted(),
        Column::new("acknowledged_at", "a.acknowledged_at", Kind::Time).or_null(),
        Column::new("acknowledged", "(a.acknowledged_at IS NOT NULL)", Kind::Bool).unsorted(),
        Column::new("silenced_until", "a.silenced_until", Kind::Time).or_null().unsorted(),
        Column::new("assignee", "a.assignee", Kind::Text).or_null().unsorted(),
    ],
    key: &["id"],
    sort: "-opened_at",
};

/// Alerts, the newest first: open ones with `filter=status=waiting|open|suppressed`, and those that resolved within 90 days.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(ListQuery), responses((status = 200, body = Page<Alert>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Alert>(&who, &LISTING, query, &headers).await
}

/// An alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", params(("id" = Uuid, Path)), responses((status = 200, body = Alert)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let alert: Alert = LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    reply::list(&headers, &alert)
}
