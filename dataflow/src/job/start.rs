//! Puts a job together, and takes it apart in order.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mast_lake::{LakeConfig, LakeWriter, Stop, Upkeep};
use mast_log::TopicSpec;
use mast_postgres::lease::Lease;
use mast_schemas::{Epoch, topics};
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::bindings::Chain;
use super::committer::Committer;
use super::driver::{Driver, Parts, Settings, Work};
use super::gap;
use super::lake::LakeTask;
use super::lease::{self, FolderLock};
use super::origin;
use super::place::Place;
use super::publisher::Publisher;
use super::source::Source;
use super::status::JobStatus;
use super::upkeep::UpkeepTask;
use super::{JobConfig, JobHandle, Shared};
use crate::checkpoint;
use crate::engine::{Engine, EngineConfig};
use crate::error::DataflowError;
use crate::relay::blocking;
use crate::relay::events::{EventRecord, EventRelay};
use crate::relay::outbox::OutboxRelay;
use crate::relay::stored;
use crate::sink::Sink;
use crate::sink::gauges::{self, GaugeBatch, GaugeBuffer};
use crate::tail::{Sources, Tail};
use crate::troubles::{Place as Trouble, Troubles};

/// Groups between driver and committer.
const GROUPS: usize = 2;
/// Groups between committer and lake.
const LAKE_GROUPS: usize = 16;
/// Commits between committer and event relay.
const EVENT_COMMITS: usize = 64;
/// Rows of one lake file.
const FILE_ROWS: usize = 1_000_000;
/// Size of a lake file that is made of others.
const FILE_BYTES: u64 = 128 << 20;

pub(super) async fn start(config: JobConfig) -> Result<JobHandle, DataflowError> {
    let lock = FolderLock::take(&config.data_dir, &config.name)?;
    make_topics(&config).await?;
    let held = lease::acquire(&config.pool, &config.name, lock.holder).await?;
    match begin(&config, &held, lock).await {
        Ok(handle) => Ok(handle),
        Err(error) => {
            // A start that failed should not keep the next one waiting.
            let _ = mast_postgres::lease::release(&config.pool, &held).await;
            Err(error)
        }
    }
}

async fn make_topics(config: &JobConfig) -> Result<(), DataflowError> {
    let partitions = config.partitions;
    for (name, partitions) in [
        (topics::TELEMETRY, partitions),
        (topics::CONTROL, 1),
        (topics::EPOCHS, 1),
        (topics::EVENTS, 1),
    ] {
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions,
        };
        blocking(name, &config.log, move |log| log.ensure_topic(&spec)).await?;
    }
    Ok(())
}

