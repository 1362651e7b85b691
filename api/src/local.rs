//! The service without a socket, for who runs the installation on its own machine: the same routes, checks and writes as over
//! HTTP.
//!
//! Who may log in to the database needs no token. The trap avoided: a way around tokens that the network could find. What
//! stands for one is of a type that only this file makes, and it is put into a request that never was on a wire.

use std::fmt;

use axum::Router;
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use axum::response::Response;
use mast_schemas::TenantId;
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt;

use crate::http::access::{InProcess, TENANT_HEADER};
use crate::{ApiConfig, router};

/// The service, asked about one tenant.
pub struct Local {
    router: Router,
    tenant_id: TenantId,
}

/// Why a request was refused, in the words of the service.
#[derive(Debug, Deserialize)]
pub struct Refused {
    /// The status that it would have over HTTP.
    pub status: u16,
    title: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Wrong>,
}

#[derive(Debug, Deserialize)]
struct Wrong {
    pointer: String,
    detail: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.title)?;
        if self.errors.is_empty() {
            return write!(f, ": {}", self.detail);
        }
        let mut errors = self.errors.iter();
        errors.try_for_each(|e| write!(f, "\n  {} {}", e.pointer.trim_start_matches('/'), e.detail))
    }
}

impl std::error::Error for Refused {}

impl Local {
    /// The service for a tenant.
    pub fn new(config: ApiConfig, tenant_id: TenantId) -> Self {
        Self {
            router: router(config),
            tenant_id,
        }
    }

    /// Asks; the path is that of the document of the API, with its parameters. What is answered without a body is null.
    ///
    /// # Errors
    /// What the service refuses a request with.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refused> {
        let mut request = self.request(method, path)?;
        if let Some(body) = body {
            let json = "application/json".parse().map_err(unread)?;
            request.headers_mut().insert(CONTENT_TYPE, json);
            *request.body_mut() = body.to_string().into();
        }
        let response = self.send(request).await;
        let good = response.status().is_success();
        let bytes = to_bytes(response.into_body(), usize::MAX).await;
        let bytes = bytes.map_err(unread)?;
        match (good, bytes.is_empty()) {
            (true, true) => Ok(Value::Null),
            (true, false) => serde_json::from_slice(&bytes).map_err(unread),
            (false, _) => Err(serde_json::from_slice(&bytes).unwrap_or_else(unread)),
        }
    }

    /// Listens to a stream: its bytes as they come, in pieces of any length.
    ///
    /// # Errors
    /// What the service refuses a request with.
    pub async fn listen(&self, path: &str) -> Result<BodyDataStream, Refused> {
        let response = self.send(self.request(Method::GET, path)?).await;
        if response.status().is_success() {
            return Ok(response.into_body().into_data_stream());
        }
        let bytes = to_bytes(response.into_body(), usize::MAX).await;
        let bytes = bytes.map_err(unread)?;
        Err(serde_json::from_slice(&bytes).unwrap_or_else(unread))
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Body>, Refused> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(unread)?;
        request.extensions_mut().insert(InProcess(()));
        let tenant = self.tenant_id.to_string().parse().map_err(unread)?;
        request.headers_mut().insert(TENANT_HEADER, tenant);
        Ok(request)
    }

    async fn send(&self, request: Request<Body>) -> Response {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// What is no request or no answer.
fn unread(error: impl fmt::Display) -> Refused {
    Refused {
        status: 500,
        title: "The request failed".to_owned(),
        detail: error.to_string(),
        errors: Vec::new(),
    }
}
