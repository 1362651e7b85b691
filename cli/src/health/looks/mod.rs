//! What `mast status` sees for itself: whether what the parts stand on is there, whatever they say.
//!
//! Every look ends within seconds, and none starts, mends or changes anything.

mod database;
mod storage;

pub(crate) use self::database::{Told, database, notifications};
pub(crate) use self::storage::{checkpoints, disks, keys, lake, log};

use std::time::Duration;

/// Longest that a look may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
