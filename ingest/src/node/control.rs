//! Follows the control topic on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use mast_log::{Log, LogError};
use mast_schemas::control::{Change, ControlRecord};
use mast_schemas::topics;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the end of work is looked for while nothing is appended.
const LOOK: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 1 << 20;

/// Sends every change from offset `from` on, until `stop`.
pub(super) fn follow(
    log: Arc<dyn Log>,
    from: u64,
    stop: CancellationToken,
    changes: mpsc::Sender<Change>,
) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let (mut next, mut seen) = (from, 0);
        while !stop.is_cancelled() {
            match log.read(topics::CONTROL, 0, next, READ_BYTES) {
                Ok(entries) if entries.is_empty() => seen = log.wait(seen, LOOK),
                Ok(entries) => {
                    for entry in entries {
                        next = entry.offset + 1;
                        if !pass_on(&entry.record.body, next - 1, &changes) {
                            return;
                        }
                    }
                }
                Err(LogError::Gap { first }) => {
                    tracing::error!(first, "control records were trimmed before they were read");
                    next = first;
                }
                Err(error) => {
                    tracing::warn!(%error, "the control topic can't be read");
                    std::thread::sleep(LOOK);
                }
            }
        }
    })
}

/// False when nobody listens any more. Heartbeats of the relay have no body.
fn pass_on(body: &[u8], offset: u64, changes: &mpsc::Sender<Change>) -> bool {
    if body.is_empty() {
        return true;
    }
    match ControlRecord::decode(body) {
        Ok(record) => changes.blocking_send(record.change).is_ok(),
        Err(error) => {
            tracing::error!(%error, offset, "a control record is passed over");
            true
        }
    }
}
