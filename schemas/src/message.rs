//! The messages of `mast.telemetry.v1`: whole polls, and heartbeats.
//!
//! A record's header is JSON ([`Header`]); its body is one Arrow IPC record batch per section, without schemas. A section
//! states the fingerprints of every version of its kind that its writer knows, oldest first. Fields are only appended, so
//! a reader that knows one of them reads the common prefix: an old reader skips new columns, a new one fills them with
//! nulls. All rows of a device's poll are in one message, and the rows of a section are in the order of the polls.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::column::Record;
use crate::records::{Interface, Poll, Radio, Registration};
use crate::{SchemaError, Timestamp};

/// Who writes to the log: an ingest process under one lease, or a control relay. New at each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProducerId(pub Uuid);

/// A promise: none of this producer's later rows in the partition has `observed_at` < `clock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The producer's clock when all rows up to here had been handed to the log.
    pub clock: Timestamp,
    /// Shards held in this partition, as inclusive ranges. An empty list takes the producer out: a clean goodbye.
    pub shards: Vec<(u32, u32)>,
}

/// The header of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who wrote it.
    pub producer: ProducerId,
    /// Fencing epoch of the producer's lease.
    pub lease_epoch: u64,
    /// Present in heartbeats, which have no sections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// The sections of the body, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<SectionHeader>,
}

impl Header {
    /// The header as stored.
    pub fn encode(&self) -> Bytes {
        // A struct of numbers, strings and lists always serializes.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a stored header.
    ///
    /// # Errors
    /// [`SchemaError::Header`] when the bytes are not a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, SchemaError> {
        serde_json::from_slice(bytes).map_err(|e| SchemaError::Header(e.to_string()))
    }
}

/// Where a section lies and what schema it was written with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionHeader {
    /// Kind of the rows.
    pub kind: String,
    /// Number of rows.
    pub rows: u32,
    /// Bytes of the IPC message (its buffers' places).
    pub meta_bytes: u32,
    /// Bytes of the buffers that follow it.
    pub data_bytes: u32,
    /// Fields and fingerprint of each version that the writer knows, oldest first; the last is the one written.
    pub versions: Vec<SchemaVersion>,
}

/// A version of a kind's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaVersion {
    /// Number of fields.
    pub fields: u32,
    /// [`fingerprint`] of these fields.
    pub fingerprint: u64,
}

