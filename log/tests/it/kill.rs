//! Owners that die by SIGKILL in the middle of an append, as processes of their own: what they were
//! told is appended is there, appends are whole, and the next owner goes on.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use mast_log::{EmbeddedConfig, EmbeddedLog, Log};

use crate::support::{TOPIC, open_with, quick, record};

const CHILD_DIR: &str = "MAST_LOG_TEST_CHILD_DIR";
const RECORDS_PER_APPEND: u64 = 3;

/// Not a test by itself: the process that gets killed.
#[test]
fn child() {
    let Some(dir) = env::var_os(CHILD_DIR) else {
        return;
    };
    let log = open_with(
        Path::new(&dir),
        EmbeddedConfig {
            segment_bytes: 256 << 10,
            ..quick()
        },
    );
    let mut next = log.ends(TOPIC, 0).unwrap().next;
    loop {
        let records: Vec<_> = (next..next + RECORDS_PER_APPEND)
            .map(|offset| record(body(offset)))
            .collect();
        assert_eq!(log.append(TOPIC, 0, &records).unwrap(), next);
        next += RECORDS_PER_APPEND;
        println!("appended {next}");
        // Trims run into kills too.
        log.trim(TOPIC, 0, next.saturating_sub(2000)).unwrap();
    }
}

/// Of many sizes, and different for each offset.
fn body(offset: u64) -> Vec<u8> {
    let len = (offset * 7919 % 5000) as usize;
    let mut body = offset.to_le_bytes().to_vec();
    body.resize(8 + len, offset as u8);
    body
}

pub(crate) fn spawn_child(dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The offsets the child says it has appended up to.
pub(crate) fn appended(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| {
        line.split_once("appended ")
            .and_then(|(_, number)| number.parse().ok())
    })
}

fn assert_whole(log: &dyn Log) -> u64 {
    let ends = log.ends(TOPIC, 0).unwrap();
    let mut from = ends.first;
    while from < ends.next {
        for entry in log.read(TOPIC, 0, from, 1 << 20).unwrap() {
            assert_eq!(entry.offset, from);
            assert_eq!(entry.record.body, body(from), "offset {from}");
            from += 1;
        }
    }
    ends.next
}

#[test]
fn killed_amid_appends_nothing_is_lost_or_torn() {
    let dir = tempfile::tempdir().unwrap();
    drop(open_with(dir.path(), quick()));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Somebody looks on all the while, through kills, rolls and trims.
        let looking = scope.spawn(|| look_on(dir.path(), &done));
        let mut last = 0;
        for round in 0..8 {
            let mut child = spawn_child(dir.path());
            let mut told = appended(&mut child);
            // A different number of appends each time; the kill falls wherever it falls.
            let some = told.by_ref().nth(50 + round * 37).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            let told = told.last().unwrap_or(some);
            assert!(told > last, "each owner goes on");
            let log = EmbeddedLog::open(dir.path(), quick()).unwrap();
            last = assert_whole(&log);
            assert!(last >= told, "told {told} appended, {last} are there");
            assert_eq!(
                last % RECORDS_PER_APPEND,
                0,
                "an append is whole or not there"
            );
        }
        done.store(true, Ordering::Release);
        assert!(
            looking.join().unwrap() > 0,
            "the reader read while others wrote"
        );
    });
}

fn look_on(dir: &Path, done: &AtomicBool) -> u64 {
    let log = EmbeddedLog::open_read_only(dir).unwrap();
    let mut from = 0;
    let mut read = 0;
    while !done.load(Ordering::Acquire) {
        match log.read(TOPIC, 0, from, 1 << 20) {
            Ok(entries) => {
                for entry in entries {
                    assert_eq!(entry.offset, from);
                    assert_eq!(entry.record.body, body(from), "offset {from}");
                    (from, read) = (from + 1, read + 1);
                }
                assert_eq!(log.ends(TOPIC, 0).unwrap().next % RECORDS_PER_APPEND, 0);
            }
            Err(mast_log::LogError::Gap { first }) => from = first,
            Err(error) => panic!("{error:?}"),
        }
    }
    read
}
