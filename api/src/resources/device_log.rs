//! The log of a device, and what ingest has to say of its sessions with it.

use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::history;
use crate::http::access::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::{Kind, Problem};
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::Page;

/// A line.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Line {
    /// When the device says that it happened; null where its text or its clock leave that open.
    happened_at: Option<Time>,
    /// When it was read.
    observed_at: Time,
    /// As the device lists them.
    topics: String,
    message: String,
    /// `device`, or `ingest` for what it says of its session.
    origin: String,
    #[serde(skip_serializing)]
    lease_epoch: u64,
    #[serde(skip_serializing)]
    sequence: u64,
    #[serde(skip_serializing)]
    line: u32,
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// Lines of a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Read from this time on; without it, in the last 30 days.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Time>,
    /// Read before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Time>,
    /// Lines whose topics hold this.
    topic: Option<String>,
    /// Lines whose message holds this, in any case.
    search: Option<String>,
}

fn invalid(detail: &str) -> Problem {
    Problem::new(Kind::InvalidParameter, detail)
}

/// Place of a line: lease epoch, sequence, line.
fn read_cursor(text: &str) -> Option<[u64; 3]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl LogQuery {
    fn sql(&self, device: Uuid, limit: u32) -> Result<String, Problem> {
        let mut sql = format!(
            "SELECT happened_at, observed_at, topics, message, origin, lease_epoch, sequence, line FROM device_log
             WHERE device_id = '{device}'"
        );
        match self.from {
            Some(from) => sql += &format!(" AND observed_at >= {}", history::time(from)),
            None => sql += " AND observed_at > now() - INTERVAL '30 days'",
        }
        if let Some(to) = self.to {
            sql += &format!(" AND observed_at < {}", history::time(to));
        }
        if let Some(topic) = &self.topic {
            sql += &format!(" AND strpos(topics, {}) > 0", history::text(topic));
        }
        if let Some(search) = &self.search {
            let search = history::text(&search.to_lowercase());
            sql += &format!(" AND strpos(lower(message), {search}) > 0");
        }
        if let Some(cursor) = &self.cursor {
            let [lease, sequence, line] =
                read_cursor(cursor).ok_or_else(|| invalid("cursor: it is none of this list"))?;
            sql += &format!(
                " AND (lease_epoch < {lease} OR (lease_epoch = {lease} AND (sequence < {sequence} \
                 OR (sequence = {sequence} AND line < {line}))))"
            );
        }
        sql += &format!(
            " ORDER BY lease_epoch DESC, sequence DESC, line DESC LIMIT {}",
            limit + 1
        );
        Ok(sql)
    }
}

/// Lines of a device's log, the newest first.
#[utoipa::path(get, path = "/api/v1/devices/{id}/log", tag = "devices", params(("id" = Uuid, Path), LogQuery), responses((status = 200, body = Page<Line>)))]
pub(crate) async fn of_device(
    who: Viewer,
    Path(id): Path<Uuid>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(invalid("limit: give 1 to 1000"));
    }
    let sql = query.sql(id, limit)?;
    let mut tx = who.read().await?;
    history::must_be_device(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    let mut lines: Vec<Line> = history::rows(&who.queries(), &sql).await?;
    let more = lines.len() > limit as usize;
    lines.truncate(limit as usize);
    let next = lines.last().filter(|_| more).map(|last| {
        let place = [last.lease_epoch, last.sequence, u64::from(last.line)];
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&place).unwrap_or_default())
    });
    reply::list(&headers, &Page::new(lines, next))
}
