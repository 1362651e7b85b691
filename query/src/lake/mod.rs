//! Tables of history over the lake's committed files.
//!
//! Two layers. The inner one has the files' own schema; over it stands a fixed plan: this tenant's rows, one of each
//! where late rows may repeat, ids and addresses as text. The tenant condition is part of that plan, below anything a
//! query can say. Conditions on ids, addresses and times are handed down as conditions on the stored values, to skip
//! files, row groups and pages; they are checked again above, so handing down is never a matter of correctness.

mod files;
mod manifest;
mod stored;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, col, lit, when,
};
use datafusion::physical_plan::ExecutionPlan;
use mast_lake::{FileSummary, Table};

use self::files::Files;
pub(crate) use self::files::STORE;
use self::manifest::{Devices, Times};
use self::stored::{Form, form, id_text, mac_text, stored_condition, stored_id};
use crate::columns::TENANT;
use crate::error::external;
use crate::snapshot::{Snapshot, Tenant};

/// A table of history for some tenants.
#[derive(Debug)]
pub(crate) struct LakeProvider {
    table: Table,
    schema: SchemaRef,
    snapshot: Arc<Snapshot>,
}

impl LakeProvider {
    /// The table as `snapshot` sees it.
    pub(crate) fn new(table: Table, snapshot: Arc<Snapshot>) -> Self {
        let tenant = snapshot
            .many
            .then(|| Field::new(TENANT, DataType::Utf8, true));
        let stored = table.schema();
        // What a plan computes may be null to the planner; a schema that promises more is refused by it.
        let shown = stored.fields().iter().map(|f| match form(f) {
            Form::Same => f.as_ref().clone().with_nullable(true),
            Form::Id | Form::Mac => Field::new(f.name(), DataType::Utf8, true),
        });
        let schema = Arc::new(Schema::new(
            tenant.into_iter().chain(shown).collect::<Vec<_>>(),
        ));
        Self {
            table,
            schema,
            snapshot,
        }
    }

    fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.snapshot.tenants.iter().map(|part| &part.tenant)
    }

    /// The files of the snapshot's manifest that can hold rows under these conditions.
    async fn files(&self, conditions: &[Expr]) -> Result<Vec<FileSummary>> {
        let Some(first) = self.snapshot.tenants.first() else {
            return Ok(Vec::new());
        };
        let own: Vec<_> = self.tenants().map(|t| t.id.0).collect();
        let (devices, times) = (Devices::of(conditions), Times::of(self.table, conditions));
        let mut turn = first.transaction.take().await;
        let files = manifest::files(&mut turn, self.table, &own, devices, times)
            .await
            .map_err(external)?;
        turn.end();
        Ok(files)
    }

    /// The condition that makes the table the tenants' own.
    fn own_rows(&self) -> Expr {
        col("tenant_id").in_list(
            self.tenants().map(|t| lit(stored_id(t.id.0))).collect(),
            false,
        )
    }

    /// A stored column as it is shown.
    fn shown(&self, name: &str) -> Result<Expr> {
        if self.snapshot.many && name == TENANT {
            let mut names = self.tenants();
            let Some(first) = names.next() else {
                return Ok(lit(ScalarValue::Utf8(None)));
            };
            let is = |t: &Tenant| col("tenant_id").eq(lit(stored_id(t.id.0)));
            let mut case = when(is(first), lit(first.name.clone()));
            for tenant in names {
                case = case.when(is(tenant), lit(tenant.name.clone()));
            }
            return Ok(case.end()?.alias(TENANT));
        }
        let schema = self.table.schema();
        Ok(match form(schema.field_with_name(name)?) {
            Form::Same => col(name),
            Form::Id => id_text().call(vec![col(name)]).alias(name),
            Form::Mac => mac_text().call(vec![col(name)]).alias(name),
        })
    }
}

#[async_trait]
impl TableProvider for LakeProvider {
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
        let files = self.files(&conditions).await?;
        let repeated = files.iter().any(|f| f.late_rows > 0);
        let raw = Arc::new(Files {
            table: self.table,
            files,
        });
        let mut plan =
            LogicalPlanBuilder::scan(self.table.as_str(), provider_as_source(raw), None)?
                .filter(self.own_rows())?;
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
        let names: Vec<&String> = match projection {
            Some(indices) => indices
                .iter()
                .map(|i| self.schema.field(*i).name())
                .collect(),
            None => self.schema.fields().iter().map(|f| f.name()).collect(),
        };
        let shown = names
            .into_iter()
            .map(|name| self.shown(name))
            .collect::<Result<Vec<_>>>()?;
        let plan = plan.project(shown)?.limit(0, limit)?.build()?;
        state.create_physical_plan(&plan).await
    }
}
