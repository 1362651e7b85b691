//! What people said and did: of alerts, incidents and clients. Only added to, so that it can be read what was done by whom.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::access::Viewer;
use crate::http::extract::Query;
use crate::http::idempotency::Once;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::{MacText, Time};
use crate::listing::{Column, Kind, ListQuery, Listing, Page};
use crate::resources::check::Checks;
use crate::resources::crud;

/// Something that a person said or did.
#[derive(Debug, Serialize, ToSchema, FromRow)]
pub(crate) struct Note {
    id: Uuid,
    /// The alert that it is of.
    alert_id: Option<Uuid>,
    /// The incident that it is of.
    incident_id: Option<Uuid>,
    /// The client that it is of.
    mac: Option<MacText>,
    at: Time,
    /// Who: name of the token.
    by: String,
    /// `comment`, `acknowledge`, `silence`, `resolve`, `assign` or `accept`.
    action: String,
    note: Option<String>,
}

/// A comment.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommentInput {
    #[schema(min_length = 1, max_length = 10_000)]
    pub(crate) note: String,
}

impl CommentInput {
    pub(crate) fn check(&self) -> Result<(), Problem> {
        check(Some(&self.note))
    }
}

/// What a note must be.
pub(crate) fn check(note: Option<&str>) -> Result<(), Problem> {
    let mut checks = Checks::default();
    checks.text("/note", note);
    checks.done()
}

/// What is noted on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Alert(Uuid),
    Incident(Uuid),
    /// A client's MAC address.
    Client(i64),
}

/// Notes what somebody does, in the transaction of it.
pub(crate) async fn add(
    tx: &mut PgConnection,
    (tenant, by): (Uuid, &str),
    on: On,
    action: &str,
    note: Option<&str>,
) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    let (alert, incident, mac) = match on {
        On::Alert(id) => (Some(id), None, None),
        On::Incident(id) => (None, Some(id), None),
        On::Client(mac) => (None, None, Some(mac)),
    };
    sqlx::query!(
        "INSERT INTO alert_notes (tenant_id, id, alert_id, incident_id, mac, by, action, note)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        tenant,
        id,
        alert,
        incident,
        mac,
        by,
        action,
        note,
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// Notes what somebody does, once, and answers with the note.
pub(crate) async fn made(
    mut once: Once,
    (tenant, by): (Uuid, &str),
    on: On,
    action: &str,
    note: Option<&str>,
) -> Result<Response, Problem> {
    let id = add(&mut once.tx, (tenant, by), on, action, note).await?;
    let note: Note = LISTING.by_id(&mut once.tx, tenant, id).await?;
    let answer = reply::made(&note)?;
    once.done(answer).await
}

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/alert-notes",
    select: "n.id, n.alert_id, n.incident_id, n.mac, n.at, n.by, n.action, n.note",
    from: "alert_notes n WHERE n.tenant_id = $1",
    columns: &[
        Column::new("id", "n.id", Kind::Id),
        Column::new("alert_id", "n.alert_id", Kind::Id)
            .or_null()
            .unsorted(),
        Column::new("incident_id", "n.incident_id", Kind::Id)
            .or_null()
            .unsorted(),
        Column::new("mac", "n.mac", Kind::Mac).or_null().unsorted(),
        Column::new("at", "n.at", Kind::Time),
        Column::new("by", "n.by", Kind::Text).unsorted(),
        Column::new("action", "n.action", Kind::Text).unsorted(),
    ],
    key: &["id"],
    sort: "-at",
};

/// What people said and did of alerts, incidents and clients, the newest first: comments, and who acknowledged, silenced,
/// resolved, assigned and accepted. Of one alert: `filter=alert_id=…`. Kept for 90 days after what it is of has ended.
#[utoipa::path(get, path = "/api/v1/alert-notes", tag = "alerts", params(ListQuery), responses((status = 200, body = Page<Note>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Note>(&who, &LISTING, query, &headers).await
}
