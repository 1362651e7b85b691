//! Metrics: every name that Mast emits, in one enum, and the only way to emit.
//!
//! No other crate depends on the `metrics` facade (a test over the manifests holds that), so a name, or the name of a label,
//! can't be a free string somewhere. `docs/metrics.md` is made from this list.
//!
//! ```
//! use mast_schemas::metric::Metric;
//! Metric::IngestPolls.add(&["ok"], 1);
//! Metric::IngestSessions.set(&[], 12.0);
//! ```
//!
//! Values of labels come in the order in which the metric declares them. Where something is counted thousands of times a
//! second, [`Metric::counter`] gives a handle to keep; it must be asked for after the process has installed its recorder,
//! before which nothing is recorded. A gauge of a part that runs is there from its start and says 0 when it drained: see
//! [`Metric::begin`].

mod names;

use std::fmt::Write;

pub use metrics::{Counter, Gauge, Histogram};
pub use names::Metric;

use crate::notifications::ChannelKind;
use crate::records::Outcome;

/// What a metric does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, from 0 at the start of the process.
    Counter,
    /// Is what it is now.
    Gauge,
    /// How often which size was seen.
    Histogram,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// 1 or 0.
    Flag,
}

/// Which part of Mast emits a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// An ingest node.
    Ingest,
    /// The log of records, wherever it is used.
    Log,
    /// A dataflow job.
    Dataflow,
    /// Writing history.
    Lake,
    /// What speaks to PostgreSQL.
    Postgres,
    /// The API.
    Api,
    /// Telling operators of incidents.
    Notify,
}

/// A label, with the values that it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// How a poll ended.
    Outcome,
    /// A topic of the log.
    Topic,
    /// A partition of a topic.
    Partition,
    /// Which part asks.
    Asker,
    /// A kind of history row.
    Table,
    /// A relay.
    Relay,
    /// Why a device's session ended or a login failed.
    Reason,
    /// What is wrong with an ingest node.
    Concern,
    /// What became of a request.
    Answer,
    /// A kind of channel of notifications.
    Channel,
}

impl Label {
    /// The label's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Asker => "asker",
            Self::Table => "table",
            Self::Relay => "relay",
            Self::Reason => "reason",
            Self::Concern => "concern",
            Self::Answer => "answer",
            Self::Channel => "channel",
        }
    }

    /// All values, where they are known beforehand.
    pub fn values(self) -> Vec<&'static str> {
        match self {
            Self::Outcome => Outcome::ALL.iter().map(|o| o.as_str()).collect(),
            Self::Asker => vec!["ingest", "dataflow", "lake", "query", "api", "notify"],
            Self::Relay => vec!["outbox", "events"],
            Self::Concern => vec![
                "clock", "keys", "postgres", "log", "spool", "control", "capacity",
            ],
            Self::Answer => vec!["good", "refused", "failed"],
            Self::Channel => ChannelKind::ALL.iter().map(|k| k.as_str()).collect(),
            Self::Topic | Self::Partition | Self::Table | Self::Reason => Vec::new(),
        }
    }
}

impl Metric {
    /// Adds to a counter.
    pub fn add(self, labels: &[&str], n: u64) {
        self.counter(labels).increment(n);
    }

    /// Sets a gauge.
    pub fn set_count(self, labels: &[&str], value: u64) {
        self.gauge(labels).set(value as f64);
    }

    /// Sets a gauge.
    pub fn set(self, labels: &[&str], value: f64) {
        self.gauge(labels).set(value);
    }

    /// Sees a value of a histogram.
    pub fn observe(self, labels: &[&str], value: f64) {
        self.histogram(labels).record(value);
    }

    /// The counter, to be kept.
    pub fn counter(self, labels: &[&str]) -> Counter {
        debug_assert_eq!(self.kind(), Kind::Counter, "{}", self.name());
        metrics::counter!(self.name(), self.labelled(labels))
    }

    /// The gauge, to be kept.
    pub fn gauge(self, labels: &[&str]) -> Gauge {
        debug_assert_eq!(self.kind(), Kind::Gauge, "{}", self.name());
        metrics::gauge!(self.name(), self.labelled(labels))
    }

    /// The histogram, to be kept.
    pub fn histogram(self, labels: &[&str]) -> Histogram {
        debug_assert_eq!(self.kind(), Kind::Histogram, "{}", self.name());
        metrics::histogram!(self.name(), self.labelled(labels))
    }

    fn labelled(self, values: &[&str]) -> Vec<metrics::Label> {
        debug_assert_eq!(self.labels().len(), values.len(), "{}", self.name());
        let pairs = self.labels().iter().zip(values);
        pairs
            .map(|(label, value)| metrics::Label::new(label.name(), (*value).to_owned()))
            .collect()
    }

