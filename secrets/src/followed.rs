//! A key file that is looked after while a process runs.
//!
//! The key stays in memory: a file that is lost or damaged keeps nobody from working now, but it would after a restart, so it is
//! told. A file that is put right, or put in another's place, is used from then on.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mast_schemas::TenantId;

use crate::{KeyFile, KeyProvider, Plaintext, SecretsError};

/// The key of a file, as it is now.
pub struct FollowedKeyFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last key that could be read.
    key: Option<KeyFile>,
    /// Which file was looked at last.
    seen: Option<Seen>,
    trouble: Option<String>,
}

/// What tells a file from what it was before.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    changed: (i64, i64),
    length: u64,
}

impl FollowedKeyFile {
    /// Looks after the file. One that is not there, or is no key, is told by [`KeyProvider::trouble`].
    pub fn new(path: &Path) -> Self {
        let followed = Self {
            path: path.to_owned(),
            state: Mutex::default(),
        };
        drop(followed.look());
        followed
    }

    fn look(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = std::fs::symlink_metadata(&self.path).ok().map(|meta| Seen {
            file: (meta.dev(), meta.ino()),
            // Changes with contents and mode.
            changed: (meta.ctime(), meta.ctime_nsec()),
            length: meta.len(),
        });
        if seen.is_none() || seen != state.seen {
            match KeyFile::open(&self.path) {
                Ok(key) => (state.key, state.trouble) = (Some(key), None),
                Err(error) => {
                    let until = if state.key.is_some() {
                        "; the key in memory opens credentials until this process ends"
                    } else {
                        ""
                    };
                    state.trouble = Some(format!("{error}{until}"));
                }
            }
            state.seen = seen;
        }
        state
    }

    fn key(&self) -> Result<KeyFile, SecretsError> {
        let state = self.look();
        state.key.clone().ok_or_else(|| SecretsError::Unavailable {
            reason: state.trouble.clone().unwrap_or_default(),
        })
    }
}

impl KeyProvider for FollowedKeyFile {
    fn encrypt(&self, tenant_id: TenantId, plaintext: &Plaintext) -> Result<Vec<u8>, SecretsError> {
        self.key()?.encrypt(tenant_id, plaintext)
    }

    fn decrypt(&self, tenant_id: TenantId, sealed: &[u8]) -> Result<Plaintext, SecretsError> {
        self.key()?.decrypt(tenant_id, sealed)
    }

    fn trouble(&self) -> Option<String> {
        self.look().trouble.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_lost_opens_on_and_is_told_and_one_that_returns_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let tenant = TenantId::new();
        let secret = Plaintext::new(b"s3cret".to_vec());

        let followed = FollowedKeyFile::new(&path);
        let why = followed.trouble().unwrap();
        assert!(why.contains("there is no key file"), "{why}");
        let refused = followed.encrypt(tenant, &secret).unwrap_err().to_string();
        assert!(refused.contains("put the key"), "{refused}");

        let first = KeyFile::open_or_create(&path).unwrap();
        let sealed = first.encrypt(tenant, &secret).unwrap();
        assert_eq!(followed.trouble(), None);
        assert_eq!(followed.decrypt(tenant, &sealed).unwrap(), secret);

        let kept = folder.path().join("backup");
        std::fs::rename(&path, &kept).unwrap();
        let why = followed.trouble().unwrap();
        assert!(why.contains("key in memory"), "{why}");
        assert_eq!(followed.decrypt(tenant, &sealed).unwrap(), secret);

        std::fs::write(&path, b"short").unwrap();
        assert!(followed.trouble().unwrap().contains("mode"));
        std::fs::remove_file(&path).unwrap();

        KeyFile::open_or_create(&path).unwrap();
        assert_eq!(followed.trouble(), None, "another key is a key");
        let wrong = followed.decrypt(tenant, &sealed);
        assert!(matches!(wrong, Err(SecretsError::Unreadable)));

        std::fs::rename(&kept, &path).unwrap();
        assert_eq!(followed.decrypt(tenant, &sealed).unwrap(), secret);
    }
}
