//! SIGKILL of the whole process at each named point: after a restart nothing is lost and nothing is there twice.
//!
//! A test for each point, so that they run beside each other. The fleet is small and fast: what is compared is every device,
//! link, event and poll, not how many there are.

use std::os::unix::process::ExitStatusExt;

use mast_log::fault;

use crate::support::{agrees, demo, finish, folder, verified};

const DEVICES: u64 = 24;
const FLEET: (u64, &str) = (DEVICES, "1s");

fn killed_at(point: &str) {
    let folder = folder();
    let data = folder.path().join("data");
    let output = demo(&data, FLEET, &["--for", "60s"])
        .env(fault::VARIABLE, point)
        .output()
        .unwrap();
    assert_eq!(output.status.signal(), Some(9), "{point} was never reached");
    let report = finish(&mut demo(&data, FLEET, &["--for", "15s"]));
    agrees(&report, DEVICES, point);
    verified(&data);
}

#[test]
fn a_kill_after_ingest_has_appended() {
    killed_at("after_ingest_append:60");
}

#[test]
fn a_kill_after_the_relay_has_appended() {
    killed_at("after_relay_append:1");
}

#[test]
fn a_kill_after_a_binding() {
    killed_at("after_binding:30");
}

#[test]
fn a_kill_after_a_commit() {
    killed_at("after_commit:30");
}

#[test]
fn a_kill_after_a_lake_file() {
    killed_at("after_lake_file:1");
}

#[test]
fn a_kill_after_the_manifest() {
    killed_at("after_manifest:1");
}

#[test]
fn a_kill_amid_a_checkpoint() {
    killed_at("amid_checkpoint:1");
}

#[test]
fn a_kill_after_files_of_a_rollup() {
    killed_at("after_upkeep_files:1");
}

#[test]
fn a_kill_before_a_rollup_is_committed() {
    killed_at("before_upkeep_commit:1");
}

#[test]
fn a_kill_after_a_rollup_is_committed() {
    killed_at("after_upkeep_commit:1");
}
