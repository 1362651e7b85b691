//! From the messages of a slot to the rows of the lake.
//!
//! What the device step accepted goes there, and what came late, marked so; what it dropped does not. A row of another
//! section shares the fate of its poll, and without a poll it has no meaning and goes nowhere.

use std::collections::HashMap;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use mast_lake::Table;
use mast_schemas::column::Record;
use mast_schemas::message::read_section;
use mast_schemas::records::{
    Arp, DhcpLease, Event, Firmware, Interface, Neighbor, Poll, Radio, Registration, RouteSummary,
};
use mast_schemas::{Epoch, SchemaError, Timestamp};
use mast_state::messages::Verdict;

use super::status::{Counters, Freshness};
use crate::outputs::Message;

/// Rows of one table and slot.
pub(crate) struct Rows {
    pub(crate) table: Table,
    pub(crate) epoch: Epoch,
    pub(crate) late: bool,
    pub(crate) batch: RecordBatch,
}

/// What the messages of a commit hold.
#[derive(Default)]
pub(crate) struct Split {
    pub(crate) rows: Vec<Rows>,
    pub(crate) counters: Counters,
    pub(crate) freshness: Freshness,
}

type PollKey = ([u8; 16], u64, u64);

impl Split {
    /// Decodes messages, which could be seen at `visible`; those up to `committed` are in the lake already.
    pub(crate) fn of(
        history: &[(Epoch, Message, Vec<Verdict>)],
        committed: Option<Epoch>,
        visible: Option<Timestamp>,
    ) -> Self {
        let mut split = Self::default();
        for (epoch, message, verdicts) in history {
            for verdict in verdicts {
                split.count(*verdict);
            }
            if committed.is_some_and(|c| *epoch <= c) {
                continue;
            }
            if let Err(error) = split.message(*epoch, message, verdicts, visible) {
                split.counters.poison += 1;
                let (partition, offset) = (message.partition, message.offset);
                tracing::warn!(partition, offset, %error, "message left out of the lake");
            }
        }
        split
    }

    const fn count(&mut self, verdict: Verdict) {
        let counters = &mut self.counters;
        *(match verdict {
            Verdict::Accepted => &mut counters.polls,
            Verdict::Late => &mut counters.late,
            Verdict::Replay => &mut counters.replays,
            Verdict::UnknownDevice => &mut counters.unknown_device,
            Verdict::WrongTenant => &mut counters.wrong_tenant,
            Verdict::Disabled => &mut counters.disabled,
        }) += 1;
    }

    fn message(
        &mut self,
        epoch: Epoch,
        message: &Message,
        verdicts: &[Verdict],
        visible: Option<Timestamp>,
    ) -> Result<(), SchemaError> {
        let (header, body) = (&message.header, &message.body);
        let Some(polls) = read_section::<Poll>(header, body, None)? else {
            return Ok(());
        };
        let fates: Vec<Option<Verdict>> = (0..polls.num_rows())
            .map(|row| verdicts.get(row).copied())
            .collect();
        let mut by_poll: HashMap<PollKey, Verdict> = HashMap::with_capacity(fates.len());
        let keys = Keys::of::<Poll>(&polls)?;
        for (row, fate) in fates.iter().enumerate() {
            if let Some(fate) = fate {
                let known = by_poll.entry(keys.get(row)).or_insert(*fate);
                if *fate == Verdict::Accepted {
                    *known = Verdict::Accepted;
                }
            }
        }
        self.table(Table::Polls, epoch, &polls, &fates, visible)?;
        let of = Of {
            epoch,
            message,
            by_poll: &by_poll,
            visible,
        };
        self.rows_of::<Interface>(Table::InterfaceSamples, &of)?;
        self.rows_of::<Registration>(Table::RegistrationSamples, &of)?;
        self.rows_of::<Radio>(Table::RadioSamples, &of)?;
        self.rows_of::<Arp>(Table::ArpEntries, &of)?;
        self.rows_of::<DhcpLease>(Table::DhcpLeases, &of)?;
        self.rows_of::<Neighbor>(Table::Neighbors, &of)?;
        self.rows_of::<RouteSummary>(Table::RouteSummaries, &of)?;
        self.rows_of::<Firmware>(Table::Firmware, &of)?;
        self.rows_of::<Event>(Table::DeviceLog, &of)
    }

