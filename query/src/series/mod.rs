//! Series: a number of one thing over time, in as many points as are asked for, from samples or from their rollups.
//!
//! The asker says how many points a chart has, not how fine the data is. Where nothing was measured there is no point: a gap
//! stays a gap, and is never drawn over.

mod pick;
mod plan;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use mast_lake::{Reach, Table};
use mast_schemas::Timestamp;
use mast_schemas::rollups::Rolled;

pub use self::pick::Steps;
use crate::{QueryError, Session, TenantScope};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Series {
    /// What is sampled.
    pub of: Rolled,
    /// Which number of it.
    pub measure: Measure,
    /// The thing, as a condition of SQL over columns that samples and rollups both have, such as `device_id = '…'`.
    pub thing: String,
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// Points at most.
    pub points: u32,
}

/// A number of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A column of the samples. Of one that rollups keep the last value of alone, a bucket counts as one sample.
    Column(&'static str),
    /// Bits a second, from a column that counts bytes.
    Rate(&'static str),
}

/// The answer.
#[derive(Clone, Debug)]
pub struct SeriesAnswer {
    /// The table that decided the steps; where it is not made yet, narrower ones stood in.
    pub table: Table,
    /// When.
    pub steps: Steps,
    /// What, a point a step; null: nothing was measured.
    pub points: Vec<Option<Point>>,
}

/// What was measured in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Mean of the samples.
    pub mean: f64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// How many.
    pub samples: i64,
}

impl Session {
    /// Answers a series. The session must be of one tenant.
    ///
    /// # Errors
    /// Those of [`Session::sql`].
    pub async fn series(&self, series: &Series) -> Result<SeriesAnswer, QueryError> {
        let (config, scope) = self.parts();
        let TenantScope::One(tenant) = scope else {
            let what = "a series is of one tenant; name it";
            return Err(QueryError::Refused(what.to_owned()));
        };
        // What the query sees later has at least what is made by now: so nothing is missed, and nothing taken twice.
        let mut tx = mast_postgres::tenant_snapshot(&config.pool, *tenant).await?;
        let reach = Reach::read(&mut tx, *tenant, series.of, config.retention).await?;
        drop(tx);
        let plan = series.plan(&reach);
        let batches = self.sql(&plan.sql).await?.collect().await?;
        let mut points = vec![None; plan.steps.count as usize];
        for batch in &batches {
            take(batch, &mut points);
        }
        Ok(SeriesAnswer {
            table: plan.table,
            steps: plan.steps,
            points,
        })
    }
}

/// Puts the rows of a [`plan`] in their places.
fn take(batch: &RecordBatch, points: &mut [Option<Point>]) {
    let (steps, samples) = (
        batch.column(0).as_primitive::<Int64Type>(),
        batch.column(1).as_primitive::<Int64Type>(),
    );
    let [mean, min, max] = [2, 3, 4].map(|n| batch.column(n).as_primitive::<Float64Type>());
    for row in 0..batch.num_rows() {
        let step = usize::try_from(steps.value(row)).ok();
        if let Some(point) = step.and_then(|step| points.get_mut(step)) {
            *point = Some(Point {
                mean: mean.value(row),
                min: min.value(row),
                max: max.value(row),
                samples: samples.value(row),
            });
        }
    }
}
