//! Postgres is cut off under a running system and comes back: polling goes on, nothing is lost, nothing is there twice.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use mast_schemas::Timestamp;

use crate::support::{agrees, demo, folder, last_json, query, verified};

const DEVICES: u64 = 24;

/// The server of a data folder, handled behind the back of who started it.
struct Server {
    cluster: PathBuf,
    pg_ctl: PathBuf,
}

impl Server {
    fn of(data: &Path) -> Self {
        let cluster = data.join("postgres/cluster");
        let pid = std::fs::read_to_string(cluster.join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        let pg_ctl = program.with_file_name("pg_ctl");
        Self { cluster, pg_ctl }
    }

    /// Runs pg_ctl as the owner of the cluster.
    fn control(&self, args: &[&str]) {
        let owner = std::fs::metadata(&self.cluster).unwrap();
        let mut command = Command::new(&self.pg_ctl);
        command
            .args(args)
            .args(["--wait", "--silent", "--log", "/dev/null", "--pgdata"])
            .arg(&self.cluster)
            .current_dir(&self.cluster)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if owner.uid() != rustix::process::geteuid().as_raw() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        assert!(command.status().unwrap().success(), "{args:?}");
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

#[test]
fn while_postgres_is_away_polling_goes_on_and_nothing_is_lost_or_repeated() {
    let folder = folder();
    let data = folder.path().join("data");
    let child = demo(&data, (DEVICES, "1s"), &["--for", "50s"]);
    let child = { child }.spawn().unwrap();
    // History has begun, so the job commits all the time.
    while !data.join("lake/polls/main").is_dir() || history(&data) == 0 {
        sleep(Duration::from_millis(200));
    }
    let server = Server::of(&data);
    // No transaction ends, no connection is closed in order.
    server.control(&["stop", "--mode", "immediate"]);
    let cut = now();
    sleep(Duration::from_secs(12));
    let back = now();
    server.control(&["start"]);

    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for what in [
        "a group cannot be committed; trying again",
        "PostgreSQL is away; polling goes on",
    ] {
        assert!(told.contains(what), "not told: {what}\n{told}");
    }
    agrees(&last_json(&output), DEVICES, "Postgres was away");
    verified(&data);
    let sql = format!(
        "SELECT device_id FROM polls WHERE outcome = 'ok'
         AND observed_at BETWEEN to_timestamp_micros({}) AND to_timestamp_micros({})",
        cut.0, back.0
    );
    let polled = query(&data, &sql);
    let polled = polled.as_array().unwrap().iter();
    let devices: BTreeSet<&str> = polled.map(|p| p["device_id"].as_str().unwrap()).collect();
    assert_eq!(devices.len() as u64, DEVICES, "polled meanwhile");
}

/// Files of polls.
fn history(data: &Path) -> usize {
    std::fs::read_dir(data.join("lake/polls/main"))
        .unwrap()
        .count()
}
