//! Series from samples and from rollups, against a plain recount, however far the rollups are made.

use std::collections::BTreeMap;

use mast_lake::{LakeConfig, LakeWriter, Retention, Stop, Table, Upkeep};
use mast_postgres::testing::Database;
use mast_postgres::{Role, tenant_tx, testing};
use mast_query::{
    Engine, EngineConfig, Measure, Point, QueryError, Series, SeriesAnswer, TenantScope,
};
use mast_schemas::column::Record;
use mast_schemas::records::{Interface, Poll};
use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::time::Span;
use mast_schemas::{Epoch, TenantId, Timestamp};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// A day's begin.
const BEGIN: Timestamp = Timestamp::from_secs(20_000 * 86_400);
const DEVICE: u128 = 7;

fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(n))
}

/// A sample: seconds after [`BEGIN`], seconds that it waited until it was bound, whether it is late, and what it says.
#[derive(Clone)]
struct Sample {
    at_s: i64,
    wait_s: i64,
    late: bool,
    says: Value,
}

fn sample(at_s: i64, says: Value) -> Sample {
    Sample {
        at_s,
        wait_s: 0,
        late: false,
        says,
    }
}

/// A lake of a tenant's samples.
struct Lake {
    _database: Database,
    folder: tempfile::TempDir,
    conn: PgConnection,
    writer: LakeWriter,
    engine: Engine,
}

fn config(root: &std::path::Path) -> LakeConfig {
    LakeConfig {
        root: root.to_owned(),
        job: "main".into(),
        generation: 1,
        max_rows_per_file: 1_000,
        target_bytes: 128 << 20,
    }
}

impl Lake {
    async fn new() -> Self {
        let database = testing::database().await;
        let folder = tempfile::tempdir().unwrap();
        let pool = database.pool(Role::Api).await;
        let mut tx = tenant_tx(&pool, tenant(1)).await.unwrap();
        sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'north')")
            .bind(tenant(1).0)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let mut conn = PgConnection::connect_with(&database.options(Role::Dataflow))
            .await
            .unwrap();
        sqlx::query("INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, 1000)")
            .execute(&mut conn)
            .await
            .unwrap();
        let writer = LakeWriter::open(&mut conn, config(folder.path()))
            .await
            .unwrap();
        let engine = EngineConfig::new(pool, folder.path().to_owned());
        Self {
            _database: database,
            conn,
            writer,
            engine: Engine::new(engine).unwrap(),
            folder,
        }
    }

    /// Appends samples in the order in which they are bound, and commits up to `upto_s` seconds after [`BEGIN`].
    async fn add(&mut self, of: Rolled, samples: &[Sample], upto_s: i64) {
        let mut bound: Vec<_> = samples.iter().enumerate().collect();
        bound.sort_by_key(|(_, s)| s.at_s + s.wait_s);
        for (n, sample) in bound {
            let at = BEGIN + Span::secs(sample.at_s);
            let mut row = json!({
                "tenant_id": tenant(1), "device_id": Uuid::from_u128(DEVICE), "observed_at": at.0, "lease_epoch": 1,
                "sequence": n + 1,
            });
            if of == Rolled::Poll {
                let more = json!({ "outcome": "ok", "next_due_at": at.0, "interval_ms": 60_000, "tables": 3 });
                row.as_object_mut()
                    .unwrap()
                    .extend(more.as_object().unwrap().clone());
            }
            row.as_object_mut()
                .unwrap()
                .extend(sample.says.as_object().unwrap().clone());
            let epoch = Epoch::of(at + Span::secs(sample.wait_s));
            let batch = match of {
                Rolled::Poll => Poll::batch([&serde_json::from_value(row).unwrap()]),
                _ => Interface::batch([&serde_json::from_value(row).unwrap()]),
            };
            self.writer
                .append(Table::samples(of), epoch, sample.late, &batch)
                .unwrap();
        }
        self.commit(upto_s).await;
    }

    async fn commit(&mut self, upto_s: i64) {
        let upto = Epoch::of(BEGIN + Span::secs(upto_s));
        self.writer.commit(&mut self.conn, upto).await.unwrap();
    }

    /// Makes all buckets of a width that have closed.
    async fn roll_up(&mut self, of: Rolled, width: Width) {
        let upkeep = Upkeep::new(
            config(self.folder.path()),
            Retention::default(),
            Stop::default(),
        );
        while let Some(change) = upkeep.roll_up(&mut self.conn, of, width).await.unwrap() {
            let mut tx = self.conn.begin().await.unwrap();
            change.apply(&mut tx, upkeep.config()).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    async fn ask(&self, series: &Series) -> SeriesAnswer {
        let session = self.engine.session(TenantScope::One(tenant(1)));
        session.series(series).await.unwrap()
    }
}

/// A series of the device over seconds after [`BEGIN`].
fn series(of: Rolled, measure: Measure, (from_s, to_s): (i64, i64), points: u32) -> Series {
    Series {
        of,
        measure,
        thing: format!("device_id = '{}'", Uuid::from_u128(DEVICE)),
        from: BEGIN + Span::secs(from_s),
        to: BEGIN + Span::secs(to_s),
        points,
    }
}

/// The points of values at seconds after [`BEGIN`], in the steps of an answer, counted plainly.
fn recount(values: &[(i64, f64)], answer: &SeriesAnswer) -> Vec<Option<Point>> {
    let mut found: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at_s, value) in values {
        let after = (BEGIN + Span::secs(*at_s) - answer.steps.begin).0;
        found
            .entry(after.div_euclid(answer.steps.step.0))
            .or_default()
            .push(*value);
    }
    (0..i64::from(answer.steps.count))
        .map(|n| {
            let values = found.get(&n)?;
            let samples = i64::try_from(values.len()).unwrap();
            Some(Point {
                mean: values.iter().sum::<f64>() / samples as f64,
                min: values.iter().copied().fold(f64::INFINITY, f64::min),
                max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                samples,
            })
        })
        .collect()
}

