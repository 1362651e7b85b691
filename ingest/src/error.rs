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
    /// Another node polls. Retried until its lease ends.
    #[error("another ingest node holds the lease {0}")]
    Held(String),
    /// This machine's clock and Postgres's differ too much for the rows' times to mean anything.
    #[error(
        "this machine's clock is {0} ms off PostgreSQL's; at most 2000 ms are allowed, synchronise it (NTP)"
    )]
    Clock(i64),
    /// A row of Postgres that no program of ours wrote.
    #[error("device {device}: {reason}")]
    Device {
        /// Its id.
        device: uuid::Uuid,
        /// What is wrong.
        reason: String,
    },
}
