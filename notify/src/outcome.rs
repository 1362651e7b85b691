//! What an answer means: whether it was told, and whether trying again can help.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mast_schemas::notifications::AttemptOutcome;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// In a word.
    pub outcome: AttemptOutcome,
    /// Of HTTP or SMTP, where something was answered.
    pub status: Option<u16>,
    /// What was answered, or why nothing was. One line, without secrets.
    pub reply: String,
    /// The pause that the other side asked for.
    pub asked: Option<Duration>,
    /// How long it took.
    pub took: Duration,
}

/// Why nothing was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It may work later.
    #[error("{0}")]
    Failed(String),
    /// It will not work until somebody changes something.
    #[error("{0}")]
    Refused(String),
}

impl Fault {
    /// In a word.
    pub(crate) const fn outcome(&self) -> AttemptOutcome {
        match self {
            Self::Failed(_) => AttemptOutcome::Failed,
            Self::Refused(_) => AttemptOutcome::Refused,
        }
    }
}

/// What a status of HTTP means. Redirects are not followed: they would lead past the check of addresses, and a POST that is
/// redirected is most often a wrong URL.
pub(crate) fn of_status(status: u16) -> (AttemptOutcome, Option<&'static str>) {
    match status {
        200..=299 => (AttemptOutcome::Delivered, None),
        300..=399 => (
            AttemptOutcome::Refused,
            Some("it redirects, and redirects are not followed: set the URL that it leads to"),
        ),
        408 | 425 | 429 => (AttemptOutcome::Failed, None),
        400..=499 => (AttemptOutcome::Refused, None),
        _ => (AttemptOutcome::Failed, None),
    }
}

/// What a reply code of SMTP means.
pub(crate) const fn of_smtp(code: u16) -> AttemptOutcome {
    match code {
        200..=399 => AttemptOutcome::Delivered,
        500..=599 => AttemptOutcome::Refused,
        _ => AttemptOutcome::Failed,
    }
}

/// `Retry-After`: seconds, or a date.
pub(crate) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = DateTime::parse_from_rfc2822(value)
        .ok()?
        .with_timezone(&Utc);
    Some((until - now).to_std().unwrap_or_default())
}

/// Longest reply that is kept, in characters.
const REPLY_MAX: usize = 300;

/// What was answered, as one line of bounded length.
pub(crate) fn reply(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ").chars().take(REPLY_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_change_by_itself_is_tried_again() {
        use AttemptOutcome::{Delivered, Failed, Refused};
        for (status, outcome) in [
            (200, Delivered),
            (204, Delivered),
            (299, Delivered),
            (301, Refused),
            (304, Refused),
            (308, Refused),
            (400, Refused),
            (401, Refused),
            (404, Refused),
            (408, Failed),
            (410, Refused),
            (425, Failed),
            (429, Failed),
            (499, Refused),
            (500, Failed),
            (503, Failed),
            (599, Failed),
            (999, Failed),
            (101, Failed),
        ] {
            assert_eq!(of_status(status).0, outcome, "{status}");
        }
        assert!(of_status(302).1.unwrap().contains("redirect"));
        for (code, outcome) in [
            (250, Delivered),
            (354, Delivered),
            (421, Failed),
            (451, Failed),
            (535, Refused),
            (550, Refused),
        ] {
            assert_eq!(of_smtp(code), outcome, "{code}");
        }
    }

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-03-04T10:00:00Z")
            .unwrap()
            .with_timezone(&Utc);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Wed, 04 Mar 2026 10:01:00 GMT", Some(60)),
            ("Wed, 04 Mar 2026 09:00:00 GMT", Some(0)),
            ("", None),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(
                retry_after(value, now).map(|d| d.as_secs()),
                seconds,
                "{value}"
            );
        }
    }

    #[test]
    fn a_reply_is_one_short_line() {
        assert_eq!(
            reply(b"  no\r\n\0 such\tthing \xff"),
            "no such thing \u{fffd}"
        );
        assert_eq!(reply(&[b'x'; 1_000]).len(), REPLY_MAX);
    }
}
