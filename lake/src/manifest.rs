//! The manifest: rows of `lake_manifest` say which files the lake is made of. A file without a row does not exist.

use mast_schemas::time::Span;
use mast_schemas::{Epoch, TenantId, Timestamp};
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

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlace {
    /// Its name.
    pub job: String,
    /// Newest slot that Postgres holds.
    pub epoch: Epoch,
    /// The lake holds all rows up to here; null when it has none.
    pub lake: Option<Epoch>,
}

/// How far all jobs are, in the caller's transaction. Each commit has a row of every table that is written, and ranges are
/// seamless: the last range of one table says it, from the manifest's index.
pub async fn job_places(conn: &mut PgConnection) -> Result<Vec<JobPlace>, sqlx::Error> {
    let places: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
        "SELECT job, epoch, (SELECT epoch_to FROM lake_manifest AS m
                             WHERE m.job = p.job AND table_name = $1 ORDER BY epoch_from DESC LIMIT 1)
         FROM job_progress AS p ORDER BY job",
    )
    .bind(Table::Polls.as_str())
    .fetch_all(conn)
    .await?;
    let place = |(job, newest, lake): (String, i64, Option<i64>)| JobPlace {
        job,
        epoch: epoch(newest),
        lake: lake.map(epoch),
    };
    Ok(places.into_iter().map(place).collect())
}

/// Epoch up to which a job's rows of one table are in the lake.
pub(crate) async fn committed_table(
    conn: &mut PgConnection,
    job: &str,
    table: Table,
) -> Result<Option<Epoch>, LakeError> {
    let newest: Option<i64> = sqlx::query_scalar(
        "SELECT max(epoch_to) FROM lake_manifest WHERE job = $1 AND table_name = $2",
    )
    .bind(job)
    .bind(table.as_str())
    .fetch_one(conn)
    .await?;
    Ok(newest.map(epoch))
}

/// Earliest time of a file of the job's table that has rows of `from` or later.
pub(crate) async fn first_time(
    conn: &mut PgConnection,
    job: &str,
    table: Table,
    from: Timestamp,
) -> Result<Option<Timestamp>, LakeError> {
    let first: Option<i64> = sqlx::query_scalar(
        "SELECT min((file ->> 'time_min_us')::bigint)
         FROM lake_manifest CROSS JOIN LATERAL jsonb_array_elements(files) AS file
         WHERE job = $1 AND table_name = $2 AND rows > 0 AND (file ->> 'time_max_us')::bigint >= $3",
    )
    .bind(job)
    .bind(table.as_str())
    .bind(from.0)
    .fetch_one(conn)
    .await?;
    Ok(first.map(Timestamp))
}

/// The files of the job's table that can have rows of `[from, to)`, in the order of their epochs.
pub(crate) async fn files_between(
    conn: &mut PgConnection,
    job: &str,
    table: Table,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<FileSummary>, LakeError> {
    let files: Vec<Json<FileSummary>> = sqlx::query_scalar(
        "SELECT file FROM lake_manifest CROSS JOIN LATERAL jsonb_array_elements(files) AS file
         WHERE job = $1 AND table_name = $2 AND rows > 0
           AND (file ->> 'time_max_us')::bigint >= $3 AND (file ->> 'time_min_us')::bigint < $4
         ORDER BY epoch_from",
    )
    .bind(job)
    .bind(table.as_str())
    .bind(from.0)
    .bind(to.0)
    .fetch_all(conn)
    .await?;
    Ok(files.into_iter().map(|file| file.0).collect())
}

/// A row of the manifest.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) version: i64,
    pub(crate) epochs: (Epoch, Epoch),
    pub(crate) files: Vec<FileSummary>,
}

/// All rows of a job's table, in the order of their epochs.
pub(crate) async fn stored(
    conn: &mut PgConnection,
    job: &str,
    table: Table,
) -> Result<Vec<Stored>, LakeError> {
    let rows: Vec<(i64, i64, i64, Json<Vec<FileSummary>>)> = sqlx::query_as(
        "SELECT version, epoch_from, epoch_to, files FROM lake_manifest
         WHERE job = $1 AND table_name = $2 ORDER BY epoch_from",
    )
    .bind(job)
    .bind(table.as_str())
    .fetch_all(conn)
    .await?;
    let stored = |(version, from, to, files): (_, _, _, Json<_>)| Stored {
        version,
        epochs: (epoch(from), epoch(to)),
        files: files.0,
    };
    Ok(rows.into_iter().map(stored).collect())
}

