//! What a run of slots changed, in one Postgres transaction.
//!
//! The transaction begins with a compare-and-swap on the job's progress row: a job that was taken over changes nothing any
//! more, and what is committed once is never committed again. All views inside the promise (devices, links, counts,
//! events) and the deltas for live streams go with it; gauges do not, see [`gauges`].
//!
//! The trap avoided: a commit whose answer was lost. It is tried again, finds the progress already where it wanted it, and
//! takes that for its own success, because nobody else can have written our generation.

mod addresses;
mod alerts;
mod batch;
mod changes;
mod ended;
pub mod gauges;
mod incidents;
mod notifications;
mod places;
mod tables;
mod trends;

use mast_schemas::Epoch;
use sqlx::PgPool;

pub use batch::Batch;

use crate::error::DataflowError;

/// Channel of the notification that each commit sends; the payload is the epoch.
pub const VIEW_CHANNEL: &str = "mast_view";

/// Who commits.
#[derive(Clone, Debug)]
pub struct Sink {
    pool: PgPool,
    job: String,
    generation: u64,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is there now.
    Now,
    /// An earlier attempt of this generation had done it.
    Before,
}

impl Sink {
    /// Takes the job's progress row for `generation`. Returns the sink and the epoch up to which outputs are committed.
    ///
    /// # Errors
    /// [`DataflowError::Fenced`] when the row is already that of this generation or of a newer one.
    pub async fn open(
        pool: PgPool,
        job: &str,
        generation: u64,
    ) -> Result<(Self, Epoch), DataflowError> {
        let row = sqlx::query!(
            "INSERT INTO job_progress AS p (job, generation, epoch) VALUES ($1, $2, 0)
             ON CONFLICT (job) DO UPDATE SET generation = excluded.generation, updated_at = clock_timestamp()
             WHERE p.generation < excluded.generation
             RETURNING epoch",
            job,
            generation.cast_signed(),
        )
        .fetch_optional(&pool)
        .await?;
        let row = row.ok_or_else(|| DataflowError::Fenced {
            job: job.to_owned(),
            generation,
        })?;
        Ok((
            Self {
                pool,
                job: job.to_owned(),
                generation,
            },
            Epoch(row.epoch.unsigned_abs()),
        ))
    }

    /// Forgets every view, so that the job can begin anew; transitions and history stay. A new era begins: who knows the
    /// views from their changes must take them anew.
    ///
    /// # Errors
    /// As [`Sink::commit`].
    pub async fn forget(&self) -> Result<(), DataflowError> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE job_progress SET epoch = 0, era = era + 1, changes_from = 0, updated_at = clock_timestamp()
             WHERE job = $1 AND generation = $2",
        )
        .bind(&self.job)
        .bind(self.generation.cast_signed())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(DataflowError::Fenced {
                job: self.job.clone(),
                generation: self.generation,
            });
        }
        for table in [
            "DELETE FROM device_status",
            "DELETE FROM links",
            "DELETE FROM client_addresses",
            "DELETE FROM place_counts",
            "DELETE FROM place_health",
            "DELETE FROM link_gauges",
            "DELETE FROM device_gauges",
            "DELETE FROM place_signals",
            "DELETE FROM place_past_clients",
            "DELETE FROM place_air",
            // What people said of open ones goes along: whether they open again is not known yet.
            "DELETE FROM alerts WHERE resolved_at IS NULL",
            "DELETE FROM incidents WHERE closed_at IS NULL",
            "DELETE FROM trends WHERE ended_at IS NULL",
            "DELETE FROM view_change",
        ] {
            sqlx::query(table).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Name of the job.
    pub(crate) fn job(&self) -> &str {
        &self.job
    }

    /// Generation of the job.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Commits a run of slots; all of it or nothing.
    ///
    /// # Errors
    /// [`DataflowError::Fenced`] when a newer generation runs, [`DataflowError::Postgres`] otherwise; see
    /// [`is_transient`].
    pub async fn commit(&self, batch: &Batch) -> Result<Committed, DataflowError> {
        let mut tx = self.pool.begin().await?;
        let (epoch, generation) = (batch.upto.0.cast_signed(), self.generation.cast_signed());
        let moved = sqlx::query!(
            "UPDATE job_progress SET epoch = $2, updated_at = clock_timestamp()
             WHERE job = $1 AND generation = $3 AND epoch < $2",
            self.job,
            epoch,
            generation,
        )
        .execute(&mut *tx)
        .await?;
        if moved.rows_affected() == 0 {
            let row = sqlx::query!(
                "SELECT generation, epoch FROM job_progress WHERE job = $1",
                self.job
            )
            .fetch_optional(&mut *tx)
            .await?;
            return match row {
                Some(row) if row.generation == generation && row.epoch >= epoch => {
                    Ok(Committed::Before)
                }
                _ => Err(DataflowError::Fenced {
                    job: self.job.clone(),
                    generation: self.generation,
                }),
            };
        }
        let gone = tables::write(&mut tx, batch).await?;
        changes::write(&mut tx, batch, &gone).await?;
        sqlx::query!(
            "SELECT pg_notify($1, $2)",
            VIEW_CHANNEL,
            batch.upto.0.to_string()
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Committed::Now)
    }

    /// Notes the newest complete checkpoint.
    ///
    /// # Errors
    /// As [`Sink::commit`].
    pub async fn checkpointed(&self, epoch: Epoch) -> Result<(), DataflowError> {
        let done = sqlx::query!(
            "UPDATE job_progress SET checkpoint_epoch = $2 WHERE job = $1 AND generation = $3",
            self.job,
            epoch.0.cast_signed(),
            self.generation.cast_signed(),
        )
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 0 {
            return Err(DataflowError::Fenced {
                job: self.job.clone(),
                generation: self.generation,
            });
        }
        Ok(())
    }
}

/// Whether trying again later can help.
pub fn is_transient(error: &DataflowError) -> bool {
    match error {
        DataflowError::Postgres(e) => mast_postgres::is_passing(e),
        DataflowError::Lake(mast_lake::LakeError::Postgres(e)) => mast_postgres::is_passing(e),
        // A full or failing disk: a person can mend it while we wait.
        DataflowError::Lake(
            mast_lake::LakeError::File { .. } | mast_lake::LakeError::Parquet { .. },
        ) => true,
        _ => false,
    }
}
