//! SQL of askers, over their tenant's present and past.
//!
//! What a query may read, and how much it may use, is the engine's to hold. The trap here: a status that was sent before the
//! query failed. So the first rows are made before the head of the answer is; what fails later cuts the body, which no
//! reader takes for a whole one.

use axum::body::Body as HttpBody;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures::stream::try_unfold;
use mast_query::{Encoder, Fault, Format, QueryError, QueryResult};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::accept::accepted;
use crate::http::access::Viewer;
use crate::http::extract::Body;
use crate::http::layers::AS_OF;
use crate::http::problem::{Kind, Problem};
use crate::http::wire::Time;

/// The formats, the default first.
const FORMATS: [(&str, Format); 4] = [
    ("application/json", Format::Json),
    ("application/x-ndjson", Format::Ndjson),
    ("text/csv", Format::Csv),
    ("application/vnd.apache.arrow.stream", Format::Arrow),
];

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlInput {
    /// One statement that reads.
    #[schema(example = "SELECT state, count(*) AS links FROM links GROUP BY state")]
    sql: String,
}

/// Runs a query. The format is chosen by `Accept`: `application/json` (an array of objects), `application/x-ndjson`,
/// `text/csv` or `application/vnd.apache.arrow.stream`. The header `Mast-As-Of` says what instant all tables show; with
/// `Mast-Tail: lake-only` the newest rows of history could not be had, and that instant is some seconds earlier.
#[utoipa::path(post, path = "/api/v1/sql", tag = "sql", request_body = SqlInput, responses((status = 200,
    description = "The rows", content((serde_json::Value = "application/json"), (String = "application/x-ndjson"),
        (String = "text/csv"), (String = "application/vnd.apache.arrow.stream")))))]
pub(crate) async fn run(
    who: Viewer,
    headers: HeaderMap,
    Body(input): Body<SqlInput>,
) -> Result<Response, Problem> {
    let (kind, format) = accepted(&headers, &FORMATS)?;
    let mut result = who
        .queries()
        .sql(&input.sql)
        .await
        .map_err(|e| failed(&e))?;
    let as_of = result.as_of();
    let mut encoder = Encoder::new(format, result.schema()).map_err(|e| failed(&e))?;
    let first = match result.next().await {
        Some(batch) => {
            let batch = batch.map_err(|e| failed(&e))?;
            encoder.batch(&batch).map_err(|e| failed(&e))?
        }
        None => Vec::new(),
    };
    let mut response = Response::new(rest(first, result, encoder));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(as_of) = as_of {
        let text = Time::from(as_of).to_string();
        headers.extend(
            HeaderValue::from_str(&text)
                .ok()
                .map(|value| (AS_OF, value)),
        );
    }
    Ok(response)
}

/// The first bytes, then the others as they are made.
fn rest(first: Vec<u8>, result: QueryResult, encoder: Encoder) -> HttpBody {
    HttpBody::from_stream(try_unfold((Some(first), Some((result, encoder))), piece))
}

/// What is at hand, and what the rest is made by.
type Making = (Option<Vec<u8>>, Option<(QueryResult, Encoder)>);

async fn piece((first, making): Making) -> Result<Option<(Vec<u8>, Making)>, QueryError> {
    if let Some(first) = first {
        return Ok(Some((first, (None, making))));
    }
    let Some((mut result, mut encoder)) = making else {
        return Ok(None);
    };
    match result.next().await {
        Some(batch) => {
            let bytes = batch.and_then(|batch| encoder.batch(&batch)).map_err(cut)?;
            Ok(Some((bytes, (None, Some((result, encoder))))))
        }
        None => Ok(Some((encoder.end().map_err(cut)?, (None, None)))),
    }
}

fn cut(error: QueryError) -> QueryError {
    tracing::warn!(%error, "an answer is cut: its query failed");
    error
}

fn failed(error: &QueryError) -> Problem {
    match error.fault() {
        Fault::Asker(why) => Problem::new(Kind::InvalidSql, why),
        Fault::Limit(why) => Problem::new(Kind::QueryLimit, why),
        Fault::Away => Problem::unavailable(),
        Fault::Ours => Problem::internal(error),
    }
}
