//! An installation: a data folder with its lake, checkpoints and key file, a database and a log, and the parts that run on
//! them, in one process or in several.

mod database;
pub(crate) mod log;
mod parts;
mod paths;
mod signals;
mod wait;

pub(crate) use self::database::{Database, attached, existing};
pub(crate) use self::parts::{
    GRACE, Installation, Whole, api, api_config, dataflow, ingest, keys, keys_of,
};
pub(crate) use self::paths::{Paths, replace};
pub(crate) use self::signals::{at_once, stop_signal, until_stopped};
pub(crate) use self::wait::{NotYet, patiently};

/// Name of the one job of an installation.
pub(crate) const JOB: &str = "main";
/// Exit code of a command that a signal ended before its work was done, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;
