//! Sessions, plans and limits.
//!
//! A query is planned against a catalog made for it alone, over one snapshot of its tenants, and runs on threads of its
//! own, so that heavy ones don't hold up the rest of the process. Dropping the answer stops the query.
//!
//! The trap: a thread that computes without a pause looks at no clock. So the deadline is kept by the asker, on the threads
//! of the asker, and operators that could go on without a pause are made to pause (`stop`).

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::{Stream, StreamExt};
use mast_lake::{Retention, Table};
use mast_schemas::Timestamp;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use sqlx::PgPool;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use tracing::Instrument;

use crate::cancel::CancelOnDrop;
use crate::lake::{LakeProvider, STORE};
use crate::postgres::NowProvider;
use crate::rates::RateBps;
use crate::snapshot::Snapshot;
use crate::stop::{Ended, Stop, StopWhereRowsMultiply};
use crate::tables::NOW;
use crate::tail::{RatesProvider, Tail};
use crate::{QueryError, TenantScope};

/// What an engine reads and how much it may use.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Postgres, as the role `mast_api`.
    pub pool: PgPool,
    /// Folder of the lake.
    pub lake_root: PathBuf,
    /// File that says how the lake's writer is asked for what is in no file yet; null = only the lake is read.
    pub tail: Option<PathBuf>,
    /// Memory for all running queries, in bytes.
    pub memory_bytes: usize,
    /// Time for one query, from when it is asked to when its last row is taken.
    pub time_limit: Duration,
    /// Rows that one answer may have.
    pub max_rows: u64,
    /// Threads for queries.
    pub threads: usize,
    /// How long history is kept where a tenant has not said otherwise, as the lake's upkeep has it.
    pub retention: Retention,
    /// Whether conditions and limits go into Postgres' SQL; off only to compare with.
    pub pushdown: bool,
}

impl EngineConfig {
    /// The defaults: 512 MiB, 60 s, 10 million rows, 2 threads.
    pub fn new(pool: PgPool, lake_root: PathBuf) -> Self {
        let time_limit = Duration::from_secs(60);
        Self {
            pool,
            lake_root,
            tail: None,
            memory_bytes: 512 << 20,
            time_limit,
            max_rows: 10_000_000,
            threads: 2,
            retention: Retention::default(),
            pushdown: true,
        }
    }
}

/// Runs queries.
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    tail: Option<Arc<Tail>>,
    environment: Arc<RuntimeEnv>,
    threads: Option<Runtime>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A runtime must not wait for its threads where it is dropped from asynchronous code.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

impl Engine {
    /// Makes an engine with its threads. The folder of the lake is created if there is none yet.
    ///
    /// # Errors
    /// When the folder or the threads can't be made.
    pub fn new(config: EngineConfig) -> Result<Self, QueryError> {
        std::fs::create_dir_all(&config.lake_root)?;
        let store = LocalFileSystem::new_with_prefix(&config.lake_root)
            .map_err(|e| QueryError::Execution(DataFusionError::ObjectStore(Box::new(e))))?;
        Self::over(config, Arc::new(store))
    }

    /// As [`Engine::new`], with the lake's files in `store` instead of a folder.
    ///
    /// # Errors
    /// When the threads can't be made.
    pub fn over(config: EngineConfig, store: Arc<dyn ObjectStore>) -> Result<Self, QueryError> {
        let environment = RuntimeEnvBuilder::new()
            .with_object_store_registry(Arc::new(OnlyLake(store)))
            .with_memory_limit(config.memory_bytes, 1.0)
            .build_arc()?;
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .thread_name("mast-query")
            .enable_all()
            .build()
            .map_err(|e| QueryError::Threads(e.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                tail: config.tail.clone().map(|file| Arc::new(Tail::new(file))),
                config,
                environment,
                threads: Some(threads),
            }),
        })
    }

    /// A session that sees these tenants and nothing else.
    pub fn session(&self, scope: TenantScope) -> Session {
        Session {
            inner: self.inner.clone(),
            scope,
            lake_only: None,
        }
    }
}

/// Runs the queries of one asker.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
    scope: TenantScope,
    lake_only: Option<Arc<AtomicBool>>,
}

impl Session {
    /// What it works with, and whose rows it reads.
    pub(crate) fn parts(&self) -> (&EngineConfig, &TenantScope) {
        (&self.inner.config, &self.scope)
    }

