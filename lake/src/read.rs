//! Files of a table, a batch at a time: the columns that are asked for, null where an older file has none.

use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::{LakeError, Table};

/// Rows of one read.
const ROWS: usize = 4_096;

/// Reads one file.
pub(crate) struct Rows {
    table: Table,
    schema: SchemaRef,
    path: std::path::PathBuf,
    batches: ParquetRecordBatchReader,
}

/// The named columns of a table, in the order of the table.
pub(crate) fn columns<'n>(table: Table, names: impl IntoIterator<Item = &'n str>) -> SchemaRef {
    let (all, names): (_, Vec<&str>) = (table.schema(), names.into_iter().collect());
    let wanted = all
        .fields()
        .iter()
        .filter(|f| names.contains(&f.name().as_str()));
    // A file of before a column was added has it nowhere.
    let fields = wanted.map(|f| f.as_ref().clone().with_nullable(true));
    Schema::new(fields.collect::<Vec<_>>()).into()
}

impl Rows {
    /// Opens the file at `path` to read the columns of `schema`.
    pub(crate) fn open(table: Table, path: &Path, schema: SchemaRef) -> Result<Self, LakeError> {
        let file = File::open(path).map_err(|source| LakeError::File {
            path: path.to_owned(),
            source,
        })?;
        let failed = |source| LakeError::Parquet {
            path: path.to_owned(),
            source,
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
        let wanted = schema.fields().iter().map(|f| f.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
        let batches = builder.with_projection(mask).with_batch_size(ROWS).build();
        Ok(Self {
            table,
            schema,
            path: path.to_owned(),
            batches: batches.map_err(failed)?,
        })
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.batches.next()?.map_err(|source| LakeError::Parquet {
            path: self.path.clone(),
            source: source.into(),
        });
        let (table, schema) = (self.table, &self.schema);
        Some(read.and_then(|batch| fitted(table, schema, &batch)))
    }
}

/// The batch with the columns of `schema`.
fn fitted(table: Table, schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
    let rows = batch.num_rows();
    let column = |field: &arrow::datatypes::FieldRef| -> ArrayRef {
        let found = batch.column_by_name(field.name()).cloned();
        found.unwrap_or_else(|| new_null_array(field.data_type(), rows))
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|source| LakeError::Arrow { table, source })
}