    /// Makes the metrics of a part known, at 0 where all values of their labels are known: what never happened is not
    /// what nobody counts. Called by a process that runs the part, once its recorder is there.
    pub fn begin(part: Part) {
        for metric in Self::ALL.iter().filter(|metric| metric.part() == part) {
            metric.describe();
            for labels in metric.known_labels() {
                match metric.kind() {
                    Kind::Counter => metric.add(&labels, 0),
                    Kind::Gauge => metric.set(&labels, 0.0),
                    Kind::Histogram => drop(metric.histogram(&labels)),
                }
            }
        }
    }

    fn describe(self) {
        let unit = match self.unit() {
            Unit::Count | Unit::Flag => metrics::Unit::Count,
            Unit::Bytes => metrics::Unit::Bytes,
            Unit::Milliseconds => metrics::Unit::Milliseconds,
        };
        match self.kind() {
            Kind::Counter => metrics::describe_counter!(self.name(), unit, self.help()),
            Kind::Gauge => metrics::describe_gauge!(self.name(), unit, self.help()),
            Kind::Histogram => metrics::describe_histogram!(self.name(), unit, self.help()),
        }
    }

    /// Every combination of values; none if those of a label are not known.
    fn known_labels(self) -> Vec<Vec<&'static str>> {
        self.labels().iter().fold(vec![Vec::new()], |all, label| {
            let with = |known: &Vec<&'static str>, value| [known.as_slice(), &[value]].concat();
            let values = label.values();
            all.iter()
                .flat_map(|known| values.iter().map(|value| with(known, *value)))
                .collect()
        })
    }

    /// The document that lists all metrics.
    pub fn document() -> String {
        let mut text = String::from(HEAD);
        for part in Part::ALL {
            let _ = write!(
                text,
                "\n## {}\n\n| name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n",
                part.title()
            );
            for metric in Self::ALL.iter().filter(|metric| metric.part() == *part) {
                let labels: Vec<_> = metric.labels().iter().map(|l| l.name()).collect();
                let _ = writeln!(
                    text,
                    "| `{}` | {} | {} | {} | {} |",
                    metric.name(),
                    metric.kind().word(),
                    metric.unit().word(),
                    labels.join(", "),
                    metric.help()
                );
            }
        }
        text
    }
}

const HEAD: &str = "\
# Metrics

Made from `schemas/src/metric/names.rs`; a test compares. To renew it: `MAST_RENEW_DOCS=1 cargo test -p mast-schemas metric`.

Each process serves its metrics as Prometheus text at `/metrics` where `[metrics] listen` says, see
[configuration.md](configuration.md). Counters begin at 0 with the process. A gauge is there from the start of its part,
also while it is 0. What to do when one of them is bad: [operating.md](operating.md).
";

impl Part {
    /// All parts, in the order of a sample's path.
    pub const ALL: &'static [Self] = &[
        Self::Ingest,
        Self::Log,
        Self::Dataflow,
        Self::Lake,
        Self::Postgres,
        Self::Api,
        Self::Notify,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Ingest => "Ingest",
            Self::Log => "Log",
            Self::Dataflow => "Dataflow",
            Self::Lake => "Lake",
            Self::Postgres => "PostgreSQL",
            Self::Api => "API",
            Self::Notify => "Notify",
        }
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Unit {
    const fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Milliseconds => "ms",
            Self::Flag => "0 or 1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_is_what_the_list_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("MAST_RENEW_DOCS").is_some() {
            std::fs::write(file, Metric::document()).unwrap();
        }
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            kept == Metric::document(),
            "docs/metrics.md is old; MAST_RENEW_DOCS=1 cargo test -p mast-schemas metric"
        );
    }

    #[test]
    fn names_are_unique_and_say_part_unit_and_kind() {
        let mut names = BTreeSet::new();
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(names.insert(name), "{name} twice");
            let part = metric.part().title().to_lowercase();
            let part = part.strip_suffix("ql").unwrap_or(&part);
            assert!(name.starts_with(&format!("mast_{part}")), "{name}");
            assert_eq!(
                metric.kind() == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            let stem = name.strip_suffix("_total").unwrap_or(name);
            assert_eq!(
                metric.unit() == Unit::Bytes,
                stem.ends_with("_bytes"),
                "{name}"
            );
            assert_eq!(
                metric.unit() == Unit::Milliseconds,
                stem.ends_with("_ms"),
                "{name}"
            );
            assert!(!metric.help().contains(['|', '\n']), "{name}");
        }
    }

    #[test]
    fn a_metric_without_labels_has_one_series_and_an_outcome_eight() {
        assert_eq!(
            Metric::IngestSessions.known_labels(),
            [Vec::<&'static str>::new()]
        );
        assert_eq!(Metric::IngestPolls.known_labels().len(), 8);
        assert!(Metric::LogAppends.known_labels().is_empty());
    }
}
