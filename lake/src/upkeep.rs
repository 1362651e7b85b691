//! Changes of the lake beside the commits of new rows: rollups, compaction, retention, and the end of files.
//!
//! Each change has its files written and synced first; then one transaction removes rows of the manifest, inserts the one
//! that takes their place, and notes the files that nothing names any more. A kill before it leaves files that the next
//! start removes; after it, all is done.
//!
//! A query holds the manifest's table from before its snapshot until its end. So a file is removed once every transaction
//! that held it when the file's end was committed has ended: who comes later does not see the file. Nobody waits for
//! anybody, and no time is guessed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use mast_schemas::Epoch;
use mast_schemas::rollups::{Rolled, Width};
use sqlx::PgConnection;

use crate::retention::Retention;
use crate::writer::TableFiles;
use crate::{
    FileSummary, LakeConfig, LakeError, Table, compact, files, manifest, retention, rollup,
};

/// Asks what runs long to end: rows that are being written end with [`LakeError::Stopped`].
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn over(
        &self,
        rows: impl Iterator<Item = Result<RecordBatch, LakeError>>,
    ) -> impl Iterator<Item = Result<RecordBatch, LakeError>> {
        let stop = self.clone();
        rows.map(move |batch| {
            if stop.0.load(Ordering::Relaxed) {
                return Err(LakeError::Stopped);
            }
            batch
        })
    }
}

/// A change whose files are on the disk and not yet in the manifest.
#[derive(Clone, Debug)]
#[must_use = "it is made only by `apply` and a commit of its transaction"]
pub struct Change {
    /// The table.
    pub table: Table,
    /// Range of epochs of its row in the manifest.
    pub epochs: (Epoch, Epoch),
    /// The files of that row.
    pub files: Vec<FileSummary>,
    /// Those of them that were made for it.
    pub(crate) made: Vec<String>,
    /// Versions of the rows that it replaces.
    pub(crate) replaces: Vec<i64>,
}

impl Change {
    /// Makes the change in the caller's transaction. [`LakeError::Fenced`] when a newer generation of the job runs,
    /// [`LakeError::Overtaken`] when another has replaced the rows meanwhile.
    pub async fn apply(
        &self,
        transaction: &mut PgConnection,
        config: &LakeConfig,
    ) -> Result<(), LakeError> {
        manifest::fence(transaction, &config.job, config.generation).await?;
        if !self.replaces.is_empty() {
            let kept: Vec<&str> = self.files.iter().map(|f| f.path.as_str()).collect();
            manifest::remove(transaction, &config.job, &self.replaces, &kept).await?;
        }
        let files = TableFiles {
            table: self.table,
            files: self.files.clone(),
        };
        manifest::insert(transaction, &config.job, self.epochs, &[files]).await?;
        Ok(())
    }

    /// Removes the files that were made for it: it was refused, and will be made anew. Not after a commit of which nobody knows
    /// what became.
    ///
    /// # Errors
    /// [`LakeError::File`]; the next start removes what stays.
    pub async fn discard(&self, config: &LakeConfig) -> Result<(), LakeError> {
        let (root, made) = (config.root.clone(), self.made.clone());
        let remove = move || files::remove(&root, made.iter().map(String::as_str));
        tokio::task::spawn_blocking(remove).await?
    }

    /// Rows in its files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|f| f.rows).sum()
    }
}

/// Looks for what is to be done for a job's lake, one step a call.
pub struct Upkeep {
    config: LakeConfig,
    retention: Retention,
    stop: Stop,
    /// Files whose end is committed, and the transactions that may still read them.
    ending: Option<(Vec<String>, HashSet<String>)>,
}

impl Upkeep {
    /// For the job's present generation.
    pub const fn new(config: LakeConfig, retention: Retention, stop: Stop) -> Self {
        Self {
            config,
            retention,
            stop,
            ending: None,
        }
    }

    /// Where and as whom.
    pub const fn config(&self) -> &LakeConfig {
        &self.config
    }

    /// The next buckets of a rollup that have closed; null when there are none.
    pub async fn roll_up(
        &self,
        conn: &mut PgConnection,
        of: Rolled,
        width: Width,
    ) -> Result<Option<Change>, LakeError> {
        rollup::next(conn, &self.config, of, width, &self.stop).await
    }

    /// The next files of a table that should be one; null when there are none.
    pub async fn compact(
        &self,
        conn: &mut PgConnection,
        table: Table,
    ) -> Result<Option<Change>, LakeError> {
        compact::next(conn, &self.config, table, &self.stop).await
    }

    /// The next rows of a table that nobody wants to be kept longer; null when there are none.
    pub async fn retain(
        &self,
        conn: &mut PgConnection,
        table: Table,
    ) -> Result<Option<Change>, LakeError> {
        retention::next(conn, &self.config, &self.retention, table, &self.stop).await
    }

    /// Removes files that nothing names and nobody can be reading. Returns how many, and how many have to wait.
    pub async fn sweep(&mut self, conn: &mut PgConnection) -> Result<(usize, usize), LakeError> {
        if self.ending.is_none() {
            let files = manifest::ended(conn, &self.config.job).await?;
            if files.is_empty() {
                return Ok((0, 0));
            }
            // Looked at after the files' end was seen, so nobody who may read them is missed.
            let readers = manifest::readers(conn).await?;
            self.ending = Some((files, readers.into_iter().collect()));
        }
        let Some((files, readers)) = &mut self.ending else {
            return Ok((0, 0));
        };
        if !readers.is_empty() {
            let still: HashSet<String> = manifest::readers(conn).await?.into_iter().collect();
            readers.retain(|reader| still.contains(reader));
            if !readers.is_empty() {
                return Ok((0, files.len()));
            }
        }
        let (files, root) = (std::mem::take(files), self.config.root.clone());
        self.ending = None;
        let gone = files.clone();
        let remove = move || files::remove(&root, gone.iter().map(String::as_str));
        tokio::task::spawn_blocking(remove).await??;
        manifest::forget_ended(conn, &files).await?;
        Ok((files.len(), 0))
    }
}
