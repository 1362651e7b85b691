//! Whole polls that wait on disk while the log is full or away.
//!
//! A folder of segment files, each of one partition, numbered in the order in which they were begun. A message is written
//! at the end of its partition's newest segment and read from the begin of its oldest; how far it was read stands in the
//! segment itself. So a kill loses no message and repeats at most the last that were read, which readers of the log drop
//! as replays. A message that was half written when the process ended is cut off at the next start.
//!
//! The bound is on bytes: when it is reached, or the disk has no room, the oldest segment goes, with its whole polls, and
//! they are counted. Nothing here waits for the disk: a kill of the process takes nothing, a power cut may take the last
//! seconds.

mod segment;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use mast_log::Record;
use segment::{Segment, name, parse};

/// Where a spool is, and how large it may grow.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// The folder; made if it is not there. One process at a time.
    pub folder: PathBuf,
    /// Bytes on disk.
    pub limit_bytes: u64,
}

impl SpoolConfig {
    /// A spool of at most 1 GiB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limit_bytes: 1 << 30,
        }
    }

    /// The oldest goes segment by segment, so a segment is a small part of all.
    fn segment_bytes(&self) -> u64 {
        (self.limit_bytes / 64).clamp(1 << 10, 4 << 20)
    }
}

/// What keeps a spool from being used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process spools there.
    #[error("the spool {} is another process's; give each ingest node a data folder of its own", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system refused.
    #[error("the spool {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl SpoolError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// Whether room is what is missing.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::File { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// A message on its way to the log, with the number of polls in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The message.
    pub record: Record,
    /// Polls in it.
    pub polls: u64,
}

/// Messages on disk, by partition.
pub struct Spool {
    config: SpoolConfig,
    lanes: BTreeMap<u32, VecDeque<Segment>>,
    next_number: u64,
    /// Held while the spool is in use.
    _lock: File,
}

impl Spool {
    /// Opens the folder with what an earlier process left there.
    ///
    /// # Errors
    /// [`SpoolError`]; a segment that can't be read is set aside, not an error.
    pub fn open(config: SpoolConfig) -> Result<Self, SpoolError> {
        let folder = &config.folder;
        std::fs::create_dir_all(folder).map_err(SpoolError::at(folder))?;
        let lock_path = folder.join("lock");
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(SpoolError::at(&lock_path))?;
        lock.try_lock().map_err(|_| SpoolError::InUse {
            folder: folder.clone(),
        })?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(SpoolError::at(folder))? {
            let entry = entry.map_err(SpoolError::at(folder))?;
            if let Some(key) = entry.file_name().to_str().and_then(parse) {
                found.push(key);
            }
        }
        found.sort_unstable();
        let mut spool = Self {
            next_number: found.last().map_or(1, |(number, _)| number + 1),
            lanes: BTreeMap::new(),
            config,
            _lock: lock,
        };
        for (number, partition) in found {
            let path = spool.config.folder.join(name(number, partition));
            match Segment::recover(path.clone(), number) {
                Ok(Some(segment)) => spool.lane(partition).push_back(segment),
                Ok(None) => {}
                Err(error) => {
                    let _ = std::fs::rename(&path, path.with_added_extension("bad"));
                    tracing::error!(%error, path = %path.display(),
                        "a segment of the spool can't be read; it is set aside with the extension .bad");
                }
            }
        }
        Ok(spool)
    }

    fn lane(&mut self, partition: u32) -> &mut VecDeque<Segment> {
        self.lanes.entry(partition).or_default()
    }

    /// Whether messages of this partition wait.
    pub fn holds(&self, partition: u32) -> bool {
        self.lanes.get(&partition).is_some_and(|l| !l.is_empty())
    }

    /// Partitions of which messages wait.
    pub fn partitions(&self) -> impl Iterator<Item = u32> + '_ {
        let waiting = self.lanes.iter().filter(|(_, lane)| !lane.is_empty());
        waiting.map(|(partition, _)| *partition)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.lanes.values().flatten().map(|s| s.len).sum()
    }

    /// Polls that wait.
    pub fn polls(&self) -> u64 {
        self.lanes.values().flatten().map(|s| s.polls).sum()
    }

    /// Puts messages behind those of the same partition; the number of polls dropped to make room.
    ///
    /// # Errors
    /// [`SpoolError::File`]: nothing of `parcels` is there. Where [`SpoolError::is_full`], [`Spool::drop_oldest`] helps.
    pub fn push(&mut self, partition: u32, parcels: &[Parcel]) -> Result<u64, SpoolError> {
        let bytes = segment::encode(parcels);
        let mut dropped = 0;
        let room = self.config.limit_bytes;
        let room = room.saturating_sub(bytes.len() as u64 + segment::HEADER);
        while self.bytes() > room {
            match self.drop_oldest() {
                Some(polls) => dropped += polls,
                None => break,
            }
        }
        let full = self.config.segment_bytes();
        let number = self.next_number;
        let path = self.config.folder.join(name(number, partition));
        let lane = self.lanes.entry(partition).or_default();
        let fresh = lane.back().is_none_or(|last| last.len >= full);
        if fresh {
            let made = Segment::create(path.clone(), number).map_err(SpoolError::at(&path))?;
            self.next_number += 1;
            lane.push_back(made);
        }
        if let Some(last) = lane.back_mut()
            && let Err(error) = last.push(&bytes, parcels)
        {
            let at = last.path.clone();
            if fresh && let Some(made) = lane.pop_back() {
                made.remove();
            }
            return Err(SpoolError::at(&at)(error));
        }
        Ok(dropped)
    }

    /// The oldest messages of a partition, at least one if there is one and not much more than `most_bytes`, and the number
    /// of polls lost to bytes that are not what was written.
    ///
    /// # Errors
    /// [`SpoolError::File`] when the folder can't be read now; nothing is lost.
    pub fn peek(
        &mut self,
        partition: u32,
        most_bytes: usize,
    ) -> Result<(Vec<Parcel>, u64), SpoolError> {
        let mut lost = 0;
        let lane = self.lanes.entry(partition).or_default();
        while let Some(first) = lane.front_mut() {
            match first.peek(most_bytes) {
                Ok(found) if !found.is_empty() => return Ok((found, lost)),
                Ok(_) => {}
                Err(error) if is_damage(&error) => {
                    tracing::error!(%error, path = %first.path.display(), polls = first.polls,
                        "a segment of the spool is damaged; its polls are lost");
                    lost += first.polls;
                }
                Err(error) => return Err(SpoolError::at(&first.path)(error)),
            }
            if let Some(spent) = lane.pop_front() {
                spent.remove();
            }
        }
        Ok((Vec::new(), lost))
    }

    /// Takes out the oldest messages of a partition, which [`Spool::peek`] gave.
    pub fn pop(&mut self, partition: u32, parcels: &[Parcel]) {
        let Some(lane) = self.lanes.get_mut(&partition) else {
            return;
        };
        if let Some(first) = lane.front_mut()
            && first.pop(parcels)
            && let Some(spent) = lane.pop_front()
        {
            spent.remove();
        }
    }

    /// Drops the oldest segment of all; the polls that were in it. Null when there is none.
    pub fn drop_oldest(&mut self) -> Option<u64> {
        let lanes = self.lanes.values_mut().filter(|lane| !lane.is_empty());
        let lane = lanes.min_by_key(|lane| lane.front().map(|first| first.number))?;
        let gone = lane.pop_front()?;
        let polls = gone.polls;
        gone.remove();
        Some(polls)
    }
}

/// Whether the bytes are not what was written, and never will be.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
