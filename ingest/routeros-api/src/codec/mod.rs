//! Bytes to sentences and back, without I/O.
//!
//! A sentence is a run of words ended by an empty word; a word is a length and that many bytes, of any
//! value. Promised here: any input, cut at any place, gives the same sentences or the same error, and
//! nothing a peer announces makes us reserve memory before the bytes are there.
//!
//! Words are bytes. A router stores what was typed, in whatever code page the typist had, and sends it back unchanged; so do
//! we: [`Sentence::get`] gives the bytes, and a value sent as bytes arrives as these. [`display_text`] shows them: UTF-8 where
//! they are, else each byte as the latin-1 character of its number, which is readable for western languages and wrong, but
//! never lost and never an error, for others. What is compared, stored as a key or sent back must be the bytes.

mod decoder;
pub mod length;
mod sentence;

pub use decoder::{DecodeError, Decoder, Limits};
pub use sentence::{Attributes, Sentence, Words, display_text};

pub(crate) use sentence::{display_start, put_parts, put_word, split_pair};
