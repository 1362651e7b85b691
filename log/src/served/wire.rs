//! Calls and answers as bytes. A frame is a length (u32, little-endian) and so many bytes; numbers are little-endian,
//! texts and byte strings have their length in front.

use std::io::{self, Read, Write};
use std::time::Duration;

use bytes::Bytes;

use crate::{Ends, Entry, LogError, Record};

/// A frame is never larger: an append of the most bytes with what is around it.
const MOST_BYTES: usize = crate::MAX_BATCH_BYTES as usize + (1 << 20);

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Ensure(String, u32),
    Partitions(String),
    Append(String, u32, Vec<Record>),
    Read(String, u32, u64, u64),
    Ends(String, u32),
    Trim(String, u32, u64),
    Sync,
    Wait(u64, Duration),
}

/// What is answered, but for errors.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Number(u64),
    Entries(Vec<Entry>),
    Ends(Ends),
}

pub(super) fn write_frame(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(4 + bytes.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(bytes);
    to.write_all(&frame)
}

/// Null at the stream's end.
pub(super) fn read_frame(from: &mut impl Read) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST_BYTES {
        return Err(malformed("a frame that is too large"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes.into()))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Call {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        match self {
            Self::Ensure(topic, partitions) => out.tag(0).text(topic).u32(*partitions),
            Self::Partitions(topic) => out.tag(1).text(topic),
            Self::Append(topic, partition, records) => {
                return append(topic, *partition, records);
            }
            Self::Read(topic, partition, from, most) => {
                out.tag(3).text(topic).u32(*partition).u64(*from).u64(*most)
            }
            Self::Ends(topic, partition) => out.tag(4).text(topic).u32(*partition),
            Self::Trim(topic, partition, before) => {
                out.tag(5).text(topic).u32(*partition).u64(*before)
            }
            Self::Sync => out.tag(6),
            Self::Wait(seen, timeout) => out.tag(7).u64(*seen).u64(timeout.as_millis() as u64),
        };
        out.0
    }

    pub(super) fn decode(bytes: Bytes) -> io::Result<Self> {
        let mut from = In(bytes);
        Ok(match from.u8()? {
            0 => Self::Ensure(from.text()?, from.u32()?),
            1 => Self::Partitions(from.text()?),
            2 => Self::Append(from.text()?, from.u32()?, from.records()?),
            3 => Self::Read(from.text()?, from.u32()?, from.u64()?, from.u64()?),
            4 => Self::Ends(from.text()?, from.u32()?),
            5 => Self::Trim(from.text()?, from.u32()?, from.u64()?),
            6 => Self::Sync,
            7 => Self::Wait(from.u64()?, Duration::from_millis(from.u64()?)),
            _ => return Err(malformed("an unknown call")),
        })
    }
}

/// An append as a frame, without copying its records first.
pub(super) fn append(topic: &str, partition: u32, records: &[Record]) -> Vec<u8> {
    let mut out = Out::default();
    out.tag(2).text(topic).u32(partition);
    out.u32(records.len() as u32);
    for record in records {
        out.record(record);
    }
    out.0
}

pub(super) fn encode_answer(answer: &Result<Answer, LogError>) -> Vec<u8> {
    let mut out = Out::default();
    match answer {
        Ok(Answer::Nothing) => out.tag(0),
        Ok(Answer::Number(number)) => out.tag(1).u64(*number),
        Ok(Answer::Entries(entries)) => {
            out.tag(2).u32(entries.len() as u32);
            for entry in entries {
                out.u64(entry.offset).u64(entry.append_time_us);
                out.record(&entry.record);
            }
            &mut out
        }
        Ok(Answer::Ends(ends)) => out.tag(3).u64(ends.first).u64(ends.next),
        Err(error) => {
            out.tag(4);
            put_error(&mut out, error);
            &mut out
        }
    };
    out.0
}

pub(super) fn decode_answer(bytes: Bytes) -> io::Result<Result<Answer, LogError>> {
    let mut from = In(bytes);
    Ok(Ok(match from.u8()? {
        0 => Answer::Nothing,
        1 => Answer::Number(from.u64()?),
        2 => {
            let entries = from.u32()?;
            let mut all = Vec::new();
            for _ in 0..entries {
                all.push(Entry {
                    offset: from.u64()?,
                    append_time_us: from.u64()?,
                    record: from.record()?,
                });
            }
            Answer::Entries(all)
        }
        3 => Answer::Ends(Ends {
            first: from.u64()?,
            next: from.u64()?,
        }),
        4 => return Ok(Err(error(&mut from)?)),
        _ => return Err(malformed("an unknown answer")),
    }))
}

/// Those that a caller tells apart keep their kind; the others come as words.
fn put_error(out: &mut Out, error: &LogError) {
    match error {
        LogError::Full {
            used_bytes,
            limit_bytes,
        } => out
            .tag(0)
            .u64(*used_bytes)
            .u64(limit_bytes.unwrap_or(u64::MAX)),
        LogError::Gap { first } => out.tag(1).u64(*first),
        LogError::Ahead { next } => out.tag(2).u64(*next),
        LogError::UnknownTopic { topic } => out.tag(3).text(topic),
        LogError::PartitionMismatch {
            topic,
            partitions,
            asked,
        } => out.tag(4).text(topic).u32(*partitions).u32(*asked),
        LogError::TooLarge { bytes, limit_bytes } => out.tag(5).u64(*bytes).u64(*limit_bytes),
        LogError::InvalidTopic { topic, reason } => out.tag(6).text(topic).text(reason),
        other => out.tag(7).text(&other.to_string()),
    };
}

fn error(from: &mut In) -> io::Result<LogError> {
    Ok(match from.u8()? {
        0 => LogError::Full {
            used_bytes: from.u64()?,
            limit_bytes: Some(from.u64()?).filter(|limit| *limit != u64::MAX),
        },
        1 => LogError::Gap { first: from.u64()? },
        2 => LogError::Ahead { next: from.u64()? },
        3 => LogError::UnknownTopic {
            topic: from.text()?,
        },
        4 => LogError::PartitionMismatch {
            topic: from.text()?,
            partitions: from.u32()?,
            asked: from.u32()?,
        },
        5 => LogError::TooLarge {
            bytes: from.u64()?,
            limit_bytes: from.u64()?,
        },
        6 => {
            let (topic, _) = (from.text()?, from.text()?);
            LogError::InvalidTopic {
                topic,
                reason: "its name or its number of partitions is out of bounds",
            }
        }
        7 => LogError::Refused {
            reason: from.text()?,
        },
        _ => return Err(malformed("an unknown error")),
    })
}

#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn tag(&mut self, tag: u8) -> &mut Self {
        self.0.push(tag);
        self
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn record(&mut self, record: &Record) -> &mut Self {
        self.bytes(&record.key)
            .bytes(&record.headers)
            .bytes(&record.body)
    }
}

