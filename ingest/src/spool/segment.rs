//! A file of the spool: a header that says how far it was read, then messages.
//!
//! | header | bytes | | message | bytes |
//! |---|---|---|---|---|
//! | `MASTSPL1` | 8 | | length of the headers | 4 |
//! | position of the first message not read yet | 8 | | length of the body | 4 |
//! | | | | polls | 4 |
//! | | | | CRC-32 of the above, the headers and the body | 4 |
//!
//! Little endian. Headers and body follow a message's sixteen bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use mast_log::Record;

use super::Parcel;

const MAGIC: &[u8; 8] = b"MASTSPL1";
pub(super) const HEADER: u64 = 16;
const FRAME: usize = 16;

/// The name of a segment's file.
pub(super) fn name(number: u64, partition: u32) -> String {
    format!("{number:020}-{partition:05}.spool")
}

/// Number and partition of a file by its name.
pub(super) fn parse(name: &str) -> Option<(u64, u32)> {
    let (number, partition) = name.strip_suffix(".spool")?.split_once('-')?;
    Some((number.parse().ok()?, partition.parse().ok()?))
}

/// Messages as they are written.
pub(super) fn encode(parcels: &[Parcel]) -> Vec<u8> {
    let size = |p: &Parcel| FRAME + p.record.headers.len() + p.record.body.len();
    let mut bytes = Vec::with_capacity(parcels.iter().map(size).sum());
    for Parcel { record, polls } in parcels {
        let begin = bytes.len();
        for length in [
            record.headers.len() as u32,
            record.body.len() as u32,
            u32::try_from(*polls).unwrap_or(u32::MAX),
        ] {
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        let sum = checksum(&bytes[begin..], &record.headers, &record.body);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(&record.headers);
        bytes.extend_from_slice(&record.body);
    }
    bytes
}

fn checksum(lengths: &[u8], headers: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [lengths, headers, body] {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The message at the begin of `bytes` and its size; null where there is no whole one.
fn decode(bytes: &[u8]) -> Option<(Parcel, usize)> {
    let (frame, rest) = bytes.split_at_checked(FRAME)?;
    let word = |i: usize| frame[i..i + 4].try_into().map(u32::from_le_bytes).ok();
    let (headers, body, polls, sum) = (word(0)? as usize, word(4)? as usize, word(8)?, word(12)?);
    let (headers, rest) = rest.split_at_checked(headers)?;
    let body = rest.get(..body)?;
    // Of zeros the checksum is not 0, so a hole in the file is no message.
    (checksum(&frame[..12], headers, body) == sum).then(|| {
        let record = Record {
            key: Bytes::new(),
            headers: Bytes::copy_from_slice(headers),
            body: Bytes::copy_from_slice(body),
        };
        let parcel = Parcel {
            record,
            polls: u64::from(polls),
        };
        (parcel, FRAME + headers.len() + body.len())
    })
}

fn size(parcel: &Parcel) -> u64 {
    (FRAME + parcel.record.headers.len() + parcel.record.body.len()) as u64
}

/// One file, open only while it is written or read: there may be many.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    /// Bytes that are whole.
    pub(super) len: u64,
    /// Where the first message that was not read begins.
    read: u64,
    /// Polls not read yet.
    pub(super) polls: u64,
}

impl Segment {
    pub(super) fn create(path: PathBuf, number: u64) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(&path)?;
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(MAGIC);
        header[8..].copy_from_slice(&HEADER.to_le_bytes());
        if let Err(error) = file.write_all_at(&header, 0) {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self {
            path,
            number,
            len: HEADER,
            read: HEADER,
            polls: 0,
        })
    }

    /// Reads a file that an earlier process left, and cuts off what is not whole. Null where nothing is left to read: the
    /// file is gone then.
    pub(super) fn recover(path: PathBuf, number: u64) -> io::Result<Option<Self>> {
        let bytes = std::fs::read(&path)?;
        let mut found = Self {
            path,
            number,
            len: HEADER,
            read: HEADER,
            polls: 0,
        };
        if bytes.len() < HEADER as usize {
            found.remove();
            return Ok(None);
        }
        if &bytes[..8] != MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is no segment of a spool",
            ));
        }
        let noted = bytes[8..16].try_into().map_or(HEADER, u64::from_le_bytes);
        let (mut at, mut polls_before) = (HEADER, 0);
        while let Some((parcel, size)) = decode(&bytes[at as usize..]) {
            if at == noted {
                (found.read, polls_before) = (at, found.polls);
            }
            found.polls += parcel.polls;
            at += size as u64;
        }
        if at == noted {
            (found.read, polls_before) = (at, found.polls);
        }
        found.polls -= polls_before;
        found.len = at;
        if at < bytes.len() as u64 {
            tracing::warn!(path = %found.path.display(), bytes = bytes.len() as u64 - at,
                "the end of a segment of the spool was not whole and is cut off");
            File::options().write(true).open(&found.path)?.set_len(at)?;
        }
        if found.read == found.len {
            found.remove();
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// Appends what [`encode`] made of `parcels`; all of it or nothing.
    pub(super) fn push(&mut self, bytes: &[u8], parcels: &[Parcel]) -> io::Result<()> {
        let file = File::options().write(true).open(&self.path)?;
        if let Err(error) = file.write_all_at(bytes, self.len) {
            let _ = file.set_len(self.len);
            return Err(error);
        }
        self.len += bytes.len() as u64;
        self.polls += parcels.iter().map(|p| p.polls).sum::<u64>();
        Ok(())
    }

    /// The first messages not read yet.
    pub(super) fn peek(&self, most_bytes: usize) -> io::Result<Vec<Parcel>> {
        let file = File::open(&self.path)?;
        let left = self.len - self.read;
        let mut bytes = vec![0; left.min(most_bytes as u64) as usize];
        file.read_exact_at(&mut bytes, self.read)?;
        if decode(&bytes).is_none() && (bytes.len() as u64) < left {
            // The first one is larger than that.
            bytes.resize(left as usize, 0);
            file.read_exact_at(&mut bytes, self.read)?;
        }
        let (mut at, mut found) = (0, Vec::new());
        while (found.is_empty() || at < most_bytes)
            && let Some((parcel, size)) = decode(&bytes[at..])
        {
            found.push(parcel);
            at += size;
        }
        if found.is_empty() && left > 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message does not match its checksum",
            ));
        }
        Ok(found)
    }

    /// Notes that these messages were read; true when none is left.
    pub(super) fn pop(&mut self, parcels: &[Parcel]) -> bool {
        self.read += parcels.iter().map(size).sum::<u64>();
        self.polls = self
            .polls
            .saturating_sub(parcels.iter().map(|p| p.polls).sum());
        if self.read >= self.len {
            return true;
        }
        // If this fails, a restart repeats what readers drop.
        let _ = File::options()
            .write(true)
            .open(&self.path)
            .and_then(|file| file.write_all_at(&self.read.to_le_bytes(), 8));
        false
    }

    pub(super) fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a spent segment of the spool can't be removed");
        }
    }
}
