//! The tables of the lake: a record kind with two columns more, and the order its rows are stored in.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use mast_schemas::Epoch;
use mast_schemas::alerts::{AlertEvent, IncidentEvent, TrendEvent};
use mast_schemas::column::Record;
use mast_schemas::records::{
    Arp, DhcpLease, Event, Firmware, Interface, Neighbor, Poll, Radio, Registration, RouteSummary,
};
use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::views::{DeviceEvent, HealthSample, LinkEvent};

use crate::LakeError;

/// A table of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// [`Poll`] rows.
    Polls,
    /// [`Interface`] rows.
    InterfaceSamples,
    /// [`Registration`] rows.
    RegistrationSamples,
    /// [`Radio`] rows.
    RadioSamples,
    /// [`LinkEvent`] rows.
    LinkEvents,
    /// [`DeviceEvent`] rows.
    DeviceEvents,
    /// [`Arp`] rows.
    ArpEntries,
    /// [`DhcpLease`] rows.
    DhcpLeases,
    /// [`Neighbor`] rows.
    Neighbors,
    /// [`RouteSummary`] rows.
    RouteSummaries,
    /// [`Firmware`] rows.
    Firmware,
    /// [`Event`] rows.
    DeviceLog,
    /// [`HealthSample`] rows.
    SiteHealthHistory,
    /// [`AlertEvent`] rows.
    AlertEvents,
    /// [`IncidentEvent`] rows.
    IncidentEvents,
    /// [`TrendEvent`] rows.
    TrendEvents,
    /// Samples, rolled up.
    Rollup(Rolled, Width),
}

/// How many tables a job writes.
const WRITTEN: usize = 16;
/// How many there are.
const ALL: usize = WRITTEN + Rolled::ALL.len() * Width::ALL.len();

impl Table {
    /// The tables that a job writes as rows come. New ones go to the end: a lake of an older version has none of them until
    /// its next commit.
    pub const WRITTEN: [Self; WRITTEN] = [
        Self::Polls,
        Self::InterfaceSamples,
        Self::RegistrationSamples,
        Self::RadioSamples,
        Self::LinkEvents,
        Self::DeviceEvents,
        Self::ArpEntries,
        Self::DhcpLeases,
        Self::Neighbors,
        Self::RouteSummaries,
        Self::Firmware,
        Self::DeviceLog,
        Self::SiteHealthHistory,
        Self::AlertEvents,
        Self::IncidentEvents,
        Self::TrendEvents,
    ];

    /// All tables: those, then what is made of them.
    pub const ALL: [Self; ALL] = {
        let (mut all, mut place) = ([Self::Polls; ALL], 0);
        while place < ALL {
            all[place] = if place < WRITTEN {
                Self::WRITTEN[place]
            } else {
                let widths = Width::ALL.len();
                let (of, width) = ((place - WRITTEN) / widths, (place - WRITTEN) % widths);
                Self::Rollup(Rolled::ALL[of], Width::ALL[width])
            };
            place += 1;
        }
        all
    };

