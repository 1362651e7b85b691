//! What can go wrong with keys and what they seal. No text here holds any of it.

use std::path::PathBuf;

/// A fault of a key or of sealed bytes.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// There is no key file.
    #[error(
        "there is no key file at {}; put the key of this installation back from its backup, as nothing else opens the \
         stored credentials", path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others may read or write the key file.
    #[error(
        "the key file {} has mode {mode:04o}; only its owner may read it: `chmod 600 {}`", path.display(), path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no key.
    #[error(
        "the key file {} holds {length} bytes instead of {expected}; put the right file back from its backup", path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes in it.
        length: u64,
        /// Bytes of a key.
        expected: u64,
    },
    /// The file is a folder or a device, or reached through a symbolic link.
    #[error("{} is not a plain file; name the key file itself", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("the key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes do not open with this key for this tenant.
    #[error(
        "the stored secret does not open: it was sealed with another key, for another tenant, or was changed; enter it again"
    )]
    Unreadable,
    /// The bytes begin with a version that is not known here.
    #[error(
        "the stored secret has form {version}, which this version of Mast does not know; it was stored by a newer one"
    )]
    Form {
        /// The first byte; 0 if there is none.
        version: u8,
    },
    /// What was sealed is not credentials.
    #[error("the stored secret does not hold credentials; enter them again")]
    Credentials,
    /// The keys or the random numbers cannot be had now; try again.
    #[error("the key service cannot be used now: {reason}")]
    Unavailable {
        /// Why, without any secret.
        reason: String,
    },
}
