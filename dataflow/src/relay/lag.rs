//! How far a relay is behind what it relays.

use std::sync::{Arc, Mutex, PoisonError};

use mast_schemas::Timestamp;

/// The lag of a relay; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<Behind>>);

#[derive(Debug, Default)]
struct Behind {
    records: u64,
    since: Option<Timestamp>,
}

impl Lag {
    /// Records that are known to wait.
    pub fn records(&self) -> u64 {
        self.lock().records
    }

    /// How long the oldest of them waits, or how long it is not known whether any does, milliseconds.
    pub fn ms(&self, now: Timestamp) -> u64 {
        let since = self.lock().since;
        since.map_or(0, |since| (now - since).0.max(0).unsigned_abs() / 1_000)
    }

    /// More wait.
    pub(crate) fn add(&self, records: u64) {
        self.lock().records += records;
    }

    /// So many wait.
    pub(crate) fn wait(&self, records: u64) {
        self.lock().records = records;
    }

    /// The oldest that wait are of this time.
    pub(crate) fn oldest(&self, at: Timestamp) {
        self.lock().since = Some(at);
    }

    /// So many were relayed; what waits else is newer than all that is known.
    pub(crate) fn done(&self, records: u64) {
        let mut behind = self.lock();
        behind.records = behind.records.saturating_sub(records);
        behind.since = None;
    }

    /// All that was there at this time is relayed.
    pub(crate) fn caught_up(&self, at: Timestamp) {
        *self.lock() = Behind {
            records: 0,
            since: Some(at),
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Behind> {
        // Two numbers are whole between any two changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
