//! How often a rule would have fired: its steps over the values of history, by the code that the dataflow steps with.
//!
//! The trap: a fleet's week is more than anybody waits for. So the window is cut to what is at most so many values, and the
//! answer says which one it was.

use std::time::SystemTime;

use axum::response::Response;
use mast_schemas::alerts::{RuleSubject, Scope};
use mast_schemas::control;
use mast_schemas::hours::Hours;
use mast_schemas::{DeviceId, GroupId, RuleId, SectorId, SiteId, TagId, TenantId, Timestamp};
use mast_state::rules::{Progress, Step, matches};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::values::{self, Source, Value, Window};
use super::{LISTING, Rule, checked};
use crate::http::access::Viewer;
use crate::http::extract::{Body, Path};
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;
use crate::rules::{Checked, RuleInput, decimal};

/// The window, where it need not be cut, microseconds.
const WEEK: i64 = 7 * DAY;
const DAY: i64 = 86_400 * 1_000_000;
const MINUTE: i64 = 60 * 1_000_000;
/// Values at most.
const VALUES: i64 = 200_000;
/// Things that are judged at most.
const SUBJECTS: i64 = 2_000;
/// Alerts that are shown.
const SHOWN: usize = 100;

/// What a rule would have done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Preview {
    /// Begin of the window: seven days ago, or as early as there are not too many values.
    from: Time,
    to: Time,
    /// How many things it judges now; at most 2,000 of them are looked at.
    subjects: i64,
    /// How often it would have fired.
    fired: u64,
    /// Of that, how often it would still be firing at the end.
    open: u64,
    /// The first hundred times.
    alerts: Vec<Fired>,
    /// Whether values, window and subjects are those that the dataflow would have judged.
    exact: bool,
    /// Why not.
    notes: Vec<String>,
}

/// A time that it would have fired.
#[derive(Serialize, ToSchema)]
pub(crate) struct Fired {
    subject_id: Uuid,
    interface: Option<String>,
    opened_at: Time,
    value: f64,
    /// Null: it would be firing still.
    resolved_at: Option<Time>,
}

/// How often a rule that is there would have fired in the last seven days, as it is now.
#[utoipa::path(post, path = "/api/v1/rules/{id}/preview", tag = "rules", params(("id" = Uuid, Path)),
    responses((status = 200, body = Preview)))]
pub(crate) async fn of_rule(who: Viewer, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let mut tx = who.read().await?;
    let rule: Rule = LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    reply::done(&preview(&who, &RuleInput::from(&rule)).await?)
}

/// How often a rule would have fired in the last seven days, before it is made.
#[utoipa::path(post, path = "/api/v1/rules/preview", tag = "rules", request_body = RuleInput,
    responses((status = 200, body = Preview)))]
pub(crate) async fn of_input(
    who: Viewer,
    Body(input): Body<RuleInput>,
) -> Result<Response, Problem> {
    reply::done(&preview(&who, &input).await?)
}

/// The rule as the dataflow has it.
pub(crate) fn controlled(tenant: TenantId, input: &RuleInput, checked: &Checked) -> control::Rule {
    let id = input.scope_id.unwrap_or_default();
    control::Rule {
        id: RuleId(Uuid::nil()),
        tenant_id: tenant,
        name: input.name.clone(),
        kind: checked.kind,
        scope: match input.scope.as_str() {
            "site" => Scope::Site(SiteId(id)),
            "sector" => Scope::Sector(SectorId(id)),
            "group" => Scope::Group(GroupId(id)),
            "tag" => Scope::Tag(TagId(id)),
            "device" => Scope::Device(DeviceId(id)),
            _ => Scope::Tenant,
        },
        subject: checked.subject,
        interface: input.interface.clone(),
        operator: checked.operator,
        enter_milli: checked.enter_milli,
        clear_milli: checked.clear_milli,
        hits: u16::try_from(checked.hits).unwrap_or(u16::MAX),
        clears: u16::try_from(checked.clears).unwrap_or(u16::MAX),
        severity: checked.severity,
        enabled: true,
        version: 0,
        schedule: checked.schedule.clone(),
    }
}

