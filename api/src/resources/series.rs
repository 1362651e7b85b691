//! Series: a metric over time, in as many points as are asked for.
//!
//! The asker says how many points a chart has, not how fine the data is: which table answers is decided by the query engine.
//! Where there are no samples there is no value: a gap stays a gap, and is never drawn over.

use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::response::Response;
use mast_query::{self as query, Measure, SeriesAnswer};
use mast_schemas::Timestamp;
use mast_schemas::records::Source;
use mast_schemas::rollups::Rolled;
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
    /// How many points the chart has. There are at most so many, at steps of whole seconds; where rollups answer, at steps of
    /// their buckets.
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
    /// What it was made of: `raw` samples, or their rollups of a minute (`1m`), a quarter of an hour (`15m`), an hour (`1h`) or
    /// a day (`1d`). What is too new for these comes from narrower ones, at last from samples.
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
    /// Of how many samples it is. Of `uptime_s` and `link_rate_bps` rollups keep the last one of a bucket alone.
    samples: i64,
}

/// A metric: how it is read.
struct Metric {
    name: &'static str,
    unit: &'static str,
    measure: Measure,
}

/// Metrics of a kind of sample.
type Metrics = (Rolled, &'static [Metric]);

const fn gauge(name: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        unit,
        measure: Measure::Column(name),
    }
}

const fn rate(name: &'static str, counter: &'static str) -> Metric {
    Metric {
        name,
        unit: "bit/s",
        measure: Measure::Rate(counter),
    }
}

const DEVICE: Metrics = (
    Rolled::Poll,
    &[
        gauge("cpu_load_percent", "%"),
        gauge("round_trip_ms", "ms"),
        gauge("memory_free_bytes", "B"),
        gauge("disk_free_bytes", "B"),
        gauge("uptime_s", "s"),
        gauge("cpu_temperature_c", "°C"),
        gauge("board_temperature_c", "°C"),
        gauge("voltage_v", "V"),
        gauge("registrations", "clients"),
    ],
);

const LINK: Metrics = (
    Rolled::Registration,
    &[
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
    ],
);

const INTERFACE: Metrics = (
    Rolled::Interface,
    &[
        rate("rx_bps", "rx_bytes"),
        rate("tx_bps", "tx_bytes"),
        gauge("link_rate_bps", "bit/s"),
        gauge("link_downs", "times"),
    ],
);

fn invalid(detail: String) -> Problem {
    Problem::new(Kind::InvalidParameter, detail)
}

impl SeriesQuery {
    /// What is asked for, checked; of which thing is still to be said.
    fn series(
        &self,
        (of, metrics): Metrics,
        now: Time,
    ) -> Result<(&'static Metric, query::Series), Problem> {
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
        let series = query::Series {
            of,
            measure: metric.measure,
            thing: String::new(),
            from: Timestamp(from),
            to: Timestamp(to),
            points,
        };
        Ok((metric, series))
    }
}

impl Series {
    fn new(metric: &Metric, answer: &SeriesAnswer) -> Self {
        let SeriesAnswer {
            table,
            steps,
            points,
        } = answer;
        let point = |(at, point): (Timestamp, &Option<query::Point>)| Point {
            at: at.into(),
            mean: point.map(|point| point.mean),
            min: point.map(|point| point.min),
            max: point.map(|point| point.max),
            samples: point.map_or(0, |point| point.samples),
        };
        Self {
            metric: metric.name.to_owned(),
            unit: metric.unit.to_owned(),
            from: steps.begin.into(),
            to: steps.end().into(),
            step_s: steps.step.0 / SECOND_US,
            source: table.grain().to_owned(),
            points: steps.begins().zip(points).map(point).collect(),
        }
    }
}

fn now() -> Time {
    Timestamp::from_system(SystemTime::now()).into()
}

async fn answer(
    who: &Viewer,
    (metric, series): (&Metric, query::Series),
    thing: String,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let asked = query::Series { thing, ..series };
    let answer = who.queries().series(&asked).await;
    let answer = answer.map_err(|e| history::failed(&e))?;
    reply::list(headers, &Series::new(metric, &answer))
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
    let asked = query.series(DEVICE, now())?;
    let mut tx = who.read().await?;
    history::must_be_device(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    answer(&who, asked, format!("device_id = '{id}'"), &headers).await
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
    let asked = query.series(INTERFACE, now())?;
    let mut tx = who.read().await?;
    history::must_be_device(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    let condition = format!("device_id = '{id}' AND name = {}", history::text(&name));
    answer(&who, asked, condition, &headers).await
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
    let asked = query.series(LINK, now())?;
    let mut tx = who.read().await?;
    let link = links::find(&mut tx, who.tenant().0, id).await?;
    drop(tx);
    let LinkRef { ap, radio, mac } = id;
    // A controller reports for access points of others; all others report their own.
    let condition = match link.live.source == Source::Capsman.as_str() {
        true => format!("mac = '{mac}' AND radio_mac = '{radio}'"),
        false => format!(
            "device_id = '{ap}' AND mac = '{mac}' AND (radio_mac = '{radio}' OR radio_mac IS NULL)"
        ),
    };
    answer(&who, asked, condition, &headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_a_column_of_its_samples() {
        for (of, metrics) in [DEVICE, LINK, INTERFACE] {
            let schema = of.samples();
            for metric in metrics {
                let (Measure::Column(column) | Measure::Rate(column)) = metric.measure;
                assert!(schema.field_with_name(column).is_ok(), "{}", metric.name);
            }
        }
    }
}
