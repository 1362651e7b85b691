//! Sections to record batches: by the version that reader and writer share, with nothing trusted that a writer says.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use bytes::Bytes;

use super::{Header, SchemaVersion, SectionHeader, versions};
use crate::SchemaError;
use crate::column::Record;

/// Which columns of a section a reader wants, by name; `None` = all.
pub type Wanted = Option<&'static [&'static str]>;

/// Reads the section of kind `R`, if there is one. With `wanted`, the batch holds just those columns, in that order.
///
/// # Errors
/// [`SchemaError::Fingerprint`] when no version is shared, [`SchemaError::Section`] when the bytes do not decode.
pub fn read_section<R: Record>(
    header: &Header,
    body: &Bytes,
    wanted: Wanted,
) -> Result<Option<RecordBatch>, SchemaError> {
    let mut start = 0usize;
    for section in &header.sections {
        let (meta, data) = (section.meta_bytes as usize, section.data_bytes as usize);
        let end = start.saturating_add(meta).saturating_add(data);
        if section.kind == R::KIND {
            if end > body.len() {
                return Err(SchemaError::Section {
                    kind: R::KIND,
                    reason: "body is cut off".to_owned(),
                });
            }
            let bytes = (
                body.slice(start..start + meta),
                body.slice(start + meta..end),
            );
            return decode::<R>(section, &bytes.0, bytes.1, wanted).map(Some);
        }
        start = end;
    }
    Ok(None)
}

fn decode<R: Record>(
    section: &SectionHeader,
    meta: &[u8],
    data: Bytes,
    wanted: Wanted,
) -> Result<RecordBatch, SchemaError> {
    let ours = versions(R::KIND, &R::schema());
    let shared = shared_fields(&ours, &section.versions, R::KIND)?;
    decode_prefix::<R>(section, meta, data, wanted, shared)
}

/// Decodes a section of which reader and writer share the first `shared` fields.
pub(super) fn decode_prefix<R: Record>(
    section: &SectionHeader,
    meta: &[u8],
    data: Bytes,
    wanted: Wanted,
    shared: usize,
) -> Result<RecordBatch, SchemaError> {
    let bad = |reason: String| SchemaError::Section {
        kind: R::KIND,
        reason,
    };
    let schema = R::schema();
    let names: Vec<&str> = match wanted {
        Some(names) => names.to_vec(),
        None => schema.fields().iter().map(|f| f.name().as_str()).collect(),
    };
    let mut places = Vec::with_capacity(names.len());
    for name in &names {
        places.push(schema.index_of(name).map_err(|e| bad(e.to_string()))?);
    }
    let present: Vec<usize> = places.iter().copied().filter(|&i| i < shared).collect();

    let message = arrow_ipc::root_as_message(meta).map_err(|e| bad(e.to_string()))?;
    let batch = message
        .header_as_record_batch()
        .ok_or_else(|| bad("not a record batch".to_owned()))?;
    check_buffers::<R>(&batch, &data, &schema.fields()[..shared])?;
    let prefix: SchemaRef = if shared == schema.fields().len() {
        schema.clone()
    } else {
        Arc::new(Schema::new(schema.fields()[..shared].to_vec()))
    };
    let read = arrow_ipc::reader::read_record_batch(
        &Buffer::from(data),
        batch,
        prefix,
        &HashMap::new(),
        Some(&present),
        &message.version(),
    )
    .map_err(|e| bad(e.to_string()))?;
    if read.num_rows() != section.rows as usize {
        return Err(bad(format!(
            "{} rows, {} announced",
            read.num_rows(),
            section.rows
        )));
    }
    if present.len() == places.len() && wanted.is_none() {
        return RecordBatch::try_new(schema, read.columns().to_vec())
            .map_err(|e| bad(e.to_string()));
    }
    let mut columns = read.columns().iter();
    let columns: Vec<ArrayRef> = places
        .iter()
        .map(|&i| match columns.as_slice().first() {
            Some(column) if i < shared => {
                columns.next();
                column.clone()
            }
            _ => new_null_array(schema.field(i).data_type(), read.num_rows()),
        })
        .collect();
    let projected = schema.project(&places).map_err(|e| bad(e.to_string()))?;
    RecordBatch::try_new(Arc::new(projected), columns).map_err(|e| bad(e.to_string()))
}

