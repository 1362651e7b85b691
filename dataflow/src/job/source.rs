//! Reads a partition twice at the price of once: headers up to its end, to know what can be bound, then what was bound.
//!
//! What was read for its headers is kept until it is bound, up to a limit; behind a long backlog the rest is read again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mast_log::{Ends, Entry, Log, LogError, Record};
use mast_schemas::message::Header;

use super::Shared;
use crate::error::{DataflowError, Lost};

/// Bytes of one read.
const READ: usize = 4 << 20;
/// Bytes that a partition keeps for the second reading.
const KEPT: usize = 32 << 20;

/// The log, with patience while it is away, and whom to name when it lost something.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) checkpoints: PathBuf,
    pub(crate) shared: Arc<Shared>,
}

/// Time between attempts while the log is away; each also waits for the log itself.
const AGAIN: Duration = Duration::from_millis(500);

impl Source {
    pub(crate) fn read(
        &self,
        topic: &'static str,
        partition: u32,
        from: u64,
    ) -> Result<Vec<Entry>, DataflowError> {
        self.patiently(|| self.log.read(topic, partition, from, READ))
            .map_err(|source| match source {
                LogError::Gap { first } => DataflowError::Gap {
                    lost: vec![Lost {
                        topic,
                        partition,
                        wanted: from,
                        first,
                    }],
                    checkpoints: self.checkpoints.clone(),
                },
                source => DataflowError::Log {
                    topic,
                    partition,
                    source,
                },
            })
    }

    /// Both ends of a partition.
    pub(crate) fn ends(&self, topic: &'static str, partition: u32) -> Result<Ends, DataflowError> {
        self.patiently(|| self.log.ends(topic, partition))
            .map_err(DataflowError::log(topic, partition))
    }

    /// Calls the log again and again while its broker is away; a stop ends the patience.
    fn patiently<T>(&self, call: impl Fn() -> Result<T, LogError>) -> Result<T, LogError> {
        let mut told = false;
        loop {
            match call() {
                Err(error) if error.is_passing() && !self.shared.stopping() => {
                    if !told {
                        tracing::warn!(%error, "the log cannot be read; trying again");
                        told = true;
                    }
                    std::thread::sleep(AGAIN);
                }
                done => return done,
            }
        }
    }
}

/// Records before the first unbound one in which heartbeats are looked for: some ten seconds of a partition, twice what a
/// producer may be silent.
const LOOK_BACK: u64 = 128;

/// A record with its header read.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) offset: u64,
    /// `None` = it is not a header.
    pub(crate) header: Option<Arc<Header>>,
    pub(crate) body: Bytes,
}

impl Item {
    fn of(entry: Entry) -> Self {
        let header = Header::decode(&entry.record.headers).ok().map(Arc::new);
        Self {
            offset: entry.offset,
            header,
            body: entry.record.body,
        }
    }
}

/// A partition being followed.
pub(crate) struct Tail {
    topic: &'static str,
    partition: u32,
    scanned: u64,
    /// Without holes; from the first offset that is not yet bound.
    kept: VecDeque<Item>,
    kept_bytes: usize,
}

