//! Tables of history over the lake's committed files.
//!
//! Two layers. The inner one has the files' own schema; over it stands a fixed plan: this tenant's rows, one of each
//! where late rows may repeat, ids and addresses as text. The tenant condition is part of that plan, below anything a
//! query can say. Conditions on ids, addresses and times are handed down as conditions on the stored values, to skip
//! files, row groups and pages; they are checked again above, so handing down is never a matter of correctness.

use std::sync::Arc;

use arrow::array::{AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::provider_as_source;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlanBuilder, Operator, ScalarUDF,
    TableProviderFilterPushDown, TableType, Volatility, col, create_udf, lit, when,
};
use datafusion::physical_plan::ExecutionPlan;
use mast_lake::{LakeFile, Table};
use mast_schemas::Mac;
use uuid::Uuid;

use crate::columns::{TENANT, shown_id, shown_mac};
use crate::snapshot::Tenant;

/// Where the query engine finds the lake's files; the only store it knows.
pub(crate) const STORE: &str = "mast-lake://lake/";

/// A table of history for some tenants.
#[derive(Debug)]
pub(crate) struct LakeProvider {
    table: Table,
    schema: SchemaRef,
    /// Files that the snapshot's manifest names.
    files: Vec<LakeFile>,
    tenants: Vec<Tenant>,
    many: bool,
}

impl LakeProvider {
    /// The table over these files.
    pub(crate) fn new(
        table: Table,
        files: Vec<LakeFile>,
        tenants: Vec<Tenant>,
        many: bool,
    ) -> Self {
        let tenant = many.then(|| Field::new(TENANT, DataType::Utf8, true));
        let stored = table.schema();
        let shown = stored.fields().iter().map(|f| match form(f) {
            Form::Same => f.as_ref().clone(),
            Form::Id | Form::Mac => Field::new(f.name(), DataType::Utf8, f.is_nullable()),
        });
        let schema = Arc::new(Schema::new(
            tenant.into_iter().chain(shown).collect::<Vec<_>>(),
        ));
        Self {
            table,
            schema,
            files,
            tenants,
            many,
        }
    }

    /// The condition that makes the table the tenants' own.
    fn own_rows(&self) -> Expr {
        col("tenant_id").in_list(
            self.tenants
                .iter()
                .map(|t| lit(stored_id(t.id.0)))
                .collect(),
            false,
        )
    }

