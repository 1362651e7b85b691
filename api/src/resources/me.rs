//! Who asks.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::access::Anybody;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::wire::Time;

/// What a token is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    token_id: Uuid,
    /// Name of the token.
    name: String,
    /// `viewer`, `operator`, `admin` or `super_admin`.
    role: String,
    /// Its tenant; null: all.
    tenant_id: Option<Uuid>,
    tenant: Option<String>,
    /// When the token ends.
    expires_at: Time,
}

/// The token that asks.
#[utoipa::path(get, path = "/api/v1/me", tag = "tokens", responses((status = 200, body = Me)))]
pub(crate) async fn me(Anybody(who): Anybody, headers: HeaderMap) -> Result<Response, Problem> {
    let (tenant_id, tenant) = who.tenant.clone().unzip();
    let me = Me {
        token_id: who.token_id,
        name: who.name.clone(),
        role: who.role.to_string(),
        tenant_id: tenant_id.map(|id| id.0),
        tenant,
        expires_at: who.expires_at.into(),
    };
    reply::list(&headers, &me)
}
