//! The manifest: rows of `lake_manifest` say which files the lake is made of. A file without a row does not exist.

use mast_schemas::Epoch;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use crate::encode::FileSummary;
use crate::writer::TableFiles;
use crate::{LakeError, Table};

/// A file of the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeFile {
    /// Its table.
    pub table: Table,
    /// First epoch of its range.
    pub epoch_from: Epoch,
    /// Last epoch of its range.
    pub epoch_to: Epoch,
    /// Name and bounds.
    pub summary: FileSummary,
}

/// What the lake holds, as one transaction sees it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Contents {
    /// All files.
    pub files: Vec<LakeFile>,
    /// Epoch up to which every job has committed; null while there is no commit.
    pub as_of: Option<Epoch>,
    /// Newest version of a manifest row.
    pub version: i64,
}

fn epoch(value: i64) -> Epoch {
    Epoch(u64::try_from(value).unwrap_or(0))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The files of the given tables, read in the caller's transaction.
pub async fn contents(conn: &mut PgConnection, tables: &[Table]) -> Result<Contents, LakeError> {
    let names: Vec<&str> = tables.iter().map(|t| t.as_str()).collect();
    let rows = sqlx::query(
        "SELECT table_name, epoch_from, epoch_to, version, files FROM lake_manifest
         WHERE table_name = ANY($1) AND rows > 0 ORDER BY version",
    )
    .bind(&names)
    .fetch_all(&mut *conn)
    .await?;
    let mut contents = Contents::default();
    for row in rows {
        let table: Table = row.try_get::<&str, _>("table_name")?.parse()?;
        contents.version = row.try_get("version")?;
        let files: Json<Vec<FileSummary>> = row.try_get("files")?;
        contents
            .files
            .extend(files.0.into_iter().map(|summary| LakeFile {
                table,
                epoch_from: epoch(row.get("epoch_from")),
                epoch_to: epoch(row.get("epoch_to")),
                summary,
            }));
    }
    let as_of: Option<i64> = sqlx::query_scalar(
        "SELECT min(epoch_to) FROM (SELECT max(epoch_to) AS epoch_to FROM lake_manifest GROUP BY job) AS jobs",
    )
    .fetch_one(conn)
    .await?;
    contents.as_of = as_of.map(epoch);
    Ok(contents)
}

/// Epoch up to which a job's rows are in the lake; null when it has never committed.
pub async fn committed(conn: &mut PgConnection, job: &str) -> Result<Option<Epoch>, LakeError> {
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT max(epoch_to) FROM lake_manifest WHERE job = $1")
            .bind(job)
            .fetch_one(conn)
            .await?;
    Ok(newest.map(epoch))
}

/// Names of all files that the manifest names for a job.
pub(crate) async fn names(conn: &mut PgConnection, job: &str) -> Result<Vec<String>, LakeError> {
    let names = sqlx::query_scalar(
        "SELECT file ->> 'path' FROM lake_manifest CROSS JOIN LATERAL jsonb_array_elements(files) AS file WHERE job = $1",
    )
    .bind(job)
    .fetch_all(conn)
    .await?;
    Ok(names)
}

/// Takes a share of the job's progress row until the transaction ends, if `generation` still owns it. A takeover, which
/// updates the row, waits for us; after it, we are refused. So no file that a successor cleaned away can become visible.
pub(crate) async fn fence(
    conn: &mut PgConnection,
    job: &str,
    generation: u64,
) -> Result<(), LakeError> {
    let own =
        sqlx::query("SELECT 1 FROM job_progress WHERE job = $1 AND generation = $2 FOR SHARE")
            .bind(job)
            .bind(number(generation))
            .fetch_optional(conn)
            .await?;
    own.map(|_| ()).ok_or_else(|| LakeError::Fenced {
        job: job.to_owned(),
        generation,
    })
}

/// Inserts one row a table for the range. Returns the end of the range that is committed: `to`, or that of an earlier
/// commit that began at the same epoch, whose rows are then the same by determinism.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    job: &str,
    (from, to): (Epoch, Epoch),
    tables: &[TableFiles],
) -> Result<Epoch, LakeError> {
    let mut end = to;
    for TableFiles { table, files } in tables {
        let rows: u64 = files.iter().map(|f| f.rows).sum();
        let bytes: u64 = files.iter().map(|f| f.bytes).sum();
        sqlx::query(
            "INSERT INTO lake_manifest (job, table_name, epoch_from, epoch_to, files, rows, bytes)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (job, table_name, epoch_from) DO NOTHING",
        )
        .bind(job)
        .bind(table.as_str())
        .bind(number(from.0))
        .bind(number(to.0))
        .bind(Json(files))
        .bind(number(rows))
        .bind(number(bytes))
        .execute(&mut *conn)
        .await?;
        let stored: i64 = sqlx::query_scalar(
            "SELECT epoch_to FROM lake_manifest WHERE job = $1 AND table_name = $2 AND epoch_from = $3",
        )
        .bind(job)
        .bind(table.as_str())
        .bind(number(from.0))
        .fetch_one(&mut *conn)
        .await?;
        end = epoch(stored);
    }
    Ok(end)
}