async fn begin(
    config: &JobConfig,
    held: &Lease,
    lock: FolderLock,
) -> Result<JobHandle, DataflowError> {
    let generation = held.fencing_epoch;
    // Before anything is written, or removed from the lake because the database does not name it.
    let (job, dir, log) = (
        config.name.clone(),
        config.checkpoints(),
        config.log.clone(),
    );
    let check = move || origin::check(&job, generation, &dir, log.as_ref());
    let checked = tokio::task::spawn_blocking(check).await;
    checked.map_err(|e| DataflowError::Task {
        task: "look at the log",
        reason: e.to_string(),
    })??;
    let (sink, committed) = Sink::open(config.pool.clone(), &config.name, generation).await?;
    let mut committed = gap::begin_anew(config, &sink, committed).await?;
    let lost = gap::check(config, committed).await?;
    if !lost.is_empty() {
        gap::accept(config, committed, &lost).await?;
        committed = gap::begin_anew(config, &sink, committed).await?;
    }
    let lake = LakeConfig {
        root: config.lake(),
        job: config.name.clone(),
        generation,
        max_rows_per_file: FILE_ROWS,
        target_bytes: FILE_BYTES,
    };
    let stop = Stop::default();
    let upkeep = Upkeep::new(lake.clone(), config.retention, stop.clone());
    let writer = LakeWriter::open(&mut *config.pool.acquire().await?, lake)
        .await?
        .keeping(config.lake_buffer);
    gauges::sweep(&config.pool).await?;
    let outbox = OutboxRelay::open(
        config.pool.clone(),
        config.log.clone(),
        config.clock.clone(),
        generation,
    )
    .await?;
    let Restored {
        engine,
        chain,
        place,
        anew_after,
    } = restore(config, committed).await?;
    let told = committed.max(anew_after.unwrap_or_default());
    let events = EventRelay::open(&config.pool, config.log.clone(), generation, told).await?;
    let untold = match (anew_after, writer.committed().unwrap_or_default()) {
        (Some(until), stored) if until > stored => {
            stored::committed(&config.pool, stored.next(), until).await?
        }
        _ => Vec::new(),
    };

    let status = Arc::new(watch::Sender::new(JobStatus {
        generation,
        epoch: committed,
        lag_ms: (committed.0 > 0).then(|| ((config.clock)() - committed.end()).0 / 1_000),
        checkpoint_epoch: place.epoch,
        lake_epoch: writer.committed().unwrap_or_default(),
        replaying: true,
        outbox_lag: outbox.lag(),
        events_lag: events.lag(),
        ..JobStatus::default()
    }));
    tracing::info!(
        job = config.name,
        generation,
        epoch = committed.0,
        checkpoint = place.epoch.0,
        "job started"
    );
    let told = Told {
        committed,
        events: anew_after.unwrap_or_default(),
        untold,
    };
    let parts = Running::new(
        config,
        held,
        sink,
        told,
        writer,
        (upkeep, stop),
        outbox,
        events,
        status.clone(),
    );
    let receiver = status.subscribe();
    let shared = parts.shared.clone();
    let done = tokio::spawn(parts.run(engine, chain, place, lock));
    Ok(JobHandle {
        status: receiver,
        shared,
        done: Some(done),
    })
}

/// What earlier starts have told.
struct Told {
    /// Views up to this slot are in Postgres.
    committed: Epoch,
    /// Events up to this slot were made by a start that saw what the log has lost since; this one would make others.
    events: Epoch,
    /// Events in Postgres that this start will not make again, and that history does not hold yet.
    untold: Vec<EventRecord>,
}

/// What a start begins with.
struct Restored {
    engine: Engine,
    chain: Chain,
    place: Place,
    /// See [`mast_schemas::checkpoint::Manifest::anew_after`].
    anew_after: Option<Epoch>,
}

/// The flow with the state of the newest checkpoint, and where in the log that is; without one, where history begins.
async fn restore(config: &JobConfig, committed: Epoch) -> Result<Restored, DataflowError> {
    let (dir, partitions) = (config.checkpoints(), config.partitions);
    let engine = EngineConfig {
        workers: config.workers,
        partitions,
        thresholds: config.thresholds,
    };
    let load = move || {
        let (chain, place, snapshot, anew_after) = match checkpoint::newest(&dir, committed)? {
            Some((stored, snapshot)) => {
                let manifest = stored.manifest;
                let chain = Chain::after(manifest.epoch, manifest.generation);
                (chain, Place::of(&manifest), snapshot, manifest.anew_after)
            }
            None => {
                let begin = Place::begin(partitions);
                (Chain::default(), begin, Default::default(), None)
            }
        };
        if place.telemetry.len() != partitions as usize {
            return Err(DataflowError::Partitions {
                configured: partitions,
                bound: place.telemetry.len(),
            });
        }
        Ok(Restored {
            engine: Engine::start(engine, snapshot)?,
            chain,
            place,
            anew_after,
        })
    };
    let done = tokio::task::spawn_blocking(load).await;
    done.map_err(|e| DataflowError::Task {
        task: "restore",
        reason: e.to_string(),
    })?
}

