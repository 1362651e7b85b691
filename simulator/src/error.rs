//! What can go wrong when a fleet is started or controlled.

use std::{io, path::PathBuf};

/// A fleet could not be started, or a control line was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// A scenario or control line says something the fleet cannot do; the caller's fault.
    #[error("scenario line {line}: {reason}")]
    Scenario {
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The configuration cannot be carried out.
    #[error("simulator configuration: {0}")]
    Config(String),
    /// The journal is of another fleet or is not a journal.
    #[error("journal {}: {reason}; remove it to start a new fleet", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A socket or file operation failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The fleet's certificate could not be made.
    #[error("making the fleet's certificate: {0}")]
    Certificate(String),
    /// The fleet answered a control line with an error.
    #[error("refused by the fleet: {0}")]
    Refused(String),
}

impl SimulatorError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
