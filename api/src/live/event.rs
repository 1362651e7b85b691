//! Events as they are written (HTML's text/event-stream): lines of fields, an empty one at the end.

use bytes::Bytes;
use mast_schemas::views::View;
use serde::Serialize;
use utoipa::ToSchema;

use super::position::Position;
use super::row::{LiveRow, RowChange, view_words};
use crate::http::wire::Time;

/// Milliseconds after which a client that was cut off comes again.
const RETRY_MS: u64 = 1_000;

/// Data of the event `snapshot`: rows of a view. A view comes in as many of them as it takes, none where it has no row.
#[derive(Serialize, ToSchema)]
pub(crate) struct SnapshotData {
    #[schema(schema_with = view_words)]
    pub(super) view: View,
    pub(super) rows: Vec<LiveRow>,
}

/// Data of the event `ready`: the snapshot is whole.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyData {
    /// End of the newest slot that is in it.
    as_of: Time,
}

/// Data of the event `changes`.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the form of what is put together of changes that are encoded once"
)]
pub(crate) struct ChangesData {
    /// End of the newest slot that is in it.
    as_of: Time,
    /// In their order.
    changes: Vec<RowChange>,
}

/// Data of the event `reset`: what was known is to be forgotten; a snapshot follows.
#[derive(ToSchema)]
pub(crate) struct ResetData {}

/// Data of an event, by its name.
#[derive(ToSchema)]
#[schema(as = StreamEventData)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the document alone")]
pub(crate) enum Data {
    Snapshot(SnapshotData),
    Ready(ReadyData),
    Changes(ChangesData),
    Reset(ResetData),
}

/// The first words of a stream.
pub(super) fn hello() -> Bytes {
    format!("retry: {RETRY_MS}\n\n").into()
}

/// What was known is to be forgotten: a snapshot follows. The empty id makes who is cut off before its end come back as who
/// knows nothing.
pub(super) const fn reset() -> Bytes {
    Bytes::from_static(b"id:\nevent: reset\ndata: {}\n\n")
}

/// Rows of a snapshot.
pub(super) fn rows(rows: &SnapshotData) -> Bytes {
    format!("event: snapshot\ndata: {}\n\n", json(rows)).into()
}

/// The snapshot is whole.
pub(super) fn ready(position: Position) -> Bytes {
    let data = json(&ReadyData {
        as_of: position.as_of(),
    });
    format!("id: {position}\nevent: ready\ndata: {data}\n\n").into()
}

/// Changes, each encoded already; null where there are none.
pub(super) fn changes<'a>(changes: impl Iterator<Item = &'a str>, upto: Position) -> Option<Bytes> {
    let mut text = String::new();
    for change in changes {
        if text.is_empty() {
            let as_of = upto.as_of();
            text =
                format!("id: {upto}\nevent: changes\ndata: {{\"as_of\":\"{as_of}\",\"changes\":[");
        } else {
            text.push(',');
        }
        text.push_str(change);
    }
    if text.is_empty() {
        return None;
    }
    text.push_str("]}\n\n");
    Some(text.into())
}

/// Nothing changed: the connection is kept, and what comes next is behind this position.
pub(super) fn alive(position: Option<Position>) -> Bytes {
    match position {
        Some(position) => format!(": alive\nid: {position}\n\n").into(),
        None => Bytes::from_static(b": alive\n\n"),
    }
}

/// Nobody knows what changed.
pub(super) const fn away() -> Bytes {
    Bytes::from_static(b": the database is away\n\n")
}

/// On one line: JSON has no line breaks but those that strings escape.
pub(super) fn json(value: &impl Serialize) -> String {
    // Structs of numbers, strings and lists always serialize.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_one_event_and_none_is_none() {
        let upto = Position::behind(2, 4);
        let event = changes(["{\"a\":1}", "{\"b\":2}"].into_iter(), upto).unwrap();
        assert_eq!(
            std::str::from_utf8(&event).unwrap(),
            "id: 2.4\nevent: changes\ndata: {\"as_of\":\"1970-01-01T00:00:01Z\",\"changes\":[{\"a\":1},{\"b\":2}]}\n\n"
        );
        assert_eq!(changes(std::iter::empty(), upto), None);
    }
}
