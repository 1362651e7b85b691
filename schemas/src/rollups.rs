//! What samples are rolled up to: one row a thing and bucket of time, in four widths.
//!
//! A bucket begins at a multiple of its width since 1970 and takes the rows observed in it. It closes at the first slot
//! that ends [`GRACE`] after it; a row that is bound later has no part in it (nor has a `late` one), so what a bucket holds
//! is a function of the log. The wider buckets are folds of the narrower ones: counts and integer sums add up, means are
//! made where they are shown.
//!
//! The trap avoided: a mean of means, and sums of floats. Fractions are kept in thousandths, as whole numbers.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column::{Column, Record};
use crate::records::{Interface, Poll, Radio, Registration};
use crate::time::{SLOT, Span};
use crate::{Epoch, Timestamp};

/// How long after its end a bucket takes rows that were observed in it: what a producer that was silent may be late.
pub const GRACE: Span = Span::secs(60);

/// What is rolled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rolled {
    /// Registrations, by reporting device, other side and radio.
    Registration,
    /// Interfaces.
    Interface,
    /// Radios.
    Radio,
    /// Polls, with what they tell of the device.
    Poll,
}

/// How wide buckets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// One minute.
    Minute,
    /// Fifteen minutes.
    Quarter,
    /// One hour.
    Hour,
    /// One day, of UTC.
    Day,
}

impl Width {
    /// All, narrowest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Quarter, Self::Hour, Self::Day];

    /// Its length.
    pub const fn span(self) -> Span {
        Span::secs(match self {
            Self::Minute => 60,
            Self::Quarter => 900,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        })
    }

    /// The width that buckets of this one are folded from; null = from samples.
    pub const fn narrower(self) -> Option<Self> {
        match self {
            Self::Minute => None,
            Self::Quarter => Some(Self::Minute),
            Self::Hour => Some(Self::Quarter),
            Self::Day => Some(Self::Hour),
        }
    }

    /// Begin of the bucket that holds `at`.
    pub const fn bucket(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0.div_euclid(self.span().0) * self.span().0)
    }

    /// The slot at which the bucket that begins at `bucket` closes.
    pub fn closes(self, bucket: Timestamp) -> Epoch {
        let end = bucket.0.saturating_add(self.span().0 + GRACE.0);
        Epoch(u64::try_from(end.div_euclid(SLOT.0)).unwrap_or(0))
    }

    /// Begin of the first bucket that is still open when all slots up to `closed` are.
    pub fn open(self, closed: Option<Epoch>) -> Timestamp {
        closed.map_or(Timestamp(0), |epoch| self.bucket(epoch.end() - GRACE))
    }
}

/// A number whose count, sum, least, greatest and last value are kept, in columns `<name>_count`, `<name>_sum_<unit>`,
/// `<name>_min_<unit>`, `<name>_max_<unit>`, `<name>_last_<unit>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Name.
    pub name: &'static str,
    /// Unit; empty for plain counts.
    pub unit: &'static str,
    /// Where a sample's value comes from.
    pub from: Origin,
}

/// Where a sample's value of a gauge comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A column of whole numbers.
    Column(&'static str),
    /// A column of fractions, in thousandths.
    Thousandths(&'static str),
    /// A byte counter: bits a second since the sample before.
    Rate(&'static str),
}

/// Statistics of a [`Gauge`], in the order of its columns.
pub const STATISTICS: [&str; 5] = ["count", "sum", "min", "max", "last"];

impl Gauge {
    /// Name of a column of it, `statistic` being one of [`STATISTICS`] or `mean`.
    pub fn column(&self, statistic: &str) -> String {
        let Self { name, unit, .. } = self;
        if unit.is_empty() || statistic == "count" {
            format!("{name}_{statistic}")
        } else {
            format!("{name}_{statistic}_{unit}")
        }
    }
}

/// How one kind of sample is rolled up.
#[derive(Debug)]
pub struct Spec {
    /// Columns that say which thing a row is of, as files are sorted.
    pub key: &'static [&'static str],
    /// Columns that part a thing's rows further.
    pub sub: &'static [&'static str],
    /// `key`, then `at`: how files are sorted.
    pub sort: &'static [&'static str],
    /// `key`, `at`, `sub`: what tells one row from another.
    pub row_key: &'static [&'static str],
    /// Column that counts the samples for which something held.
    pub held: Option<&'static str>,
    /// Counters; what they went up by is added, over pairs of samples.
    pub counters: &'static [&'static str],
    /// Numbers.
    pub gauges: &'static [Gauge],
    /// Numbers of which the last value is kept, under their own name.
    pub lasts: &'static [&'static str],
}

