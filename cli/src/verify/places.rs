//! The history of places against the fold: each of its rows once, and saying the same.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{TimestampMicrosecondType, UInt32Type, UInt64Type};
use mast_lake::Table;
use mast_schemas::time::SLOT;
use mast_schemas::views::{HealthSample, PlaceId};
use mast_schemas::{Epoch, TenantId, Timestamp};
use uuid::Uuid;

use super::kept::Kept;
use super::lake::column;

const TABLE: Table = Table::SiteHealthHistory;

/// The columns that are compared besides the numbers.
pub(super) const COLUMNS: [&str; 4] = ["place_id", "at", "state", "since"];
pub(super) const NUMBERS: [&str; 8] = [
    "devices_online",
    "devices_offline",
    "devices_unmanageable",
    "devices_unobserved",
    "links_discovered",
    "links_active",
    "links_degraded",
    "links_down",
];

/// What a row says: state, since when, and the numbers.
type Said = (Option<String>, Timestamp, [u32; 8]);

/// Rows by place and instant: by the fold, and in the lake.
pub(super) struct Places {
    rows: BTreeMap<(PlaceId, Timestamp), (Vec<Said>, Vec<Said>)>,
}

impl Places {
    /// The rows of the fold that belong to slots inside, and must still be there.
    pub(super) fn new(
        folded: &[HealthSample],
        inside: &impl Fn(Epoch) -> bool,
        kept: &Kept,
    ) -> Self {
        let mut rows: BTreeMap<_, (Vec<Said>, Vec<Said>)> = BTreeMap::new();
        // A row's time is the end of its slot.
        let inside = folded.iter().filter(|row| inside(Epoch::of(row.at - SLOT)));
        let due = inside.filter(|row| !kept.may_be_gone(TABLE, row.tenant_id, row.at));
        for row in due {
            let said = (
                row.state.map(|state| state.as_str().to_owned()),
                row.since,
                [
                    row.devices_online,
                    row.devices_offline,
                    row.devices_unmanageable,
                    row.devices_unobserved,
                    row.links_discovered,
                    row.links_active,
                    row.links_degraded,
                    row.links_down,
                ],
            );
            let entry = rows.entry((row.place_id, row.at)).or_default();
            entry.0.push(said);
        }
        Self { rows }
    }

    /// How many rows the fold has.
    pub(super) fn len(&self) -> usize {
        self.rows.values().map(|(folded, _)| folded.len()).sum()
    }

    /// Books rows of the lake, but those that are only not gone yet.
    pub(super) fn book(
        &mut self,
        batch: &RecordBatch,
        inside: &impl Fn(Epoch) -> bool,
        kept: &Kept,
    ) -> anyhow::Result<()> {
        let epochs = column(batch, "epoch")?.as_primitive::<UInt64Type>();
        let tenants = column(batch, "tenant_id")?.as_fixed_size_binary();
        let places = column(batch, "place_id")?.as_fixed_size_binary();
        let at = column(batch, "at")?.as_primitive::<TimestampMicrosecondType>();
        let since = column(batch, "since")?.as_primitive::<TimestampMicrosecondType>();
        let state = column(batch, "state")?.as_string::<i32>();
        let mut numbers = Vec::with_capacity(NUMBERS.len());
        for name in NUMBERS {
            numbers.push(column(batch, name)?.as_primitive::<UInt32Type>());
        }
        for row in (0..batch.num_rows()).filter(|&row| inside(Epoch(epochs.value(row)))) {
            let tenant = TenantId(Uuid::from_slice(tenants.value(row))?);
            if kept.may_be_gone(TABLE, tenant, Timestamp(at.value(row))) {
                continue;
            }
            let mut said = [0; NUMBERS.len()];
            for (said, numbers) in said.iter_mut().zip(&numbers) {
                *said = numbers.value(row);
            }
            let since = Timestamp(since.value(row));
            let state = state.is_valid(row).then(|| state.value(row).to_owned());
            let place = PlaceId(Uuid::from_slice(places.value(row))?);
            let key = (place, Timestamp(at.value(row)));
            self.rows
                .entry(key)
                .or_default()
                .1
                .push((state, since, said));
        }
        Ok(())
    }

    /// What does not come out even.
    pub(super) fn uneven(&self) -> Vec<String> {
        let uneven = self.rows.iter().filter(|(_, (fold, lake))| fold != lake);
        let told = |((place, at), (fold, lake)): (&(PlaceId, Timestamp), &(Vec<_>, Vec<_>))| {
            format!(
                "place {} at {at:?} was {fold:?}, in the lake {lake:?}",
                place.0
            )
        };
        uneven.map(told).collect()
    }
}
