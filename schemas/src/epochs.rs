//! The records of `mast.epochs.v1`: which log offsets belong to which slots of event time.
//!
//! The log and its bindings decide every answer; a replay reads them and never a clock.

use serde::{Deserialize, Serialize};

use crate::message::ProducerId;
use crate::{Epoch, SchemaError, Timestamp};

/// Closes the slots `first..=last`. What it binds anew belongs to `first`; the later ones bind nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// First slot closed.
    pub first: Epoch,
    /// Last slot closed, ≥ `first`.
    pub last: Epoch,
    /// Fencing generation of the job that minted it; a reader drops a binding of a lower generation than one seen before.
    pub generation: u64,
    /// For each partition of the telemetry topic, the offset up to which (exclusive) it is bound.
    pub telemetry: Vec<u64>,
    /// The offset up to which (exclusive) the control topic is bound.
    pub control: u64,
    /// Producers left out because they were silent at the log's end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<Silence>,
    /// All producers were silent: the slot was closed by the sequencer's clock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_clock: bool,
}

/// A producer left out of a partition's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Silence {
    /// Partition of the telemetry topic; `None` = the control topic.
    pub partition: Option<u32>,
    /// Who is silent.
    pub producer: ProducerId,
    /// Its newest heartbeat.
    pub since: Timestamp,
}

impl Binding {
    /// The record as stored, JSON.
    pub fn encode(&self) -> Vec<u8> {
        // A struct of numbers, strings and lists always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// [`SchemaError::Record`] when the bytes are not one, or `last` lies before `first`.
    pub fn decode(bytes: &[u8]) -> Result<Self, SchemaError> {
        let bad = |reason: String| SchemaError::Record {
            what: "binding",
            reason,
        };
        let binding: Self = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if binding.last < binding.first {
            return Err(bad(format!(
                "slot {} before {}",
                binding.last.0, binding.first.0
            )));
        }
        Ok(binding)
    }
}
