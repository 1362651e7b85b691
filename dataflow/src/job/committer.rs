//! The task that makes outputs visible: one transaction a group, then what follows from it.
//!
//! A group that Postgres does not take is held and tried again; nothing behind it overtakes it. What the lake, the event
//! topic and the gauges get, they get after the commit. A checkpoint is published after everything before it is committed
//! here and in the lake, so a restart from it has nothing to emit that it could not make again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mast_log::fault;
use mast_schemas::Epoch;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::driver::{CheckpointWork, Work};
use super::lake::{Group, LakeWork};
use super::publisher::Publisher;
use super::status::JobStatus;
use super::{Clock, Retry, Shared};
use crate::error::DataflowError;
use crate::outputs::Outputs;
use crate::relay::Lag;
use crate::relay::events::{self, EventRecord};
use crate::sink::gauges::{GaugeBatch, GaugeBuffer};
use crate::sink::{Batch, Committed, Sink};
use crate::troubles::Place;

pub(crate) struct Committer {
    pub(crate) sink: Sink,
    /// Outputs up to here are in Postgres.
    pub(crate) committed: Epoch,
    /// Events of slots up to here were told by an earlier start, which saw what the log has lost since.
    pub(crate) told: Epoch,
    pub(crate) gauges: GaugeBuffer,
    pub(crate) to_gauges: mpsc::Sender<GaugeBatch>,
    pub(crate) to_events: mpsc::Sender<Vec<EventRecord>>,
    pub(crate) events_lag: Lag,
    pub(crate) to_lake: mpsc::Sender<LakeWork>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) checkpointing: Arc<AtomicBool>,
    pub(crate) status: Arc<watch::Sender<JobStatus>>,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
}

impl Committer {
    pub(crate) async fn run(
        mut self,
        work: &mut mpsc::Receiver<Work>,
    ) -> Result<(), DataflowError> {
        let mut checkpoint: Option<JoinHandle<()>> = None;
        while let Some(work) = work.recv().await {
            match work {
                Work::Group(outputs) => {
                    let (job, generation) = (self.sink.job(), self.sink.generation());
                    let epoch = outputs.upto.0;
                    let span = tracing::error_span!("commit", job, generation, epoch);
                    self.group(*outputs).instrument(span).await?;
                }
                Work::Checkpoint(work) => {
                    if let Some(before) = checkpoint.take() {
                        wait(before).await?;
                    }
                    checkpoint = Some(self.checkpoint(*work).await?);
                }
            }
        }
        if let Some(last) = checkpoint {
            wait(last).await?;
        }
        Ok(())
    }

