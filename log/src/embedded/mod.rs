//! The embedded log: segment files in one folder, written by one process, readable by all.
//!
//! ```text
//! <dir>/lock                          held by the owner, its process id inside
//! <dir>/topics/<topic>/topic          partition count
//! <dir>/topics/<topic>/<n>/<base>.seg batches; the name is the first offset, 20 digits
//! ```

#[cfg(test)]
mod fault;
mod format;
mod fs;
mod owner;
mod partition;
mod recovery;
mod segment;
mod store;
#[cfg(test)]
mod tests;
mod topic;
mod window;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use format::MAX_BATCH_BYTES;
use format::{BATCH_HEADER_BYTES, Batch};
use owner::OwnerLock;
use store::Store;
use topic::Topic;

use crate::{Ends, Entry, Log, LogError, Record, TopicSpec};

/// A read-only opener gets no call when the owner appends; it looks this often.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A shorter interval would only burn a core.
const LEAST_INTERVAL: Duration = Duration::from_millis(1);

/// When appended bytes are forced to the disk. Against a kill of the process, even -9, all three
/// are safe: what was appended is in the system's page cache when `append` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// `append` returns, and readers see its records, only after they are on the disk. Appends to
    /// a partition that wait at the same time share one fsync. Nothing is lost on power failure.
    EveryAppend,
    /// All partitions are synced this often, and at a segment's end. A power failure loses at most
    /// about this much of the newest records, also such as were read before.
    Interval(Duration),
    /// The log never syncs unless [`Log::sync`] is called; the system writes when it likes. A power
    /// failure may lose much and may leave damage that needs a person. For tests and replays.
    Never,
}

impl Fsync {
    fn syncs(self) -> bool {
        self != Self::Never
    }

    fn shows_only_synced(self) -> bool {
        self == Self::EveryAppend
    }
}

/// Settings of [`EmbeddedLog::open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedConfig {
    /// A segment is closed before it would grow past this; an append larger than it gets a segment
    /// of its own. Default 64 MiB.
    pub segment_bytes: u64,
    /// A segment older than this and at least a sixteenth full is closed at the next append, so that
    /// trims get to it. Default 10 minutes.
    pub segment_age: Duration,
    /// All segment files together; appends that would pass it are refused with
    /// [`LogError::Full`]. Default none.
    pub max_bytes: Option<u64>,
    /// Key, headers and body of one record together. Default 16 MiB; an append as a whole is at
    /// most [`MAX_BATCH_BYTES`].
    pub max_record_bytes: u64,
    /// Default [`Fsync::EveryAppend`].
    pub fsync: Fsync,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(600),
            max_bytes: None,
            max_record_bytes: 16 << 20,
            fsync: Fsync::EveryAppend,
        }
    }
}

/// A log in a folder. Dropping it syncs it and gives the folder back.
pub struct EmbeddedLog {
    dir: PathBuf,
    shared: Arc<Shared>,
    // Before the lock: its thread must be done when another owner may come.
    syncer: Option<Syncer>,
    owner: Option<OwnerLock>,
}

struct Shared {
    store: Store,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, made if missing, as its only owner. A write that a kill cut off is
    /// cut away.
    ///
    /// # Errors
    /// [`LogError::Owned`] while another owner lives (also in this process),
    /// [`LogError::Corrupt`] if a last segment is damaged elsewhere than at its end.
    pub fn open(dir: impl AsRef<Path>, config: EmbeddedConfig) -> Result<Self, LogError> {
        let dir = dir.as_ref().to_owned();
        let topics_dir = dir.join("topics");
        let fresh = !dir.exists();
        std::fs::create_dir_all(&topics_dir)
            .and_then(|()| {
                if fresh {
                    fs::sync_dir(&dir.join(".."))
                } else {
                    Ok(())
                }
            })
            .and_then(|()| fs::sync_dir(&dir))
            .and_then(|()| fs::sync_dir(&topics_dir))
            .map_err(LogError::io("create", &topics_dir))?;
        let owner = OwnerLock::take(&dir)?;
        let store = Store::new(config);
        let mut topics = BTreeMap::new();
        for name in Topic::list(&topics_dir)? {
            if let Some(topic) = Topic::open(&topics_dir, &name, true)? {
                topic
                    .partitions
                    .iter()
                    .for_each(|partition| store.add(partition.bytes()));
                topics.insert(name, Arc::new(topic));
            }
        }
        let fsync = store.config.fsync;
        let shared = Arc::new(Shared {
            store,
            topics: RwLock::new(topics),
        });
        let syncer = match fsync {
            Fsync::Interval(every) => Some(Syncer::start(
                Arc::clone(&shared),
                every.max(LEAST_INTERVAL),
                &dir,
            )?),
            Fsync::EveryAppend | Fsync::Never => None,
        };
        Ok(Self {
            dir,
            shared,
            syncer,
            owner: Some(owner),
        })
    }

