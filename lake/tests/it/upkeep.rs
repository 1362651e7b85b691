//! Rollups, compaction and retention against a plain recount of the samples, in whatever steps and kills they are made.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use mast_lake::{
    Change, LakeConfig, LakeError, LakeFile, LakeWriter, Retention, Stop, Table, Upkeep, contents,
    path_of,
};
use mast_postgres::{Role, testing};
use mast_schemas::column::Record;
use mast_schemas::counters::PAIR;
use mast_schemas::records::Interface;
use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, Epoch, TenantId, Timestamp};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::start;

/// Hours of samples.
const HOURS: i64 = 27;
/// A day's begin.
const BEGIN: Timestamp = Timestamp::from_secs(20_000 * 86_400);

fn config(root: &Path, generation: u64) -> LakeConfig {
    LakeConfig {
        root: root.to_owned(),
        job: "main".into(),
        generation,
        max_rows_per_file: 100_000,
        target_bytes: 40_000,
    }
}

/// A sample, the slot in which it was bound, and whether it came late.
type Bound = (Epoch, bool, Interface);

/// What devices tell: counters that rise and are set anew, gaps, and samples that were bound too late.
fn samples(rng: &mut StdRng) -> Vec<Bound> {
    let mut all = Vec::new();
    for n in 0..6u128 {
        let (mut at, mut bytes, mut sequence) = (BEGIN, 1_000u64, 0);
        while at < BEGIN + Span::hours(HOURS) {
            at = at + Span(rng.random_range(15_000_000..70_000_000));
            if rng.random_bool(0.01) {
                at = at + Span::secs(rng.random_range(60..3_000));
            }
            bytes = if rng.random_bool(0.02) {
                7
            } else {
                bytes + rng.random_range(0..9_000_000)
            };
            sequence += 1;
            let wait = if rng.random_bool(0.03) {
                rng.random_range(0..300)
            } else {
                0
            };
            let late = rng.random_bool(0.02);
            let row = Interface {
                tenant_id: TenantId(Uuid::from_u128(n % 2 + 1)),
                device_id: DeviceId(Uuid::from_u128(n / 2 + 10 * (n % 2) + 5)),
                observed_at: at,
                lease_epoch: 1,
                sequence,
                name: format!("ether{}", n % 3),
                mac: None,
                interface_type: None,
                remote: None,
                running: Some(rng.random_bool(0.9)),
                disabled: None,
                comment: None,
                rx_bytes: Some(bytes),
                tx_bytes: None,
                rx_packets: None,
                tx_packets: None,
                rx_errors: None,
                tx_errors: None,
                rx_drops: None,
                tx_drops: None,
                tx_queue_drops: None,
                link_downs: None,
                link_rate_bps: Some(1_000_000_000 + sequence),
            };
            all.push((Epoch::of(at + Span::secs(wait)), late, row));
        }
    }
    all.sort_by_key(|(epoch, ..)| *epoch);
    all
}

/// samples, running, counted ms, bytes, greatest rate, last link rate.
type Bucket = (i64, i64, i64, Option<i64>, Option<i64>, Option<i64>);
type Key = (Uuid, Uuid, String, i64);

/// The buckets that close up to `upto`, counted plainly.
fn recount(samples: &[Bound], width: Width, upto: Epoch) -> BTreeMap<Key, Bucket> {
    let mut rows: Vec<&Bound> = samples.iter().collect();
    rows.sort_by_key(|(_, _, r)| (r.device_id, r.name.clone(), r.observed_at));
    let mut found: BTreeMap<Key, Bucket> = BTreeMap::new();
    let mut before: Option<&Interface> = None;
    for (epoch, late, row) in rows {
        // Whether it counts is a matter of its minute, also for the wider buckets.
        let minute = Width::Minute.bucket(row.observed_at);
        if *late || epoch.end() > minute + Span::secs(120) {
            continue;
        }
        let same = |b: &&Interface| (b.device_id, &b.name) == (row.device_id, &row.name);
        let pair = before.filter(same).map(|b| {
            let span = row.observed_at - b.observed_at;
            (span, row.rx_bytes.unwrap().checked_sub(b.rx_bytes.unwrap()))
        });
        before = Some(row);
        let at = width.bucket(row.observed_at);
        if (at + width.span() + Span::secs(60)) > upto.end() {
            continue;
        }
        let key = (row.tenant_id.0, row.device_id.0, row.name.clone(), at.0);
        let bucket = found.entry(key).or_insert((0, 0, 0, None, None, None));
        bucket.0 += 1;
        bucket.1 += i64::from(row.running.unwrap());
        bucket.5 = row.link_rate_bps.map(|r| r as i64);
        if let Some((span, Some(gone))) = pair
            && span <= PAIR
        {
            bucket.2 += span.0 / 1_000;
            bucket.3 = Some(bucket.3.unwrap_or(0) + gone as i64);
            let rate = (gone as i128 * 8_000_000 / span.0 as i128) as i64;
            bucket.4 = Some(bucket.4.unwrap_or(0).max(rate));
        }
    }
    found
}