const fn gauge(name: &'static str, unit: &'static str, column: &'static str) -> Gauge {
    let from = Origin::Column(column);
    Gauge { name, unit, from }
}

const fn thousandths(name: &'static str, unit: &'static str, column: &'static str) -> Gauge {
    let from = Origin::Thousandths(column);
    Gauge { name, unit, from }
}

const fn traffic(name: &'static str, column: &'static str) -> Gauge {
    let (unit, from) = ("bps", Origin::Rate(column));
    Gauge { name, unit, from }
}

static REGISTRATION: Spec = Spec {
    key: &["tenant_id", "device_id", "mac"],
    sub: &["source", "interface", "radio_mac"],
    sort: &["tenant_id", "device_id", "mac", "at"],
    row_key: &[
        "tenant_id",
        "device_id",
        "mac",
        "at",
        "source",
        "interface",
        "radio_mac",
    ],
    held: None,
    counters: &["tx_bytes", "rx_bytes", "tx_packets", "rx_packets"],
    gauges: &[
        gauge("signal", "dbm", "signal_dbm"),
        gauge("tx_signal", "dbm", "tx_signal_dbm"),
        gauge("snr", "db", "snr_db"),
        gauge("tx_ccq", "percent", "tx_ccq_percent"),
        gauge("rx_ccq", "percent", "rx_ccq_percent"),
        gauge("tx_rate", "bps", "tx_rate_bps"),
        gauge("rx_rate", "bps", "rx_rate_bps"),
        traffic("tx_traffic", "tx_bytes"),
        traffic("rx_traffic", "rx_bytes"),
    ],
    lasts: &["uptime_s", "distance_km"],
};

static INTERFACE: Spec = Spec {
    key: &["tenant_id", "device_id", "name"],
    sub: &["mac"],
    sort: &["tenant_id", "device_id", "name", "at"],
    row_key: &["tenant_id", "device_id", "name", "at", "mac"],
    held: Some("running_samples"),
    counters: &[
        "rx_bytes",
        "tx_bytes",
        "rx_packets",
        "tx_packets",
        "rx_errors",
        "tx_errors",
        "rx_drops",
        "tx_drops",
    ],
    gauges: &[
        traffic("rx_traffic", "rx_bytes"),
        traffic("tx_traffic", "tx_bytes"),
    ],
    lasts: &["link_rate_bps"],
};

static RADIO: Spec = Spec {
    key: &["tenant_id", "device_id", "interface"],
    sub: &["source", "radio_mac"],
    sort: &["tenant_id", "device_id", "interface", "at"],
    row_key: &[
        "tenant_id",
        "device_id",
        "interface",
        "at",
        "source",
        "radio_mac",
    ],
    held: None,
    counters: &[],
    gauges: &[
        gauge("noise_floor", "dbm", "noise_floor_dbm"),
        gauge("tx_power", "dbm", "tx_power_dbm"),
        gauge("tx_ccq", "percent", "tx_ccq_percent"),
        gauge("clients", "", "clients"),
    ],
    lasts: &["frequency_mhz", "channel_width_mhz"],
};

static POLL: Spec = Spec {
    key: &["tenant_id", "device_id"],
    sub: &[],
    sort: &["tenant_id", "device_id", "at"],
    row_key: &["tenant_id", "device_id", "at"],
    held: Some("reached_samples"),
    counters: &[],
    gauges: &[
        gauge("round_trip", "ms", "round_trip_ms"),
        gauge("cpu_load", "percent", "cpu_load_percent"),
        gauge("memory_free", "bytes", "memory_free_bytes"),
        gauge("disk_free", "bytes", "disk_free_bytes"),
        gauge("registrations", "", "registrations"),
        thousandths("cpu_temperature", "mc", "cpu_temperature_c"),
        thousandths("board_temperature", "mc", "board_temperature_c"),
        thousandths("voltage", "mv", "voltage_v"),
    ],
    lasts: &["uptime_s", "memory_total_bytes", "disk_total_bytes"],
};

