//! What a request is refused with: problem details (RFC 9457), always, whoever refuses.
//!
//! The trap: an error's own words may hold SQL, addresses or another tenant's names. So a problem is made of words written
//! here and of what the asker sent; what failed inside goes to the log, once.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use mast_schemas::metric::Metric;
use serde::Serialize;
use utoipa::ToSchema;

/// Content type of problem details.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! kinds {
    ($($(#[$doc:meta])+ $kind:ident = $word:literal, $status:ident, $title:literal;)+) => {
        /// What kinds of refusals there are. The `type` of each never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($(#[$doc])+ $kind),+
        }

        impl Kind {
            const fn uri(self) -> &'static str {
                match self { $(Self::$kind => concat!("urn:mast:problem:", $word)),+ }
            }

            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),+ }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),+ }
            }
        }
    };
}

kinds! {
    /// The path or a parameter can't be read.
    InvalidParameter = "invalid-parameter", BAD_REQUEST, "A parameter is not valid";
    /// The body is not what its content type says.
    MalformedBody = "malformed-body", BAD_REQUEST, "The body cannot be read";
    /// A query that doesn't parse, or is none.
    InvalidSql = "invalid-sql", BAD_REQUEST, "The SQL is not valid";
    /// A super-admin must say which tenant.
    TenantRequired = "tenant-required", BAD_REQUEST, "Name a tenant";
    /// No token, or one that is not good.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "A valid token is needed";
    /// The token's role is not enough.
    Forbidden = "forbidden", FORBIDDEN, "The token's role is not enough";
    /// There is no such thing, for this tenant.
    NotFound = "not-found", NOT_FOUND, "There is no such thing";
    /// The path has other methods.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The method is not allowed here";
    /// None of the formats that are accepted is there.
    NotAcceptable = "not-acceptable", NOT_ACCEPTABLE, "None of the accepted formats is there";
    /// A tenant has as many of them as it may.
    TooMany = "too-many", UNPROCESSABLE_ENTITY, "There are as many as there may be";
    /// Something else has the name.
    Conflict = "conflict", CONFLICT, "It is taken";
    /// It was changed since it was read.
    PreconditionFailed = "precondition-failed", PRECONDITION_FAILED, "It was changed in the meantime";
    /// The body is too large.
    TooLarge = "too-large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body is of another type.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body's content type is not supported";
    /// The body is read, and wrong.
    InvalidBody = "invalid-body", UNPROCESSABLE_ENTITY, "The body is not valid";
    /// The key was used for another request.
    IdempotencyKeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The Idempotency-Key was used for another request";
    /// A query passed a limit.
    QueryLimit = "query-limit", UNPROCESSABLE_ENTITY, "The query passed a limit";
    /// A write must say which version it changes.
    PreconditionRequired = "precondition-required", PRECONDITION_REQUIRED, "Say which version is changed, by If-Match";
    /// Too many requests.
    TooManyRequests = "too-many-requests", TOO_MANY_REQUESTS, "Too many requests";
    /// Our fault.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The request failed";
    /// A channel of notifications did not take a test.
    NotificationFailed = "notification-failed", BAD_GATEWAY, "The channel did not take it";
    /// Postgres is away.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The database is away";
    /// There is no place left.
    Full = "full", SERVICE_UNAVAILABLE, "There is no place left";
    /// It took too long.
    Timeout = "timeout", GATEWAY_TIMEOUT, "The request took too long";
}

/// One thing wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where, as a JSON pointer (RFC 6901).
    pub(crate) pointer: String,
    /// What is wrong, and what would be right.
    pub(crate) detail: String,
    /// Line of the body, from 1, where that says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) line: Option<u64>,
}

impl FieldError {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
            line: None,
        }
    }
}

/// Problem details of a refusal.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    retry_after_s: Option<u64>,
}

/// The body, as RFC 9457 has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    /// What kind of problem; it never changes.
    #[serde(rename = "type")]
    #[schema(example = "urn:mast:problem:not-found")]
    kind: String,
    /// The kind in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// Each thing that is wrong with the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// A body that is read and wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            0..=ERRORS_MOST => "see errors".to_owned(),
            all => format!("see errors, of which the first {ERRORS_MOST} of {all} are shown"),
        };
        let mut problem = Self::new(Kind::InvalidBody, detail);
        problem.errors = errors;
        problem.errors.truncate(ERRORS_MOST);
        problem
    }

    /// The same, for one field.
    pub(crate) fn field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, detail)])
    }

    /// There is no such thing for the asker, whoever else may have it.
    pub(crate) fn not_found() -> Self {
        Self::new(Kind::NotFound, "nothing is here, or it is another's")
    }

    /// Our fault; its cause goes to the log alone.
    pub(crate) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = cause.to_string();
        let mut inner = cause.source();
        while let Some(source) = inner {
            causes = format!("{causes}: {source}");
            inner = source.source();
        }
        tracing::error!(error = causes, "a request failed");
        Self::new(
            Kind::Internal,
            "the log has the reason, under the request's id",
        )
    }

    /// Whether it is no fault of the asker's.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind.status().is_server_error()
    }

    /// After so long it can be tried again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }

    /// The database is away, or was in the way of another transaction; nothing was done.
    pub(crate) fn unavailable() -> Self {
        let detail = "nothing was done, or it can be repeated with the same Idempotency-Key";
        Self::new(Kind::Unavailable, detail).retry_after(RETRY_S)
    }
}

/// So many things that are wrong with a body are shown at once.
const ERRORS_MOST: usize = 100;

/// A database that restarts is there again after this.
const RETRY_S: u64 = 2;

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Metric::PostgresErrors.add(&["api"], 1);
        if mast_postgres::is_passing(&error) || matches!(error, sqlx::Error::PoolClosed) {
            tracing::warn!(%error, "Postgres is away");
            return Self::unavailable();
        }
        Self::internal(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let body = Body {
            kind: self.kind.uri().to_owned(),
            title: self.kind.title().to_owned(),
            status: status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The answer where no route is.
pub(crate) async fn no_route() -> Problem {
    Problem::new(Kind::NotFound, "no route has this path")
}

/// The answer where the route has other methods; the router adds which, in `Allow`.
pub(crate) async fn other_methods(method: Method) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{method} is not among the methods that Allow names"),
    )
}
