//! A query that nobody waits for any more ends: in Postgres, and in the lake.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use mast_query::{Engine, TenantScope};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::fixture::Fixture;

/// Long enough for any machine; no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// Statements of queries that Postgres is at work on.
async fn at_work(server: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = current_database()
         AND query LIKE 'DECLARE scan_%'",
    )
    .fetch_one(server)
    .await
    .unwrap()
}

/// Waits until Postgres is at work on so many.
async fn until_at_work(server: &PgPool, wanted: i64) {
    let wait = async {
        while at_work(server).await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn postgres_stops_a_statement_whose_answer_is_dropped() {
    let f = Fixture::new().await;
    let server = f.superuser().await;
    // As long as this is held, a statement over links never ends by itself.
    let mut lock = server.begin().await.unwrap();
    sqlx::query("LOCK TABLE links IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();

    let answer = f.session(f.a).sql("SELECT * FROM links").await.unwrap();
    until_at_work(&server, 1).await;
    drop(answer);
    until_at_work(&server, 0).await;

    // All tenants at once, and with a join: each transaction has its own statement.
    let all = f.engine().session(TenantScope::All(f.tenants()));
    let sql = "SELECT count(*) FROM links l JOIN devices d ON d.device_id = l.ap_device_id";
    let answer = all.sql(sql).await.unwrap();
    until_at_work(&server, 2).await;
    drop(answer);
    until_at_work(&server, 0).await;

    // A query over its time is dropped too.
    let hasty = f.limited(Duration::from_millis(200), 10, 64 << 20);
    assert!(hasty.json(f.a, "SELECT * FROM links").await.is_err());
    until_at_work(&server, 0).await;

    lock.rollback().await.unwrap();
    let rows = f.json(f.a, "SELECT mac FROM links").await.unwrap();
    assert!(
        rows.contains("02:00:00:00:0A:01"),
        "the connections serve on: {rows}"
    );
}

/// A lake whose reads wait at a gate.
#[derive(Debug)]
struct Gated {
    files: LocalFileSystem,
    gate: Arc<Semaphore>,
    /// Reads that were begun.
    begun: Arc<AtomicUsize>,
    /// Reads that wait at the gate.
    waiting: Arc<AtomicUsize>,
}

/// Counts a read as waiting while it exists.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gated {
    async fn pass(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self.waiting.clone());
        self.gate.acquire().await.unwrap().forget();
    }
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gated {}", self.files)
    }
}

#[async_trait]
impl ObjectStore for Gated {
    async fn put_opts(&self, to: &Path, what: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.files.put_opts(to, what, how).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(to, how).await
    }

    async fn get_opts(&self, from: &Path, how: GetOptions) -> Result<GetResult> {
        self.pass().await;
        self.files.get_opts(from, how).await
    }

    async fn get_ranges(&self, from: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.pass().await;
        self.files.get_ranges(from, ranges).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, how).await
    }
}

#[tokio::test]
async fn no_further_file_is_read_for_an_answer_that_is_dropped() {
    let f = Fixture::new().await;
    let (gate, begun, waiting) = (
        Arc::new(Semaphore::new(1)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let store = Gated {
        files: LocalFileSystem::new_with_prefix(f.root()).unwrap(),
        gate: gate.clone(),
        begun: begun.clone(),
        waiting: waiting.clone(),
    };
    let engine = Engine::over(f.config(), Arc::new(store)).unwrap();
    let session = engine.session(TenantScope::One(f.a));
    let sql = "SELECT mac FROM registration_samples UNION ALL SELECT ssid FROM radio_samples
               UNION ALL SELECT identity FROM polls UNION ALL SELECT name FROM interface_samples";
    let answer = session.sql(sql).await.unwrap();
    let wait_for = async |reached: &dyn Fn() -> bool| {
        let wait = async {
            while !reached() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    };
    // One read has passed, the next waits.
    wait_for(&|| gate.available_permits() == 0 && waiting.load(Ordering::SeqCst) > 0).await;
    drop(answer);
    wait_for(&|| waiting.load(Ordering::SeqCst) == 0).await;
    let reads = begun.load(Ordering::SeqCst);
    gate.add_permits(1_000);
    // Another query passes through the same threads, so that one which went on would have read by now.
    let other = session
        .sql("SELECT count(*) FROM generate_series(1, 100000)")
        .await
        .unwrap();
    other.collect().await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), reads);
    let all = session.sql(sql).await.unwrap().collect().await.unwrap();
    assert!(!all.is_empty(), "the engine serves on");
    assert!(
        begun.load(Ordering::SeqCst) > reads + 1,
        "there was more to read"
    );
}
