//! The document and a page to browse it, which needs nothing from elsewhere.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use utoipa_swagger_ui::Config;

use super::problem::Problem;

/// Where the document is.
pub(crate) const DOCUMENT: &str = "/api/v1/openapi.json";
/// Where the page is.
pub(crate) const PAGE: &str = "/api/v1/docs/";

/// Its own scripts and styles, and this API.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Their routes. They say nothing of any tenant, so they are open.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(document: String) -> Router<S> {
    let document = Bytes::from(document);
    let config = Arc::new(Config::from(DOCUMENT));
    let index = Arc::clone(&config);
    let json = move || {
        let document = document.clone();
        async move { ([(CONTENT_TYPE, "application/json")], document) }
    };
    Router::new()
        .route(DOCUMENT, get(json))
        .route(
            PAGE.trim_end_matches('/'),
            get(|| async { Redirect::to(PAGE) }),
        )
        .route(PAGE, get(move || async move { file("", index) }))
        .route(
            &format!("{PAGE}{{*file}}"),
            get(move |Path(name): Path<String>| async move { file(&name, config) }),
        )
}

fn file(name: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let kind = HeaderValue::from_str(&file.content_type)
                .unwrap_or(HeaderValue::from_static("application/octet-stream"));
            let policy = HeaderValue::from_static(POLICY);
            let headers = [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, policy)];
            (StatusCode::OK, headers, file.bytes.into_owned()).into_response()
        }
        Ok(None) => Problem::not_found().into_response(),
        Err(error) => {
            tracing::error!(%error, "the page of the documentation can't be shown");
            Problem::not_found().into_response()
        }
    }
}
