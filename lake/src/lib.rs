#![doc = include_str!("../README.md")]

mod check;
mod compact;
mod encode;
mod error;
mod files;
mod fold;
mod manifest;
mod merge;
mod reach;
mod read;
mod recent;
mod retention;
mod rollup;
mod sums;
mod table;
mod upkeep;
mod writer;

pub use check::{CheckReport, check};
pub use encode::{FileSummary, sort_order, write_sorted};
pub use error::LakeError;
pub use files::path_of;
pub use manifest::{Contents, JobPlace, LakeFile, committed, contents, hold, job_places};
pub use reach::Reach;
pub use recent::{Recent, TooOld};
pub use retention::Retention;
pub use table::Table;
pub use upkeep::{Change, Stop, Upkeep};
pub use writer::{LakeConfig, LakeWriter, Pending, Writing};
