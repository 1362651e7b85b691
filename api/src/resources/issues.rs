//! Wireless issues: the links that need a person, the worst first.
//!
//! Which those are is what the dataflow says of a link's state, by its thresholds: not a second opinion here.

use axum::http::HeaderMap;
use axum::response::Response;

use super::crud;
use super::links::{COLUMNS, KEY, Link, link_columns, link_joins};
use crate::http::access::Viewer;
use crate::http::extract::Query;
use crate::http::problem::Problem;
use crate::listing::{ListQuery, Listing, Page};

pub(crate) static LISTING: Listing = Listing {
    path: "/api/v1/wireless-issues",
    select: link_columns!(),
    from: concat!(
        "links l",
        link_joins!(),
        " WHERE l.tenant_id = $1 AND (l.state IN ('degraded', 'down') OR l.ambiguous)"
    ),
    columns: COLUMNS,
    key: KEY,
    sort: "signal_dbm",
};

/// Links that are degraded, down or ambiguous, those with the weakest signal first.
#[utoipa::path(get, path = "/api/v1/wireless-issues", tag = "fleet", params(ListQuery), responses((status = 200, body = Page<Link>)))]
pub(crate) async fn list(
    who: Viewer,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    crud::list::<Link>(&who, &LISTING, query, &headers).await
}
