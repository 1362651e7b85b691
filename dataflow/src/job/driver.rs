//! The thread that owns the flow: replays bindings, then mints them, feeds slots and hands outputs to the committer.
//!
//! The order that makes a replay possible: read the partitions to their ends, close slots, append the bindings, and only
//! then feed what they bind. Slots are fed in groups; a group grows while the committer is busy or a backlog is worked off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mast_log::{Record, fault};
use mast_schemas::control::{Change, ControlRecord};
use mast_schemas::epochs::Binding;
use mast_schemas::message::{Header, ProducerId};
use mast_schemas::topics;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::bindings::Chain;
use super::place::Place;
use super::source::{Item, Source, Tail};
use super::status::JobStatus;
use super::{Clock, Shared};
use crate::engine::Engine;
use crate::error::DataflowError;
use crate::outputs::{Message, Outputs, SlotInput, Snapshot};
use crate::relay;
use crate::sequencer::Sequencer;
use crate::troubles::Place as Trouble;

/// A group is committed when it has been fed this many bytes,
const GROUP_BYTES: usize = 16 << 20;
/// or this long.
const GROUP_TIME: Duration = Duration::from_secs(1);
/// Bindings appended at once.
const BINDINGS: usize = 1_024;
/// How often the log is told how far it is worked off.
const TELL: Duration = Duration::from_secs(1);
/// How long to sleep when nothing is appended; also how fast a stop is noticed.
const IDLE: Duration = Duration::from_millis(100);

/// What the driver hands to the committer, in order.
pub(crate) enum Work {
    /// Outputs of a run of slots.
    Group(Box<Outputs>),
    /// State after all groups so far.
    Checkpoint(Box<CheckpointWork>),
}

/// A checkpoint to be written.
pub(crate) struct CheckpointWork {
    pub(crate) snapshot: Snapshot,
    pub(crate) place: Place,
}

/// What does not change while the driver runs.
pub(crate) struct Settings {
    pub(crate) job: String,
    pub(crate) generation: u64,
    pub(crate) checkpoint_every: Duration,
    pub(crate) clock: Clock,
}

pub(crate) struct Driver {
    settings: Settings,
    shared: Arc<Shared>,
    source: Source,
    engine: Engine,
    chain: Chain,
    place: Place,
    telemetry: Vec<Tail>,
    control: Tail,
    /// Newest lease under which control was written.
    control_lease: u64,
    /// Highest outbox id of a change that counted.
    relayed: i64,
    work: mpsc::Sender<Work>,
    status: Arc<watch::Sender<JobStatus>>,
    last_checkpoint: Instant,
    /// When the log was last told how far it is worked off.
    told: Instant,
    /// Set while the committer works on one.
    checkpointing: Arc<AtomicBool>,
    /// Whether this generation has closed a slot. Before, no checkpoint is made: its manifest tells the generation after
    /// which older bindings do not count, which is true only behind the first binding of that generation.
    minted: bool,
}

/// Where the driver's parts come from.
pub(crate) struct Parts {
    pub(crate) shared: Arc<Shared>,
    pub(crate) source: Source,
    pub(crate) engine: Engine,
    pub(crate) chain: Chain,
    pub(crate) place: Place,
    pub(crate) work: mpsc::Sender<Work>,
    pub(crate) status: Arc<watch::Sender<JobStatus>>,
    pub(crate) checkpointing: Arc<AtomicBool>,
}

impl Driver {
    pub(crate) fn new(settings: Settings, parts: Parts) -> Self {
        let Parts {
            shared,
            source,
            engine,
            chain,
            place,
            work,
            status,
            checkpointing,
        } = parts;
        let tail = |(p, &from): (usize, &u64)| Tail::new(topics::TELEMETRY, p as u32, from);
        let telemetry = place.telemetry.iter().enumerate().map(tail).collect();
        let control = Tail::new(topics::CONTROL, 0, place.control);
        Self {
            settings,
            shared,
            source,
            engine,
            chain,
            place,
            telemetry,
            control,
            control_lease: 0,
            relayed: 0,
            work,
            status,
            last_checkpoint: Instant::now(),
            told: Instant::now(),
            checkpointing,
            minted: false,
        }
    }

