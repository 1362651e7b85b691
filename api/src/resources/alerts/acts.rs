//! What people do with alerts. Each deed is a note besides, in one transaction; what it does to the views, the dataflow does.

use axum::response::Response;
use mast_schemas::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::notes::{self, CommentInput, Note, On};
use super::{Alert, LISTING};
use crate::http::access::Operator;
use crate::http::extract::{Body, Path};
use crate::http::idempotency::{Begun, IdempotencyKey, Once};
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;
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

/// A deed, begun: the transaction, the alert's tenant and id, and who does it.
struct Deed<'a> {
    once: Once,
    tenant: Uuid,
    id: Uuid,
    by: &'a str,
}

impl Deed<'_> {
    fn tx(&mut self) -> &mut PgConnection {
        &mut self.once.tx
    }

    async fn note(&mut self, action: &str, note: Option<&str>) -> Result<(), Problem> {
        let (who, on) = ((self.tenant, self.by), On::Alert(self.id));
        notes::add(&mut self.once.tx, who, on, action, note).await?;
        Ok(())
    }

    /// Answers with the alert as it is now.
    async fn done(mut self) -> Result<Response, Problem> {
        let alert: Alert = LISTING
            .by_id(&mut self.once.tx, self.tenant, self.id)
            .await?;
        let answer = reply::done(&alert)?;
        self.once.done(answer).await
    }
}

fn check(note: Option<&str>) -> Result<(), Problem> {
    let mut checks = Checks::default();
    checks.text("/note", note);
    checks.done()
}

/// Begins a deed on an alert that there is.
async fn begin<'a>(
    who: &'a Operator,
    id: Uuid,
    key: IdempotencyKey,
    input: &impl Serialize,
) -> Result<Result<(Deed<'a>, Alert), Response>, Problem> {
    let mut once = match key.begin(who, input).await? {
        Begun::Now(once) => once,
        Begun::Before(answer) => return Ok(Err(answer)),
    };
    let tenant = who.tenant().0;
    let alert: Alert = LISTING.by_id(&mut once.tx, tenant, id).await?;
    let by = who.by();
    Ok(Ok((
        Deed {
            once,
            tenant,
            id,
            by,
        },
        alert,
    )))
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
    check(input.note.as_deref())?;
    let mut deed = match begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    let (tenant, by) = (deed.tenant, deed.by.to_owned());
    sqlx::query!(
        "UPDATE alerts SET acknowledged_at = CASE WHEN $3 THEN now() END, acknowledged_by = CASE WHEN $3 THEN $4 END
         WHERE tenant_id = $1 AND alert_id = $2",
        tenant,
        id,
        input.acknowledged,
        by,
    )
    .execute(deed.tx())
    .await?;
    let said = match (input.acknowledged, input.note.as_deref()) {
        (false, None) => Some("taken back"),
        (_, note) => note,
    };
    deed.note("acknowledge", said).await?;
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
    let mut deed = match begin(&who, id, key, &input).await? {
        Ok((_, alert)) if alert.resolved_at.is_some() => {
            return Err(Problem::field(
                "",
                "the alert is resolved: there is nothing to silence",
            ));
        }
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    let tenant = deed.tenant;
    sqlx::query!(
        "UPDATE alerts SET silenced_until = instant($3) WHERE tenant_id = $1 AND alert_id = $2",
        tenant,
        id,
        input.until.map(|until| until.0),
    )
    .execute(deed.tx())
    .await?;
    let until = input
        .until
        .map_or_else(|| "ended".to_owned(), |until| format!("until {until}"));
    let said = match &input.note {
        Some(note) => format!("{until}: {note}"),
        None => until,
    };
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
    check(input.note.as_deref())?;
    let (mut deed, alert) = match begin(&who, id, key, &input).await? {
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
    let mut deed = match begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    let tenant = deed.tenant;
    sqlx::query!(
        "UPDATE alerts SET assignee = $3 WHERE tenant_id = $1 AND alert_id = $2",
        tenant,
        id,
        input.assignee,
    )
    .execute(deed.tx())
    .await?;
    let to = input.assignee.as_deref().unwrap_or("nobody");
    let said = match &input.note {
        Some(note) => format!("to {to}: {note}"),
        None => format!("to {to}"),
    };
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
    let deed = match begin(&who, id, key, &input).await? {
        Ok((deed, _)) => deed,
        Err(answer) => return Ok(answer),
    };
    notes::comment(deed.once, (deed.tenant, deed.by), On::Alert(id), &input).await
}
