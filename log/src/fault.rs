//! Points at which a test lets the process die.
//!
//! With `MAST_FAULT_POINT=<name>` the process kills itself with SIGKILL when it comes to that point the first time, with
//! `MAST_FAULT_POINT=<name>:<n>` the n-th time. No destructor runs, nothing is flushed: that is what a kill of the process
//! does at the worst moment. Without the variable a point costs one atomic load.
//!
//! It stands beside the log because who writes to it and who reads it know nothing else in common.
//!
//! | point | just done, not yet done |
//! |---|---|
//! | `after_ingest_append` | a batch of polls is in the log; ingest has not taken note |
//! | `after_relay_append` | control records are in the log; the relay's progress is not in Postgres |
//! | `after_binding` | bindings are in the log; nothing of their slots was computed |
//! | `after_commit` | a group is committed in Postgres; lake and event topic know nothing of it |
//! | `after_lake_file` | files of the lake are on the disk; the manifest does not name them |
//! | `after_manifest` | the lake's manifest names them; the writer has not taken note |
//! | `after_upkeep_files` | files of a rollup, or that take the place of others, are on the disk; the manifest does not name them |
//! | `before_upkeep_commit` | the change of the manifest is made; its transaction is not committed |
//! | `after_upkeep_commit` | it is committed; files that ended are still there |
//! | `amid_checkpoint` | half of the files of a checkpoint are written |
//! | `after_checkpoint` | a checkpoint is complete; Postgres does not know, nothing is trimmed |

//! And disks that a test fills: with `MAST_FAULT_FULL=<folder>` the disk of `log`, `lake` or `checkpoints` has no room as
//! long as a file of that name is in the folder. Every write of theirs then ends as one on a full disk does.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Name of the environment variable.
pub const VARIABLE: &str = "MAST_FAULT_POINT";
/// Name of the variable that names the folder of full disks.
pub const FULL: &str = "MAST_FAULT_FULL";

struct Plan {
    name: String,
    left: AtomicU32,
}

impl Plan {
    fn parse(text: &str) -> Self {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        Self {
            name: name.to_owned(),
            left: AtomicU32::new(count.parse().unwrap_or(1)),
        }
    }

    fn due(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

/// Dies here if the environment says so.
pub fn point(name: &str) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let plan = PLAN.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| Plan::parse(&text)));
    if plan.as_ref().is_some_and(|plan| plan.due(name)) {
        die();
    }
}

/// An error if the environment says that this disk is full.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`].
pub fn room(disk: &str) -> io::Result<()> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os(FULL).map(PathBuf::from));
    match folder {
        Some(folder) if folder.join(disk).exists() => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    }
}

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // Only reached if the kernel refused, which it cannot for a process's own SIGKILL.
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_visit_of_the_named_point_is_due_once() {
        let plan = Plan::parse("after_commit:3");
        let due: Vec<bool> = (0..5).map(|_| plan.due("after_commit")).collect();
        assert_eq!(due, [false, false, true, false, false]);
        assert!(!plan.due("after_binding"));
        assert!(Plan::parse("after_binding").due("after_binding"));
    }
}
