//! Alert rules.

pub(crate) mod preview;
pub(crate) mod values;

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::control::Schedule;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use super::crud::{self, Resource};
use crate::hours::{clock, words};
use crate::http::access::{Operator, Viewer};
use crate::http::extract::{Body, IfMatch, MergePatch, Path, Query};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::{FieldError, Problem};
use crate::http::reply::Versioned;
use crate::listing::{Column, Kind, ListQuery, Listing, Page};
use crate::rules::{Checked, RuleInput, RuleSchedule};

/// An alert rule. What each kind looks at, and when it fires and clears, is in the manual.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Rule {
    id: Uuid,
    name: String,
    description: Option<String>,
    /// What it looks at.
    kind: String,
    /// Which things it judges: `tenant`, `site`, `sector`, `group`, `tag` or `device`.
    scope: String,
    /// Id of the site, sector, group, tag or device.
    scope_id: Option<Uuid>,
    /// Name of that.
    scope_name: Option<String>,
    /// What is judged: `device`, `interface`, `site` or `sector`.
    subject: String,
    /// Which interfaces, with `*` for any run of characters.
    interface: Option<String>,
    /// `gt`, `lt`, `gte` or `lte`; null for kinds that are so or not.
    operator: Option<String>,
    /// A value beyond this is bad.
    enter: Option<f64>,
    /// A value not beyond this is good again.
    clear: Option<f64>,
    /// Bad values in a row that fire.
    hits: i32,
    /// Good values in a row that clear.
    clears: i32,
    /// `info`, `warning` or `critical`.
    severity: String,
    /// Whether it judges.
    enabled: bool,
    /// When it judges; null: always.
    #[sqlx(flatten)]
    #[schema(value_type = Option<RuleSchedule>)]
    schedule: Scheduled,
    /// Open alerts of it.
    alerts: i64,
    /// Rises with each change.
    version: i64,
}

/// When it judges, by columns of its own.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Scheduled(Option<RuleSchedule>);

impl FromRow<'_, PgRow> for Scheduled {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let Some(time_zone) = row.try_get("schedule_zone")? else {
            return Ok(Self(None));
        };
        let days: Option<Vec<i16>> = row.try_get("schedule_days")?;
        let minute = |name| {
            let minute = row.try_get::<Option<i16>, _>(name);
            minute.map(|minute| minute.map(clock))
        };
        Ok(Self(Some(RuleSchedule {
            days: days.as_deref().map(words),
            from: minute("schedule_from")?,
            to: minute("schedule_to")?,
            time_zone,
        })))
    }
}

/// The columns of a schedule: days, from, to and time zone.
type Columns = (Option<Vec<i16>>, Option<i16>, Option<i16>, Option<String>);

fn columns(schedule: Option<Schedule>) -> Columns {
    let Some(schedule) = schedule else {
        return (None, None, None, None);
    };
    let days: Vec<i16> = schedule.days.into_iter().map(i16::from).collect();
    let minute = |minute: Option<u16>| minute.and_then(|minute| i16::try_from(minute).ok());
    (
        Some(days).filter(|days| !days.is_empty()),
        minute(schedule.from_minute),
        minute(schedule.to_minute),
        Some(schedule.time_zone),
    )
}

impl Versioned for Rule {
    fn version(&self) -> i64 {
        self.version
    }
}

impl From<&Rule> for RuleInput {
    fn from(row: &Rule) -> Self {
        Self {
            name: row.name.clone(),
            description: row.description.clone(),
            kind: row.kind.clone(),
            scope: row.scope.clone(),
            scope_id: row.scope_id,
            subject: Some(row.subject.clone()),
            interface: row.interface.clone(),
            operator: row.operator.clone(),
            enter: row.enter,
            clear: row.clear,
            hits: Some(row.hits),
            clears: Some(row.clears),
            severity: row.severity.clone(),
            enabled: row.enabled,
            schedule: row.schedule.0.clone(),
        }
    }
}

