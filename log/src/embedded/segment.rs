//! One segment file: made whole by rename, written only at its end, read by position.
//!
//! Trap avoided: nobody uses the file's cursor, so any number of readers share one open file; and
//! a file that was unlinked by a trim stays readable for who holds it.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File},
    hash::BuildHasher,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use bytes::Bytes;

use super::{
    format::{
        BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader, Records, SEGMENT_HEADER_BYTES, SegmentHeader,
    },
    fs::{lock, sync_dir},
    window::Window,
};
use crate::Entry;

/// A place in the sparse index for about every this many bytes.
const INDEX_EVERY_BYTES: u64 = 64 << 10;
const READ_LEAST_BYTES: u64 = 64 << 10;
const READ_MOST_BYTES: u64 = 4 << 20;

pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) base: u64,
    pub(crate) salt: u32,
    file: File,
    index: Mutex<Index>,
}

/// How far the file is known to hold whole batches, and where some of them begin.
struct Index {
    places: Vec<(u64, u64)>,
    next: u64,
    end: u64,
}

impl Index {
    fn push(&mut self, header: BatchHeader) {
        if self
            .places
            .last()
            .is_none_or(|&(_, at)| self.end - at >= INDEX_EVERY_BYTES)
        {
            self.places.push((header.base, self.end));
        }
        self.next = header.next();
        self.end += header.total_bytes();
    }
}

/// How a scan ended; where is [`Segment::known`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    Whole,
    Damaged,
}

/// Where reading hit bytes that are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: u64,
    pub(crate) position: u64,
}

