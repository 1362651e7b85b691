//! What a writer of the model can be told.

use mast_secrets::SecretsError;

use crate::inventory::Problem;

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The text is no inventory. Fix it and try again.
    #[error("the inventory cannot be read: line {line}, column {column}: {reason}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong, without the values of the file: they may be passwords.
        reason: String,
    },
    /// The inventory contradicts itself or the model's rules. Nothing was written.
    #[error("the inventory has {} {}:{}", problems.len(), if problems.len() == 1 { "problem" } else { "problems" }, list(problems))]
    Inventory {
        /// All of them, in the order of the file.
        problems: Vec<Problem>,
    },
    /// Credentials could not be sealed or compared. Tenants before this one are imported.
    #[error("credentials: {0}")]
    Secrets(#[from] SecretsError),
    /// Such a token can't be made.
    #[error("no such token: {reason}")]
    Token {
        /// Why.
        reason: String,
    },
    /// The server could not be started.
    #[error("serve {address}: {source}")]
    Listen {
        /// Where it was to listen.
        address: std::net::SocketAddr,
        /// Why it can't.
        source: std::io::Error,
    },
    /// The engine of queries could not be started.
    #[error("queries: {0}")]
    Query(#[from] mast_query::QueryError),
    /// The database refused or is away; the transaction at hand is rolled back. Importing again goes on.
    #[error("PostgreSQL: {0}")]
    Sql(#[from] sqlx::Error),
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .fold(String::new(), |all, problem| format!("{all}\n  {problem}"))
}
