//! The two relays of the dataflow process, both under the job's lease.
//!
//! [`outbox`] carries what people decided from Postgres to `mast.control.v1`, [`events`] what the views did to
//! `mast.events.v1`. Both take from the log itself how far they have come, so a kill between an append and a note of it
//! repeats nothing.

pub mod events;
mod lag;
pub mod outbox;
pub(crate) mod stored;

pub use lag::Lag;

use std::sync::Arc;

use mast_log::{Entry, Log, LogError, Record};

use crate::error::DataflowError;

/// Whether a round that failed may succeed later without anybody's doing.
pub(crate) fn passes(error: &DataflowError) -> bool {
    match error {
        DataflowError::Postgres(e) => mast_postgres::is_passing(e),
        DataflowError::Log { source, .. } => source.is_passing(),
        _ => false,
    }
}

/// Runs a blocking call on the log.
pub(crate) async fn blocking<T: Send + 'static>(
    topic: &'static str,
    log: &Arc<dyn Log>,
    call: impl FnOnce(&dyn Log) -> Result<T, LogError> + Send + 'static,
) -> Result<T, DataflowError> {
    let log = log.clone();
    let done = tokio::task::spawn_blocking(move || call(log.as_ref())).await;
    done.map_err(|e| DataflowError::Task {
        task: "log call",
        reason: e.to_string(),
    })?
    .map_err(DataflowError::log(topic, 0))
}

/// Highest outbox id up to and with a record of the control topic; `None` = something else than a relay wrote it.
pub(crate) fn relayed(record: &Record) -> Option<i64> {
    <[u8; 8]>::try_from(record.key.as_ref())
        .ok()
        .map(i64::from_be_bytes)
}

/// The newest `count` records of partition 0, or fewer.
pub(crate) fn newest(log: &dyn Log, topic: &str, count: u64) -> Result<Vec<Entry>, LogError> {
    let ends = log.ends(topic, 0)?;
    read_all(
        log,
        topic,
        ends.next.saturating_sub(count).max(ends.first),
        ends.next,
    )
}

/// All records of partition 0 from `from` up to `to`.
pub(crate) fn read_all(
    log: &dyn Log,
    topic: &str,
    from: u64,
    to: u64,
) -> Result<Vec<Entry>, LogError> {
    let (mut entries, mut next) = (Vec::new(), from);
    while next < to {
        let read = log.read(topic, 0, next, 1 << 20)?;
        let Some(last) = read.last() else { break };
        next = last.offset + 1;
        entries.extend(read.into_iter().filter(|entry| entry.offset < to));
    }
    Ok(entries)
}
