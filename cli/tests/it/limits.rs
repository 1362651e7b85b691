//! What a node may hold: as many devices as it may open files, less what the other parts of its process need, or as set.

use std::process::Command;

use crate::support::{demo, folder, last_json};

/// In a demo the fleet holds the other end of each session: without counting it, sessions would fail for want of files.
#[test]
fn a_demo_polls_no_more_devices_than_it_may_open_files() {
    let folder = folder();
    let data = folder.path().join("data");
    let demo = demo(&data, (200, "2s"), &["--for", "15s"]);
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 640; exec \"$0\" \"$@\""])
        .arg(demo.get_program())
        .args(demo.get_args())
        .output()
        .unwrap();
    let (told, report) = (String::from_utf8_lossy(&output.stderr), last_json(&output));
    assert!(told.contains("polled by nobody"), "{told}");
    // 640, less 256 for all else and 200 for the fleet.
    assert!(told.contains("this one for 184 devices"), "{told}");
    let online = report["online"].as_u64().unwrap();
    assert!((100..=184).contains(&online), "{report}");
    assert_eq!(report["polls_failed"], 0, "{report}\n{told}");
}

#[test]
fn a_capacity_that_is_set_is_kept() {
    let folder = folder();
    let data = folder.path().join("data");
    let output = demo(&data, (12, "1s"), &["--for", "10s"])
        .env("MAST_INGEST_CAPACITY", "5")
        .output()
        .unwrap();
    let (told, report) = (String::from_utf8_lossy(&output.stderr), last_json(&output));
    assert!(told.contains("this one for 5 devices"), "{told}");
    assert!(
        (1..=5).contains(&report["online"].as_u64().unwrap()),
        "{report}"
    );
}