    /// Its place in [`Table::ALL`].
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Polls => 0,
            Self::InterfaceSamples => 1,
            Self::RegistrationSamples => 2,
            Self::RadioSamples => 3,
            Self::LinkEvents => 4,
            Self::DeviceEvents => 5,
            Self::ArpEntries => 6,
            Self::DhcpLeases => 7,
            Self::Neighbors => 8,
            Self::RouteSummaries => 9,
            Self::Firmware => 10,
            Self::DeviceLog => 11,
            Self::SiteHealthHistory => 12,
            Self::AlertEvents => 13,
            Self::IncidentEvents => 14,
            Self::TrendEvents => 15,
            Self::Rollup(of, width) => WRITTEN + of as usize * Width::ALL.len() + width as usize,
        }
    }

    /// The table that a rollup is made of: samples, or the narrower rollup. Null for what is not made.
    pub const fn source(self) -> Option<Self> {
        match self {
            Self::Rollup(of, width) => Some(match width.narrower() {
                Some(narrower) => Self::Rollup(of, narrower),
                None => Self::samples(of),
            }),
            _ => None,
        }
    }

    /// What it is rolled up to; null when nothing is made of it.
    pub(crate) fn rolled_up(self) -> Option<(Rolled, Width)> {
        let mut rollups = Self::ALL.into_iter().filter_map(|table| match table {
            Self::Rollup(of, width) => Some((of, width)),
            _ => None,
        });
        rollups.find(|(of, width)| Self::Rollup(*of, *width).source() == Some(self))
    }

    /// The samples that are rolled up.
    pub const fn samples(of: Rolled) -> Self {
        match of {
            Rolled::Registration => Self::RegistrationSamples,
            Rolled::Interface => Self::InterfaceSamples,
            Rolled::Radio => Self::RadioSamples,
            Rolled::Poll => Self::Polls,
        }
    }

    /// Name in SQL, in the manifest and as a folder.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polls => "polls",
            Self::InterfaceSamples => "interface_samples",
            Self::RegistrationSamples => "registration_samples",
            Self::RadioSamples => "radio_samples",
            Self::LinkEvents => "link_events",
            Self::DeviceEvents => "device_events",
            Self::ArpEntries => "arp_entries",
            Self::DhcpLeases => "dhcp_leases",
            Self::Neighbors => "neighbors",
            Self::RouteSummaries => "route_summaries",
            Self::Firmware => "firmware",
            Self::DeviceLog => "device_log",
            Self::SiteHealthHistory => "site_health_history",
            Self::AlertEvents => "alert_events",
            Self::IncidentEvents => "incident_events",
            Self::TrendEvents => "trend_events",
            Self::Rollup(of, width) => rollup_name(of, width),
        }
    }

    /// How fine its rows are: `raw`, or the width of a rollup's buckets.
    pub const fn grain(self) -> &'static str {
        match self {
            Self::Rollup(_, Width::Minute) => "1m",
            Self::Rollup(_, Width::Quarter) => "15m",
            Self::Rollup(_, Width::Hour) => "1h",
            Self::Rollup(_, Width::Day) => "1d",
            _ => "raw",
        }
    }

    /// Schema of the rows that are appended: that of the record kind, as on the wire.
    pub fn record_schema(self) -> SchemaRef {
        match self {
            Self::Polls => Poll::schema(),
            Self::InterfaceSamples => Interface::schema(),
            Self::RegistrationSamples => Registration::schema(),
            Self::RadioSamples => Radio::schema(),
            Self::LinkEvents => LinkEvent::schema(),
            Self::DeviceEvents => DeviceEvent::schema(),
            Self::ArpEntries => Arp::schema(),
            Self::DhcpLeases => DhcpLease::schema(),
            Self::Neighbors => Neighbor::schema(),
            Self::RouteSummaries => RouteSummary::schema(),
            Self::Firmware => Firmware::schema(),
            Self::DeviceLog => Event::schema(),
            Self::SiteHealthHistory => HealthSample::schema(),
            Self::AlertEvents => AlertEvent::schema(),
            Self::IncidentEvents => IncidentEvent::schema(),
            Self::TrendEvents => TrendEvent::schema(),
            Self::Rollup(of, _) => of.schema(),
        }
    }

    /// Schema of the files: the record's, then `epoch` (the slot in which the rows were bound) and `late` (they came
    /// from an older lease, so they never reached the views and may repeat a row of another poll of that number).
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; ALL]> =
            LazyLock::new(|| Table::ALL.map(with_lake_columns));
        SCHEMAS[self.place()].clone()
    }

    /// Columns by which the rows of a file are sorted, most significant first: tenant, device, row key, time.
    pub const fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Polls => &["tenant_id", "device_id", "observed_at"],
            Self::InterfaceSamples => &["tenant_id", "device_id", "name", "observed_at"],
            Self::RegistrationSamples => &["tenant_id", "device_id", "mac", "observed_at"],
            Self::RadioSamples => &["tenant_id", "device_id", "interface", "observed_at"],
            Self::LinkEvents => &["tenant_id", "ap_device_id", "mac", "at"],
            Self::DeviceEvents => &["tenant_id", "device_id", "at"],
            Self::ArpEntries | Self::DhcpLeases => {
                &["tenant_id", "device_id", "address", "observed_at"]
            }
            Self::Neighbors => &["tenant_id", "device_id", "interface", "mac", "observed_at"],
            Self::RouteSummaries => &["tenant_id", "device_id", "protocol", "observed_at"],
            Self::Firmware => &["tenant_id", "device_id", "observed_at"],
            Self::DeviceLog => &["tenant_id", "device_id", "observed_at", "line"],
            Self::SiteHealthHistory => &["tenant_id", "place_kind", "place_id", "at"],
            Self::AlertEvents => &["tenant_id", "subject_id", "rule_id", "at"],
            Self::IncidentEvents => &["tenant_id", "root_id", "incident_id", "at"],
            Self::TrendEvents => &["tenant_id", "mac", "at"],
            Self::Rollup(of, _) => of.spec().sort,
        }
    }

    /// Column with the time of a row.
    pub const fn time_column(self) -> &'static str {
        match self {
            Self::LinkEvents
            | Self::DeviceEvents
            | Self::SiteHealthHistory
            | Self::AlertEvents
            | Self::IncidentEvents
            | Self::TrendEvents
            | Self::Rollup(..) => "at",
            _ => "observed_at",
        }
    }

    /// Columns that tell one row from another, so that of a late repetition one can be kept.
    pub const fn row_key(self) -> &'static [&'static str] {
        match self {
            Self::Polls => &["tenant_id", "device_id", "lease_epoch", "sequence"],
            Self::InterfaceSamples => {
                &["tenant_id", "device_id", "lease_epoch", "sequence", "name"]
            }
            Self::RegistrationSamples => &[
                "tenant_id",
                "device_id",
                "lease_epoch",
                "sequence",
                "source",
                "interface",
                "mac",
            ],
            Self::RadioSamples => &[
                "tenant_id",
                "device_id",
                "lease_epoch",
                "sequence",
                "source",
                "interface",
            ],
            Self::LinkEvents
            | Self::DeviceEvents
            | Self::AlertEvents
            | Self::IncidentEvents
            | Self::TrendEvents => &["event_id"],
            Self::ArpEntries => &[
                "tenant_id",
                "device_id",
                "lease_epoch",
                "sequence",
                "interface",
                "address",
                "mac",
            ],
            Self::DhcpLeases => &[
                "tenant_id",
                "device_id",
                "lease_epoch",
                "sequence",
                "server",
                "address",
                "mac",
                "client_id",
            ],
            Self::Neighbors => &[
                "tenant_id",
                "device_id",
                "lease_epoch",
                "sequence",
                "interface",
                "mac",
                "address",
                "identity",
                "interface_name",
            ],
            Self::RouteSummaries => &[
                "tenant_id",
                "device_id",
                "lease_epoch",
                "sequence",
                "protocol",
            ],
            Self::Firmware => &["tenant_id", "device_id", "lease_epoch", "sequence"],
            Self::DeviceLog => &["tenant_id", "device_id", "lease_epoch", "sequence", "line"],
            Self::SiteHealthHistory => &["tenant_id", "place_kind", "place_id", "at"],
            Self::Rollup(of, _) => of.spec().row_key,
        }
    }

    /// The rows as a file holds them. [`LakeError::Schema`] when they have not [`Table::record_schema`].
    pub fn lake_batch(
        self,
        epoch: Epoch,
        late: bool,
        batch: &RecordBatch,
    ) -> Result<RecordBatch, LakeError> {
        let rows = batch.num_rows();
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        columns.push(Arc::new(UInt64Array::from_value(epoch.0, rows)));
        columns.push(Arc::new(BooleanArray::from(vec![late; rows])));
        RecordBatch::try_new(self.schema(), columns).map_err(|e| LakeError::Schema {
            table: self,
            reason: e.to_string(),
        })
    }
}

