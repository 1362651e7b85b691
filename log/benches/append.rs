//! Append and read rates of the embedded log in the shape of production: rounds of one message to each
//! of 8 partitions. Prints one JSON object.
//!
//! `cargo bench -p mast-log --bench append -- [--total-mib N] [--message-kib N] [--dir DIR]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement, not a library"
)]

use std::{
    env,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, Record, TopicSpec};

const PARTITIONS: u32 = 8;
const TOPIC: &str = "mast.telemetry.v1";

fn main() {
    let total = arg("--total-mib").map_or(768, |text| text.parse().unwrap()) << 20;
    let sizes = arg("--message-kib").map_or(vec![64, 1024], |text| vec![text.parse().unwrap()]);
    let dir = arg("--dir").map_or_else(env::temp_dir, PathBuf::from);
    let mut results = Vec::new();
    for message_kib in sizes {
        for (name, fsync) in [
            ("never", Fsync::Never),
            (
                "interval_250_ms",
                Fsync::Interval(Duration::from_millis(250)),
            ),
            ("every_append", Fsync::EveryAppend),
        ] {
            for threads in [1, PARTITIONS] {
                let dir = tempfile::tempdir_in(&dir).unwrap();
                let config = EmbeddedConfig {
                    fsync,
                    ..EmbeddedConfig::default()
                };
                let run = measure(dir.path(), config, total, message_kib << 10, threads);
                results.push(format!(
                    "{{\"fsync\":\"{name}\",\"message_kib\":{message_kib},\"threads\":{threads},{run}}}"
                ));
            }
        }
    }
    println!(
        "{{\"partitions\":{PARTITIONS},\"total_mib\":{},\"runs\":[{}]}}",
        total >> 20,
        results.join(",")
    );
}

fn arg(name: &str) -> Option<String> {
    let mut args = env::args().skip_while(|arg| arg != name);
    args.nth(1)
}

fn measure(dir: &Path, config: EmbeddedConfig, total: u64, message: u64, threads: u32) -> String {
    let log = EmbeddedLog::open(dir, config.clone()).unwrap();
    log.ensure_topic(&TopicSpec {
        name: TOPIC.into(),
        partitions: PARTITIONS,
    })
    .unwrap();
    let record = record(message);
    let rounds = total / message / u64::from(PARTITIONS);
    let begin = Instant::now();
    let mut latencies: Vec<Duration> = thread::scope(|scope| {
        let (log, record) = (&log, &record);
        let appenders: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mine = (thread..PARTITIONS).step_by(threads as usize);
                    append(log, record, rounds, mine.collect())
                })
            })
            .collect();
        appenders
            .into_iter()
            .flat_map(|appender| appender.join().unwrap())
            .collect()
    });
    let append_s = begin.elapsed().as_secs_f64();
    log.sync().unwrap();
    let synced_s = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();

    let begin = Instant::now();
    let read = read_all(&log);
    let read_s = begin.elapsed().as_secs_f64();
    drop(log);
    let begin = Instant::now();
    let log = EmbeddedLog::open(dir, config).unwrap();
    let open_s = begin.elapsed().as_secs_f64();
    drop(log);
    let mib = (rounds * u64::from(PARTITIONS) * message) as f64 / f64::from(1 << 20);
    assert_eq!(read, rounds * u64::from(PARTITIONS) * message);
    format!(
        "\"append_mib_per_s\":{:.0},\"append_and_sync_mib_per_s\":{:.0},\"append_p50_us\":{},\"append_p99_us\":{},\
         \"read_mib_per_s\":{:.0},\"open_ms\":{:.1}",
        mib / append_s,
        mib / synced_s,
        latencies[latencies.len() / 2].as_micros(),
        latencies[latencies.len() * 99 / 100].as_micros(),
        mib / read_s,
        open_s * 1e3,
    )
}

/// Bytes that don't compress: zstd has been over them already.
fn record(bytes: u64) -> Record {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let body: Vec<u8> = (0..bytes / 8).flat_map(word).collect();
    Record {
        body: body.into(),
        ..Record::default()
    }
}

fn append(log: &EmbeddedLog, record: &Record, rounds: u64, partitions: Vec<u32>) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for _ in 0..rounds {
        for &partition in &partitions {
            let begin = Instant::now();
            log.append(TOPIC, partition, std::slice::from_ref(record))
                .unwrap();
            latencies.push(begin.elapsed());
        }
    }
    latencies
}

fn read_all(log: &EmbeddedLog) -> u64 {
    let mut bytes = 0;
    for partition in 0..PARTITIONS {
        let mut from = 0;
        loop {
            let entries = log.read(TOPIC, partition, from, 4 << 20).unwrap();
            let Some(last) = entries.last() else {
                break;
            };
            from = last.offset + 1;
            bytes += entries
                .iter()
                .map(|entry| entry.record.size_bytes() as u64)
                .sum::<u64>();
        }
    }
    bytes
}
