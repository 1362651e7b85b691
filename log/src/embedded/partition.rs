//! One partition: a row of segments, the last of which is written.
//!
//! The owner knows where its batches end; a read-only opener finds out anew at each call, by walking
//! over whole batches behind the place it knew, so it never takes half of a write for a record.
//!
//! Trap avoided: under [`Fsync::EveryAppend`](super::Fsync) a batch becomes readable only after its
//! sync. Else a consumer could commit what a power failure then takes away, and other records would
//! get the same offsets.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{
    format::{Batch, SEGMENT_HEADER_BYTES},
    fs::{lock, sync_dir},
    recovery,
    segment::{Damage, ReadError, Segment},
    store::Store,
};
use crate::{Ends, Entry, LogError};

pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) id: u32,
    pub(crate) dir: PathBuf,
    pub(crate) writable: bool,
    tail: Mutex<Tail>,
    /// Held while syncing: who waited for it often finds its own bytes synced by the one before.
    syncing: Mutex<()>,
    unsynced: AtomicBool,
}

/// What changes; all fields fit each other whenever the lock is free.
pub(crate) struct Tail {
    /// Never empty; the last is the one written to.
    pub(crate) segments: Vec<Part>,
    /// The next offset to be written.
    pub(crate) next: u64,
    /// Readers see offsets below this one, which lie before `visible_bytes` of the last segment.
    pub(crate) visible: u64,
    pub(crate) visible_bytes: u64,
    rolled_at: Instant,
    /// A failed write couldn't be undone: no more writes until the log is opened again.
    broken: bool,
}

pub(crate) struct Part {
    pub(crate) segment: Arc<Segment>,
    /// Bytes of whole batches and header; those of the file, save for the last one.
    pub(crate) bytes: u64,
}

