//! Law 3: history against the log, poll by poll.
//!
//! A ledger. Each poll that the log says belongs in history is booked with the rows that its message had; each row in the
//! lake's files is booked against it. What does not come out even was lost, or is there twice, or should not be there.
//!
//! The trap avoided: reading through the query engine, which shows one of rows that came again. Files are read as they
//! are, a batch at a time, and of each row only which poll it is of. An entry is some hundred and thirty bytes a poll, of the slots that
//! the log still holds; of older files it is checked that they are there, once and without a gap.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use anyhow::Context;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use mast_lake::{LakeFile, Table, path_of};
use mast_oracle::{Oracle, Restored};
use mast_schemas::checkpoint::DeviceRecord;
use mast_schemas::control::ControlRecord;
use mast_schemas::message::{SlowRows, WholePoll};
use mast_schemas::records::PollId;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::{EventId, HealthSample};
use mast_schemas::{DeviceId, Epoch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use uuid::Uuid;

use super::kept::Kept;
use super::places::{self, Places};
use super::rollups::{self, Recount};
use super::served::Served;

/// Tables whose rows belong to polls, as places in an [`Entry`].
const OF_POLLS: [Table; TABLES] = [
    Table::Polls,
    Table::InterfaceSamples,
    Table::RegistrationSamples,
    Table::RadioSamples,
    Table::ArpEntries,
    Table::DhcpLeases,
    Table::Neighbors,
    Table::RouteSummaries,
    Table::Firmware,
    Table::DeviceLog,
];
const TABLES: usize = 10;
/// Rows of one read.
const BATCH_ROWS: usize = 1 << 16;

/// A range of slots of one table, as the manifest names it.
pub(super) struct Range {
    pub(super) table: String,
    pub(super) from: Epoch,
    pub(super) to: Epoch,
}

/// Which poll rows are of, and how they lie in the lake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    epoch: Epoch,
    device: DeviceId,
    poll: PollId,
    late: bool,
}

/// Rows of a poll by table: by the log, and in the lake.
#[derive(Clone, Copy, Default)]
struct Entry {
    log: [u32; TABLES],
    lake: [u32; TABLES],
    /// So old that the lake need not hold them any more.
    may_be_gone: [bool; TABLES],
}

impl Entry {
    /// Whether the lake has other rows of the n-th table than it should.
    const fn differs(&self, n: usize) -> bool {
        if self.may_be_gone[n] {
            self.lake[n] > self.log[n]
        } else {
            self.lake[n] != self.log[n]
        }
    }
}

/// What the log says that history must hold, of the slots after `from` up to `upto`.
pub(super) struct Ledger {
    from: Epoch,
    upto: Epoch,
    kept: Kept,
    gate: Gate,
    entries: HashMap<Key, Entry>,
    rollups: Recount,
}

impl Ledger {
    /// An empty one, with the records as of `from` or before.
    ///
    /// History follows the views. Were it ahead, its newest rows would have nothing to stand against: a breach.
    pub(super) fn new(from: Epoch, served: &Served, records: &Restored) -> Self {
        Self {
            from,
            upto: served.lake.as_of.unwrap_or_default(),
            kept: served.kept.clone(),
            gate: Gate::new(records),
            entries: HashMap::new(),
            rollups: Recount::default(),
        }
    }

    /// Books what a slot binds.
    pub(super) fn slot(&mut self, epoch: Epoch, control: &[ControlRecord], polls: &[WholePoll]) {
        if epoch > self.upto {
            return;
        }
        let judged = self.gate.slot(epoch, control, polls);
        if epoch <= self.from {
            return;
        }
        for (whole, late) in judged {
            let [arp, leases, neighbors, routes, firmware, events] = whole.slow.counts();
            let rows = [
                1,
                whole.interfaces.len(),
                whole.registrations.len(),
                whole.radios.len(),
                arp,
                leases,
                neighbors,
                routes,
                firmware,
                events,
            ];
            let key = Key {
                epoch,
                device: whole.poll.device_id,
                poll: whole.poll.id(),
                late,
            };
            if !late {
                self.rollups.poll(epoch, whole, &self.kept);
            }
            let entry = self.entries.entry(key).or_default();
            for (booked, rows) in entry.log.iter_mut().zip(rows) {
                *booked += rows as u32;
            }
            let (tenant, at) = (whole.poll.tenant_id, whole.poll.observed_at);
            entry.may_be_gone = OF_POLLS.map(|table| self.kept.may_be_gone(table, tenant, at));
        }
    }