const fn rollup_name(of: Rolled, width: Width) -> &'static str {
    let names = match of {
        Rolled::Registration => [
            "registration_1m",
            "registration_15m",
            "registration_1h",
            "registration_1d",
        ],
        Rolled::Interface => [
            "interface_1m",
            "interface_15m",
            "interface_1h",
            "interface_1d",
        ],
        Rolled::Radio => ["radio_1m", "radio_15m", "radio_1h", "radio_1d"],
        Rolled::Poll => ["poll_1m", "poll_15m", "poll_1h", "poll_1d"],
    };
    names[width as usize]
}

fn with_lake_columns(table: Table) -> SchemaRef {
    let mut fields: Vec<_> = table.record_schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("epoch", DataType::UInt64, false)));
    fields.push(Arc::new(Field::new("late", DataType::Boolean, false)));
    Arc::new(Schema::new(fields))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Table {
    type Err = LakeError;
    fn from_str(name: &str) -> Result<Self, LakeError> {
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == name)
            .ok_or_else(|| LakeError::Manifest {
                table: name.to_owned(),
                reason: "no such table in this version".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_column_exists() {
        for (place, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.place(), place);
            let schema = table.schema();
            let time = [table.time_column()];
            let named = table
                .sort_columns()
                .iter()
                .chain(table.row_key())
                .chain(&time);
            for column in named {
                assert!(schema.field_with_name(column).is_ok(), "{table}.{column}");
            }
            assert_eq!(table.as_str().parse::<Table>().unwrap(), table);
        }
    }
}
