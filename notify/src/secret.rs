//! Secrets of channels: how they come in, and how they are sealed.

use std::collections::BTreeMap;
use std::fmt;

use mast_schemas::TenantId;
use mast_secrets::{KeyProvider, Plaintext, Secret, SecretsError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that must not be seen. It is read from requests and written into what is sealed, and prints nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Secret);

impl SecretText {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    /// The text itself, for who sends it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The secrets of a channel by name: `password`, `key`, `url`, `headers/…`, `secrets/…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets(pub BTreeMap<String, SecretText>);

impl Secrets {
    /// Which there are.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Seals them for a tenant.
    ///
    /// # Errors
    /// Those of the keys.
    pub fn seal(&self, keys: &dyn KeyProvider, tenant: TenantId) -> Result<Vec<u8>, SecretsError> {
        let plain = serde_json::to_vec(self).map_err(|_| SecretsError::Credentials)?;
        keys.encrypt(tenant, &Plaintext::new(plain))
    }

    /// Opens what was sealed for the same tenant.
    ///
    /// # Errors
    /// Those of the keys; [`SecretsError::Credentials`] when the bytes are anything else.
    pub fn open(
        keys: &dyn KeyProvider,
        tenant: TenantId,
        sealed: &[u8],
    ) -> Result<Self, SecretsError> {
        let plain = keys.decrypt(tenant, sealed)?;
        serde_json::from_slice(plain.expose()).map_err(|_| SecretsError::Credentials)
    }

    /// A text without any of them: the other side may have sent them back.
    pub fn hide(&self, text: &str) -> String {
        let long = self
            .0
            .values()
            .map(SecretText::expose)
            .filter(|secret| secret.len() >= SHORT);
        let mut long: Vec<_> = long.collect();
        // A secret that holds another one first.
        long.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        long.into_iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// What is shorter is found in any text.
const SHORT: usize = 4;

#[cfg(test)]
mod tests {
    use mast_secrets::KeyFile;

    use super::*;

    fn secrets() -> Secrets {
        let of = |(name, text): (&str, &str)| (name.to_owned(), SecretText::new(text));
        Secrets(
            [
                ("key", "hunter2"),
                ("headers/A", "hunter2-long"),
                ("secrets/x", "a"),
            ]
            .map(of)
            .into(),
        )
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_tenant_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFile::open_or_create(&folder.path().join("key")).unwrap();
        let tenant = TenantId::new();
        let sealed = secrets().seal(&keys, tenant).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("hunter2"));
        assert_eq!(Secrets::open(&keys, tenant, &sealed).unwrap(), secrets());
        assert!(Secrets::open(&keys, TenantId::new(), &sealed).is_err());
    }

    #[test]
    fn nothing_prints_them_and_answers_are_freed_of_them() {
        assert!(!format!("{:?}", secrets()).contains("hunter2"));
        assert_eq!(
            secrets().hide("no hunter2-long, hunter2 alas"),
            "no ***, *** alas"
        );
    }
}