fn same(answer: &SeriesAnswer, values: &[(i64, f64)], what: &str) {
    let expected = recount(values, answer);
    assert_eq!(answer.points.len(), expected.len(), "{what}");
    for (n, (found, expected)) in answer.points.iter().zip(&expected).enumerate() {
        let (Some(found), Some(expected)) = (found, expected) else {
            assert_eq!(found, expected, "{what}: step {n}");
            continue;
        };
        assert!(
            (found.mean - expected.mean).abs() < 1e-6,
            "{what}: step {n}: {found:?} {expected:?}"
        );
        let exact = |p: &Point| (p.min, p.max, p.samples);
        assert_eq!(exact(found), exact(expected), "{what}: step {n}");
    }
}

/// Every 30 s for 30 hours with an hour's gap, and fractions.
fn polls() -> Vec<(i64, i64, f64)> {
    (0..3_600)
        .map(|n| n * 30)
        .filter(|at| !(40_000..43_600).contains(at))
        .map(|at| (at, (at / 30 * 7) % 100, 40.0 + (at / 30 % 9) as f64 / 2.0))
        .collect()
}

/// Each width is made as far as it can be, then the samples go on for an hour and more without: the seam of each with the next is
/// within the series.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_is_a_recount_of_the_samples_from_whatever_it_is_made() {
    let mut lake = Lake::new().await;
    let polls = polls();
    let rows: Vec<Sample> = polls
        .iter()
        .map(|(at, cpu, celsius)| {
            sample(
                *at,
                json!({ "cpu_load_percent": cpu, "cpu_temperature_c": celsius }),
            )
        })
        .collect();
    let until = |s: i64| rows.iter().take_while(|row| row.at_s < s).count();
    let (day, all) = (until(104_400), rows.len());
    let cpu: Vec<_> = polls
        .iter()
        .map(|(at, cpu, _)| (*at, *cpu as f64))
        .collect();
    let celsius: Vec<_> = polls.iter().map(|(at, _, c)| (*at, *c)).collect();
    let charts = [
        ((0, 108_000), 1_800, "1m"),
        ((0, 108_000), 120, "15m"),
        ((0, 108_000), 30, "1h"),
        ((0, 108_000), 2, "1h"),
        ((0, 172_800), 2, "1d"),
        ((77, 107_900), 2_000, "raw"),
        ((39_000, 45_000), 100, "1m"),
    ];
    let check = async |lake: &Lake, seen: usize, what: &str| {
        for (range, points, grain) in charts {
            let what = format!("{what}: {grain} {range:?} {points}");
            let answer = lake
                .ask(&series(
                    Rolled::Poll,
                    Measure::Column("cpu_load_percent"),
                    range,
                    points,
                ))
                .await;
            assert_eq!(answer.table.grain(), grain, "{what}");
            same(&answer, &within(&cpu[..seen], &answer), &what);
            let answer = lake
                .ask(&series(
                    Rolled::Poll,
                    Measure::Column("cpu_temperature_c"),
                    range,
                    points,
                ))
                .await;
            same(&answer, &within(&celsius[..seen], &answer), &what);
        }
    };
    lake.add(Rolled::Poll, &rows[..day], 104_395).await;
    check(&lake, day, "nothing is made").await;
    for width in Width::ALL {
        lake.roll_up(Rolled::Poll, width).await;
        check(&lake, day, &format!("{width:?} is made")).await;
    }
    lake.add(Rolled::Poll, &rows[day..], 108_000).await;
    check(&lake, all, "samples went on").await;
    for width in [Width::Minute, Width::Quarter, Width::Hour, Width::Day] {
        lake.roll_up(Rolled::Poll, width).await;
        check(&lake, all, &format!("{width:?} went on")).await;
    }
}

