//! History to the very instant that a query's snapshot shows: files up to the lake's last commit in it, then the writer's rows.
//!
//! The snapshot says both ends, c = the lake's last commit and t = the newest slot that is committed, so what lies between is
//! a fixed set of rows, whoever serves it and however often it is asked: no row is doubled or missing, whatever is committed
//! meanwhile, and history and views show the same instant. It is all or nothing for a statement: where the writer is out of
//! reach for one table, every table ends at c, and the answer says so.

mod client;
mod rates;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use mast_lake::JobPlace;
use mast_schemas::tail::{Ask, What};
use mast_schemas::{Epoch, Timestamp};

use self::client::Missed;
pub(crate) use self::client::Tail;
pub(crate) use self::rates::RatesProvider;
use crate::error::external;

/// How far the history in an answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    /// Up to the snapshot's instant, as far as history was read.
    Whole,
    /// Up to the lake's last commit, for this reason.
    LakeOnly(String),
    /// The lake holds more than the snapshot shows: a new one is needed.
    TooOld,
}

/// How the scans of a statement come to the rows that are in no file.
#[derive(Debug)]
pub(crate) struct History {
    tail: Option<Arc<Tail>>,
    jobs: Vec<JobPlace>,
    memory: MemoryReservation,
    reach: Mutex<Reach>,
}

impl History {
    /// Of a snapshot that shows these places of the jobs.
    pub(crate) fn new(
        tail: Option<Arc<Tail>>,
        jobs: Vec<JobPlace>,
        memory: MemoryReservation,
    ) -> Self {
        Self {
            tail,
            jobs,
            memory,
            reach: Mutex::new(Reach::Whole),
        }
    }

    fn reach(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why history ends with the lake; null when it does not, or was not read.
    pub(crate) fn lake_only(&self) -> Option<String> {
        match &*self.reach() {
            Reach::LakeOnly(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// Whether the snapshot is too old for the writer.
    pub(crate) fn is_too_old(&self) -> bool {
        *self.reach() == Reach::TooOld
    }

    /// Gives up the tail: the statement, planned again, reads the lake alone.
    pub(crate) fn without_tail(&self, why: &str) {
        self.memory.free();
        *self.reach() = Reach::LakeOnly(why.to_owned());
    }

    /// End of what the lake holds of all jobs.
    pub(crate) fn lake_end(&self) -> Option<Timestamp> {
        let ends = self.jobs.iter().map(|job| job.lake);
        ends.min().flatten().map(Epoch::end)
    }

    /// What the writers of all jobs have in no file: `question` makes the ask for a job, of the slots after the first and up to the
    /// second. An error ends the planning; the reach says what to do then.
    pub(super) async fn rows(
        &self,
        question: impl Fn(&JobPlace) -> Ask,
    ) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for job in &self.jobs {
            if Some(job.epoch) > job.lake {
                rows.extend(self.ask(&question(job)).await?);
            }
        }
        Ok(rows)
    }

    /// What the writer has; nothing where the tail was given up.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Vec<RecordBatch>> {
        if self.lake_only().is_some() {
            return Ok(Vec::new());
        }
        let Some(tail) = &self.tail else {
            *self.reach() = Reach::LakeOnly("this program asks no tail".to_owned());
            return Ok(Vec::new());
        };
        tail.ask(ask, &self.memory).await.map_err(|why| {
            tracing::debug!(%why, what = what(&ask.what), "the tail of history was not got");
            match why {
                Missed::TooMany(error) => return error,
                Missed::TooOld => *self.reach() = Reach::TooOld,
                Missed::Away(ref why) => *self.reach() = Reach::LakeOnly(why.clone()),
            }
            external(why)
        })
    }
}

fn what(what: &What) -> &str {
    match what {
        What::Rows(rows) => &rows.table,
        What::InterfaceRates(_) => rates::NAME,
    }
}
