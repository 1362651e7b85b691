//! What a query asks the writer of the lake: the tail of history that is in no file yet, and the newest rates.
//!
//! An [`Ask`] is the ticket of an Arrow Flight `DoGet`, as JSON. It names the tenants, so that nothing of others leaves the
//! writer. Where the writer is found, and by which word it opens, is a [`Contact`], in a file that its owner alone reads.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{DeviceId, Epoch, SchemaError, TenantId, Timestamp};

/// Name of the file with the [`Contact`], in the data folder.
pub const FILE: &str = "tail.json";
/// Bytes that an [`Ask`] may have.
pub const ASK_BYTES: usize = 1 << 20;
/// Name in the certificate of a tail.
pub const SERVER_NAME: &str = "tail.mast";

/// Where a tail is served, and what opens it. Made anew by each start of its writer: what is of an older one opens nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate, PEM: whoever listens there without its key is somebody else.
    pub certificate: String,
    /// The word that opens it.
    pub token: String,
}

impl std::fmt::Debug for Contact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Contact({})", self.address)
    }
}

/// What is asked of a tail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Whose rows.
    pub tenants: Vec<TenantId>,
    /// Which.
    pub what: What,
}

/// Which rows are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum What {
    /// Rows of history, as the files of the lake hold them.
    Rows(Rows),
    /// The newest rates of interfaces, as [`InterfaceRateRow`]s: of a device, or of all.
    InterfaceRates(Option<DeviceId>),
}

/// Rows of slots `after < epoch ≤ upto`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Name of the job, as in `job_progress`.
    pub job: String,
    /// Name of the table, as in the manifest.
    pub table: String,
    /// The lake holds all rows up to here; null = it holds none.
    pub after: Option<Epoch>,
    /// Last slot.
    pub upto: Epoch,
    /// Earliest time of a row, microseconds since 1970.
    pub from_us: i64,
    /// Latest time of a row, microseconds since 1970.
    pub to_us: i64,
    /// The columns, by name; empty = all.
    pub columns: Vec<String>,
}

crate::record! {
    /// Rates of an interface, from the two newest whole tables of its device; null where these don't tell.
    InterfaceRateRow / InterfaceRateColumns, "interface_rates" {
        /// Owner.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// Interface name.
        name: String,
        /// When the newer table was read.
        observed_at: Timestamp,
        /// How long ago that is.
        age_ms: u64,
        /// Received.
        rx_bps: Option<u64>,
        /// Sent.
        tx_bps: Option<u64>,
    }
}

impl Ask {
    /// As the ticket holds it.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a ticket.
    ///
    /// # Errors
    /// [`SchemaError::Record`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, SchemaError> {
        let bad = |reason: String| SchemaError::Record {
            what: "ask",
            reason,
        };
        if bytes.len() > ASK_BYTES {
            return Err(bad(format!(
                "{} bytes, of at most {ASK_BYTES}",
                bytes.len()
            )));
        }
        serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))
    }
}

impl Contact {
    /// A contact with a new word of 244 random bits.
    pub fn new(address: SocketAddr, certificate: String) -> Self {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Self {
            address,
            certificate,
            token,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask() -> Ask {
        Ask {
            tenants: vec![TenantId(Uuid::from_u128(7))],
            what: What::Rows(Rows {
                job: "main".to_owned(),
                table: "polls".to_owned(),
                after: None,
                upto: Epoch(9),
                from_us: i64::MIN,
                to_us: i64::MAX,
                columns: vec!["late".to_owned()],
            }),
        }
    }

    #[test]
    fn an_ask_is_read_as_it_was_written_and_nothing_else_is() {
        let bytes = ask().encode();
        assert_eq!(Ask::decode(&bytes).unwrap(), ask());
        let rates = Ask {
            what: What::InterfaceRates(Some(DeviceId(Uuid::from_u128(8)))),
            ..ask()
        };
        assert_eq!(Ask::decode(&rates.encode()).unwrap(), rates);
        assert!(Ask::decode(&vec![b' '; ASK_BYTES + 1]).is_err());
        let more = String::from_utf8(bytes)
            .unwrap()
            .replacen('{', "{\"more\":1,", 1);
        assert!(Ask::decode(more.as_bytes()).is_err());
    }

    #[test]
    fn a_contact_does_not_print_its_word() {
        let contact = Contact::new(([127, 0, 0, 1], 9).into(), "PEM".to_owned());
        assert_eq!(format!("{contact:?}"), "Contact(127.0.0.1:9)");
        assert_eq!(contact.token.len(), 64);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_ask_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ask::decode(&bytes);
        }
    }
}
