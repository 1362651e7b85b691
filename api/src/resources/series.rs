//! Series: a metric over time, in as many points as are asked for.
//!
//! The asker says how many points a chart has, not how fine the data is: which table answers is decided here, by the step
//! that follows. Where there are no samples there is no value: a gap stays a gap, and is never drawn over.

use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::response::Response;
use mast_schemas::Timestamp;
use mast_schemas::records::Source;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::history;
use super::links::{self, LinkRef};
use crate::http::access::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::{Kind, Problem};
use crate::http::reply;
use crate::http::wire::Time;

/// Points where none are named, and at most.
const POINTS: u32 = 300;
const POINTS_MOST: u32 = 2_000;
const DAY_US: i64 = 86_400_000_000;
const SECOND_US: i64 = 1_000_000;
/// Five years, as long as anything is kept.
const SPAN_MOST_US: i64 = 5 * 366 * DAY_US;

/// Which part of a series.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesQuery {
    /// What was measured.
    metric: String,
    /// Begin; without it, a day before the end.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Time>,
    /// End; without it, now.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Time>,
    /// How many points the chart has. There are at most so many, at steps of whole seconds.
    #[param(minimum = 1, maximum = 2000, default = 300)]
    points: Option<u32>,
}

/// A series.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Series {
    metric: String,
    unit: String,
    /// Begin of the first step.
    from: Time,
    /// End of the last.
    to: Time,
    step_s: i64,
    /// What it was made of: `raw` samples.
    source: String,
    /// A point a step, without a break.
    points: Vec<Point>,
}

/// What was measured in a step. Null: nothing was.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Point {
    /// Begin of the step.
    at: Time,
    mean: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    samples: i64,
}

/// A metric: how it is read.
struct Metric {
    name: &'static str,
    unit: &'static str,
    /// The expression over a row.
    sql: &'static str,
    /// It counts bytes, and what is shown is their rate in bits; a step back is a reset, and no rate.
    counts: bool,
}

const fn gauge(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        sql: name,
        counts: false,
    }
}

const fn rate(name: &'static str, counter: &'static str) -> Metric {
    Metric {
        name,
        unit: "bit/s",
        sql: counter,
        counts: true,
    }
}

const DEVICE: &[Metric] = &[
    gauge("cpu_load_percent", "%"),
    gauge("round_trip_ms", "ms"),
    gauge("memory_free_bytes", "B"),
    gauge("disk_free_bytes", "B"),
    gauge("uptime_s", "s"),
    gauge("cpu_temperature_c", "°C"),
    gauge("board_temperature_c", "°C"),
    gauge("voltage_v", "V"),
    gauge("registrations", "clients"),
];

const LINK: &[Metric] = &[
    gauge("signal_dbm", "dBm"),
    gauge("tx_signal_dbm", "dBm"),
    gauge("snr_db", "dB"),
    gauge("tx_ccq_percent", "%"),
    gauge("rx_ccq_percent", "%"),
    gauge("tx_rate_bps", "bit/s"),
    gauge("rx_rate_bps", "bit/s"),
    gauge("uptime_s", "s"),
    rate("tx_throughput_bps", "tx_bytes"),
    rate("rx_throughput_bps", "rx_bytes"),
];

const INTERFACE: &[Metric] = &[
    rate("rx_bps", "rx_bytes"),
    rate("tx_bps", "tx_bytes"),
    gauge("link_rate_bps", "bit/s"),
    gauge("link_downs", "times"),
];

/// A table to read from, by how long its steps are. Rows that are kept by the step would join here.
struct Grain {
    name: &'static str,
}

const RAW: Grain = Grain { name: "raw" };

/// The coarsest grain that is still finer than the step.
const fn grain(_step_us: i64) -> Grain {
    RAW
}

/// What is asked for, checked.
struct Span {
    metric: &'static Metric,
    begin_us: i64,
    step_us: i64,
    steps: i64,
}

fn invalid(detail: String) -> Problem {
    Problem::new(Kind::InvalidParameter, detail)
}

