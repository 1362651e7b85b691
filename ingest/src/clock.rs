//! Who may say what time it is. A producer's times never step back, whatever the system clock does:
//! its heartbeats promise that no later row is earlier.

use mast_schemas::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// A source of event time.
pub trait TimeSource: Send + Sync {
    /// The time now; never less than an earlier answer.
    fn now(&self) -> Timestamp;
}

/// The system clock, held back while it steps back.
#[derive(Debug)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            latest: AtomicI64::new(i64::MIN),
        }
    }
}

impl TimeSource for SystemClock {
    fn now(&self) -> Timestamp {
        let shown = Timestamp::from_system(SystemTime::now()).0;
        Timestamp(self.latest.fetch_max(shown, Ordering::SeqCst).max(shown))
    }
}
