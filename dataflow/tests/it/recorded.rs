//! A job killed at named points over a recorded log leaves what an undisturbed one leaves: row by row, event by event.
//!
//! The job runs alone, in a child process over a copy of the recording: this test binary, asked for its one ignored test.
//! Two recordings: one that holds its bindings, so that the job only replays, and one without, so that the job makes them;
//! the second start of a killed job must then bind what is left as the first one would have. Clocks stand still at the
//! recording's end, so no silence enters.
//!
//! Not compared: gauges, which are outside the promise, and `view_change`, whose rows follow the grouping of commits.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::json::LineDelimitedWriter;
use mast_dataflow::job::{Job, JobConfig};
use mast_lake::{LakeConfig, Retention, Stop, Table, Upkeep, contents, path_of};
use mast_log::{EmbeddedLog, Entry, Log, fault};
use mast_postgres::testing::{Database, database};
use mast_postgres::{Role, lease};
use mast_schemas::epochs::Binding;
use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::{Epoch, topics};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgPool};
use uuid::Uuid;

use crate::recording::{open, record};
use crate::support::PARTITIONS;

const SEED: u64 = 11;
const SIZE: usize = 8;

const FOLDER: &str = "MAST_RECORDED_FOLDER";
const SOCKET: &str = "MAST_RECORDED_SOCKET";
const DATABASE: &str = "MAST_RECORDED_DATABASE";
const UPTO: &str = "MAST_RECORDED_UPTO";
const WORKERS: &str = "MAST_RECORDED_WORKERS";

/// The job alone, until it has worked off the recording. Does nothing unless a test of this file asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a child process of the tests in this file"]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let variable = |name| std::env::var(name).unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .socket(variable(SOCKET))
        .username(Role::Dataflow.as_str())
        .database(&variable(DATABASE))
        .ssl_mode(PgSslMode::Disable);
    let pool = mast_postgres::pool(options, 10).await.unwrap();
    let (folder, upto) = (
        PathBuf::from(folder),
        Epoch(variable(UPTO).parse().unwrap()),
    );
    let log: Arc<dyn Log> = Arc::new(open(&folder));
    let config = JobConfig::new("main", pool, log, folder);
    let config = JobConfig {
        workers: variable(WORKERS).parse().unwrap(),
        partitions: PARTITIONS,
        // After each group, so that every point is reached, and in the middle.
        checkpoint_every: Duration::ZERO,
        lake_every: Duration::ZERO,
        clock: Arc::new(move || upto.end()),
        ..config
    };
    let mut job = Job::start(config).await.unwrap();
    let mut status = job.status();
    let done = status.wait_for(|s| s.epoch >= upto && s.lake_epoch >= upto);
    if done.await.is_err() {
        panic!("the job ended: {:?}", job.finished().await);
    }
    job.stop().await.unwrap();
}

/// A copy of a recording with a database of its own.
struct World {
    folder: tempfile::TempDir,
    database: Database,
    upto: Epoch,
}

impl World {
    async fn copy_of(recording: &Path, upto: Epoch) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(recording, folder.path());
        Self {
            folder,
            database: database().await,
            upto,
        }
    }

    /// As if a job had run over this database before, which bound what the log says that the first one did: a log that
    /// is ahead of its database is refused.
    async fn give_a_generation(&self) {
        let pool = self.database.pool(Role::Dataflow).await;
        let ttl = Duration::from_secs(60);
        let held = lease::acquire(&pool, "dataflow/main", Uuid::now_v7(), ttl)
            .await
            .unwrap();
        lease::release(&pool, &held.unwrap()).await.unwrap();
    }

    /// Runs the job to the recording's end, or to its death.
    fn run(&self, point: Option<&str>, workers: usize) -> ExitStatus {
        let options = self.database.options(Role::Dataflow);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "recorded::child", "--ignored", "--nocapture"])
            .env(FOLDER, self.folder.path())
            .env(SOCKET, options.get_socket().unwrap())
            .env(DATABASE, self.database.name())
            .env(UPTO, self.upto.0.to_string())
            .env(WORKERS, workers.to_string())
            .env_remove(fault::VARIABLE)
            .envs(point.map(|point| (fault::VARIABLE, point)))
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let killed = output.status.signal().is_some();
        assert!(
            output.status.success() || killed,
            "{point:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.status
    }

    /// Rolls up what the job had not come to.
    async fn roll_up(&self, pool: &PgPool) {
        let mut conn = pool.acquire().await.unwrap();
        let sql = "SELECT generation FROM job_progress";
        let generation: i64 = sqlx::query_scalar(sql).fetch_one(&mut *conn).await.unwrap();
        let config = LakeConfig {
            root: self.folder.path().join("lake"),
            job: "main".to_owned(),
            generation: generation.cast_unsigned(),
            max_rows_per_file: 1_000_000,
            target_bytes: 128 << 20,
        };
        let upkeep = Upkeep::new(config, Retention::default(), Stop::default());
        for of in Rolled::ALL {
            for width in Width::ALL {
                while let Some(change) = upkeep.roll_up(&mut conn, of, width).await.unwrap() {
                    let mut tx = conn.begin().await.unwrap();
                    change.apply(&mut tx, upkeep.config()).await.unwrap();
                    tx.commit().await.unwrap();
                }
            }
        }
    }

    async fn left(&self) -> Left {
        let pool = self.database.pool(Role::Dataflow).await;
        self.roll_up(&pool).await;
        let mut left = Left::new();
        // The job writes what people are told, and may not read it.
        let reader = PgPool::connect_with(self.database.superuser()).await;
        let reader = reader.unwrap();
        for (table, sql) in TABLES {
            left.insert((*table).to_owned(), rows(&reader, sql).await);
        }
        for table in Table::ALL {
            let rows = lake_rows(&pool, &self.folder.path().join("lake"), table).await;
            left.insert(format!("lake {table}"), rows);
        }
        let log = open(self.folder.path());
        left.insert(topics::EVENTS.to_owned(), relayed(&log));
        left.insert(topics::EPOCHS.to_owned(), bound(&log));
        left
    }
}

