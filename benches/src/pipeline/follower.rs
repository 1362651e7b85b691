//! Reads the telemetry topic beside the dataflow, for the ledger.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mast_log::{Entry, Log, LogError};
use mast_schemas::column::Record as _;
use mast_schemas::message::{Header, read_section};
use mast_schemas::records::Poll;
use mast_schemas::topics;

use super::Ledger;
use crate::BenchError;

/// How often the log is looked at while nothing comes.
const LOOK: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 4 << 20;

/// A reader of the log on a thread of its own, until it is dropped.
pub struct Follower {
    shared: Arc<Shared>,
    reading: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    failed: Mutex<Option<BenchError>>,
    stop: AtomicBool,
}

impl Follower {
    /// Reads the telemetry topic from its begin on.
    ///
    /// # Errors
    /// [`LogError::UnknownTopic`].
    pub fn start(log: Arc<dyn Log>) -> Result<Self, BenchError> {
        let places: Result<Vec<u64>, LogError> = (0..log.partitions(topics::TELEMETRY)?)
            .map(|place| Ok(log.ends(topics::TELEMETRY, place)?.first))
            .collect();
        let places = places?;
        let shared = Arc::<Shared>::default();
        let reading = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                if let Err(error) = follow(log.as_ref(), places, &shared) {
                    *lock(&shared.failed) = Some(error);
                }
            }
        });
        Ok(Self {
            shared,
            reading: Some(reading),
        })
    }

    /// The ledger as it is now.
    ///
    /// # Errors
    /// Why the log can't be read, once.
    pub fn ledger(&self) -> Result<MutexGuard<'_, Ledger>, BenchError> {
        match lock(&self.shared.failed).take() {
            Some(error) => Err(error),
            None => Ok(lock(&self.shared.ledger)),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(log: &dyn Log, mut places: Vec<u64>, shared: &Shared) -> Result<(), BenchError> {
    let mut seen = 0;
    while !shared.stop.load(Relaxed) {
        let mut idle = true;
        for (place, next) in (0..).zip(&mut places) {
            let entries = log.read(topics::TELEMETRY, place, *next, READ_BYTES)?;
            for entry in &entries {
                *next = entry.offset + 1;
                add(entry, shared)?;
            }
            idle &= entries.is_empty();
        }
        if idle {
            seen = log.wait(seen, LOOK);
        }
    }
    Ok(())
}

fn add(entry: &Entry, shared: &Shared) -> Result<(), BenchError> {
    let header = Header::decode(&entry.record.headers)?;
    if let Some(batch) = read_section::<Poll>(&header, &entry.record.body, None)? {
        let rows = Poll::rows(&batch)?;
        let mut ledger = lock(&shared.ledger);
        rows.iter().for_each(|row| ledger.add(row));
    }
    Ok(())
}
