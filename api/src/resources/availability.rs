//! The past of places as ribbons: their states as intervals, and what share of a window each state had.
//!
//! What both mean is said once, by the tables of SQL that are read here.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::crud::Resource;
use super::history;
use super::sectors::Sector;
use super::sites::Site;
use crate::http::access::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::{Kind, Problem};
use crate::http::reply;
use crate::http::wire::Time;
use crate::listing::Page;

/// How long each state had in a window that ends now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct AvailabilityWindow {
    /// Its length: 24, 168 or 720.
    window_hours: i32,
    up_s: f64,
    degraded_s: f64,
    down_s: f64,
    /// A maintenance window was open for all of it.
    maintenance_s: f64,
    /// Nobody looked, or there was no device.
    unobserved_s: f64,
    /// Share of the observed time outside of maintenance that it was up or degraded, 0 to 1; null when there was none.
    availability: Option<f64>,
    /// End of the window.
    as_of: Time,
}

/// A time without a change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Interval {
    /// `up`, `degraded`, `down`, `unknown` or `maintenance`.
    state: String,
    /// It may lie before the window.
    began_at: Time,
    /// Null: it is so now.
    ended_at: Option<Time>,
}

/// Which window.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RibbonQuery {
    /// Its length: 24, 168 or 720. It ends now.
    #[param(minimum = 24, maximum = 720, default = 24)]
    hours: Option<i32>,
}

impl RibbonQuery {
    fn hours(&self) -> Result<i32, Problem> {
        match self.hours.unwrap_or(24) {
            hours @ (24 | 168 | 720) => Ok(hours),
            _ => Err(Problem::new(
                Kind::InvalidParameter,
                "hours: give 24, 168 or 720",
            )),
        }
    }
}

/// Refuses what is no such place of this tenant.
async fn must_be<R: Resource>(who: &Viewer, id: Uuid) -> Result<(), Problem> {
    let mut tx = who.read().await?;
    let place: R = R::LISTING.by_id(&mut tx, who.tenant().0, id).await?;
    drop(place);
    Ok(())
}

/// The windows of a place of this kind.
async fn windows(who: &Viewer, kind: &str, id: Uuid) -> Result<Page<AvailabilityWindow>, Problem> {
    let sql = format!(
        "SELECT window_hours, up_s, degraded_s, down_s, maintenance_s, unobserved_s, availability, as_of
         FROM place_availability WHERE place_kind = '{kind}' AND place_id = '{id}' ORDER BY window_hours"
    );
    Ok(Page::whole(history::rows(&who.queries(), &sql).await?))
}

/// The intervals of a place of this kind that reach into a window, oldest first.
async fn intervals(
    who: &Viewer,
    kind: &str,
    id: Uuid,
    hours: i32,
) -> Result<Page<Interval>, Problem> {
    let sql = format!(
        "SELECT state, began_at, ended_at FROM place_states WHERE place_kind = '{kind}' AND place_id = '{id}'
             AND (ended_at IS NULL OR ended_at > as_of - INTERVAL '{hours} hours') ORDER BY began_at"
    );
    Ok(Page::whole(history::rows(&who.queries(), &sql).await?))
}

/// How long a site had which state in the last 24, 168 and 720 hours; nothing while it has no device.
#[utoipa::path(get, path = "/api/v1/sites/{id}/availability", tag = "sites", params(("id" = Uuid, Path)), responses((status = 200, body = Page<AvailabilityWindow>)))]
pub(crate) async fn of_site(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    must_be::<Site>(&who, id).await?;
    reply::list(&headers, &windows(&who, "site", id).await?)
}

/// The states that a site had, as intervals, oldest first.
#[utoipa::path(get, path = "/api/v1/sites/{id}/states", tag = "sites", params(("id" = Uuid, Path), RibbonQuery), responses((status = 200, body = Page<Interval>)))]
pub(crate) async fn states_of_site(
    who: Viewer,
    Path(id): Path<Uuid>,
    Query(query): Query<RibbonQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hours = query.hours()?;
    must_be::<Site>(&who, id).await?;
    reply::list(&headers, &intervals(&who, "site", id, hours).await?)
}

/// How long a sector had which state in the last 24, 168 and 720 hours; nothing while it has no device.
#[utoipa::path(get, path = "/api/v1/sectors/{id}/availability", tag = "sectors", params(("id" = Uuid, Path)), responses((status = 200, body = Page<AvailabilityWindow>)))]
pub(crate) async fn of_sector(
    who: Viewer,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    must_be::<Sector>(&who, id).await?;
    reply::list(&headers, &windows(&who, "sector", id).await?)
}

/// The states that a sector had, as intervals, oldest first.
#[utoipa::path(get, path = "/api/v1/sectors/{id}/states", tag = "sectors", params(("id" = Uuid, Path), RibbonQuery), responses((status = 200, body = Page<Interval>)))]
pub(crate) async fn states_of_sector(
    who: Viewer,
    Path(id): Path<Uuid>,
    Query(query): Query<RibbonQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hours = query.hours()?;
    must_be::<Sector>(&who, id).await?;
    reply::list(&headers, &intervals(&who, "sector", id, hours).await?)
}