async fn preview(who: &Viewer, input: &RuleInput) -> Result<Preview, Problem> {
    let checked = checked(input)?;
    let rule = controlled(who.tenant(), input, &checked);
    let mut tx = who.read().await?;
    must_exist(&mut tx, who.tenant().0, input).await?;
    let found = subjects(&mut tx, who.tenant().0, &rule).await?;
    drop(tx);
    let now = Timestamp::from_system(SystemTime::now()).0;
    let length = found.length();
    let mut preview = Preview {
        from: Time(now - length),
        to: Time(now),
        subjects: found.number,
        fired: 0,
        open: 0,
        alerts: Vec::new(),
        exact: true,
        notes: Vec::new(),
    };
    preview
        .notes
        .push("scopes are taken as they are now".to_owned());
    if found.number > SUBJECTS {
        preview.inexact(format!("of these, {SUBJECTS} are looked at"));
    }
    if length < WEEK {
        preview.inexact("the window is cut: there are too many values in seven days".to_owned());
    }
    if found.ids.is_empty() {
        return Ok(preview);
    }
    let window = Window {
        ids: &found.ids,
        from: preview.from,
        to: preview.to,
    };
    let source = values::source(rule.kind, window);
    if let Some(note) = source.note {
        preview.inexact(note.to_owned());
    }
    let most = usize::try_from(VALUES).unwrap_or(0);
    let _turn = who.app().preview_turn()?;
    let values = source.read(&who.queries(), most).await?;
    if values.len() == most {
        preview.inexact("there are more values than are looked at: the newest are".to_owned());
    }
    let stepped = tokio::task::spawn_blocking(move || {
        preview.run(&rule, &source, &values);
        preview
    });
    stepped.await.map_err(|e| Problem::internal(&e))
}

impl Preview {
    fn inexact(&mut self, why: String) {
        self.exact = false;
        self.notes.push(why);
    }

    /// Steps the rule through all values of each subject.
    fn run(&mut self, rule: &control::Rule, source: &Source, values: &[Value]) {
        let pattern = rule.interface.as_deref().unwrap_or("*");
        let hours = rule.schedule.as_ref().and_then(Hours::of);
        let within = |at| {
            let hours = hours.as_ref();
            hours.is_none_or(|hours| hours.contain(Timestamp(at)))
        };
        let same = |a: &Value, b: &Value| (a.id, &a.interface) == (b.id, &b.interface);
        for of_subject in values.chunk_by(same) {
            let name = of_subject[0].interface.as_deref();
            if !name.is_none_or(|name| matches(pattern, name)) {
                continue;
            }
            let mut progress = Progress::default();
            for (n, value) in of_subject.iter().enumerate() {
                let until = of_subject.get(n + 1).map_or(self.to.0, |next| next.at.0);
                for at in moments(source, value.at.0, until) {
                    let Some(milli) = value.value_milli.filter(|_| within(at)) else {
                        continue;
                    };
                    match progress.step(rule, Timestamp(at), milli) {
                        Some(Step::Opened) => self.opened(value, at, milli),
                        Some(Step::Cleared(opened, _)) => self.cleared(value, opened.0, at),
                        None => {}
                    }
                }
            }
        }
    }

    fn opened(&mut self, value: &Value, at: i64, milli: i64) {
        self.fired += 1;
        self.open += 1;
        if self.alerts.len() < SHOWN {
            self.alerts.push(Fired {
                subject_id: value.id,
                interface: value.interface.clone(),
                opened_at: Time(at),
                value: decimal(milli),
                resolved_at: None,
            });
        }
    }

    fn cleared(&mut self, value: &Value, opened: i64, at: i64) {
        self.open -= 1;
        let shown = self.alerts.iter_mut().rev().find(|fired| {
            fired.subject_id == value.id
                && fired.interface == value.interface
                && fired.opened_at.0 == opened
        });
        if let Some(fired) = shown {
            fired.resolved_at = Some(Time(at));
        }
    }
}

/// When a value is judged: at its poll, or at each whole minute from its own until the next value's, but no longer than it
/// holds.
pub(crate) fn moments(source: &Source, at: i64, until: i64) -> impl Iterator<Item = i64> {
    let (first, end, step) = match source.every_minutes {
        None => (at, at + 1, MINUTE),
        Some(minutes) => {
            let first = at.div_euclid(MINUTE) * MINUTE + if at % MINUTE == 0 { 0 } else { MINUTE };
            (first, until.min(at + minutes * MINUTE), MINUTE)
        }
    };
    (0..)
        .map(move |n| first + n * step)
        .take_while(move |at| *at < end)
}

