#![doc = include_str!("../README.md")]

pub mod checkpoint;
mod control;
pub mod decode;
pub mod engine;
mod error;
mod flow;
pub mod job;
mod numbers;
pub mod outputs;
mod policy;
pub mod relay;
pub mod sequencer;
pub mod sink;
mod tail;
pub mod troubles;

pub use error::{DataflowError, Lost};
