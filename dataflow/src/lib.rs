#![doc = include_str!("../README.md")]

pub mod control;
pub mod decode;
pub mod engine;
mod flow;
pub mod outputs;
pub mod sequencer;
