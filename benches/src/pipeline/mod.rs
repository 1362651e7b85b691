//! The whole way of a sample, from simulated devices to what is committed in Postgres: what the command `bench pipeline`
//! reports, and how polls are counted. The parts themselves are the binary's own commands.

mod follower;
mod ledger;

use serde::Serialize;

pub use follower::Follower;
pub use ledger::{Counted, Ledger};

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Rows a second: registrations, and the status of a device for each poll.
    pub rows_per_s: f64,
    /// Half of the rows were visible in Postgres so long after they were observed, ms.
    pub fresh_p50_ms: Option<u64>,
    /// All but a hundredth were, ms.
    pub fresh_p99_ms: Option<u64>,
    /// Half of the changes of state were heard of in a live stream so long after the poll that saw them, ms; null without any.
    pub stream_p50_ms: Option<u64>,
    /// All but a hundredth were, ms.
    pub stream_p99_ms: Option<u64>,
    /// Changes of state that were heard of.
    pub stream_changes: u64,
    /// Polls that were due and are not in the log.
    pub missed_polls: u64,
    /// CPU time of all parts, in cores.
    pub cpu_cores: f64,
    /// Resident memory of all parts at the end.
    pub rss_bytes: u64,
    /// Devices.
    pub devices: u32,
    /// What they are: `varied` or `carrier`, see `mast simulate --help`.
    pub mix: String,
    /// Time between two polls of a device, s.
    pub interval_s: f64,
    /// How long was measured, s.
    pub seconds: f64,
    /// How long it took until every device had been polled, s.
    pub warm_up_s: f64,
    /// Which log.
    pub log: String,
    /// Polls that were due.
    pub due_polls: u64,
    /// Polls in the log.
    pub polls: u64,
    /// Polls that read nothing.
    pub failed_polls: u64,
    /// Rows that freshness is of.
    pub fresh_rows: u64,
    /// Part by part.
    pub parts: Vec<Part>,
}

/// What a part used.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// CPU time in cores.
    pub cpu_cores: f64,
    /// Resident memory at the end; of Postgres without the buffers that its processes share.
    pub rss_bytes: u64,
}
