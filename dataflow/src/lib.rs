#![doc = include_str!("../README.md")]

pub mod checkpoint;
pub mod control;
pub mod decode;
pub mod engine;
mod error;
pub mod fault;
mod flow;
pub mod job;
pub mod outputs;
pub mod relay;
pub mod sequencer;
pub mod sink;

pub use error::DataflowError;