    /// Runs until a stop is asked for; the last thing it hands over is a checkpoint.
    pub(crate) fn run(mut self) -> Result<(), DataflowError> {
        match self.work() {
            // Where the flow stands between slots is not known then; the next start replays from the last checkpoint.
            Err(error) if error.is_log_away() && self.shared.stopping() => {
                tracing::warn!(%error, "stopped while the log was away, without a checkpoint");
                return Ok(());
            }
            done => done?,
        }
        if !self.shared.failed() && self.minted {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn work(&mut self) -> Result<(), DataflowError> {
        self.control
            .look_back(&self.source, self.place.control, |record| {
                self.relayed = self.relayed.max(relay::relayed(record).unwrap_or(0));
            })?;
        self.replay()?;
        if !self.shared.stopping() {
            self.status.send_modify(|status| status.replaying = false);
            self.live()?;
        }
        Ok(())
    }

    /// Works through the bindings of earlier starts.
    fn replay(&mut self) -> Result<(), DataflowError> {
        let mut next = self.place.bindings;
        loop {
            let entries = self.source.read(topics::EPOCHS, 0, next)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            next = last.offset + 1;
            let mut bindings = Vec::with_capacity(entries.len());
            for entry in entries {
                let (topic, offset) = (topics::EPOCHS, entry.offset);
                let binding = Binding::decode(&entry.record.body).map_err(|source| {
                    DataflowError::Record {
                        topic,
                        partition: 0,
                        offset,
                        source,
                    }
                })?;
                if self.chain.accept(&binding) {
                    bindings.push((offset, binding));
                }
            }
            self.work_off(bindings)?;
            if self.shared.stopping() {
                return Ok(());
            }
            self.place.bindings = next;
        }
    }

    /// Mints bindings and works them off.
    fn live(&mut self) -> Result<(), DataflowError> {
        let bound: Vec<u64> = self
            .place
            .telemetry
            .iter()
            .copied()
            .chain([self.place.control])
            .collect();
        let mut sequencer = Sequencer::new(self.settings.generation, self.chain.closed(), &bound);
        let clock = (self.settings.clock)();
        let tails = self.telemetry.iter_mut().chain([&mut self.control]);
        for (partition, (tail, &from)) in tails.zip(&bound).enumerate() {
            let remember = |record: &Record| {
                if let Ok(header) = Header::decode(&record.headers) {
                    sequencer.remember(partition, &header, clock);
                }
            };
            tail.look_back(&self.source, from, remember)?;
            tail.seek(from);
        }
        let mut seen = 0;
        while !self.shared.stopping() {
            self.scan(&mut sequencer)?;
            let clock = (self.settings.clock)();
            let minted: Vec<Binding> = std::iter::from_fn(|| sequencer.close(clock))
                .take(BINDINGS)
                .collect();
            if minted.is_empty() {
                seen = self.source.log.wait(seen, IDLE);
                continue;
            }
            let Some(bound) = self.append(minted)? else {
                return Ok(());
            };
            fault::point("after_binding");
            self.minted = true;
            self.work_off(bound)?;
            let counters = sequencer.counters();
            self.status.send_if_modified(|status| {
                (status.counters.clamped, status.counters.silences) =
                    (counters.clamped, counters.silences);
                false
            });
        }
        Ok(())
    }

    /// Reads all partitions to their ends: telemetry first, control last.
    fn scan(&mut self, sequencer: &mut Sequencer) -> Result<(), DataflowError> {
        let nobody = Header {
            producer: ProducerId(Uuid::nil()),
            lease_epoch: 0,
            heartbeat: None,
            sections: Vec::new(),
        };
        for (partition, tail) in self
            .telemetry
            .iter_mut()
            .chain([&mut self.control])
            .enumerate()
        {
            let clock = (self.settings.clock)();
            tail.scan(&self.source, |item| {
                sequencer.record(
                    partition,
                    item.offset,
                    item.header.as_deref().unwrap_or(&nobody),
                    clock,
                );
            })?;
        }
        Ok(())
    }

    /// Appends bindings; each with its offset. `None` = stopped while the log was full or away.
    fn append(
        &mut self,
        minted: Vec<Binding>,
    ) -> Result<Option<Vec<(u64, Binding)>>, DataflowError> {
        let record = |b: &Binding| Record {
            body: b.encode().into(),
            ..Record::default()
        };
        let records: Vec<Record> = minted.iter().map(record).collect();
        loop {
            match self.source.log.append(topics::EPOCHS, 0, &records) {
                Ok(first) if first == self.place.bindings => {
                    self.shared.troubles.mended(Trouble::Bindings);
                    for binding in &minted {
                        self.chain.accept(binding);
                    }
                    return Ok(Some((first..).zip(minted).collect()));
                }
                Ok(first) => {
                    self.shared.troubles.mended(Trouble::Bindings);
                    return self.settle(first, &minted).map(Some);
                }
                Err(source) if source.is_passing() => {
                    let error = DataflowError::log(topics::EPOCHS, 0)(source);
                    self.shared.troubles.tell(Trouble::Bindings, &error);
                    // A checkpoint lets the log be trimmed.
                    self.checkpoint_if_due()?;
                    std::thread::sleep(IDLE * 5);
                    if self.shared.stopping() {
                        return Ok(None);
                    }
                }
                Err(source) => {
                    return Err(DataflowError::Log {
                        topic: topics::EPOCHS,
                        partition: 0,
                        source,
                    });
                }
            }
        }
    }

    /// Something is in the topic before what was appended at `first`: an attempt of ours whose answer was lost, or bindings of
    /// another generation. Reads what every reader reads, and goes on if what counts is what was minted.
    fn settle(
        &mut self,
        first: u64,
        minted: &[Binding],
    ) -> Result<Vec<(u64, Binding)>, DataflowError> {
        let end = first + minted.len() as u64;
        let (mut next, mut bound) = (self.place.bindings, Vec::new());
        while next < end {
            let entries = self.source.read(topics::EPOCHS, 0, next)?;
            let Some(last) = entries.last() else { break };
            next = last.offset + 1;
            for entry in entries.iter().filter(|entry| entry.offset < end) {
                let binding = Binding::decode(&entry.record.body);
                if let Ok(binding) = binding
                    && self.chain.accept(&binding)
                {
                    bound.push((entry.offset, binding));
                }
            }
        }
        if bound.iter().map(|(_, binding)| binding).eq(minted) {
            return Ok(bound);
        }
        Err(DataflowError::Bindings {
            job: self.settings.job.clone(),
            expected: self.place.bindings,
            found: first,
        })
    }

    /// Feeds what bindings bind, and hands over the outputs group by group. Stops after a group when asked to; what is not
    /// fed then is replayed by the next start.
    fn work_off(&mut self, bindings: Vec<(u64, Binding)>) -> Result<(), DataflowError> {
        let (mut bytes, mut since, mut fed) = (0, Instant::now(), false);
        for (offset, binding) in bindings {
            let slot = self.slot(binding)?;
            bytes += slot.messages.iter().map(|m| m.body.len()).sum::<usize>();
            self.place.epoch = slot.binding.last;
            self.place.bindings = offset + 1;
            self.engine.feed(slot)?;
            fed = true;
            if bytes >= GROUP_BYTES || since.elapsed() >= GROUP_TIME {
                self.hand_over()?;
                (bytes, since, fed) = (0, Instant::now(), false);
                if self.shared.stopping() {
                    return Ok(());
                }
            }
        }
        if fed { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), DataflowError> {
        let outputs = self.engine.outputs()?;
        self.send(Work::Group(Box::new(outputs)))?;
        self.tell();
        self.checkpoint_if_due()
    }

    /// Tells those who graph the lag how far the log is worked off.
    fn tell(&mut self) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            let (log, place) = (&self.source.log, &self.place);
            log.consumed(topics::TELEMETRY, &place.telemetry);
            log.consumed(topics::CONTROL, &[place.control]);
            log.consumed(topics::EPOCHS, &[place.bindings]);
        }
    }

    fn checkpoint_if_due(&mut self) -> Result<(), DataflowError> {
        let due = self.last_checkpoint.elapsed() >= self.settings.checkpoint_every;
        if due && self.minted && !self.checkpointing.load(Ordering::Acquire) {
            self.checkpoint()
        } else {
            Ok(())
        }
    }

    fn checkpoint(&mut self) -> Result<(), DataflowError> {
        self.last_checkpoint = Instant::now();
        self.checkpointing.store(true, Ordering::Release);
        let snapshot = self.engine.snapshot()?;
        let place = self.place.clone();
        self.send(Work::Checkpoint(Box::new(CheckpointWork {
            snapshot,
            place,
        })))
    }

    /// Waits while the committer is behind: that is the back pressure.
    fn send(&self, work: Work) -> Result<(), DataflowError> {
        let gone = |_| DataflowError::Task {
            task: "committer",
            reason: "it has stopped".to_owned(),
        };
        self.work.blocking_send(work).map_err(gone)
    }

    /// What a binding binds.
    fn slot(&mut self, binding: Binding) -> Result<SlotInput, DataflowError> {
        let (configured, bound) = (self.telemetry.len(), binding.telemetry.len());
        if configured != bound {
            return Err(DataflowError::Partitions {
                configured: configured as u32,
                bound,
            });
        }
        let mut messages = Vec::new();
        for (p, tail) in self.telemetry.iter_mut().enumerate() {
            let (from, to) = (self.place.telemetry[p], binding.telemetry[p]);
            let items = tail.take(&self.source, from, to)?;
            self.place.telemetry[p] = to.max(from);
            messages.extend(items.into_iter().filter_map(|item| message(p as u32, item)));
        }
        let items = self
            .control
            .take(&self.source, self.place.control, binding.control)?;
        self.place.control = binding.control.max(self.place.control);
        let control = items
            .into_iter()
            .filter_map(|item| self.change(item))
            .collect();
        Ok(SlotInput {
            binding,
            control,
            messages,
        })
    }

    /// The change that a control record holds. One of an older lease than another before it comes from a relay that was
    /// paused and does not count.
    fn change(&mut self, item: Item) -> Option<Change> {
        let Item {
            offset,
            header,
            body,
        } = item;
        let header = header?;
        if header.lease_epoch < self.control_lease {
            return None;
        }
        self.control_lease = header.lease_epoch;
        if header.heartbeat.is_some() || body.is_empty() {
            return None;
        }
        match ControlRecord::decode(&body) {
            // Appended again by a relay that had no answer: it counted before.
            Ok(record) if record.outbox_id <= self.relayed => None,
            Ok(record) => {
                self.relayed = record.outbox_id;
                Some(record.change)
            }
            Err(error) => {
                tracing::warn!(offset, %error, "control record left out; a newer program wrote it?");
                None
            }
        }
    }
}

fn message(partition: u32, item: Item) -> Option<Message> {
    let Item {
        offset,
        header,
        body,
    } = item;
    let Some(header) = header else {
        let topic = topics::TELEMETRY;
        tracing::warn!(
            topic,
            partition,
            offset,
            "a record without a header was left out"
        );
        return None;
    };
    (!header.sections.is_empty()).then_some(Message {
        partition,
        offset,
        header,
        body,
    })
}
