//! Checkpoints on a disk.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use mast_log::fault;
use mast_schemas::Epoch;
use mast_schemas::checkpoint::{Manifest, Part};
use mast_schemas::metric::Metric;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::file;
use crate::error::DataflowError;
use crate::outputs::Snapshot;

/// How many checkpoints are kept.
pub const KEPT: usize = 3;

const MANIFEST: &str = "manifest.json";
const TEMPORARY: &str = ".part-";
/// In the order of their loading.
const PARTS: [(Part, &str); 18] = [
    (Part::Control, "control"),
    (Part::Devices, "devices"),
    (Part::Roam, "roam"),
    (Part::Aps, "aps"),
    (Part::Caps, "caps"),
    (Part::Bssids, "bssids"),
    (Part::ApFlags, "flags"),
    (Part::Shown, "shown"),
    (Part::Health, "health"),
    (Part::Limits, "limits"),
    (Part::Rules, "rules"),
    (Part::Windows, "windows"),
    (Part::Cores, "cores"),
    (Part::Judged, "judged"),
    (Part::Throughput, "throughput"),
    (Part::Trends, "trends"),
    (Part::Alerts, "alerts"),
    (Part::Incidents, "incidents"),
];

/// A complete checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its folder.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// The complete checkpoints in `dir`, newest first; none when the folder does not exist. A manifest that cannot be read is
/// told in the log and left out.
///
/// # Errors
/// [`DataflowError::File`] when the folder cannot be read.
pub fn list(dir: &Path) -> Result<Vec<Stored>, DataflowError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(DataflowError::file(dir)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(DataflowError::file(dir))?.path();
        let manifest = path.join(MANIFEST);
        if temporary(&path) || !manifest.exists() {
            continue;
        }
        match read_manifest(&manifest) {
            Ok(manifest) => found.push(Stored { path, manifest }),
            Err(reason) => {
                tracing::warn!(file = %manifest.display(), reason, "checkpoint left out");
            }
        }
    }
    found.sort_by_key(|s| std::cmp::Reverse((s.manifest.epoch, s.manifest.generation)));
    Ok(found)
}

fn read_manifest(file: &Path) -> Result<Manifest, String> {
    let bytes = fs::read(file).map_err(|e| e.to_string())?;
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}

/// A checkpoint's folder, and its epoch or what is wrong with it.
pub type Inspected = (PathBuf, Result<Epoch, String>);

/// Every checkpoint in `dir`, newest first by name, with its epoch, and what is wrong with it if something is. Reads all
/// files.
///
/// # Errors
/// [`DataflowError::File`] when the folder cannot be read.
pub fn inspect(dir: &Path) -> Result<Vec<Inspected>, DataflowError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(DataflowError::file(dir)(e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(DataflowError::file(dir))?.path();
        if !temporary(&path) && path.join(MANIFEST).exists() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    paths.reverse();
    let look = |path: PathBuf| {
        let manifest = read_manifest(&path.join(MANIFEST));
        let whole = manifest.and_then(|manifest| match load(&path, &manifest) {
            Ok(_) => Ok(manifest.epoch),
            Err(error) => Err(error.to_string()),
        });
        (path, whole)
    };
    Ok(paths.into_iter().map(look).collect())
}

/// The state of a checkpoint. Its files are read by all cores: a restart waits for nothing else.
///
/// # Errors
/// [`DataflowError::Checkpoint`] naming the file that is missing, damaged or of another version.
pub fn load(dir: &Path, manifest: &Manifest) -> Result<Snapshot, DataflowError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Snapshot {
        epoch: manifest.epoch,
        ..Snapshot::default()
    };
    let next = AtomicUsize::new(0);
    let reader = || {
        let mut read = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = manifest.files.get(i) else {
                return Ok(read);
            };
            read.push((i, load_file(dir, name)?));
        }
    };
    let read = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(reader)).collect();
        let read = readers.into_iter().map(|reader| {
            reader
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        read.collect::<Result<Vec<_>, DataflowError>>()
    });
    // In the order of the manifest, whoever read what.
    let mut parts: Vec<_> = read?.into_iter().flatten().collect();
    parts.sort_unstable_by_key(|(i, _)| *i);
    parts.into_iter().for_each(|(_, part)| all.join(part));
    Ok(all)
}

