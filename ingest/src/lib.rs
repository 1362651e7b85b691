#![doc = include_str!("../README.md")]

pub mod batch;
pub mod breaker;
pub mod clock;
pub mod decode;
mod error;
mod health;
pub mod kin;
pub mod marks;
pub mod node;
pub mod parse;
pub mod plan;
pub mod poller;
pub mod producer;
pub mod round_trips;
pub mod session;
pub mod slower;
pub mod spool;
pub mod store;
pub mod tail;
pub mod trust;
pub mod wheel;

pub use decode::{DecodeSummary, decode_records};
pub use error::IngestError;
pub use node::{Concern, Node, NodeConfig, NodeHandle, NodeStats, Status};
