//! Server-sent events as they come from the API's stream.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde_json::Value;

/// What was told.
#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    /// `reset`, `snapshot`, `ready` or `changes`.
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// The events of a stream.
pub(crate) struct Events {
    stream: Box<dyn Stream<Item = anyhow::Result<Bytes>> + Send + Unpin>,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) fn new<E: Into<anyhow::Error>>(
        stream: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    ) -> Self {
        Self {
            stream: Box::new(stream.map(|piece| piece.map_err(Into::into))),
            buffer: Vec::new(),
        }
    }

    /// The next event; null at the end of the stream. Comments are passed over. Cancel safe.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let lines: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = read(&String::from_utf8_lossy(&lines))? {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.stream.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None => return Ok(None),
            }
        }
    }
}

/// The fields of an event; null where they are a comment.
fn read(lines: &str) -> anyhow::Result<Option<Event>> {
    let field = |name: &str| {
        let mut lines = lines.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let (Some(name), Some(data)) = (field("event"), field("data")) else {
        return Ok(None);
    };
    Ok(Some(Event {
        name: name.to_owned(),
        data: serde_json::from_str(data)?,
    }))
}

#[cfg(test)]
mod tests {
    use futures::stream::iter;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn events_are_whole_however_they_are_cut() {
        let text = "retry: 1000\n\nid:\nevent: reset\ndata: {}\n\n: alive\nid: 1.2\n\n\
            id: 1.3\nevent: changes\ndata: {\"a\":\"ü: \"}\n\n";
        for size in [1, 2, 7, 1_000] {
            let pieces: Vec<_> = text
                .as_bytes()
                .chunks(size)
                .map(Bytes::copy_from_slice)
                .collect();
            let mut events = Events::new(iter(pieces.into_iter().map(anyhow::Ok)));
            let mut told = Vec::new();
            while let Some(event) = events.next().await.unwrap() {
                told.push((event.name, event.data));
            }
            let changes = ("changes".to_owned(), json!({ "a": "ü: " }));
            assert_eq!(told, [("reset".to_owned(), json!({})), changes]);
        }
    }
}
