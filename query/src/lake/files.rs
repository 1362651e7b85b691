//! The committed files of one table as Parquet scans, and after them the rows in none: the files' own schema, nothing scoped.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, project_schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use mast_lake::{FileSummary, Table};

/// Where the query engine finds the lake's files; the only store it knows.
pub(crate) const STORE: &str = "mast-lake://lake/";

/// The files as they are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) table: Table,
    pub(super) files: Vec<FileSummary>,
    /// Rows in no file, with at least the columns that are read.
    pub(super) tail: Vec<RecordBatch>,
}

impl Files {
    /// The rows that are in no file, if there are any.
    fn tail(&self, projection: Option<&Vec<usize>>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.tail.is_empty() {
            return Ok(None);
        }
        let schema = project_schema(&self.schema(), projection)?;
        let pick = |batch: &RecordBatch| {
            let column = |name: &String| {
                batch
                    .schema()
                    .index_of(name)
                    .map(|i| batch.column(i).clone())
            };
            let columns = schema.fields().iter().map(|f| column(f.name()));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = columns.collect::<Result<_, _>>()?;
            RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        };
        let batches: Vec<_> = self.tail.iter().map(pick).collect::<Result<_, _>>()?;
        let exec = MemorySourceConfig::try_new_exec(&[batches], schema, None)?;
        Ok(Some(exec))
    }
}

#[async_trait]
impl TableProvider for Files {
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
        let url = ObjectStoreUrl::parse(STORE)?;
        let environment = state.runtime_env();
        // What a file says of its row groups and pages is kept: no name is ever that of other rows.
        let reader = CachedParquetFileReaderFactory::new(
            environment.object_store(&url)?,
            environment.cache_manager.get_file_metadata_cache(),
        );
        let mut source = ParquetSource::new(self.schema())
            .with_parquet_file_reader_factory(Arc::new(reader))
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
            groups[index % count].push(PartitionedFile::new(file.path.clone(), file.bytes));
        }
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let stored: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
        match self.tail(projection)? {
            Some(tail) if self.files.is_empty() => Ok(tail),
            Some(tail) => UnionExec::try_new(vec![stored, tail]),
            None => Ok(stored),
        }
    }
}

/// The condition without the name of the table.
fn unqualified(expr: &Expr) -> Expr {
    let strip = |e: Expr| match e {
        Expr::Column(c) => Ok(Transformed::yes(Expr::Column(Column::from_name(c.name)))),
        other => Ok(Transformed::no(other)),
    };
    expr.clone()
        .transform(strip)
        .map_or_else(|_| expr.clone(), |t| t.data)
}
