//! Law 3 for what is made of history: each bucket of a rollup against a recount of the log's polls.
//!
//! By device, bucket and width: how many samples, and the sum of one number of each kind. A sample that came late, or in a
//! slot behind the one at which its minute closed, has no part.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use mast_lake::Table;
use mast_schemas::message::WholePoll;
use mast_schemas::rollups::{GRACE, Rolled, Width};
use mast_schemas::{DeviceId, Epoch, TenantId, Timestamp};
use uuid::Uuid;

use super::kept::Kept;
use super::lake::{Range, column};

/// The column that is summed up beside the samples.
const fn summed(of: Rolled) -> &'static str {
    match of {
        Rolled::Registration => "signal_sum_dbm",
        Rolled::Interface => "running_samples",
        Rolled::Radio => "clients_sum",
        Rolled::Poll => "cpu_load_sum_percent",
    }
}

/// Columns of rollups that are read.
pub(super) const COLUMNS: [&str; 6] = [
    "at",
    "samples",
    summed(Rolled::Registration),
    summed(Rolled::Interface),
    summed(Rolled::Radio),
    summed(Rolled::Poll),
];

type Key = (Rolled, Width, DeviceId, i64);
/// Samples, and the sum.
type Count = (i64, i64);

/// Buckets by the log and in the lake.
#[derive(Default)]
pub(super) struct Recount {
    log: BTreeMap<Key, Count>,
    lake: BTreeMap<Key, Count>,
}

/// Begin of the bucket of a time, in microseconds.
const fn bucket(width_us: i64, at_us: i64) -> i64 {
    at_us - at_us.rem_euclid(width_us)
}

impl Recount {
    /// Books a poll that was bound in slot `epoch` and counts, in the buckets that must be there.
    pub(super) fn poll(&mut self, epoch: Epoch, whole: &WholePoll, kept: &Kept) {
        let at = whole.poll.observed_at.0;
        let minute = Width::Minute.span().0;
        if epoch.end().0 > bucket(minute, at) + minute + GRACE.0 {
            return;
        }
        let signal = |r: &mast_schemas::records::Registration| r.signal_dbm.map_or(0, i64::from);
        let clients = |r: &mast_schemas::records::Radio| r.clients.map_or(0, i64::from);
        let running = whole.interfaces.iter().filter(|i| i.running == Some(true));
        let kinds = [
            (
                Rolled::Registration,
                whole.registrations.len(),
                whole.registrations.iter().map(signal).sum(),
            ),
            (
                Rolled::Interface,
                whole.interfaces.len(),
                running.count() as i64,
            ),
            (
                Rolled::Radio,
                whole.radios.len(),
                whole.radios.iter().map(clients).sum(),
            ),
            (
                Rolled::Poll,
                1,
                whole.poll.cpu_load_percent.map_or(0, i64::from),
            ),
        ];
        for (of, samples, sum) in kinds.into_iter().filter(|(_, samples, _)| *samples > 0) {
            for width in Width::ALL {
                let at = bucket(width.span().0, at);
                let table = Table::Rollup(of, width);
                if kept.may_be_gone(table, whole.poll.tenant_id, Timestamp(at)) {
                    continue;
                }
                let key = (of, width, whole.poll.device_id, at);
                let count = self.log.entry(key).or_default();
                *count = (count.0 + samples as i64, count.1 + sum);
            }
        }
    }

    /// Books rows of a rollup, but those that are only not gone yet.
    pub(super) fn rows(
        &mut self,
        (of, width): (Rolled, Width),
        batch: &RecordBatch,
        kept: &Kept,
    ) -> anyhow::Result<()> {
        let at = column(batch, "at")?.as_primitive::<TimestampMicrosecondType>();
        let samples = column(batch, "samples")?.as_primitive::<Int64Type>();
        let sums = column(batch, summed(of))?.as_primitive::<Int64Type>();
        let devices = column(batch, "device_id")?.as_fixed_size_binary();
        let tenants = column(batch, "tenant_id")?.as_fixed_size_binary();
        for row in 0..batch.num_rows() {
            let tenant = TenantId(Uuid::from_slice(tenants.value(row))?);
            if kept.may_be_gone(Table::Rollup(of, width), tenant, Timestamp(at.value(row))) {
                continue;
            }
            let device = DeviceId(Uuid::from_slice(devices.value(row))?);
            let count = self
                .lake
                .entry((of, width, device, at.value(row)))
                .or_default();
            let sum = if sums.is_valid(row) {
                sums.value(row)
            } else {
                0
            };
            *count = (count.0 + samples.value(row), count.1 + sum);
        }
        Ok(())
    }

    /// Buckets that were looked for, and those that differ. Only buckets that begin behind slot `from` are whole in the log,
    /// and only those that close up to a rollup's last range are in the lake.
    pub(super) fn settle(&self, from: Epoch, ranges: &[Range]) -> (usize, Vec<String>) {
        let made = |of, width| {
            let name = Table::Rollup(of, width).as_str();
            ranges
                .iter()
                .filter(|r| r.table == name)
                .map(|r| r.to)
                .max()
        };
        let due = |&(of, width, _, at): &Key| {
            let closes = at + width.span().0 + GRACE.0;
            at >= from.end().0 && made(of, width).is_some_and(|to| closes <= to.end().0)
        };
        let (mut checked, mut found) = (0, Vec::new());
        let only_in_lake = self.lake.keys().filter(|key| !self.log.contains_key(*key));
        for key in self.log.keys().chain(only_in_lake).filter(|key| due(key)) {
            checked += 1;
            let count = |of: &BTreeMap<Key, Count>| of.get(key).copied().unwrap_or_default();
            let (log, lake) = (count(&self.log), count(&self.lake));
            if log != lake {
                let (of, width, device, at) = key;
                found.push(format!(
                    "{} of device {device} at {at} µs: {} samples of {} {}, not {} of {}",
                    Table::Rollup(*of, *width),
                    lake.0,
                    summed(*of),
                    lake.1,
                    log.0,
                    log.1,
                ));
            }
        }
        (checked, found)
    }
}
