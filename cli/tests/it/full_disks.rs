//! The disks of checkpoints, lake and log run full under a running system, one after the other, and get room again: each is
//! told with its remedy, in status, health, metrics and log; nothing acknowledged is lost; and all goes on by itself.

use std::fs::{self, File};
use std::thread::sleep;
use std::time::Duration;

use mast_log::fault;
use rustix::process::{Pid, Signal, kill_process};

use serde_json::Value;

use crate::health::{get, metric, part, status, until, until_ok, until_troubled};
use crate::support::{agrees, demo, finish, folder, verified};

const DEVICES: u64 = 24;
const FLEET: (u64, &str) = (DEVICES, "1s");

#[test]
fn full_disks_are_told_with_their_remedy_and_lose_nothing() {
    let folder = folder();
    let (data, full) = (folder.path().join("data"), folder.path().join("full"));
    fs::create_dir(&full).unwrap();
    let child = demo(&data, FLEET, &[])
        .env(fault::FULL, &full)
        .env("MAST_DATAFLOW_CHECKPOINT_EVERY", "1s")
        .env("MAST_DATAFLOW_LAKE_EVERY", "1s")
        .spawn()
        .unwrap();
    until_ok(&data);
    for name in ["mast_ingest_waiting_bytes", "mast_lake_failures_total"] {
        assert!(
            metric(&data, name).is_some(),
            "{name} is there while it is 0"
        );
    }
    for (disk, kind, name, counter) in [
        (
            "checkpoints",
            "checkpoints",
            "main",
            "mast_dataflow_checkpoint_failures_total",
        ),
        ("lake", "lake", "main", "mast_lake_failures_total"),
        ("log", "dataflow", "main", "mast_log_refused_total"),
    ] {
        let before = metric(&data, counter).unwrap_or(0.0);
        File::create(full.join(disk)).unwrap();
        let found = until_troubled(&data, kind, name, &["failed"]);
        let remedy = found["remedy"].as_str().unwrap();
        assert!(remedy.contains("make room on the"), "{found:#}");
        assert!(metric(&data, counter).unwrap() > before, "{counter}");
        let (ready, body) = get(&data, "/health/ready");
        assert!(ready == 503 && body.contains("make room on the"), "{body}");
        assert_eq!(get(&data, "/health").0, 200, "it is alive");
        if disk == "log" {
            let ingest = until_troubled(&data, "ingest", "", &["degraded", "failed"]);
            assert!(
                ingest["reason"]
                    .as_str()
                    .unwrap()
                    .contains("the log is full"),
                "{ingest:#}"
            );
            // The relay cannot say that it has seen all of the outbox.
            while metric(&data, "mast_dataflow_relay_behind_ms") < Some(1_000.0) {
                sleep(Duration::from_millis(100));
            }
            let (_, report) = status(&data);
            let relay = part(&report, "relay", "outbox").unwrap();
            assert!(
                relay["numbers"]["behind_ms"].as_i64() >= Some(1_000),
                "{relay:#}"
            );
        }
        if disk == "lake" {
            // Thrice as long as groups find room on their way to the lake.
            let epoch = |report: &Value| {
                let job = part(report, "dataflow", "main").unwrap();
                job["numbers"]["epoch"].as_i64().unwrap()
            };
            let before = epoch(&status(&data).1);
            let report = until(&data, "60 slots further", |_, report| {
                epoch(report) > before + 60
            });
            assert_eq!(part(&report, "lake", "main").unwrap()["state"], "failed");
            assert_eq!(part(&report, "dataflow", "main").unwrap()["state"], "ok");
            assert!(metric(&data, "mast_lake_waiting_bytes") > Some(0.0));
        }
        fs::remove_file(full.join(disk)).unwrap();
        until_ok(&data);
    }
    assert_eq!(metric(&data, "mast_ingest_dropped_polls_total"), Some(0.0));
    // A batch on its way waits as well, for a moment.
    while metric(&data, "mast_ingest_waiting_bytes") != Some(0.0) {
        sleep(Duration::from_millis(100));
    }

    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for what in [
        "no checkpoint can be written",
        "the lake cannot be committed",
        "bindings cannot be appended",
        "make room on the",
    ] {
        assert!(told.contains(what), "not told: {what}\n{told}");
    }
    let (code, report) = status(&data);
    assert_eq!((code, &report["running"]), (3, &false.into()), "{report:#}");
    assert_eq!(
        part(&report, "ingest", "").unwrap()["state"],
        "stopped",
        "{report:#}"
    );

    let report = finish(&mut demo(&data, FLEET, &["--for", "12s"]));
    agrees(&report, DEVICES, "full disks");
    verified(&data);
}
