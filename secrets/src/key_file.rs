//! The key file of a standalone installation.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use mast_schemas::TenantId;
use rand::TryRngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use crate::{KeyProvider, Plaintext, SecretsError};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// First byte of a sealed value: version, nonce, ciphertext with tag.
const VERSION: u8 = 1;

/// XChaCha20-Poly1305 under one key from a file. The nonce is random: with its 192 bits one never comes twice.
#[derive(Clone)]
pub struct KeyFile {
    /// Overwrites itself when dropped.
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFile")
    }
}

impl KeyFile {
    /// Reads the key.
    ///
    /// # Errors
    /// [`SecretsError::Missing`], [`SecretsError::Mode`], [`SecretsError::Length`], [`SecretsError::NotAFile`],
    /// [`SecretsError::File`].
    pub fn open(path: &Path) -> Result<Self, SecretsError> {
        let refused = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => SecretsError::Missing {
                path: path.to_owned(),
            },
            _ => SecretsError::File {
                path: path.to_owned(),
                source,
            },
        };
        if !std::fs::symlink_metadata(path).map_err(refused)?.is_file() {
            return Err(SecretsError::NotAFile {
                path: path.to_owned(),
            });
        }
        let mut file = File::open(path).map_err(refused)?;
        let meta = file.metadata().map_err(refused)?;
        let mode = meta.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretsError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        if meta.len() != KEY_BYTES as u64 {
            let (length, expected) = (meta.len(), KEY_BYTES as u64);
            return Err(SecretsError::Length {
                path: path.to_owned(),
                length,
                expected,
            });
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        file.read_exact(key.as_mut_slice()).map_err(refused)?;
        Ok(Self::from_key(&key))
    }

    /// Reads the key, or makes one where there is no file. For an installation that may be new; where credentials are
    /// stored already use [`open`](Self::open), which says what is lost.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`SecretsError::Unavailable`] when there are no random numbers.
    pub fn open_or_create(path: &Path) -> Result<Self, SecretsError> {
        match Self::open(path) {
            Err(SecretsError::Missing { .. }) => Self::create(path)?,
            other => return other,
        }
        Self::open(path)
    }

    /// Writes a new key beside its place and links it there: a key file is whole or absent, and of two processes that make
    /// one at a time both take the first.
    fn create(path: &Path) -> Result<(), SecretsError> {
        let refused = |source| SecretsError::File {
            path: path.to_owned(),
            source,
        };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random(key.as_mut_slice())?;
        let mut suffix = [0; 8];
        random(&mut suffix)?;
        let fresh = path.with_added_extension(format!("{:016x}", u64::from_le_bytes(suffix)));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(refused)?;
        let written = file
            .write_all(key.as_slice())
            .and_then(|()| file.sync_all());
        let linked = written.and_then(|()| match std::fs::hard_link(&fresh, path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        });
        std::fs::remove_file(&fresh).map_err(refused)?;
        linked.map_err(refused)?;
        match path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            Some(parent) => File::open(parent)
                .and_then(|dir| dir.sync_all())
                .map_err(refused),
            None => Ok(()),
        }
    }

    fn from_key(key: &[u8; KEY_BYTES]) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(key.into()),
        }
    }

    fn seal(
        &self,
        tenant_id: TenantId,
        nonce: [u8; NONCE_BYTES],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SecretsError> {
        let aad = associated(tenant_id);
        let payload = Payload {
            msg: plaintext,
            aad: &aad,
        };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| SecretsError::Unavailable {
            reason: "the secret is too long".to_owned(),
        })?;
        Ok([&[VERSION], &nonce[..], &sealed].concat())
    }
}

impl KeyProvider for KeyFile {
    fn encrypt(&self, tenant_id: TenantId, plaintext: &Plaintext) -> Result<Vec<u8>, SecretsError> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        self.seal(tenant_id, nonce, plaintext.expose())
    }

    fn decrypt(&self, tenant_id: TenantId, sealed: &[u8]) -> Result<Plaintext, SecretsError> {
        let (&version, rest) = sealed
            .split_first()
            .ok_or(SecretsError::Form { version: 0 })?;
        if version != VERSION {
            return Err(SecretsError::Form { version });
        }
        let (nonce, ciphertext) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SecretsError::Unreadable)?;
        let aad = associated(tenant_id);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        let opened = self.cipher.decrypt(XNonce::from_slice(nonce), payload);
        opened
            .map(Plaintext::new)
            .map_err(|_| SecretsError::Unreadable)
    }
}

/// What a ciphertext is bound to: its form and its tenant.
fn associated(tenant_id: TenantId) -> [u8; 17] {
    let mut bytes = [VERSION; 17];
    bytes[1..].copy_from_slice(tenant_id.as_bytes());
    bytes
}

