//! Everything that ends a job, told apart by what a person must do next.

use std::fmt;
use std::path::{Path, PathBuf};

use mast_lake::LakeError;
use mast_log::LogError;
use mast_schemas::SchemaError;
use mast_schemas::metric::Metric;

use crate::engine::Stopped;

/// Records that a partition lost before they were worked off: the offsets `wanted..first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The topic.
    pub topic: &'static str,
    /// The partition.
    pub partition: u32,
    /// Offset that is needed.
    pub wanted: u64,
    /// First offset that is left.
    pub first: u64,
}

impl Lost {
    /// How many.
    pub const fn records(&self) -> u64 {
        self.first.saturating_sub(self.wanted)
    }

    /// Shows it in the metrics.
    pub(crate) fn show(&self) {
        let partition = self.partition.to_string();
        Metric::DataflowGap.set_count(&[self.topic, &partition], self.records());
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            partition,
            wanted,
            first,
        } = self;
        let (last, records) = (first.saturating_sub(1), self.records());
        write!(
            f,
            "{topic} partition {partition} lost {records} records that are needed, offsets {wanted} to {last}"
        )
    }
}

/// Partitions that an error names; the metrics name all.
const NAMED: usize = 4;

fn listed(lost: &[Lost]) -> String {
    let named: Vec<String> = lost.iter().take(NAMED).map(Lost::to_string).collect();
    let more = match lost.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} partitions more"),
    };
    named.join("; ") + &more
}

/// What a person does about a gap.
pub(crate) fn accept(checkpoints: &Path) -> String {
    format!(
        "Restore a checkpoint that is newer than what was lost into {}; or accept that what was lost is missing in views and \
         history, and begin anew with what the log still holds: `mast dataflow --accept-gap`, or dataflow.accept_gap = true \
         for one start. Devices are unobserved then until a poll of theirs is read",
        checkpoints.display()
    )
}

/// Why a job could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DataflowError {
    /// The log dropped records that the job still needs.
    #[error("gap: {}. {}", listed(lost), accept(checkpoints))]
    Gap {
        /// What was lost, by topic and partition.
        lost: Vec<Lost>,
        /// Where the checkpoints are.
        checkpoints: PathBuf,
    },
    /// The log refused.
    #[error("log, topic {topic} partition {partition}: {source}")]
    Log {
        /// The topic.
        topic: &'static str,
        /// The partition.
        partition: u32,
        /// The reason.
        #[source]
        source: LogError,
    },
    /// The database is not the one that the log was bound with: a new one, or an older copy.
    #[error(
        "the log was bound by generation {found} of job {job}, but the database knows of none after {generation}: it is a new \
         one, or an older copy. Put the newer database back; or, to begin anew, move log, lake and checkpoints away as well"
    )]
    Foreign {
        /// The job.
        job: String,
        /// The generation that the database gave.
        generation: u64,
        /// The one found in the log or in a checkpoint.
        found: u64,
    },
    /// A record that nothing can be done without.
    #[error("{topic} partition {partition} offset {offset} cannot be read: {source}")]
    Record {
        /// The topic.
        topic: &'static str,
        /// The partition.
        partition: u32,
        /// The record.
        offset: u64,
        /// The reason.
        #[source]
        source: SchemaError,
    },
    /// Another job wrote to the bindings at the same time.
    #[error(
        "another generation of job {job} writes bindings: offset {found} instead of {expected}; this one stops"
    )]
    Bindings {
        /// The job.
        job: String,
        /// Offset that the binding should have got.
        expected: u64,
        /// Offset that it got.
        found: u64,
    },
    /// The bindings were made for another number of partitions.
    #[error(
        "the telemetry topic has {configured} partitions, its bindings are for {bound}; the number cannot change"
    )]
    Partitions {
        /// As configured.
        configured: u32,
        /// As bound.
        bound: usize,
    },
    /// A newer generation of the job has taken over.
    #[error(
        "job {job} generation {generation} is no longer the newest: another process has taken it over; this one stops"
    )]
    Fenced {
        /// The job.
        job: String,
        /// The generation that was refused.
        generation: u64,
    },
    /// Another process runs the job.
    #[error("another process runs job {job}; it holds the lease {lease}")]
    Held {
        /// The job.
        job: String,
        /// The lease.
        lease: String,
    },
    /// Another process uses the data folder.
    #[error("{} is locked: another process runs this job from this folder", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Postgres refused in a way that waiting does not mend.
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The lake refused.
    #[error("lake: {0}")]
    Lake(#[from] LakeError),
    /// As many rows wait for the lake as may.
    #[error(
        "{} MiB of history wait in memory for the lake, which cannot be committed, and no more may (dataflow.lake_buffer_mib); \
         the log holds what follows", bytes >> 20
    )]
    Waiting {
        /// Memory of the rows.
        bytes: u64,
    },
    /// A file of a checkpoint is damaged or missing.
    #[error("checkpoint file {}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// What we touched.
        path: PathBuf,
        /// Why it refused.
        #[source]
        source: std::io::Error,
    },
    /// The dataflow workers have stopped.
    #[error(transparent)]
    Engine(#[from] Stopped),
    /// A task of the job ended without an answer.
    #[error("the job's {task} ended without an answer: {reason}")]
    Task {
        /// Which one.
        task: &'static str,
        /// What it said.
        reason: String,
    },
}

impl DataflowError {
    /// Names the path in a file system's refusal.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// Names topic and partition in a log's refusal.
    pub(crate) fn log(topic: &'static str, partition: u32) -> impl FnOnce(LogError) -> Self {
        move |source| Self::Log {
            topic,
            partition,
            source,
        }
    }

    /// The log is full or its broker is away: it may pass without anybody's doing.
    pub(crate) const fn is_log_away(&self) -> bool {
        matches!(self, Self::Log { source, .. } if source.is_passing())
    }
}
