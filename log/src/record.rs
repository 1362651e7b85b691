//! What a log holds: records without an offset going in, entries with one coming out. The log
//! never looks inside: keys, headers and bodies are bytes.

use bytes::Bytes;

/// One message, as given to [`Log::append`](crate::Log::append), which assigns its offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// What the message is about, for logs that compact or route by it; may be empty.
    pub key: Bytes,
    /// The encoded message header.
    pub headers: Bytes,
    /// The message itself.
    pub body: Bytes,
}

impl Record {
    /// Bytes of key, headers and body together: what `max_bytes` of a read counts.
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.headers.len() + self.body.len()
    }
}

/// One message as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the partition; the first record of a partition has offset 0.
    pub offset: u64,
    /// The message.
    pub record: Record,
    /// The log's own clock at the append, microseconds since 1970 UTC. For people only: nothing
    /// may be decided by it, since a replay would decide otherwise.
    pub append_time_us: u64,
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// 1 to 200 of `a-z A-Z 0-9 . _ -`, not beginning with a dot.
    pub name: String,
    /// Fixed at creation; at least 1.
    pub partitions: u32,
}

/// Both ends of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The earliest offset that is kept.
    pub first: u64,
    /// The offset that the next appended record gets; equal to `first` when there is nothing.
    pub next: u64,
}
