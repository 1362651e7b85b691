//! The lake against a real Postgres and a real folder: each row once, whatever is killed when.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod upkeep;

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use mast_lake::{LakeConfig, LakeError, LakeWriter, Table, contents, path_of};
use mast_postgres::{Role, testing};
use mast_schemas::column::Record;
use mast_schemas::views::{DeviceEvent, DeviceState, device_event_id};
use mast_schemas::{DeviceId, Epoch, TenantId, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// What happens between the appends of a run.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Some epochs more, then a commit.
    Commit(u8),
    /// Killed with rows in the buffers.
    KillBeforeFiles(u8),
    /// Killed after some of the files, with one of them half written.
    KillAmidFiles(u8),
    /// Killed after all files, before the manifest.
    KillBeforeManifest(u8),
    /// Killed after the manifest's insert, before its commit.
    KillBeforeCommit(u8),
    /// Killed after the manifest, before the writer took note.
    KillAfterManifest(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..4u8).prop_map(Step::Commit),
        (1..4u8).prop_map(Step::KillBeforeFiles),
        (1..4u8).prop_map(Step::KillAmidFiles),
        (1..4u8).prop_map(Step::KillBeforeManifest),
        (1..4u8).prop_map(Step::KillBeforeCommit),
        (1..4u8).prop_map(Step::KillAfterManifest),
    ]
}

/// The rows of an epoch, the same each time it is replayed; some epochs have none.
fn rows_of(epoch: Epoch) -> RecordBatch {
    let tenant_id = TenantId(Uuid::from_u128(1));
    let event = |n: u64| {
        let device_id = DeviceId(Uuid::from_u128(u128::from(100 - n)));
        let at = epoch.end();
        let (from_state, to_state) = (DeviceState::Online, DeviceState::Offline);
        let event_id = device_event_id(&device_id, at, from_state, to_state);
        DeviceEvent {
            event_id,
            tenant_id,
            device_id,
            at,
            from_state,
            to_state,
            outcome: None,
        }
    };
    DeviceEvent::batch(&(0..epoch.0 % 4).map(event).collect::<Vec<_>>())
}

/// Rows by epoch, as a reader of the manifest finds them.
async fn in_lake(conn: &mut PgConnection, root: &Path) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for file in contents(conn, &Table::ALL).await.unwrap().files {
        let opened = std::fs::File::open(path_of(root, &file.summary.path)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(opened)
            .unwrap()
            .build()
            .unwrap()
        {
            for epoch in batch
                .unwrap()
                .column_by_name("epoch")
                .unwrap()
                .as_primitive::<UInt64Type>()
                .values()
            {
                assert!((file.epoch_from.0..=file.epoch_to.0).contains(epoch));
                *found.entry(*epoch).or_default() += 1;
            }
        }
    }
    found
}

async fn start(conn: &mut PgConnection, root: &Path, generation: u64) -> LakeWriter {
    sqlx::query(
        "INSERT INTO job_progress (job, generation, epoch) VALUES ('main', $1, 0)
         ON CONFLICT (job) DO UPDATE SET generation = excluded.generation",
    )
    .bind(i64::try_from(generation).unwrap())
    .execute(&mut *conn)
    .await
    .unwrap();
    LakeWriter::open(conn, config(root, generation))
        .await
        .unwrap()
}

fn config(root: &Path, generation: u64) -> LakeConfig {
    LakeConfig {
        root: root.to_owned(),
        job: "main".into(),
        generation,
        max_rows_per_file: 3,
        target_bytes: 128 << 20,
    }
}

async fn run(steps: &[Step]) {
    let database = testing::database().await;
    let mut conn = PgConnection::connect_with(&database.options(Role::Dataflow))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut generation = 1;
    let mut writer = start(&mut conn, root, generation).await;
    let (mut next, mut replay_from) = (1u64, 1u64);
    for step in steps {
        let (Step::Commit(n)
        | Step::KillBeforeFiles(n)
        | Step::KillAmidFiles(n)
        | Step::KillBeforeManifest(n)
        | Step::KillBeforeCommit(n)
        | Step::KillAfterManifest(n)) = *step;
        let upto = next + u64::from(n);
        for epoch in (next..=upto).map(Epoch) {
            writer
                .append(Table::DeviceEvents, epoch, false, &rows_of(epoch))
                .unwrap();
        }
        next = upto + 1;
        if let Step::Commit(_) = step {
            writer.commit(&mut conn, Epoch(upto)).await.unwrap();
            // A checkpoint at most as new as the lake: replays begin behind what is committed.
            replay_from = upto.saturating_sub(2).max(1);
            continue;
        }
        let pending = match step {
            Step::KillBeforeFiles(_) => None,
            _ => writer.prepare(Epoch(upto)).await.unwrap(),
        };
        match (step, pending) {
            (Step::KillAmidFiles(_), _) => {
                let folder = root.join("device_events/main");
                std::fs::write(
                    folder.join(format!("g{generation}-e7-8-0.tmp")),
                    b"PAR1 half",
                )
                .unwrap();
                let newest = std::fs::read_dir(&folder)
                    .unwrap()
                    .map(|f| f.unwrap().path())
                    .max();
                let _ = newest
                    .filter(|f| f.to_string_lossy().contains(&format!("-{upto:020}-")))
                    .map(std::fs::remove_file);
            }
            (Step::KillBeforeCommit(_), Some(pending)) => {
                let mut tx = conn.begin().await.unwrap();
                let _ = pending.insert(&mut tx).await.unwrap();
                tx.rollback().await.unwrap();
            }
            (Step::KillAfterManifest(_), Some(pending)) => {
                let mut tx = conn.begin().await.unwrap();
                let _ = pending.insert(&mut tx).await.unwrap();
                tx.commit().await.unwrap();
            }
            _ => {}
        }
        drop(writer);
        generation += 1;
        writer = start(&mut conn, root, generation).await;
        next = replay_from;
    }
    let end = Epoch(next + 3);
    for epoch in (replay_from.min(next)..=end.0).map(Epoch) {
        // The last stretch may repeat buffered epochs only after a kill; begin anew to be sure.
        if epoch.0 == replay_from.min(next) {
            generation += 1;
            writer = start(&mut conn, root, generation).await;
        }
        writer
            .append(Table::DeviceEvents, epoch, false, &rows_of(epoch))
            .unwrap();
    }
    let end = writer.committed().map_or(end, |c| c.max(end));
    writer.commit(&mut conn, end).await.unwrap();
    let last = end.0;
    let expected: BTreeMap<u64, usize> = (1..=last)
        .map(|e| (e, rows_of(Epoch(e)).num_rows()))
        .filter(|(_, n)| *n > 0)
        .collect();
    assert_eq!(in_lake(&mut conn, root).await, expected);
    assert_eq!(writer.committed(), Some(Epoch(last)));
    let on_disk = std::fs::read_dir(root.join("device_events/main"))
        .unwrap()
        .count();
    let named = contents(&mut conn, &Table::ALL).await.unwrap().files.len();
    assert_eq!(on_disk, named, "no orphan is left");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn each_row_is_in_the_lake_once_whatever_is_killed_when(steps in prop::collection::vec(step(), 1..7)) {
        tokio::runtime::Runtime::new().unwrap().block_on(run(&steps));
    }
}

