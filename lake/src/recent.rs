//! The newest rows: those that wait for a commit, and those of the last commits, for readers who began before.
//!
//! Writer and readers share the batches; a reader holds no lock while it works on them. A reader has seen what the manifest
//! held at some instant, and asks for what came after it. By then the writer may have committed again, so the rows of the
//! last commits stay. The trap: an answer that leaves out what is no longer here. So a reader that is too far behind is told.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use arrow::array::RecordBatch;
use mast_schemas::Epoch;
use tokio::sync::watch;

use crate::{LakeError, Table};

/// Commits whose rows stay.
const COMMITS_KEPT: usize = 2;

/// The reader knows a manifest that is too old: rows after it are in files that it does not see, and no longer here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld;

/// See the module.
#[derive(Debug)]
pub struct Recent {
    rows: RwLock<Rows>,
    /// All rows of slots up to this one were appended.
    upto: watch::Sender<Epoch>,
    /// Bytes of committed rows that stay at most.
    kept_most: u64,
}

#[derive(Debug)]
struct Rows {
    /// All rows after this slot are here.
    floor: Option<Epoch>,
    /// Ends of the commits after it, oldest first.
    commits: VecDeque<Epoch>,
    tables: [Vec<(Epoch, RecordBatch)>; Table::WRITTEN.len()],
    /// Of rows after the last commit.
    waiting: Size,
    /// Of those before.
    kept_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    rows: u64,
    bytes: u64,
}

impl Size {
    fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        self.bytes += batch.get_array_memory_size() as u64;
    }
}

