//! The task that keeps the lake: decodes what the commits tell, and commits a range of epochs each interval.
//!
//! Apart from the committer, so that the encoding of a minute's files delays no commit of the views; and while they are
//! written rows are taken on, for readers of the tail. While the disk takes nothing, rows wait in memory and the views go on, up to a bound of bytes. Then the task takes no more, the short channel to
//! it fills, and the job waits: the log, which is not trimmed past the lake, holds all that follows.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mast_lake::{LakeError, LakeWriter, Table, Writing};
use mast_log::fault;
use mast_schemas::alerts::{AlertEvent, IncidentEvent, TrendEvent};
use mast_schemas::column::Record;
use mast_schemas::metric::Metric;
use mast_schemas::views::{DeviceEvent, HealthSample, LinkEvent};
use mast_schemas::{Epoch, Timestamp};
use mast_state::messages::Verdict;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};

use super::history::Split;
use super::status::JobStatus;
use super::{JobConfig, Retry, Shared};
use crate::error::DataflowError;
use crate::outputs::Message;
use crate::relay::events::{Event, EventRecord};
use crate::troubles::Place;

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
    pub(crate) alert_events: Vec<(Epoch, AlertEvent)>,
    pub(crate) incident_events: Vec<(Epoch, IncidentEvent)>,
    pub(crate) trend_events: Vec<(Epoch, TrendEvent)>,
    pub(crate) health_history: Vec<(Epoch, HealthSample)>,
}

pub(crate) struct LakeTask {
    pool: PgPool,
    writer: LakeWriter,
    /// Events that an earlier start told and history does not hold yet, by epoch.
    untold: Vec<EventRecord>,
    /// Folder of the lake.
    root: PathBuf,
    every: Duration,
    /// Bytes of waiting rows that end a range early; while none can be committed, no more wait.
    buffer: u64,
    status: Arc<watch::Sender<JobStatus>>,
    shared: Arc<Shared>,
    /// All rows up to this slot were given.
    upto: Epoch,
    /// Who waits for which slot to be committed.
    asked: Vec<(Epoch, oneshot::Sender<()>)>,
    /// When rows were committed last.
    last: Instant,
    /// The attempts since one failed, and when the next may be.
    failing: Option<Retry>,
    again: Instant,
}

