#![doc = include_str!("../README.md")]

mod encode;
mod error;
mod files;
mod manifest;
mod table;
mod writer;

pub use encode::{FileSummary, sort_order, write_sorted};
pub use error::LakeError;
pub use files::path_of;
pub use manifest::{Contents, LakeFile, committed, contents};
pub use table::Table;
pub use writer::{LakeConfig, LakeWriter, Pending};
