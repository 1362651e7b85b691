//! Why there are no figures.

use std::io;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An option that makes no sense.
    #[error("{0}")]
    Options(String),
    /// The engine stopped.
    #[error(transparent)]
    Stopped(#[from] mast_dataflow::engine::Stopped),
    /// A message could not be made.
    #[error("telemetry cannot be encoded: {0}")]
    Schema(#[from] mast_schemas::SchemaError),
    /// The engine refused messages, so the figures would mean nothing.
    #[error("the engine refused {count} messages, the first because: {reason}")]
    Poison {
        /// How many.
        count: usize,
        /// Why the first.
        reason: String,
    },
    /// A checkpoint could not be written or read.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] mast_dataflow::DataflowError),
    /// No checkpoint was found where one had been written.
    #[error("the checkpoint just written is not there or not whole")]
    NoCheckpoint,
    /// The lake cannot be used.
    #[error(transparent)]
    Lake(#[from] mast_lake::LakeError),
    /// The database cannot be used.
    #[error(transparent)]
    Postgres(#[from] mast_postgres::PostgresError),
    /// A statement failed.
    #[error("the database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The query engine cannot be used.
    #[error(transparent)]
    Query(#[from] mast_query::QueryError),
    /// The API cannot be used.
    #[error(transparent)]
    Api(#[from] mast_api::ApiError),
    /// The key file cannot be used.
    #[error(transparent)]
    Keys(#[from] mast_secrets::SecretsError),
    /// The log cannot be used.
    #[error("the log: {0}")]
    Log(#[from] mast_log::LogError),
    /// The routers' TLS cannot be set up.
    #[error("the routers' certificate: {0}")]
    Certificate(String),
    /// A process of the measurement said something else than agreed.
    #[error("{part} said {said:?}: {source}")]
    Said {
        /// Which process.
        part: &'static str,
        /// Its line.
        said: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A process of the measurement ended too early.
    #[error("{part} ended before it was done ({status}); what it said above may tell why")]
    Ended {
        /// Which process.
        part: &'static str,
        /// How it ended.
        status: String,
    },
    /// The API does not speak HTTP any more.
    #[error("the API: {0}")]
    Http(#[from] hyper::Error),
    /// Something that must happen did not.
    #[error("{0}")]
    Stuck(String),
    /// A file, a process or a socket.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The folder for it, or the process's memory, cannot be read.
    #[error("file system: {0}")]
    Io(#[from] io::Error),
}

impl BenchError {
    /// Says what was tried.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
