//! What people do with alerts. Each deed is a note besides, in one transaction; what it does to the views, the dataflow does.

use axum::response::Response;
use mast_schemas::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::deed::{Deed, Noted};
use super::notes::{self, CommentInput, Note, On};
use super::{Alert, LISTING};
use crate::http::access::Operator;
use crate::http::extract::{Body, Path};
use crate::http::idempotency::IdempotencyKey;
use crate::http::problem::Problem;
use crate::http::wire::Time;
use crate::listing::Listing;
use crate::resources::check::Checks;

/// Longest silence, microseconds: 90 days.
const SILENCE_MOST: i64 = 90 * 86_400 * 1_000_000;

/// That somebody has seen it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AckInput {
    /// False takes an acknowledgement back.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub(crate) acknowledged: bool,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

impl AckInput {
    /// What is noted of it.
    pub(crate) fn said(&self) -> Option<&str> {
        match (self.acknowledged, self.note.as_deref()) {
            (false, None) => Some("taken back"),
            (_, note) => note,
        }
    }
}

const fn yes() -> bool {
    true
}

/// For how long nobody wants to hear more of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SilenceInput {
    /// Within 90 days; null ends a silence.
    #[serde(default)]
    until: Option<Time>,
    #[serde(default)]
    note: Option<String>,
}

/// That it is over.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveInput {
    #[serde(default)]
    note: Option<String>,
}

/// Who is to see to it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignInput {
    /// A name; null: nobody.
    #[serde(default)]
    assignee: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

impl Noted for Alert {
    const LISTING: &'static Listing = &LISTING;

    fn on(id: Uuid) -> On {
        On::Alert(id)
    }
}

/// What was done, and what was said of it.
fn with_note(done: String, note: Option<&str>) -> String {
    match note {
        Some(note) => format!("{done}: {note}"),
        None => done,
    }
}

/// Says that somebody has seen an alert.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/ack", tag = "alerts", params(("id" = Uuid, Path)), request_body = AckInput,
    responses((status = 200, body = Alert)))]
pub(crate) async fn ack(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(input): Body<AckInput>,
) -> Result<Response, Problem> {
    notes::check(input.note.as_deref())?;
    let mut deed = match Deed::<Alert>::begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    sqlx::query!(
        "UPDATE alerts SET acknowledged_at = CASE WHEN $3 THEN now() END, acknowledged_by = CASE WHEN $3 THEN $4 END
         WHERE tenant_id = $1 AND alert_id = $2",
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

/// Silences an open alert for a time: it stays open, and is shown; escalations of incidents whose alerts are all silenced are
/// told nobody. That an incident is over is told all the same.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/silence", tag = "alerts", params(("id" = Uuid, Path)), request_body = SilenceInput,
    responses((status = 200, body = Alert)))]
pub(crate) async fn silence(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(input): Body<SilenceInput>,
) -> Result<Response, Problem> {
    let now = Timestamp::from_system(std::time::SystemTime::now()).0;
    let mut checks = Checks::default();
    checks.text("/note", input.note.as_deref());
    let within = |until: Time| until.0 > now && until.0 <= now.saturating_add(SILENCE_MOST);
    checks.must(
        input.until.is_none_or(within),
        "/until",
        "must be within 90 days from now",
    );
    checks.done()?;
    let mut deed = match Deed::<Alert>::begin(&who, id, key, &input).await? {
        Ok((_, alert)) if alert.resolved_at.is_some() => {
            return Err(Problem::field(
                "",
                "the alert is resolved: there is nothing to silence",
            ));
        }
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    sqlx::query!(
        "UPDATE alerts SET silenced_until = instant($3) WHERE tenant_id = $1 AND alert_id = $2",
        who.tenant().0,
        id,
        input.until.map(|until| until.0),
    )
    .execute(deed.tx())
    .await?;
    let until = input
        .until
        .map_or_else(|| "ended".to_owned(), |until| format!("until {until}"));
    let said = with_note(until, input.note.as_deref());
    deed.note("silence", Some(&said)).await?;
    deed.done().await
}

/// Resolves an open alert. The answer shows it as it is; that it resolved is seen with the next slot of the dataflow, some tenths
/// of a second later. It does not open again before its condition has cleared once. Of one that is resolved nothing is done.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/resolve", tag = "alerts", params(("id" = Uuid, Path)), request_body = ResolveInput,
    responses((status = 200, body = Alert)))]
pub(crate) async fn resolve(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(input): Body<ResolveInput>,
) -> Result<Response, Problem> {
    notes::check(input.note.as_deref())?;
    let (mut deed, alert) = match Deed::<Alert>::begin(&who, id, key, &input).await? {
        Ok(begun) => begun,
        Err(answer) => return Ok(answer),
    };
    if alert.resolved_at.is_none() {
        // The record that the dataflow takes is made from this row.
        deed.note("resolve", input.note.as_deref()).await?;
    }
    deed.done().await
}

/// Says who sees to an alert.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/assign", tag = "alerts", params(("id" = Uuid, Path)), request_body = AssignInput,
    responses((status = 200, body = Alert)))]
pub(crate) async fn assign(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(input): Body<AssignInput>,
) -> Result<Response, Problem> {
    let mut checks = Checks::default();
    checks.text("/note", input.note.as_deref());
    if let Some(assignee) = &input.assignee {
        checks.name("/assignee", assignee);
    }
    checks.done()?;
    let mut deed = match Deed::<Alert>::begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    sqlx::query!(
        "UPDATE alerts SET assignee = $3 WHERE tenant_id = $1 AND alert_id = $2",
        who.tenant().0,
        id,
        input.assignee,
    )
    .execute(deed.tx())
    .await?;
    let to = input.assignee.as_deref().unwrap_or("nobody");
    let said = with_note(format!("to {to}"), input.note.as_deref());
    deed.note("assign", Some(&said)).await?;
    deed.done().await
}

/// Comments on an alert.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/comments", tag = "alerts", params(("id" = Uuid, Path)), request_body = CommentInput,
    responses((status = 201, body = Note)))]
pub(crate) async fn comment(
    who: Operator,
    Path(id): Path<Uuid>,
    key: IdempotencyKey,
    Body(input): Body<CommentInput>,
) -> Result<Response, Problem> {
    input.check()?;
    match Deed::<Alert>::begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed.comment(&input).await,
        Err(answer) => Ok(answer),
    }
}
