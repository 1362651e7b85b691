//! Sorted rows to rows of wider buckets: samples to minutes, narrower buckets to wider ones, by one fold.
//!
//! Rows come sorted by their thing and time. Of a sample that is late, or was bound after its bucket had closed, nothing is
//! taken, not even as the earlier one of a pair of counters: so it does not matter in how many steps history is rolled up.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, Int64Builder, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use mast_schemas::counters::{bits_per_second, gone_up};
use mast_schemas::records::Outcome;
use mast_schemas::rollups::{Origin, Rolled, Spec, Width};
use mast_schemas::time::Span;
use mast_schemas::{Epoch, Timestamp};

use crate::sums::{Stat, Sums, add, number, whole};
use crate::{LakeError, Table};

/// Rows of a batch that comes out.
const ROWS: usize = 8_192;

/// Columns of the source that a rollup reads.
pub(crate) fn source_columns(of: Rolled, width: Width) -> Vec<String> {
    let spec = of.spec();
    let keys = spec.key.iter().chain(spec.sub).map(|&c| c.to_owned());
    if width.narrower().is_some() {
        return keys
            .chain(["at".to_owned()])
            .chain(spec.numbers())
            .collect();
    }
    let gauges = spec.gauges.iter().map(|g| match g.from {
        Origin::Column(c) | Origin::Thousandths(c) | Origin::Rate(c) => c,
    });
    let more = ["observed_at", "epoch", "late", "running", "outcome"];
    let named = spec
        .counters
        .iter()
        .chain(spec.lasts)
        .copied()
        .chain(gauges)
        .chain(more);
    keys.chain(named.map(str::to_owned)).collect()
}

/// Folds rows of a rollup's source, and gives the buckets that begin in `[from, to)`.
pub(crate) struct Fold {
    table: Table,
    spec: &'static Spec,
    width: Width,
    from: Timestamp,
    to: Timestamp,
    things: RowConverter,
    keys: RowConverter,
    /// The thing whose rows come now.
    thing: Option<OwnedRow>,
    parts: Vec<Part>,
    rows: Vec<Row>,
    /// Which of the rows are the thing's: those from here on.
    own: usize,
    ready: VecDeque<RecordBatch>,
}

/// Rows of a thing with the same sub-key.
struct Part {
    key: OwnedRow,
    before: Option<Sample>,
    open: Option<(Timestamp, Sums)>,
}

/// The counters of a sample.
struct Sample {
    at: Timestamp,
    counters: Vec<Option<u64>>,
}

/// A bucket that is whole.
struct Row {
    at: Timestamp,
    key: OwnedRow,
    sums: Sums,
}

/// A batch of the source, its columns as they are added up.
enum Columns {
    Samples(Box<Samples>),
    /// Numbers in the order of [`Spec::numbers`].
    Buckets(Vec<Int64Array>),
}

struct Samples {
    epoch: UInt64Array,
    late: BooleanArray,
    held: Option<BooleanArray>,
    counters: Vec<UInt64Array>,
    /// Null for what the counters tell.
    gauges: Vec<Option<Int64Array>>,
    lasts: Vec<Int64Array>,
}

fn named<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, ArrowError> {
    batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("column {name} is missing")))
}

fn integers(batch: &RecordBatch, name: &str) -> Result<Int64Array, ArrowError> {
    let cast = cast(named(batch, name)?, &DataType::Int64)?;
    Ok(cast.as_primitive::<Int64Type>().clone())
}

fn thousandths(batch: &RecordBatch, name: &str) -> Result<Int64Array, ArrowError> {
    let values = named(batch, name)?.as_primitive_opt::<Float32Type>();
    let values = values
        .ok_or_else(|| ArrowError::SchemaError(format!("column {name} is not of fractions")))?;
    let whole = |v: f32| {
        v.is_finite()
            .then(|| (f64::from(v) * 1_000.0).round() as i64)
    };
    Ok(values.iter().map(|v| v.and_then(whole)).collect())
}