    /// Opens the log in `dir` for reading, also while its owner writes. It takes no lock and
    /// changes no file. It sees whole appends only, and no topic or append later than it was made.
    ///
    /// # Errors
    /// [`LogError::Io`] if there is no log in `dir`.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Self, LogError> {
        let dir = dir.as_ref().to_owned();
        let topics_dir = dir.join("topics");
        std::fs::read_dir(&topics_dir).map_err(LogError::io("open", &topics_dir))?;
        let store = Store::new(EmbeddedConfig::default());
        let shared = Arc::new(Shared {
            store,
            topics: RwLock::new(BTreeMap::new()),
        });
        Ok(Self {
            dir,
            shared,
            syncer: None,
            owner: None,
        })
    }

    /// The names of the topics there are, sorted.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn topics(&self) -> Result<Vec<String>, LogError> {
        let mut names = Topic::list(&self.dir.join("topics"))?;
        names.sort_unstable();
        Ok(names)
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        if let Some(topic) = self.shared.topic(name) {
            return Ok(topic);
        }
        let unknown = || LogError::UnknownTopic {
            topic: name.to_owned(),
        };
        if self.owner.is_some() || !crate::topic::name_is_good(name) {
            return Err(unknown());
        }
        // The owner may have made it since.
        let topic = Topic::open(&self.dir.join("topics"), name, false)?.ok_or_else(unknown)?;
        let mut topics = self
            .shared
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(
            topics
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new(topic)),
        ))
    }

    fn writable(&self) -> Result<(), LogError> {
        if self.owner.is_some() {
            Ok(())
        } else {
            Err(LogError::ReadOnly)
        }
    }

    /// A number that rises with every append that can be read.
    fn count_readable(&self) -> Result<u64, LogError> {
        let mut sum = 1;
        for name in self.topics()? {
            for partition in &self.topic(&name)?.partitions {
                sum += partition.ends()?.next;
            }
        }
        Ok(sum)
    }
}

impl Log for EmbeddedLog {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.writable()?;
        let mut topics = self
            .shared
            .topics
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(&spec.name) {
            if topic.count() == spec.partitions {
                return Ok(());
            }
            return Err(LogError::PartitionMismatch {
                topic: spec.name.clone(),
                partitions: topic.count(),
                asked: spec.partitions,
            });
        }
        let topic = Topic::create(&self.dir.join("topics"), spec)?;
        topic
            .partitions
            .iter()
            .for_each(|partition| self.shared.store.add(partition.bytes()));
        topics.insert(spec.name.clone(), Arc::new(topic));
        Ok(())
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        Ok(self.topic(topic)?.count())
    }

    fn append(&self, topic: &str, partition: u32, records: &[Record]) -> Result<u64, LogError> {
        self.writable()?;
        let topic = self.topic(topic)?;
        let partition = topic.partition(partition)?;
        if records.is_empty() {
            return Ok(partition.ends()?.next);
        }
        let store = &self.shared.store;
        let mut batch = Batch::encode(records, store.config.max_record_bytes)?;
        let offset = partition.append(store, &mut batch)?;
        if store.config.fsync == Fsync::EveryAppend {
            partition.sync(store)?;
        }
        store.count_append();
        Ok(offset)
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.topic(topic)?
            .partition(partition)?
            .read(from, max_bytes)
    }

    fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError> {
        self.topic(topic)?.partition(partition)?.ends()
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<(), LogError> {
        self.writable()?;
        self.topic(topic)?
            .partition(partition)?
            .trim(&self.shared.store, before)
    }

    fn sync(&self) -> Result<(), LogError> {
        self.writable()?;
        self.shared.sync()
    }

    fn wait(&self, seen_appends: u64, timeout: Duration) -> u64 {
        if self.owner.is_some() {
            return self.shared.store.wait(seen_appends, timeout);
        }
        let until = Instant::now() + timeout;
        loop {
            // An error shows itself at the caller's next read: let it read.
            let count = self.count_readable().unwrap_or(seen_appends + 1);
            let left = until.saturating_duration_since(Instant::now());
            if count > seen_appends || left.is_zero() {
                return count;
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
    }
}

impl Shared {
    fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn sync(&self) -> Result<(), LogError> {
        let topics: Vec<_> = {
            let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
            topics.values().cloned().collect()
        };
        let mut partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions.try_for_each(|partition| partition.sync(&self.store))
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        drop(self.syncer.take());
        if self.owner.is_some()
            && self.shared.store.config.fsync.syncs()
            && let Err(error) = self.shared.sync()
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the log's last sync failed"
            );
        }
    }
}

/// The thread of [`Fsync::Interval`]; dropping it ends it.
struct Syncer {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    fn start(shared: Arc<Shared>, every: Duration, dir: &Path) -> Result<Self, LogError> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = shared.sync() {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the log can't be synced; it takes no more appends");
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("log-sync".to_owned())
            .spawn(run)
            .map_err(LogError::io("start the sync thread of", dir))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook; nothing is left to do here.
            let _ = thread.join();
        }
    }
}

// An append's framing must fit next to the largest record allowed by default.
const _: () = assert!(BATCH_HEADER_BYTES as u64 + (16 << 20) < MAX_BATCH_BYTES);
