//! What lies on disks: the log, checkpoints, the lake, the key.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mast_dataflow::checkpoint;
use mast_lake::Contents;
use mast_log::{Log, LogError};
use mast_schemas::health::{Health, Part, State};
use mast_schemas::{Epoch, topics};
use mast_secrets::{KeyFile, SecretsError};

use crate::standalone::Paths;

/// Less room than this will soon be none.
const LITTLE_BYTES: u64 = 1 << 30;
/// Less than this is none: a segment of the log and a checkpoint need more.
const NONE_BYTES: u64 = 128 << 20;
/// Missing files that are counted, not all of them named.
const NAMED: usize = 1;

/// Whether the newest record of every partition can be read.
pub(crate) fn log(log: &dyn Log) -> Health {
    let mut health = Health::ok(Part::Log, "main");
    let (mut records, mut kept) = (0, 0);
    for topic in topics::ALL {
        let partitions = match log.partitions(topic) {
            Ok(partitions) => partitions,
            Err(LogError::UnknownTopic { .. }) => continue,
            Err(error) => return in_trouble(health, &error),
        };
        for partition in 0..partitions {
            let looked = log.ends(topic, partition).and_then(|ends| {
                if ends.next > ends.first {
                    log.read(topic, partition, ends.next - 1, 1)?;
                }
                Ok(ends)
            });
            match looked {
                Ok(ends) => {
                    records += ends.next;
                    kept += ends.next - ends.first;
                }
                Err(error) => health = in_trouble(health, &error),
            }
        }
    }
    health.number("records", records).number("kept", kept)
}

fn in_trouble(health: Health, error: &LogError) -> Health {
    let remedy = match error {
        LogError::Corrupt { .. } => {
            "as the reason says: put the file back from a copy, or cut it there"
        }
        LogError::Broker { .. } => {
            "see that the broker runs and can be reached; the parts go on by themselves"
        }
        _ => "see the log's folder, or its broker",
    };
    health.troubled(State::Failed, error.to_string(), remedy)
}

/// Room on the disks that the folders lie on.
pub(crate) fn disks(paths: &Paths) -> Vec<Health> {
    let mut disks: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
    for path in [
        paths.root().to_owned(),
        paths.log(),
        paths.lake(),
        paths.checkpoints(),
        paths.postgres(),
    ] {
        let (Ok(meta), Ok(disk)) = (std::fs::metadata(&path), rustix::fs::statvfs(&path)) else {
            continue;
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        disks.entry(meta.dev()).or_insert((path, free));
    }
    let health = |(path, free): (PathBuf, u64)| {
        let health = Health::ok(Part::Disk, path.display().to_string()).number("free_bytes", free);
        let remedy =
            "make room: what cannot be written waits, and polls are dropped when too many wait";
        let reason = format!("{} MiB are free", free >> 20);
        match free {
            ..NONE_BYTES => health.troubled(State::Failed, reason, remedy),
            NONE_BYTES..LITTLE_BYTES => health.troubled(State::Degraded, reason, remedy),
            _ => health,
        }
    };
    disks.into_values().map(health).collect()
}

/// Whether checkpoints are whole, and whether those are there that `noted` in Postgres tells of.
pub(crate) fn checkpoints(folder: &Path, noted: Option<Epoch>) -> Health {
    let health = Health::ok(Part::Checkpoints, "kept");
    let found = match checkpoint::inspect(folder) {
        Ok(found) => found,
        Err(error) => {
            let remedy = "see that the folder can be read by who runs mast";
            return health.troubled(State::Failed, error.to_string(), remedy);
        }
    };
    let whole: Vec<Epoch> = found
        .iter()
        .filter_map(|(_, e)| e.as_ref().ok().copied())
        .collect();
    let mut health = health
        .number("whole", whole.len() as u64)
        .number("damaged", (found.len() - whole.len()) as u64);
    let noted = noted.filter(|noted| *noted > Epoch(0));
    if let (Some(noted), None) = (noted, whole.iter().max()) {
        let reason = format!(
            "no whole checkpoint is in {}, but one of epoch {} was written: a restart will need records that the log no \
             longer has",
            folder.display(),
            noted.0
        );
        let remedy = "put the folder back from a copy before anything is started again";
        health = health.troubled(State::Failed, reason, remedy);
    }
    for (path, damage) in &found {
        if let Err(reason) = damage {
            let reason = format!("checkpoint {} is damaged: {reason}", path.display());
            let remedy = "none is needed while an older one is whole, which a restart uses; put it back from a copy, or \
                          remove its folder";
            health = health.troubled(State::Degraded, reason, remedy);
        }
    }
    health
}

/// Whether the files that the manifest names are there, as long as they were written.
pub(crate) fn lake(root: &Path, contents: &Contents) -> Health {
    let (mut missing, mut bytes) = (Vec::new(), 0);
    for file in &contents.files {
        let path = root.join(&file.summary.path);
        bytes += file.summary.bytes;
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() == file.summary.bytes => {}
            Ok(_) => missing.push(format!("{} has another length", path.display())),
            Err(error) => missing.push(format!("{}: {error}", path.display())),
        }
    }
    let health = Health::ok(Part::Lake, "files")
        .number("files", contents.files.len() as u64)
        .number("bytes", bytes)
        .number("missing", missing.len() as u64);
    if missing.is_empty() {
        return health;
    }
    let examples = missing.iter().take(NAMED).cloned().collect::<Vec<_>>();
    let reason = format!(
        "{} files of history are not as they were written, such as {}",
        missing.len(),
        examples.join(", ")
    );
    let remedy = "put them back from a copy; queries over that time fail until then";
    health.troubled(State::Failed, reason, remedy)
}

/// Whether the key is there that opens the devices' credentials. `sealed` = whether there are any.
pub(crate) fn keys(file: &Path, sealed: bool) -> Health {
    let health = Health::ok(Part::Keys, "key file");
    match KeyFile::open(file) {
        Ok(_) => health,
        Err(SecretsError::Missing { .. }) if !sealed => health.troubled(State::Stopped, "", ""),
        Err(error @ SecretsError::Missing { .. }) => {
            let remedy = "put the key file back from a copy. Without one the credentials are lost: import them again, with a \
                          new key file";
            health.troubled(State::Failed, error.to_string(), remedy)
        }
        Err(error) => {
            let remedy = "as the reason says, or put the key file back from a copy";
            health.troubled(State::Failed, error.to_string(), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_credentials_need_and_is_not_there_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert_eq!(keys(&file, false).state, State::Stopped);
        let lost = keys(&file, true);
        assert_eq!(lost.state, State::Failed);
        assert!(lost.remedy.contains("from a copy"), "{lost:?}");
        KeyFile::open_or_create(&file).unwrap();
        assert_eq!(keys(&file, true).state, State::Ok);
    }

    #[test]
    fn checkpoints_that_postgres_knows_of_and_are_not_there_are_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("none");
        assert_eq!(checkpoints(&none, None).state, State::Ok);
        assert_eq!(checkpoints(&none, Some(Epoch(0))).state, State::Ok);
        let lost = checkpoints(&none, Some(Epoch(77)));
        assert_eq!(lost.state, State::Failed);
        assert!(lost.reason.contains("epoch 77"), "{lost:?}");
    }

    #[test]
    fn a_disk_is_named_once_with_its_room() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("log")).unwrap();
        let disks = disks(&Paths::new(folder.path()));
        assert_eq!(disks.len(), 1);
        assert!(disks[0].numbers["free_bytes"] > 0);
    }
}