/// Removes rows, and notes that their files but those of `kept` end. All rows must be there.
pub(crate) async fn remove(
    conn: &mut PgConnection,
    job: &str,
    versions: &[i64],
    kept: &[&str],
) -> Result<(), LakeError> {
    let removed: Vec<Json<Vec<FileSummary>>> = sqlx::query_scalar(
        "DELETE FROM lake_manifest WHERE job = $1 AND version = ANY($2) RETURNING files",
    )
    .bind(job)
    .bind(versions)
    .fetch_all(&mut *conn)
    .await?;
    if removed.len() != versions.len() {
        return Err(LakeError::Overtaken);
    }
    let files = removed
        .into_iter()
        .flat_map(|files| files.0.into_iter().map(|f| f.path));
    let ended: Vec<String> = files
        .filter(|path| !kept.contains(&path.as_str()))
        .collect();
    sqlx::query(
        "INSERT INTO lake_ended_files (path, job) SELECT path, $1 FROM unnest($2::text[]) AS path",
    )
    .bind(job)
    .bind(&ended)
    .execute(conn)
    .await?;
    Ok(())
}

/// Files of a job that nothing names any more and that are not removed yet.
pub(crate) async fn ended(conn: &mut PgConnection, job: &str) -> Result<Vec<String>, LakeError> {
    let paths = sqlx::query_scalar("SELECT path FROM lake_ended_files WHERE job = $1");
    Ok(paths.bind(job).fetch_all(conn).await?)
}

/// Takes note that they are removed.
pub(crate) async fn forget_ended(
    conn: &mut PgConnection,
    paths: &[String],
) -> Result<(), LakeError> {
    sqlx::query("DELETE FROM lake_ended_files WHERE path = ANY($1)")
        .bind(paths)
        .execute(conn)
        .await?;
    Ok(())
}

/// The transactions, but this one, that hold the manifest's table now: all that may have read of it.
pub(crate) async fn readers(conn: &mut PgConnection) -> Result<Vec<String>, LakeError> {
    let readers = sqlx::query_scalar(
        "SELECT DISTINCT virtualtransaction FROM pg_locks
         WHERE locktype = 'relation' AND relation = 'lake_manifest'::regclass
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND pid <> pg_backend_pid()",
    );
    Ok(readers.fetch_all(conn).await?)
}

/// Holds the manifest's table until the transaction ends, so that no file that it names is removed, however long it is idle
/// while they are read. Must come before the transaction's snapshot, which the first other statement takes.
pub async fn hold(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0")
        .execute(&mut *conn)
        .await?;
    sqlx::query("LOCK TABLE lake_manifest IN ACCESS SHARE MODE")
        .execute(conn)
        .await?;
    Ok(())
}

/// What tenants have said of a table that is not as usual.
pub(crate) async fn own_retention(
    conn: &mut PgConnection,
    table: Table,
) -> Result<Vec<(TenantId, Span)>, LakeError> {
    let own: Vec<(uuid::Uuid, i32)> =
        sqlx::query_as("SELECT tenant_id, keep_days FROM lake_retention WHERE table_name = $1")
            .bind(table.as_str())
            .fetch_all(conn)
            .await?;
    let span = |(id, days)| (TenantId(id), Span::hours(24 * i64::from(days)));
    Ok(own.into_iter().map(span).collect())
}

/// Names of all files of a job: that the manifest names, and that may still be read.
pub(crate) async fn names(conn: &mut PgConnection, job: &str) -> Result<Vec<String>, LakeError> {
    let names = sqlx::query_scalar(
        "SELECT file ->> 'path' FROM lake_manifest CROSS JOIN LATERAL jsonb_array_elements(files) AS file WHERE job = $1
         UNION ALL SELECT path FROM lake_ended_files WHERE job = $1",
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