    /// A stored column as it is shown.
    fn shown(&self, name: &str) -> Result<Expr> {
        if self.many && name == TENANT {
            let mut names = self.tenants.iter();
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
        let files = prune(self.table, &self.files, &self.tenants, &conditions);
        let repeated = files.iter().any(|f| f.summary.late_rows > 0);
        let raw = Arc::new(RawProvider {
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

/// The files as they are.
#[derive(Debug)]
struct RawProvider {
    table: Table,
    files: Vec<LakeFile>,
}

#[async_trait]
impl TableProvider for RawProvider {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut source = ParquetSource::new(self.schema())
            .with_pushdown_filters(true)
            .with_enable_page_index(true);
        if let Some(condition) = conjunction(filters.iter().map(unqualified)) {
            let schema = DFSchema::try_from(self.schema())?;
            source = source.with_predicate(state.create_physical_expr(condition, &schema)?);
        }
        let wanted = state.config().target_partitions().max(1);
        let mut groups = vec![Vec::new(); wanted.min(self.files.len()).max(1)];
        let count = groups.len();
        for (index, file) in self.files.iter().enumerate() {
            groups[index % count].push(PartitionedFile::new(
                file.summary.path.clone(),
                file.summary.bytes,
            ));
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE)?, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// How a stored column is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Same,
    Id,
    Mac,
}

fn form(field: &Field) -> Form {
    match field.data_type() {
        DataType::FixedSizeBinary(16) => Form::Id,
        DataType::UInt64 if matches!(field.name().as_str(), "mac" | "radio_mac") => Form::Mac,
        _ => Form::Same,
    }
}

fn stored_id(id: Uuid) -> ScalarValue {
    ScalarValue::FixedSizeBinary(16, Some(id.as_bytes().to_vec()))
}

fn id_text() -> ScalarUDF {
    create_udf(
        "id_text",
        vec![DataType::FixedSizeBinary(16)],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args)?;
            let ids = arrays[0].as_fixed_size_binary();
            let shown = |b: &[u8]| Uuid::from_slice(b).map(|id| id.to_string()).ok();
            let text: StringArray = ids.iter().map(|id| id.and_then(shown)).collect();
            Ok(ColumnarValue::Array(Arc::new(text)))
        }),
    )
}

fn mac_text() -> ScalarUDF {
    create_udf(
        "mac_text",
        vec![DataType::UInt64],
        DataType::Utf8,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| {
            let arrays = ColumnarValue::values_to_arrays(args)?;
            let macs = arrays[0].as_primitive::<UInt64Type>();
            let text: StringArray = macs
                .iter()
                .map(|mac| mac.map(|mac| Mac(mac).to_string()))
                .collect();
            Ok(ColumnarValue::Array(Arc::new(text)))
        }),
    )
}

/// The condition without the name of the table.
fn unqualified(expr: &Expr) -> Expr {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let strip = |e: Expr| match e {
        Expr::Column(c) => Ok(Transformed::yes(Expr::Column(Column::from_name(c.name)))),
        other => Ok(Transformed::no(other)),
    };
    expr.clone()
        .transform(strip)
        .map_or_else(|_| expr.clone(), |t| t.data)
}

/// A condition on shown columns as one on stored columns; null for what can't be said of them. `epoch` and `late` differ
/// between repetitions of a row, so conditions on them must stay above the choice of one.
fn stored_condition(schema: &Schema, expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::BinaryExpr(b) if matches!(b.op, Operator::And | Operator::Or) => {
            let (left, right) = (
                stored_condition(schema, &b.left)?,
                stored_condition(schema, &b.right)?,
            );
            Some(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(left),
                b.op,
                Box::new(right),
            )))
        }
        Expr::BinaryExpr(b) => {
            let (column, op, value) = match (b.left.as_ref(), b.right.as_ref()) {
                (Expr::Column(c), value) => (c, b.op, value),
                (value, Expr::Column(c)) => (c, b.op.swap()?, value),
                _ => return None,
            };
            let comparison = matches!(
                op,
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
            );
            let (column, value) = comparison.then(|| stored_pair(schema, column, value))??;
            Some(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(column),
                op,
                Box::new(value),
            )))
        }
        Expr::InList(list) => {
            let Expr::Column(column) = list.expr.as_ref() else {
                return None;
            };
            let pairs = list
                .list
                .iter()
                .map(|v| stored_pair(schema, column, v))
                .collect::<Option<Vec<_>>>()?;
            let stored = pairs.first()?.0.clone();
            Some(stored.in_list(pairs.into_iter().map(|(_, v)| v).collect(), list.negated))
        }
        Expr::IsNull(inner) => Some(stored_column(schema, inner)?.is_null()),
        Expr::IsNotNull(inner) => Some(stored_column(schema, inner)?.is_not_null()),
        _ => None,
    }
}

fn stored_column(schema: &Schema, expr: &Expr) -> Option<Expr> {
    let Expr::Column(column) = expr else {
        return None;
    };
    let known = schema.field_with_name(&column.name).is_ok()
        && !matches!(column.name.as_str(), "epoch" | "late");
    known.then(|| Expr::Column(Column::from_name(&column.name)))
}

fn stored_pair(schema: &Schema, column: &Column, value: &Expr) -> Option<(Expr, Expr)> {
    let stored = stored_column(schema, &Expr::Column(column.clone()))?;
    let Expr::Literal(value, _) = value else {
        return None;
    };
    let field = schema.field_with_name(&column.name).ok()?;
    let value = match form(field) {
        Form::Id => stored_id(shown_id(value.try_as_str()??)?),
        Form::Mac => ScalarValue::UInt64(Some(shown_mac(value.try_as_str()??)?.0)),
        Form::Same if !value.is_null() && value.data_type() == *field.data_type() => value.clone(),
        Form::Same => return None,
    };
    Some((stored, lit(value)))
}