impl Partition {
    pub(crate) fn open(topic: &str, id: u32, dir: &Path, writable: bool) -> Result<Self, LogError> {
        let partition = Self {
            topic: topic.to_owned(),
            id,
            dir: dir.to_owned(),
            writable,
            tail: Mutex::new(Tail {
                segments: Vec::new(),
                next: 0,
                visible: 0,
                visible_bytes: 0,
                rolled_at: Instant::now(),
                broken: false,
            }),
            syncing: Mutex::new(()),
            unsynced: AtomicBool::new(false),
        };
        let mut tail = lock(&partition.tail);
        if writable {
            recovery::open_segments(&partition, &mut tail)?;
        } else {
            recovery::refresh(&partition, &mut tail)?;
        }
        drop(tail);
        Ok(partition)
    }

    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.tail)
            .segments
            .iter()
            .map(|part| part.bytes)
            .sum()
    }

    pub(crate) fn ends(&self) -> Result<Ends, LogError> {
        let mut tail = lock(&self.tail);
        self.look_again(&mut tail)?;
        Ok(Ends {
            first: tail.first(),
            next: tail.visible,
        })
    }

    /// Writes the batch at the end; returns its first offset. Not yet synced.
    pub(crate) fn append(&self, store: &Store, batch: &mut Batch) -> Result<u64, LogError> {
        let mut tail = lock(&self.tail);
        if tail.broken || store.is_broken() {
            return Err(self.io("write after an earlier failure to", broken()));
        }
        let bytes = batch.total_bytes();
        store.reserve(bytes)?;
        self.write(store, &mut tail, batch)
            .inspect_err(|_| store.release(bytes))
    }

    fn write(&self, store: &Store, tail: &mut Tail, batch: &mut Batch) -> Result<u64, LogError> {
        let used = tail.last_bytes();
        let empty = used == SEGMENT_HEADER_BYTES as u64;
        let full = used + batch.total_bytes() > store.config.segment_bytes;
        if !empty && (full || store.is_old(used, tail.rolled_at)) {
            self.roll(store, tail)?;
        }
        let segment = Arc::clone(&tail.last().segment);
        let base = tail.next;
        let (header, bytes) = batch.place(base, store.now_us(), segment.salt, tail.last_bytes());
        self.unsynced.store(true, Ordering::Release);
        if let Err((error, cut_back)) = segment.append(header, bytes) {
            tail.broken |= !cut_back;
            return Err(store.full_or(error, |error| self.io("append to", error)));
        }
        let bytes = bytes.len() as u64;
        if let Some(part) = tail.segments.last_mut() {
            part.bytes += bytes;
        }
        tail.next = header.next();
        if !store.config.fsync.shows_only_synced() {
            tail.show(tail.next, tail.last_bytes());
        }
        Ok(base)
    }

    /// Closes the last segment and begins the next. The closed one is synced first: a hole may
    /// only ever be at the very end.
    fn roll(&self, store: &Store, tail: &mut Tail) -> Result<(), LogError> {
        let durable = store.config.fsync.syncs();
        if durable && let Err(error) = tail.last().segment.sync() {
            store.break_down();
            return Err(self.io("sync", error));
        }
        let segment = Segment::create(&self.dir, self.id, tail.next, durable)
            .map_err(|error| store.full_or(error, |error| self.io("begin a segment in", error)))?;
        let bytes = SEGMENT_HEADER_BYTES as u64;
        store.add(bytes);
        tail.segments.push(Part {
            segment: Arc::new(segment),
            bytes,
        });
        tail.show(tail.next, bytes);
        tail.rolled_at = Instant::now();
        Ok(())
    }

    /// Makes all that is written safe against power loss, and readable.
    pub(crate) fn sync(&self, store: &Store) -> Result<(), LogError> {
        let _turn = lock(&self.syncing);
        if store.is_broken() {
            return Err(self.io("sync after an earlier failure to", broken()));
        }
        if !self.unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let (segment, next, bytes) = {
            let tail = lock(&self.tail);
            (
                Arc::clone(&tail.last().segment),
                tail.next,
                tail.last_bytes(),
            )
        };
        if let Err(error) = segment.sync() {
            // The system may have dropped the pages it could not write and report no error the
            // next time: what is on the disk is unknown until the log is read again.
            store.break_down();
            return Err(self.io("sync", error));
        }
        let mut tail = lock(&self.tail);
        // After a roll meanwhile, everything in the closed segment is shown already.
        if tail.last().segment.base == segment.base && next > tail.visible {
            tail.show(next, bytes);
        }
        Ok(())
    }

    pub(crate) fn read(&self, from: u64, max_bytes: usize) -> Result<Vec<Entry>, LogError> {
        let (mut out, mut taken, mut from) = (Vec::new(), 0, from);
        while let Some(stretch) = self.stretch(from, !out.is_empty())? {
            match stretch.read(from, max_bytes, &mut taken, &mut out) {
                // What lies before the damage is good; who reads on from there gets the error.
                Err(ReadError::Damaged(_)) if !out.is_empty() => break,
                Err(error) => return Err(self.read_error(&stretch.segment, error)),
                Ok(false) => break,
                Ok(true) if taken >= max_bytes => break,
                Ok(true) => from = stretch.end,
            }
        }
        Ok(out)
    }

    /// What can be read in the segment that holds `from`. `None` at the end.
    fn stretch(&self, from: u64, going_on: bool) -> Result<Option<Stretch>, LogError> {
        let mut tail = lock(&self.tail);
        if !going_on {
            self.look_again(&mut tail)?;
        }
        let first = tail.first();
        if from < first {
            // Trimmed while we were reading: what was read so far is good.
            return if going_on {
                Ok(None)
            } else {
                Err(LogError::Gap { first })
            };
        }
        if from > tail.visible {
            return Err(LogError::Ahead { next: tail.visible });
        }
        if from == tail.visible {
            return Ok(None);
        }
        let behind = tail
            .segments
            .partition_point(|part| part.segment.base <= from);
        let part = &tail.segments[behind - 1];
        let segment = Arc::clone(&part.segment);
        Ok(Some(match tail.segments.get(behind) {
            Some(after) => Stretch {
                segment,
                bytes: part.bytes,
                end: after.segment.base,
                closed: true,
            },
            None => Stretch {
                segment,
                bytes: tail.visible_bytes,
                end: tail.visible,
                closed: false,
            },
        }))
    }

    /// Gives back the segments that lie before `before` as a whole.
    pub(crate) fn trim(&self, store: &Store, before: u64) -> Result<(), LogError> {
        let mut tail = lock(&self.tail);
        let before = before.min(tail.visible);
        if before == tail.next && store.worth_rolling(tail.last_bytes(), tail.rolled_at) {
            self.roll(store, &mut tail)?;
        }
        let mut unlinked = false;
        // Oldest first, so that whatever a kill leaves is a row without holes.
        while tail
            .segments
            .get(1)
            .is_some_and(|second| second.segment.base <= before)
        {
            let path = &tail.segments[0].segment.path;
            std::fs::remove_file(path).map_err(LogError::io("remove", path))?;
            store.release(tail.segments.remove(0).bytes);
            unlinked = true;
        }
        if unlinked && store.config.fsync.syncs() {
            sync_dir(&self.dir).map_err(|error| self.io("sync", error))?;
        }
        Ok(())
    }

    fn look_again(&self, tail: &mut Tail) -> Result<(), LogError> {
        if self.writable {
            Ok(())
        } else {
            recovery::refresh(self, tail)
        }
    }

    pub(crate) fn io(&self, action: &'static str, error: io::Error) -> LogError {
        LogError::io(action, &self.dir)(error)
    }

    pub(crate) fn read_error(&self, segment: &Segment, error: ReadError) -> LogError {
        match error {
            ReadError::Io(error) => LogError::io("read", &segment.path)(error),
            ReadError::Damaged(damage) => {
                self.corrupt(segment, damage, "a damaged or missing batch")
            }
        }
    }

    pub(crate) fn corrupt(
        &self,
        segment: &Segment,
        damage: Damage,
        detail: &'static str,
    ) -> LogError {
        LogError::Corrupt {
            topic: self.topic.clone(),
            partition: self.id,
            offset: damage.offset,
            file: segment.path.clone(),
            position: damage.position,
            detail,
        }
    }
}