/// The rule that an input is.
pub(crate) fn checked(input: &RuleInput) -> Result<Checked, Problem> {
    input.checked().map_err(|faults| {
        let errors = faults.into_iter();
        Problem::invalid(
            errors
                .map(|f| FieldError::new(f.pointer, f.detail))
                .collect(),
        )
    })
}

/// The scope's id where the scope is `kind`.
fn scoped(input: &RuleInput, kind: &str) -> Option<Uuid> {
    input.scope_id.filter(|_| input.scope == kind)
}

impl Resource for Rule {
    type Input = RuleInput;
    const LISTING: &'static Listing = &LISTING;
    /// Each of the tenant's polls is judged by them.
    const MOST: Option<i64> = Some(1_000);
    const KEYS: &'static [(&'static str, &'static str)] = &[
        ("site_id", "/scope_id"),
        ("sector_id", "/scope_id"),
        ("group_id", "/scope_id"),
        ("tag_id", "/scope_id"),
        ("device_id", "/scope_id"),
    ];

    fn check(input: &RuleInput) -> Result<(), Problem> {
        checked(input).map(drop)
    }

    async fn insert(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &RuleInput,
    ) -> Result<(), sqlx::Error> {
        let Ok(rule) = input.checked() else {
            return Err(sqlx::Error::RowNotFound);
        };
        let (days, from, to, zone) = columns(rule.schedule);
        sqlx::query!(
            "INSERT INTO alert_rules (tenant_id, id, name, description, kind, scope, site_id, sector_id, group_id, tag_id,
                 device_id, subject, interface, operator, enter_milli, clear_milli, hits, clears, severity, enabled,
                 schedule_days, schedule_from, schedule_to, schedule_zone)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                 $24)",
            tenant,
            id,
            input.name,
            input.description,
            rule.kind.as_str(),
            input.scope,
            scoped(input, "site"),
            scoped(input, "sector"),
            scoped(input, "group"),
            scoped(input, "tag"),
            scoped(input, "device"),
            rule.subject.as_str(),
            input.interface,
            rule.operator.map(|o| o.as_str()),
            rule.enter_milli,
            rule.clear_milli,
            rule.hits,
            rule.clears,
            rule.severity.as_str(),
            input.enabled,
            days.as_deref(),
            from,
            to,
            zone,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn update(
        tx: &mut PgConnection,
        tenant: Uuid,
        id: Uuid,
        input: &RuleInput,
    ) -> Result<(), sqlx::Error> {
        let Ok(rule) = input.checked() else {
            return Err(sqlx::Error::RowNotFound);
        };
        let (days, from, to, zone) = columns(rule.schedule);
        sqlx::query!(
            "UPDATE alert_rules SET name = $3, description = $4, kind = $5, scope = $6, site_id = $7, sector_id = $8,
                 group_id = $9, tag_id = $10, device_id = $11, subject = $12, interface = $13, operator = $14,
                 enter_milli = $15, clear_milli = $16, hits = $17, clears = $18, severity = $19, enabled = $20,
                 schedule_days = $21, schedule_from = $22, schedule_to = $23, schedule_zone = $24
             WHERE tenant_id = $1 AND id = $2",
            tenant,
            id,
            input.name,
            input.description,
            rule.kind.as_str(),
            input.scope,
            scoped(input, "site"),
            scoped(input, "sector"),
            scoped(input, "group"),
            scoped(input, "tag"),
            scoped(input, "device"),
            rule.subject.as_str(),
            input.interface,
            rule.operator.map(|o| o.as_str()),
            rule.enter_milli,
            rule.clear_milli,
            rule.hits,
            rule.clears,
            rule.severity.as_str(),
            input.enabled,
            days.as_deref(),
            from,
            to,
            zone,
        )
        .execute(tx)
        .await
        .map(drop)
    }

    async fn delete(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "DELETE FROM alert_rules WHERE tenant_id = $1 AND id = $2",
            tenant,
            id
        )
        .execute(tx)
        .await
        .map(drop)
    }
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/rules",
    select: "r.id, r.name, r.description, r.kind, r.scope,
 coalesce(r.site_id, r.sector_id, r.group_id, r.tag_id, r.device_id) AS scope_id,
 coalesce(p.name, e.name, g.name, t.name, d.name) AS scope_name, r.subject, r.interface, r.operator,
 CASE WHEN r.operator IS NOT NULL THEN r.enter_milli::float8 / 1000 END AS enter,
 CASE WHEN r.operator IS NOT NULL THEN r.clear_milli::float8 / 1000 END AS clear,
 r.hits, r.clears, r.severity, r.enabled, r.schedule_days, r.schedule_from, r.schedule_to, r.schedule_zone, r.version,
 (SELECT count(*) FROM alerts a WHERE a.rule_id = r.id AND a.tenant_id = r.tenant_id AND a.resolved_at IS NULL) AS alerts",
    from: "alert_rules r
 LEFT JOIN sites p ON p.id = r.site_id AND p.tenant_id = r.tenant_id
 LEFT JOIN sectors e ON e.id = r.sector_id AND e.tenant_id = r.tenant_id
 LEFT JOIN device_groups g ON g.id = r.group_id AND g.tenant_id = r.tenant_id
 LEFT JOIN tags t ON t.id = r.tag_id AND t.tenant_id = r.tenant_id
 LEFT JOIN devices d ON d.id = r.device_id AND d.tenant_id = r.tenant_id
 WHERE r.tenant_id = $1",
    columns: &[
        Column::new("id", "r.id", Kind::Id),
        Column::new("name", "r.name", Kind::Text).unique(),
        Column::new("kind", "r.kind", Kind::Text),
        Column::new("scope", "r.scope", Kind::Text),
        Column::new(
            "scope_id",
            "coalesce(r.site_id, r.sector_id, r.group_id, r.tag_id, r.device_id)",
            Kind::Id,
        )
        .or_null()
        .unsorted(),
        Column::new("subject", "r.subject", Kind::Text),
        Column::new("severity", "r.severity", Kind::Text),
        Column::new("enabled", "r.enabled", Kind::Bool),
    ],
    key: &["id"],
    sort: "name",
};