/// The files that can hold rows of these tenants under these conditions, which all must hold.
fn prune(
    table: Table,
    files: &[LakeFile],
    tenants: &[Tenant],
    conditions: &[Expr],
) -> Vec<LakeFile> {
    let (mut from_us, mut to_us) = (i64::MIN, i64::MAX);
    for condition in conditions
        .iter()
        .flat_map(datafusion::logical_expr::utils::split_conjunction)
    {
        let Expr::BinaryExpr(b) = condition else {
            continue;
        };
        let (Expr::Column(c), Expr::Literal(ScalarValue::TimestampMicrosecond(Some(us), _), _)) =
            (b.left.as_ref(), b.right.as_ref())
        else {
            continue;
        };
        if c.name != table.time_column() {
            continue;
        }
        if matches!(b.op, Operator::Gt | Operator::GtEq | Operator::Eq) {
            from_us = from_us.max(*us);
        }
        if matches!(b.op, Operator::Lt | Operator::LtEq | Operator::Eq) {
            to_us = to_us.min(*us);
        }
    }
    let wanted = |file: &&LakeFile| {
        let s = &file.summary;
        let own = tenants
            .iter()
            .any(|t| (s.tenant_min..=s.tenant_max).contains(&t.id.0));
        file.table == table && own && s.time_max_us >= from_us && s.time_min_us <= to_us
    };
    files.iter().filter(wanted).cloned().collect()
}

#[cfg(test)]
mod tests {
    use mast_lake::FileSummary;
    use mast_schemas::{Epoch, TenantId};

    use super::*;

    fn file(tenant: u128, times: (i64, i64)) -> LakeFile {
        let summary = FileSummary {
            path: format!("{tenant}-{}", times.0),
            rows: 1,
            bytes: 1,
            late_rows: 0,
            tenant_min: Uuid::from_u128(tenant),
            tenant_max: Uuid::from_u128(tenant),
            time_min_us: times.0,
            time_max_us: times.1,
        };
        LakeFile {
            table: Table::Polls,
            epoch_from: Epoch(0),
            epoch_to: Epoch(1),
            summary,
        }
    }

    #[test]
    fn files_of_other_tenants_and_times_are_left_out() {
        let files = [
            file(1, (0, 9)),
            file(1, (10, 19)),
            file(1, (20, 29)),
            file(2, (10, 19)),
        ];
        let tenants = [Tenant {
            id: TenantId(Uuid::from_u128(1)),
            name: String::new(),
        }];
        let time = |us| {
            lit(ScalarValue::TimestampMicrosecond(
                Some(us),
                Some("UTC".into()),
            ))
        };
        let within = [col("observed_at")
            .gt_eq(time(10))
            .and(col("observed_at").lt(time(20)))];
        let names = |conditions: &[Expr]| -> Vec<String> {
            prune(Table::Polls, &files, &tenants, conditions)
                .into_iter()
                .map(|f| f.summary.path)
                .collect()
        };
        assert_eq!(names(&[]), ["1-0", "1-10", "1-20"]);
        assert_eq!(
            names(&within),
            ["1-10", "1-20"],
            "bounds are taken as inclusive"
        );
        assert_eq!(names(&[col("observed_at").eq(time(5))]), ["1-0"]);
    }

    #[test]
    fn conditions_on_shown_ids_and_addresses_become_stored_ones() {
        let schema = Table::RegistrationSamples.schema();
        let to = |e: Expr| stored_condition(&schema, &e).map(|e| e.to_string());
        assert!(
            to(col("mac").eq(lit("AA:BB:CC:DD:EE:FF")))
                .unwrap()
                .contains("UInt64(187723572702975)")
        );
        assert_eq!(
            to(col("mac").eq(lit("aa:bb:cc:dd:ee:ff"))),
            None,
            "no address is shown in small letters"
        );
        assert!(to(col("device_id").eq(lit("00000000-0000-0000-0000-000000000001"))).is_some());
        assert_eq!(
            to(col("late").eq(lit(false))),
            None,
            "repetitions differ in it"
        );
        assert_eq!(
            to(col("ssid").eq(lit("x")).or(col("late").eq(lit(false)))),
            None
        );
        assert!(to(col("ssid").is_null()).is_some());
    }
}
