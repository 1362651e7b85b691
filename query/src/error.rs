//! Why a query has no answer, and whose fault it is.

use datafusion::error::DataFusionError;

/// An error of a query. The first three are the asker's to mend, the rest are ours.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A statement that is not a query.
    #[error("only queries are allowed here, and this is none: {0}")]
    Refused(String),
    /// SQL that doesn't parse, or names what isn't there.
    #[error("{0}")]
    Sql(String),
    /// The query passed a limit of the installation.
    #[error("the query was stopped: {0}")]
    Limit(String),
    /// The query failed while it ran.
    #[error("the query failed: {0}")]
    Execution(#[source] DataFusionError),
    /// Postgres failed.
    #[error("reading from Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// The lake's manifest could not be read.
    #[error("reading the lake: {0}")]
    Lake(#[from] mast_lake::LakeError),
    /// An answer could not be written in the wanted format.
    #[error("writing the answer: {0}")]
    Format(#[from] arrow::error::ArrowError),
    /// An answer could not be written out.
    #[error("writing the answer: {0}")]
    Write(#[from] std::io::Error),
    /// The threads for queries could not be started, or are gone.
    #[error("query threads: {0}")]
    Threads(String),
}

/// Whose fault it is, and so what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The asker's: the query must be another one, for this reason.
    Asker(String),
    /// It was too much for the limits.
    Limit(String),
    /// Postgres is away; the same query will do later.
    Away,
    /// Ours.
    Ours,
}

impl QueryError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Refused(_) | Self::Sql(_) => Fault::Asker(self.to_string()),
            Self::Limit(_) => Fault::Limit(self.to_string()),
            other if is_passing(other) => Fault::Away,
            Self::Execution(error) => match error.find_root() {
                // What only shows when values are there, such as a division by zero.
                root @ (DataFusionError::ArrowError(..) | DataFusionError::Execution(_)) => {
                    Fault::Asker(format!("the query failed: {}", root.strip_backtrace()))
                }
                _ => Fault::Ours,
            },
            _ => Fault::Ours,
        }
    }
}

/// Whether the reason, at whatever depth, is that Postgres is away.
fn is_passing(error: &QueryError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let away = error.downcast_ref().is_some_and(mast_postgres::is_passing);
        if away {
            return true;
        }
        cause = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    false
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(why) => Self::Limit(why.clone()),
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..) => Self::Sql(error.find_root().strip_backtrace()),
            DataFusionError::NotImplemented(_) => Self::Sql(error.find_root().strip_backtrace()),
            _ => Self::Execution(error),
        }
    }
}

/// A failure of ours inside a DataFusion operator.
pub(crate) fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