    /// The same session, that sets `told` when an answer is made of the lake alone, see [`QueryResult::lake_only`].
    pub fn telling(self, told: Arc<AtomicBool>) -> Self {
        Self {
            lake_only: Some(told),
            ..self
        }
    }

    /// Plans and starts a query. Its batches come from [`QueryResult::next`] or the stream.
    ///
    /// # Errors
    /// [`QueryError::Refused`] and [`QueryError::Sql`] are the asker's; failures while it runs come from the stream.
    pub async fn sql(&self, sql: &str) -> Result<QueryResult, QueryError> {
        let threads = self
            .inner
            .threads
            .as_ref()
            .ok_or_else(|| QueryError::Threads("gone".to_owned()))?;
        let (started, start) = oneshot::channel();
        let (sender, batches) = mpsc::channel(2);
        let (inner, scope, sql) = (self.inner.clone(), self.scope.clone(), sql.to_owned());
        let limit = self.inner.config.time_limit;
        let mut deadline = Box::pin(tokio::time::sleep(limit));
        let ended = Ended::default();
        let ended_for_plan = ended.clone();
        let id = uuid::Uuid::now_v7();
        let span = tracing::error_span!("query", query = %id);
        let work = async move {
            tracing::debug!(sql, "query begins");
            match plan(&inner, &scope, &sql, ended_for_plan).await {
                Ok(planned) => {
                    let begun = Begun {
                        schema: planned.stream.schema(),
                        as_of: planned.snapshot.as_of(),
                        lake_only: planned.snapshot.history.lake_only(),
                    };
                    let _ = started.send(Ok(begun));
                    run(planned, &sender, inner.config.max_rows).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "query refused");
                    let _ = started.send(Err(error));
                }
            }
            tracing::debug!("query ends");
        };
        let task = threads.spawn(work.instrument(span));
        let stop = Stop::new(task.abort_handle(), ended);
        let begun: Begun = tokio::select! {
            answer = start => answer
                .map_err(|_| QueryError::Threads("the query's task ended".to_owned()))??,
            () = &mut deadline => return Err(too_slow(limit)),
        };
        if let (Some(_), Some(told)) = (&begun.lake_only, &self.lake_only) {
            told.store(true, Ordering::Relaxed);
        }
        Ok(QueryResult {
            begun,
            batches,
            limit,
            deadline,
            stop,
        })
    }
}

fn too_slow(limit: Duration) -> QueryError {
    QueryError::Limit(format!("it took longer than {} s", limit.as_secs_f64()))
}

/// Sends all batches, or the error that ended them.
async fn run(
    planned: Planned,
    sender: &mpsc::Sender<Result<RecordBatch, QueryError>>,
    max_rows: u64,
) {
    let Planned { mut stream, .. } = planned;
    let mut rows = 0u64;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(QueryError::from);
        rows += batch.as_ref().map_or(0, |b| b.num_rows() as u64);
        let batch = match batch {
            Ok(_) if rows > max_rows => Err(QueryError::Limit(format!(
                "its answer has more than {max_rows} rows"
            ))),
            batch => batch,
        };
        let ended = batch.is_err();
        if sender.send(batch).await.is_err() || ended {
            return;
        }
    }
}

/// A query that is ready to run.
struct Planned {
    _cancel: CancelOnDrop,
    stream: SendableRecordBatchStream,
    snapshot: Arc<Snapshot>,
}

/// How often a snapshot is opened anew that was too old for the lake's writer.
const SNAPSHOTS: usize = 3;

/// Opens the snapshot and starts the plan. The rows of the tail are got while it is planned; where that fails, it is planned
/// once more without them.
async fn plan(
    inner: &Inner,
    scope: &TenantScope,
    sql: &str,
    ended: Ended,
) -> Result<Planned, QueryError> {
    let mut left = SNAPSHOTS;
    loop {
        left -= 1;
        let memory = MemoryConsumer::new("tail").register(&inner.environment.memory_pool);
        let (pool, tail) = (&inner.config.pool, inner.tail.clone());
        let snapshot = Arc::new(Snapshot::open(pool, scope, tail, memory).await?);
        let cancel = snapshot.cancel_on_drop();
        let mut stream = start(inner, &snapshot, sql, ended.clone()).await;
        if stream.is_err() && snapshot.history.is_too_old() {
            if left > 0 {
                continue;
            }
            snapshot
                .history
                .without_tail("the lake is committed faster than it is read");
        }
        if stream.is_err() && snapshot.history.lake_only().is_some() {
            stream = start(inner, &snapshot, sql, ended.clone()).await;
        }
        return Ok(Planned {
            _cancel: cancel,
            stream: stream?,
            snapshot,
        });
    }
}