pub(crate) enum ReadError {
    Damaged(Damage),
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Segment {
    pub(crate) fn path_of(dir: &Path, base: u64) -> PathBuf {
        dir.join(format!("{base:020}.seg"))
    }

    /// The bases of the segment files in a partition's folder, rising.
    pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
        let mut bases = Vec::new();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            if let Some(digits) = digits.filter(|digits| digits.len() == 20) {
                bases.extend(digits.parse::<u64>());
            }
        }
        bases.sort_unstable();
        Ok(bases)
    }

    /// An empty segment. It appears under its name with its header whole, or not at all.
    pub(crate) fn create(dir: &Path, partition: u32, base: u64, durable: bool) -> io::Result<Self> {
        let salt = RandomState::new().hash_one(base) as u32;
        let path = Self::path_of(dir, base);
        let fresh = path.with_extension("new");
        let header = SegmentHeader {
            partition,
            base,
            salt,
        }
        .encode();
        let made = write_fresh(&fresh, &header, durable).and_then(|file| {
            fs::rename(&fresh, &path)?;
            if durable {
                sync_dir(dir)?;
            }
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Self::new(path, base, salt, file)),
            Err(error) => {
                // Best effort: what is left is overwritten by the next attempt.
                let _ = fs::remove_file(&fresh);
                Err(error)
            }
        }
    }

    /// `Ok(None)` if its header is not a header of this partition and base.
    pub(crate) fn open(
        dir: &Path,
        partition: u32,
        base: u64,
        writable: bool,
    ) -> io::Result<Option<Self>> {
        let path = Self::path_of(dir, base);
        let file = File::options().read(true).write(writable).open(&path)?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        Ok(SegmentHeader::decode(&bytes)
            .filter(|header| header.partition == partition && header.base == base)
            .map(|header| Self::new(path, base, header.salt, file)))
    }

    fn new(path: PathBuf, base: u64, salt: u32, file: File) -> Self {
        let index = Index {
            places: Vec::new(),
            next: base,
            end: SEGMENT_HEADER_BYTES as u64,
        };
        Self {
            path,
            base,
            salt,
            file,
            index: Mutex::new(index),
        }
    }

    pub(crate) fn file_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The offset after the last batch known to be whole, and the position of its end.
    pub(crate) fn known(&self) -> (u64, u64) {
        let index = lock(&self.index);
        (index.next, index.end)
    }

    /// Writes a batch at the known end. If that fails the file is cut back to where it was;
    /// `Err((_, false))` means that even this failed and the file must not be written again.
    pub(crate) fn append(
        &self,
        header: BatchHeader,
        bytes: &[u8],
    ) -> Result<(), (io::Error, bool)> {
        let end = lock(&self.index).end;
        if let Err(error) = write_all_at(&self.file, bytes, end) {
            let cut_back = self.file.set_len(end).is_ok();
            return Err((error, cut_back));
        }
        lock(&self.index).push(header);
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(crate) fn truncate(&self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.sync_all()
    }

    /// Walks on from the known end over whole batches up to `limit` bytes of the file. Without
    /// `payloads` it trusts the headers, whose lengths have a checksum, and skips what they frame.
    pub(crate) fn scan(&self, limit: u64, payloads: bool) -> io::Result<Scan> {
        let mut index = lock(&self.index);
        let mut window = Window::new(&self.file, limit);
        while index.end < limit {
            let position = index.end;
            let Some(bytes) = window.get(position, BATCH_HEADER_BYTES)? else {
                return Ok(Scan::Damaged);
            };
            let header = BatchHeader::decode(bytes, self.salt, position);
            let Some(header) = header.filter(|header| header.base == index.next) else {
                return Ok(Scan::Damaged);
            };
            if limit - position < header.total_bytes()
                || payloads && !payload_is_good(&mut window, position, header)?
            {
                return Ok(Scan::Damaged);
            }
            index.push(header);
        }
        Ok(Scan::Whole)
    }

    /// Whether a whole batch lies anywhere behind `position`: then what is at `position` is damage
    /// in the middle, since batches are written one after the other.
    pub(crate) fn has_batch_after(&self, position: u64, limit: u64) -> io::Result<bool> {
        let mut window = Window::new(&self.file, limit);
        let mut inner = Window::new(&self.file, limit);
        let mut at = position + 1;
        while limit.saturating_sub(at) >= BATCH_HEADER_BYTES as u64 {
            let bytes = window.rest(at)?;
            let Some(found) = bytes.windows(4).position(|word| word == BATCH_MAGIC) else {
                // The last three bytes may be the beginning of the word.
                at += (bytes.len() as u64).saturating_sub(3).max(1);
                continue;
            };
            at += found as u64;
            if let Some(bytes) = inner.get(at, BATCH_HEADER_BYTES)?
                && let Some(header) = BatchHeader::decode(bytes, self.salt, at)
                && payload_is_good(&mut inner, at, header)?
            {
                return Ok(true);
            }
            at += 1;
        }
        Ok(false)
    }

    /// Adds to `out` the entries from `from` on that lie before `end`, while they fit in
    /// `max_bytes` together with the `taken` ones; the first of all always fits. Returns whether
    /// there was room for all.
    pub(crate) fn read(
        &self,
        from: u64,
        end: u64,
        max_bytes: usize,
        taken: &mut usize,
        out: &mut Vec<Entry>,
    ) -> Result<bool, ReadError> {
        let (mut offset, mut position) = self.place_of(from);
        let mut want = BATCH_HEADER_BYTES as u64;
        while position < end {
            let damage = Damage { offset, position };
            let chunk = self.chunk(position, end, want, max_bytes.saturating_sub(*taken))?;
            let mut at = 0;
            while let Some(bytes) = chunk.get(at..at + BATCH_HEADER_BYTES) {
                let damage = Damage {
                    offset,
                    position: position + at as u64,
                };
                let header = BatchHeader::decode(bytes, self.salt, damage.position)
                    .filter(|header| header.base == offset)
                    .filter(|header| end - damage.position >= header.total_bytes())
                    .ok_or(ReadError::Damaged(damage))?;
                want = header.total_bytes();
                let batch_end = at + want as usize;
                if batch_end > chunk.len() {
                    break;
                }
                if header.next() > from {
                    let payload = chunk.slice(at + BATCH_HEADER_BYTES..batch_end);
                    let room = take_entries(header, payload, from, max_bytes, taken, out)
                        .ok_or(ReadError::Damaged(damage))?;
                    if !room {
                        return Ok(false);
                    }
                }
                at = batch_end;
                offset = header.next();
                want = BATCH_HEADER_BYTES as u64;
            }
            if at == 0 && chunk.len() < BATCH_HEADER_BYTES {
                return Err(ReadError::Damaged(damage));
            }
            position += at as u64;
        }
        Ok(true)
    }

    fn place_of(&self, from: u64) -> (u64, u64) {
        let index = lock(&self.index);
        let behind = index.places.partition_point(|&(offset, _)| offset <= from);
        let first = (self.base, SEGMENT_HEADER_BYTES as u64);
        behind.checked_sub(1).map_or(first, |i| index.places[i])
    }

    fn chunk(&self, position: u64, end: u64, want: u64, room: usize) -> io::Result<Bytes> {
        let good = (room as u64)
            .clamp(READ_LEAST_BYTES, READ_MOST_BYTES)
            .max(want);
        let mut bytes = vec![0; good.min(end - position) as usize];
        self.file.read_exact_at(&mut bytes, position)?;
        Ok(bytes.into())
    }
}

/// Whether there was room for all; `None` if the payload is damaged.
fn take_entries(
    header: BatchHeader,
    payload: Bytes,
    from: u64,
    max_bytes: usize,
    taken: &mut usize,
    out: &mut Vec<Entry>,
) -> Option<bool> {
    if !header.matches(&payload) {
        return None;
    }
    let mut records = Records::new(header, payload);
    while let Some(entry) = records.next() {
        let entry = entry?;
        if entry.offset < from {
            continue;
        }
        let size = entry.record.size_bytes();
        if !out.is_empty() && taken.saturating_add(size) > max_bytes {
            return Some(false);
        }
        *taken = taken.saturating_add(size);
        out.push(entry);
    }
    Some(true)
}

fn payload_is_good(
    window: &mut Window<'_>,
    position: u64,
    header: BatchHeader,
) -> io::Result<bool> {
    let payload = window.get(
        position + BATCH_HEADER_BYTES as u64,
        header.payload_bytes as usize,
    )?;
    Ok(payload.is_some_and(|payload| header.matches(payload)))
}

fn write_fresh(path: &Path, bytes: &[u8], durable: bool) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    write_all_at(&file, bytes, 0)?;
    if durable {
        file.sync_all()?;
    }
    Ok(file)
}

#[cfg(not(test))]
fn write_all_at(file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    crate::fault::room("log")?;
    file.write_all_at(bytes, position)
}

#[cfg(test)]
use super::fault::write_all_at;
