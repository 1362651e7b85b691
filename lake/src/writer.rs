//! The writer: buffers rows by table and commits them by epoch range, each row once however often a job is killed.
//!
//! A commit writes and syncs the files of all tables first and inserts their manifest rows last, in one transaction. A
//! kill before the insert leaves files that nobody sees and the next start removes; a kill after it leaves a range that
//! the next start knows and whose replayed rows it drops. Ranges are seamless: each begins after the one before.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use mast_schemas::Epoch;
use sqlx::{Connection, PgConnection};

use crate::encode::{self, FileSummary};
use crate::{LakeError, Recent, Table, files, manifest};

/// Where and as whom to write.
#[derive(Clone, Debug)]
pub struct LakeConfig {
    /// Folder of the lake.
    pub root: PathBuf,
    /// Name of the job, as in `job_progress`.
    pub job: String,
    /// Generation of the job, as in `job_progress`.
    pub generation: u64,
    /// A range with more rows in a table gets several files.
    pub max_rows_per_file: usize,
    /// Size at which a file that is made of others ends.
    pub target_bytes: u64,
}

/// Files of one table in a commit.
#[derive(Clone, Debug)]
pub(crate) struct TableFiles {
    pub(crate) table: Table,
    pub(crate) files: Vec<FileSummary>,
}

/// Files that are on the disk and not yet in the manifest.
#[derive(Clone, Debug)]
#[must_use = "the rows are in the lake only after `insert` and a commit of its transaction"]
pub struct Pending {
    job: String,
    generation: u64,
    from: Epoch,
    to: Epoch,
    tables: Vec<TableFiles>,
}

impl Pending {
    /// The range, both ends included.
    pub const fn epochs(&self) -> (Epoch, Epoch) {
        (self.from, self.to)
    }

    /// Rows in the files.
    pub fn rows(&self) -> u64 {
        self.tables
            .iter()
            .flat_map(|t| &t.files)
            .map(|f| f.rows)
            .sum()
    }

    /// How many files.
    pub fn files(&self) -> u64 {
        self.tables.iter().map(|t| t.files.len() as u64).sum()
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> u64 {
        self.tables
            .iter()
            .flat_map(|t| &t.files)
            .map(|f| f.bytes)
            .sum()
    }

    /// Inserts the manifest rows in the caller's transaction. Once that is committed, call [`LakeWriter::confirm`] with
    /// the epoch returned here. [`LakeError::Fenced`] when a newer generation of the job runs.
    pub async fn insert(&self, transaction: &mut PgConnection) -> Result<Epoch, LakeError> {
        manifest::fence(transaction, &self.job, self.generation).await?;
        manifest::insert(transaction, &self.job, (self.from, self.to), &self.tables).await
    }
}

/// Rows on their way into files.
#[must_use = "nothing is written before `write`"]
pub struct Writing {
    config: LakeConfig,
    from: Epoch,
    to: Epoch,
    tables: Vec<(Table, Vec<RecordBatch>)>,
}

impl Writing {
    /// Writes the files and syncs them.
    pub async fn write(self) -> Result<Pending, LakeError> {
        let Self {
            config,
            from,
            to,
            tables,
        } = self;
        let (job, generation) = (config.job.clone(), config.generation);
        let written: Result<Vec<_>, _> = tokio::task::spawn_blocking(move || {
            tables
                .iter()
                .map(|(table, batches)| write_table(&config, *table, (from, to), batches))
                .collect()
        })
        .await?;
        Ok(Pending {
            job,
            generation,
            from,
            to,
            tables: written?,
        })
    }
}

/// Bytes of committed rows that stay for readers, where nothing else is said.
const KEPT_BYTES: u64 = 256 << 20;

/// Writes a job's rows to the lake. See the module documentation.
pub struct LakeWriter {
    config: LakeConfig,
    committed: Option<Epoch>,
    recent: Arc<Recent>,
    replayed_rows: u64,
}

impl LakeWriter {
    /// Opens the lake for the job: learns what is committed and removes what uncommitted ranges left behind. The job's
    /// `job_progress` row must already be this generation's.
    pub async fn open(conn: &mut PgConnection, config: LakeConfig) -> Result<Self, LakeError> {
        let plain =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if config.job.is_empty() || !config.job.chars().all(plain) {
            return Err(LakeError::JobName(config.job));
        }
        let mut tx = conn.begin().await?;
        manifest::fence(&mut tx, &config.job, config.generation).await?;
        let committed = manifest::committed(&mut tx, &config.job).await?;
        let named: HashSet<String> = manifest::names(&mut tx, &config.job)
            .await?
            .into_iter()
            .collect();
        let (root, job, generation) = (config.root.clone(), config.job.clone(), config.generation);
        let removed = tokio::task::spawn_blocking(move || {
            files::create_folders(&root, &job)?;
            files::clean(&root, &job, generation, &named)
        })
        .await??;
        tx.commit().await?;
        if removed > 0 {
            tracing::info!(
                job = config.job,
                removed,
                "removed lake files of uncommitted ranges"
            );
        }
        Ok(Self {
            recent: Arc::new(Recent::new(committed, KEPT_BYTES)),
            config,
            committed,
            replayed_rows: 0,
        })
    }