impl Rolled {
    /// All.
    pub const ALL: [Self; 4] = [Self::Registration, Self::Interface, Self::Radio, Self::Poll];

    /// How it is rolled up.
    pub const fn spec(self) -> &'static Spec {
        match self {
            Self::Registration => &REGISTRATION,
            Self::Interface => &INTERFACE,
            Self::Radio => &RADIO,
            Self::Poll => &POLL,
        }
    }

    /// Schema of the samples.
    pub fn samples(self) -> SchemaRef {
        match self {
            Self::Registration => Registration::schema(),
            Self::Interface => Interface::schema(),
            Self::Radio => Radio::schema(),
            Self::Poll => Poll::schema(),
        }
    }

    /// Schema of the rows: the key, `at` = begin of the bucket, what parts them further, then whole numbers: `samples`,
    /// the samples that held, `counted_ms` = time that the counters' pairs cover, counters, gauges, last values.
    pub fn schema(self) -> SchemaRef {
        static SCHEMAS: LazyLock<[SchemaRef; 4]> = LazyLock::new(|| Rolled::ALL.map(schema_of));
        SCHEMAS[self as usize].clone()
    }
}

fn schema_of(of: Rolled) -> SchemaRef {
    let (spec, samples) = (of.spec(), of.samples());
    let same = |name: &&str| samples.fields().find(name).map(|(_, field)| field.clone());
    let at = Arc::new(Field::new("at", Timestamp::data_type(), false));
    let keys = spec
        .key
        .iter()
        .filter_map(same)
        .chain([at])
        .chain(spec.sub.iter().filter_map(same));
    let numbers = spec.numbers().into_iter();
    let numbers = numbers.map(|name| Arc::new(Field::new(name, DataType::Int64, true)));
    Arc::new(Schema::new(keys.chain(numbers).collect::<Vec<_>>()))
}

impl Spec {
    /// Names of the columns of numbers, in their order.
    pub fn numbers(&self) -> Vec<String> {
        let mut names = vec!["samples".to_owned()];
        names.extend(self.held.map(str::to_owned));
        if !self.counters.is_empty() {
            names.push("counted_ms".to_owned());
            names.extend(self.counters.iter().map(|&c| c.to_owned()));
        }
        for gauge in self.gauges {
            names.extend(STATISTICS.map(|statistic| gauge.column(statistic)));
        }
        names.extend(self.lasts.iter().map(|&l| l.to_owned()));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_column_exists_and_none_twice() {
        for of in Rolled::ALL {
            let (spec, samples, schema) = (of.spec(), of.samples(), of.schema());
            let sources = spec.gauges.iter().map(|g| match g.from {
                Origin::Column(c) | Origin::Thousandths(c) | Origin::Rate(c) => c,
            });
            for name in sources.chain(spec.counters.iter().chain(spec.lasts).copied()) {
                assert!(samples.field_with_name(name).is_ok(), "{of:?} {name}");
            }
            for gauge in spec.gauges {
                if let Origin::Rate(counter) = gauge.from {
                    assert!(spec.counters.contains(&counter), "{counter}");
                }
            }
            let names: std::collections::BTreeSet<_> =
                schema.fields().iter().map(|f| f.name()).collect();
            assert_eq!(names.len(), schema.fields().len(), "{of:?}");
            let keys = spec.key.len() + 1 + spec.sub.len();
            assert_eq!(schema.fields().len(), keys + spec.numbers().len());
            assert_eq!([spec.key, &["at"]].concat(), spec.sort);
            assert_eq!([spec.sort, spec.sub].concat(), spec.row_key);
        }
    }

    #[test]
    fn a_bucket_is_open_until_the_slot_that_closes_it() {
        for width in Width::ALL {
            let bucket = width.bucket(Timestamp(1_700_000_000_123_456));
            let closes = width.closes(bucket);
            assert!(closes.end() == bucket + Span(width.span().0 + GRACE.0));
            assert_eq!(width.open(Some(closes)), bucket + width.span());
            assert_eq!(width.open(Some(Epoch(closes.0 - 1))), bucket);
        }
    }
}
