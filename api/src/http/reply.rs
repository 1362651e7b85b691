//! Answers.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::etag;
use super::kept::Answer;
use super::problem::Problem;

/// A thing with a version.
pub(crate) trait Versioned: Serialize {
    fn version(&self) -> i64;
}

/// A thing, or 304 where the asker has it.
pub(crate) fn thing<T: Versioned>(headers: &HeaderMap, thing: &T) -> Result<Response, Problem> {
    let body = json(thing)?;
    let tag = etag::of_thing(thing.version(), &body);
    Ok(tagged(headers, &tag, body))
}

/// A list or a summary, or 304 where the asker has it.
pub(crate) fn list<T: Serialize>(headers: &HeaderMap, list: &T) -> Result<Response, Problem> {
    Ok(kept(headers, &list_answer(list)?))
}

/// A list as it is answered, and may be kept.
pub(crate) fn list_answer<T: Serialize>(list: &T) -> Result<Answer, Problem> {
    let body = json(list)?;
    let tag = etag::of_list(&body);
    let body = body.into();
    Ok(Answer { tag, body })
}

/// An answer, or 304 where the asker has it.
pub(crate) fn kept(headers: &HeaderMap, answer: &Answer) -> Response {
    tagged(headers, &answer.tag, answer.body.clone())
}

/// A body of some type, or 304 where the asker has it.
pub(crate) fn document(headers: &HeaderMap, kind: &'static str, body: Vec<u8>) -> Response {
    let tag = etag::of_list(&body);
    let mut response = tagged(headers, &tag, body);
    if response.status() == StatusCode::OK {
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

/// What a POST did that made no one thing.
pub(crate) fn done<T: Serialize>(what: &T) -> Result<Response, Problem> {
    let mut response = json(what)?.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What a POST added to something.
pub(crate) fn made<T: Serialize>(what: &T) -> Result<Response, Problem> {
    let mut response = done(what)?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

const JSON: &str = "application/json";

/// What a write left.
pub(crate) fn written<T: Versioned>(thing: &T) -> Result<Response, Problem> {
    let body = json(thing)?;
    let tag = etag::of_thing(thing.version(), &body);
    Ok(with_tag(StatusCode::OK, &tag, body))
}

/// What a POST made, and where it is.
pub(crate) fn created<T: Versioned>(path: &str, thing: &T) -> Result<Response, Problem> {
    let body = json(thing)?;
    let tag = etag::of_thing(thing.version(), &body);
    let mut response = with_tag(StatusCode::CREATED, &tag, body);
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    Ok(response)
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|e| Problem::internal(&e))
}

fn tagged(headers: &HeaderMap, tag: &HeaderValue, body: impl Into<Body>) -> Response {
    if etag::is_known(headers, tag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(ETAG, tag.clone());
        return response;
    }
    with_tag(StatusCode::OK, tag, body)
}

fn with_tag(status: StatusCode, tag: &HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = (status, body.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(ETAG, tag.clone());
    // It may be kept by who asked, and is asked for again each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}
