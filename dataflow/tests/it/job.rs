//! A whole job: real Postgres, a real log, a hand that plays the ingest node.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use mast_dataflow::DataflowError;
use mast_dataflow::job::{Job, JobConfig, JobHandle, JobStatus};
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, Record, TopicSpec};
use mast_postgres::testing::{Database, database};
use mast_postgres::{Role, tenant_tx};
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
    pub(crate) tenant: TenantId,
    pub(crate) device: DeviceId,
    producer: ProducerId,
    sequence: u64,
    /// How far its clock is ahead of the system's, in seconds.
    ahead: Arc<AtomicI64>,
}

pub(crate) fn now() -> Timestamp {
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
        ahead: Arc::default(),
    }
}

pub(crate) async fn make(database: &Database, tenant: TenantId, device: DeviceId) {
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

pub(crate) fn home(device: DeviceId) -> u32 {
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
    fn now(&self) -> Timestamp {
        now() + Span::secs(self.ahead.load(Ordering::Relaxed))
    }

    /// Puts its clock, the job's and the ingest node's, forward.
    pub(crate) fn forward(&self, by: Duration) {
        let seconds = by.as_secs() as i64;
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(crate) fn config(&self) -> JobConfig {
        let data = self.dir.path().to_owned();
        let config = JobConfig::new("main", self.pool.clone(), self.log.clone(), data);
        JobConfig {
            partitions: PARTITIONS,
            gauge_interval: Duration::from_millis(160),
            clock: {
                let ahead = self.ahead.clone();
                Arc::new(move || now() + Span::secs(ahead.load(Ordering::Relaxed)))
            },
            ..config
        }
    }

    pub(crate) async fn start(&self) -> JobHandle {
        Job::start(self.config()).await.unwrap()
    }

    pub(crate) fn beat(&self) {
        for p in 0..PARTITIONS {
            let heartbeat = Some(Heartbeat {
                clock: self.now(),
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

    pub(crate) fn poll_of(&mut self, device: DeviceId, outcome: Outcome) {
        self.poll_with(device, outcome, |_| {});
    }

    /// A poll with what `fill` adds.
    pub(crate) fn poll_with(
        &mut self,
        device: DeviceId,
        outcome: Outcome,
        fill: impl FnOnce(&mut WholePoll),
    ) {
        self.sequence += 1;
        let at = self.now();
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
        let mut poll = WholePoll {
            poll,
            interfaces: Vec::new(),
            registrations: Vec::new(),
            radios: Vec::new(),
            slow: SlowRows::default(),
        };
        fill(&mut poll);
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
    pub(crate) async fn until(
        &self,
        job: &mut JobHandle,
        wanted: impl Fn(&JobStatus) -> bool,
    ) -> JobStatus {
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

    pub(crate) async fn state_of(&self, device: DeviceId) -> String {
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

    /// Rows of a table that the lake has committed; null where there was no commit.
    pub(crate) async fn in_lake(&self, table: &str) -> Option<i64> {
        let sql = "SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = $1";
        let stored = sqlx::query_scalar(sql).bind(table).fetch_one(&self.pool);
        stored.await.unwrap()
    }

    /// Events of devices, of places, and of alerts with incidents that are committed, and all that the topic has.
    pub(crate) async fn told(&self) -> (i64, i64, i64, u64) {
        let devices = self.number("SELECT count(*) FROM device_events").await;
        let places = self.number("SELECT count(*) FROM health_events").await;
        let topic = self.log.ends(topics::EVENTS, 0).unwrap();
        let alerts = self.number("SELECT count(*) FROM alert_events").await
            + self.number("SELECT count(*) FROM incident_events").await;
        (devices, places, alerts, topic.next)
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
    assert_eq!(w.told().await, (1, 2, 0, 3), "unknown, then up");

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
    assert_eq!(w.told().await, (2, 3, 1, 6));
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
    assert_eq!(w.told().await, (2, 3, 1, 6));
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