    /// Books the lake against it. Returns how many rows were looked for, and every breach.
    pub(super) fn settle(
        mut self,
        root: &Path,
        served: &Served,
        places: &[HealthSample],
    ) -> (usize, Vec<String>) {
        let Served {
            lake,
            ranges,
            events,
            alert_events,
            ..
        } = served;
        let mut breaches = seams(ranges);
        breaches.extend(named_twice(&lake.files));
        let (from, upto) = (self.from, self.upto);
        let inside = move |epoch: Epoch| epoch > from && epoch <= upto;
        let all = events.iter().chain(alert_events);
        let due = all.filter(|(_, seen)| inside(seen.epoch));
        let mut ids: HashMap<EventId, i64> = due.map(|(id, _)| (*id, 1)).collect();
        let mut places = Places::new(places, &inside, &self.kept);
        let rows: u32 = self.entries.values().flat_map(|e| e.log).sum();
        let checked = rows as usize + ids.len() + places.len();
        for file in &lake.files {
            let path = path_of(root, &file.summary.path);
            let read = if file.epoch_to <= from {
                present(&path, file)
            } else {
                read(&path, file, |batch| match (file.table, place(file.table)) {
                    (Table::Rollup(of, width), _) => {
                        self.rollups.rows((of, width), batch, &self.kept)
                    }
                    (Table::SiteHealthHistory, _) => places.book(batch, &inside, &self.kept),
                    (_, Some(place)) => self.book(place, batch, &inside),
                    (_, None) => book_events(batch, &inside, &mut ids),
                })
            };
            let named = |error| format!("lake file {}: {error:#}", file.summary.path);
            breaches.extend(read.err().map(named));
        }
        breaches.extend(self.uneven());
        let known = |id: &EventId| events.get(id).or_else(|| alert_events.get(id));
        ids.retain(|id, left| *left != 1 || known(id).is_none_or(|seen| !seen.may_be_gone));
        breaches.extend(uneven_events(&ids));
        breaches.extend(places.uneven());
        let (buckets, differ) = self.rollups.settle(from, ranges);
        breaches.extend(differ);
        (checked + buckets, breaches)
    }

    fn book(
        &mut self,
        place: usize,
        batch: &RecordBatch,
        inside: &impl Fn(Epoch) -> bool,
    ) -> anyhow::Result<()> {
        let epochs = column(batch, "epoch")?.as_primitive::<UInt64Type>();
        let leases = column(batch, "lease_epoch")?.as_primitive::<UInt64Type>();
        let sequences = column(batch, "sequence")?.as_primitive::<UInt64Type>();
        let devices = column(batch, "device_id")?.as_fixed_size_binary();
        let late = column(batch, "late")?.as_boolean();
        for row in (0..batch.num_rows()).filter(|&row| inside(Epoch(epochs.value(row)))) {
            let key = Key {
                epoch: Epoch(epochs.value(row)),
                device: DeviceId(Uuid::from_slice(devices.value(row))?),
                poll: PollId {
                    lease_epoch: leases.value(row),
                    sequence: sequences.value(row),
                },
                late: late.value(row),
            };
            self.entries.entry(key).or_default().lake[place] += 1;
        }
        Ok(())
    }

    /// What does not come out even, oldest first.
    fn uneven(&self) -> Vec<String> {
        let mut uneven: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, e)| (0..TABLES).any(|n| e.differs(n)))
            .collect();
        uneven.sort_by_key(|(key, _)| **key);
        let told = |(key, entry): (&Key, &Entry)| {
            let differs = (0..TABLES).filter(|&i| entry.differs(i));
            let tables: Vec<_> = differs
                .map(|i| format!("{} {}, not {}", OF_POLLS[i], entry.lake[i], entry.log[i]))
                .collect();
            let Key { device, poll, .. } = key;
            format!(
                "{}poll {}/{} of device {device} in slot {}: rows in {}",
                if key.late { "late " } else { "" },
                poll.lease_epoch,
                poll.sequence,
                key.epoch.0,
                tables.join(", "),
            )
        };
        uneven.into_iter().map(told).collect()
    }
}

/// Tells which polls count: a second oracle, shown them one by one and without their tables, says so by its counters.
struct Gate(Oracle);

impl Gate {
    fn new(records: &Restored) -> Self {
        let bare = |device: &DeviceRecord| DeviceRecord {
            claims: Vec::new(),
            tables: Vec::new(),
            ..device.clone()
        };
        let oracle = Oracle::restore(
            DEFAULT,
            Restored {
                control: records.control.clone(),
                devices: records.devices.iter().map(bare).collect(),
                ..Restored::default()
            },
        );
        Self(oracle.without_places())
    }

