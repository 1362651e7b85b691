//! Why an alert is there: its rule, the values around its opening, what is above it, and what became of it.

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::alerts::RuleKind;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Alert, LISTING};
use crate::http::access::Viewer;
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::Bind;
use crate::resources::alert_events::{self, AlertEvent};
use crate::resources::incidents::{self, Incident};
use crate::resources::rules::values::{self, Window};
use crate::resources::rules::{self, Rule};
use crate::rules::decimal;

/// Values are shown from so long before the opening until so long after it, microseconds.
const BEFORE: i64 = 3_600 * 1_000_000;
const AFTER: i64 = 600 * 1_000_000;
/// At most so many.
const VALUES: usize = 500;

/// Why an alert is there. What could not be read is named in `missing`; everything else is as it was committed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explanation {
    alert: Alert,
    /// The rule as it is now; null where it is deleted.
    rule: Option<Rule>,
    /// What the value that opened it was compared with, at that time; null for kinds that are so or not, and where nobody noted it.
    threshold: Option<f64>,
    /// The values that the rule was judged by around the opening, the oldest first.
    values: Vec<Judged>,
    /// The alert's opening and resolving.
    events: Vec<AlertEvent>,
    /// The device that it is of, or whose site's it is, and what is above it as far as it is set by hand; with how each is now.
    ancestors: Vec<Ancestor>,
    /// The incident that it is in, or was last.
    incident: Option<Incident>,
    /// What could not be said exactly, and why.
    missing: Vec<String>,
}

/// A value around the opening.
#[derive(Serialize, ToSchema)]
pub(crate) struct Judged {
    at: Time,
    /// Null: the poll or the minute had none, which counts for nothing.
    value: Option<f64>,
}

/// A device above.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Ancestor {
    device_id: Uuid,
    name: String,
    role: String,
    /// `online`, `offline`, `unmanageable` or `unobserved`.
    state: String,
    since: Option<Time>,
    /// Steps above the subject; 0 is the subject's own device.
    steps: i32,
}

/// Explains an alert: the rule as it is, the values around the opening, what is above the subject, and the incident.
#[utoipa::path(get, path = "/api/v1/alerts/{id}/explain", tag = "alerts", params(("id" = Uuid, Path)),
    responses((status = 200, body = Explanation)))]
pub(crate) async fn explain(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let tenant = who.tenant().0;
    let mut tx = who.read().await?;
    let alert: Alert = LISTING.by_id(&mut tx, tenant, id).await?;
    let key = |id: Uuid| vec![Bind::Id(vec![id])];
    let rule: Option<Rule> = rules::LISTING
        .one(&mut tx, tenant, key(alert.live.rule_id))
        .await?;
    let incident: Option<Incident> = match alert.live.incident_id {
        Some(id) => incidents::LISTING.one(&mut tx, tenant, key(id)).await?,
        None => None,
    };
    let events = alert_events::of_alert(&mut tx, tenant, id).await?;
    let ancestors = ancestors(&mut tx, tenant, &alert).await?;
    drop(tx);
    let mut missing = Vec::new();
    if rule.is_none() {
        missing.push("the rule is deleted: what it said is not known any more".to_owned());
    }
    missing.push(
        "above a device are shown only parents that are set by hand; those that follow from links are in cause and incident"
            .to_owned(),
    );
    let values = around(&who, &alert, &mut missing).await?;
    let threshold = events.first().and_then(|event| event.threshold());
    let explanation = Explanation {
        alert,
        rule,
        threshold,
        values,
        events,
        ancestors,
        incident,
        missing,
    };
    reply::list(&headers, &explanation)
}

/// The values around the opening.
async fn around(
    who: &Viewer,
    alert: &Alert,
    missing: &mut Vec<String>,
) -> Result<Vec<Judged>, Problem> {
    let live = &alert.live;
    let Ok(kind) = live.kind.parse::<RuleKind>() else {
        return Ok(Vec::new());
    };
    let window = Window {
        ids: &[live.subject_id],
        from: Time(live.opened_at.0.saturating_sub(BEFORE)),
        to: Time(live.opened_at.0.saturating_add(AFTER)),
    };
    let Some(source) = values::source(kind, window) else {
        missing.push(format!("history does not keep the values of {kind}"));
        return Ok(Vec::new());
    };
    missing.extend(source.note.map(str::to_owned));
    let values = source.read(&who.queries(), VALUES).await?;
    let values = values
        .into_iter()
        .filter(|value| value.interface == live.interface);
    let values: Vec<_> = values
        .map(|value| Judged {
            at: value.at,
            value: value.value_milli.map(decimal),
        })
        .collect();
    if values.is_empty() {
        missing.push("history has no values of that time any more, or not yet".to_owned());
    }
    Ok(values)
}

/// The subject's device, or the router of its site, and its parents by hand. Parents may go round: each is shown once.
async fn ancestors(
    tx: &mut PgConnection,
    tenant: Uuid,
    alert: &Alert,
) -> Result<Vec<Ancestor>, Problem> {
    let is_place = matches!(alert.live.subject_kind.as_str(), "site" | "sector");
    let rows = sqlx::query_as::<_, Ancestor>(
        "WITH RECURSIVE up AS (
             SELECT d.id, d.parent_id, 0 AS steps, ARRAY[d.id] AS path FROM devices d
             WHERE d.tenant_id = $1 AND d.id = CASE WHEN $3 THEN (
                 SELECT r.id FROM devices r WHERE r.tenant_id = $1 AND r.site_id = $4 AND r.role = 'router' AND r.enabled
                 ORDER BY r.id LIMIT 1) ELSE $2 END
             UNION ALL
             SELECT d.id, d.parent_id, up.steps + 1, up.path || d.id FROM up
             JOIN devices d ON d.tenant_id = $1 AND d.id = up.parent_id
             WHERE NOT d.id = ANY (up.path) AND up.steps < 100)
         SELECT d.id AS device_id, d.name, d.role, coalesce(s.state, 'unobserved') AS state, s.since, up.steps
         FROM up JOIN devices d ON d.tenant_id = $1 AND d.id = up.id
         LEFT JOIN device_status s ON s.device_id = d.id AND s.tenant_id = d.tenant_id
         ORDER BY up.steps",
    )
    .bind(tenant)
    .bind(alert.live.subject_id)
    .bind(is_place)
    .bind(alert.site_id)
    .fetch_all(tx)
    .await?;
    Ok(rows)
}