    async fn group(&mut self, mut outputs: Outputs) -> Result<(), DataflowError> {
        self.gauges.merge(&mut outputs);
        let told = self.told;
        outputs.device_events.retain(|(epoch, _)| *epoch > told);
        outputs.link_events.retain(|(epoch, _)| *epoch > told);
        outputs.health_events.retain(|(epoch, _)| *epoch > told);
        outputs.alert_events.retain(|(epoch, _)| *epoch > told);
        outputs.incident_events.retain(|(epoch, _)| *epoch > told);
        outputs.trend_events.retain(|(epoch, _)| *epoch > told);
        self.shared.rates.merge(&mut outputs);
        let history = std::mem::take(&mut outputs.history);
        // The lake may be behind Postgres: it filters by what it holds itself.
        let (device_events, link_events) =
            (outputs.device_events.clone(), outputs.link_events.clone());
        let alert_events = outputs.alert_events.clone();
        let incident_events = outputs.incident_events.clone();
        let trend_events = outputs.trend_events.clone();
        let health_history = std::mem::take(&mut outputs.health_history);
        for (epoch, message, reason) in outputs.poison.drain(..) {
            let (partition, offset, epoch) = (message.partition, message.offset, epoch.0);
            tracing::warn!(
                partition,
                offset,
                epoch,
                reason,
                "message left out: it does not decode"
            );
            self.status.send_if_modified(|status| {
                status.counters.poison += 1;
                false
            });
        }
        let upto = outputs.upto;
        let fresh = upto > self.committed;
        if fresh {
            let batch = Batch::take(&mut outputs, self.committed);
            self.commit(&batch).await?;
        }
        let visible = fresh.then(|| (self.clock)());
        let group = Group {
            upto,
            visible,
            history,
            device_events,
            link_events,
            alert_events,
            incident_events,
            trend_events,
            health_history,
        };
        self.lake(LakeWork::Rows(Box::new(group))).await?;
        if fresh {
            self.hand_out_gauges();
        }
        Ok(())
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), DataflowError> {
        let mut retry = Retry::new(Place::Commit, self.shared.clone());
        let done = loop {
            match self.sink.commit(batch).await {
                Ok(done) => break done,
                Err(error) => retry.wait(error).await?,
            }
        };
        retry.done();
        fault::point("after_commit");
        if done == Committed::Before {
            tracing::info!(
                epoch = batch.upto.0,
                "an earlier attempt had committed the group"
            );
        }
        self.committed = batch.upto;
        let events = events::of(batch);
        if !events.is_empty() {
            self.events_lag.add(events.len() as u64);
            // Gone only when the relay failed, which ends the job and says why.
            let _ = self.to_events.send(events).await;
        }
        let lag = (self.clock)() - batch.upto.end();
        self.status.send_modify(|status| {
            status.epoch = batch.upto;
            status.lag_ms = Some(lag.0 / 1_000);
            let counters = &mut status.counters;
            counters.groups += 1;
            counters.devices += batch.devices.len() as u64;
            counters.links += batch.links.len() as u64;
            counters.device_events += batch.device_events.len() as u64;
            counters.link_events += batch.link_events.len() as u64;
            counters.health_events += batch.health_events.len() as u64;
            counters.alert_events += batch.alert_events.len() as u64;
            counters.incident_events += batch.incident_events.len() as u64;
            counters.trend_events += batch.trend_events.len() as u64;
        });
        Ok(())
    }

    /// Hands a due slice of gauges to their task, unless that one is still busy with the last.
    fn hand_out_gauges(&mut self) {
        if Instant::now() < self.gauges.due() {
            return;
        }
        if let Ok(place) = self.to_gauges.try_reserve()
            && let Some(batch) = self.gauges.take(Instant::now())
        {
            place.send(batch);
        }
    }

    /// Brings the lake up to the checkpoint, then lets it be written beside the groups that follow.
    async fn checkpoint(&self, work: CheckpointWork) -> Result<JoinHandle<()>, DataflowError> {
        let (done, lake_done) = oneshot::channel();
        self.lake(LakeWork::Commit(work.place.epoch, done)).await?;
        let (publisher, shared, checkpointing) = (
            self.publisher.clone(),
            self.shared.clone(),
            self.checkpointing.clone(),
        );
        Ok(tokio::spawn(async move {
            // An error here means that the lake task ended, which says why itself.
            if lake_done.await.is_ok() {
                match publisher.publish(work).await {
                    Ok(()) => shared.troubles.mended(Place::Checkpoint),
                    Err(error @ DataflowError::Fenced { .. }) => shared.fail(error),
                    // The job goes on without; the log keeps what a restart needs.
                    Err(error) => shared.troubles.tell(Place::Checkpoint, &error),
                }
            }
            checkpointing.store(false, Ordering::Release);
        }))
    }

    async fn lake(&self, work: LakeWork) -> Result<(), DataflowError> {
        let gone = |_| DataflowError::Task {
            task: "lake task",
            reason: "it has stopped".to_owned(),
        };
        self.to_lake.send(work).await.map_err(gone)
    }
}

async fn wait(task: JoinHandle<()>) -> Result<(), DataflowError> {
    task.await.map_err(|e| DataflowError::Task {
        task: "checkpoint task",
        reason: e.to_string(),
    })
}
