//! Incidents: alerts with one root, which people are told of together.

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::alerts::{IncidentView, RuleKind};
use mast_schemas::notifications::{Extent, title};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use super::alerts::acts::AckInput;
use super::alerts::deed::{Deed, Noted};
use super::alerts::notes::{self, CommentInput, Note, On};
use super::crud;
use crate::http::access::{Operator, Viewer};
use crate::http::extract::{Body, Path, Query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};

/// What the dataflow says of an open incident: live streams carry this much of it.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct LiveIncident {
    pub(crate) id: Uuid,
    /// What it comes from: `device`, `site` or `sector`.
    pub(crate) root_kind: String,
    /// Id of that.
    pub(crate) root_id: Uuid,
    /// Kind of the rule of its first alert, of those of its root if there are any.
    pub(crate) kind: String,
    /// Greatest severity of the alerts that were ever in it.
    pub(crate) severity: String,
    pub(crate) opened_at: Time,
    /// Alerts in it; of a closed one, when it closed.
    pub(crate) alerts: i64,
    /// Devices that its alerts are of.
    pub(crate) devices: i64,
    /// Links of those devices that are down.
    pub(crate) clients: i64,
}

impl From<IncidentView> for LiveIncident {
    fn from(view: IncidentView) -> Self {
        Self {
            id: view.incident_id.0,
            root_kind: view.root.kind().to_string(),
            root_id: view.root.id(),
            kind: view.kind.to_string(),
            severity: view.severity.to_string(),
            opened_at: view.opened_at.into(),
            alerts: view.alerts.into(),
            devices: view.devices.into(),
            clients: view.clients.into(),
        }
    }
}

/// An incident in words, as people are told of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Words {
    /// What happened to its root, in a line.
    title: String,
    /// Why it is there, or what ended it, in a line.
    cause: String,
}

impl FromRow<'_, PgRow> for Words {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let number = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        let kind = row.try_get::<&str, _>("kind")?.parse::<RuleKind>();
        let kind = kind.map_err(|error| sqlx::Error::Decode(error.into()))?;
        let name = match row.try_get::<Option<String>, _>("root")? {
            Some(name) => name,
            None => row.try_get::<Uuid, _>("root_id")?.to_string(),
        };
        let cause = match row.try_get("status")? {
            "resolved" => "all of its alerts have resolved".to_owned(),
            "merged" => "another incident took its alerts".to_owned(),
            _ => {
                let extent = Extent {
                    alerts: number("alerts")?,
                    devices: number("devices")?,
                    below: number("below")?,
                };
                extent.cause(kind, &name)
            }
        };
        let title = title(kind, &name);
        Ok(Self { title, cause })
    }
}

/// An incident. Its alerts are those of `/alerts` with `filter=incident_id=…`, also where they are resolved.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Incident {
    #[serde(flatten)]
    #[sqlx(flatten)]
    live: LiveIncident,
    #[serde(flatten)]
    #[sqlx(flatten)]
    words: Words,
    /// `open`, `resolved` or `merged`.
    status: String,
    /// Name of the root; null where it is deleted.
    root: Option<String>,
    site_id: Option<Uuid>,
    site: Option<String>,
    /// Most alerts in it at a time.
    alerts_most: i64,
    /// Most devices.
    devices_most: i64,
    /// Most links that were down.
    clients_most: i64,
    /// Null while it is open.
    closed_at: Option<Time>,
    /// The incident that took its alerts.
    merged_into: Option<Uuid>,
    acknowledged_at: Option<Time>,
    /// Who did: name of the token.
    acknowledged_by: Option<String>,
}

