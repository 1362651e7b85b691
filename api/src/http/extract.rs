//! What handlers read of a request. Each refuses with a problem.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::problem::{Kind, Problem};

/// The parts of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|path| Self(path.0))
            .map_err(|e| Problem::new(Kind::InvalidParameter, format!("path: {}", e.body_text())))
    }
}

/// The parameters after `?`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        read.map(|query| Self(query.0))
            .map_err(|e| Problem::new(Kind::InvalidParameter, format!("query: {}", e.body_text())))
    }
}

/// A JSON body, which is an object.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (_, bytes) = body(request, state, &["application/json"]).await?;
        // A list of values would be read as the fields of a struct, in their order.
        if bytes.trim_ascii_start().first() == Some(&b'[') {
            return Err(Problem::field("", "must be an object"));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
        let read = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| wrong(&e))?;
        deserializer
            .end()
            .map_err(|e| Problem::new(Kind::MalformedBody, e.to_string()))?;
        Ok(Self(read))
    }
}

/// A merge patch (RFC 7396), which is an object: nobody replaces a whole thing by a number.
pub(crate) struct MergePatch(pub(crate) serde_json::Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for MergePatch {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let types = ["application/merge-patch+json", "application/json"];
        let (_, bytes) = body(request, state, &types).await?;
        let patch: Value = serde_json::from_slice(&bytes)
            .map_err(|e| Problem::new(Kind::MalformedBody, e.to_string()))?;
        match patch {
            Value::Object(patch) => Ok(Self(patch)),
            _ => Err(Problem::field("", "must be an object")),
        }
    }
}

impl MergePatch {
    /// `current` with the patch applied, as a whole that is checked like a new one.
    pub(crate) fn apply<T: Serialize + DeserializeOwned>(self, current: &T) -> Result<T, Problem> {
        let mut merged = serde_json::to_value(current).map_err(|e| Problem::internal(&e))?;
        merge(&mut merged, Value::Object(self.0));
        serde_path_to_error::deserialize(merged).map_err(|e| wrong(&e))
    }
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// A part of a body that is an object or null, for `deserialize_with`: a list of its values would be read as it too.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let object: Option<serde_json::Map<String, Value>> = Option::deserialize(deserializer)?;
    let read = object.map(|object| serde_json::from_value(Value::Object(object)));
    read.transpose().map_err(serde::de::Error::custom)
}

/// A body of one of some types, and which one it is.
pub(crate) async fn body<S: Send + Sync>(
    request: Request,
    state: &S,
    types: &[&'static str],
) -> Result<(&'static str, Bytes), Problem> {
    let told = content_type(request.headers());
    let Some(kind) = types.iter().find(|kind| **kind == told) else {
        return Err(Problem::new(
            Kind::UnsupportedMediaType,
            format!("send {}", types.join(" or ")),
        ));
    };
    let read = Bytes::from_request(request, state).await;
    let read = read.map(|bytes| (*kind, bytes));
    read.map_err(|e: BytesRejection| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(Kind::TooLarge, "send less, or in several requests")
        }
        _ => Problem::new(Kind::MalformedBody, "the body did not arrive whole"),
    })
}

/// The content type without its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.and_then(|v| v.split(';').next()).unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if inner.is_syntax() || inner.is_eof() {
        return Problem::new(Kind::MalformedBody, inner.to_string());
    }
    let text = inner.to_string();
    let detail = text.rfind(" at line ").map_or(&*text, |end| &text[..end]);
    Problem::field(&pointer(error.path()), detail)
}

/// A path of serde's as a JSON pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    });
    segments.fold(String::new(), |all, segment| format!("{all}/{segment}"))
}

/// Which version a write changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Whatever is there.
    Any,
    /// One of these.
    Versions(Vec<i64>),
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IF_MATCH) else {
            return Err(Problem::new(
                Kind::PreconditionRequired,
                "send If-Match with the ETag of what you have read, or * for whatever is there",
            ));
        };
        Ok(Self::read(value.to_str().unwrap_or_default()))
    }
}

impl IfMatch {
    /// An entity tag begins with the version; one that doesn't matches nothing.
    fn read(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        let version = |tag: &str| {
            let tag = tag.trim().strip_prefix('"')?.strip_suffix('"')?;
            tag.split('-').next()?.parse().ok()
        };
        Self::Versions(text.split(',').filter_map(version).collect())
    }

    /// Refuses a write to another version than was read.
    pub(crate) fn check(&self, version: i64) -> Result<(), Problem> {
        match self {
            Self::Versions(versions) if !versions.contains(&version) => Err(Problem::new(
                Kind::PreconditionFailed,
                "it has another version than If-Match names: read it again",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_merges_as_rfc_7396_shows() {
        // The RFC's own table, appendix A.
        for (mut target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }

    #[test]
    fn a_version_is_the_begin_of_an_entity_tag() {
        assert_eq!(IfMatch::read("*"), IfMatch::Any);
        let versions = |text| IfMatch::read(text);
        assert_eq!(versions("\"7\""), IfMatch::Versions(vec![7]));
        assert_eq!(versions("\"7-ab\", \"9\""), IfMatch::Versions(vec![7, 9]));
        for none in ["", "7", "W/\"7\"", "\"x\""] {
            assert_eq!(versions(none), IfMatch::Versions(Vec::new()), "{none}");
            assert!(versions(none).check(7).is_err());
        }
        assert!(versions("\"7-ab\"").check(7).is_ok());
        assert!(versions("\"7-ab\"").check(8).is_err());
    }
}