impl Columns {
    fn of(spec: &Spec, width: Width, batch: &RecordBatch) -> Result<Self, ArrowError> {
        if width.narrower().is_some() {
            let numbers = spec.numbers();
            let columns = numbers.iter().map(|name| integers(batch, name));
            return columns.collect::<Result<_, _>>().map(Self::Buckets);
        }
        let counter = |name: &&str| {
            let cast = cast(named(batch, name)?, &DataType::UInt64)?;
            Ok::<_, ArrowError>(cast.as_primitive::<UInt64Type>().clone())
        };
        let gauge = |from: Origin| match from {
            Origin::Column(name) => integers(batch, name).map(Some),
            Origin::Thousandths(name) => thousandths(batch, name).map(Some),
            Origin::Rate(_) => Ok(None),
        };
        let samples = Samples {
            epoch: counter(&"epoch")?,
            late: named(batch, "late")?.as_boolean().clone(),
            held: match spec.held {
                Some("running_samples") => Some(named(batch, "running")?.as_boolean().clone()),
                Some(_) => Some(reached(named(batch, "outcome")?.as_string())),
                None => None,
            },
            counters: spec
                .counters
                .iter()
                .map(counter)
                .collect::<Result<_, _>>()?,
            gauges: spec
                .gauges
                .iter()
                .map(|g| gauge(g.from))
                .collect::<Result<_, _>>()?,
            lasts: spec
                .lasts
                .iter()
                .map(|name| integers(batch, name))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self::Samples(Box::new(samples)))
    }
}

/// For which outcomes at least one command was answered.
fn reached(outcomes: &StringArray) -> BooleanArray {
    let known = |word: &str| word.parse::<Outcome>().is_ok_and(Outcome::reached);
    outcomes.iter().map(|word| word.map(known)).collect()
}

impl Fold {
    /// A fold to the buckets of `width` that begin in `[from, to)`.
    pub(crate) fn new(
        of: Rolled,
        width: Width,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Self, LakeError> {
        let (table, spec) = (Table::Rollup(of, width), of.spec());
        let schema = of.schema();
        let converter = |names: Vec<&str>| {
            let field = |name: &str| {
                schema
                    .field_with_name(name)
                    .map(|f| SortField::new(f.data_type().clone()))
            };
            let fields = names.into_iter().map(field).collect::<Result<Vec<_>, _>>();
            fields
                .and_then(RowConverter::new)
                .map_err(|source| LakeError::Arrow { table, source })
        };
        Ok(Self {
            table,
            spec,
            width,
            from,
            to,
            things: converter(spec.key.to_vec())?,
            keys: converter([spec.key, spec.sub].concat())?,
            thing: None,
            parts: Vec::new(),
            rows: Vec::new(),
            own: 0,
            ready: VecDeque::new(),
        })
    }

    /// Adds rows. What is whole by then comes from [`Fold::pop`].
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        let table = self.table;
        self.fold(batch)
            .map_err(|source| LakeError::Arrow { table, source })
    }

    /// A batch of whole buckets, sorted, and after the one before.
    pub(crate) fn pop(&mut self) -> Option<RecordBatch> {
        self.ready.pop_front()
    }

    /// Takes note that there are no more rows.
    pub(crate) fn end(&mut self) -> Result<(), LakeError> {
        let table = self.table;
        self.end_thing();
        self.emit()
            .map_err(|source| LakeError::Arrow { table, source })
    }

    fn fold(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let spec = self.spec;
        let part = |names: &[&str]| {
            let columns = names.iter().map(|name| named(batch, name).cloned());
            columns.collect::<Result<Vec<ArrayRef>, _>>()
        };
        let things = self.things.convert_columns(&part(spec.key)?)?;
        let keys = self
            .keys
            .convert_columns(&part(&[spec.key, spec.sub].concat())?)?;
        let columns = Columns::of(spec, self.width, batch)?;
        let samples = self.width.narrower().is_none();
        let time = if samples { "observed_at" } else { "at" };
        let time = named(batch, time)?
            .as_primitive::<TimestampMicrosecondType>()
            .clone();
        for row in 0..batch.num_rows() {
            let at = Timestamp(time.value(row));
            let bucket = self.width.bucket(at);
            if bucket >= self.to || !taken(&columns, row, self.width.closes(bucket)) {
                continue;
            }
            if self
                .thing
                .as_ref()
                .is_none_or(|t| t.row() != things.row(row))
            {
                self.end_thing();
                self.thing = Some(things.row(row).owned());
                if self.rows.len() >= ROWS {
                    self.emit()?;
                }
            }
            let key = keys.row(row);
            let place = match self.parts.iter().position(|p| p.key.row() == key) {
                Some(place) => place,
                None => {
                    let key = key.owned();
                    self.parts.push(Part {
                        key,
                        before: None,
                        open: None,
                    });
                    self.parts.len() - 1
                }
            };
            let part = &mut self.parts[place];
            let whole = part.add(spec, bucket, at, &columns, row);
            if let Some((at, sums)) = whole.filter(|(at, _)| *at >= self.from) {
                let key = part.key.clone();
                self.rows.push(Row { at, key, sums });
            }
        }
        Ok(())
    }