/// The parts of a running job.
struct Running {
    pool: PgPool,
    settings: Settings,
    source: Source,
    held: Lease,
    committer: Committer,
    lake: LakeTask,
    upkeep: UpkeepTask,
    outbox: OutboxRelay,
    events: EventRelay,
    status: Arc<watch::Sender<JobStatus>>,
    shared: Arc<Shared>,
    checkpointing: Arc<AtomicBool>,
    channels: Channels,
    tail: Option<Tail>,
}

/// The receiving ends.
struct Channels {
    lake: mpsc::Receiver<super::lake::LakeWork>,
    events: mpsc::Receiver<Vec<crate::relay::events::EventRecord>>,
    gauges: mpsc::Receiver<GaugeBatch>,
}

impl Running {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is opened apart, and an error there ends the start"
    )]
    fn new(
        config: &JobConfig,
        held: &Lease,
        sink: Sink,
        told: Told,
        writer: LakeWriter,
        (upkeep, stop): (Upkeep, Stop),
        outbox: OutboxRelay,
        events: EventRelay,
        status: Arc<watch::Sender<JobStatus>>,
    ) -> Self {
        let generation = held.fencing_epoch;
        let shared = Shared::new(status.borrow().troubles.clone());
        let checkpointing = Arc::new(AtomicBool::new(false));
        let (to_lake, lake_rows) = mpsc::channel(LAKE_GROUPS);
        let (to_events, event_rows) = mpsc::channel(EVENT_COMMITS);
        let (to_gauges, gauge_rows) = mpsc::channel(1);
        let publisher = Publisher {
            dir: config.checkpoints(),
            log: config.log.clone(),
            sink: sink.clone(),
            generation,
            status: status.clone(),
        };
        let committer = Committer {
            sink,
            committed: told.committed,
            told: told.events,
            gauges: GaugeBuffer::new(config.gauge_interval, Instant::now()),
            to_gauges,
            to_events,
            events_lag: events.lag(),
            to_lake,
            publisher: Arc::new(publisher),
            checkpointing: checkpointing.clone(),
            status: status.clone(),
            clock: config.clock.clone(),
            shared: shared.clone(),
        };
        let sources = Sources {
            job: config.name.clone(),
            recent: writer.recent().clone(),
            rates: shared.rates.clone(),
            clock: config.clock.clone(),
        };
        let tail = config
            .tail
            .and_then(|listen| Tail::start(listen, &config.tail_file(), sources));
        let lake = LakeTask::new(
            config,
            (writer, told.untold),
            status.clone(),
            shared.clone(),
        );
        let upkeep = UpkeepTask {
            pool: config.pool.clone(),
            upkeep,
            stop,
            every: config.upkeep_every,
            root: config.lake(),
            status: status.subscribe(),
            shared: shared.clone(),
        };
        let settings = Settings {
            job: config.name.clone(),
            generation,
            checkpoint_every: config.checkpoint_every,
            clock: config.clock.clone(),
        };
        let source = Source {
            log: config.log.clone(),
            checkpoints: config.checkpoints(),
            shared: shared.clone(),
        };
        let channels = Channels {
            lake: lake_rows,
            events: event_rows,
            gauges: gauge_rows,
        };
        Self {
            pool: config.pool.clone(),
            settings,
            source,
            held: held.clone(),
            committer,
            lake,
            upkeep,
            outbox,
            events,
            status,
            shared,
            checkpointing,
            channels,
            tail,
        }
    }

    /// Runs all parts until the driver ends, then ends the others in the order in which work flows.
    async fn run(self, engine: Engine, chain: Chain, place: Place, lock: FolderLock) {
        let Self {
            shared,
            channels,
            status,
            ..
        } = self;
        let (work, mut groups) = mpsc::channel::<Work>(GROUPS);
        let parts = Parts {
            shared: shared.clone(),
            source: self.source,
            engine,
            chain,
            place,
            work,
            status: status.clone(),
            checkpointing: self.checkpointing,
        };
        let driver = Driver::new(self.settings, parts);
        let driver = tokio::task::spawn_blocking(move || driver.run());

        let Channels {
            lake: mut lake_rows,
            events: event_rows,
            gauges: gauge_rows,
        } = channels;
        let (end_relay, relay_ends) = watch::channel(false);
        let (end_lease, lease_ends) = watch::channel(false);
        let (committer, lake) = (self.committer, self.lake);
        // Each holds its receiver until its error is noted: who finds it gone must not be the first to tell.
        let committer = watched(&shared, async move {
            let done = committer.run(&mut groups).await;
            (done, Some(groups)).into()
        });
        let lake = watched(&shared, async move {
            let done = lake.run(&mut lake_rows).await;
            (done, Some(lake_rows)).into()
        });
        let upkeep = watched(&shared, async move {
            (self.upkeep.run().await, None::<()>).into()
        });
        let (stops, told) = (shared.stops(), shared.troubles.clone());
        let events = watched(&shared, async move {
            (self.events.run(event_rows, stops, told).await, None::<()>).into()
        });
        let told = shared.troubles.clone();
        let outbox = watched(&shared, async move {
            (self.outbox.run(relay_ends, told).await, None::<()>).into()
        });
        let told = shared.troubles.clone();
        let gauges = tokio::spawn(write_gauges(self.pool.clone(), gauge_rows, status, told));
        let lease = tokio::spawn(lease::keep(
            self.pool,
            self.held,
            lease_ends,
            shared.clone(),
        ));

        match driver.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(error),
            Err(e) => shared.fail(DataflowError::Task {
                task: "driver",
                reason: e.to_string(),
            }),
        }
        for (task, name) in [
            (committer, "committer"),
            (lake, "lake task"),
            (upkeep, "upkeep of the lake"),
            (events, "events relay"),
        ] {
            join(&shared, task, name).await;
        }
        join(&shared, gauges, "gauges task").await;
        end_relay.send_replace(true);
        join(&shared, outbox, "outbox relay").await;
        end_lease.send_replace(true);
        join(&shared, lease, "lease task").await;
        // The file that it leaves is ours as long as the lock is.
        drop(self.tail);
        drop(lock);
    }
}

