//! Live views, as server-sent events.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures::stream::poll_fn;
use mast_schemas::views::View;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::access::Viewer;
use crate::http::extract::Query;
use crate::http::problem::{Kind, Problem};
use crate::live::{Data, Position, Views};

/// By this a client says where it was.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Proxies that gather answers must not.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What to listen to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamQuery {
    /// Views parted by commas: `devices`, `links`, `client_addresses`, `tenant_counts`, `site_counts`, `sector_counts`,
    /// `tenant_health`, `site_health`, `sector_health`, `alerts`, `incidents`, `trends`. Without it: all.
    #[param(example = "links,site_health")]
    views: Option<String>,
}

impl StreamQuery {
    fn views(&self) -> Result<Views, Problem> {
        let Some(names) = &self.views else {
            return Ok(Views::all());
        };
        let views = names.split(',').map(str::parse::<View>);
        views.collect::<Result<_, _>>().map_err(|_| {
            let all: Vec<_> = View::ALL.iter().map(|view| view.as_str()).collect();
            let detail = format!("views: name some of {}", all.join(", "));
            Problem::new(Kind::InvalidParameter, detail)
        })
    }
}

/// Where the client was. What is no id of ours is of nobody's knowledge, and gets what an id gets that is too old: a client
/// that can't choose what it sends must not be kept out for ever.
fn last_event_id(headers: &HeaderMap) -> Option<Position> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

/// Live views.
///
/// Server-sent events. First `reset` (forget what you know), `snapshot` (data: SnapshotData; of each view as many as it takes)
/// and `ready` (ReadyData); then `changes` (ChangesData) whenever something changed, at most four times a second: each change
/// says which row of which view is another one now, or gone. Snapshot and changes join: nothing is missing, nothing comes
/// twice. Who was cut off comes back with the id of the last event in `Last-Event-ID`, and gets what changed since; after
/// about ten minutes, or where the views were made anew, `reset` and a snapshot. Comments say that the connection lives, and
/// whether the database is away. The stream ends with its token, and when the service stops.
#[utoipa::path(get, path = "/api/v1/stream", tag = "live", params(StreamQuery,
    ("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that came.")),
    responses((status = 200, description = "Events", body = Data, content_type = "text/event-stream")))]
pub(crate) async fn listen(
    who: Viewer,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut told = who.listen(query.views()?, last_event_id(&headers))?;
    let events = poll_fn(move |cx| {
        told.poll_recv(cx)
            .map(|event| event.map(Ok::<_, std::io::Error>))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}