macro_rules! live_incident_columns {
    () => {
        "i.incident_id AS id, i.root_kind, i.root_id, i.kind, i.severity, i.opened_at, i.alerts, i.devices,
 i.clients"
    };
}
pub(crate) use live_incident_columns;

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/incidents",
    select: concat!(
        live_incident_columns!(),
        ", coalesce(i.closing, 'open') AS status,
 CASE i.root_kind WHEN 'site' THEN p.name WHEN 'sector' THEN e.name ELSE d.name END AS root, p.id AS site_id, p.name AS site,
 array_position(ARRAY['info', 'warning', 'critical'], i.severity)::bigint AS severity_level, i.alerts_most, i.devices_most, i.clients_most, i.closed_at, i.merged_into,
 i.acknowledged_at, i.acknowledged_by, (SELECT count(DISTINCT h.subject_id) FROM alerts h
  WHERE h.tenant_id = i.tenant_id AND h.incident_id = i.incident_id AND h.resolved_at IS NULL
  AND h.cause_device_id = i.root_id AND h.subject_kind IN ('device', 'interface')) AS below"
    ),
    from: "incidents i
 LEFT JOIN devices d ON d.id = i.root_id AND d.tenant_id = i.tenant_id
 LEFT JOIN sectors e ON e.id = i.root_id AND e.tenant_id = i.tenant_id
 LEFT JOIN sites p ON p.id = CASE i.root_kind WHEN 'site' THEN i.root_id WHEN 'sector' THEN e.site_id ELSE d.site_id END
  AND p.tenant_id = i.tenant_id
 WHERE i.tenant_id = $1",
    columns: &[
        Column::new("id", "i.incident_id", Kind::Id),
        Column::new("opened_at", "i.opened_at", Kind::Time),
        Column::new("closed_at", "i.closed_at", Kind::Time).or_null(),
        Column::new("status", "coalesce(i.closing, 'open')", Kind::Text),
        Column::new(
            "severity_level",
            "array_position(ARRAY['info', 'warning', 'critical'], i.severity)",
            Kind::Int,
        ),
        Column::new("severity", "i.severity", Kind::Text).unsorted(),
        Column::new("kind", "i.kind", Kind::Text).unsorted(),
        Column::new("root_kind", "i.root_kind", Kind::Text).unsorted(),
        Column::new("root_id", "i.root_id", Kind::Id).unsorted(),
        Column::new("site_id", "p.id", Kind::Id).or_null().unsorted(),
        Column::new("devices_most", "i.devices_most", Kind::Int),
        Column::new("clients_most", "i.clients_most", Kind::Int),
        Column::new("acknowledged", "(i.acknowledged_at IS NOT NULL)", Kind::Bool).unsorted(),
    ],
    key: &["id"],
    sort: "-opened_at",
};

/// Incidents, the newest first: open ones with `filter=status=open`, and those that closed within 90 days.
#[utoipa::path(get, path = "/api/v1/incidents", tag = "incidents", params(ListQuery), responses((status = 200, body = Page<Incident>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Incident>(&who, &LISTING, query, &headers).await
}

/// An incident.
#[utoipa::path(get, path = "/api/v1/incidents/{id}", tag = "incidents", params(("id" = Uuid, Path)), responses((status = 200, body = Incident)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let incident: Incident = LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    reply::list(&headers, &incident)
}

impl Noted for Incident {
    const LISTING: &'static Listing = &LISTING;

    fn on(id: Uuid) -> On {
        On::Incident(id)
    }
}

/// Says that somebody has seen an incident.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/ack", tag = "incidents", params(("id" = Uuid, Path)), request_body = AckInput,
    responses((status = 200, body = Incident)))]
pub(crate) async fn ack(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(input): Body<AckInput>,
) -> Result<Response, Problem> {
    notes::check(input.note.as_deref())?;
    let mut deed = match Deed::<Incident>::begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    sqlx::query!(
        "UPDATE incidents SET acknowledged_at = CASE WHEN $3 THEN now() END, acknowledged_by = CASE WHEN $3 THEN $4 END
         WHERE tenant_id = $1 AND incident_id = $2",
        who.tenant().0,
        id,
        input.acknowledged,
        who.by(),
    )
    .execute(deed.tx())
    .await?;
    deed.note("acknowledge", input.said()).await?;
    deed.done().await
}

/// Comments on an incident.
#[utoipa::path(post, path = "/api/v1/incidents/{id}/comments", tag = "incidents", params(("id" = Uuid, Path)), request_body = CommentInput,
    responses((status = 201, body = Note)))]
pub(crate) async fn comment(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(input): Body<CommentInput>,
) -> Result<Response, Problem> {
    input.check()?;
    match Deed::<Incident>::begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed.comment(&input).await,
        Err(answer) => Ok(answer),
    }
}
