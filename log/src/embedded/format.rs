//! The bytes of a segment file: one segment header, then batches, nothing else. Little endian.
//!
//! A batch is what one append wrote, so a batch is there whole or not at all. Its header has its own
//! checksum, salted with the segment's random salt and the batch's place in the file: bytes that
//! only look like a batch (a message that holds a copy of a segment, an old block of the disk) never
//! pass for one. The payload's checksum is in the header.
//!
//! | segment header | bytes | | batch header | bytes |
//! |---|---|---|---|---|
//! | `MASTSEG1` | 8 | | `MBAT` | 4 |
//! | version, 1 | 2 | | payload length | 4 |
//! | reserved, 0 | 2 | | records | 4 |
//! | partition | 4 | | flags, 0 | 4 |
//! | base offset | 8 | | offset of the first record | 8 |
//! | salt | 4 | | append time, µs | 8 |
//! | CRC-32 of the above | 4 | | CRC-32 of the payload | 4 |
//! | | | | salted CRC-32 of the above | 4 |
//!
//! Payload: per record the lengths of key, headers and body (4 bytes each), then these three.

use bytes::Bytes;

use crate::{Entry, LogError, Record};

/// The most bytes that one append may take, its framing included.
pub const MAX_BATCH_BYTES: u64 = 64 << 20;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 32;
pub(crate) const BATCH_HEADER_BYTES: usize = 40;
pub(crate) const BATCH_MAGIC: [u8; 4] = *b"MBAT";
const SEGMENT_MAGIC: [u8; 8] = *b"MASTSEG1";
const VERSION: u16 = 1;
const RECORD_HEADER_BYTES: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) partition: u32,
    pub(crate) base: u64,
    pub(crate) salt: u32,
}