fn load_file(dir: &Path, name: &str) -> Result<Snapshot, DataflowError> {
    let mut snapshot = Snapshot::default();
    let path = dir.join(name);
    let bad = |reason: String| DataflowError::Checkpoint {
        path: path.clone(),
        reason,
    };
    let part = PARTS
        .iter()
        .find(|(_, prefix)| name.starts_with(&format!("{prefix}-")))
        .map(|(part, _)| *part);
    let part = part.ok_or_else(|| bad("belongs to no part".to_owned()))?;
    let bytes = fs::read(&path).map_err(|e| bad(e.to_string()))?;
    let read = match part {
        Part::Control => file::decode(part, &bytes).map(|(_, rows)| snapshot.control = rows),
        Part::Limits => file::decode(part, &bytes).map(|(_, rows)| snapshot.limits = rows),
        Part::Rules => file::decode(part, &bytes).map(|(_, rows)| snapshot.rules = rows),
        Part::Windows => file::decode(part, &bytes).map(|(_, rows)| snapshot.windows = rows),
        Part::Cores => file::decode(part, &bytes).map(|(_, rows)| snapshot.cores = rows),
        Part::Judged => read(part, &bytes, &mut snapshot.judged),
        Part::Throughput => read(part, &bytes, &mut snapshot.throughput),
        Part::Trends => read(part, &bytes, &mut snapshot.trends),
        Part::Alerts => read(part, &bytes, &mut snapshot.alerts),
        Part::Incidents => read(part, &bytes, &mut snapshot.incidents),
        Part::Devices => read(part, &bytes, &mut snapshot.devices),
        Part::Roam => read(part, &bytes, &mut snapshot.roam),
        Part::Aps => read(part, &bytes, &mut snapshot.aps),
        Part::Caps => read(part, &bytes, &mut snapshot.caps),
        Part::Bssids => read(part, &bytes, &mut snapshot.bssids),
        Part::ApFlags => read(part, &bytes, &mut snapshot.ap_flags),
        Part::Shown => read(part, &bytes, &mut snapshot.shown),
        Part::Health => read(part, &bytes, &mut snapshot.health),
    };
    read.map_err(bad)?;
    Ok(snapshot)
}

fn read<R: DeserializeOwned>(
    part: Part,
    bytes: &[u8],
    into: &mut Vec<(u8, R)>,
) -> Result<(), String> {
    let (header, records) = file::decode(part, bytes)?;
    into.extend(records.into_iter().map(|record| (header.key_group, record)));
    Ok(())
}

/// The newest checkpoint whose files are whole, with its state, that is not newer than `committed`: outputs between a
/// database that was put back from a copy and a checkpoint would never be made. An older one stands in for a damaged one,
/// which is told in the log.
///
/// # Errors
/// [`DataflowError::File`] when the folder cannot be read.
pub fn newest(dir: &Path, committed: Epoch) -> Result<Option<(Stored, Snapshot)>, DataflowError> {
    for stored in list(dir)? {
        if stored.manifest.epoch > committed {
            let (checkpoint, epoch) = (stored.path.display(), committed.0);
            tracing::warn!(%checkpoint, epoch, "checkpoint left out: it is newer than what the database holds");
            continue;
        }
        match load(&stored.path, &stored.manifest) {
            Ok(snapshot) => return Ok(Some((stored, snapshot))),
            Err(error) => {
                Metric::DataflowCheckpointFailures.add(&[], 1);
                let checkpoint = stored.path.display();
                let remedy =
                    "put it back from a copy; until then a restart replays more of the log";
                tracing::error!(%checkpoint, %error, remedy, "damaged checkpoint; trying an older one");
            }
        }
    }
    Ok(None)
}

/// Writes a checkpoint and removes all but the newest [`KEPT`]. `manifest.files` is filled in here. Returns the complete
/// checkpoints, newest first.
///
/// Slow (it syncs every file): not for a thread that others wait for.
///
/// # Errors
/// [`DataflowError::File`]; the checkpoint is then not there, and the others are untouched.
pub fn write(
    dir: &Path,
    mut manifest: Manifest,
    snapshot: &Snapshot,
) -> Result<Vec<Stored>, DataflowError> {
    let name = format!("{}-{}", manifest.epoch.0, manifest.generation);
    let (temporary, path) = (dir.join(format!("{TEMPORARY}{name}")), dir.join(&name));
    fs::create_dir_all(dir).map_err(DataflowError::file(dir))?;
    clean(dir)?;
    if path.join(MANIFEST).exists() {
        return list(dir);
    }
    fs::create_dir(&temporary).map_err(DataflowError::file(&temporary))?;
    manifest.files = write_parts(&temporary, snapshot)?;
    sync(&temporary)?;
    fs::rename(&temporary, &path).map_err(DataflowError::file(&path))?;
    sync(dir)?;

    let (unnamed, named) = (path.join("manifest.json.part"), path.join(MANIFEST));
    // A struct of numbers, strings and lists always serializes.
    let json = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    write_file(&unnamed, &json)?
        .sync_all()
        .map_err(DataflowError::file(&unnamed))?;
    fs::rename(&unnamed, &named).map_err(DataflowError::file(&named))?;
    sync(&path)?;
    fault::point("after_checkpoint");
    retire(dir)
}

