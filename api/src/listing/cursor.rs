//! Where a page ended: the values that its last row is sorted by, for a list of one filter and one order.
//!
//! It is opaque to askers but no secret, and nothing in it is trusted: its values are read as those of a filter are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Bind;
use super::statement::Order;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Of which list.
    l: u32,
    /// The values, as text.
    v: Vec<Option<String>>,
}

/// A list, by its filter and order.
fn list(sort: &str, filter: &str) -> u32 {
    let digest = Sha256::new()
        .chain_update(sort)
        .chain_update([0])
        .chain_update(filter)
        .finalize();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

impl Cursor {
    pub(super) fn new(sort: &str, filter: &str, values: Vec<Option<String>>) -> Self {
        Self {
            l: list(sort, filter),
            v: values,
        }
    }

    pub(super) fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Null where it is none, or one of another list.
    pub(super) fn read(text: &str, sort: &str, filter: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let cursor: Self = serde_json::from_slice(&bytes).ok()?;
        (cursor.l == list(sort, filter)).then_some(cursor)
    }

    /// A value for each column of the order; null where they don't fit.
    pub(super) fn values(self, order: &Order) -> Option<Vec<Option<Bind>>> {
        if self.v.len() != order.0.len() {
            return None;
        }
        let values = self.v.into_iter().zip(&order.0);
        values
            .map(|(value, by)| match value {
                Some(value) => Some(Some(by.column.read_shown(value)?)),
                None => by.column.nullable.then_some(None),
            })
            .collect()
    }
}