/// The readable part of a segment.
struct Stretch {
    segment: Arc<Segment>,
    bytes: u64,
    /// The offset after it.
    end: u64,
    closed: bool,
}

impl Stretch {
    fn read(
        &self,
        from: u64,
        max_bytes: usize,
        taken: &mut usize,
        out: &mut Vec<Entry>,
    ) -> Result<bool, ReadError> {
        // Closed segments of an earlier run are walked over when first read, not at each start.
        if self.segment.known().1 < self.bytes {
            self.segment.scan(self.bytes, false)?;
        }
        let (offset, position) = self.segment.known();
        let all = self
            .segment
            .read(from, self.bytes.min(position), max_bytes, taken, out)?;
        // A closed segment must lead up to the next one: else a file between them is missing.
        let whole = position >= self.bytes && (!self.closed || offset == self.end);
        if all && !whole {
            return Err(ReadError::Damaged(Damage { offset, position }));
        }
        Ok(all)
    }
}

impl Tail {
    fn first(&self) -> u64 {
        self.segments[0].segment.base
    }

    fn last(&self) -> &Part {
        &self.segments[self.segments.len() - 1]
    }

    fn last_bytes(&self) -> u64 {
        self.last().bytes
    }

    pub(crate) fn show(&mut self, next: u64, bytes: u64) {
        self.visible = next;
        self.visible_bytes = bytes;
    }
}

fn broken() -> io::Error {
    io::Error::other("the log must be opened again")
}