async fn batches(conn: &mut PgConnection, root: &Path, table: Table) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    for file in contents(conn, &[table]).await.unwrap().files {
        let opened = std::fs::File::open(path_of(root, &file.summary.path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened)
            .unwrap()
            .build()
            .unwrap();
        all.extend(reader.map(Result::unwrap));
    }
    all
}

/// What is in the lake.
async fn rolled(conn: &mut PgConnection, root: &Path, width: Width) -> BTreeMap<Key, Bucket> {
    let mut found = BTreeMap::new();
    for batch in batches(conn, root, Table::Rollup(Rolled::Interface, width)).await {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let id = |name: &str, row| {
            Uuid::from_slice(column(name).as_fixed_size_binary().value(row)).unwrap()
        };
        let number = |name: &str, row| {
            let column = column(name).as_primitive::<Int64Type>();
            column.is_valid(row).then(|| column.value(row))
        };
        let at = column("at").as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            let name = column("name").as_string::<i32>().value(row).to_owned();
            let key = (
                id("tenant_id", row),
                id("device_id", row),
                name,
                at.value(row),
            );
            let bucket = (
                number("samples", row).unwrap(),
                number("running_samples", row).unwrap(),
                number("counted_ms", row).unwrap(),
                number("rx_bytes", row),
                number("rx_traffic_max_bps", row),
                number("link_rate_bps", row),
            );
            assert_eq!(
                found.insert(key.clone(), bucket),
                None,
                "{key:?} is there twice"
            );
        }
    }
    found
}

/// Makes a change, unless it is killed before: then its files are left over.
async fn make(conn: &mut PgConnection, upkeep: &Upkeep, change: &Change, killed: bool) {
    let mut tx = conn.begin().await.unwrap();
    change.apply(&mut tx, upkeep.config()).await.unwrap();
    if killed {
        tx.rollback().await.unwrap();
    } else {
        tx.commit().await.unwrap();
    }
}

fn on_disk(root: &Path) -> usize {
    let folders = Table::ALL.map(|t| root.join(t.as_str()).join("main"));
    folders
        .iter()
        .map(|f| std::fs::read_dir(f).unwrap().count())
        .sum()
}