impl Tail {
    pub(crate) const fn new(topic: &'static str, partition: u32, from: u64) -> Self {
        Self {
            topic,
            partition,
            scanned: from,
            kept: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    /// Goes on scanning from here; for the end of a replay, which does not scan.
    pub(crate) fn seek(&mut self, from: u64) {
        self.scanned = from;
        self.kept.clear();
        self.kept_bytes = 0;
    }

    /// Shows the newest records before `to` to `see`, as far as the log still holds them.
    pub(crate) fn look_back(
        &self,
        source: &Source,
        to: u64,
        mut see: impl FnMut(&Record),
    ) -> Result<(), DataflowError> {
        let first = source.ends(self.topic, self.partition)?.first;
        let mut next = to.saturating_sub(LOOK_BACK).max(first);
        while next < to {
            let entries = source.read(self.topic, self.partition, next)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            next = last.offset + 1;
            let before = entries.into_iter().filter(|entry| entry.offset < to);
            before.for_each(|entry| see(&entry.record));
        }
        Ok(())
    }

    /// Shows all records up to the end to `see`.
    pub(crate) fn scan(
        &mut self,
        source: &Source,
        mut see: impl FnMut(&Item),
    ) -> Result<(), DataflowError> {
        loop {
            let entries = source.read(self.topic, self.partition, self.scanned)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            self.scanned = last.offset + 1;
            for entry in entries {
                let item = Item::of(entry);
                see(&item);
                self.keep(item);
            }
        }
    }

    fn keep(&mut self, item: Item) {
        let joins = self
            .kept
            .back()
            .is_none_or(|last| last.offset + 1 == item.offset);
        if joins && self.kept_bytes < KEPT {
            self.kept_bytes += item.body.len();
            self.kept.push_back(item);
        }
    }

    /// The records `from..to`.
    pub(crate) fn take(
        &mut self,
        source: &Source,
        from: u64,
        to: u64,
    ) -> Result<Vec<Item>, DataflowError> {
        let mut items = Vec::new();
        let mut next = from;
        while next < to {
            match self.kept.front().map(|item| item.offset) {
                Some(offset) if offset == next => {
                    let Some(item) = self.kept.pop_front() else {
                        break;
                    };
                    self.kept_bytes -= item.body.len();
                    next += 1;
                    items.push(item);
                }
                Some(offset) if offset < next => {
                    let passed = self.kept.pop_front();
                    self.kept_bytes -= passed.map_or(0, |item| item.body.len());
                }
                _ => {
                    let end = self.kept.front().map_or(u64::MAX, |item| item.offset);
                    next = self.read_again(source, next, to.min(end), &mut items)?;
                }
            }
        }
        Ok(items)
    }

    /// Reads `from..to` from the log; what the read brings beyond is kept when nothing else is.
    fn read_again(
        &mut self,
        source: &Source,
        from: u64,
        to: u64,
        items: &mut Vec<Item>,
    ) -> Result<u64, DataflowError> {
        let entries = source.read(self.topic, self.partition, from)?;
        let Some(last) = entries.last() else {
            // Bound, but not there: the log lost its end after the binding was written.
            let source = LogError::Ahead { next: from };
            return Err(DataflowError::Log {
                topic: self.topic,
                partition: self.partition,
                source,
            });
        };
        let next = (last.offset + 1).min(to);
        let spare = self.kept.is_empty();
        for item in entries.into_iter().map(Item::of) {
            if item.offset < to {
                items.push(item);
            } else if spare {
                self.keep(item);
            }
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_log::{EmbeddedConfig, EmbeddedLog, TopicSpec};
    use mast_schemas::topics;

    fn source(records: usize, bytes: usize) -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(dir.path(), EmbeddedConfig::default()).unwrap();
        log.ensure_topic(&TopicSpec {
            name: topics::TELEMETRY.to_owned(),
            partitions: 1,
        })
        .unwrap();
        for i in 0..records {
            let record = Record {
                body: vec![i as u8; bytes].into(),
                ..Record::default()
            };
            log.append(topics::TELEMETRY, 0, &[record]).unwrap();
        }
        let checkpoints = dir.path().join("checkpoints");
        (
            dir,
            Source {
                log: Arc::new(log),
                checkpoints,
                shared: Shared::new(crate::troubles::Troubles::default()),
            },
        )
    }

    fn offsets(items: &[Item]) -> Vec<u64> {
        items.iter().map(|item| item.offset).collect()
    }

    #[test]
    fn what_was_scanned_is_taken_once_and_in_order() {
        let (_dir, source) = source(10, 10);
        let mut tail = Tail::new(topics::TELEMETRY, 0, 2);
        let mut seen = Vec::new();
        tail.scan(&source, |item| seen.push(item.offset)).unwrap();
        assert_eq!(seen, (2..10).collect::<Vec<_>>());
        assert_eq!(offsets(&tail.take(&source, 2, 5).unwrap()), [2, 3, 4]);
        assert_eq!(
            offsets(&tail.take(&source, 5, 10).unwrap()),
            [5, 6, 7, 8, 9]
        );
    }

    #[test]
    fn beyond_the_limit_it_is_read_again() {
        let (_dir, source) = source(20, 3 << 20);
        let mut tail = Tail::new(topics::TELEMETRY, 0, 0);
        tail.scan(&source, |_| {}).unwrap();
        assert!(tail.kept.len() < 20);
        let items = tail.take(&source, 0, 20).unwrap();
        assert_eq!(offsets(&items), (0..20).collect::<Vec<_>>());
        assert!(items.iter().all(|item| item.body[0] == item.offset as u8));
    }

    #[test]
    fn a_replay_needs_no_scan_and_a_missing_record_is_named() {
        let (_dir, source) = source(5, 10);
        let mut tail = Tail::new(topics::TELEMETRY, 0, 0);
        assert_eq!(offsets(&tail.take(&source, 0, 2).unwrap()), [0, 1]);
        assert_eq!(offsets(&tail.take(&source, 2, 5).unwrap()), [2, 3, 4]);
        let error = tail.take(&source, 5, 6).unwrap_err();
        assert!(
            error.to_string().contains("mast.telemetry.v1 partition 0"),
            "{error}"
        );
    }
}