    /// Those that belong in history, and whether they came late.
    fn slot<'p>(
        &mut self,
        epoch: Epoch,
        control: &[ControlRecord],
        polls: &'p [WholePoll],
    ) -> Vec<(&'p WholePoll, bool)> {
        self.0.slot(epoch, epoch, control, Vec::new());
        let mut order: Vec<&WholePoll> = polls.iter().collect();
        order.sort_by_key(|p| (p.poll.observed_at, p.poll.device_id, p.poll.id()));
        let judged = order.into_iter().filter_map(|whole| {
            let before = self.0.counters();
            self.0.slot(epoch, epoch, &[], vec![bare(whole)]);
            let after = self.0.counters();
            let late = after.late > before.late;
            (late || after == before).then_some((whole, late))
        });
        let judged = judged.collect();
        // Nobody asks for them.
        drop(self.0.take_events());
        judged
    }
}

/// A poll that read nothing.
fn bare(whole: &WholePoll) -> WholePoll {
    let mut poll = whole.poll.clone();
    (poll.tables, poll.registrations) = (0, None);
    WholePoll {
        poll,
        interfaces: Vec::new(),
        registrations: Vec::new(),
        radios: Vec::new(),
        slow: SlowRows::default(),
    }
}

fn place(table: Table) -> Option<usize> {
    OF_POLLS.iter().position(|t| *t == table)
}

/// Ranges of a table must follow each other: a gap has lost rows, an overlap has them twice.
fn seams(ranges: &[Range]) -> Vec<String> {
    let next = |pair: &[Range]| match pair {
        [a, b] if a.table == b.table && b.from != a.to.next() => Some(format!(
            "{}: after the range up to slot {} comes one from slot {}",
            a.table, a.to.0, b.from.0
        )),
        _ => None,
    };
    ranges.windows(2).filter_map(next).collect()
}

fn named_twice(files: &[LakeFile]) -> Vec<String> {
    let mut seen = HashSet::new();
    let again = files
        .iter()
        .filter(|file| !seen.insert(&file.summary.path))
        .map(|file| {
            format!(
                "lake file {} is named twice by the manifest",
                file.summary.path
            )
        });
    again.collect()
}

/// A file whose slots the log no longer holds.
fn present(path: &Path, file: &LakeFile) -> anyhow::Result<()> {
    let bytes = std::fs::metadata(path)?.len();
    anyhow::ensure!(
        bytes == file.summary.bytes,
        "{bytes} bytes, not {}",
        file.summary.bytes
    );
    Ok(())
}

/// Shows the rows of a file to `see`, a batch at a time.
fn read(
    path: &Path,
    file: &LakeFile,
    mut see: impl FnMut(&RecordBatch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let wanted = [
        "epoch",
        "late",
        "tenant_id",
        "device_id",
        "lease_epoch",
        "sequence",
        "event_id",
    ];
    let wanted = wanted.into_iter().chain(places::COLUMNS);
    let wanted = wanted.chain(places::NUMBERS).chain(rollups::COLUMNS);
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let batches = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut rows = 0;
    for batch in batches.build()? {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        see(&batch)?;
    }
    anyhow::ensure!(
        rows == file.summary.rows,
        "{rows} rows, not {}",
        file.summary.rows
    );
    Ok(())
}

pub(super) fn column<'b>(batch: &'b RecordBatch, name: &str) -> anyhow::Result<&'b dyn Array> {
    let column = batch
        .column_by_name(name)
        .with_context(|| format!("it has no column {name}"))?;
    Ok(column.as_ref())
}

fn book_events(
    batch: &RecordBatch,
    inside: &impl Fn(Epoch) -> bool,
    ids: &mut HashMap<EventId, i64>,
) -> anyhow::Result<()> {
    let epochs = column(batch, "epoch")?.as_primitive::<UInt64Type>();
    let events = column(batch, "event_id")?.as_fixed_size_binary();
    for row in (0..batch.num_rows()).filter(|&row| inside(Epoch(epochs.value(row)))) {
        *ids.entry(EventId(Uuid::from_slice(events.value(row))?))
            .or_default() -= 1;
    }
    Ok(())
}

fn uneven_events(ids: &HashMap<EventId, i64>) -> Vec<String> {
    let mut uneven: Vec<_> = ids.iter().filter(|(_, left)| **left != 0).collect();
    uneven.sort();
    let told = |(id, left): (&EventId, &i64)| match left {
        1.. => format!("event {} is not in the lake", id.0),
        _ => format!("event {} is in the lake once too often", id.0),
    };
    uneven.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_be_gone_when_they_are_too_old_and_never_be_there_too_often() {
        let mut entry = Entry::default();
        (entry.log[0], entry.lake[0]) = (2, 0);
        assert!(entry.differs(0));
        entry.may_be_gone[0] = true;
        assert!(!entry.differs(0));
        entry.lake[0] = 3;
        assert!(entry.differs(0));
    }
}