    /// All buckets of the thing are whole; its rows come in the order of the table.
    fn end_thing(&mut self) {
        let from = self.from;
        for part in self.parts.drain(..) {
            if let Some((at, sums)) = part.open.filter(|(at, _)| *at >= from) {
                let key = part.key;
                self.rows.push(Row { at, key, sums });
            }
        }
        self.rows[self.own..].sort_by(|a, b| a.at.cmp(&b.at).then_with(|| a.key.cmp(&b.key)));
        self.own = self.rows.len();
    }

    fn emit(&mut self) -> Result<(), ArrowError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.own = 0;
        let mut keys = self.keys.convert_rows(rows.iter().map(|r| r.key.row()))?;
        let sub = keys.split_off(self.spec.key.len());
        let at: TimestampMicrosecondArray = rows.iter().map(|r| Some(r.at.0)).collect();
        keys.push(Arc::new(at.with_timezone("UTC")));
        keys.extend(sub);
        let names = self.spec.numbers();
        let mut numbers: Vec<_> = names
            .iter()
            .map(|_| Int64Builder::with_capacity(rows.len()))
            .collect();
        for row in &rows {
            for (builder, value) in numbers.iter_mut().zip(row.sums.numbers(self.spec)) {
                builder.append_option(value);
            }
        }
        keys.extend(numbers.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef));
        let closes = rows.iter().map(|r| self.width.closes(r.at).0);
        keys.push(Arc::new(closes.collect::<UInt64Array>()));
        keys.push(Arc::new(BooleanArray::from(vec![false; rows.len()])));
        self.ready
            .push_back(RecordBatch::try_new(self.table.schema(), keys)?);
        Ok(())
    }
}

/// Whether a row has a part in its bucket, which closes at `closes`.
fn taken(columns: &Columns, row: usize, closes: Epoch) -> bool {
    match columns {
        Columns::Samples(of) => !of.late.value(row) && of.epoch.value(row) <= closes.0,
        Columns::Buckets(_) => true,
    }
}

impl Part {
    /// Adds a row; gives the bucket before, when the row begins another.
    fn add(
        &mut self,
        spec: &Spec,
        bucket: Timestamp,
        at: Timestamp,
        columns: &Columns,
        row: usize,
    ) -> Option<(Timestamp, Sums)> {
        let ended = self.open.take_if(|(open, _)| *open != bucket);
        let (_, sums) = self.open.get_or_insert_with(|| (bucket, Sums::new(spec)));
        match columns {
            Columns::Samples(of) => sums.add_sample(spec, &mut self.before, at, of, row),
            Columns::Buckets(numbers) => sums.add_bucket(spec, numbers, row),
        }
        ended
    }
}

impl Sums {
    /// Adds a sample; `before` is the one before it, and then itself.
    fn add_sample(
        &mut self,
        spec: &Spec,
        before: &mut Option<Sample>,
        at: Timestamp,
        of: &Samples,
        row: usize,
    ) {
        self.samples += 1;
        let holds = of
            .held
            .as_ref()
            .is_some_and(|h| h.is_valid(row) && h.value(row));
        self.held += i64::from(holds);
        let value = |c: &UInt64Array| c.is_valid(row).then(|| c.value(row));
        let counters = of.counters.iter().map(value).collect();
        let sample = Sample { at, counters };
        let gone = before.as_ref().and_then(|before| before.gone(&sample));
        if let Some((apart, gone)) = &gone {
            self.counted_ms += apart.0 / 1_000;
            for (sum, gone) in self.counters.iter_mut().zip(gone) {
                if let Some(gone) = gone {
                    *sum = Some(sum.unwrap_or(0).saturating_add(whole(*gone)));
                }
            }
        }
        for ((stat, gauge), column) in self.gauges.iter_mut().zip(spec.gauges).zip(&of.gauges) {
            let value = match (column, gauge.from) {
                (Some(column), _) => number(column, row),
                (None, Origin::Rate(name)) => rate(spec, name, gone.as_ref()),
                (None, _) => None,
            };
            add(stat, value.map(Stat::one));
        }
        for (last, column) in self.lasts.iter_mut().zip(&of.lasts) {
            *last = number(column, row).or(*last);
        }
        *before = Some(sample);
    }
}

impl Sample {
    /// The time to `later`, and what the counters went up by; null when nothing can be told of it.
    fn gone(&self, later: &Self) -> Option<Gone> {
        let apart = later.at - self.at;
        Some((apart, gone_up(apart, &self.counters, &later.counters)?))
    }
}

/// The time between two samples, and what each counter went up by.
type Gone = (Span, Vec<Option<u64>>);

/// Bits a second of a byte counter.
fn rate(spec: &Spec, counter: &str, gone: Option<&Gone>) -> Option<i64> {
    let place = spec.counters.iter().position(|&c| c == counter)?;
    let (apart, gone) = gone?;
    bits_per_second((*gone.get(place)?)?, *apart)
}
