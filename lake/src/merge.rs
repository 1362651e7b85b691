//! Sorted inputs to one sorted stream, a batch of each in memory.
//!
//! Rows that compare alike come in the order of the inputs, so that what is merged again comes out the same.

use std::cmp::Ordering;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};

use crate::{FileSummary, LakeError, Table, path_of, read};

/// Rows of a batch that comes out.
const ROWS: usize = 8_192;

/// Batches of one input, each sorted and after the one before.
pub(crate) type Input = Box<dyn Iterator<Item = Result<RecordBatch, LakeError>>>;

/// Merges inputs that are sorted by the table's sort columns, all of which they have.
pub(crate) struct Merge {
    table: Table,
    converter: RowConverter,
    /// Places of the sort columns.
    sort: Vec<usize>,
    cursors: Vec<Cursor>,
    /// Cursors that have a row, the one with the least first (a binary heap).
    heap: Vec<usize>,
    /// Batches from which rows are taken for the next batch out, with rows of each chosen so far.
    held: Vec<RecordBatch>,
    chosen: Vec<(usize, usize)>,
    begun: bool,
}

/// Where an input stands.
struct Cursor {
    input: Input,
    keys: Option<Rows>,
    row: usize,
    /// Its batch among those held.
    batch: usize,
}

impl Merge {
    /// Merges `inputs`, whose batches all have the schema `schema`.
    pub(crate) fn new(
        table: Table,
        schema: &Schema,
        inputs: Vec<Input>,
    ) -> Result<Self, LakeError> {
        let failed = |source| LakeError::Arrow { table, source };
        let place = |name: &&str| schema.index_of(name);
        let sort: Result<Vec<usize>, _> = table.sort_columns().iter().map(place).collect();
        let sort = sort.map_err(failed)?;
        let field = |&place: &usize| SortField::new(schema.field(place).data_type().clone());
        let converter = RowConverter::new(sort.iter().map(field).collect()).map_err(failed)?;
        let cursor = |input| Cursor {
            input,
            keys: None,
            row: 0,
            batch: 0,
        };
        Ok(Self {
            table,
            converter,
            sort,
            cursors: inputs.into_iter().map(cursor).collect(),
            heap: Vec::new(),
            held: Vec::new(),
            chosen: Vec::new(),
            begun: false,
        })
    }

    /// Merges files, of which the columns of `schema` are read.
    pub(crate) fn of_files(
        table: Table,
        root: &Path,
        schema: SchemaRef,
        files: &[FileSummary],
    ) -> Result<Self, LakeError> {
        let open = |file: &FileSummary| {
            let rows = read::Rows::open(table, &path_of(root, &file.path), schema.clone())?;
            Ok(Box::new(rows) as Input)
        };
        let inputs = files.iter().map(open).collect::<Result<_, LakeError>>()?;
        Self::new(table, &schema, inputs)
    }

    /// Reads the next batch of an input that has rows. False at its end.
    fn load(&mut self, index: usize) -> Result<bool, LakeError> {
        let table = self.table;
        let cursor = &mut self.cursors[index];
        loop {
            let Some(batch) = cursor.input.next().transpose()? else {
                cursor.keys = None;
                return Ok(false);
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let columns: Vec<_> = self.sort.iter().map(|&i| batch.column(i).clone()).collect();
            let keys = self.converter.convert_columns(&columns);
            cursor.keys = Some(keys.map_err(|source| LakeError::Arrow { table, source })?);
            (cursor.row, cursor.batch) = (0, self.held.len());
            self.held.push(batch);
            return Ok(true);
        }
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        let (left, right) = (&self.cursors[a], &self.cursors[b]);
        match (&left.keys, &right.keys) {
            (Some(l), Some(r)) => l.row(left.row).cmp(&r.row(right.row)).then(a.cmp(&b)),
            (l, r) => r.is_some().cmp(&l.is_some()),
        }
    }

    /// Moves the heap's first down to where it belongs.
    fn sift_down(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len()
                    && self.order(self.heap[child], self.heap[least]) == Ordering::Less
                {
                    least = child;
                }
            }
            if least == place {
                return;
            }
            self.heap.swap(place, least);
            place = least;
        }
    }

    fn begin(&mut self) -> Result<(), LakeError> {
        self.begun = true;
        for index in 0..self.cursors.len() {
            if self.load(index)? {
                self.heap.push(index);
            }
        }
        for place in (0..self.heap.len() / 2).rev() {
            self.sift_down(place);
        }
        Ok(())
    }

    /// Chooses the least row. False when there is none.
    fn step(&mut self) -> Result<bool, LakeError> {
        let Some(&first) = self.heap.first() else {
            return Ok(false);
        };
        let cursor = &mut self.cursors[first];
        self.chosen.push((cursor.batch, cursor.row));
        cursor.row += 1;
        let ended = cursor
            .keys
            .as_ref()
            .is_none_or(|keys| cursor.row == keys.num_rows());
        if ended && !self.load(first)? {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        Ok(true)
    }

    /// The chosen rows; only the batches at which cursors stand are held on.
    fn flush(&mut self) -> Result<RecordBatch, LakeError> {
        let table = self.table;
        let refs: Vec<&RecordBatch> = self.held.iter().collect();
        let rows = interleave_record_batch(&refs, &self.chosen)
            .map_err(|source| LakeError::Arrow { table, source })?;
        self.chosen.clear();
        let before = std::mem::take(&mut self.held);
        for &index in &self.heap {
            let cursor = &mut self.cursors[index];
            let batch = before[cursor.batch].clone();
            cursor.batch = self.held.len();
            self.held.push(batch);
        }
        Ok(rows)
    }

    fn advance(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        if !self.begun {
            self.begin()?;
        }
        while self.chosen.len() < ROWS && self.step()? {}
        if self.chosen.is_empty() {
            return Ok(None);
        }
        self.flush().map(Some)
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
