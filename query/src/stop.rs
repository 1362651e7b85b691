//! Stops what a query still computes when nobody waits for its answer any more.
//!
//! The trap: a task ends only where it pauses. Scans pause as often as their budget is spent, but joins make very many rows
//! of few: whoever adds up the output of one, or the join itself where its condition lets nothing pass, would hold a thread
//! to the last pair of rows and never come back to a scan. So what joins and unnested lists give out is spent of the same
//! budget, and conditions of joins look at each batch whether the query has ended.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::unnest::UnnestExec;
use tokio::task::AbortHandle;

/// Whether a query has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Stops a query's task when it is dropped.
pub(crate) struct Stop {
    task: AbortHandle,
    ended: Ended,
}

impl Stop {
    pub(crate) const fn new(task: AbortHandle, ended: Ended) -> Self {
        Self { task, ended }
    }

    pub(crate) fn now(&self) {
        self.ended.0.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.now();
    }
}

/// Makes plans pause, or fail, where rows multiply.
#[derive(Debug)]
pub(crate) struct StopWhereRowsMultiply(pub(crate) Ended);

impl PhysicalOptimizerRule for StopWhereRowsMultiply {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let stoppable = plan.transform_up(|node| {
            if node.children().len() < 2 && !node.is::<UnnestExec>() {
                return Ok(Transformed::no(node));
            }
            let node = self.with_condition(node)?;
            Ok(Transformed::yes(
                Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>
            ))
        })?;
        Ok(stoppable.data)
    }

    fn name(&self) -> &'static str {
        "stop where rows multiply"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl StopWhereRowsMultiply {
    fn with_condition(&self, join: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(hash) = join.downcast_ref::<HashJoinExec>()
            && let Some(filter) = hash.filter()
        {
            let filter = Some(self.unless_ended(filter));
            return HashJoinExecBuilder::from(hash)
                .with_filter(filter)
                .build_exec();
        }
        if let Some(nested) = join.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = nested.filter()
        {
            let filter = Some(self.unless_ended(filter));
            let nested = NestedLoopJoinExecBuilder::from(nested).with_filter(filter);
            return Ok(Arc::new(nested.build()?));
        }
        Ok(join)
    }

    fn unless_ended(&self, filter: &JoinFilter) -> JoinFilter {
        let condition = UnlessEnded {
            condition: filter.expression().clone(),
            ended: self.0.clone(),
        };
        JoinFilter::new(
            Arc::new(condition),
            filter.column_indices().to_vec(),
            filter.schema().clone(),
        )
    }
}

/// A condition that fails once the query has ended.
#[derive(Debug)]
struct UnlessEnded {
    condition: Arc<dyn PhysicalExpr>,
    ended: Ended,
}

impl PartialEq for UnlessEnded {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for UnlessEnded {}

impl Hash for UnlessEnded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for UnlessEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for UnlessEnded {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.ended.is() {
            return Err(DataFusionError::Execution("the query has ended".to_owned()));
        }
        self.condition.evaluate(batch)
    }

    fn return_field(&self, input_schema: &Schema) -> Result<FieldRef> {
        self.condition.return_field(input_schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [condition] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a condition is one".to_owned()))?;
        Ok(Arc::new(Self {
            condition,
            ended: self.ended.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}