/// How many leading fields writer and reader share.
pub(super) fn shared_fields(
    ours: &[SchemaVersion],
    theirs: &[SchemaVersion],
    kind: &'static str,
) -> Result<usize, SchemaError> {
    let newest = |a: &[SchemaVersion], b: &[SchemaVersion]| {
        a.last()
            .filter(|v| b.contains(v))
            .map(|v| v.fields as usize)
    };
    newest(ours, theirs)
        .or_else(|| newest(theirs, ours))
        .ok_or(SchemaError::Fingerprint {
            kind,
            fingerprint: theirs.last().map_or(0, |v| v.fingerprint),
        })
}

/// The Arrow reader trusts places and counts; a corrupt message must be an error, not a panic.
fn check_buffers<R: Record>(
    batch: &arrow_ipc::RecordBatch<'_>,
    data: &[u8],
    fields: &[arrow::datatypes::FieldRef],
) -> Result<(), SchemaError> {
    let bad = |reason: &str| SchemaError::Section {
        kind: R::KIND,
        reason: reason.to_owned(),
    };
    let nodes = batch.nodes().ok_or_else(|| bad("no nodes"))?;
    let buffers = batch.buffers().ok_or_else(|| bad("no buffers"))?;
    if batch.compression().is_some() || batch.variadicBufferCounts().is_some_and(|v| !v.is_empty())
    {
        return Err(bad("compressed or variadic buffers"));
    }
    let expected: usize = fields
        .iter()
        .map(|f| {
            if matches!(f.data_type(), DataType::Utf8) {
                3
            } else {
                2
            }
        })
        .sum();
    if nodes.len() < fields.len() || buffers.len() < expected {
        return Err(bad("too few columns"));
    }
    let rows = batch.length();
    if nodes
        .iter()
        .any(|n| n.length() != rows || n.null_count() < 0 || n.null_count() > rows)
    {
        return Err(bad("columns of different length"));
    }
    let mut sizes = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        let (offset, length) = (
            usize::try_from(buffer.offset()),
            usize::try_from(buffer.length()),
        );
        match (offset, length) {
            (Ok(offset), Ok(length))
                if offset
                    .checked_add(length)
                    .is_some_and(|end| end <= data.len()) =>
            {
                sizes.push(length);
            }
            _ => return Err(bad("buffer out of bounds")),
        }
    }
    let rows = usize::try_from(rows).map_err(|_| bad("a negative number of rows"))?;
    let mut sizes = sizes.into_iter();
    for (field, node) in fields.iter().zip(nodes) {
        let nulls = sizes.next().unwrap_or(0);
        if node.null_count() > 0 && nulls < rows.div_ceil(8) {
            return Err(bad("a buffer of nulls that is too short"));
        }
        for (unit, least) in buffers_of(field.data_type(), rows) {
            let size = sizes.next().unwrap_or(0);
            if size < least || size % unit != 0 {
                return Err(bad("a buffer of the wrong length"));
            }
        }
    }
    Ok(())
}

/// The buffers of a column after that of its nulls: bytes of one value, and bytes at least.
fn buffers_of(data_type: &DataType, rows: usize) -> Vec<(usize, usize)> {
    let each = |bytes: usize| vec![(bytes.max(1), rows.saturating_mul(bytes))];
    match data_type {
        // Without rows Arrow also writes no offsets.
        DataType::Utf8 if rows == 0 => vec![(4, 0), (1, 0)],
        DataType::Utf8 => vec![(4, rows.saturating_add(1).saturating_mul(4)), (1, 0)],
        DataType::Boolean => vec![(1, rows.div_ceil(8))],
        DataType::FixedSizeBinary(bytes) => each(usize::try_from(*bytes).unwrap_or(0)),
        other => each(other.primitive_width().unwrap_or(0)),
    }
}