#[tokio::test]
async fn rollups_are_a_recount_of_the_samples_in_whatever_steps_they_are_made() {
    let database = testing::database().await;
    let mut conn = PgConnection::connect_with(&database.options(Role::Dataflow))
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut rng = StdRng::seed_from_u64(11);
    let all = samples(&mut rng);
    let (mut generation, mut kills) = (1, 0);
    let mut writer = start(&mut conn, root, generation).await;
    drop(writer);
    writer = LakeWriter::open(&mut conn, config(root, 1)).await.unwrap();
    let mut upkeep = Upkeep::new(config(root, 1), Retention::default(), Stop::default());
    let (mut from, mut upto) = (0, Epoch::of(BEGIN));
    while from < all.len() {
        upto = Epoch(upto.0 + rng.random_range(1_200..12_000));
        let end = from
            + all[from..]
                .iter()
                .take_while(|(epoch, ..)| *epoch <= upto)
                .count();
        for (epoch, late, row) in &all[from..end] {
            writer
                .append(
                    Table::InterfaceSamples,
                    *epoch,
                    *late,
                    &Interface::batch([row]),
                )
                .unwrap();
        }
        from = end;
        writer.commit(&mut conn, upto).await.unwrap();
        if rng.random_bool(0.5) {
            continue;
        }
        let mut killed = false;
        for width in Width::ALL {
            while !killed
                && let Some(change) = upkeep
                    .roll_up(&mut conn, Rolled::Interface, width)
                    .await
                    .unwrap()
            {
                killed = rng.random_bool(0.05);
                make(&mut conn, &upkeep, &change, killed).await;
            }
        }
        let interfaces = Width::ALL.map(|width| Table::Rollup(Rolled::Interface, width));
        for table in interfaces.into_iter().chain([Table::InterfaceSamples]) {
            while !killed && let Some(change) = upkeep.compact(&mut conn, table).await.unwrap() {
                killed = rng.random_bool(0.05);
                make(&mut conn, &upkeep, &change, killed).await;
            }
        }
        if killed {
            kills += 1;
            generation += 1;
            start(&mut conn, root, generation).await;
            writer = LakeWriter::open(&mut conn, config(root, generation))
                .await
                .unwrap();
            let own = config(root, generation);
            upkeep = Upkeep::new(own, Retention::default(), Stop::default());
        } else {
            upkeep.sweep(&mut conn).await.unwrap();
        }
    }
    assert!(kills > 0);
    for width in Width::ALL {
        while let Some(change) = upkeep
            .roll_up(&mut conn, Rolled::Interface, width)
            .await
            .unwrap()
        {
            make(&mut conn, &upkeep, &change, false).await;
        }
        let expected = recount(&all, width, upto);
        assert!(!expected.is_empty(), "{width:?}");
        let found = rolled(&mut conn, root, width).await;
        assert_eq!(found.len(), expected.len(), "{width:?}");
        for (key, bucket) in &expected {
            assert_eq!(found.get(key), Some(bucket), "{width:?} {key:?}");
        }
    }
    // Compaction lost no sample and doubled none, and left few ranges.
    let raw = batches(&mut conn, root, Table::InterfaceSamples).await;
    let mut kept: Vec<(Timestamp, DeviceId, String, u64)> = Vec::new();
    for batch in raw {
        kept.extend(
            Interface::rows(&batch)
                .unwrap()
                .into_iter()
                .map(|r| (r.observed_at, r.device_id, r.name, r.sequence)),
        );
    }
    let mut told: Vec<_> = all
        .iter()
        .map(|(_, _, r)| (r.observed_at, r.device_id, r.name.clone(), r.sequence))
        .collect();
    kept.sort();
    told.sort();
    assert_eq!(kept, told);
    let ranges: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM lake_manifest WHERE table_name = 'interface_samples'",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert!(ranges < 40, "{ranges} ranges");
    while upkeep.sweep(&mut conn).await.unwrap().0 > 0 {}
    let named = contents(&mut conn, &Table::ALL).await.unwrap().files.len();
    assert_eq!(on_disk(root), named, "no orphan is left");
    found_out(&mut conn, root).await;
}