async fn start(
    inner: &Inner,
    snapshot: &Arc<Snapshot>,
    sql: &str,
    ended: Ended,
) -> Result<SendableRecordBatchStream, QueryError> {
    let context = catalog(inner, snapshot, ended)?;
    let plan = context.state().create_logical_plan(sql).await?;
    let queries_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    queries_only
        .verify_plan(&plan)
        .map_err(|e| QueryError::Refused(e.strip_backtrace()))?;
    let stream = context
        .execute_logical_plan(plan)
        .await?
        .execute_stream()
        .await?;
    Ok(stream)
}

/// A catalog with the tables of the snapshot's tenants, and nothing else.
fn catalog(
    inner: &Inner,
    snapshot: &Arc<Snapshot>,
    ended: Ended,
) -> Result<SessionContext, QueryError> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema("mast", "public")
        .with_information_schema(true)
        .with_target_partitions(inner.config.threads.max(1));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(inner.environment.clone())
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(StopWhereRowsMultiply(ended)))
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_udf(ScalarUDF::from(RateBps::new()));
    for table in NOW {
        let provider = NowProvider::new(table, snapshot.clone(), inner.config.pushdown);
        context.register_table(table.name, Arc::new(provider))?;
    }
    for table in Table::ALL {
        let provider = LakeProvider::new(table, snapshot.clone());
        context.register_table(table.as_str(), Arc::new(provider))?;
    }
    let rates = RatesProvider::new(snapshot.clone());
    context.register_table(RatesProvider::NAME, Arc::new(rates))?;
    Ok(context)
}

/// What is known of an answer before its first row.
struct Begun {
    schema: SchemaRef,
    as_of: Option<Timestamp>,
    lake_only: Option<String>,
}

/// An answer that is being made.
pub struct QueryResult {
    begun: Begun,
    batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
    stop: Stop,
}

impl QueryResult {
    /// Schema of all batches.
    pub fn schema(&self) -> SchemaRef {
        self.begun.schema.clone()
    }

    /// The instant that all tables of the answer show, those of now and those of history; null while nothing is committed.
    pub const fn as_of(&self) -> Option<Timestamp> {
        self.begun.as_of
    }

    /// Why the answer was made of the lake alone, and its history ends with the lake's last commit; null when it was not.
    pub fn lake_only(&self) -> Option<&str> {
        self.begun.lake_only.as_deref()
    }

    /// The next batch; null at the end.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        StreamExt::next(self).await
    }

    /// All batches.
    ///
    /// # Errors
    /// The first error of the query.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut all = Vec::new();
        while let Some(batch) = self.next().await {
            all.push(batch?);
        }
        Ok(all)
    }
}

impl Stream for QueryResult {
    type Item = Result<RecordBatch, QueryError>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.batches.poll_recv(cx);
        if next.is_ready() || self.deadline.as_mut().poll(cx).is_pending() {
            return next;
        }
        self.stop.now();
        // What it makes from here on is not taken, and the answer ends.
        self.batches = mpsc::channel(1).1;
        Poll::Ready(Some(Err(too_slow(self.limit))))
    }
}

/// The lake, and no other place: no file of the machine can be named.
#[derive(Debug)]
struct OnlyLake(Arc<dyn ObjectStore>);

impl ObjectStoreRegistry for OnlyLake {
    fn register_store(
        &self,
        _url: &url::Url,
        _store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &url::Url) -> datafusion::error::Result<Arc<dyn ObjectStore>> {
        if STORE.starts_with(url.as_str().trim_end_matches('/')) && url.scheme() == "mast-lake" {
            Ok(self.0.clone())
        } else {
            Err(DataFusionError::Plan(format!(
                "no files can be read from {url}"
            )))
        }
    }
}