/// The values that lie in the steps of an answer.
fn within(values: &[(i64, f64)], answer: &SeriesAnswer) -> Vec<(i64, f64)> {
    let steps = &answer.steps;
    let inside = |at_s: &i64| {
        let at = BEGIN + Span::secs(*at_s);
        at >= steps.begin && at < steps.end()
    };
    values
        .iter()
        .filter(|(at, _)| inside(at))
        .copied()
        .collect()
}

fn counter(at_s: i64, name: &str, rx: u64, tx: u64) -> Sample {
    sample(
        at_s,
        json!({ "name": name, "rx_bytes": rx, "tx_bytes": tx, "rx_packets": rx / 100 }),
    )
}

/// Counters of several things never make a rate of each other, a pair too far apart makes none, and neither does one that was
/// set back. The rollups, and samples beside them, say the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_are_of_one_thing_without_long_pauses_and_resets() {
    let mut lake = Lake::new().await;
    let mut rows = Vec::new();
    // Two interfaces whose counters are far apart, read at the same and at other times.
    for n in 0..40u64 {
        let at = i64::try_from(n).unwrap() * 60;
        rows.push(counter(at, "ether1", 1_000_000 + n * 75_000, 5));
        rows.push(counter(at + 20, "ether2", 9_000_000_000_000 + n * 7_500, 5));
    }
    // 75,000 bytes in 60 s are 10,000 bits a second.
    let mut first: Vec<(i64, f64)> = (1..40).map(|n| (n * 60, 10_000.0)).collect();
    let mut second: Vec<(i64, f64)> = (1..40).map(|n| (n * 60 + 20, 1_000.0)).collect();
    // A pause of 15 min is a pair, one of a second more is none; a reset is none; then it goes on.
    for (at, rx) in [
        (2_340 + 900, 4_000_000),
        (2_340 + 1_801, 5_000_000),
        (4_200, 100),
        (4_230, 400),
    ] {
        rows.push(counter(at, "ether1", rx, 9));
    }
    first.push((3_240, (4_000_000.0f64 - 3_925_000.0) * 8.0 / 900.0));
    first.last_mut().unwrap().1 = first.last().unwrap().1.floor();
    first.push((4_230, 80.0));
    // One counter alone comes round at 2^32.
    for (at, tx) in [(4_260, 4_294_967_000), (4_290, 5_000)] {
        rows.push(counter(at, "ether2", 9_000_000_000_000 + 400_000, tx));
    }
    second.push((4_290, 0.0));
    lake.add(Rolled::Interface, &rows, 4_400).await;
    let ask = async |lake: &Lake, name: &str, counter: &'static str, points: u32| {
        let mut series = series(
            Rolled::Interface,
            Measure::Rate(counter),
            (0, 4_500),
            points,
        );
        series.thing += &format!(" AND name = '{name}'");
        lake.ask(&series).await
    };
    for made in [None, Some(Width::Minute), Some(Width::Quarter)] {
        if let Some(width) = made {
            lake.roll_up(Rolled::Interface, width).await;
        }
        for (points, grain) in [(750, "raw"), (75, "1m"), (5, "15m")] {
            let what = format!("{made:?} {grain}");
            let answer = ask(&lake, "ether1", "rx_bytes", points).await;
            assert_eq!(answer.table.grain(), grain);
            same(&answer, &first, &what);
            let answer = ask(&lake, "ether2", "rx_bytes", points).await;
            same(&answer, &second, &what);
            let answer = ask(&lake, "ether2", "tx_bytes", points).await;
            let came_round = answer
                .points
                .iter()
                .flatten()
                .map(|p| p.max)
                .fold(0.0, f64::max);
            assert_eq!(
                came_round,
                ((5_000 + (1u64 << 32) - 4_294_967_000) * 8 / 30) as f64,
                "{what}"
            );
            // Of both together it is still each with itself: no pair of the one with the other.
            let both = series(
                Rolled::Interface,
                Measure::Rate("rx_bytes"),
                (0, 2_400),
                points,
            );
            let both = lake.ask(&both).await;
            let greatest = both
                .points
                .iter()
                .flatten()
                .map(|p| p.max)
                .fold(0.0, f64::max);
            assert_eq!(greatest, 10_000.0, "{what}");
            assert!(both.points.iter().flatten().all(|p| p.min >= 0.0), "{what}");
        }
    }
}

