//! The task that keeps the lake: decodes what the commits tell, and commits a range of epochs each interval.
//!
//! Apart from the committer, so that the encoding of a minute's files delays no commit of the views. The channel to it is
//! short: when the disk cannot follow, the job waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mast_lake::{LakeError, LakeWriter, Table};
use mast_log::fault;
use mast_schemas::column::Record;
use mast_schemas::metric::Metric;
use mast_schemas::views::{DeviceEvent, LinkEvent};
use mast_schemas::{Epoch, Timestamp};
use mast_state::messages::Verdict;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};

use super::history::Split;
use super::status::JobStatus;
use super::{Retry, Shared};
use crate::error::DataflowError;
use crate::outputs::Message;
use crate::relay::events::{Event, EventRecord};
use crate::troubles::Place;

/// Memory of waiting rows that ends a range early, in bytes.
const BUFFER_BYTES: u64 = 256 << 20;

/// What the lake task is told, in order.
pub(crate) enum LakeWork {
    /// History of a committed group.
    Rows(Box<Group>),
    /// Commit at least up to this epoch, which has been told; then say so.
    Commit(Epoch, oneshot::Sender<()>),
}

/// History of a group.
pub(crate) struct Group {
    pub(crate) upto: Epoch,
    /// When its views could be seen; `None` in a replay.
    pub(crate) visible: Option<Timestamp>,
    pub(crate) history: Vec<(Epoch, Message, Vec<Verdict>)>,
    pub(crate) device_events: Vec<(Epoch, DeviceEvent)>,
    pub(crate) link_events: Vec<(Epoch, LinkEvent)>,
}

pub(crate) struct LakeTask {
    pub(crate) pool: PgPool,
    pub(crate) writer: LakeWriter,
    /// Events that an earlier start told and history does not hold yet, by epoch.
    pub(crate) untold: Vec<EventRecord>,
    /// Folder of the lake.
    pub(crate) root: PathBuf,
    pub(crate) every: Duration,
    pub(crate) status: Arc<watch::Sender<JobStatus>>,
    pub(crate) shared: Arc<Shared>,
}

impl LakeTask {
    pub(crate) async fn run(
        mut self,
        work: &mut mpsc::Receiver<LakeWork>,
    ) -> Result<(), DataflowError> {
        self.append_untold()?;
        let mut last = Instant::now();
        while let Some(work) = work.recv().await {
            match work {
                LakeWork::Rows(group) => {
                    let upto = group.upto;
                    self.append(*group).await?;
                    if last.elapsed() >= self.every || self.writer.buffered_bytes() >= BUFFER_BYTES
                    {
                        self.commit(upto).await?;
                        last = Instant::now();
                    }
                }
                LakeWork::Commit(upto, done) => {
                    self.commit(upto).await?;
                    last = Instant::now();
                    // Whoever asked may be gone; the lake is committed all the same.
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }

    fn append_untold(&mut self) -> Result<(), LakeError> {
        let (mut devices, mut links) = (Vec::new(), Vec::new());
        for EventRecord { epoch, event } in std::mem::take(&mut self.untold) {
            match event {
                Event::Device(event) => devices.push((epoch, event)),
                Event::Link(event) => links.push((epoch, event)),
            }
        }
        events(&mut self.writer, Table::DeviceEvents, &devices)?;
        events(&mut self.writer, Table::LinkEvents, &links)
    }

    async fn append(&mut self, group: Group) -> Result<(), DataflowError> {
        let Group {
            visible,
            history,
            device_events,
            link_events,
            ..
        } = group;
        let committed = self.writer.committed();
        let split =
            tokio::task::spawn_blocking(move || Split::of(&history, committed, visible)).await;
        let split = split.map_err(|e| DataflowError::Task {
            task: "decoding of history",
            reason: e.to_string(),
        })?;
        for rows in &split.rows {
            self.writer
                .append(rows.table, rows.epoch, rows.late, &rows.batch)?;
        }
        events(&mut self.writer, Table::DeviceEvents, &device_events)?;
        events(&mut self.writer, Table::LinkEvents, &link_events)?;
        self.status.send_modify(|status| {
            status.counters.add_history(&split.counters);
            status.freshness.merge(&split.freshness);
        });
        Ok(())
    }

    /// Commits with as many attempts as it takes; rows stay buffered until one succeeds.
    async fn commit(&mut self, upto: Epoch) -> Result<(), DataflowError> {
        let mut retry = Retry::new(Place::Lake, self.shared.clone());
        loop {
            match self.attempt(upto).await {
                Ok(()) => break,
                Err(error) => retry.wait(DataflowError::Lake(error)).await?,
            }
        }
        retry.done();
        if let Some(epoch) = self.writer.committed() {
            self.status.send_modify(|status| status.lake_epoch = epoch);
        }
        Ok(())
    }

    async fn attempt(&mut self, upto: Epoch) -> Result<(), LakeError> {
        fault::room("lake").map_err(|source| LakeError::File {
            path: self.root.join("full"),
            source,
        })?;
        let Some(pending) = self.writer.prepare(upto).await? else {
            return Ok(());
        };
        let (rows, files) = (pending.rows(), pending.files());
        fault::point("after_lake_file");
        let mut tx = self.pool.begin().await?;
        let end = pending.insert(&mut tx).await?;
        tx.commit().await?;
        fault::point("after_manifest");
        self.writer.confirm(end);
        Metric::LakeFiles.add(&[], files);
        Metric::LakeRows.add(&[], rows);
        Ok(())
    }
}

/// Appends events, one batch a slot.
fn events<R: Record>(
    writer: &mut LakeWriter,
    table: Table,
    events: &[(Epoch, R)],
) -> Result<(), LakeError> {
    for run in events.chunk_by(|a, b| a.0 == b.0) {
        writer.append(
            table,
            run[0].0,
            false,
            &R::batch(run.iter().map(|(_, event)| event)),
        )?;
    }
    Ok(())
}
