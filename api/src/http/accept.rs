//! Which of the formats of an answer the asker likes best.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use super::problem::{Kind, Problem};

/// The accepted format that the asker likes best, by its content type; where nothing is said the first.
pub(crate) fn accepted<T: Copy>(
    headers: &HeaderMap,
    formats: &[(&'static str, T)],
) -> Result<(&'static str, T), Problem> {
    let values = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok());
    let mut ranges: Vec<(&str, f32)> = values
        .flat_map(|value| value.split(','))
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let q = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
            (kind, q.unwrap_or(1.0))
        })
        .filter(|(kind, q)| !kind.is_empty() && *q > 0.0)
        .collect();
    if ranges.is_empty() && headers.get(ACCEPT).is_none() {
        ranges.push(("*/*", 1.0));
    }
    ranges.sort_by(|a, b| b.1.total_cmp(&a.1));
    let fits = |range: &str, kind: &str| {
        let group = range.strip_suffix("/*");
        range == "*/*"
            || range.eq_ignore_ascii_case(kind)
            || group.is_some_and(|g| kind.split('/').next() == Some(g))
    };
    let mut fitting = ranges.iter().filter_map(|(range, _)| {
        let found = formats.iter().find(|(kind, _)| fits(range, kind));
        found.copied()
    });
    fitting.next().ok_or_else(|| {
        let kinds: Vec<_> = formats.iter().map(|(kind, _)| *kind).collect();
        Problem::new(
            Kind::NotAcceptable,
            format!("there are {}", kinds.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const FORMATS: [(&str, u8); 3] = [
        ("application/json", 1),
        ("application/x-ndjson", 2),
        ("text/csv", 3),
    ];

    fn chosen(accept: &'static str) -> Option<u8> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        accepted(&headers, &FORMATS).ok().map(|(_, format)| format)
    }

    #[test]
    fn the_format_that_is_liked_best_is_chosen() {
        let unsaid = accepted(&HeaderMap::new(), &FORMATS).ok();
        assert_eq!(unsaid, Some(("application/json", 1)));
        assert_eq!(chosen("*/*"), Some(1));
        assert_eq!(chosen("text/*"), Some(3));
        assert_eq!(chosen("text/csv;q=0.5, application/x-ndjson"), Some(2));
        assert_eq!(chosen("image/png, text/csv;q=0.1"), Some(3));
        assert_eq!(chosen("text/csv;q=0"), None);
        assert_eq!(chosen("image/png"), None);
        assert_eq!(chosen(""), None);
    }
}
