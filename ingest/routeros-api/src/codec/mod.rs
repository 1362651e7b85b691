//! Bytes to sentences and back, without I/O.
//!
//! A sentence is a run of words ended by an empty word; a word is a length and that many bytes, of any
//! value. Promised here: any input, cut at any place, gives the same sentences or the same error, and
//! nothing a peer announces makes us reserve memory before the bytes are there.

mod decoder;
pub mod length;
mod sentence;

pub use decoder::{DecodeError, Decoder, Limits};
pub use sentence::{Attributes, Sentence, Words, display_text};

pub(crate) use sentence::{put_parts, put_word, split_pair};
