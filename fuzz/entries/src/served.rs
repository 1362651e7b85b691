//! The embedded log's socket, with somebody at its other end who writes anything.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use mast_log::{EmbeddedLog, Log, LogServer, ServedLog, TopicSpec};

use crate::folder::Folder;
use crate::log::{config, record, told};

const TOPIC: &str = "t";

/// Calls as the input says: per call a byte for its frame's length, 255 = the length is the four bytes that follow. The
/// connection ends, and another one is served as if nothing had been.
pub(crate) fn calls(data: &[u8]) {
    let folder = Folder::new();
    let log = EmbeddedLog::open(folder.0.join("log"), config())
        .unwrap_or_else(|error| panic!("a fresh log: {error}"));
    log.ensure_topic(&TopicSpec {
        name: TOPIC.to_owned(),
        partitions: 1,
    })
    .unwrap_or_else(|error| panic!("a fresh topic: {error}"));
    let socket = folder.0.join("s");
    let server = LogServer::start(Arc::new(log), &socket)
        .unwrap_or_else(|error| panic!("a fresh server: {error}"));
    let mut stream = UnixStream::connect(&socket).unwrap_or_else(|error| panic!("{error}"));
    // Who is cut off can't write on.
    let _ = stream.write_all(&frames(data));
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
    let other = ServedLog::connect(&socket).unwrap_or_else(|error| panic!("{error}"));
    use_log(&other);
    drop(server);
}

fn frames(mut data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        if length == 255 {
            bytes.extend_from_slice(rest);
            break;
        }
        let (call, rest) = rest.split_at(usize::from(length).min(rest.len()));
        bytes.extend_from_slice(&(call.len() as u32).to_le_bytes());
        bytes.extend_from_slice(call);
        data = rest;
    }
    bytes
}

fn use_log(log: &dyn Log) {
    let offset = match log.append(TOPIC, 0, &[record(b"after")]) {
        Ok(offset) => offset,
        // The calls filled it.
        Err(error) => return told(&error),
    };
    let back = log
        .read(TOPIC, 0, offset, 1 << 16)
        .unwrap_or_else(|error| panic!("what was appended can be read: {error}"));
    assert_eq!(back[0].record.body.as_ref(), b"after");
}