    /// The same, that keeps at most so many bytes of committed rows for readers. To be called before rows come.
    pub fn keeping(self, bytes: u64) -> Self {
        Self {
            recent: Arc::new(Recent::new(self.committed, bytes)),
            ..self
        }
    }

    /// The lake holds all rows of epochs up to this one, and none after it.
    pub const fn committed(&self) -> Option<Epoch> {
        self.committed
    }

    /// The rows that wait for a commit, and those of the last commits.
    pub const fn recent(&self) -> &Arc<Recent> {
        &self.recent
    }

    /// Rows that were dropped because the lake already held their epoch.
    pub const fn replayed_rows(&self) -> u64 {
        self.replayed_rows
    }

    /// Buffers rows that have [`Table::record_schema`]. Rows of an epoch that is already committed are a replay: counted
    /// and dropped.
    pub fn append(
        &mut self,
        table: Table,
        epoch: Epoch,
        late: bool,
        batch: &RecordBatch,
    ) -> Result<(), LakeError> {
        let rows = batch.num_rows() as u64;
        if self.committed.is_some_and(|c| epoch <= c) {
            self.replayed_rows += rows;
            return Ok(());
        }
        if rows > 0 {
            let batch = table.lake_batch(epoch, late, batch)?;
            self.recent.push(table, epoch, batch)?;
        }
        Ok(())
    }

    /// The rows of all epochs up to `upto`, to be written to files. Nothing when `upto` is already committed. The rows stay
    /// buffered until [`LakeWriter::confirm`], so that a failed commit can be tried again; more may come meanwhile.
    pub fn begin(&self, upto: Epoch) -> Option<Writing> {
        if self.committed.is_some_and(|c| upto <= c) {
            return None;
        }
        Some(Writing {
            config: self.config.clone(),
            from: self.committed.map_or(Epoch(0), Epoch::next),
            to: upto,
            tables: self.recent.waiting(upto),
        })
    }

    /// Writes the rows of all epochs up to `upto` to files, and syncs them.
    pub async fn prepare(&mut self, upto: Epoch) -> Result<Option<Pending>, LakeError> {
        match self.begin(upto) {
            Some(writing) => writing.write().await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes note that the transaction of [`Pending::insert`], which returned `upto`, is committed; its rows are kept for
    /// readers alone.
    pub fn confirm(&mut self, upto: Epoch) {
        self.committed = Some(upto);
        self.recent.committed(upto);
    }

    /// Commits all epochs up to `upto` in a transaction of its own. Returns what the lake now holds, as
    /// [`LakeWriter::committed`].
    pub async fn commit(
        &mut self,
        conn: &mut PgConnection,
        upto: Epoch,
    ) -> Result<Option<Epoch>, LakeError> {
        if let Some(pending) = self.prepare(upto).await? {
            let mut tx = conn.begin().await?;
            let end = pending.insert(&mut tx).await?;
            tx.commit().await?;
            self.confirm(end);
        }
        Ok(self.committed)
    }
}

/// Writes the files of one table's range; none when it has no rows.
fn write_table(
    config: &LakeConfig,
    table: Table,
    (from, to): (Epoch, Epoch),
    batches: &[RecordBatch],
) -> Result<TableFiles, LakeError> {
    let mut summaries = Vec::new();
    if !batches.is_empty() {
        let order = encode::sort_order(table, batches)?;
        for (part, rows) in order.chunks(config.max_rows_per_file.max(1)).enumerate() {
            let relative = files::name(table, &config.job, config.generation, from, to, part);
            summaries.push(encode::write_file(
                &config.root,
                table,
                batches,
                rows,
                &relative,
            )?);
        }
    }
    Ok(TableFiles {
        table,
        files: summaries,
    })
}
