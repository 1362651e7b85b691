//! The messages of `mast.telemetry.v1`: whole polls, and heartbeats.
//!
//! A record's header is JSON ([`Header`]); its body is one Arrow IPC record batch per section, without schemas. A section
//! states the fingerprints of every version of its kind that its writer knows, oldest first. Fields are only appended, so
//! a reader that knows one of them reads the common prefix: an old reader skips new columns, a new one fills them with
//! nulls. All rows of a device's poll are in one message, and the rows of a section are in the order of the polls.

mod polls;
mod section;
#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes public rows")]
mod tests;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::column::Record;
use crate::{SchemaError, Timestamp};

pub use polls::{PollRow, SlowRows, WholePoll, read_polls, write_polls};
pub use section::{Wanted, read_section};

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
