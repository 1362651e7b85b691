//! Why the lake can't be written or read.

use std::path::PathBuf;

use crate::Table;

/// An error of the lake. `Fenced` ends the job; the others may be retried, the files of a failed commit stay invisible.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A newer generation of the job runs, or the job is not known.
    #[error(
        "job {job} generation {generation} may not write to the lake: a newer one runs, or the job has no progress row"
    )]
    Fenced {
        /// The job.
        job: String,
        /// The generation that was refused.
        generation: u64,
    },
    /// A job name that can't be part of a file name.
    #[error("job name {0:?} is not made of a-z, 0-9, - and _")]
    JobName(String),
    /// A batch that has not the schema of its table.
    #[error("rows for {table} have another schema: {reason}")]
    Schema {
        /// The table.
        table: Table,
        /// Where they differ.
        reason: String,
    },
    /// Rows for a table that is made of others.
    #[error("{0} is made of other tables; no rows are appended to it")]
    Made(Table),
    /// Another has replaced the rows of the manifest that were to be replaced; nothing is done, and it is looked again.
    #[error("the lake's manifest was changed by another meanwhile")]
    Overtaken,
    /// It was asked to end.
    #[error("stopped while it wrote files of the lake")]
    Stopped,
    /// A manifest row that this version can't read.
    #[error("bad manifest row of {table}: {reason}")]
    Manifest {
        /// Name of the table as stored.
        table: String,
        /// What is wrong.
        reason: String,
    },
    /// A file can't be written, synced, renamed or removed.
    #[error("lake file {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Arrow could not sort or slice the rows.
    #[error("rows of {table} can't be arranged: {source}")]
    Arrow {
        /// The table.
        table: Table,
        /// The cause.
        source: arrow::error::ArrowError,
    },
    /// Parquet could not be written.
    #[error("lake file {}: {source}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: parquet::errors::ParquetError,
    },
    /// The database failed.
    #[error("the lake's manifest in Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The thread that encoded the files ended without an answer.
    #[error("the encoding of lake files was cut off: {0}")]
    Encoder(#[from] tokio::task::JoinError),
}
