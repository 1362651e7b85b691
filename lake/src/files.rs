//! Names and durability of lake files.
//!
//! A file's name says the job, its generation and the epoch range, so a replay of a range writes the same name again. The
//! trap avoided: `rename` alone is not durable; the file and then its folder are synced before the manifest names it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mast_schemas::Epoch;

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

/// The generation in a file's name; null for a file that is not ours.
fn generation(file_name: &str) -> Option<u64> {
    file_name.strip_prefix('g')?.split('-').next()?.parse().ok()
}

/// Writes a file through `fill`, whole and durable, or not at all.
pub(crate) fn write_durably<T>(
    path: &Path,
    fill: impl FnOnce(File) -> Result<(File, T), LakeError>,
) -> Result<T, LakeError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| LakeError::File { path, source }
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at(folder))?;
    let temporary = path.with_extension(TEMPORARY);
    let (file, value) = fill(File::create(&temporary).map_err(at(&temporary))?)?;
    file.sync_all().map_err(at(&temporary))?;
    fs::rename(&temporary, path).map_err(at(path))?;
    sync_folder(folder)?;
    Ok(value)
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