impl SeriesQuery {
    fn span(&self, metrics: &'static [Metric], now: Time) -> Result<Span, Problem> {
        let metric = metrics.iter().find(|metric| metric.name == self.metric);
        let metric = metric.ok_or_else(|| {
            let names: Vec<_> = metrics.iter().map(|metric| metric.name).collect();
            invalid(format!("metric: there are {}", names.join(", ")))
        })?;
        let points = self.points.unwrap_or(POINTS);
        if !(1..=POINTS_MOST).contains(&points) {
            return Err(invalid(format!("points: give 1 to {POINTS_MOST}")));
        }
        let to = self.to.unwrap_or(now).0;
        let from = self.from.map_or(to.saturating_sub(DAY_US), |from| from.0);
        if !(1..=SPAN_MOST_US).contains(&to.saturating_sub(from)) {
            return Err(invalid(
                "from: give a time before to, at most five years".to_owned(),
            ));
        }
        Ok(Span::new(metric, from, to, i64::from(points)))
    }
}

impl Span {
    /// Steps of whole seconds that begin at multiples of themselves, so that the same chart a little later shows the same
    /// steps.
    fn new(metric: &'static Metric, from: i64, to: i64, points: i64) -> Self {
        // A begin that is moved back costs a step more.
        let fewer = (points - 1).max(1);
        let seconds = (to - from).div_ceil_to(fewer).div_ceil_to(SECOND_US).max(1);
        let step_us = seconds * SECOND_US;
        let begin_us = from.div_euclid(step_us) * step_us;
        let steps = (to - begin_us).div_ceil_to(step_us);
        Self {
            metric,
            begin_us,
            step_us,
            steps: if points == 1 { 1 } else { steps },
        }
    }

    fn end_us(&self) -> i64 {
        self.begin_us + self.steps * self.step_us
    }

    /// The steps of rows of `table` under a condition.
    fn sql(&self, table: &str, condition: &str) -> String {
        let (from, to) = (
            history::time(Time(self.begin_us)),
            history::time(Time(self.end_us())),
        );
        let value = self.metric.sql;
        let rows = format!(
            "SELECT CAST(observed_at AS BIGINT) AS t, CAST({value} AS DOUBLE) AS v FROM {table}
             WHERE {condition} AND observed_at >= {from} AND observed_at < {to} AND {value} IS NOT NULL"
        );
        let rows = match self.metric.counts {
            false => rows,
            true => format!(
                "SELECT t, v FROM (SELECT t, (v - lag(v) OVER (ORDER BY t)) * 8000000.0
                    / CAST(t - lag(t) OVER (ORDER BY t) AS DOUBLE) AS v FROM ({rows})) WHERE v >= 0 AND v < 1e15"
            ),
        };
        format!(
            "SELECT (t - {}) / {} AS step, avg(v) AS mean, min(v) AS least, max(v) AS most, count(v) AS samples
             FROM ({rows}) GROUP BY (t - {}) / {}",
            self.begin_us, self.step_us, self.begin_us, self.step_us
        )
    }

    fn series(&self, rows: Vec<Row>) -> Series {
        let mut points: Vec<Point> = (0..self.steps)
            .map(|n| Point {
                at: Time(self.begin_us + n * self.step_us),
                mean: None,
                min: None,
                max: None,
                samples: 0,
            })
            .collect();
        for row in rows {
            let step = usize::try_from(row.step).ok();
            if let Some(point) = step.and_then(|step| points.get_mut(step)) {
                (point.mean, point.min, point.max) = (row.mean, row.least, row.most);
                point.samples = row.samples;
            }
        }
        Series {
            metric: self.metric.name.to_owned(),
            unit: self.metric.unit.to_owned(),
            from: Time(self.begin_us),
            to: Time(self.end_us()),
            step_s: self.step_us / SECOND_US,
            source: grain(self.step_us).name.to_owned(),
            points,
        }
    }
}

/// Division that rounds up, of numbers above zero.
trait DivCeil {
    fn div_ceil_to(self, by: i64) -> i64;
}

impl DivCeil for i64 {
    fn div_ceil_to(self, by: i64) -> i64 {
        self.div_euclid(by) + i64::from(self.rem_euclid(by) > 0)
    }
}

#[derive(Debug, Deserialize)]
struct Row {
    step: i64,
    mean: Option<f64>,
    least: Option<f64>,
    most: Option<f64>,
    samples: i64,
}