impl LakeTask {
    pub(crate) fn new(
        config: &JobConfig,
        (writer, untold): (LakeWriter, Vec<EventRecord>),
        status: Arc<watch::Sender<JobStatus>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            pool: config.pool.clone(),
            writer,
            untold,
            root: config.lake(),
            every: config.lake_every,
            buffer: config.lake_buffer,
            status,
            shared,
            upto: Epoch(0),
            asked: Vec::new(),
            last: Instant::now(),
            failing: None,
            again: Instant::now(),
        }
    }

    pub(crate) async fn run(
        mut self,
        work: &mut mpsc::Receiver<LakeWork>,
    ) -> Result<(), DataflowError> {
        self.append_untold()?;
        let mut open = true;
        let mut commit: Option<Commit> = None;
        // What was asked for is committed or fails; what nobody asked for is replayed by the next start.
        while open || !self.asked.is_empty() || commit.is_some() {
            if commit.is_none() && self.is_due() && Instant::now() >= self.again {
                commit = Some(self.begin());
            }
            let (busy, full) = (commit.is_some(), self.is_full());
            let again = tokio::time::Instant::from_std(self.again);
            tokio::select! {
                done = ended(&mut commit), if busy => {
                    commit = None;
                    self.end(done)?;
                }
                work = work.recv(), if open && !(full && busy || self.is_stalled()) => match work {
                    Some(work) => self.take(work).await?,
                    None => open = false,
                },
                () = tokio::time::sleep_until(again), if self.failing.is_some() && !busy => {}
                else => {}
            }
        }
        Ok(())
    }

    async fn take(&mut self, work: LakeWork) -> Result<(), DataflowError> {
        match work {
            LakeWork::Rows(group) => {
                self.upto = self.upto.max(group.upto);
                self.append(*group).await?;
                self.writer.recent().complete(self.upto);
                self.tell_if_stalled();
            }
            LakeWork::Commit(upto, done) => {
                self.upto = self.upto.max(upto);
                self.asked.push((upto, done));
            }
        }
        Ok(())
    }

    fn tell_if_stalled(&self) {
        if self.is_stalled() {
            let bytes = self.writer.recent().waiting_bytes();
            let full = DataflowError::Waiting { bytes };
            self.shared.troubles.tell(Place::Stall, &full);
        }
    }

    /// Whether rows are to be committed now.
    fn is_due(&self) -> bool {
        let newer = self.upto > self.writer.committed().unwrap_or_default();
        newer && self.last.elapsed() >= self.every || self.is_full() || !self.asked.is_empty()
    }

    fn is_full(&self) -> bool {
        self.writer.recent().waiting_bytes() >= self.buffer
    }

    /// No more may wait in memory, and what waits cannot be committed: nothing more is taken.
    fn is_stalled(&self) -> bool {
        self.failing.is_some() && self.is_full()
    }

    fn append_untold(&mut self) -> Result<(), LakeError> {
        let (mut devices, mut links) = (Vec::new(), Vec::new());
        let (mut alerts, mut incidents, mut trends) = (Vec::new(), Vec::new(), Vec::new());
        for EventRecord { epoch, event } in std::mem::take(&mut self.untold) {
            match event {
                Event::Device(event) => devices.push((epoch, event)),
                Event::Link(event) => links.push((epoch, event)),
                Event::Alert { alert } => alerts.push((epoch, alert)),
                Event::Incident { incident } => incidents.push((epoch, incident)),
                Event::Trend { trend } => trends.push((epoch, trend)),
                // History has rows of places, not their events. This start makes them again, also those of slots whose
                // events it leaves out, and the writer drops what history holds.
                Event::Place(_) => {}
            }
        }
        events(&mut self.writer, Table::DeviceEvents, &devices)?;
        events(&mut self.writer, Table::LinkEvents, &links)?;
        events(&mut self.writer, Table::AlertEvents, &alerts)?;
        events(&mut self.writer, Table::IncidentEvents, &incidents)?;
        events(&mut self.writer, Table::TrendEvents, &trends)
    }

    async fn append(&mut self, group: Group) -> Result<(), DataflowError> {
        let Group {
            visible,
            history,
            device_events,
            link_events,
            alert_events,
            incident_events,
            trend_events,
            health_history,
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
        events(&mut self.writer, Table::AlertEvents, &alert_events)?;
        events(&mut self.writer, Table::IncidentEvents, &incident_events)?;
        events(&mut self.writer, Table::TrendEvents, &trend_events)?;
        events(&mut self.writer, Table::SiteHealthHistory, &health_history)?;
        let waiting = self.writer.recent().waiting_bytes();
        self.status.send_modify(|status| {
            status.lake_waiting_bytes = waiting;
            status.counters.add_history(&split.counters);
            status.freshness.merge(&split.freshness);
        });
        Ok(())
    }

    /// Begins to commit what there is; rows stay buffered until that has succeeded.
    fn begin(&self) -> Commit {
        let (root, pool) = (self.root.clone(), self.pool.clone());
        let writing = self.writer.begin(self.upto);
        Box::pin(async move { attempt(writing, &root, &pool).await })
    }

    /// Takes note of how a commit ended.
    fn end(&mut self, done: Result<Option<Epoch>, LakeError>) -> Result<(), DataflowError> {
        match done {
            Ok(Some(end)) => self.writer.confirm(end),
            Ok(None) => {}
            Err(error) => {
                let shared = &self.shared;
                let retry = self
                    .failing
                    .get_or_insert_with(|| Retry::new(Place::Lake, shared.clone()));
                self.again = Instant::now() + retry.note(DataflowError::Lake(error))?;
                self.tell_if_stalled();
                return Ok(());
            }
        }
        self.last = Instant::now();
        if let Some(retry) = self.failing.take() {
            retry.done();
            self.shared.troubles.mended(Place::Stall);
        }
        // What the lake holds, not what was tried: where the answer to an earlier commit was lost, that may be less.
        let held = self.writer.committed();
        for (_, done) in self.asked.extract_if(.., |(asked, _)| Some(*asked) <= held) {
            // Whoever asked may be gone; the lake is committed all the same.
            let _ = done.send(());
        }
        let (epoch, recent) = (self.writer.committed(), self.writer.recent());
        let (waiting, kept) = (recent.waiting_bytes(), recent.kept_bytes());
        self.status.send_modify(|status| {
            status.lake_epoch = epoch.unwrap_or(status.lake_epoch);
            status.lake_waiting_bytes = waiting;
            status.lake_kept_bytes = kept;
        });
        Ok(())
    }
}

/// A commit that is being made: the end of what the lake then holds, if it holds more.
type Commit = Pin<Box<dyn Future<Output = Result<Option<Epoch>, LakeError>> + Send>>;

/// Waits for the commit that is being made.
async fn ended(commit: &mut Option<Commit>) -> Result<Option<Epoch>, LakeError> {
    match commit {
        Some(commit) => commit.await,
        None => std::future::pending().await,
    }
}

async fn attempt(
    writing: Option<Writing>,
    root: &Path,
    pool: &PgPool,
) -> Result<Option<Epoch>, LakeError> {
    room(root)?;
    let Some(writing) = writing else {
        return Ok(None);
    };
    let pending = writing.write().await?;
    let (rows, files) = (pending.rows(), pending.files());
    fault::point("after_lake_file");
    let mut tx = pool.begin().await?;
    let end = pending.insert(&mut tx).await?;
    tx.commit().await?;
    fault::point("after_manifest");
    Metric::LakeFiles.add(&[], files);
    Metric::LakeRows.add(&[], rows);
    Ok(Some(end))
}

/// Where tests let the lake's disk be full.
pub(super) fn room(lake: &Path) -> Result<(), LakeError> {
    fault::room("lake").map_err(|source| LakeError::File {
        path: lake.join("full"),
        source,
    })
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
