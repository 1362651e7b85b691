//! Last words in the data folder: `health/<part>-<name>.json`, replaced whole.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use mast_schemas::Timestamp;
use mast_schemas::health::Health;
use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Word {
    /// How the part was.
    #[serde(flatten)]
    pub(crate) health: Health,
    /// Since when, by this machine's clock.
    pub(crate) since: Timestamp,
    /// When it said so.
    pub(crate) seen_at: Timestamp,
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// Writes how parts are. Without a sync: after a power failure nobody needs to know how they were before.
pub(crate) fn write(folder: &Path, parts: &[Health]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for health in parts {
        let name: String = health
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let path = folder.join(format!("{}-{name}.json", health.part));
        let seen_at = now();
        let since = read_one(&path)
            .filter(|before| before.health.state == health.state)
            .map_or(seen_at, |before| before.since);
        let word = Word {
            health: health.clone(),
            since,
            seen_at,
        };
        let unnamed = path.with_extension("part");
        fs::write(&unnamed, serde_json::to_vec(&word)?)?;
        fs::rename(&unnamed, &path)?;
    }
    Ok(())
}

/// All last words in the folder; what is no word is left out.
pub(crate) fn read(folder: &Path) -> Vec<Word> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .filter_map(|path| read_one(&path))
        .collect()
}

fn read_one(path: &Path) -> Option<Word> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

impl Word {
    /// How long ago it was said, milliseconds.
    pub(crate) fn age_ms(&self) -> i64 {
        (now() - self.seen_at).0.max(0) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::health::{Part, State};

    #[test]
    fn a_word_says_since_when_and_a_half_written_one_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let ok = Health::ok(Part::Lake, "main");
        write(folder.path(), std::slice::from_ref(&ok)).unwrap();
        let first = read(folder.path()).remove(0);
        write(folder.path(), std::slice::from_ref(&ok)).unwrap();
        let again = read(folder.path()).remove(0);
        assert_eq!((again.health, again.since), (ok.clone(), first.since));
        let bad = ok.troubled(State::Failed, "full", "make room");
        write(folder.path(), std::slice::from_ref(&bad)).unwrap();
        assert!(read(folder.path())[0].since >= again.seen_at);
        fs::write(folder.path().join("lake-main.json"), "{\"part\"").unwrap();
        assert!(read(folder.path()).is_empty());
    }
}
