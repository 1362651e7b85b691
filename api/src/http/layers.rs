//! What is done with every request, whichever route it is for.
//!
//! From the outside in: the request's id and its span, headers of security, the catching of panics, the time limit. The trap:
//! an answer that a layer gives without the layers outside it. So the id and the headers are outermost, and a panic or a
//! timeout has them too.

use std::any::Any;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{
    self, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use mast_schemas::metric::Metric;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;
use uuid::Uuid;

use super::access::{LakeOnly, TENANT_HEADER};
use super::idempotency;
use super::problem::{Kind, Problem};
use crate::resources::stream::LAST_EVENT_ID;

/// What a request may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Up to the head of its answer.
    pub(crate) time: Duration,
    /// Bytes of its body.
    pub(crate) body: usize,
}

/// Puts all layers around the routes.
pub(crate) fn around<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    limits: Limits,
    cors_origins: Vec<HeaderValue>,
) -> Router<S> {
    let mut router = routes
        .layer(DefaultBodyLimit::max(limits.body))
        .layer(from_fn_with_state(limits.time, time_limit))
        .layer(CatchPanicLayer::custom(panicked));
    if !cors_origins.is_empty() {
        router = router.layer(cors(cors_origins));
    }
    router.layer(from_fn(outermost))
}

/// Pages of these origins may ask; no cookie is ever involved.
fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            idempotency::KEY,
            LAST_EVENT_ID,
            HeaderName::from_static(TENANT_HEADER),
            REQUEST_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            REQUEST_ID,
            AS_OF,
            idempotency::REPLAYED,
            TAIL,
        ])
}

/// What instant the tables of now show, where an answer is of them.
pub(crate) const AS_OF: HeaderName = HeaderName::from_static("mast-as-of");

/// The request's id: the asker's, if it can be written to a log, else one of ours.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `lake-only`: history in the answer ends with what the lake holds, some seconds ago.
const TAIL: HeaderName = HeaderName::from_static("mast-tail");

/// Gives the request an id and a span, counts it, and sets the headers of the answer.
async fn outermost(mut request: Request, next: Next) -> Response {
    let lake_only = LakeOnly::default();
    request.extensions_mut().insert(lake_only.clone());
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        id = %id.to_str().unwrap_or_default(),
        method = %request.method(),
        route,
        tenant = tracing::field::Empty,
    );
    let begun = Instant::now();
    let answering = async {
        let response = next.run(request).await;
        let status = response.status();
        let took_ms = begun.elapsed().as_secs_f64() * 1_000.0;
        tracing::info!(status = status.as_u16(), took_ms, "answered");
        Metric::ApiRequests.add(&[class(status.as_u16())], 1);
        Metric::ApiRequestTime.observe(&[], took_ms);
        response
    };
    let mut response = answering.instrument(span).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    if lake_only.0.load(Ordering::Relaxed) {
        headers.insert(TAIL, HeaderValue::from_static("lake-only"));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Answers are data; the page of the documentation says what it needs itself.
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    response
}

/// Short, and of letters that stand in no log for something else.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        (1..=64).contains(&bytes.len()) && bytes.iter().all(plain)
    };
    let theirs = headers.get(REQUEST_ID).filter(plain).cloned();
    theirs.unwrap_or_else(|| {
        // Digits and dashes.
        HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("-"))
    })
}

const fn class(status: u16) -> &'static str {
    match status / 100 {
        1..=3 => "good",
        4 => "refused",
        _ => "failed",
    }
}

/// Ends a request that takes longer than the limit.
async fn time_limit(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "ask for less, or try again";
            Problem::new(Kind::Timeout, detail).into_response()
        }
    }
}

/// The answer to a request whose handler panicked.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text.unwrap_or_default(), "a handler panicked");
    let detail = "the log has the reason, under the request's id";
    Problem::new(Kind::Internal, detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt;

    const LIMITS: Limits = Limits {
        time: Duration::from_millis(50),
        body: 10,
    };

    fn routes() -> Router {
        async fn panics() -> StatusCode {
            panic!("a secret")
        }
        async fn hangs() -> StatusCode {
            std::future::pending().await
        }
        Router::new()
            .route("/panics", get(panics))
            .route("/hangs", get(hangs))
            .route("/good", get(|| async { "good" }))
    }

    async fn ask(router: Router, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_panic_and_a_handler_that_hangs_are_answered_by_a_problem() {
        let router = around(routes(), LIMITS, Vec::new());
        for (path, status) in [("/panics", 500), ("/hangs", 504)] {
            let response = ask(router.clone(), path, &[]).await;
            assert_eq!(response.status(), status);
            let headers = response.headers().clone();
            assert_eq!(headers["content-type"], "application/problem+json");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert!(headers.contains_key(REQUEST_ID));
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_request_id_is_kept_if_it_can_stand_in_a_log() {
        let router = around(routes(), LIMITS, Vec::new());
        let kept = ask(router.clone(), "/good", &[("x-request-id", "abc-1.2_3")]).await;
        assert_eq!(kept.headers()[REQUEST_ID], "abc-1.2_3");
        for bad in ["a b", "a=b", "", &"x".repeat(65)] {
            let made = ask(router.clone(), "/good", &[("x-request-id", bad)]).await;
            assert_eq!(made.headers()[REQUEST_ID].len(), 36, "{bad}");
        }
    }

    #[tokio::test]
    async fn other_origins_are_allowed_where_they_are_named_alone() {
        let origin = [("origin", "https://noc.example.net")];
        let allowed = |response: &Response| {
            let value = response.headers().get("access-control-allow-origin");
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let closed = around(routes(), LIMITS, Vec::new());
        assert_eq!(allowed(&ask(closed, "/good", &origin).await), None);
        let named = vec![HeaderValue::from_static("https://noc.example.net")];
        let open = around(routes(), LIMITS, named);
        let answer = ask(open.clone(), "/good", &origin).await;
        assert_eq!(allowed(&answer).as_deref(), Some("https://noc.example.net"));
        let exposed = answer.headers()["access-control-expose-headers"]
            .to_str()
            .unwrap();
        for header in [
            "etag",
            "location",
            "retry-after",
            "x-request-id",
            "mast-as-of",
            "idempotency-replayed",
        ] {
            assert!(
                exposed.split(',').any(|named| named.trim() == header),
                "{header} of {exposed}"
            );
        }
        let other = [("origin", "https://evil.example.net")];
        assert_eq!(allowed(&ask(open, "/good", &other).await), None);
    }
}
