//! The task that keeps the lake in order, beside the one that writes it: rollups after each commit, compaction and retention
//! now and then, files that ended when nobody reads them.
//!
//! Apart from the lake task, so that what runs for minutes delays no commit. What fails is told and tried again with the
//! next commit, and keeps nothing else waiting: a disk that is too full for rollups still gets room by retention. Only a
//! newer generation ends it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mast_lake::{Change, LakeError, Stop, Table, Upkeep};
use mast_log::fault;
use mast_schemas::metric::Metric;
use mast_schemas::rollups::{Rolled, Width};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;

use super::Shared;
use super::lake::room;
use super::status::JobStatus;
use crate::error::DataflowError;
use crate::troubles::Place;

pub(crate) struct UpkeepTask {
    pub(crate) pool: PgPool,
    pub(crate) upkeep: Upkeep,
    pub(crate) stop: Stop,
    /// How often it is looked for files to be merged, and rows that are too old.
    pub(crate) every: Duration,
    /// Folder of the lake.
    pub(crate) root: PathBuf,
    pub(crate) status: watch::Receiver<JobStatus>,
    pub(crate) shared: Arc<Shared>,
}

/// What is done until there is no more of it to do.
#[derive(Clone, Copy)]
enum Chore {
    Retain(Table),
    RollUp(Rolled, Width),
    Compact(Table),
}

/// In their order: what makes room comes first, narrow rollups before those that are made of them.
fn chores(all: bool) -> Vec<Chore> {
    let widths = |of: Rolled| Width::ALL.map(|width| Chore::RollUp(of, width));
    let rollups = Rolled::ALL.into_iter().flat_map(widths);
    if !all {
        return rollups.collect();
    }
    let retain = Table::ALL.into_iter().map(Chore::Retain);
    let compact = Table::ALL.into_iter().map(Chore::Compact);
    retain.chain(rollups).chain(compact).collect()
}

impl UpkeepTask {
    pub(crate) async fn run(mut self) -> Result<(), DataflowError> {
        let (stop, mut stops) = (self.stop.clone(), self.shared.stops());
        let asked = tokio::spawn(async move {
            // Gone = the job is.
            let _ = stops.wait_for(|stop| *stop).await;
            stop.now();
        });
        let ended = self.rounds().await;
        asked.abort();
        ended
    }

    async fn rounds(&mut self) -> Result<(), DataflowError> {
        let (mut stops, mut seen, mut looked) = (self.shared.stops(), None, None::<Instant>);
        while !self.shared.stopping() {
            let all = looked.is_none_or(|at| at.elapsed() >= self.every);
            if all {
                looked = Some(Instant::now());
            }
            match self.round(all).await {
                Ok(()) => self.shared.troubles.mended(Place::Upkeep),
                Err(error @ LakeError::Fenced { .. }) => return Err(error.into()),
                Err(LakeError::Stopped) => return Ok(()),
                Err(error) => self.shared.troubles.tell(Place::Upkeep, &error.into()),
            }
            let committed = |status: &JobStatus| Some(status.lake_epoch) != seen;
            let next = tokio::select! {
                next = self.status.wait_for(committed) => next.map(|status| Some(status.lake_epoch)),
                // Where nothing is committed there may be too little room.
                () = tokio::time::sleep(self.every) => Ok(seen),
                _ = stops.wait_for(|stop| *stop) => return Ok(()),
            };
            match next {
                Ok(epoch) => seen = epoch,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Does all chores that can be done, and gives the first error of the others.
    async fn round(&mut self, all: bool) -> Result<(), LakeError> {
        let mut conn = self.pool.acquire().await?;
        // Those of earlier rounds: who looks at the manifest for a moment and does not hold it finds its files too.
        let (removed, waiting) = self.upkeep.sweep(&mut conn).await?;
        Metric::LakeRemoved.add(&[], removed as u64);
        Metric::LakeEnding.set_count(&[], waiting as u64);
        let mut failed = None;
        for chore in chores(all) {
            match self.finish(&mut conn, chore).await {
                Ok(()) => {}
                Err(
                    error
                    @ (LakeError::Fenced { .. } | LakeError::Stopped | LakeError::Postgres(_)),
                ) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn finish(&self, conn: &mut PgConnection, chore: Chore) -> Result<(), LakeError> {
        while let Some(change) = self.next(conn, chore).await? {
            self.make(conn, &change).await?;
            match chore {
                Chore::Retain(_) => Metric::LakeRetained.add(&[], 1),
                Chore::RollUp(..) => Metric::LakeRolledUp.add(&[], change.rows()),
                Chore::Compact(_) => Metric::LakeCompacted.add(&[], change.rows()),
            }
        }
        Ok(())
    }

    async fn next(
        &self,
        conn: &mut PgConnection,
        chore: Chore,
    ) -> Result<Option<Change>, LakeError> {
        match chore {
            Chore::Retain(table) => self.upkeep.retain(conn, table).await,
            Chore::RollUp(of, width) => {
                room(&self.root)?;
                self.upkeep.roll_up(conn, of, width).await
            }
            Chore::Compact(table) => {
                room(&self.root)?;
                self.upkeep.compact(conn, table).await
            }
        }
    }

    async fn make(&self, conn: &mut PgConnection, change: &Change) -> Result<(), LakeError> {
        fault::point("after_upkeep_files");
        let config = self.upkeep.config();
        let mut tx = conn.begin().await?;
        if let Err(error) = change.apply(&mut tx, config).await {
            drop(tx);
            if let Err(error) = change.discard(config).await {
                tracing::warn!(%error, "files of a change that was refused stay until the next start");
            }
            return Err(error);
        }
        fault::point("before_upkeep_commit");
        tx.commit().await?;
        fault::point("after_upkeep_commit");
        Ok(())
    }
}