/// Ids in the event topic, in its order.
fn relayed(log: &EmbeddedLog) -> Vec<String> {
    let id = |entry: &Entry| {
        uuid::Uuid::from_slice(&entry.record.key)
            .unwrap()
            .to_string()
    };
    all(log, topics::EVENTS).iter().map(id).collect()
}

/// Which slots bind anything, and up to where. That a slot binds nothing may be said with another slot or alone.
fn bound(log: &EmbeddedLog) -> Vec<String> {
    let bindings = all(log, topics::EPOCHS);
    let mut bindings: Vec<Binding> = bindings
        .iter()
        .map(|entry| Binding::decode(&entry.record.body).unwrap())
        .collect();
    bindings.dedup_by(|b, a| (&b.telemetry, b.control) == (&a.telemetry, a.control));
    let told = |b: &Binding| {
        assert!(b.silent.is_empty() && !b.by_clock, "{b:?}");
        format!("{}: {:?} {}", b.first.0, b.telemetry, b.control)
    };
    bindings.iter().map(told).collect()
}

fn all(log: &EmbeddedLog, topic: &str) -> Vec<Entry> {
    let (mut all, mut next) = (Vec::new(), 0);
    loop {
        let entries = log.read(topic, 0, next, 1 << 20).unwrap();
        let Some(last) = entries.last() else {
            return all;
        };
        next = last.offset + 1;
        all.extend(entries);
    }
}

/// What a job left: rows by table, each table in a fixed order.
type Left = BTreeMap<String, Vec<String>>;

const TABLES: &[(&str, &str)] = &[
    (
        "device_status",
        "SELECT to_jsonb(t)::text FROM device_status t ORDER BY 1",
    ),
    ("links", "SELECT to_jsonb(t)::text FROM links t ORDER BY 1"),
    (
        "client_addresses",
        "SELECT to_jsonb(t)::text FROM client_addresses t ORDER BY 1",
    ),
    (
        "place_counts",
        "SELECT to_jsonb(t)::text FROM place_counts t ORDER BY 1",
    ),
    (
        "place_health",
        "SELECT to_jsonb(t)::text FROM place_health t ORDER BY 1",
    ),
    (
        "health_events",
        "SELECT to_jsonb(t)::text FROM health_events t ORDER BY 1",
    ),
    (
        "device_events",
        "SELECT to_jsonb(t)::text FROM device_events t ORDER BY 1",
    ),
    (
        "link_events",
        "SELECT to_jsonb(t)::text FROM link_events t ORDER BY 1",
    ),
    (
        "alerts",
        "SELECT to_jsonb(t)::text FROM alerts t ORDER BY 1",
    ),
    (
        "incidents",
        "SELECT to_jsonb(t)::text FROM incidents t ORDER BY 1",
    ),
    (
        "trends",
        "SELECT to_jsonb(t)::text FROM trends t ORDER BY 1",
    ),
    (
        "alert_events",
        "SELECT to_jsonb(t)::text FROM alert_events t ORDER BY 1",
    ),
    (
        "incident_events",
        "SELECT to_jsonb(t)::text FROM incident_events t ORDER BY 1",
    ),
    (
        "trend_events",
        "SELECT to_jsonb(t)::text FROM trend_events t ORDER BY 1",
    ),
    (
        // Without the times of the clock on the wall.
        "notification_requests",
        "SELECT (to_jsonb(t) - 'created_at' - 'routed_at')::text FROM notification_requests t ORDER BY 1",
    ),
    ("job_progress", "SELECT epoch::text FROM job_progress"),
];

