//! Whether the lake is what its manifest says: every file there with its size and rows, none named twice, none left over,
//! and each table's ranges of epochs without a hole or an overlap.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use mast_schemas::Epoch;
use parquet::file::reader::{FileReader, SerializedFileReader};
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};

use crate::{FileSummary, LakeError, files};

/// A file that nothing names may be one that is being written; after this time it is none.
const WRITING: Duration = Duration::from_secs(600);

/// What came of a check.
#[derive(Debug, Default, serde::Serialize)]
pub struct CheckReport {
    /// Rows of the manifest.
    pub ranges: u64,
    /// Files that it names.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files that end when nobody reads them any more.
    pub ending: u64,
    /// New files that nothing names: they are being written, or a start removes them.
    pub being_written: u64,
    /// What is not as it should be.
    pub findings: Vec<String>,
}

/// A row of the manifest.
struct Range {
    job: String,
    table: String,
    from: Epoch,
    to: Epoch,
    files: Vec<FileSummary>,
}

/// Checks all of the lake under `root`; tells `progress` how many files of how many are done.
pub async fn check(
    conn: &mut PgConnection,
    root: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<CheckReport, LakeError> {
    // What is on the disk is listed before the manifest is read: what is written meanwhile is not missed by either.
    let (all, listed) = (root.to_owned(), root.to_owned());
    let found = tokio::task::spawn_blocking(move || list(&listed)).await??;
    let mut tx = conn.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *tx)
        .await?;
    crate::hold(&mut tx).await?;
    let ranges = ranges(&mut tx).await?;
    let ended: Vec<String> = sqlx::query_scalar("SELECT path FROM lake_ended_files")
        .fetch_all(&mut *tx)
        .await?;
    let mut report = CheckReport {
        ending: ended.len() as u64,
        findings: seams(&ranges),
        ..CheckReport::default()
    };
    let total = ranges.iter().map(|r| r.files.len() as u64).sum();
    let mut named: HashSet<String> = HashSet::new();
    for range in &ranges {
        report.ranges += 1;
        for file in &range.files {
            report.files += 1;
            (report.rows, report.bytes) = (report.rows + file.rows, report.bytes + file.bytes);
            let (path, told) = (files::path_of(&all, &file.path), file.clone());
            let looked = tokio::task::spawn_blocking(move || look(&path, &told)).await?;
            report
                .findings
                .extend(looked.map(|what| format!("{}: {what}", file.path)));
            if !named.insert(file.path.clone()) {
                report
                    .findings
                    .push(format!("{}: is named twice by the manifest", file.path));
            }
            progress(report.files, total);
        }
    }
    named.extend(ended);
    // What was removed meanwhile is not left over.
    let there = |path: &String| !named.contains(path) && files::path_of(&all, path).exists();
    for (path, modified) in found.into_iter().filter(|(path, _)| there(path)) {
        if SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|age| age > WRITING)
        {
            report.findings.push(format!(
                "{path}: nothing names it; the next start of the dataflow removes it"
            ));
        } else {
            report.being_written += 1;
        }
    }
    tx.commit().await?;
    Ok(report)
}

async fn ranges(conn: &mut PgConnection) -> Result<Vec<Range>, LakeError> {
    type Stored = (String, String, i64, i64, Json<Vec<FileSummary>>);
    let rows: Vec<Stored> = sqlx::query_as(
        "SELECT job, table_name, epoch_from, epoch_to, files FROM lake_manifest
         ORDER BY job, table_name, epoch_from",
    )
    .fetch_all(conn)
    .await?;
    let range = |(job, table, from, to, files): (_, _, i64, i64, Json<_>)| Range {
        job,
        table,
        from: Epoch(from.cast_unsigned()),
        to: Epoch(to.cast_unsigned()),
        files: files.0,
    };
    Ok(rows.into_iter().map(range).collect())
}

/// Where ranges of a job's table do not follow each other.
fn seams(ranges: &[Range]) -> Vec<String> {
    let pair = |pair: &[Range]| match pair {
        [a, b] if (&a.job, &a.table) == (&b.job, &b.table) && b.from != a.to.next() => {
            let what = if b.from > a.to {
                "a hole"
            } else {
                "an overlap"
            };
            let (job, table, to, from) = (&a.job, &a.table, a.to.0, b.from.0);
            Some(format!(
                "{table} of job {job}: {what} between the range up to slot {to} and that from slot {from}"
            ))
        }
        _ => None,
    };
    ranges.windows(2).filter_map(pair).collect()
}

/// What is wrong with a file.
fn look(path: &Path, told: &FileSummary) -> Option<String> {
    let bytes = match std::fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(error) => return Some(error.to_string()),
    };
    if bytes != told.bytes {
        return Some(format!("{bytes} bytes, not {}", told.bytes));
    }
    let read = File::open(path)
        .map_err(Into::into)
        .and_then(SerializedFileReader::new);
    match read.map(|file| file.metadata().file_metadata().num_rows()) {
        Ok(rows) if rows.cast_unsigned() == told.rows => None,
        Ok(rows) => Some(format!("{rows} rows, not {}", told.rows)),
        Err(error) => Some(error.to_string()),
    }
}

/// All files below the root, by their names in the manifest.
fn list(root: &Path) -> Result<BTreeMap<String, SystemTime>, LakeError> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let at = |source| LakeError::File {
            path: folder.clone(),
            source,
        };
        for entry in std::fs::read_dir(&folder).map_err(at)? {
            let path = entry.map_err(at)?.path();
            let Ok(meta) = std::fs::metadata(&path) else {
                continue;
            };
            if meta.is_dir() {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(root) {
                let modified = meta.modified().map_err(at)?;
                found.insert(name.to_string_lossy().into_owned(), modified);
            }
        }
    }
    Ok(found)
}
