//! Checkpoints: the state as files, complete or not there.
//!
//! ```text
//! <dir>/<epoch>-<generation>/devices-017.bin   one part, one key group; empty ones have no file
//! <dir>/<epoch>-<generation>/manifest.json     written last: a folder without it is no checkpoint
//! ```
//!
//! What is in a file is told in [`mast_schemas::checkpoint`]. The trap avoided: a manifest that names bytes which a power
//! failure takes back. All files and their folder are synced before the manifest gets its name, and it gets it by a rename.

mod file;
mod store;

pub use file::{decode, encode};
pub use store::{Inspected, KEPT, Stored, inspect, list, load, newest, write};
