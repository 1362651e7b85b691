//! Sealed secrets, as they come back from a database.

use mast_schemas::TenantId;
use mast_secrets::{Credentials, KeyFile, KeyProvider, Plaintext};

/// What was decrypted, and what is to be: refused or read, and what is read is written the same.
pub(crate) fn credentials(data: &[u8]) {
    if let Ok(read) = Credentials::decode(&Plaintext::new(data.to_vec())) {
        assert_eq!(read.encode().expose(), data);
    }
    thread_local! {
        static KEY: Option<KeyFile> = key();
    }
    KEY.with(|key| {
        let Some(key) = key else {
            return;
        };
        assert!(
            key.decrypt(TenantId::default(), data).is_err(),
            "nobody can write what this key opens"
        );
    });
}

fn key() -> Option<KeyFile> {
    let path = std::env::temp_dir().join(format!("mast-fuzz-key-{}", std::process::id()));
    let key = KeyFile::open_or_create(&path).ok();
    let _ = std::fs::remove_file(&path);
    key
}
