//! From the batches that wait for the lake to those that one asker gets: its tenants' rows, the times and columns it wants.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use mast_lake::Table;
use mast_schemas::TenantId;

/// Rows of a batch that leaves: a slot brings many small ones.
const BATCH_ROWS: usize = 8_192;

/// Which rows and columns of a table.
pub(super) struct Choice {
    table: Table,
    tenants: HashSet<[u8; 16]>,
    from_us: i64,
    to_us: i64,
    columns: Vec<usize>,
}

impl Choice {
    /// Columns by name, empty = all; an error names the one that is not there.
    pub(super) fn new(
        table: Table,
        tenants: &[TenantId],
        (from_us, to_us): (i64, i64),
        columns: &[String],
    ) -> Result<Self, String> {
        let schema = table.schema();
        let index = |name: &String| {
            let found = schema.index_of(name);
            found.map_err(|_| format!("{table} has no column {name}"))
        };
        let columns = match columns {
            [] => (0..schema.fields().len()).collect(),
            named => named.iter().map(index).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            table,
            tenants: tenants.iter().map(|tenant| *tenant.as_bytes()).collect(),
            from_us,
            to_us,
            columns,
        })
    }

    /// Schema of what is chosen.
    pub(super) fn schema(&self) -> Result<SchemaRef, ArrowError> {
        self.table.schema().project(&self.columns).map(Arc::new)
    }

    /// What is chosen of these batches.
    pub(super) fn of(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut chosen = BatchCoalescer::new(self.schema()?, BATCH_ROWS);
        for batch in batches {
            let mask = self.mask(batch)?;
            match mask.true_count() {
                0 => {}
                all if all == batch.num_rows() => {
                    chosen.push_batch(batch.project(&self.columns)?)?;
                }
                _ => chosen.push_batch_with_filter(batch.project(&self.columns)?, &mask)?,
            }
        }
        chosen.finish_buffered_batch()?;
        Ok(std::iter::from_fn(|| chosen.next_completed_batch()).collect())
    }

    fn mask(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let schema = batch.schema();
        let tenants = batch.column(schema.index_of("tenant_id")?);
        let times = batch.column(schema.index_of(self.table.time_column())?);
        let tenants = tenants.as_fixed_size_binary().iter();
        let times = times.as_primitive::<TimestampMicrosecondType>().iter();
        let wanted = |(tenant, time): (Option<&[u8]>, Option<i64>)| {
            let own = tenant.is_some_and(|tenant| self.tenants.contains(tenant));
            Some(own && time.is_some_and(|time| (self.from_us..=self.to_us).contains(&time)))
        };
        Ok(tenants.zip(times).map(wanted).collect())
    }
}
