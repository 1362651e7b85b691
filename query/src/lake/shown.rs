//! The tenants' own rows of stored batches, and how their columns are shown.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, col, lit, when};

use super::stored::{Form, form, id_text, mac_text, stored_id};
use crate::columns::TENANT;
use crate::snapshot::{Snapshot, Tenant};

/// Stored rows with a column `tenant_id`, as a snapshot's tenants see them.
#[derive(Debug)]
pub(crate) struct Shown {
    stored: SchemaRef,
    schema: SchemaRef,
    snapshot: Arc<Snapshot>,
}

impl Shown {
    pub(crate) fn new(stored: SchemaRef, snapshot: Arc<Snapshot>) -> Self {
        let tenant = snapshot
            .many
            .then(|| Field::new(TENANT, DataType::Utf8, true));
        // What a plan computes may be null to the planner; a schema that promises more is refused by it.
        let shown = stored.fields().iter().map(|f| match form(f) {
            Form::Same => f.as_ref().clone().with_nullable(true),
            Form::Id | Form::Mac => Field::new(f.name(), DataType::Utf8, true),
        });
        let schema = Arc::new(Schema::new(
            tenant.into_iter().chain(shown).collect::<Vec<_>>(),
        ));
        Self {
            stored,
            schema,
            snapshot,
        }
    }

    /// Schema as stored.
    pub(super) fn stored(&self) -> &SchemaRef {
        &self.stored
    }

    /// Schema as shown.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.snapshot.tenants.iter().map(|part| &part.tenant)
    }

    /// The condition that makes the table the tenants' own.
    pub(crate) fn own_rows(&self) -> Expr {
        col("tenant_id").in_list(
            self.tenants().map(|t| lit(stored_id(t.id.0))).collect(),
            false,
        )
    }

    /// Names of the shown columns at these places, all without.
    pub(super) fn names(&self, projection: Option<&Vec<usize>>) -> Vec<&str> {
        let fields = self.schema.fields();
        match projection {
            Some(indices) => indices.iter().map(|i| fields[*i].name().as_str()).collect(),
            None => fields.iter().map(|f| f.name().as_str()).collect(),
        }
    }

    /// The plan with columns as they are shown.
    pub(crate) fn project(
        &self,
        plan: LogicalPlanBuilder,
        projection: Option<&Vec<usize>>,
    ) -> Result<LogicalPlanBuilder> {
        let shown = self.names(projection).into_iter().map(|n| self.column(n));
        plan.project(shown.collect::<Result<Vec<_>>>()?)
    }

    /// A stored column as it is shown.
    fn column(&self, name: &str) -> Result<Expr> {
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
        Ok(match form(self.stored.field_with_name(name)?) {
            Form::Same => col(name),
            Form::Id => id_text().call(vec![col(name)]).alias(name),
            Form::Mac => mac_text().call(vec![col(name)]).alias(name),
        })
    }
}
