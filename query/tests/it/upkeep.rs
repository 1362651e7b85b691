//! A query that has begun reads its files to the end, whatever becomes of the lake meanwhile.

use mast_lake::{LakeConfig, LakeWriter, Retention, Stop, Table, Upkeep, contents, path_of};
use mast_postgres::{Role, tenant_lake_snapshot, tenant_tx, testing};
use mast_query::{Engine, EngineConfig, TenantScope};
use mast_schemas::column::Record;
use mast_schemas::records::Poll;
use mast_schemas::time::Span;
use mast_schemas::{Epoch, TenantId, Timestamp};
use sqlx::Connection;
use uuid::Uuid;

/// A day's begin.
const BEGIN: Timestamp = Timestamp::from_secs(20_000 * 86_400);
const COMMITS: i64 = 40;

fn poll(tenant: TenantId, minute: i64) -> Poll {
    let at = BEGIN + Span::secs(minute * 60);
    serde_json::from_value(serde_json::json!({
        "tenant_id": tenant, "device_id": Uuid::from_u128(7), "observed_at": at.0, "lease_epoch": 1,
        "sequence": minute + 1, "outcome": "ok", "next_due_at": at.0, "interval_ms": 60_000, "tables": 3,
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_has_begun_keeps_files_that_others_replaced() {
    let database = testing::database().await;
    let folder = tempfile::tempdir().unwrap();
    let (pool, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let tenant = TenantId::new();
    let mut tx = tenant_tx(&pool, tenant).await.unwrap();
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'north')")
        .bind(tenant.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    sqlx::query("INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, 1000)")
        .execute(&dataflow)
        .await
        .unwrap();
    let mut conn = dataflow.acquire().await.unwrap();
    let config = LakeConfig {
        root: folder.path().to_owned(),
        job: "main".into(),
        generation: 1,
        max_rows_per_file: 1_000,
        target_bytes: 128 << 20,
    };
    let mut writer = LakeWriter::open(&mut conn, config.clone()).await.unwrap();
    for minute in 0..COMMITS {
        let row = poll(tenant, minute);
        let epoch = Epoch::of(row.observed_at);
        writer
            .append(Table::Polls, epoch, false, &Poll::batch([&row]))
            .unwrap();
        writer.commit(&mut conn, epoch).await.unwrap();
    }
    // The hour of the files is over, and has rested.
    let later = Epoch::of(BEGIN + Span::hours(2));
    writer.commit(&mut conn, later).await.unwrap();

    let engine = Engine::new(EngineConfig::new(pool.clone(), folder.path().to_owned())).unwrap();
    let session = engine.session(TenantScope::One(tenant));
    // What a query reads in; it has not come to the lake yet.
    let mut begun = tenant_lake_snapshot(&pool, tenant).await.unwrap();
    sqlx::query("SELECT 1").execute(&mut *begun).await.unwrap();
    let on_disk = || {
        std::fs::read_dir(folder.path().join("polls/main"))
            .unwrap()
            .count()
    };
    let all = usize::try_from(COMMITS).unwrap();
    let mut upkeep = Upkeep::new(config, Retention::default(), Stop::default());
    while let Some(change) = upkeep.compact(&mut conn, Table::Polls).await.unwrap() {
        let mut tx = conn.begin().await.unwrap();
        change.apply(&mut tx, upkeep.config()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let swept = upkeep.sweep(&mut conn).await.unwrap();
    assert_eq!(swept, (0, all), "the query may read them");
    assert_eq!(on_disk(), all + 1);

    let named = contents(&mut begun, &[Table::Polls]).await.unwrap().files;
    assert_eq!(named.len(), all, "it sees the lake as it was");
    for file in named {
        let path = path_of(folder.path(), &file.summary.path);
        assert!(path.exists(), "{}", path.display());
    }
    // Who begins now is not waited for.
    let later = tenant_lake_snapshot(&pool, tenant).await.unwrap();
    begun.rollback().await.unwrap();
    assert_eq!(upkeep.sweep(&mut conn).await.unwrap(), (all, 0));
    assert_eq!(on_disk(), 1);
    later.rollback().await.unwrap();
    let answer = session.sql("SELECT sequence FROM polls").await.unwrap();
    let batches = answer.collect().await.unwrap();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(rows, all, "each once");
}