impl Recent {
    /// Nothing yet, after what the lake holds.
    pub(crate) fn new(committed: Option<Epoch>, kept_most: u64) -> Self {
        Self {
            rows: RwLock::new(Rows {
                floor: committed,
                commits: VecDeque::new(),
                tables: Default::default(),
                waiting: Size::default(),
                kept_bytes: 0,
            }),
            upto: watch::Sender::new(Epoch(0)),
            kept_most,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows that wait for a commit.
    pub fn waiting_rows(&self) -> u64 {
        self.read().waiting.rows
    }

    /// Memory that the waiting rows hold, in bytes.
    pub fn waiting_bytes(&self) -> u64 {
        self.read().waiting.bytes
    }

    /// Memory that rows hold which are committed and stay for readers, in bytes.
    pub fn kept_bytes(&self) -> u64 {
        self.read().kept_bytes
    }

    pub(crate) fn push(
        &self,
        table: Table,
        epoch: Epoch,
        batch: RecordBatch,
    ) -> Result<(), LakeError> {
        let mut rows = self.write();
        let place = table.place();
        let buffer = rows.tables.get_mut(place).ok_or(LakeError::Made(table))?;
        buffer.push((epoch, batch.clone()));
        rows.waiting.add(&batch);
        Ok(())
    }

    /// Takes note that all rows of slots up to this one were appended.
    pub fn complete(&self, upto: Epoch) {
        self.upto.send_if_modified(|known| {
            let newer = upto > *known;
            *known = upto.max(*known);
            newer
        });
    }

    /// Waits until all rows of slots up to this one are here; whether they are.
    pub async fn wait(&self, upto: Epoch, patience: Duration) -> bool {
        let mut known = self.upto.subscribe();
        let here = known.wait_for(|known| *known >= upto);
        matches!(tokio::time::timeout(patience, here).await, Ok(Ok(_)))
    }

    /// The batches that wait for a commit up to `upto`, by table.
    pub(crate) fn waiting(&self, upto: Epoch) -> Vec<(Table, Vec<RecordBatch>)> {
        let rows = self.read();
        let after = rows.commits.back().copied().or(rows.floor);
        let ready = |table: Table| (table, rows.between(table, after, upto));
        Table::WRITTEN.into_iter().map(ready).collect()
    }

    /// All batches of a written table with rows of slots `after < epoch ≤ upto`, of all tenants; of one slot each.
    ///
    /// # Errors
    /// [`TooOld`] when some of them are gone.
    pub fn rows(
        &self,
        table: Table,
        after: Option<Epoch>,
        upto: Epoch,
    ) -> Result<Vec<RecordBatch>, TooOld> {
        let rows = self.read();
        if after < rows.floor {
            return Err(TooOld);
        }
        Ok(rows.between(table, after, upto))
    }

    /// Takes note that the lake holds all rows up to here; lets go of those of older commits.
    pub(crate) fn committed(&self, upto: Epoch) {
        let mut rows = self.write();
        rows.commits.push_back(upto);
        while rows.commits.len() > COMMITS_KEPT {
            rows.forget();
        }
        rows.measure();
        while rows.kept_bytes > self.kept_most && !rows.commits.is_empty() {
            rows.forget();
            rows.measure();
        }
    }
}

impl Rows {
    fn between(&self, table: Table, after: Option<Epoch>, upto: Epoch) -> Vec<RecordBatch> {
        let buffer = self.tables.get(table.place()).into_iter().flatten();
        let wanted = buffer.filter(|(epoch, _)| Some(*epoch) > after && *epoch <= upto);
        wanted.map(|(_, batch)| batch.clone()).collect()
    }

    /// Lets go of the oldest commit's rows.
    fn forget(&mut self) {
        let Some(end) = self.commits.pop_front() else {
            return;
        };
        self.floor = Some(end);
        for buffer in &mut self.tables {
            buffer.retain(|(epoch, _)| *epoch > end);
        }
    }

    fn measure(&mut self) {
        let committed = self.commits.back().copied().or(self.floor);
        let (mut waiting, mut kept) = (Size::default(), Size::default());
        for (epoch, batch) in self.tables.iter().flatten() {
            let size = if Some(*epoch) > committed {
                &mut waiting
            } else {
                &mut kept
            };
            size.add(batch);
        }
        (self.waiting, self.kept_bytes) = (waiting, kept.bytes);
    }
}

#[cfg(test)]
mod tests {
    use mast_schemas::column::Record;
    use mast_schemas::records::Firmware;

    use super::*;

    fn push(recent: &Recent, epochs: std::ops::RangeInclusive<u64>) {
        for epoch in epochs.map(Epoch) {
            let row = serde_json_row(epoch);
            let batch = Table::Firmware
                .lake_batch(epoch, false, &Firmware::batch([&row]))
                .unwrap();
            recent.push(Table::Firmware, epoch, batch).unwrap();
            recent.complete(epoch);
        }
    }

    fn serde_json_row(epoch: Epoch) -> Firmware {
        serde_json::from_value(serde_json::json!({
            "tenant_id": mast_schemas::TenantId::default(), "device_id": mast_schemas::DeviceId::default(),
            "observed_at": epoch.end().0, "lease_epoch": 1, "sequence": epoch.0,
        }))
        .unwrap()
    }

    fn found(recent: &Recent, after: u64, upto: u64) -> Result<usize, TooOld> {
        let rows = recent.rows(Table::Firmware, Some(Epoch(after)), Epoch(upto));
        rows.map(|rows| rows.len())
    }

    #[test]
    fn rows_stay_for_two_commits_and_a_reader_that_is_older_is_told() {
        let recent = Recent::new(Some(Epoch(10)), u64::MAX);
        push(&recent, 11..=20);
        assert_eq!(found(&recent, 10, 20), Ok(10));
        assert_eq!(found(&recent, 12, 15), Ok(3));
        assert_eq!(found(&recent, 9, 20), Err(TooOld));
        assert_eq!(recent.rows(Table::Firmware, None, Epoch(20)), Err(TooOld));
        recent.committed(Epoch(15));
        recent.committed(Epoch(18));
        assert_eq!(found(&recent, 10, 20), Ok(10));
        assert_eq!(recent.waiting_rows(), 2);
        recent.committed(Epoch(20));
        assert_eq!(found(&recent, 10, 20), Err(TooOld));
        assert_eq!(found(&recent, 15, 20), Ok(5));
        assert_eq!(recent.waiting_bytes(), 0);
        assert!(recent.kept_bytes() > 0);
        let other = Recent::new(None, u64::MAX);
        push(&other, 1..=3);
        assert_eq!(
            other.rows(Table::Firmware, None, Epoch(3)).unwrap().len(),
            3
        );
    }

    #[test]
    fn what_is_committed_stays_within_its_bound() {
        let recent = Recent::new(None, 1);
        push(&recent, 1..=5);
        recent.committed(Epoch(3));
        assert_eq!(recent.kept_bytes(), 0);
        assert_eq!(found(&recent, 2, 5), Err(TooOld));
        assert_eq!(found(&recent, 3, 5), Ok(2));
        assert_eq!(
            recent
                .waiting(Epoch(4))
                .iter()
                .map(|t| t.1.len())
                .sum::<usize>(),
            1
        );
    }

    #[tokio::test]
    async fn a_reader_waits_for_the_slot_that_it_knows() {
        let recent = Recent::new(None, 1);
        assert!(!recent.wait(Epoch(2), Duration::ZERO).await);
        recent.complete(Epoch(2));
        recent.complete(Epoch(1));
        assert!(recent.wait(Epoch(2), Duration::from_secs(60)).await);
    }
}