/// The end of a part, with what is to be dropped only after its error is noted.
struct Ended<T> {
    done: Result<(), DataflowError>,
    _until_noted: Option<T>,
}

impl<T> From<(Result<(), DataflowError>, Option<T>)> for Ended<T> {
    fn from((done, until_noted): (Result<(), DataflowError>, Option<T>)) -> Self {
        Self {
            done,
            _until_noted: until_noted,
        }
    }
}

fn watched<T: Send + 'static>(
    shared: &Arc<Shared>,
    part: impl Future<Output = Ended<T>> + Send + 'static,
) -> JoinHandle<()> {
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut ended = part.await;
        if let Err(error) = std::mem::replace(&mut ended.done, Ok(())) {
            shared.fail(error);
        }
    })
}

async fn join(shared: &Shared, task: JoinHandle<()>, name: &'static str) {
    if let Err(e) = task.await {
        shared.fail(DataflowError::Task {
            task: name,
            reason: e.to_string(),
        });
    }
}

/// The one writer of the gauge tables. What Postgres refuses is dropped: it is measured again.
async fn write_gauges(
    pool: PgPool,
    mut batches: mpsc::Receiver<GaugeBatch>,
    status: Arc<watch::Sender<JobStatus>>,
    troubles: Troubles,
) {
    while let Some(batch) = batches.recv().await {
        match gauges::write(&pool, &batch).await {
            Ok(()) => {
                troubles.mended(Trouble::Gauges);
                let rows = batch.rows() as u64;
                status.send_if_modified(|status| {
                    status.counters.gauges += rows;
                    false
                });
            }
            Err(error) => troubles.tell(Trouble::Gauges, &error.into()),
        }
    }
}
