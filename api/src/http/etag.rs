//! Entity tags: of a thing its version and a hash of what is shown, of a list a hash alone.
//!
//! A thing is shown with what the dataflow says of it, which changes without a write. So a reader's cache goes by the hash,
//! and a writer's If-Match by the version before it.

use std::hash::BuildHasher as _;

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};
use foldhash::quality::FixedState;

/// The same of the same body in every process. Who makes two bodies of one tag by intent spoils their own cache, no more.
fn hash(body: &[u8]) -> String {
    let [high, low] = [1, 2].map(|seed| FixedState::with_seed(seed).hash_one(body));
    format!("{high:016x}{low:016x}")
}

/// The tag of a thing.
pub(crate) fn of_thing(version: i64, body: &[u8]) -> HeaderValue {
    header(format!("\"{version}-{}\"", hash(body)))
}

/// The tag of a list or a summary.
pub(crate) fn of_list(body: &[u8]) -> HeaderValue {
    header(format!("W/\"{}\"", hash(body)))
}

fn header(tag: String) -> HeaderValue {
    // Digits and quotes.
    HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether the asker has it already; tags are compared weakly, as RFC 9110 has it for reads.
pub(crate) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    fn weak(tag: &str) -> &str {
        tag.trim().trim_start_matches("W/")
    }
    let tag = tag.to_str().unwrap_or_default();
    let values = headers.get_all(IF_NONE_MATCH).iter();
    let known = values.filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || weak(known) == weak(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let mut headers = HeaderMap::new();
        let is_known = |headers: &HeaderMap, tag| is_known(headers, &HeaderValue::from_static(tag));
        assert!(!is_known(&headers, "W/\"a\""));
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("\"x\", \"a\""));
        assert!(is_known(&headers, "W/\"a\""));
        assert!(is_known(&headers, "\"a\""));
        assert!(!is_known(&headers, "\"b\""));
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert!(is_known(&headers, "\"b\""));
    }
}
