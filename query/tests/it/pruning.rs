//! What a query need not read, it doesn't: told by the metrics of plans over real Parquet files.

use std::collections::BTreeMap;

use mast_lake::{LakeConfig, LakeWriter, Table};
use mast_postgres::testing::Database;
use mast_postgres::{Role, tenant_tx, testing};
use mast_query::{Engine, EngineConfig, Format, TenantScope, format};
use mast_schemas::column::Record;
use mast_schemas::records::Poll;
use mast_schemas::{Epoch, TenantId};
use uuid::Uuid;

const AT_US: i64 = 1_700_000_000_000_000;
const MINUTE_US: i64 = 60_000_000;
/// Commits, a minute each.
const COMMITS: i64 = 4;
/// Devices of a tenant, with as many rows a commit as fill a file.
const DEVICES: u128 = 4;
const ROWS: i64 = 10;

/// Two tenants' polls: at each commit one file a device.
struct Lake {
    _database: Database,
    _folder: tempfile::TempDir,
    engine: Engine,
}

fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(n << 64))
}

fn device(tenant: u128, n: u128) -> Uuid {
    Uuid::from_u128(tenant << 64 | n)
}

fn poll(of: u128, n: u128, minute: i64, row: i64) -> Poll {
    serde_json::from_value(serde_json::json!({
        "tenant_id": tenant(of), "device_id": device(of, n), "observed_at": AT_US + minute * MINUTE_US + row * 1_000_000,
        "lease_epoch": 1, "sequence": minute * ROWS + row + 1, "outcome": "ok", "next_due_at": AT_US, "interval_ms": 1000,
        "tables": 3,
    }))
    .unwrap()
}

impl Lake {
    async fn new() -> Self {
        let database = testing::database().await;
        let folder = tempfile::tempdir().unwrap();
        let (pool, dataflow) = (
            database.pool(Role::Api).await,
            database.pool(Role::Dataflow).await,
        );
        for of in [1, 2] {
            let mut tx = tenant_tx(&pool, tenant(of)).await.unwrap();
            sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, $2)")
                .bind(tenant(of).0)
                .bind(format!("tenant-{of}"))
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        sqlx::query("INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, 1000)")
            .execute(&dataflow)
            .await
            .unwrap();
        let mut conn = dataflow.acquire().await.unwrap();
        let config = LakeConfig {
            root: folder.path().to_owned(),
            job: "main".into(),
            generation: 1,
            max_rows_per_file: usize::try_from(ROWS).unwrap(),
            target_bytes: 128 << 20,
        };
        let mut writer = LakeWriter::open(&mut conn, config).await.unwrap();
        for minute in 0..COMMITS {
            let epoch = Epoch(10 + u64::try_from(minute).unwrap());
            let rows: Vec<Poll> = [1, 2]
                .into_iter()
                .flat_map(|of| (0..DEVICES).map(move |n| (of, n)))
                .flat_map(|(of, n)| (0..ROWS).map(move |row| poll(of, n, minute, row)))
                .collect();
            writer
                .append(Table::Polls, epoch, false, &Poll::batch(&rows))
                .unwrap();
            writer.commit(&mut conn, epoch).await.unwrap();
        }
        let engine = Engine::new(EngineConfig::new(pool, folder.path().to_owned())).unwrap();
        Self {
            _database: database,
            _folder: folder,
            engine,
        }
    }

    /// What tenant 1's query for polls under a condition reads.
    async fn reads(&self, condition: &str) -> Reads {
        let sql =
            format!("EXPLAIN ANALYZE SELECT observed_at, device_id FROM polls WHERE {condition}");
        let session = self.engine.session(TenantScope::One(tenant(1)));
        let mut out = Vec::new();
        format(session.sql(&sql).await.unwrap(), Format::Csv, &mut out)
            .await
            .unwrap();
        Reads::of(&String::from_utf8(out).unwrap())
    }
}

/// Of a scan's plan.
#[derive(Debug)]
struct Reads {
    /// Files that the plan names, each of one row group.
    files: usize,
    /// Of these, those that their statistics don't rule out.
    matched: usize,
    /// Rows that the scan gave.
    rows: usize,
}

impl Reads {
    fn of(plan: &str) -> Self {
        let scan = plan.lines().find(|l| l.contains("DataSourceExec"));
        let Some(scan) = scan else {
            panic!("{plan}");
        };
        let number = |text: &str| -> usize {
            let digits = text.split(|c: char| !c.is_ascii_digit()).next();
            digits
                .unwrap()
                .parse()
                .unwrap_or_else(|_| panic!("{text:?} in {scan}"))
        };
        let metrics: BTreeMap<&str, &str> = scan
            .split("metrics=[")
            .nth(1)
            .unwrap()
            .split(", ")
            .filter_map(|m| m.split_once('='))
            .collect();
        // A scan without files has nothing to tell of row groups.
        let groups = metrics.get("row_groups_pruned_statistics");
        let (files, matched) = groups
            .and_then(|told| told.split_once(" total → "))
            .map_or((0, 0), |(all, matched)| (number(all), number(matched)));
        Self {
            files,
            matched,
            rows: number(metrics["output_rows"]),
        }
    }
}

#[tokio::test]
async fn files_and_row_groups_of_other_tenants_devices_and_times_are_skipped() {
    let lake = Lake::new().await;
    let (commits, devices, rows) = (
        usize::try_from(COMMITS).unwrap(),
        usize::try_from(DEVICES).unwrap(),
        usize::try_from(ROWS).unwrap(),
    );
    let own = commits * devices;

    let all = lake.reads("true").await;
    assert_eq!(all.files, own, "the other tenant has as many: {all:?}");
    assert_eq!((all.matched, all.rows), (own, own * rows));

    // Times of files are in the manifest: these are not even named.
    let minute = "observed_at >= '2023-11-14T22:14:20Z' AND observed_at < '2023-11-14T22:15:20Z'";
    let minute = lake.reads(minute).await;
    assert_eq!(
        (minute.files, minute.rows),
        (devices * 2, devices * rows),
        "an end is inclusive"
    );
    assert_eq!(minute.matched, devices, "{minute:?}");
    let recent = lake.reads("observed_at > now() - INTERVAL '1 hour'").await;
    assert_eq!((recent.files, recent.rows), (0, 0), "{recent:?}");

    // So are their first and last devices; those between are skipped by the statistics within files.
    let one = lake.reads(&format!("device_id = '{}'", device(1, 2))).await;
    assert_eq!((one.files, one.matched), (commits, commits), "{one:?}");
    assert_eq!(one.rows, commits * rows);
    let two = format!("device_id IN ('{}', '{}')", device(1, 2), device(1, 3));
    let two = lake.reads(&two).await;
    assert_eq!(two.matched, 2 * commits, "{two:?}");
    let apart = format!("device_id IN ('{}', '{}')", device(1, 1), device(1, 3));
    let apart = lake.reads(&apart).await;
    assert_eq!(
        (apart.files, apart.matched),
        (3 * commits, 2 * commits),
        "{apart:?}"
    );

    let foreign = lake.reads(&format!("device_id = '{}'", device(2, 2))).await;
    assert_eq!((foreign.files, foreign.rows), (0, 0), "{foreign:?}");
}
