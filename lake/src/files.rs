//! Names and durability of lake files.
//!
//! A file's name says the job, its generation and the epoch range, so a replay of a range writes the same name again. The
//! trap avoided: `rename` alone is not durable; the file and then its folder are synced before the manifest names it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use mast_schemas::Epoch;
use uuid::Uuid;

use crate::encode::{FileSummary, FileWriter};
use crate::{LakeError, Table};

/// Ending of a file that is being written.
const TEMPORARY: &str = "tmp";

/// The file of a manifest entry, under the lake's root.
pub fn path_of(root: &Path, relative: &str) -> PathBuf {
    root.join(relative)
}

/// Folder of a job's files of one table, relative to the root.
pub(crate) fn folder(table: Table, job: &str) -> String {
    format!("{table}/{job}")
}

/// Name of a file relative to the root. `part` numbers the files of one range.
pub(crate) fn name(
    table: Table,
    job: &str,
    generation: u64,
    from: Epoch,
    to: Epoch,
    part: usize,
) -> String {
    format!(
        "{}/g{generation}-e{:020}-{:020}-{part}.parquet",
        folder(table, job),
        from.0,
        to.0
    )
}

/// Name of a file that is made of others. A range can be made anew, so such names are never used again.
pub(crate) fn made_name(table: Table, job: &str, generation: u64, id: Uuid, part: usize) -> String {
    let folder = folder(table, job);
    format!("{folder}/g{generation}-m{}-{part}.parquet", id.simple())
}

/// The generation in a file's name; null for a file that is not ours.
fn generation(file_name: &str) -> Option<u64> {
    file_name.strip_prefix('g')?.split('-').next()?.parse().ok()
}

/// Writes a file through `fill`, whole and durable, or not at all: what was written of one that failed is removed, so that
/// a full disk gets no fuller.
pub(crate) fn write_durably<T>(
    path: &Path,
    fill: impl FnOnce(File) -> Result<(File, T), LakeError>,
) -> Result<T, LakeError> {
    let temporary = path.with_extension(TEMPORARY);
    let written = write_by_way_of(&temporary, path, fill);
    if written.is_err() {
        // The next start removes what stays.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_by_way_of<T>(
    temporary: &Path,
    path: &Path,
    fill: impl FnOnce(File) -> Result<(File, T), LakeError>,
) -> Result<T, LakeError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| LakeError::File { path, source }
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let (file, value) = fill(File::create(temporary).map_err(at(temporary))?)?;
    file.sync_all().map_err(at(temporary))?;
    fs::rename(temporary, path).map_err(at(path))?;
    sync_folder(folder)?;
    Ok(value)
}

/// Writes sorted rows to files of about `target_bytes`, each whole and durable, or none. `name` gives the n-th file's.
pub(crate) fn write_sorted_files(
    root: &Path,
    table: Table,
    rows: impl Iterator<Item = Result<RecordBatch, LakeError>>,
    target_bytes: u64,
    name: impl Fn(usize) -> String,
) -> Result<Vec<FileSummary>, LakeError> {
    let mut written = Vec::new();
    let all = write_files(root, table, rows, target_bytes, name, &mut written);
    if all.is_err() {
        // Why they could not be written matters more than that they could not be removed; the next start does that.
        let _ = remove(root, written.iter().map(|file| file.path.as_str()));
    }
    all.map(|()| written)
}

fn write_files(
    root: &Path,
    table: Table,
    rows: impl Iterator<Item = Result<RecordBatch, LakeError>>,
    target_bytes: u64,
    name: impl Fn(usize) -> String,
    written: &mut Vec<FileSummary>,
) -> Result<(), LakeError> {
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let relative = name(written.len());
        let summary = write_durably(&path_of(root, &relative), |mut file| {
            let mut writer = FileWriter::new(table, &relative, &mut file)?;
            while let Some(batch) = rows.next_if(|_| writer.bytes() < target_bytes) {
                writer.write(&batch?)?;
            }
            let summary = writer.finish()?;
            Ok((file, summary))
        })?;
        written.push(summary);
    }
    Ok(())
}

/// Removes files; one that is gone is gone.
pub(crate) fn remove<'p>(
    root: &Path,
    paths: impl IntoIterator<Item = &'p str>,
) -> Result<(), LakeError> {
    for path in paths {
        let path = path_of(root, path);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(LakeError::File { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|source| LakeError::File {
            path: folder.to_owned(),
            source,
        })
}

/// Creates the job's folders, durable up to the root, so that a file's own folder sync is enough.
pub(crate) fn create_folders(root: &Path, job: &str) -> Result<(), LakeError> {
    for table in Table::ALL {
        let path = root.join(folder(table, job));
        fs::create_dir_all(&path).map_err(|source| LakeError::File {
            path: path.clone(),
            source,
        })?;
        sync_folder(&root.join(table.as_str()))?;
    }
    sync_folder(root)
}

/// Removes what the manifest does not name and this generation or an older one left behind. Returns how many files.
pub(crate) fn clean(
    root: &Path,
    job: &str,
    own_generation: u64,
    named: &HashSet<String>,
) -> Result<usize, LakeError> {
    let mut removed = 0;
    for table in Table::ALL {
        let relative = folder(table, job);
        let path = root.join(&relative);
        let at = |source| LakeError::File {
            path: path.clone(),
            source,
        };
        for entry in fs::read_dir(&path).map_err(at)? {
            let entry = entry.map_err(at)?;
            let file_name = entry.file_name().to_string_lossy().into_owned();
            let ours = generation(&file_name).is_some_and(|g| g <= own_generation);
            if ours && !named.contains(&format!("{relative}/{file_name}")) {
                fs::remove_file(entry.path()).map_err(|source| LakeError::File {
                    path: entry.path(),
                    source,
                })?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}