#[tokio::test]
async fn a_fenced_writer_can_neither_commit_nor_open() {
    let database = testing::database().await;
    let mut conn = PgConnection::connect_with(&database.options(Role::Dataflow))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut zombie = start(&mut conn, folder.path(), 1).await;
    zombie
        .append(Table::DeviceEvents, Epoch(3), false, &rows_of(Epoch(3)))
        .unwrap();
    let pending = zombie.prepare(Epoch(3)).await.unwrap().unwrap();
    let mut successor = start(&mut conn, folder.path(), 2).await;
    let mut tx = conn.begin().await.unwrap();
    assert!(matches!(
        pending.insert(&mut tx).await,
        Err(LakeError::Fenced { generation: 1, .. })
    ));
    tx.rollback().await.unwrap();
    let late = LakeWriter::open(&mut conn, config(folder.path(), 1)).await;
    assert!(matches!(late, Err(LakeError::Fenced { .. })));
    successor
        .append(Table::DeviceEvents, Epoch(3), false, &rows_of(Epoch(3)))
        .unwrap();
    assert_eq!(
        successor.commit(&mut conn, Epoch(3)).await.unwrap(),
        Some(Epoch(3))
    );
    assert_eq!(
        in_lake(&mut conn, folder.path()).await,
        BTreeMap::from([(3, 3)])
    );
}

#[tokio::test]
async fn rows_are_sorted_and_bounds_tell_what_a_file_holds() {
    let database = testing::database().await;
    let mut conn = PgConnection::connect_with(&database.options(Role::Dataflow))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 1);
    config.max_rows_per_file = 1000;
    start(&mut conn, folder.path(), 1).await;
    let mut writer = LakeWriter::open(&mut conn, config).await.unwrap();
    for epoch in [7, 3].map(Epoch) {
        writer
            .append(Table::DeviceEvents, epoch, epoch.0 == 3, &rows_of(epoch))
            .unwrap();
    }
    assert_eq!(writer.recent().waiting_rows(), 6);
    writer.commit(&mut conn, Epoch(9)).await.unwrap();
    assert_eq!(writer.recent().waiting_rows(), 0);
    let found = contents(&mut conn, &[Table::DeviceEvents]).await.unwrap();
    assert_eq!(found.as_of, Some(Epoch(9)));
    let summary = &found.files[0].summary;
    assert_eq!((summary.rows, summary.late_rows), (6, 3));
    assert_eq!(
        (summary.time_min_us, summary.time_max_us),
        (Epoch(3).end().0, Epoch(7).end().0)
    );
    assert_eq!(
        (summary.tenant_min, summary.tenant_max),
        (Uuid::from_u128(1), Uuid::from_u128(1))
    );
    let file = std::fs::File::open(path_of(folder.path(), &summary.path)).unwrap();
    let batch = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let rows = DeviceEvent::rows(&batch).unwrap();
    let keys: Vec<(DeviceId, Timestamp)> = rows.iter().map(|r| (r.device_id, r.at)).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    assert!(
        rows.iter()
            .any(|r| *r == DeviceEvent::rows(&rows_of(Epoch(7))).unwrap()[0])
    );
}

#[tokio::test]
async fn a_job_name_that_is_no_file_name_is_refused() {
    let database = testing::database().await;
    let mut conn = PgConnection::connect_with(&database.options(Role::Dataflow))
        .await
        .unwrap();
    for job in ["", "../x", "A", "a/b"] {
        let config = LakeConfig {
            job: job.into(),
            ..config(Path::new("nowhere"), 1)
        };
        assert!(
            matches!(
                LakeWriter::open(&mut conn, config).await,
                Err(LakeError::JobName(_))
            ),
            "{job}"
        );
    }
}
