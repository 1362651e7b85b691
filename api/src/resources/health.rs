//! Whether the service is alive and can answer. Open to all: it says nothing of any tenant.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::access::App;
use crate::http::problem::Problem;

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `alive` or `ready`.
    state: &'static str,
}

/// Whether the process answers.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { state: "alive" })
}

/// Whether requests can be answered: Postgres is there.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses((status = 200, body = Health),
    (status = 503, description = "Postgres is away", body = crate::http::problem::Body, content_type = "application/problem+json")))]
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<Health>, Problem> {
    app.ping().await?;
    Ok(Json(Health { state: "ready" }))
}
