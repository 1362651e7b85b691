//! Rows to Parquet: sorted, with the encoding that is smallest for the kind of column.
//!
//! Sorting by device, row key and time makes neighbours alike: counters and times become small differences
//! (DELTA_BINARY_PACKED), words and slowly changing numbers become runs (dictionary).

use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{concat, interleave_record_batch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{LakeError, Table};

/// Rows per row group: small enough that a device's rows touch little else.
const ROW_GROUP_ROWS: usize = 1 << 18;
/// Rows that are brought into order at a time.
const CHUNK_ROWS: usize = 1 << 16;

/// What a reader can know of a file without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSummary {
    /// Name relative to the lake's root.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// How many of the rows came late.
    pub late_rows: u64,
    /// Lowest tenant.
    pub tenant_min: Uuid,
    /// Highest tenant.
    pub tenant_max: Uuid,
    /// Earliest time of a row, microseconds since 1970.
    pub time_min_us: i64,
    /// Latest time of a row, microseconds since 1970.
    pub time_max_us: i64,
}

/// Columns that are few different words or numbers although their type is a wide integer.
const DICTIONARY: &[&str] = &[
    "mac",
    "radio_mac",
    "tx_rate_bps",
    "rx_rate_bps",
    "link_rate_bps",
    "lease_epoch",
    "interval_ms",
    "tables",
    "frequency_mhz",
    "memory_total_bytes",
    "disk_total_bytes",
];

/// How files of a table are written.
fn properties(table: Table) -> WriterProperties {
    let schema = table.schema();
    let level = ZstdLevel::try_new(6).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("mast".to_owned());
    for field in schema.fields() {
        let integer =
            field.data_type().is_integer() || matches!(field.data_type(), DataType::Timestamp(..));
        let narrow = matches!(
            field.data_type(),
            DataType::Int16 | DataType::UInt8 | DataType::UInt16
        );
        if integer && !narrow && !DICTIONARY.contains(&field.name().as_str()) {
            let path = ColumnPath::from(field.name().as_str());
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
    }
    let sorting = table
        .sort_columns()
        .iter()
        .filter_map(|c| schema.index_of(c).ok())
        .map(|index| SortingColumn {
            column_idx: i32::try_from(index).unwrap_or(0),
            descending: false,
            nulls_first: true,
        });
    builder.set_sorting_columns(Some(sorting.collect())).build()
}

/// Order of all rows of `batches`: (batch, row), by the table's sort columns; ties as they came.
pub fn sort_order(table: Table, batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>, LakeError> {
    let failed = |source| LakeError::Arrow { table, source };
    let keys = table
        .sort_columns()
        .iter()
        .map(|name| column(table, batches, name))
        .collect::<Result<Vec<_>, _>>()?;
    let fields = keys
        .iter()
        .map(|k| SortField::new(k.data_type().clone()))
        .collect();
    let rows = RowConverter::new(fields)
        .and_then(|c| c.convert_columns(&keys))
        .map_err(failed)?;
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(rows.num_rows());
    for (index, batch) in batches.iter().enumerate() {
        places.extend((0..batch.num_rows()).map(|row| (index, row)));
    }
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by(|a, b| rows.row(*a).cmp(&rows.row(*b)));
    Ok(order.into_iter().map(|i| places[i]).collect())
}

/// One column of all batches.
fn column(table: Table, batches: &[RecordBatch], name: &str) -> Result<ArrayRef, LakeError> {
    let index = table
        .schema()
        .index_of(name)
        .map_err(|source| LakeError::Arrow { table, source })?;
    let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(index).as_ref()).collect();
    concat(&parts).map_err(|source| LakeError::Arrow { table, source })
}

/// Writes the rows at `order` as one file, and tells what is in it. `path` names the file in errors and in the summary.
pub fn write_sorted<W: Write + Send>(
    table: Table,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
    path: &str,
    mut sink: W,
) -> Result<(W, FileSummary), LakeError> {
    let failed = |source| LakeError::Parquet {
        path: PathBuf::from(path),
        source,
    };
    let mut summary = Bounds::default();
    let mut writer =
        ArrowWriter::try_new(&mut sink, table.schema(), Some(properties(table))).map_err(failed)?;
    let refs: Vec<&RecordBatch> = batches.iter().collect();
    for chunk in order.chunks(CHUNK_ROWS) {
        let rows = interleave_record_batch(&refs, chunk)
            .map_err(|source| LakeError::Arrow { table, source })?;
        summary.add(table, &rows);
        writer.write(&rows).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    let bytes = writer.bytes_written() as u64;
    drop(writer);
    Ok((sink, summary.into_summary(path, order.len() as u64, bytes)))
}

/// Writes and syncs one file under `root`.
pub(crate) fn write_file(
    root: &Path,
    table: Table,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
    relative: &str,
) -> Result<FileSummary, LakeError> {
    crate::files::write_durably(&crate::path_of(root, relative), |file| {
        write_sorted(table, batches, order, relative, file)
    })
}

/// Bounds over the rows seen so far.
struct Bounds {
    late_rows: u64,
    tenant: (Uuid, Uuid),
    time_us: (i64, i64),
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            late_rows: 0,
            tenant: (Uuid::max(), Uuid::nil()),
            time_us: (i64::MAX, i64::MIN),
        }
    }
}

impl Bounds {
    fn add(&mut self, table: Table, rows: &RecordBatch) {
        if let Some(late) = rows.column_by_name("late") {
            self.late_rows += late.as_boolean().true_count() as u64;
        }
        if let Some(tenants) = rows
            .column_by_name("tenant_id")
            .and_then(|c| c.as_fixed_size_binary_opt())
        {
            for tenant in tenants
                .iter()
                .flatten()
                .filter_map(|b| Uuid::from_slice(b).ok())
            {
                self.tenant = (self.tenant.0.min(tenant), self.tenant.1.max(tenant));
            }
        }
        if let Some(times) = rows.column_by_name(table.time_column()) {
            for time in times.as_primitive::<TimestampMicrosecondType>().values() {
                self.time_us = (self.time_us.0.min(*time), self.time_us.1.max(*time));
            }
        }
    }

    fn into_summary(self, path: &str, rows: u64, bytes: u64) -> FileSummary {
        FileSummary {
            path: path.to_owned(),
            rows,
            bytes,
            late_rows: self.late_rows,
            tenant_min: self.tenant.0,
            tenant_max: self.tenant.1,
            time_min_us: self.time_us.0,
            time_max_us: self.time_us.1,
        }
    }
}
