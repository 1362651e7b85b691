//! A series as one query: each instant is read from one table, and all that is read is added up by step.
//!
//! Rollups are read up to where they are made; what is newer comes from the next narrower ones, at last from the samples. The
//! traps: a bucket that is counted twice at such a seam, or not at all, and a mean of means.

use mast_lake::{Reach, Table};
use mast_schemas::Timestamp;
use mast_schemas::counters::PAIR;
use mast_schemas::rollups::{GRACE, Gauge, Origin, Width};
use mast_schemas::time::SLOT;

use super::pick::{SECOND, Steps, pick};
use super::{Measure, Series};
use crate::rates::RATE_BPS;

/// What is to be read.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) table: Table,
    pub(super) steps: Steps,
    pub(super) sql: String,
}

/// What rollups keep of a measure.
enum Kept {
    Gauge(&'static Gauge),
    /// The last value of a bucket alone.
    Last(&'static str),
}

/// Rows of a table in `[from, to)`.
struct Part {
    table: Table,
    from: Timestamp,
    to: Timestamp,
}

impl Series {
    /// How the series is read, where tables reach so far.
    pub(super) fn plan(&self, reach: &Reach) -> Plan {
        let range = (self.from, self.to);
        let (table, steps) = match self.kept() {
            Some(_) => pick(range, self.points, reach),
            // The samples are all there is of it.
            None => (
                Table::samples(self.of),
                Steps::over(range, self.points, SECOND),
            ),
        };
        let parts = parts(table, &steps, reach);
        let rolled = matches!(table, Table::Rollup(..));
        let parts: Vec<_> = parts
            .iter()
            .map(|part| match part.table {
                Table::Rollup(..) => self.buckets(part, &steps),
                _ => self.samples(part, &steps, rolled),
            })
            .collect();
        let scale = self.scale();
        let sql = format!(
            "SELECT step, sum(n) AS samples, sum(s) / {scale} / sum(n) AS mean, min(lo) / {scale} AS least,
                max(hi) / {scale} AS most FROM ({}) GROUP BY step",
            parts.join(" UNION ALL ")
        );
        Plan { table, steps, sql }
    }

    fn kept(&self) -> Option<Kept> {
        let spec = self.of.spec();
        let is = |gauge: &&'static Gauge| match (gauge.from, self.measure) {
            (Origin::Column(own) | Origin::Thousandths(own), Measure::Column(name))
            | (Origin::Rate(own), Measure::Rate(name)) => own == name,
            _ => false,
        };
        if let Some(gauge) = spec.gauges.iter().find(is) {
            return Some(Kept::Gauge(gauge));
        }
        match self.measure {
            Measure::Column(name) => spec.lasts.contains(&name).then_some(Kept::Last(name)),
            Measure::Rate(_) => None,
        }
    }

    /// By what numbers are divided to be shown.
    fn scale(&self) -> &'static str {
        match self.kept() {
            Some(Kept::Gauge(gauge)) if matches!(gauge.from, Origin::Thousandths(_)) => "1000.0",
            _ => "1.0",
        }
    }

    /// The condition that holds for the thing's rows of a part.
    fn condition(&self, table: Table, from: Timestamp, to: Timestamp) -> String {
        let (thing, time) = (&self.thing, table.time_column());
        let (from, to) = (instant(from), instant(to));
        format!("({thing}) AND {time} >= {from} AND {time} < {to}")
    }

    /// Buckets, each in its step.
    fn buckets(&self, part: &Part, steps: &Steps) -> String {
        let table = part.table;
        let [count, sum, min, max] = match self.kept() {
            Some(Kept::Gauge(gauge)) => ["count", "sum", "min", "max"].map(|s| gauge.column(s)),
            Some(Kept::Last(name)) => [
                format!("CASE WHEN {name} IS NULL THEN 0 ELSE 1 END"),
                name.into(),
                name.into(),
                name.into(),
            ],
            None => ["0"; 4].map(str::to_owned),
        };
        let step = step("CAST(at AS BIGINT)", steps);
        let condition = self.condition(table, part.from, part.to);
        format!(
            "SELECT {step} AS step, {count} AS n, CAST({sum} AS DOUBLE) AS s, CAST({min} AS DOUBLE) AS lo,
                CAST({max} AS DOUBLE) AS hi FROM {table} WHERE {condition} AND {count} > 0"
        )
    }

    /// Samples, each in its step. Beside buckets only those count that a bucket would take.
    fn samples(&self, part: &Part, steps: &Steps, beside_buckets: bool) -> String {
        let table = part.table;
        let taken = match beside_buckets {
            false => String::new(),
            true => {
                let (minute, grace, slot) = (Width::Minute.span().0, GRACE.0, SLOT.0);
                let us = "CAST(observed_at AS BIGINT)";
                format!(
                    " AND NOT late AND CAST(epoch AS BIGINT) * {slot} <= {us} - {us} % {minute} + {}",
                    minute + grace
                )
            }
        };
        let rows = match self.measure {
            Measure::Column(name) => {
                let value = match self.scale() {
                    "1.0" => format!("CAST({name} AS DOUBLE)"),
                    scale => format!("round(CAST({name} AS DOUBLE) * {scale})"),
                };
                let condition = self.condition(table, part.from, part.to);
                format!(
                    "SELECT CAST(observed_at AS BIGINT) AS t, {value} AS v FROM {table} WHERE {condition}{taken}"
                )
            }
            Measure::Rate(counter) => {
                let spec = self.of.spec();
                let others = spec.counters.iter().filter(|other| **other != counter);
                let counters: Vec<&str> = [counter].into_iter().chain(others.copied()).collect();
                let things = spec.key.iter().chain(spec.sub).copied();
                let things: Vec<&str> = things.collect();
                let pairs = counters.iter().map(|c| format!(", lag({c}) OVER w, {c}"));
                let (pairs, counters) = (pairs.collect::<String>(), counters.join(", "));
                let things = things.join(", ");
                let condition = self.condition(table, part.from - PAIR, part.to);
                format!(
                    "SELECT t, CAST({RATE_BPS}(lag(t) OVER w, t{pairs}) AS DOUBLE) AS v FROM (
                        SELECT CAST(observed_at AS BIGINT) AS t, {things}, {counters} FROM {table} WHERE {condition}{taken})
                     WINDOW w AS (PARTITION BY {things} ORDER BY t)"
                )
            }
        };
        let (step, from) = (step("t", steps), part.from.0);
        format!(
            "SELECT {step} AS step, 1 AS n, v AS s, v AS lo, v AS hi FROM ({rows}) WHERE v IS NOT NULL AND t >= {from}"
        )
    }
}

/// Number of the step that holds an instant, from 0.
fn step(us: &str, steps: &Steps) -> String {
    format!("({us} - {}) / {}", steps.begin.0, steps.step.0)
}

/// An instant as files have it, so that they can be left out by it.
fn instant(at: Timestamp) -> String {
    let us = at.0;
    format!("arrow_cast({us}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// Which table holds what, without a gap and without an overlap: `table` as far as it is made, then the next narrower ones.
fn parts(table: Table, steps: &Steps, reach: &Reach) -> Vec<Part> {
    let (mut from, end) = (steps.begin, steps.end());
    let (mut parts, mut next) = (Vec::new(), Some(table));
    while let Some(table) = next
        && from < end
    {
        let made = match table {
            Table::Rollup(_, width) => reach.made[width as usize],
            _ => end,
        };
        let to = made.clamp(from, end);
        if to > from {
            parts.push(Part { table, from, to });
        }
        (from, next) = (to, table.source());
    }
    parts
}
