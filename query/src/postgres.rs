//! Tables over Postgres: projection, conditions and limit go into one SELECT, read through a cursor.
//!
//! All scans of a query share a transaction, hence a connection. A cursor each lets them take turns batch by batch; a
//! scan that held the connection to its end would block a join that reads its two sides in step.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use mast_schemas::TenantId;
use sqlx::postgres::PgArguments;
use sqlx::{AssertSqlSafe, Postgres};

use crate::cancel::Turns;
use crate::columns::{self, Kind, TENANT};
use crate::error::external;
use crate::filter::{Bind, Filters};
use crate::snapshot::{Snapshot, TenantSnapshot};
use crate::tables::NowTable;

/// Rows per round trip.
const FETCH_ROWS: usize = 8192;

/// A table of now, for the tenants of a snapshot.
#[derive(Debug)]
pub(crate) struct NowProvider {
    table: &'static NowTable,
    schema: SchemaRef,
    snapshot: Arc<Snapshot>,
    pushdown: bool,
}

impl NowProvider {
    /// The table over `snapshot`. Without `pushdown` conditions and limits are left to DataFusion.
    pub(crate) fn new(table: &'static NowTable, snapshot: Arc<Snapshot>, pushdown: bool) -> Self {
        let schema = columns::schema(table.columns, snapshot.many);
        Self {
            table,
            schema,
            snapshot,
            pushdown,
        }
    }
}

#[async_trait]
impl TableProvider for NowProvider {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let one = |filter: &&Expr| match self.pushdown && Filters::knows(self.table.columns, filter)
        {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(one).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(indices) => Arc::new(self.schema.project(indices)?),
            None => self.schema.clone(),
        };
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let limit = limit.filter(|_| self.pushdown);
        let partitions = self.snapshot.tenants.iter().map(|part| {
            let statement = Statement::new(self.table, part.tenant.id, &names, filters, limit)?;
            Ok(Arc::new(Scan {
                statement,
                schema: schema.clone(),
                part: part.clone(),
            }) as Arc<dyn PartitionStream>)
        });
        let partitions = partitions.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StreamingTableExec::try_new(
            schema,
            partitions,
            None,
            [],
            false,
            limit,
        )?))
    }
}

/// A SELECT with its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) binds: Vec<Bind>,
    /// Kinds of its columns; null for the tenant's name, which is not read.
    pub(crate) kinds: Vec<Option<Kind>>,
}

impl Statement {
    /// Reads the named columns of a table under all of the conditions.
    pub(crate) fn new(
        table: &NowTable,
        tenant: TenantId,
        names: &[&str],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Self> {
        let mut kinds = Vec::with_capacity(names.len());
        let mut select = Vec::with_capacity(names.len());
        for name in names {
            let column = table.columns.iter().find(|(known, _)| known == name);
            let kind = column.map(|(_, kind)| *kind);
            if kind.is_none() && *name != TENANT {
                return Err(DataFusionError::Internal(format!(
                    "{} has no column {name}",
                    table.name
                )));
            }
            select.extend(kind.map(|kind| match kind {
                Kind::Time => format!("micros(t.{name})"),
                _ => format!("t.{name}"),
            }));
            kinds.push(kind);
        }
        if select.is_empty() {
            select.push("1".to_owned());
        }
        let mut writer = Filters::new(table.columns, vec![Bind::Id(tenant.0)]);
        let mut sql = format!("SELECT {} FROM ({}) AS t", select.join(", "), table.query);
        for (index, filter) in filters.iter().enumerate() {
            let condition = writer.condition(filter).ok_or_else(|| {
                DataFusionError::Internal(format!(
                    "a condition was pushed down that has no SQL: {filter}"
                ))
            })?;
            sql.push_str(if index == 0 { " WHERE " } else { " AND " });
            sql.push_str(&condition);
        }
        if let Some(limit) = limit {
            writer
                .binds
                .push(Bind::I64(i64::try_from(limit).unwrap_or(i64::MAX)));
            sql.push_str(&format!(" LIMIT ${}", writer.binds.len()));
        }
        Ok(Self {
            sql,
            binds: writer.binds,
            kinds,
        })
    }
}

/// One tenant's part of a scan.
struct Scan {
    statement: Statement,
    schema: SchemaRef,
    part: TenantSnapshot,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.statement.sql, self.statement.binds)
    }
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = Reader {
            statement: self.statement.clone(),
            schema: self.schema.clone(),
            tenant: self.part.tenant.name.clone(),
            transaction: self.part.transaction.clone(),
            cursor: None,
            done: false,
        };
        let batches = futures::stream::try_unfold(reader, |mut reader| async move {
            let batch = reader.next().await?;
            Ok(batch.map(|batch| (batch, reader)))
        });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}

/// Reads a statement batch by batch.
struct Reader {
    statement: Statement,
    schema: SchemaRef,
    tenant: String,
    transaction: Arc<Turns>,
    cursor: Option<String>,
    done: bool,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        static CURSORS: AtomicU64 = AtomicU64::new(0);
        if self.done {
            return Ok(None);
        }
        let mut transaction = self.transaction.take().await;
        let cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let cursor = format!("scan_{}", CURSORS.fetch_add(1, Ordering::Relaxed));
                let sql = format!(
                    "DECLARE {cursor} NO SCROLL CURSOR FOR {}",
                    self.statement.sql
                );
                let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
                let query = self.statement.binds.iter().fold(query, bind);
                query.execute(&mut *transaction).await.map_err(external)?;
                cursor
            }
        };
        let fetch = AssertSqlSafe(format!("FETCH FORWARD {FETCH_ROWS} FROM {cursor}"));
        let rows = sqlx::query(fetch)
            .persistent(false)
            .fetch_all(&mut *transaction)
            .await
            .map_err(external)?;
        self.done = rows.len() < FETCH_ROWS;
        if self.done {
            let close = AssertSqlSafe(format!("CLOSE {cursor}"));
            sqlx::query(close)
                .persistent(false)
                .execute(&mut *transaction)
                .await
                .map_err(external)?;
        }
        transaction.end();
        self.cursor = Some(cursor);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        let mut index = 0;
        for kind in &self.statement.kinds {
            columns.push(match kind {
                Some(kind) => {
                    index += 1;
                    kind.read(&rows, index - 1).map_err(external)?
                }
                None => Arc::new(StringArray::from(vec![self.tenant.as_str(); rows.len()])),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(Some(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?))
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

fn bind<'q>(query: Query<'q>, value: &Bind) -> Query<'q> {
    match value {
        Bind::Text(v) => query.bind(v.clone()),
        Bind::Id(v) => query.bind(*v),
        Bind::I16(v) => query.bind(*v),
        Bind::I32(v) => query.bind(*v),
        Bind::I64(v) => query.bind(*v),
        Bind::F64(v) => query.bind(*v),
        Bind::Bool(v) => query.bind(*v),
    }
}

#[cfg(test)]
mod tests;