impl SegmentHeader {
    pub(crate) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.partition.to_le_bytes());
        out[16..24].copy_from_slice(&self.base.to_le_bytes());
        out[24..28].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Option<Self> {
        let good = bytes[..8] == SEGMENT_MAGIC
            && bytes[8..10] == VERSION.to_le_bytes()
            && u32_at(bytes, 28) == crc32fast::hash(&bytes[..28]);
        good.then(|| Self {
            partition: u32_at(bytes, 12),
            base: u64_at(bytes, 16),
            salt: u32_at(bytes, 24),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) payload_bytes: u32,
    pub(crate) records: u32,
    pub(crate) base: u64,
    pub(crate) append_time_us: u64,
    pub(crate) payload_crc: u32,
}

impl BatchHeader {
    pub(crate) fn encode(self, salt: u32, position: u64) -> [u8; BATCH_HEADER_BYTES] {
        let mut out = [0; BATCH_HEADER_BYTES];
        out[..4].copy_from_slice(&BATCH_MAGIC);
        out[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[8..12].copy_from_slice(&self.records.to_le_bytes());
        out[16..24].copy_from_slice(&self.base.to_le_bytes());
        out[24..32].copy_from_slice(&self.append_time_us.to_le_bytes());
        out[32..36].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = header_crc(&out[..36], salt, position);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` unless these are exactly the bytes of a batch header written at this position. The
    /// lengths are within their caps then, whoever wrote them.
    pub(crate) fn decode(bytes: &[u8], salt: u32, position: u64) -> Option<Self> {
        if bytes.len() < BATCH_HEADER_BYTES || bytes[..4] != BATCH_MAGIC || u32_at(bytes, 12) != 0 {
            return None;
        }
        if u32_at(bytes, 36) != header_crc(&bytes[..36], salt, position) {
            return None;
        }
        let header = Self {
            payload_bytes: u32_at(bytes, 4),
            records: u32_at(bytes, 8),
            base: u64_at(bytes, 16),
            append_time_us: u64_at(bytes, 24),
            payload_crc: u32_at(bytes, 32),
        };
        let least = u64::from(header.records) * RECORD_HEADER_BYTES as u64;
        let sane = header.records > 0
            && header.total_bytes() <= MAX_BATCH_BYTES
            && least <= u64::from(header.payload_bytes)
            && header.base.checked_add(u64::from(header.records)).is_some();
        sane.then_some(header)
    }

    pub(crate) fn total_bytes(self) -> u64 {
        BATCH_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// The offset after its last record.
    pub(crate) fn next(self) -> u64 {
        self.base + u64::from(self.records)
    }

    pub(crate) fn matches(self, payload: &[u8]) -> bool {
        crc32fast::hash(payload) == self.payload_crc
    }
}

fn header_crc(bytes: &[u8], salt: u32, position: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&position.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// A batch ready to be written but for its place: made before the partition's lock is taken.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    records: u32,
    payload_crc: u32,
}

impl Batch {
    pub(crate) fn encode(records: &[Record], max_record_bytes: u64) -> Result<Self, LogError> {
        let mut total = BATCH_HEADER_BYTES as u64;
        for record in records {
            let bytes = record.size_bytes() as u64;
            if bytes > max_record_bytes {
                return Err(LogError::TooLarge {
                    bytes,
                    limit_bytes: max_record_bytes,
                });
            }
            total += RECORD_HEADER_BYTES as u64 + bytes;
        }
        let too_large = LogError::TooLarge {
            bytes: total,
            limit_bytes: MAX_BATCH_BYTES,
        };
        if total > MAX_BATCH_BYTES {
            return Err(too_large);
        }
        let (Ok(capacity), Ok(count)) = (usize::try_from(total), u32::try_from(records.len()))
        else {
            return Err(too_large);
        };
        let mut bytes = Vec::with_capacity(capacity);
        bytes.resize(BATCH_HEADER_BYTES, 0);
        for record in records {
            let parts = [&record.key, &record.headers, &record.body];
            for part in parts {
                // Below MAX_BATCH_BYTES, as checked above: nothing is cut off.
                bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            }
            for part in parts {
                bytes.extend_from_slice(part);
            }
        }
        let payload_crc = crc32fast::hash(&bytes[BATCH_HEADER_BYTES..]);
        Ok(Self {
            bytes,
            records: count,
            payload_crc,
        })
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Fills in the header for its place.
    pub(crate) fn place(
        &mut self,
        base: u64,
        append_time_us: u64,
        salt: u32,
        position: u64,
    ) -> (BatchHeader, &[u8]) {
        let header = BatchHeader {
            payload_bytes: (self.bytes.len() - BATCH_HEADER_BYTES) as u32,
            records: self.records,
            base,
            append_time_us,
            payload_crc: self.payload_crc,
        };
        self.bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(salt, position));
        (header, &self.bytes)
    }
}

/// The records of a payload from offset `from` on. They share the payload's memory.
pub(crate) struct Records {
    payload: Bytes,
    header: BatchHeader,
    offset: u64,
}

impl Records {
    pub(crate) fn new(header: BatchHeader, payload: Bytes) -> Self {
        Self {
            payload,
            header,
            offset: header.base,
        }
    }

    /// `None` at the end; `Some(None)` if the payload is not what its header says.
    #[expect(clippy::option_option, reason = "end and damage are two things")]
    pub(crate) fn next(&mut self) -> Option<Option<Entry>> {
        if self.offset == self.header.next() {
            return if self.payload.is_empty() {
                None
            } else {
                Some(None)
            };
        }
        Some(self.take())
    }

    fn take(&mut self) -> Option<Entry> {
        if self.payload.len() < RECORD_HEADER_BYTES {
            return None;
        }
        let lengths = self.payload.split_to(RECORD_HEADER_BYTES);
        let [key, headers, body] = [0, 4, 8].map(|at| u32_at(&lengths, at) as usize);
        let all = key.checked_add(headers)?.checked_add(body)?;
        if all > self.payload.len() {
            return None;
        }
        let record = Record {
            key: self.payload.split_to(key),
            headers: self.payload.split_to(headers),
            body: self.payload.split_to(body),
        };
        let offset = self.offset;
        self.offset += 1;
        Some(Entry {
            offset,
            record,
            append_time_us: self.header.append_time_us,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(bytes: (Vec<u8>, Vec<u8>, Vec<u8>)) -> Record {
        Record {
            key: bytes.0.into(),
            headers: bytes.1.into(),
            body: bytes.2.into(),
        }
    }

    fn decode(bytes: &[u8], salt: u32, position: u64) -> Option<Vec<Entry>> {
        let header = BatchHeader::decode(bytes, salt, position)?;
        let end = usize::try_from(header.total_bytes()).unwrap();
        let payload = bytes.get(BATCH_HEADER_BYTES..end)?;
        if !header.matches(payload) {
            return None;
        }
        let mut records = Records::new(header, Bytes::copy_from_slice(payload));
        let mut out = Vec::new();
        while let Some(entry) = records.next() {
            out.push(entry?);
        }
        Some(out)
    }

    type Parts = (Vec<u8>, Vec<u8>, Vec<u8>);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_goes_in_comes_out_and_nowhere_else(
            parts in proptest::collection::vec(any::<Parts>(), 1..5),
            base in 0..u64::MAX / 2, salt: u32, position in 0..u64::MAX / 2, flip: prop::sample::Index, bit in 0u8..8,
        ) {
            let records: Vec<Record> = parts.into_iter().map(record).collect();
            let mut batch = Batch::encode(&records, 1 << 20).unwrap();
            let mut bytes = batch.place(base, 7, salt, position).1.to_vec();
            let entries = decode(&bytes, salt, position).unwrap();
            prop_assert_eq!(entries[0].offset, base);
            prop_assert_eq!(entries.into_iter().map(|e| e.record).collect::<Vec<_>>(), records);
            prop_assert_eq!(decode(&bytes, salt, position + 1), None);
            prop_assert_eq!(decode(&bytes, salt ^ 1, position), None);
            let at = flip.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert_eq!(decode(&bytes, salt, position), None);
        }

        #[test]
        fn any_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..200), records in 1u32..20) {
            let header = BatchHeader {
                payload_bytes: payload.len() as u32, records, base: 3, append_time_us: 0, payload_crc: 0,
            };
            let mut reading = Records::new(header, payload.clone().into());
            while let Some(Some(_)) = reading.next() {}
            prop_assert!(BatchHeader::decode(&payload, 0, 0).is_none());
        }
    }

    #[test]
    fn lengths_beyond_the_cap_are_refused_even_with_a_good_checksum() {
        let header = BatchHeader {
            payload_bytes: u32::MAX,
            records: 1,
            base: 0,
            append_time_us: 0,
            payload_crc: 0,
        };
        assert_eq!(BatchHeader::decode(&header.encode(1, 2), 1, 2), None);
        let more_records_than_bytes = BatchHeader {
            payload_bytes: 20,
            records: 2,
            ..header
        };
        assert_eq!(
            BatchHeader::decode(&more_records_than_bytes.encode(1, 2), 1, 2),
            None
        );
        let past_the_last_offset = BatchHeader {
            payload_bytes: 20,
            base: u64::MAX,
            ..header
        };
        assert_eq!(
            BatchHeader::decode(&past_the_last_offset.encode(1, 2), 1, 2),
            None
        );
    }

    #[test]
    fn the_format_stays_as_it_is_on_disks() {
        let segment = SegmentHeader {
            partition: 3,
            base: 0x0102,
            salt: 0x0a0b_0c0d,
        }
        .encode();
        assert_eq!(&segment[..10], b"MASTSEG1\x01\0");
        assert_eq!(
            &segment[12..28],
            b"\x03\0\0\0\x02\x01\0\0\0\0\0\0\x0d\x0c\x0b\x0a"
        );
        assert_eq!(SegmentHeader::decode(&segment).unwrap().base, 0x0102);
        let record = Record {
            key: "k".into(),
            headers: "hh".into(),
            body: "bbb".into(),
        };
        let mut batch = Batch::encode(&[record], 100).unwrap();
        let (_, bytes) = batch.place(5, 9, 0, 32);
        assert_eq!(&bytes[..16], b"MBAT\x12\0\0\0\x01\0\0\0\0\0\0\0");
        assert_eq!(&bytes[40..], b"\x01\0\0\0\x02\0\0\0\x03\0\0\0khhbbb");
    }
}