/// What was bound too late for its minute, or came late, is no part of a rollup; nor of what stands in for buckets that are still
/// to be made, so that a point does not change when they are. The samples have it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rows_are_in_samples_and_never_in_rollups() {
    let mut lake = Lake::new().await;
    let mut rows: Vec<Sample> = (0..60)
        .map(|n| sample(n * 60, json!({ "cpu_load_percent": 10 })))
        .collect();
    for (n, at) in [610, 1_210, 3_310, 3_370].into_iter().enumerate() {
        let mut odd = sample(at, json!({ "cpu_load_percent": 90 }));
        (odd.late, odd.wait_s) = if n % 2 == 0 { (true, 0) } else { (false, 200) };
        rows.push(odd);
    }
    lake.add(Rolled::Poll, &rows, 3_700).await;
    let ask = async |lake: &Lake, points| {
        let series = series(
            Rolled::Poll,
            Measure::Column("cpu_load_percent"),
            (0, 3_600),
            points,
        );
        let answer = lake.ask(&series).await;
        let greatest = answer
            .points
            .iter()
            .flatten()
            .map(|p| p.max)
            .fold(0.0, f64::max);
        let samples: i64 = answer.points.iter().flatten().map(|p| p.samples).sum();
        (answer.table.grain(), greatest, samples)
    };
    for made in [None, Some(Width::Minute), Some(Width::Quarter)] {
        if let Some(width) = made {
            lake.roll_up(Rolled::Poll, width).await;
        }
        assert_eq!(ask(&lake, 360).await, ("raw", 90.0, 64), "{made:?}");
        assert_eq!(ask(&lake, 60).await, ("1m", 10.0, 60), "{made:?}");
        assert_eq!(ask(&lake, 4).await, ("15m", 10.0, 60), "{made:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rollups_keep_the_last_value_of_is_shown_by_it_and_what_they_lack_by_samples() {
    let mut lake = Lake::new().await;
    let rows: Vec<Sample> = (0..120u64)
        .map(|n| {
            let at = i64::try_from(n).unwrap() * 30;
            sample(
                at,
                json!({ "name": "ether1", "link_rate_bps": 1_000 + n, "link_downs": n / 50 }),
            )
        })
        .collect();
    lake.add(Rolled::Interface, &rows, 3_700).await;
    lake.roll_up(Rolled::Interface, Width::Minute).await;
    let ask = async |name| {
        lake.ask(&series(
            Rolled::Interface,
            Measure::Column(name),
            (0, 3_600),
            60,
        ))
        .await
    };
    let rate = ask("link_rate_bps").await;
    assert_eq!(rate.table.grain(), "1m");
    let last: Vec<_> = (0..60)
        .map(|n| (n * 60, 1_001.0 + 2.0 * n as f64))
        .collect();
    // The newest minutes come from samples, each of which counts.
    assert_eq!(rate.points[..58], recount(&last, &rate)[..58]);
    let downs = ask("link_downs").await;
    assert_eq!(downs.table.grain(), "raw");
    let all: Vec<_> = (0..120).map(|n| (n * 30, (n / 50) as f64)).collect();
    same(&downs, &all, "link_downs");
}

/// A tenant that keeps samples for three days alone is shown rollups before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tenants_own_retention_decides_what_can_be_read() {
    let mut lake = Lake::new().await;
    let rows = [sample(0, json!({ "cpu_load_percent": 5 }))];
    lake.add(Rolled::Poll, &rows, 5 * 86_400).await;
    for width in Width::ALL {
        lake.roll_up(Rolled::Poll, width).await;
    }
    let chart = series(
        Rolled::Poll,
        Measure::Column("cpu_load_percent"),
        (0, 600),
        300,
    );
    assert_eq!(lake.ask(&chart).await.table.grain(), "raw");
    let pool = lake._database.pool(Role::Api).await;
    let mut tx = tenant_tx(&pool, tenant(1)).await.unwrap();
    sqlx::query(
        "INSERT INTO lake_retention (tenant_id, table_name, keep_days) VALUES ($1, 'polls', 3)",
    )
    .bind(tenant(1).0)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let answer = lake.ask(&chart).await;
    assert_eq!((answer.table.grain(), answer.points.len()), ("1m", 10));
    assert_eq!(answer.points[0].map(|p| p.mean), Some(5.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_series_is_of_one_tenant() {
    let lake = Lake::new().await;
    let chart = series(
        Rolled::Poll,
        Measure::Column("cpu_load_percent"),
        (0, 600),
        10,
    );
    let all = lake.engine.session(TenantScope::All(Vec::new()));
    assert!(matches!(
        all.series(&chart).await,
        Err(QueryError::Refused(_))
    ));
    // Another tenant's device is not there.
    let other = lake.engine.session(TenantScope::One(tenant(2)));
    let answer = other.series(&chart).await.unwrap();
    assert!(answer.points.iter().all(Option::is_none));
}
