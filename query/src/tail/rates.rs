//! `interface_rates`: what runs through each interface now. It is kept by the dataflow alone, in memory.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;
use mast_schemas::DeviceId;
use mast_schemas::column::Record;
use mast_schemas::tail::{Ask, InterfaceRateRow, What};

use crate::columns::shown_id;
use crate::lake::Shown;
use crate::snapshot::Snapshot;

/// Name in SQL.
pub(super) const NAME: &str = "interface_rates";

/// The table for some tenants.
#[derive(Debug)]
pub(crate) struct RatesProvider {
    shown: Shown,
    snapshot: Arc<Snapshot>,
}

impl RatesProvider {
    /// Name in SQL.
    pub(crate) const NAME: &'static str = NAME;

    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            shown: Shown::new(InterfaceRateRow::schema(), snapshot.clone()),
            snapshot,
        }
    }
}

/// The one device whose rows are wanted.
fn device(conditions: &[Expr]) -> Option<DeviceId> {
    let is = |condition: &Expr| {
        let Expr::BinaryExpr(b) = condition else {
            return None;
        };
        let (column, value) = match (b.left.as_ref(), b.right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _))
            | (Expr::Literal(value, _), Expr::Column(column)) => (column, value),
            _ => return None,
        };
        let named = b.op == Operator::Eq && column.name == "device_id";
        let text = value.try_as_str().flatten()?;
        named.then(|| shown_id(text).map(DeviceId)).flatten()
    };
    conditions.iter().flat_map(split_conjunction).find_map(is)
}

#[async_trait]
impl TableProvider for RatesProvider {
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
        let one = |filter: &&Expr| match device(std::slice::from_ref(*filter)) {
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
        let ask = Ask {
            tenants: self.snapshot.ids(),
            what: What::InterfaceRates(device(filters)),
        };
        let rows = self.snapshot.history.ask(&ask).await?;
        let raw = Arc::new(MemTable::try_new(InterfaceRateRow::schema(), vec![rows])?);
        let plan = LogicalPlanBuilder::scan(NAME, provider_as_source(raw), None)?
            .filter(self.shown.own_rows())?;
        let plan = self.shown.project(plan, projection)?;
        let plan = plan.limit(0, limit)?.build()?;
        state.create_physical_plan(&plan).await
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn a_condition_on_the_device_says_whose_rates_are_asked_for() {
        let text = "00000000-0000-0000-0000-000000000007";
        let of = |condition: Expr| device(&[condition]).map(|id| id.0.to_string());
        assert_eq!(of(col("device_id").eq(lit(text))).as_deref(), Some(text));
        assert_eq!(of(lit(text).eq(col("device_id"))).as_deref(), Some(text));
        let more = col("name")
            .eq(lit("ether1"))
            .and(col("device_id").eq(lit(text)));
        assert_eq!(of(more).as_deref(), Some(text));
        assert_eq!(of(col("device_id").not_eq(lit(text))), None);
        assert_eq!(of(col("name").eq(lit(text))), None);
        assert_eq!(of(col("device_id").eq(lit("x"))), None);
        let either = col("device_id").eq(lit(text)).or(col("name").eq(lit("x")));
        assert_eq!(of(either), None);
    }
}