/// Files of all parts, all written before the first is waited for: so the disk writes them together.
fn write_parts(dir: &Path, snapshot: &Snapshot) -> Result<Vec<String>, DataflowError> {
    let mut files = Files {
        dir,
        open: Vec::new(),
    };
    files.put(Part::Control, 0, &Vec::from_iter(&snapshot.control))?;
    files.put(Part::Limits, 0, &Vec::from_iter(&snapshot.limits))?;
    files.put_groups(Part::Devices, &snapshot.devices)?;
    files.put_groups(Part::Roam, &snapshot.roam)?;
    fault::point("amid_checkpoint");
    files.put_groups(Part::Aps, &snapshot.aps)?;
    files.put_groups(Part::Caps, &snapshot.caps)?;
    files.put_groups(Part::Bssids, &snapshot.bssids)?;
    files.put_groups(Part::ApFlags, &snapshot.ap_flags)?;
    files.put_groups(Part::Shown, &snapshot.shown)?;
    files.put_groups(Part::Health, &snapshot.health)?;
    files.put(Part::Rules, 0, &Vec::from_iter(&snapshot.rules))?;
    files.put(Part::Windows, 0, &Vec::from_iter(&snapshot.windows))?;
    files.put(Part::Cores, 0, &Vec::from_iter(&snapshot.cores))?;
    files.put_groups(Part::Judged, &snapshot.judged)?;
    files.put_groups(Part::Throughput, &snapshot.throughput)?;
    files.put_groups(Part::Trends, &snapshot.trends)?;
    files.put_groups(Part::Alerts, &snapshot.alerts)?;
    files.put_groups(Part::Incidents, &snapshot.incidents)?;
    for (name, file) in &files.open {
        file.sync_all()
            .map_err(DataflowError::file(&dir.join(name)))?;
    }
    Ok(files.open.into_iter().map(|(name, _)| name).collect())
}

struct Files<'a> {
    dir: &'a Path,
    open: Vec<(String, fs::File)>,
}

impl Files<'_> {
    fn put_groups<R: Serialize>(
        &mut self,
        part: Part,
        records: &[(u8, R)],
    ) -> Result<(), DataflowError> {
        let mut groups: Vec<Vec<&R>> = Vec::new();
        groups.resize_with(256, Vec::new);
        for (group, record) in records {
            groups[usize::from(*group)].push(record);
        }
        for (group, records) in (0..=u8::MAX).zip(groups) {
            self.put(part, group, &records)?;
        }
        Ok(())
    }

    fn put<R: Serialize>(
        &mut self,
        part: Part,
        group: u8,
        records: &[&R],
    ) -> Result<(), DataflowError> {
        if records.is_empty() {
            return Ok(());
        }
        let prefix = PARTS
            .iter()
            .find(|(p, _)| *p == part)
            .map_or("", |(_, prefix)| prefix);
        let name = format!("{prefix}-{group:03}.bin");
        let path = self.dir.join(&name);
        let bytes = file::encode(part, group, records.iter().copied()).map_err(|reason| {
            DataflowError::Checkpoint {
                path: path.clone(),
                reason,
            }
        })?;
        self.open.push((name, write_file(&path, &bytes)?));
        Ok(())
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<fs::File, DataflowError> {
    fault::room("checkpoints").map_err(DataflowError::file(path))?;
    let mut file = fs::File::create(path).map_err(DataflowError::file(path))?;
    file.write_all(bytes).map_err(DataflowError::file(path))?;
    Ok(file)
}

fn sync(dir: &Path) -> Result<(), DataflowError> {
    fs::File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(DataflowError::file(dir))
}

fn temporary(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY))
}

/// Removes what a kill left unfinished: temporary folders and those without a manifest.
fn clean(dir: &Path) -> Result<(), DataflowError> {
    for entry in fs::read_dir(dir).map_err(DataflowError::file(dir))? {
        let path = entry.map_err(DataflowError::file(dir))?.path();
        if path.is_dir() && (temporary(&path) || !path.join(MANIFEST).exists()) {
            fs::remove_dir_all(&path).map_err(DataflowError::file(&path))?;
        }
    }
    Ok(())
}

/// Removes all but the newest; the manifest first, so that a kill leaves no checkpoint with missing files.
fn retire(dir: &Path) -> Result<Vec<Stored>, DataflowError> {
    let mut all = list(dir)?;
    for old in all.split_off(all.len().min(KEPT)) {
        let manifest = old.path.join(MANIFEST);
        fs::remove_file(&manifest).map_err(DataflowError::file(&manifest))?;
        fs::remove_dir_all(&old.path).map_err(DataflowError::file(&old.path))?;
    }
    Ok(all)
}
