//! What can go wrong beside a delivery, whose faults are its own outcome.

use mast_secrets::SecretsError;

/// A fault of what notifications stand on.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The database refused or is away; what was begun is rolled back.
    #[error("PostgreSQL: {0}")]
    Sql(#[from] sqlx::Error),
    /// The secrets of a channel can't be sealed or opened.
    #[error("secrets of a channel: {0}")]
    Secrets(#[from] SecretsError),
    /// An authority that is to be trusted is none. Name a PEM file of certificates in `notify.ca`.
    #[error("an authority for TLS can't be used: {0}")]
    Authority(String),
}
