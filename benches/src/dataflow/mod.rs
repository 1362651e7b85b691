//! The dataflow under the load of a whole fleet: decode, all views and outputs, without log and database.
//!
//! The trap avoided: measuring the generator. A slot is encoded before its clock starts, the generator is idle while the
//! engine works, and CPU time is the process's over just that stretch.

mod fleet;
mod measure;
mod restart;
mod rules;
mod telemetry;

use mast_schemas::time::SLOT;
use serde::Serialize;

use crate::BenchError;

pub use measure::run;

/// The load and how it is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clients of the fleet; 30 of them on an access point.
    pub clients: u64,
    /// Worker threads of the engine.
    pub workers: usize,
    /// Event time between two calls for outputs, ms: a multiple of the slot's 250 ms. More than one slot a call is what the
    /// job does while it catches up.
    pub epoch_ms: u64,
    /// Rows in an epoch. `None`: each device is polled once a minute. A number: polls come as often as that needs, so that
    /// fleets of different size are compared under one load.
    pub rows_per_epoch: Option<u64>,
    /// Polls of each device in the measured part, after two that load the state.
    pub rounds: u32,
    /// Whether stations report their side of the link, one more row a poll.
    pub station_rows: bool,
    /// Alert rules in all, of all kinds: a tenth judge a tenant, the others a site or sector each.
    pub rules: u64,
    /// Event time that a restart replays, s: as long as a checkpoint may be old.
    pub replay_s: u64,
    /// Seed of the fleet's dice.
    pub seed: u64,
    /// Bytes that the program holds on its heap, where its allocator can tell. Without it, resident memory stands in.
    pub heap_bytes: Option<fn() -> u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clients: 1_000_000,
            workers: 1,
            epoch_ms: 250,
            rows_per_epoch: None,
            rounds: 2,
            station_rows: false,
            rules: 0,
            replay_s: 60,
            seed: 1,
            heap_bytes: None,
        }
    }
}

impl Options {
    /// Slots in an epoch.
    fn slots_per_epoch(&self) -> Result<u64, BenchError> {
        let slot_ms = SLOT.0.unsigned_abs() / 1_000;
        if self.clients == 0
            || self.workers == 0
            || self.rounds == 0
            || self.rows_per_epoch == Some(0)
        {
            return Err(BenchError::Options(
                "clients, workers, rounds and rows per epoch must be at least 1".to_owned(),
            ));
        }
        if self.epoch_ms == 0 || !self.epoch_ms.is_multiple_of(slot_ms) {
            return Err(BenchError::Options(format!(
                "an epoch is a multiple of {slot_ms} ms, not {} ms",
                self.epoch_ms
            )));
        }
        Ok(self.epoch_ms / slot_ms)
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Rows per second of CPU time of the process while the engine works. A row is a registration or a device's status.
    pub rows_per_s_per_core: f64,
    /// CPU time per row, µs.
    pub us_per_row: f64,
    /// Memory that the engine took, per client; see `bytes_are`.
    pub bytes_per_client: f64,
    /// Half of the epochs took no longer, from the first slot fed to all outputs, ms.
    pub epoch_p50_ms: f64,
    /// All but a hundredth took no longer, ms.
    pub epoch_p99_ms: f64,
    /// From an empty engine to the outputs of the last slot: checkpoint read, state rebuilt, `replay_s` replayed.
    pub restart_s: f64,
    /// What `bytes_per_client` is: `heap` in use, or growth of `resident` memory.
    pub bytes_are: &'static str,
    /// Clients.
    pub clients: u64,
    /// Access points.
    pub aps: u64,
    /// Clients that are managed devices themselves.
    pub managed: u64,
    /// Alert rules.
    pub rules: u64,
    /// Worker threads.
    pub workers: usize,
    /// Event time of an epoch, ms.
    pub epoch_ms: u64,
    /// Event time between two polls of a device, s.
    pub interval_s: f64,
    /// Rows measured.
    pub rows: u64,
    /// Epochs measured.
    pub epochs: u64,
    /// Rows in a mean epoch.
    pub rows_per_epoch: f64,
    /// Bytes of a row as it lies in the log, with its interfaces and all columns.
    pub log_bytes_per_row: f64,
    /// CPU time, s.
    pub cpu_s: f64,
    /// Wall time, s.
    pub wall_s: f64,
    /// Event time that passed per second of wall time.
    pub times_real_time: f64,
    /// Changed rows of views (devices, links, counts, signals) told in the measured part.
    pub view_rows: u64,
    /// Transitions told in it.
    pub events: u64,
    /// Alerts that are open at its end.
    pub alerts_open: i64,
    /// CPU time per row of the first polls, which make all state, µs.
    pub load_us_per_row: f64,
    /// Resident memory of the process at the end of the measured part, generator included.
    pub rss_bytes: u64,
    /// The restart in parts.
    pub restart: Restart,
}

/// A restart in parts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Restart {
    /// How long the workers stood still to copy their state out, s.
    pub snapshot_s: f64,
    /// How long the copy took to disk, beside the workers, s.
    pub write_s: f64,
    /// Bytes on disk.
    pub checkpoint_bytes: u64,
    /// Reading it, s. The page cache is warm.
    pub load_s: f64,
    /// Rebuilding the state, s.
    pub rebuild_s: f64,
    /// Event time replayed, s.
    pub replayed_s: f64,
    /// Replaying it, s.
    pub replay_s: f64,
}
