#![doc = include_str!("../README.md")]

mod credentials;
mod error;
mod followed;
mod key_file;
mod secret;

use mast_schemas::TenantId;

pub use credentials::Credentials;
pub use error::SecretsError;
pub use followed::FollowedKeyFile;
pub use key_file::KeyFile;
pub use secret::{Plaintext, Secret};

/// Seals and opens what must not lie about in clear, tenant by tenant.
pub trait KeyProvider: Send + Sync {
    /// Seals `plaintext` for a tenant. Twice the same gives different bytes.
    ///
    /// # Errors
    /// [`SecretsError::Unavailable`] when the keys cannot be had now.
    fn encrypt(&self, tenant_id: TenantId, plaintext: &Plaintext) -> Result<Vec<u8>, SecretsError>;

    /// Opens what was sealed for the same tenant.
    ///
    /// # Errors
    /// [`SecretsError::Unreadable`] when the bytes were changed, are another tenant's or another key's;
    /// [`SecretsError::Form`] when this version does not know their form; [`SecretsError::Unavailable`].
    fn decrypt(&self, tenant_id: TenantId, sealed: &[u8]) -> Result<Plaintext, SecretsError>;

    /// What keeps the keys from being used, now or after a restart, with the remedy.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Opens many of one tenant, each with its own outcome; one round trip where the keys are remote.
    ///
    /// # Errors
    /// [`SecretsError::Unavailable`] when the keys cannot be had now.
    fn decrypt_batch(
        &self,
        tenant_id: TenantId,
        sealed: &[&[u8]],
    ) -> Result<Vec<Result<Plaintext, SecretsError>>, SecretsError> {
        Ok(sealed
            .iter()
            .map(|sealed| self.decrypt(tenant_id, sealed))
            .collect())
    }
}
