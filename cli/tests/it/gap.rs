//! The checkpoints are lost and the log was trimmed behind them, as an operator meets it: what is told where, that nothing
//! changes until somebody decides, and that all agrees again afterwards.

use std::fs;
use std::path::Path;

use mast_dataflow::checkpoint;
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log as _, TopicSpec};
use mast_schemas::topics;
use rustix::process::{Pid, Signal, kill_process};

use crate::health::{ask, measured, until_troubled};
use crate::support::{agrees, demo, finish, folder, mast, query, verified};

const DEVICES: u64 = 12;
const FLEET: (u64, &str) = (DEVICES, "1s");

/// Trims the log behind the oldest checkpoint, as a long run does; a short one fills no segment.
fn trim(data: &Path) {
    let stored = checkpoint::list(&data.join("checkpoints")).unwrap();
    let oldest = &stored.last().unwrap().manifest;
    let (old, new) = (data.join("log"), data.join("log-small"));
    let log = EmbeddedLog::open_read_only(&old).unwrap();
    let config = EmbeddedConfig {
        segment_bytes: 2 << 10,
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    };
    let small = EmbeddedLog::open(&new, config).unwrap();
    for name in topics::ALL {
        let partitions = log.partitions(name).unwrap();
        let name = name.to_owned();
        small.ensure_topic(&TopicSpec { name, partitions }).unwrap();
    }
    let copy = |topic, partition, before| {
        for entry in log.read(topic, partition, 0, 64 << 20).unwrap() {
            small.append(topic, partition, &[entry.record]).unwrap();
        }
        small.trim(topic, partition, before).unwrap();
        small.ends(topic, partition).unwrap().first
    };
    copy(topics::CONTROL, 0, 0);
    copy(topics::EVENTS, 0, 0);
    assert!(copy(topics::EPOCHS, 0, oldest.bindings) > 0);
    for (partition, before) in (0..).zip(&oldest.telemetry) {
        assert!(copy(topics::TELEMETRY, partition, *before) > 0);
    }
    small.sync().unwrap();
    drop((log, small));
    fs::remove_dir_all(&old).unwrap();
    fs::rename(new, old).unwrap();
}

#[test]
fn lost_checkpoints_are_told_and_accepted_once() {
    let folder = folder();
    let data = folder.path().join("data");
    let often = ("MAST_DATAFLOW_CHECKPOINT_EVERY", "1s");
    let mut begin = demo(&data, FLEET, &["--for", "15s"]);
    agrees(
        &finish(begin.env(often.0, often.1)),
        DEVICES,
        "at the start",
    );
    trim(&data);
    fs::remove_dir_all(data.join("checkpoints")).unwrap();
    let told = "SELECT count(*) AS n FROM link_events";
    let before = query(&data, told);

    // The demo ends with what to do.
    let refused = demo(&data, FLEET, &["--for", "9s"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    for word in [
        "gap: mast.telemetry.v1 partition 0 lost",
        "partitions more",
        "Restore a checkpoint",
        "dataflow.accept_gap = true",
    ] {
        assert!(said.contains(word), "not told: {word}\n{said}");
    }

    // A process of its own stays, so that whoever watches it sees why.
    let text = data.to_str().unwrap();
    let child = mast(&["dataflow", "--data", text]).spawn().unwrap();
    let address = data.join("dataflow.address");
    while !address.exists() {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let found = until_troubled(&data, "dataflow", "main", &["failed"]);
    let (reason, remedy) = (found["reason"].as_str(), found["remedy"].as_str());
    assert!(
        reason.unwrap().contains("partition 0 lost") && remedy.unwrap().contains("--accept-gap"),
        "{found:#}"
    );
    while ask(&address, "/health/ready").1.matches("lost").count() == 0 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(ask(&address, "/health/ready").0, 503);
    assert!(measured(&address, "mast_dataflow_gap_records") > Some(0.0));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(query(&data, told), before, "nothing has changed");

    // Accepted. No checkpoint follows before the end, so that the recount begins with the acceptance.
    let mut accepted = demo(&data, FLEET, &["--for", "15s"]);
    accepted
        .env("MAST_DATAFLOW_ACCEPT_GAP", "true")
        .env("MAST_DATAFLOW_CHECKPOINT_EVERY", "1h");
    agrees(&finish(&mut accepted), DEVICES, "accepted");
    assert!(data.join("checkpoints/0-0").is_dir());
    verified(&data);

    let mut again = demo(&data, FLEET, &["--for", "10s"]);
    agrees(&finish(&mut again), DEVICES, "accepted before");
    verified(&data);
}
