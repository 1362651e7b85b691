//! Follows the control topic on a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use mast_log::{Log, LogError};
use mast_schemas::control::{Change, ControlRecord};
use mast_schemas::topics;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::health::Concern;

/// How often the end of work is looked for while nothing is appended.
const LOOK: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 1 << 20;

/// What the topic says.
pub(super) enum News {
    /// Something changed.
    Change(Box<Change>),
    /// Records were missed: what is known must be read anew.
    Missed,
}

/// Sends all news from offset `from` on, until `stop`.
pub(super) fn follow(
    inner: Arc<Inner>,
    from: u64,
    stop: CancellationToken,
    news: mpsc::Sender<News>,
) -> JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        let (log, health) = (inner.config.log.as_ref(), &inner.health);
        let (mut next, mut seen) = (from, 0);
        while !stop.is_cancelled() {
            match log.read(topics::CONTROL, 0, next, READ_BYTES) {
                Ok(entries) => {
                    health.note(Concern::Control, None);
                    if entries.is_empty() {
                        seen = log.wait(seen, LOOK);
                    }
                    for entry in entries {
                        next = entry.offset + 1;
                        if !pass_on(&entry.record.body, entry.offset, &news) {
                            return;
                        }
                    }
                }
                Err(error) => match missed(log, next, &error) {
                    Some(anew) => {
                        tracing::warn!(%error, next, anew, "control records were missed; the devices are read anew");
                        next = anew;
                        if news.blocking_send(News::Missed).is_err() {
                            return;
                        }
                    }
                    None => {
                        let reason = format!(
                            "the control topic can't be read: {error}; devices are polled as last known"
                        );
                        health.note(Concern::Control, Some(reason));
                        std::thread::sleep(LOOK);
                    }
                },
            }
        }
    })
}

/// Where to go on when the log no longer has what comes next: trimmed away, or lost with its end.
fn missed(log: &dyn Log, next: u64, error: &LogError) -> Option<u64> {
    match error {
        LogError::Gap { first } => Some(*first),
        LogError::Ahead { .. } => log.ends(topics::CONTROL, 0).ok().map(|ends| ends.next),
        _ => None,
    }
    .filter(|anew| *anew != next)
}

/// False when nobody listens any more. Heartbeats of the relay have no body.
fn pass_on(body: &[u8], offset: u64, news: &mpsc::Sender<News>) -> bool {
    if body.is_empty() {
        return true;
    }
    match ControlRecord::decode(body) {
        Ok(record) => news
            .blocking_send(News::Change(Box::new(record.change)))
            .is_ok(),
        Err(error) => {
            tracing::error!(%error, offset, "a control record is passed over");
            true
        }
    }
}