/// The check finds nothing wrong, then each thing that is broken on purpose.
async fn found_out(conn: &mut PgConnection, root: &Path) {
    let report = mast_lake::check(conn, root, |_, _| {}).await.unwrap();
    assert_eq!(report.findings, [""; 0]);
    assert_eq!((report.being_written, report.ending), (0, 0));
    let table = Table::InterfaceSamples;
    let file = contents(conn, &[table])
        .await
        .unwrap()
        .files
        .swap_remove(0)
        .summary
        .path;
    let (path, aside) = (path_of(root, &file), root.join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    let report = mast_lake::check(conn, root, |_, _| {}).await.unwrap();
    assert!(
        report.findings[0].starts_with(&format!("{file}: No such file")),
        "{report:?}"
    );
    assert_eq!((report.findings.len(), report.being_written), (1, 1));
    std::fs::write(&path, b"PAR1").unwrap();
    let report = mast_lake::check(conn, root, |_, _| {}).await.unwrap();
    assert!(report.findings[0].contains("4 bytes, not"), "{report:?}");
    std::fs::rename(&aside, &path).unwrap();
    sqlx::query(
        "DELETE FROM lake_manifest WHERE version = (SELECT max(version) FROM lake_manifest
         WHERE table_name = 'interface_1m' AND epoch_from > 0
           AND epoch_to < (SELECT max(epoch_to) FROM lake_manifest WHERE table_name = 'interface_1m'))",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    let report = mast_lake::check(conn, root, |_, _| {}).await.unwrap();
    assert!(
        report.findings[0].contains("interface_1m of job main: a hole"),
        "{report:?}"
    );
}

#[tokio::test]
async fn what_is_too_old_goes_by_tenant_and_no_query_loses_a_file() {
    let database = testing::database().await;
    let options = database.options(Role::Dataflow);
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    start(&mut conn, root, 1).await;
    let mut writer = LakeWriter::open(&mut conn, config(root, 1)).await.unwrap();
    let mut rng = StdRng::seed_from_u64(5);
    let (end, mut all) = (Epoch::of(BEGIN + Span::hours(48)), samples(&mut rng));
    all.retain(|(_, late, _)| !late);
    for (epoch, _, row) in &all {
        writer
            .append(
                Table::InterfaceSamples,
                *epoch,
                false,
                &Interface::batch([row]),
            )
            .unwrap();
    }
    writer.commit(&mut conn, end).await.unwrap();
    let retention = Retention {
        raw: Span::hours(24 * 30),
        ..Retention::default()
    };
    let mut upkeep = Upkeep::new(config(root, 1), retention, Stop::default());
    let table = Table::InterfaceSamples;
    assert!(
        upkeep.retain(&mut conn, table).await.unwrap().is_none(),
        "all are young"
    );

    // A tenant wants less to be kept.
    let mut owner = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    let one = Uuid::from_u128(1);
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'north')")
        .bind(one)
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::query("INSERT INTO lake_retention VALUES ($1, 'interface_samples', 1)")
        .bind(one)
        .execute(&mut owner)
        .await
        .unwrap();
    // The newest row of a file decides.
    assert!(
        upkeep.retain(&mut conn, table).await.unwrap().is_none(),
        "not all are over"
    );
    writer
        .commit(&mut conn, Epoch(end.0 + 4 * 3_600 * 4))
        .await
        .unwrap();
    assert!(
        upkeep.retain(&mut conn, table).await.unwrap().is_none(),
        "they are not rolled up yet"
    );
    while let Some(change) = upkeep
        .roll_up(&mut conn, Rolled::Interface, Width::Minute)
        .await
        .unwrap()
    {
        make(&mut conn, &upkeep, &change, false).await;
    }
    let samples_on_disk = || {
        let folder = root.join("interface_samples/main");
        std::fs::read_dir(folder).unwrap().count()
    };
    let mut query = PgConnection::connect_with(&options).await.unwrap();
    let mut reading = query.begin().await.unwrap();
    mast_lake::hold(&mut reading).await.unwrap();
    let change = upkeep.retain(&mut conn, table).await.unwrap().unwrap();
    make(&mut conn, &upkeep, &change, false).await;
    let kept = batches(&mut conn, root, table).await;
    let kept: Vec<Interface> = kept
        .iter()
        .flat_map(|b| Interface::rows(b).unwrap())
        .collect();
    assert!(kept.iter().all(|row| row.tenant_id.0 != one));
    let others = all
        .iter()
        .filter(|(_, _, row)| row.tenant_id.0 != one)
        .count();
    assert_eq!(kept.len(), others, "no row of the other tenant is gone");
    assert!(upkeep.retain(&mut conn, table).await.unwrap().is_none());

    let (removed, waiting) = upkeep.sweep(&mut conn).await.unwrap();
    assert_eq!((removed, waiting), (0, 1), "a query may read it");
    // Who comes later does not hold it.
    let mut later = PgConnection::connect_with(&options).await.unwrap();
    let mut reading_later = later.begin().await.unwrap();
    mast_lake::hold(&mut reading_later).await.unwrap();
    LakeWriter::open(&mut conn, config(root, 1)).await.unwrap();
    assert_eq!(samples_on_disk(), 2, "a start leaves it too");
    reading.rollback().await.unwrap();
    assert_eq!(upkeep.sweep(&mut conn).await.unwrap(), (1, 0));
    assert_eq!(samples_on_disk(), 1);
    drop(reading_later);
}

