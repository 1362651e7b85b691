//! Answers as text or Arrow.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::ipc::writer::StreamWriter;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrow::util::pretty::pretty_format_batches;

use crate::{QueryError, QueryResult};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table for people. Held in memory to know its widths.
    Table,
    /// One JSON array of objects; nulls are written.
    Json,
    /// CSV with a header line; null is an empty field.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl std::str::FromStr for Format {
    type Err = QueryError;
    fn from_str(word: &str) -> Result<Self, QueryError> {
        match word {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "arrow" => Ok(Self::Arrow),
            _ => Err(QueryError::Sql(format!(
                "no format {word:?}; there are table, json, csv and arrow"
            ))),
        }
    }
}

/// Writes the whole answer as it comes. Returns how many rows it has.
///
/// # Errors
/// Those of the query and of the writer; what was written before an error is not a whole answer.
pub async fn format(
    mut result: QueryResult,
    format: Format,
    mut out: impl Write,
) -> Result<u64, QueryError> {
    let mut rows = 0;
    let schema = result.schema();
    match format {
        Format::Table => {
            let mut batches = vec![RecordBatch::new_empty(schema)];
            while let Some(batch) = result.next().await {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                batches.push(batch);
            }
            writeln!(out, "{}", pretty_format_batches(&batches)?)?;
        }
        Format::Json => {
            let mut writer = WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, JsonArray>(&mut out);
            while let Some(batch) = result.next().await {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
            writer.finish()?;
            writeln!(out)?;
        }
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().with_header(true).build(&mut out);
            // An empty batch writes the header, which an answer without rows has too.
            writer.write(&RecordBatch::new_empty(schema))?;
            while let Some(batch) = result.next().await {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
        }
        Format::Arrow => {
            let mut writer = StreamWriter::try_new(&mut out, &schema)?;
            while let Some(batch) = result.next().await {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                writer.write(&batch)?;
            }
            writer.finish()?;
        }
    }
    out.flush()?;
    Ok(rows)
}