/// FNV-1a over name, type and nullability of the first `fields` fields.
pub fn fingerprint(schema: &Schema, fields: usize) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for field in schema.fields().iter().take(fields) {
        for byte in format!(
            "{}:{}:{};",
            field.name(),
            field.data_type(),
            field.is_nullable()
        )
        .bytes()
        {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

/// Field counts of the earlier versions of each kind; the current one is the whole schema. Append here, never change.
fn earlier_versions(_kind: &str) -> &'static [usize] {
    &[]
}

/// All versions of a kind that this build knows, oldest first.
fn versions(kind: &str, schema: &Schema) -> Vec<SchemaVersion> {
    let counts = earlier_versions(kind)
        .iter()
        .copied()
        .chain([schema.fields().len()]);
    counts
        .map(|n| SchemaVersion {
            fields: n as u32,
            fingerprint: fingerprint(schema, n),
        })
        .collect()
}

/// The sections of one message, as record batches of one producer. Empty sections are not written.
#[derive(Default)]
pub struct MessageBuilder {
    sections: Vec<SectionHeader>,
    body: Vec<u8>,
}

impl MessageBuilder {
    /// Adds a section of rows of kind `R`.
    pub fn section<R: Record>(&mut self, batch: &RecordBatch) -> Result<&mut Self, SchemaError> {
        self.raw(R::KIND, versions(R::KIND, &R::schema()), batch)
    }

    fn raw(
        &mut self,
        kind: &'static str,
        versions: Vec<SchemaVersion>,
        batch: &RecordBatch,
    ) -> Result<&mut Self, SchemaError> {
        if batch.num_rows() == 0 {
            return Ok(self);
        }
        let mut dictionaries = DictionaryTracker::new(false);
        let encoded = IpcDataGenerator::default()
            .encode(
                batch,
                &mut dictionaries,
                &IpcWriteOptions::default(),
                &mut IpcWriteContext::default(),
            )
            .map_err(|e| SchemaError::Section {
                kind,
                reason: e.to_string(),
            })?
            .1;
        let mut meta = encoded.ipc_message;
        while !(self.body.len() + meta.len()).is_multiple_of(64) {
            meta.push(0);
        }
        self.sections.push(SectionHeader {
            kind: kind.to_owned(),
            rows: batch.num_rows() as u32,
            meta_bytes: meta.len() as u32,
            data_bytes: encoded.arrow_data.len() as u32,
            versions,
        });
        self.body.extend_from_slice(&meta);
        self.body.extend_from_slice(&encoded.arrow_data);
        Ok(self)
    }

    /// Size of the body so far, in bytes.
    pub fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// Header and body of the record.
    pub fn finish(self, producer: ProducerId, lease_epoch: u64) -> (Bytes, Bytes) {
        let header = Header {
            producer,
            lease_epoch,
            heartbeat: None,
            sections: self.sections,
        };
        (header.encode(), Bytes::from(self.body))
    }
}

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
fn decode_prefix<R: Record>(
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
fn shared_fields(
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
            if matches!(f.data_type(), arrow::datatypes::DataType::Utf8) {
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
    for buffer in buffers {
        let (offset, length) = (
            usize::try_from(buffer.offset()),
            usize::try_from(buffer.length()),
        );
        let inside = matches!((offset, length), (Ok(o), Ok(l)) if o.checked_add(l).is_some_and(|end| end <= data.len()));
        if !inside {
            return Err(bad("buffer out of bounds"));
        }
    }
    Ok(())
}

/// A poll with all its rows, as plain values; the slow and simple form, for oracles, tests and tools.
#[derive(Clone, Debug, PartialEq)]
pub struct WholePoll {
    /// The poll.
    pub poll: Poll,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its registrations, of all tables.
    pub registrations: Vec<Registration>,
    /// Its radios.
    pub radios: Vec<Radio>,
}

/// All polls of a message, in its order. Rows without a poll row are left out: a table counts only with its poll.
///
/// # Errors
/// As [`read_section`].
pub fn read_polls(header: &Header, body: &Bytes) -> Result<Vec<WholePoll>, SchemaError> {
    fn all<R: Record>(header: &Header, body: &Bytes) -> Result<Vec<R>, SchemaError> {
        read_section::<R>(header, body, None)?
            .map_or_else(|| Ok(Vec::new()), |batch| R::rows(&batch))
    }
    let mut polls: Vec<WholePoll> = all::<Poll>(header, body)?
        .into_iter()
        .map(|poll| WholePoll {
            poll,
            interfaces: Vec::new(),
            registrations: Vec::new(),
            radios: Vec::new(),
        })
        .collect();
    let places: HashMap<_, _> = polls
        .iter()
        .enumerate()
        .map(|(i, p)| ((p.poll.device_id, p.poll.lease_epoch, p.poll.sequence), i))
        .collect();
    for row in all::<Interface>(header, body)? {
        if let Some(&i) = places.get(&(row.device_id, row.lease_epoch, row.sequence)) {
            polls[i].interfaces.push(row);
        }
    }
    for row in all::<Registration>(header, body)? {
        if let Some(&i) = places.get(&(row.device_id, row.lease_epoch, row.sequence)) {
            polls[i].registrations.push(row);
        }
    }
    for row in all::<Radio>(header, body)? {
        if let Some(&i) = places.get(&(row.device_id, row.lease_epoch, row.sequence)) {
            polls[i].radios.push(row);
        }
    }
    Ok(polls)
}

/// Encodes whole polls as one message.
///
/// # Errors
/// [`SchemaError::Section`] when Arrow cannot encode a batch.
pub fn write_polls(
    polls: &[WholePoll],
    producer: ProducerId,
    lease_epoch: u64,
) -> Result<(Bytes, Bytes), SchemaError> {
    let mut message = MessageBuilder::default();
    message.section::<Poll>(&Poll::batch(polls.iter().map(|p| &p.poll)))?;
    message.section::<Interface>(&Interface::batch(polls.iter().flat_map(|p| &p.interfaces)))?;
    message.section::<Registration>(&Registration::batch(
        polls.iter().flat_map(|p| &p.registrations),
    ))?;
    message.section::<Radio>(&Radio::batch(polls.iter().flat_map(|p| &p.radios)))?;
    Ok(message.finish(producer, lease_epoch))
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes public rows")]
mod tests {
    use super::*;
    use crate::records::{Outcome, Source, Tables};
    use crate::{DeviceId, Mac, TenantId};
    use proptest::prelude::*;

    crate::record! {
        /// A kind as an older build knew it.
        Old / OldColumns, "test" {
            /// First.
            tenant_id: TenantId,
            /// Second.
            name: Option<String>,
        }
    }

    crate::record! {
        /// The same kind with a field appended.
        New / NewColumns, "test" {
            /// First.
            tenant_id: TenantId,
            /// Second.
            name: Option<String>,
            /// Appended later.
            signal_dbm: Option<i16>,
        }
    }

    crate::record! {
        /// A kind of that name that was never ours.
        Foreign / ForeignColumns, "test" {
            /// First.
            name: Option<String>,
        }
    }

    /// Versions as builds state them that know the kind up to each of these schemas.
    fn stated(schemas: &[SchemaRef]) -> Vec<SchemaVersion> {
        let version = |s: &SchemaRef| SchemaVersion {
            fields: s.fields().len() as u32,
            fingerprint: fingerprint(s, s.fields().len()),
        };
        schemas.iter().map(version).collect()
    }

    fn message(batch: &RecordBatch, versions: Vec<SchemaVersion>) -> (Header, Bytes) {
        let mut builder = MessageBuilder::default();
        builder.raw("test", versions, batch).unwrap();
        let (header, body) = builder.finish(ProducerId(Uuid::nil()), 1);
        (Header::decode(&header).unwrap(), body)
    }

    #[test]
    fn an_old_reader_reads_new_messages() {
        let row = New {
            tenant_id: TenantId::new(),
            name: Some("x".into()),
            signal_dbm: Some(-61),
        };
        let (header, body) = message(&New::batch([&row]), stated(&[Old::schema(), New::schema()]));
        let read = read_section::<Old>(&header, &body, None).unwrap().unwrap();
        assert_eq!(
            Old::rows(&read).unwrap(),
            vec![Old {
                tenant_id: row.tenant_id,
                name: row.name
            }]
        );
    }

    #[test]
    fn a_new_reader_reads_old_messages_with_nulls() {
        let row = Old {
            tenant_id: TenantId::new(),
            name: None,
        };
        let (mut header, body) = message(&Old::batch([&row]), stated(&[Old::schema()]));
        // The new build lists the old version, as `earlier_versions` would make it.
        let wanted = New {
            tenant_id: row.tenant_id,
            name: None,
            signal_dbm: None,
        };
        let shared = stated(&[Old::schema(), New::schema()]);
        assert!(
            read_section::<New>(&header, &body, None).is_err(),
            "unless the old version is known"
        );
        header.sections[0].versions = shared[..1].to_vec();
        let read = decode_as::<New>(&header, &body, &shared);
        assert_eq!(New::rows(&read).unwrap(), vec![wanted]);
    }

    /// Reads as a build that knows `ours`.
    fn decode_as<R: Record>(header: &Header, body: &Bytes, ours: &[SchemaVersion]) -> RecordBatch {
        let section = &header.sections[0];
        let shared = shared_fields(ours, &section.versions, R::KIND).unwrap();
        let meta = section.meta_bytes as usize;
        decode_prefix::<R>(section, &body[..meta], body.slice(meta..), None, shared).unwrap()
    }

    #[test]
    fn a_schema_that_was_never_ours_is_refused() {
        let row = Foreign {
            name: Some("x".into()),
        };
        let (header, body) = message(&Foreign::batch([&row]), stated(&[Foreign::schema()]));
        let error = read_section::<New>(&header, &body, None).unwrap_err();
        assert!(
            matches!(error, SchemaError::Fingerprint { kind: "test", .. }),
            "{error}"
        );
    }

    fn poll(n: u64, name: Option<String>) -> WholePoll {
        let (tenant_id, device_id) = (
            TenantId::from_bytes([1; 16]),
            DeviceId::from_bytes([n as u8; 16]),
        );
        let observed_at = Timestamp(1_700_000_000_000_000 + n as i64);
        let poll = Poll {
            tenant_id,
            device_id,
            observed_at,
            lease_epoch: 3,
            sequence: n,
            outcome: Outcome::Ok,
            detail: None,
            round_trip_ms: Some(12),
            next_due_at: observed_at,
            interval_ms: 60_000,
            tables: Tables::INTERFACE.with(Tables::registration(Source::Wifi)).0,
            registrations: Some(0),
            identity: name,
            version: None,
            board: None,
            architecture: None,
            serial: None,
            firmware: None,
            uptime_s: Some(u64::MAX),
            cpu_load_percent: None,
            memory_free_bytes: None,
            memory_total_bytes: None,
            disk_free_bytes: None,
            disk_total_bytes: None,
            cpu_temperature_c: Some(41.5),
            board_temperature_c: None,
            voltage_v: None,
            sensors: None,
        };
        let radio = crate::records::Radio {
            tenant_id,
            device_id,
            observed_at,
            lease_epoch: 3,
            sequence: n,
            source: Source::Wifi,
            interface: "wifi1".into(),
            radio_mac: Some(Mac(n)),
            ssid: None,
            band: None,
            channel: None,
            frequency_mhz: Some(5_500),
            channel_width_mhz: None,
            noise_floor_dbm: Some(-105),
            tx_power_dbm: None,
            tx_ccq_percent: None,
            clients: None,
            status: None,
        };
        WholePoll {
            poll,
            interfaces: Vec::new(),
            registrations: Vec::new(),
            radios: vec![radio],
        }
    }

    proptest! {
        #[test]
        fn whole_polls_come_back_as_they_went(names in prop::collection::vec(prop::option::of(".{0,20}"), 0..20)) {
            let polls: Vec<_> = names.into_iter().enumerate().map(|(n, name)| poll(n as u64, name)).collect();
            let (header, body) = write_polls(&polls, ProducerId(Uuid::nil()), 3).unwrap();
            prop_assert_eq!(read_polls(&Header::decode(&header).unwrap(), &body).unwrap(), polls);
        }

        #[test]
        fn a_damaged_body_is_an_error_or_other_rows_never_a_panic(at in 0usize..4_000, byte in any::<u8>(), cut in 0usize..4_000) {
            let polls: Vec<_> = (0..5).map(|n| poll(n, Some("name".into()))).collect();
            let (header, body) = write_polls(&polls, ProducerId(Uuid::nil()), 3).unwrap();
            let header = Header::decode(&header).unwrap();
            let mut bytes = body.to_vec();
            let len = bytes.len();
            bytes[at % len] = byte;
            let _ = read_polls(&header, &Bytes::from(bytes.clone()));
            bytes.truncate(cut % len);
            let _ = read_polls(&header, &Bytes::from(bytes));
        }

        #[test]
        fn any_bytes_are_no_header_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Header::decode(&bytes);
        }
    }
}