struct In(Bytes);

impl In {
    fn take(&mut self, bytes: usize) -> io::Result<Bytes> {
        if bytes > self.0.len() {
            return Err(malformed("a frame that ends too early"));
        }
        Ok(self.0.split_to(bytes))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(&bytes[..]).map_err(io::Error::other)
    }

    fn u8(&mut self) -> io::Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> io::Result<Bytes> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> io::Result<String> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec()).map_err(|_| malformed("a text that is not UTF-8"))
    }

    fn record(&mut self) -> io::Result<Record> {
        Ok(Record {
            key: self.bytes()?,
            headers: self.bytes()?,
            body: self.bytes()?,
        })
    }

    fn records(&mut self) -> io::Result<Vec<Record>> {
        let records = self.u32()?;
        (0..records).map(|_| self.record()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_call_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Call::decode(bytes.clone().into());
            let _ = decode_answer(bytes.into());
        }
    }

    #[test]
    fn calls_come_back_as_they_went() {
        let record = Record {
            key: "k".into(),
            headers: "h".into(),
            body: Bytes::from(vec![0; 300]),
        };
        let t = || "t".to_owned();
        for call in [
            Call::Ensure(t(), 8),
            Call::Partitions(t()),
            Call::Append(t(), 1, vec![record, Record::default()]),
            Call::Read(t(), 2, 3, 4),
            Call::Ends(t(), 5),
            Call::Trim(t(), 6, 7),
            Call::Sync,
            Call::Wait(8, Duration::from_millis(9)),
        ] {
            assert_eq!(Call::decode(call.encode().into()).unwrap(), call);
        }
    }
}
