//! What can be wrong with bytes or text that claim to be in one of our formats.

/// A value or message that is not in the documented format. Never retryable: the same bytes fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Text that is not a MAC address.
    #[error("not a MAC address: {0:?} (expected six hexadecimal bytes such as 4C:5E:0C:A2:54:51)")]
    Mac(String),
    /// A word that is not one of a closed set.
    #[error("unknown {what}: {word:?}")]
    Word {
        /// The set, such as `outcome`.
        what: &'static str,
        /// The word found.
        word: String,
    },
    /// A message header that is cut off or not ours.
    #[error("bad message header: {0}")]
    Header(String),
    /// A section whose schema is neither ours, nor older, nor newer by appended fields.
    #[error(
        "section {kind} has a schema this reader does not know (fingerprint {fingerprint:016x})"
    )]
    Fingerprint {
        /// The kind of the section.
        kind: &'static str,
        /// The newest fingerprint the writer stated.
        fingerprint: u64,
    },
    /// A section whose Arrow body does not decode.
    #[error("bad {kind} section: {reason}")]
    Section {
        /// The kind of the section.
        kind: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A control, binding or checkpoint record that does not decode.
    #[error("bad {what} record: {reason}")]
    Record {
        /// Which record type.
        what: &'static str,
        /// What the decoder said.
        reason: String,
    },
}
