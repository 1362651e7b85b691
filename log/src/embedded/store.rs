//! What all partitions of one open log share: settings, the account of bytes, the wake-up of
//! readers, and whether the disk has failed us.

use std::{
    io,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{EmbeddedConfig, fs::lock};
use crate::LogError;

pub(crate) struct Store {
    pub(crate) config: EmbeddedConfig,
    used_bytes: AtomicU64,
    broken: AtomicBool,
    appends: Mutex<u64>,
    appended: Condvar,
}

impl Store {
    pub(crate) fn new(config: EmbeddedConfig) -> Self {
        Self {
            config,
            used_bytes: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            // Above 0, so that a first wait for "more than 0" returns at once.
            appends: Mutex::new(1),
            appended: Condvar::new(),
        }
    }

    pub(crate) fn now_us(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), LogError> {
        let limit = self.config.max_bytes.unwrap_or(u64::MAX);
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= limit);
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|used_bytes| LogError::Full {
                used_bytes,
                limit_bytes: self.config.max_bytes,
            })?;
        Ok(())
    }

    /// A disk without room is not a fault of the file.
    pub(crate) fn full_or(
        &self,
        error: io::Error,
        other: impl FnOnce(io::Error) -> LogError,
    ) -> LogError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => LogError::Full {
                used_bytes: self.used_bytes.load(Ordering::Relaxed),
                limit_bytes: None,
            },
            _ => other(error),
        }
    }

    /// Whether a segment should be closed for its age. Never a small one: a slow topic that nobody
    /// trims would become thousands of open files.
    pub(crate) fn is_old(&self, bytes: u64, rolled_at: Instant) -> bool {
        bytes >= self.config.segment_bytes / 16 && rolled_at.elapsed() >= self.config.segment_age
    }

    /// Whether a fully consumed last segment should be closed so that its bytes come free. Not at
    /// each trim: a file a second would be made and removed.
    pub(crate) fn worth_rolling(&self, last_bytes: u64, rolled_at: Instant) -> bool {
        let used = self.used_bytes.load(Ordering::Relaxed);
        let crowded = self.config.max_bytes.is_some_and(|limit| used > limit / 2);
        let holds_some = last_bytes > super::format::SEGMENT_HEADER_BYTES as u64;
        holds_some
            && (crowded
                || last_bytes >= self.config.segment_bytes / 4
                || rolled_at.elapsed() >= self.config.segment_age)
    }

    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::Release);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(crate) fn count_append(&self) {
        *lock(&self.appends) += 1;
        self.appended.notify_all();
    }

    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let (appends, _) = self
            .appended
            .wait_timeout_while(lock(&self.appends), timeout, |appends| *appends <= seen)
            .unwrap_or_else(PoisonError::into_inner);
        *appends
    }
}
