//! A year of history, made as a job makes it.

use std::time::Instant;

use mast_lake::{Change, LakeConfig, LakeWriter, Retention, Stop, Table, Upkeep};
use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::time::Span;
use mast_schemas::{Epoch, Timestamp};
use sqlx::{Connection, PgConnection};

use super::DAY;
use super::fleet::Fleet;
use crate::BenchError;

/// The lake while it is written.
pub(super) struct History {
    writer: LakeWriter,
    upkeep: Upkeep,
    pub(super) samples: u64,
    pub(super) rolled_up: u64,
    pub(super) write_s: f64,
    pub(super) roll_up_s: f64,
    pub(super) order_s: f64,
}

impl History {
    pub(super) async fn new(
        conn: &mut PgConnection,
        config: LakeConfig,
    ) -> Result<Self, BenchError> {
        Ok(Self {
            writer: LakeWriter::open(conn, config.clone()).await?,
            upkeep: Upkeep::new(config, Retention::default(), Stop::default()),
            samples: 0,
            rolled_up: 0,
            write_s: 0.0,
            roll_up_s: 0.0,
            order_s: 0.0,
        })
    }

    /// Writes and commits a day of samples.
    pub(super) async fn day(
        &mut self,
        conn: &mut PgConnection,
        fleet: &Fleet,
        from: Timestamp,
        every_s: u32,
    ) -> Result<(), BenchError> {
        let (began, until) = (Instant::now(), from + DAY);
        let mut at = from;
        while at < until {
            let rows = fleet.samples(at);
            self.samples += rows.num_rows() as u64;
            let epoch = Epoch::of(at);
            self.writer
                .append(Table::RegistrationSamples, epoch, false, &rows)?;
            at = at + Span::secs(i64::from(every_s));
        }
        // All buckets of the day are closed.
        self.writer
            .commit(conn, Epoch::of(until + Span::secs(60)))
            .await?;
        self.write_s += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// What the job does beside its commits.
    pub(super) async fn upkeep(&mut self, conn: &mut PgConnection) -> Result<(), BenchError> {
        let began = Instant::now();
        for width in Width::ALL {
            while let Some(change) = self
                .upkeep
                .roll_up(conn, Rolled::Registration, width)
                .await?
            {
                self.rolled_up += change.rows();
                self.make(conn, &change).await?;
            }
        }
        self.roll_up_s += began.elapsed().as_secs_f64();
        let began = Instant::now();
        for table in Table::ALL {
            while let Some(change) = self.upkeep.compact(conn, table).await? {
                self.make(conn, &change).await?;
            }
            while let Some(change) = self.upkeep.retain(conn, table).await? {
                self.make(conn, &change).await?;
            }
        }
        self.upkeep.sweep(conn).await?;
        self.order_s += began.elapsed().as_secs_f64();
        Ok(())
    }

    async fn make(&self, conn: &mut PgConnection, change: &Change) -> Result<(), BenchError> {
        let mut tx = conn.begin().await?;
        change.apply(&mut tx, self.upkeep.config()).await?;
        Ok(tx.commit().await?)
    }
}