fn now() -> Time {
    Timestamp::from_system(SystemTime::now()).into()
}

async fn answer(
    who: &Viewer,
    span: &Span,
    table: &str,
    condition: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let rows = history::rows(&who.queries(), &span.sql(table, condition)).await?;
    reply::list(headers, &span.series(rows))
}

/// A metric of a device: cpu_load_percent, round_trip_ms, memory_free_bytes, disk_free_bytes, uptime_s,
/// cpu_temperature_c, board_temperature_c, voltage_v, registrations.
#[utoipa::path(get, path = "/api/v1/devices/{id}/series", tag = "series", params(("id" = Uuid, Path), SeriesQuery), responses((status = 200, body = Series)))]
pub(crate) async fn of_device(
    who: Viewer,
    Path(id): Path<Uuid>,
    Query(query): Query<SeriesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let span = query.span(DEVICE, now())?;
    let mut tx = who.read().await?;
    history::must_be_device(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    answer(
        &who,
        &span,
        "polls",
        &format!("device_id = '{id}'"),
        &headers,
    )
    .await
}

/// A metric of an interface: rx_bps, tx_bps, link_rate_bps, link_downs.
#[utoipa::path(get, path = "/api/v1/devices/{id}/interfaces/{name}/series", tag = "series",
    params(("id" = Uuid, Path), ("name" = String, Path), SeriesQuery), responses((status = 200, body = Series)))]
pub(crate) async fn of_interface(
    who: Viewer,
    Path((id, name)): Path<(Uuid, String)>,
    Query(query): Query<SeriesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let span = query.span(INTERFACE, now())?;
    let mut tx = who.read().await?;
    history::must_be_device(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    let condition = format!("device_id = '{id}' AND name = {}", history::text(&name));
    answer(&who, &span, "interface_samples", &condition, &headers).await
}

/// A metric of a link, as its access point has it: signal_dbm, tx_signal_dbm, snr_db, tx_ccq_percent, rx_ccq_percent,
/// tx_rate_bps, rx_rate_bps, uptime_s, tx_throughput_bps, rx_throughput_bps.
#[utoipa::path(get, path = "/api/v1/links/{id}/series", tag = "series", params(("id" = String, Path), SeriesQuery), responses((status = 200, body = Series)))]
pub(crate) async fn of_link(
    who: Viewer,
    Path(id): Path<LinkRef>,
    Query(query): Query<SeriesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let span = query.span(LINK, now())?;
    let mut tx = who.read().await?;
    let link = links::find(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    let LinkRef { ap, radio, mac } = id;
    // A controller reports for access points of others; all others report their own.
    let condition = match link.source == Source::Capsman.as_str() {
        true => format!("mac = '{mac}' AND radio_mac = '{radio}'"),
        false => format!(
            "device_id = '{ap}' AND mac = '{mac}' AND (radio_mac = '{radio}' OR radio_mac IS NULL)"
        ),
    };
    answer(&who, &span, "registration_samples", &condition, &headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from_s: i64, to_s: i64, points: i64) -> Span {
        Span::new(&DEVICE[0], from_s * SECOND_US, to_s * SECOND_US, points)
    }

    #[test]
    fn steps_are_whole_seconds_at_their_own_multiples() {
        for (from, to, points) in [
            (0, 86_400, 300),
            (17, 3_617, 60),
            (5, 6, 2_000),
            (3, 1_000_003, 7),
        ] {
            let span = span(from, to, points);
            assert_eq!(span.begin_us % span.step_us, 0);
            assert_eq!(span.step_us % SECOND_US, 0);
            assert!(span.begin_us <= from * SECOND_US && span.end_us() >= to * SECOND_US);
            assert!(span.steps <= points, "{} of {points}", span.steps);
        }
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let span = span(0, 30, 4);
        assert_eq!((span.step_us, span.steps), (10 * SECOND_US, 3));
        let row = |step, mean| Row {
            step,
            mean: Some(mean),
            least: Some(mean),
            most: Some(mean),
            samples: 1,
        };
        let series = span.series(vec![row(2, 7.0), row(0, 5.0)]);
        let means: Vec<_> = series.points.iter().map(|point| point.mean).collect();
        assert_eq!(means, [Some(5.0), None, Some(7.0)]);
    }
}
