//! A whole job: real Postgres, a real log, a hand that plays the ingest node.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mast_dataflow::troubles::Place;
use mast_dataflow::{DataflowError, Lost};
use mast_dataflow::job::{Job, JobConfig, JobHandle, JobStatus};
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, Record, TopicSpec};
use mast_postgres::testing::{Database, database};
use mast_postgres::{Role, tenant_tx};
use mast_schemas::health::State;
use mast_schemas::message::{Header, Heartbeat, ProducerId, SlowRows, WholePoll, write_polls};
use mast_schemas::partition::{partition, shard};
use mast_schemas::records::{Outcome, Poll, Tables};
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, Epoch, TenantId, Timestamp, topics};
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) const PARTITIONS: u32 = 2;

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
    pub(crate) log: Arc<dyn Log>,
    tenant: TenantId,
    pub(crate) device: DeviceId,
    producer: ProducerId,
    sequence: u64,
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

pub(crate) async fn world() -> World {
    let database = database().await;
    let pool = database.pool(Role::Dataflow).await;
    let (tenant, device) = (TenantId::new(), DeviceId::new());
    let sql = "INSERT INTO tenants (id, name) VALUES ($1, 'north')";
    let mut tx = tenant_tx(&database.pool(Role::Api).await, tenant)
        .await
        .unwrap();
    sqlx::query(sql)
        .bind(tenant.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    make(&database, tenant, device).await;
    let dir = tempfile::tempdir().unwrap();
    let log = open_log(dir.path());
    let producer = ProducerId(Uuid::now_v7());
    World {
        dir,
        database,
        pool,
        log,
        tenant,
        device,
        producer,
        sequence: 0,
    }
}

async fn make(database: &Database, tenant: TenantId, device: DeviceId) {
    let mut tx = tenant_tx(&database.pool(Role::Api).await, tenant)
        .await
        .unwrap();
    let sql = "INSERT INTO devices (id, tenant_id, name, address, interval_ms)
               VALUES ($1, $2, $1::text, '192.0.2.1', 60000)";
    sqlx::query(sql)
        .bind(device.0)
        .bind(tenant.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

fn home(device: DeviceId) -> u32 {
    partition(shard(&device), PARTITIONS)
}

fn open_log(dir: &Path) -> Arc<dyn Log> {
    let config = EmbeddedConfig {
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    };
    let log = EmbeddedLog::open(dir.join("log"), config).unwrap();
    log.ensure_topic(&TopicSpec {
        name: topics::TELEMETRY.to_owned(),
        partitions: PARTITIONS,
    })
    .unwrap();
    Arc::new(log)
}

impl World {
    fn config(&self) -> JobConfig {
        let data = self.dir.path().to_owned();
        let config = JobConfig::new("main", self.pool.clone(), self.log.clone(), data);
        JobConfig {
            partitions: PARTITIONS,
            gauge_interval: Duration::from_millis(160),
            ..config
        }
    }

    async fn start(&self) -> JobHandle {
        Job::start(self.config()).await.unwrap()
    }

    pub(crate) fn beat(&self) {
        for p in 0..PARTITIONS {
            let heartbeat = Some(Heartbeat {
                clock: now(),
                shards: vec![(0, 1023)],
            });
            let header = Header {
                producer: self.producer,
                lease_epoch: 1,
                heartbeat,
                sections: Vec::new(),
            };
            let record = Record {
                headers: header.encode(),
                ..Record::default()
            };
            self.log.append(topics::TELEMETRY, p, &[record]).unwrap();
        }
    }

    pub(crate) fn poll(&mut self, outcome: Outcome) {
        self.poll_of(self.device, outcome);
    }

    fn poll_of(&mut self, device: DeviceId, outcome: Outcome) {
        self.sequence += 1;
        let at = now();
        let poll = Poll {
            tenant_id: self.tenant,
            device_id: device,
            observed_at: at,
            lease_epoch: 1,
            sequence: self.sequence,
            outcome,
            detail: None,
            round_trip_ms: Some(12),
            next_due_at: at + Span::secs(60),
            interval_ms: 60_000,
            tables: Tables::default().0,
            registrations: None,
            identity: Some("ap".to_owned()),
            version: None,
            board: None,
            architecture: None,
            serial: None,
            firmware: None,
            uptime_s: Some(1),
            cpu_load_percent: Some(3),
            memory_free_bytes: None,
            memory_total_bytes: None,
            disk_free_bytes: None,
            disk_total_bytes: None,
            cpu_temperature_c: None,
            board_temperature_c: None,
            voltage_v: None,
            sensors: None,
        };
        let poll = WholePoll {
            poll,
            interfaces: Vec::new(),
            registrations: Vec::new(),
            radios: Vec::new(),
            slow: SlowRows::default(),
        };
        let (headers, body) = write_polls(&[poll], self.producer, 1).unwrap();
        self.log
            .append(
                topics::TELEMETRY,
                home(device),
                &[Record {
                    headers,
                    body,
                    ..Record::default()
                }],
            )
            .unwrap();
    }

    /// Sends heartbeats until the status is as wanted.
    async fn until(&self, job: &mut JobHandle, wanted: impl Fn(&JobStatus) -> bool) -> JobStatus {
        let mut status = job.status();
        for _ in 0..400 {
            self.beat();
            let seen =
                tokio::time::timeout(Duration::from_millis(100), status.wait_for(&wanted)).await;
            match seen {
                Ok(Ok(status)) => return status.clone(),
                Ok(Err(_)) => panic!("the job ended: {:?}", job.finished().await),
                Err(_) => {}
            }
        }
        panic!("not as wanted: {:?}", status.borrow().clone());
    }

    async fn state(&self) -> String {
        self.state_of(self.device).await
    }

    async fn state_of(&self, device: DeviceId) -> String {
        let sql = "SELECT state FROM device_status WHERE device_id = $1";
        sqlx::query_scalar(sql)
            .bind(device.0)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) fn events_in_topic(&self) -> u64 {
        self.log.ends(topics::EVENTS, 0).unwrap().next
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_becomes_a_view_an_event_and_history_and_a_restart_goes_on() {
    let mut w = world().await;
    let mut job = w.start().await;
    assert!(matches!(
        Job::start(w.config()).await,
        Err(DataflowError::Locked { .. })
    ));
    // The device is known once control was relayed and bound.
    w.until(&mut job, |s| s.counters.devices > 0).await;
    assert_eq!(w.state().await, "unobserved");
    w.poll(Outcome::Ok);
    let status = w.until(&mut job, |s| s.counters.device_events == 1).await;
    assert_eq!(w.state().await, "online");
    assert_eq!(status.generation, 1);
    let status = w
        .until(&mut job, |s| {
            s.freshness.rows() == 1 && s.counters.gauges > 0
        })
        .await;
    assert_eq!(status.counters.polls, 1);
    assert!(status.freshness.percentile_ms(0.5).is_some());
    job.stop().await.unwrap();
    assert_eq!(
        w.number("SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = 'polls'")
            .await,
        1
    );
    assert_eq!(
        w.number("SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = 'device_events'")
            .await,
        1
    );
    assert_eq!(
        w.number("SELECT epoch - checkpoint_epoch FROM job_progress")
            .await,
        0,
        "a stop ends in a checkpoint"
    );
    assert_eq!(w.events_in_topic(), 1);

    let mut job = w.start().await;
    let begin = job.status().borrow().clone();
    assert_eq!(
        (begin.generation, begin.checkpoint_epoch > Epoch(0)),
        (2, true)
    );
    w.poll(Outcome::Timeout);
    w.poll(Outcome::Timeout);
    w.until(&mut job, |s| s.counters.device_events == 1).await;
    assert_eq!(w.state().await, "offline");
    job.stop().await.unwrap();
    assert_eq!(
        (
            w.events_in_topic(),
            w.number("SELECT count(*) FROM device_events").await
        ),
        (2, 2)
    );
    assert_eq!(
        w.number("SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = 'polls'")
            .await,
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_checkpoints_a_job_replays_everything_and_repeats_nothing() {
    let mut w = world().await;
    let mut job = w.start().await;
    w.until(&mut job, |s| s.counters.devices > 0).await;
    w.poll(Outcome::Ok);
    w.until(&mut job, |s| s.counters.device_events == 1).await;
    job.stop().await.unwrap();
    std::fs::remove_dir_all(w.dir.path().join("checkpoints")).unwrap();
    let mut job = w.start().await;
    w.poll(Outcome::Timeout);
    w.poll(Outcome::Timeout);
    w.until(&mut job, |s| s.counters.device_events == 1).await;
    job.stop().await.unwrap();
    assert_eq!(w.state().await, "offline");
    assert_eq!(
        (
            w.events_in_topic(),
            w.number("SELECT count(*) FROM device_events").await
        ),
        (2, 2)
    );
    assert_eq!(
        w.number("SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = 'polls'")
            .await,
        3
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_lost_its_generation_stops_and_says_so() {
    let w = world().await;
    let mut job = w.start().await;
    w.until(&mut job, |s| s.counters.groups > 1).await;
    sqlx::query("UPDATE job_progress SET generation = 9")
        .execute(&w.pool)
        .await
        .unwrap();
    w.beat();
    let ended = tokio::time::timeout(Duration::from_secs(30), job.finished())
        .await
        .unwrap();
    assert!(
        matches!(ended, Err(DataflowError::Fenced { generation: 1, .. })),
        "{ended:?}"
    );
}

/// A copy of a log without the telemetry of one partition, but for its newest record.
fn without(log: &dyn Log, dir: &Path, partition: u32) -> Arc<dyn Log> {
    let config = EmbeddedConfig {
        segment_bytes: 1,
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    };
    let copy = EmbeddedLog::open(dir, config).unwrap();
    for name in [
        topics::TELEMETRY,
        topics::CONTROL,
        topics::EPOCHS,
        topics::EVENTS,
    ] {
        let partitions = log.partitions(name).unwrap();
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions,
        };
        copy.ensure_topic(&spec).unwrap();
        for p in 0..partitions {
            for entry in log.read(name, p, 0, 64 << 20).unwrap() {
                copy.append(name, p, &[entry.record]).unwrap();
            }
        }
    }
    let next = copy.ends(topics::TELEMETRY, partition).unwrap().next;
    copy.trim(topics::TELEMETRY, partition, next - 1).unwrap();
    let first = copy.ends(topics::TELEMETRY, partition).unwrap().first;
    assert_eq!(first, next - 1);
    Arc::new(copy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_gap_leaves_the_devices_of_its_partition_unobserved_and_repeats_nothing() {
    let mut w = world().await;
    let lost = w.device;
    let kept = std::iter::repeat_with(DeviceId::new);
    let kept = { kept }.find(|id| home(*id) != home(lost)).unwrap();
    make(&w.database, w.tenant, kept).await;
    let mut job = w.start().await;
    w.until(&mut job, |s| s.counters.devices > 1).await;
    w.poll_of(lost, Outcome::Ok);
    w.poll_of(kept, Outcome::Ok);
    w.until(&mut job, |s| s.counters.device_events == 2).await;
    job.stop().await.unwrap();

    // The broker dropped what came before the last heartbeat, the checkpoints are lost, history was not written yet.
    let dir = tempfile::tempdir().unwrap();
    w.log = without(w.log.as_ref(), dir.path(), home(lost));
    std::fs::remove_dir_all(w.dir.path().join("checkpoints")).unwrap();
    let forget = "DELETE FROM lake_manifest";
    sqlx::query(forget).execute(&w.pool).await.unwrap();

    let refused = Job::start(w.config()).await.err().unwrap();
    let DataflowError::Gap { lost: found, .. } = &refused else {
        panic!("{refused:?}");
    };
    let next = w.log.ends(topics::TELEMETRY, home(lost)).unwrap().first;
    let expected = Lost {
        topic: topics::TELEMETRY,
        partition: home(lost),
        wanted: 0,
        first: next,
    };
    assert_eq!(found, &[expected]);
    let text = refused.to_string();
    for word in [
        format!(
            "mast.telemetry.v1 partition {} lost {next} records that are needed, offsets 0 to {}",
            home(lost),
            next - 1
        ),
        "checkpoint".to_owned(),
        "--accept-gap".to_owned(),
    ] {
        assert!(text.contains(&word), "{text}");
    }
    assert_eq!(w.state_of(lost).await, "online", "nothing was touched");

    // A person accepts it. What was served is made anew from what is left; nobody has polled since.
    let stale = "INSERT INTO device_status (device_id, tenant_id, state, since, epoch)
                 VALUES ($1, $2, 'offline', now(), 1)";
    let stale = sqlx::query(stale).bind(Uuid::now_v7()).bind(w.tenant.0);
    stale.execute(&w.pool).await.unwrap();
    let config = JobConfig {
        accept_gap: true,
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| !s.replaying && s.counters.polls == 1)
        .await;
    assert_eq!(w.state_of(lost).await, "unobserved");
    assert_eq!(w.state_of(kept).await, "online");
    assert_eq!(w.number("SELECT count(*) FROM device_status").await, 2);
    job.stop().await.unwrap();

    // Nobody has to accept it twice, also where only the acceptance itself is left of the checkpoints.
    for entry in std::fs::read_dir(w.dir.path().join("checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("0-0") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let mut job = w.start().await;
    w.until(&mut job, |s| !s.replaying).await;
    assert_eq!(w.state_of(lost).await, "unobserved");
    w.poll_of(lost, Outcome::Ok);
    w.until(&mut job, |s| s.counters.device_events == 1).await;
    assert_eq!(w.state_of(lost).await, "online");
    job.stop().await.unwrap();
    let told = w.number("SELECT count(*) FROM device_events").await;
    assert_eq!((told, w.events_in_topic()), (3, 3), "each once");
    for (table, rows) in [("device_events", 3), ("polls", 2)] {
        let sql = "SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = $1";
        let stored = sqlx::query_scalar(sql).bind(table).fetch_one(&w.pool);
        let stored: Option<i64> = stored.await.unwrap();
        assert_eq!(stored, Some(rows), "{table}");
    }
}

/// The lake's folder goes away and comes back.
struct Lake {
    there: PathBuf,
    aside: PathBuf,
}

impl Lake {
    fn of(w: &World) -> Self {
        let there = w.config().lake();
        let aside = there.with_extension("aside");
        Self { there, aside }
    }

    fn away(&self) {
        std::fs::rename(&self.there, &self.aside).unwrap();
        std::fs::write(&self.there, "no folder").unwrap();
    }

    fn back(&self) {
        std::fs::remove_file(&self.there).unwrap();
        std::fs::rename(&self.aside, &self.there).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_lake_takes_nothing_views_go_on_until_a_bound_of_bytes() {
    let mut w = world().await;
    let lake = Lake::of(&w);
    let waits = |s: &JobStatus, place| s.troubles.now().contains_key(&place);
    let config = JobConfig {
        lake_every: Duration::ZERO,
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| s.counters.devices > 0).await;
    lake.away();
    w.poll(Outcome::Ok);
    let status = w.until(&mut job, |s| waits(s, Place::Lake)).await;
    // More groups than find room between the committer and the lake's task.
    let groups = status.counters.groups + 40;
    let status = w.until(&mut job, |s| s.counters.groups > groups).await;
    assert!(waits(&status, Place::Lake) && !waits(&status, Place::Stall));
    assert!(status.lake_waiting_bytes > 0);
    lake.back();
    w.until(&mut job, |s| !waits(s, Place::Lake) && s.lake_epoch >= status.epoch)
        .await;
    job.stop().await.unwrap();

    // Hardly anything may wait.
    let config = JobConfig {
        lake_buffer: 1,
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| !s.replaying).await;
    lake.away();
    w.poll(Outcome::Ok);
    let status = w.until(&mut job, |s| waits(s, Place::Stall)).await;
    let health = &status.health("main", now())[0];
    assert_eq!(health.state, State::Failed);
    assert!(
        health.reason.contains("views stand still"),
        "{}",
        health.reason
    );
    w.poll(Outcome::Ok);
    lake.back();
    w.until(&mut job, |s| {
        s.troubles.now().is_empty() && s.counters.polls == 2
    })
    .await;
    job.stop().await.unwrap();
    let sql = "SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = 'polls'";
    assert_eq!(w.number(sql).await, 3, "each once");
}
