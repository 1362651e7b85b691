//! What keeps a node from working, and what a person can do about it.

/// A fault of an ingest node. Faults of devices are rows, never errors.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Postgres is away or refuses; retried while the node runs.
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The log is away or refuses.
    #[error("the log: {0}")]
    Log(#[from] mast_log::LogError),
    /// Postgres does not answer; retried while the node runs.
    #[error("PostgreSQL does not answer")]
    Silent,
    /// The spool can't be used.
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
    /// This machine's clock and Postgres's differ too much for the rows' times to mean anything.
    #[error(
        "this machine's clock is {} ms {} of PostgreSQL's; at most 2000 ms are allowed, else the times of rows mean nothing. Nothing is \
        polled until the clocks agree: set them by NTP, on this machine and on PostgreSQL's", ahead_ms.abs(),
        if *ahead_ms > 0 { "ahead" } else { "behind" }
    )]
    Clock {
        /// Ours minus Postgres's.
        ahead_ms: i64,
    },
    /// A row of Postgres that no program of ours wrote.
    #[error("device {device}: {reason}")]
    Device {
        /// Its id.
        device: uuid::Uuid,
        /// What is wrong.
        reason: String,
    },
}