async fn rows(pool: &PgPool, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

/// Rows of the files that the manifest names, as JSON.
async fn lake_rows(pool: &PgPool, root: &Path, table: Table) -> Vec<String> {
    let mut conn = pool.acquire().await.unwrap();
    let mut json = LineDelimitedWriter::new(Vec::new());
    for file in contents(&mut conn, &[table]).await.unwrap().files {
        let file = std::fs::File::open(path_of(root, &file.summary.path)).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for batch in batches.build().unwrap() {
            json.write(&plain_times(&batch.unwrap())).unwrap();
        }
    }
    json.finish().unwrap();
    let text = String::from_utf8(json.into_inner()).unwrap();
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

/// The same rows with times as numbers: the writer of JSON knows no zone by name.
fn plain_times(batch: &RecordBatch) -> RecordBatch {
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Timestamp(..) => cast(column, &DataType::Int64).unwrap(),
        _ => column.clone(),
    };
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name());
    RecordBatch::try_from_iter(names.zip(batch.columns().iter().map(plain))).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn same(left: &Left, undisturbed: &Left, point: &str) {
    assert!(left.keys().eq(undisturbed.keys()));
    for (table, rows) in left {
        let expected = &undisturbed[table];
        let lost = expected.iter().find(|row| !rows.contains(row));
        let extra = rows.iter().find(|row| !expected.contains(row));
        assert_eq!((lost, extra), (None, None), "{point}: {table}");
        assert_eq!(rows, expected, "{point}: {table} holds rows twice");
    }
}

/// Kills a job over a copy of the recording at each point, lets a second start with other workers end the work, and
/// compares what is left.
async fn kills_leave(recording: &Path, upto: Epoch, undisturbed: &Left, points: &[&str]) {
    for point in points {
        let world = World::copy_of(recording, upto).await;
        world.give_a_generation().await;
        let killed = world.run(Some(point), 1);
        assert_eq!(killed.signal(), Some(9), "{point} was never reached");
        assert!(world.run(None, 2).success());
        same(&world.left().await, undisturbed, point);
    }
}

/// The recording after an undisturbed job: its log, and what the job left.
async fn undisturbed(recording: &Path, upto: Epoch) -> (World, Left) {
    let world = World::copy_of(recording, upto).await;
    assert!(world.run(None, 1).success());
    let left = world.left().await;
    // The recording is of minutes.
    let empty = ["interface", "radio", "_15m", "_1h", "_1d", "trend"];
    for (table, rows) in &left {
        assert!(
            empty.iter().any(|of| table.contains(of)) || !rows.is_empty(),
            "{table} is empty: nothing would be compared"
        );
    }
    (world, left)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_bindings_are_replayed_changes_nothing() {
    let fresh = tempfile::tempdir().unwrap();
    let upto = record(fresh.path(), SEED, SIZE);
    let (bound, left) = undisturbed(fresh.path(), upto).await;
    // Its log, but what the job told others: that is for the next ones to tell.
    let recording = tempfile::tempdir().unwrap();
    std::fs::create_dir(recording.path().join("log")).unwrap();
    copy(
        &bound.folder.path().join("log"),
        &recording.path().join("log"),
    );
    std::fs::remove_dir_all(recording.path().join("log/topics").join(topics::EVENTS)).unwrap();
    let points = [
        "after_commit:2",
        "after_lake_file:2",
        "after_manifest:2",
        "after_upkeep_files:2",
        "before_upkeep_commit:2",
        "after_upkeep_commit:2",
    ];
    kills_leave(recording.path(), upto, &left, &points).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_bindings_are_made_changes_nothing() {
    let recording = tempfile::tempdir().unwrap();
    let upto = record(recording.path(), SEED, SIZE);
    let (bound, left) = undisturbed(recording.path(), upto).await;
    // The job makes so many at a time: after the first of them there is something left to bind.
    assert!(all(&open(bound.folder.path()), topics::EPOCHS).len() > 1_024 + 50);
    let points = [
        "after_binding:1",
        "after_commit:2",
        "after_lake_file:2",
        "after_manifest:2",
        "amid_checkpoint:1",
        "after_checkpoint:1",
    ];
    kills_leave(recording.path(), upto, &left, &points).await;
}