    /// The rows of a kind, each with the fate of its poll.
    fn rows_of<R: Record>(&mut self, table: Table, of: &Of<'_>) -> Result<(), SchemaError> {
        let (header, body) = (&of.message.header, &of.message.body);
        let Some(batch) = read_section::<R>(header, body, None)? else {
            return Ok(());
        };
        let keys = Keys::of::<R>(&batch)?;
        let fates: Vec<_> = (0..batch.num_rows())
            .map(|row| of.by_poll.get(&keys.get(row)).copied())
            .collect();
        self.table(table, of.epoch, &batch, &fates, of.visible)
    }

    fn table(
        &mut self,
        table: Table,
        epoch: Epoch,
        batch: &RecordBatch,
        fates: &[Option<Verdict>],
        visible: Option<Timestamp>,
    ) -> Result<(), SchemaError> {
        if let Some(visible) = visible
            && matches!(table, Table::Polls | Table::RegistrationSamples)
        {
            self.freshness(batch, fates, visible);
        }
        for (late, wanted) in [(false, Verdict::Accepted), (true, Verdict::Late)] {
            let chosen = fates.iter().filter(|fate| **fate == Some(wanted)).count();
            if chosen == 0 {
                continue;
            }
            if table == Table::RegistrationSamples && !late {
                self.counters.registrations += chosen as u64;
            }
            let batch = if chosen == batch.num_rows() {
                batch.clone()
            } else {
                let mask: BooleanArray = fates
                    .iter()
                    .map(|fate| Some(*fate == Some(wanted)))
                    .collect();
                let bad = |e: arrow::error::ArrowError| SchemaError::Section {
                    kind: table.as_str(),
                    reason: e.to_string(),
                };
                filter_record_batch(batch, &mask).map_err(bad)?
            };
            self.counters.lake_rows += chosen as u64;
            self.rows.push(Rows {
                table,
                epoch,
                late,
                batch,
            });
        }
        Ok(())
    }

    fn freshness(&mut self, batch: &RecordBatch, fates: &[Option<Verdict>], visible: Timestamp) {
        let Some(at) = batch.column_by_name("observed_at") else {
            return;
        };
        let at = at.as_primitive::<TimestampMicrosecondType>();
        for (row, _) in fates
            .iter()
            .enumerate()
            .filter(|(_, fate)| **fate == Some(Verdict::Accepted))
        {
            self.freshness.record(Timestamp(at.value(row)), visible, 1);
        }
    }
}

/// A message whose polls are judged.
struct Of<'m> {
    epoch: Epoch,
    message: &'m Message,
    by_poll: &'m HashMap<PollKey, Verdict>,
    visible: Option<Timestamp>,
}

/// The columns that say to which poll a row belongs.
struct Keys<'a> {
    device: &'a arrow::array::FixedSizeBinaryArray,
    lease_epoch: &'a arrow::array::UInt64Array,
    sequence: &'a arrow::array::UInt64Array,
}

impl<'a> Keys<'a> {
    fn of<R: Record>(batch: &'a RecordBatch) -> Result<Self, SchemaError> {
        let column = |name: &str| {
            let missing = || SchemaError::Section {
                kind: R::KIND,
                reason: format!("column {name} is missing"),
            };
            batch.column_by_name(name).ok_or_else(missing)
        };
        Ok(Self {
            device: column("device_id")?.as_fixed_size_binary(),
            lease_epoch: column("lease_epoch")?.as_primitive::<UInt64Type>(),
            sequence: column("sequence")?.as_primitive::<UInt64Type>(),
        })
    }

    fn get(&self, row: usize) -> PollKey {
        // The width is right by the schema, which was checked when the section was read.
        let device = self.device.value(row).try_into().unwrap_or_default();
        (
            device,
            self.lease_epoch.value(row),
            self.sequence.value(row),
        )
    }
}
