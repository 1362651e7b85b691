//! A text that must not be seen.

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize, Serializer};

/// What is shown instead.
pub(crate) const HIDDEN: &str = "***";

/// A password. It neither prints nor is written anywhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for the one who must know it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// The first line of a file.
    fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("read the password file {}", file.display()))?;
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            bail!("the password file {} has no first line", file.display());
        }
        Ok(Self(line.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// The password of a section: given, or in a file.
pub(super) fn password(
    given: Option<&Secret>,
    file: Option<&Path>,
) -> anyhow::Result<Option<Secret>> {
    match (given, file) {
        (Some(_), Some(_)) => bail!("must not be set beside a password file; keep one of the two"),
        (Some(given), None) => Ok(Some(given.clone())),
        (None, Some(file)) => Secret::read(file).map(Some),
        (None, None) => Ok(None),
    }
}