/// Alert rules. A new tenant begins with ten, which can be changed and deleted like others.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules", params(ListQuery), responses((status = 200, body = Page<Rule>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Rule>(&who, &LISTING, query, &headers).await
}

/// An alert rule.
#[utoipa::path(get, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = Uuid, Path)), responses((status = 200, body = Rule)))]
pub(crate) async fn get(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::get::<Rule>(&who, id, &headers).await
}

/// Makes an alert rule. It judges from the next poll or minute on.
#[utoipa::path(post, path = "/api/v1/rules", tag = "rules", request_body = RuleInput, responses((status = 201, body = Rule)))]
pub(crate) async fn create(
    who: Operator,
    key: IdempotencyKey,
    Body(input): Body<RuleInput>,
) -> Result<Response, Problem> {
    crud::create::<Rule, _>(&who, key, &input).await
}

/// Changes an alert rule. Thresholds, hits, clears and schedule hold from the next value on, and runs go on; another kind, subject or
/// interface is another rule, so its open alerts resolve. Disabled, or with a scope that leaves something out, it resolves what
/// is open there.
#[utoipa::path(patch, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = Uuid, Path)),
    request_body(content = RuleInput, content_type = "application/merge-patch+json"), responses((status = 200, body = Rule)))]
pub(crate) async fn patch(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
    patch: MergePatch,
) -> Result<Response, Problem> {
    crud::patch::<Rule, _>(&who, id, if_match, patch).await
}

/// Deletes an alert rule: its open alerts resolve.
#[utoipa::path(delete, path = "/api/v1/rules/{id}", tag = "rules", params(("id" = Uuid, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    who: Operator,
    Path(id): Path<Uuid>,
    if_match: IfMatch,
) -> Result<Response, Problem> {
    crud::delete::<Rule, _>(&who, id, if_match).await
}
