//! Tables of history: the lake's committed files, and the rows that their writer has in none yet.
//!
//! Two layers. The inner one has the files' own schema; over it stands a fixed plan: this tenant's rows, one of each
//! where late rows may repeat, ids and addresses as text. The tenant condition is part of that plan, below anything a
//! query can say. Conditions on ids, addresses and times are handed down as conditions on the stored values, to skip
//! files, row groups and pages; they are checked again above, so handing down is never a matter of correctness.

mod files;
mod manifest;
mod shown;
mod stored;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, col,
};
use datafusion::physical_plan::ExecutionPlan;
use mast_lake::{FileSummary, JobPlace, Table};
use mast_schemas::tail::{Ask, Rows, What};

use self::files::Files;
pub(crate) use self::files::STORE;
use self::manifest::{Devices, Times};
pub(crate) use self::shown::Shown;
use self::stored::stored_condition;
use crate::error::external;
use crate::snapshot::Snapshot;

/// A table of history for some tenants.
#[derive(Debug)]
pub(crate) struct LakeProvider {
    table: Table,
    shown: Shown,
    snapshot: Arc<Snapshot>,
}

impl LakeProvider {
    /// The table as `snapshot` sees it.
    pub(crate) fn new(table: Table, snapshot: Arc<Snapshot>) -> Self {
        Self {
            table,
            shown: Shown::new(table.schema(), snapshot.clone()),
            snapshot,
        }
    }

    /// The files of the snapshot's manifest that can hold rows of these devices and times.
    async fn files(&self, devices: Devices, times: Times) -> Result<Vec<FileSummary>> {
        let Some(first) = self.snapshot.tenants.first() else {
            return Ok(Vec::new());
        };
        let own: Vec<_> = self.snapshot.ids().iter().map(|id| id.0).collect();
        let mut turn = first.transaction.take().await;
        let files = manifest::files(&mut turn, self.table, &own, devices, times)
            .await
            .map_err(external)?;
        turn.end();
        Ok(files)
    }

    /// The rows of these times that are in no file yet, with these columns; none named = all.
    async fn tail(&self, times: Times, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        if !Table::WRITTEN.contains(&self.table) {
            return Ok(Vec::new());
        }
        let (from_us, to_us) = times.bounds();
        let question = |job: &JobPlace| Ask {
            tenants: self.snapshot.ids(),
            what: What::Rows(Rows {
                job: job.job.clone(),
                table: self.table.as_str().to_owned(),
                after: job.lake,
                upto: job.epoch,
                from_us,
                to_us,
                columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            }),
        };
        self.snapshot.history.rows(question).await
    }

    /// The stored columns that a scan needs, if no row repeats another.
    fn needed<'a>(&'a self, names: &[&'a str], conditions: &'a [Expr]) -> Vec<&'a str> {
        let schema = self.shown.stored();
        let of_conditions = conditions.iter().flat_map(Expr::column_refs);
        let needed: BTreeSet<&str> = of_conditions
            .map(|column| column.name.as_str())
            .chain(names.iter().copied())
            .chain(["tenant_id", "late"])
            .filter(|name| schema.field_with_name(name).is_ok())
            .collect();
        needed.into_iter().collect()
    }
}

/// Whether a row came late, so that it may repeat another.
fn any_late(batches: &[RecordBatch]) -> bool {
    let late = |batch: &RecordBatch| {
        let column = batch.column_by_name("late");
        column.is_some_and(|column| column.as_boolean().true_count() > 0)
    };
    batches.iter().any(late)
}

#[async_trait]
impl TableProvider for LakeProvider {
    fn schema(&self) -> SchemaRef {
        self.shown.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let schema = self.table.schema();
        let one = |filter: &&Expr| match stored_condition(&schema, filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(one).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.table.schema();
        let conditions: Vec<Expr> = filters
            .iter()
            .filter_map(|f| stored_condition(&schema, f))
            .collect();
        let times = Times::of(self.table, &conditions);
        let files = self.files(Devices::of(&conditions), times).await?;
        let mut repeated = files.iter().any(|f| f.late_rows > 0);
        let needed = self.needed(&self.shown.names(projection), &conditions);
        let mut tail = self
            .tail(times, if repeated { &[] } else { &needed })
            .await?;
        if !repeated && any_late(&tail) {
            repeated = true;
            // To choose one of the repetitions takes all columns.
            tail = self.tail(times, &[]).await?;
        }
        let raw = Arc::new(Files {
            table: self.table,
            files,
            tail,
        });
        let mut plan =
            LogicalPlanBuilder::scan(self.table.as_str(), provider_as_source(raw), None)?
                .filter(self.shown.own_rows())?;
        if let Some(condition) = conjunction(conditions) {
            plan = plan.filter(condition)?;
        }
        if repeated {
            let all = schema.fields().iter().map(|f| col(f.name())).collect();
            let key: Vec<Expr> = self.table.row_key().iter().map(|name| col(*name)).collect();
            // A DISTINCT ON sorts by its key first; of repetitions the one in time wins, then the first.
            let order = key
                .iter()
                .cloned()
                .chain([col("late"), col("epoch")])
                .map(|e| e.sort(true, false))
                .collect();
            plan = plan.distinct_on(key, all, Some(order))?;
        }
        let plan = self.shown.project(plan, projection)?;
        let plan = plan.limit(0, limit)?.build()?;
        state.create_physical_plan(&plan).await
    }
}
