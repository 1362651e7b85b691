//! Answers as text or Arrow, whole or as they come.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, LineDelimited, Writer, WriterBuilder};
use arrow::util::pretty::pretty_format_batches;

use crate::{QueryError, QueryResult};

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table for people. Held in memory to know its widths.
    Table,
    /// One JSON array of objects; nulls are written.
    Json,
    /// An object a line; nulls are written.
    Ndjson,
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
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            "arrow" => Ok(Self::Arrow),
            _ => Err(QueryError::Sql(format!(
                "no format {word:?}; there are table, json, ndjson, csv and arrow"
            ))),
        }
    }
}

/// Writes an answer piece by piece: each batch as it comes, and at last the end, without which it is not whole.
pub struct Encoder(Inner);

enum Inner {
    Table(Vec<RecordBatch>),
    Json(Writer<Vec<u8>, JsonArray>),
    Ndjson(Writer<Vec<u8>, LineDelimited>),
    Csv { begun: bool, schema: SchemaRef },
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Encoder {
    /// An encoder of batches of this schema.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(format: Format, schema: SchemaRef) -> Result<Self, QueryError> {
        let json = WriterBuilder::new().with_explicit_nulls(true);
        Ok(Self(match format {
            Format::Table => Inner::Table(vec![RecordBatch::new_empty(schema)]),
            Format::Json => Inner::Json(json.build(Vec::new())),
            Format::Ndjson => Inner::Ndjson(json.build(Vec::new())),
            Format::Csv => Inner::Csv {
                begun: false,
                schema,
            },
            Format::Arrow => Inner::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &schema)?)),
        }))
    }

    /// The bytes that can be given out after this batch.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        Ok(match &mut self.0 {
            Inner::Table(batches) => {
                batches.push(batch.clone());
                Vec::new()
            }
            Inner::Json(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Inner::Ndjson(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Inner::Csv { begun, .. } => {
                let header = !std::mem::replace(begun, true);
                csv_text(batch, header)?
            }
            Inner::Arrow(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
        })
    }

    /// The last bytes.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn end(&mut self) -> Result<Vec<u8>, QueryError> {
        Ok(match &mut self.0 {
            Inner::Table(batches) => format!("{}\n", pretty_format_batches(batches)?).into_bytes(),
            Inner::Json(writer) => {
                writer.finish()?;
                let mut bytes = std::mem::take(writer.get_mut());
                bytes.push(b'\n');
                bytes
            }
            Inner::Ndjson(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
            // An answer without rows has its header too.
            Inner::Csv { begun: true, .. } => Vec::new(),
            Inner::Csv { schema, .. } => csv_text(&RecordBatch::new_empty(schema.clone()), true)?,
            Inner::Arrow(writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
        })
    }
}

fn csv_text(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, QueryError> {
    let mut bytes = Vec::new();
    let builder = csv::WriterBuilder::new().with_header(header);
    builder.build(&mut bytes).write(batch)?;
    Ok(bytes)
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
    let mut encoder = Encoder::new(format, result.schema())?;
    while let Some(batch) = result.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        out.write_all(&encoder.batch(&batch)?)?;
    }
    out.write_all(&encoder.end()?)?;
    out.flush()?;
    Ok(rows)
}