/// Refuses a scope that names what this tenant has not.
async fn must_exist(tx: &mut PgConnection, tenant: Uuid, input: &RuleInput) -> Result<(), Problem> {
    let sql = match input.scope.as_str() {
        "site" => "SELECT EXISTS (SELECT FROM sites WHERE tenant_id = $1 AND id = $2)",
        "sector" => "SELECT EXISTS (SELECT FROM sectors WHERE tenant_id = $1 AND id = $2)",
        "group" => "SELECT EXISTS (SELECT FROM device_groups WHERE tenant_id = $1 AND id = $2)",
        "tag" => "SELECT EXISTS (SELECT FROM tags WHERE tenant_id = $1 AND id = $2)",
        "device" => "SELECT EXISTS (SELECT FROM devices WHERE tenant_id = $1 AND id = $2)",
        _ => return Ok(()),
    };
    let found: bool = sqlx::query_scalar(sql)
        .bind(tenant)
        .bind(input.scope_id)
        .fetch_one(tx)
        .await?;
    match found {
        true => Ok(()),
        false => Err(Problem::field(
            "/scope_id",
            "there is no such thing in this tenant",
        )),
    }
}

/// What a rule judges.
struct Found {
    ids: Vec<Uuid>,
    number: i64,
    /// Microseconds between two values of one; the mean.
    interval: i64,
}

impl Found {
    /// Length of the window that holds not too many values.
    fn length(&self) -> i64 {
        let each = i64::try_from(self.ids.len()).unwrap_or(i64::MAX).max(1);
        let values = (VALUES / each).max(1);
        values.saturating_mul(self.interval.max(1)).min(WEEK)
    }
}

/// The things that a rule judges by its scope, as it is now.
async fn subjects(
    tx: &mut PgConnection,
    tenant: Uuid,
    rule: &control::Rule,
) -> Result<Found, Problem> {
    let (scope, id) = match rule.scope {
        Scope::Tenant => ("tenant", Uuid::nil()),
        Scope::Site(id) => ("site", id.0),
        Scope::Sector(id) => ("sector", id.0),
        Scope::Group(id) => ("group", id.0),
        Scope::Tag(id) => ("tag", id.0),
        Scope::Device(id) => ("device", id.0),
    };
    let sql = match rule.subject {
        RuleSubject::Device | RuleSubject::Interface => {
            "SELECT d.id, count(*) OVER () AS number, (avg(d.interval_ms) OVER ())::bigint * 1000 AS interval FROM devices d
             WHERE d.tenant_id = $1 AND d.enabled AND CASE $2 WHEN 'site' THEN d.site_id = $3 WHEN 'sector' THEN d.sector_id = $3
                 WHEN 'group' THEN d.group_ids @> ARRAY[$3] WHEN 'tag' THEN d.tag_ids @> ARRAY[$3] WHEN 'device' THEN d.id = $3
                 ELSE true END
             ORDER BY d.id LIMIT $4"
        }
        RuleSubject::Site => {
            "SELECT p.id, count(*) OVER () AS number, 300000000::bigint AS interval FROM sites p
             WHERE p.tenant_id = $1 AND ($2 <> 'site' OR p.id = $3) ORDER BY p.id LIMIT $4"
        }
        RuleSubject::Sector => {
            "SELECT e.id, count(*) OVER () AS number, 300000000::bigint AS interval FROM sectors e
             WHERE e.tenant_id = $1 AND CASE $2 WHEN 'site' THEN e.site_id = $3 WHEN 'sector' THEN e.id = $3 ELSE true END
             ORDER BY e.id LIMIT $4"
        }
    };
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(sql)
        .bind(tenant)
        .bind(scope)
        .bind(id)
        .bind(SUBJECTS)
        .fetch_all(tx)
        .await?;
    let (number, interval) = rows
        .first()
        .map_or((0, 0), |(_, number, interval)| (*number, *interval));
    Ok(Found {
        ids: rows.into_iter().map(|(id, ..)| id).collect(),
        number,
        interval,
    })
}