/// Samples of three tenants, five files a commit: the second holds rows of the first two, the fourth of the last two. All are old.
async fn small_files(conn: &mut PgConnection, root: &Path) -> LakeConfig {
    let config = LakeConfig {
        max_rows_per_file: 40,
        ..config(root, 1)
    };
    start(conn, root, 1).await;
    let mut writer = LakeWriter::open(conn, config.clone()).await.unwrap();
    let table = Table::InterfaceSamples;
    let (mut rng, mut upto) = (StdRng::seed_from_u64(7), Epoch(0));
    for (n, (epoch, _, mut row)) in samples(&mut rng).into_iter().take(400).enumerate() {
        upto = upto.max(epoch);
        row.tenant_id = TenantId(Uuid::from_u128(n as u128 % 3 + 1));
        let rows = Interface::batch([&row]);
        writer.append(table, epoch, false, &rows).unwrap();
        if n % 200 == 199 {
            writer.commit(conn, upto).await.unwrap();
        }
    }
    let later = Epoch::of(BEGIN + Span::hours(24 * 9));
    writer.commit(conn, later).await.unwrap();
    config
}

fn files_of(root: &Path, table: Table) -> usize {
    let folder = std::fs::read_dir(root.join(table.as_str()).join("main"));
    folder.map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_change_that_is_refused_takes_its_files_with_it() {
    let database = testing::database().await;
    let options = database.options(Role::Dataflow);
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let config = small_files(&mut conn, root).await;
    let upkeep = Upkeep::new(config, Retention::default(), Stop::default());
    let (of, width) = (Rolled::Interface, Width::Minute);
    let change = upkeep.roll_up(&mut conn, of, width).await.unwrap().unwrap();
    assert!(files_of(root, change.table) > 0);
    sqlx::query("UPDATE job_progress SET generation = 2")
        .execute(&mut conn)
        .await
        .unwrap();
    let mut tx = conn.begin().await.unwrap();
    let refused = change.apply(&mut tx, upkeep.config()).await;
    assert!(matches!(refused, Err(LakeError::Fenced { .. })));
    tx.rollback().await.unwrap();
    change.discard(upkeep.config()).await.unwrap();
    assert_eq!(files_of(root, change.table), 0);
}

#[tokio::test]
async fn retention_that_fails_halfway_leaves_no_files() {
    let database = testing::database().await;
    let options = database.options(Role::Dataflow);
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let config = small_files(&mut conn, root).await;
    let upkeep = Upkeep::new(config, Retention::default(), Stop::default());
    let (of, width) = (Rolled::Interface, Width::Minute);
    while let Some(change) = upkeep.roll_up(&mut conn, of, width).await.unwrap() {
        make(&mut conn, &upkeep, &change, false).await;
    }
    let table = Table::InterfaceSamples;
    let stored = contents(&mut conn, &[table]).await.unwrap();
    assert_eq!(stored.files.len(), 10);
    // The first with two tenants is rewritten before the second one is found missing.
    let mixed = |f: &&LakeFile| f.summary.tenant_min != f.summary.tenant_max;
    let gone = stored.files.iter().rfind(mixed).unwrap();
    std::fs::remove_file(path_of(root, &gone.summary.path)).unwrap();

    // Two of the tenants want nothing to be kept.
    let superuser = database.superuser();
    let mut owner = PgConnection::connect_with(&superuser).await.unwrap();
    for tenant in [1, 3].map(Uuid::from_u128) {
        sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, $1::text)")
            .bind(tenant)
            .execute(&mut owner)
            .await
            .unwrap();
        sqlx::query("INSERT INTO lake_retention VALUES ($1, 'interface_samples', 1)")
            .bind(tenant)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    // The rows of the manifest that are whole go their way.
    let failed = loop {
        match upkeep.retain(&mut conn, table).await {
            Ok(Some(change)) => make(&mut conn, &upkeep, &change, false).await,
            Ok(None) => panic!("a file is missing"),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, LakeError::File { .. }), "{failed}");
    let named = files_of(root, table);
    for _ in 0..2 {
        assert!(upkeep.retain(&mut conn, table).await.is_err());
        assert_eq!(files_of(root, table), named);
    }
}
