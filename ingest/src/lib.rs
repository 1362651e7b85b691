#![doc = include_str!("../README.md")]

pub mod decode;
pub mod parse;

pub use decode::{DecodeSummary, decode_records};