fn random(bytes: &mut [u8]) -> Result<(), SecretsError> {
    OsRng
        .try_fill_bytes(bytes)
        .map_err(|e| SecretsError::Unavailable {
            reason: e.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::path::PathBuf;

    use super::*;

    fn key() -> KeyFile {
        KeyFile::from_key(&[7; KEY_BYTES])
    }

    fn text(text: &str) -> Plaintext {
        Plaintext::new(text.as_bytes().to_vec())
    }

    fn file(dir: &tempfile::TempDir) -> PathBuf {
        dir.path().join("key")
    }

    #[test]
    fn what_is_sealed_opens_and_never_looks_the_same() {
        let (keys, tenant) = (key(), TenantId::new());
        let sealed = keys.encrypt(tenant, &text("s3cret")).unwrap();
        assert_eq!(keys.decrypt(tenant, &sealed).unwrap(), text("s3cret"));
        assert_ne!(keys.encrypt(tenant, &text("s3cret")).unwrap(), sealed);
        assert!(!sealed.windows(6).any(|w| w == b"s3cret"));
    }

    #[test]
    fn the_form_stays_readable() {
        // Key 07…, tenant 09…, nonce 01…: what version 1 writes today must open for ever.
        let tenant = TenantId::from_bytes([9; 16]);
        let sealed = key().seal(tenant, [1; NONCE_BYTES], b"router").unwrap();
        let hex: String = sealed.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "01010101010101010101010101010101010101010101010101c31b7639ac9efe69aeb1f2f7fe2b3d467552ca664708"
        );
    }

    #[test]
    fn another_tenant_key_or_byte_does_not_open_it() {
        let (keys, tenant) = (key(), TenantId::new());
        let sealed = keys.encrypt(tenant, &text("s3cret")).unwrap();
        assert!(matches!(
            keys.decrypt(TenantId::new(), &sealed),
            Err(SecretsError::Unreadable)
        ));
        let other = KeyFile::from_key(&[8; KEY_BYTES]);
        assert!(matches!(
            other.decrypt(tenant, &sealed),
            Err(SecretsError::Unreadable)
        ));
        for n in 1..sealed.len() {
            let mut changed = sealed.clone();
            changed[n] ^= 1;
            assert!(
                matches!(
                    keys.decrypt(tenant, &changed),
                    Err(SecretsError::Unreadable)
                ),
                "byte {n}"
            );
            assert!(
                matches!(
                    keys.decrypt(tenant, &sealed[..n]),
                    Err(SecretsError::Unreadable)
                ),
                "cut at {n}"
            );
        }
        assert!(matches!(
            keys.decrypt(tenant, &[]),
            Err(SecretsError::Form { version: 0 })
        ));
        assert!(matches!(
            keys.decrypt(tenant, &[9, 1]),
            Err(SecretsError::Form { version: 9 })
        ));
    }

    #[test]
    fn a_batch_has_an_outcome_for_each() {
        let (keys, tenant) = (key(), TenantId::new());
        let good = keys.encrypt(tenant, &text("a")).unwrap();
        let foreign = keys.encrypt(TenantId::new(), &text("b")).unwrap();
        let opened = keys
            .decrypt_batch(tenant, &[&good, &foreign, &good])
            .unwrap();
        assert!(opened[0].is_ok() && opened[1].is_err() && opened[2].is_ok());
    }

    #[test]
    fn a_new_key_is_random_private_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (path, tenant) = (file(&dir), TenantId::new());
        let sealed = KeyFile::open_or_create(&path)
            .unwrap()
            .encrypt(tenant, &text("x"))
            .unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            KeyFile::open_or_create(&path)
                .unwrap()
                .decrypt(tenant, &sealed)
                .unwrap(),
            text("x")
        );
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing left beside it"
        );
        let other = dir.path().join("other");
        KeyFile::open_or_create(&other).unwrap();
        assert_ne!(
            std::fs::read(&path).unwrap(),
            std::fs::read(&other).unwrap()
        );
    }

    #[test]
    fn a_bad_key_file_is_refused_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir);
        let missing = KeyFile::open(&path).unwrap_err();
        assert!(missing.to_string().contains("backup"), "{missing}");

        std::fs::write(&path, [0; 31]).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let mode = KeyFile::open_or_create(&path).unwrap_err();
        assert!(
            mode.to_string().contains("0640") && mode.to_string().contains("chmod 600"),
            "{mode}"
        );

        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        let length = KeyFile::open_or_create(&path).unwrap_err();
        assert!(
            matches!(length, SecretsError::Length { length: 31, .. }),
            "{length}"
        );

        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(
            KeyFile::open(&link),
            Err(SecretsError::NotAFile { .. })
        ));
        assert!(matches!(
            KeyFile::open(dir.path()),
            Err(SecretsError::NotAFile { .. })
        ));
    }

    #[test]
    fn a_provider_does_not_print() {
        assert_eq!(format!("{:?}", key()), "KeyFile");
    }
}
