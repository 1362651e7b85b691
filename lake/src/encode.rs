//! Rows to Parquet: sorted, with the encoding that is smallest for the kind of column.
//!
//! Sorting by device, row key and time makes neighbours alike: counters and times become small differences
//! (DELTA_BINARY_PACKED), words and slowly changing numbers become runs (dictionary).

use std::collections::BTreeSet;
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
    /// Device of the first row, by the order in which they are stored; null = not known (an older file, or a table that is
    /// not in the order of devices).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_first: Option<Uuid>,
    /// Device of the last row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_last: Option<Uuid>,
    /// Earliest time of a row, microseconds since 1970.
    pub time_min_us: i64,
    /// Latest time of a row, microseconds since 1970.
    pub time_max_us: i64,
    /// Whose rows are in it, in order; empty = not known (an older file, or more than 256 tenants).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<Uuid>,
}

/// Tenants that are listed for a file.
const LISTED_TENANTS: usize = 256;

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

/// Writes a file row by row as they come, which must be in order, and tells what is in it.
pub(crate) struct FileWriter<W: Write + Send> {
    table: Table,
    path: String,
    writer: ArrowWriter<W>,
    bounds: Bounds,
    rows: u64,
}

impl<W: Write + Send> FileWriter<W> {
    /// Begins a file; `path` names it in errors and in the summary.
    pub(crate) fn new(table: Table, path: &str, sink: W) -> Result<Self, LakeError> {
        let writer = ArrowWriter::try_new(sink, table.schema(), Some(properties(table)));
        Ok(Self {
            table,
            path: path.to_owned(),
            writer: writer.map_err(failed(path))?,
            bounds: Bounds::default(),
            rows: 0,
        })
    }

    /// Adds rows that have [`Table::schema`].
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        self.bounds.add(self.table, rows);
        self.rows += rows.num_rows() as u64;
        self.writer.write(rows).map_err(failed(&self.path))
    }

    /// About how many bytes the file has by now.
    pub(crate) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Ends the file.
    pub(crate) fn finish(mut self) -> Result<FileSummary, LakeError> {
        self.writer.finish().map_err(failed(&self.path))?;
        let bytes = self.writer.bytes_written() as u64;
        Ok(self.bounds.into_summary(&self.path, self.rows, bytes))
    }
}

fn failed(path: &str) -> impl FnOnce(parquet::errors::ParquetError) -> LakeError + use<> {
    let path = PathBuf::from(path);
    move |source| LakeError::Parquet { path, source }
}

/// Writes the rows at `order` as one file, and tells what is in it. `path` names the file in errors and in the summary.
pub fn write_sorted<W: Write + Send>(
    table: Table,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
    path: &str,
    mut sink: W,
) -> Result<(W, FileSummary), LakeError> {
    let mut file = FileWriter::new(table, path, &mut sink)?;
    let refs: Vec<&RecordBatch> = batches.iter().collect();
    for chunk in order.chunks(CHUNK_ROWS) {
        let rows = interleave_record_batch(&refs, chunk)
            .map_err(|source| LakeError::Arrow { table, source })?;
        file.write(&rows)?;
    }
    let summary = file.finish()?;
    Ok((sink, summary))
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

/// The first and the last id of a column; null where there is none.
fn ends(rows: &RecordBatch, name: &str) -> Option<(Uuid, Uuid)> {
    let ids = rows.column_by_name(name)?.as_fixed_size_binary_opt()?;
    if ids.is_empty() {
        return None;
    }
    let id = |row: usize| Uuid::from_slice(ids.value(row)).ok();
    Some((id(0)?, id(ids.len() - 1)?))
}

/// Bounds over the rows seen so far, which come in the order in which they are stored.
struct Bounds {
    late_rows: u64,
    tenants: BTreeSet<Uuid>,
    devices: Option<(Uuid, Uuid)>,
    time_us: (i64, i64),
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            late_rows: 0,
            tenants: BTreeSet::new(),
            devices: None,
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
            // Rows are sorted by tenant: mostly it is the one before.
            let mut before = None;
            for tenant in tenants.iter().flatten() {
                if before != Some(tenant) {
                    self.tenants.extend(Uuid::from_slice(tenant));
                    before = Some(tenant);
                }
            }
        }
        if table
            .sort_columns()
            .starts_with(&["tenant_id", "device_id"])
            && let Some((first, last)) = ends(rows, "device_id")
        {
            self.devices = Some((self.devices.map_or(first, |(first, _)| first), last));
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
            tenant_min: self.tenants.first().copied().unwrap_or_default(),
            tenant_max: self.tenants.last().copied().unwrap_or_default(),
            device_first: self.devices.map(|(first, _)| first),
            device_last: self.devices.map(|(_, last)| last),
            time_min_us: self.time_us.0,
            time_max_us: self.time_us.1,
            tenants: if self.tenants.len() <= LISTED_TENANTS {
                self.tenants.into_iter().collect()
            } else {
                Vec::new()
            },
        }
    }
}
