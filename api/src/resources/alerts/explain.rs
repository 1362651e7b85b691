//! Why an alert is there: its rule, the values around its opening and what the rule makes of them, what is above it, what keeps
//! people from being told, and what became of it.

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::alerts::RuleKind;
use mast_schemas::{Timestamp, control};
use mast_state::rules::{Progress, bad, good};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ancestors::{self, Ancestor};
use super::suppression::{self, Suppression};
use super::{Alert, LISTING};
use crate::http::access::Viewer;
use crate::http::extract::Path;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::Bind;
use crate::resources::alert_events::{self, AlertEvent};
use crate::resources::incidents::{self, Incident};
use crate::resources::rules::preview::{controlled, moments};
use crate::resources::rules::values::{self, Source, Value, Window};
use crate::resources::rules::{self, Rule, checked};
use crate::rules::{RuleInput, decimal};

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
    /// The device that it is of, and what is above it, or above the place that it is of; with how each is now.
    ancestors: Vec<Ancestor>,
    suppression: Suppression,
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
    /// `bad` or `good` by the rule; null where it is neither, where there is no value, and where the rule is deleted.
    judged: Option<&'static str>,
    /// How many in a row, after it: bad ones while no alert is open, else good ones.
    run: Option<u16>,
}

/// Explains an alert: the rule as it is, the values around the opening, what is above the subject, what keeps people from being
/// told, and the incident.
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
    let ancestors = ancestors::of(&mut tx, tenant, &alert).await?;
    let suppression = suppression::of(&mut tx, tenant, &alert).await?;
    drop(tx);
    let mut missing = Vec::new();
    if rule.is_none() {
        missing.push("the rule is deleted: what it said is not known any more".to_owned());
    }
    let judge = rule.as_ref().map(RuleInput::from);
    let judge =
        judge.map(|input| Ok::<_, Problem>(controlled(who.tenant(), &input, &checked(&input)?)));
    let judge = judge.transpose()?;
    let values = around(&who, &alert, judge.as_ref(), &mut missing).await?;
    let threshold = events.first().and_then(|event| event.threshold());
    let explanation = Explanation {
        alert,
        rule,
        threshold,
        values,
        events,
        ancestors,
        suppression,
        incident,
        missing,
    };
    reply::list(&headers, &explanation)
}

/// The values around the opening, and what the rule makes of each.
async fn around(
    who: &Viewer,
    alert: &Alert,
    rule: Option<&control::Rule>,
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
    let source = values::source(kind, window);
    missing.extend(source.note.map(str::to_owned));
    let values = source.read(&who.queries(), VALUES).await?;
    let values = values
        .into_iter()
        .filter(|value| value.interface == live.interface);
    let values: Vec<_> = values.collect();
    if values.is_empty() {
        missing.push("history has no values of that time any more, or not yet".to_owned());
        return Ok(Vec::new());
    }
    // Another kind of the same id is another rule: it makes nothing of these values.
    let rule = rule.filter(|rule| rule.kind == kind);
    if rule.is_some() {
        missing.push(
            "values are judged by the rule as it is now, and runs are counted from the first value that is shown".to_owned(),
        );
    }
    Ok(judged(rule, &source, &values, window.to))
}

/// Steps a rule through values, as the dataflow does.
fn judged(
    rule: Option<&control::Rule>,
    source: &Source,
    values: &[Value],
    to: Time,
) -> Vec<Judged> {
    let mut progress = Progress::default();
    let mut all = Vec::with_capacity(values.len());
    for (n, value) in values.iter().enumerate() {
        let known = rule.zip(value.value_milli);
        if let Some((rule, milli)) = known {
            let until = values.get(n + 1).map_or(to.0, |next| next.at.0);
            for at in moments(source, value.at.0, until) {
                progress.step(rule, Timestamp(at), milli);
            }
        }
        all.push(Judged {
            at: value.at,
            value: value.value_milli.map(decimal),
            judged: known.and_then(|(rule, milli)| match () {
                () if bad(rule, milli) => Some("bad"),
                () if good(rule, milli) => Some("good"),
                () => None,
            }),
            run: rule.map(|_| progress.run),
        });
    }
    all
}
