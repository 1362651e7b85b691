//! The committed files of one table as Parquet scans: the files' own schema, nothing scoped.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use mast_lake::{FileSummary, Table};

/// Where the query engine finds the lake's files; the only store it knows.
pub(crate) const STORE: &str = "mast-lake://lake/";

/// The files as they are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) table: Table,
    pub(super) files: Vec<FileSummary>,
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
        Ok(DataSourceExec::from_data_source(config))
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
