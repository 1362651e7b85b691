#![doc = include_str!("../README.md")]

mod error;
pub mod inventory;

pub use error::ApiError;
