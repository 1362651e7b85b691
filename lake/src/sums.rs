//! What a bucket holds: counts, sums, extremes and last values, of which parts add up to a whole.

use arrow::array::{Array, Int64Array};
use mast_schemas::rollups::{STATISTICS, Spec};

/// What a bucket holds so far, in the order of the columns.
#[derive(Clone)]
pub(crate) struct Sums {
    pub(crate) samples: i64,
    pub(crate) held: i64,
    pub(crate) counted_ms: i64,
    pub(crate) counters: Vec<Option<i64>>,
    pub(crate) gauges: Vec<Option<Stat>>,
    pub(crate) lasts: Vec<Option<i64>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Stat {
    count: i64,
    sum: i64,
    min: i64,
    max: i64,
    last: i64,
}

impl Stat {
    pub(crate) const fn one(value: i64) -> Self {
        Self {
            count: 1,
            sum: value,
            min: value,
            max: value,
            last: value,
        }
    }
}

/// Adds a later part.
pub(crate) fn add(stat: &mut Option<Stat>, later: Option<Stat>) {
    *stat = match (*stat, later) {
        (Some(a), Some(b)) => Some(Stat {
            count: a.count + b.count,
            sum: a.sum.saturating_add(b.sum),
            min: a.min.min(b.min),
            max: a.max.max(b.max),
            last: b.last,
        }),
        (a, b) => b.or(a),
    };
}

impl Sums {
    pub(crate) fn new(spec: &Spec) -> Self {
        Self {
            samples: 0,
            held: 0,
            counted_ms: 0,
            counters: vec![None; spec.counters.len()],
            gauges: vec![None; spec.gauges.len()],
            lasts: vec![None; spec.lasts.len()],
        }
    }

    /// All numbers, as [`Spec::numbers`] names them.
    pub(crate) fn numbers(&self, spec: &Spec) -> Vec<Option<i64>> {
        let mut all = vec![Some(self.samples)];
        all.extend(spec.held.map(|_| Some(self.held)));
        if !spec.counters.is_empty() {
            all.push(Some(self.counted_ms));
            all.extend(&self.counters);
        }
        for gauge in &self.gauges {
            match gauge {
                Some(s) => all.extend([s.count, s.sum, s.min, s.max, s.last].map(Some)),
                None => all.extend([Some(0), None, None, None, None]),
            }
        }
        all.extend(&self.lasts);
        all
    }

    /// Adds a narrower bucket, which is later than those before.
    pub(crate) fn add_bucket(&mut self, spec: &Spec, numbers: &[Int64Array], row: usize) {
        let mut values = numbers.iter().map(|column| number(column, row));
        let mut next = || values.next().flatten();
        self.samples += next().unwrap_or(0);
        if spec.held.is_some() {
            self.held += next().unwrap_or(0);
        }
        if !spec.counters.is_empty() {
            self.counted_ms += next().unwrap_or(0);
            for sum in &mut self.counters {
                if let Some(gone) = next() {
                    *sum = Some(sum.unwrap_or(0).saturating_add(gone));
                }
            }
        }
        for stat in &mut self.gauges {
            let [count, sum, min, max, last] = STATISTICS.map(|_| next());
            let later = (|| {
                Some(Stat {
                    count: count.filter(|c| *c > 0)?,
                    sum: sum?,
                    min: min?,
                    max: max?,
                    last: last?,
                })
            })();
            add(stat, later);
        }
        for last in &mut self.lasts {
            *last = next().or(*last);
        }
    }
}

pub(crate) fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn number(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}
