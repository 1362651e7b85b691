//! Postgres is cut off, killed and stalled under a running system, and comes back each time: that is told, polling goes on,
//! nothing is lost, nothing is there twice.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use mast_schemas::Timestamp;
use rustix::process::{Pid, Signal, kill_process};

use crate::health::{get, metric, until_ok, until_troubled};
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

    /// The server and all its processes.
    fn processes(&self) -> Vec<Pid> {
        let file = std::fs::read_to_string(self.cluster.join("postmaster.pid")).unwrap();
        let server: i32 = file.lines().next().unwrap().parse().unwrap();
        let tasks = format!("/proc/{server}/task/{server}/children");
        let children = std::fs::read_to_string(tasks).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        let all = [server].into_iter().chain(children);
        all.map(|pid| Pid::from_raw(pid).unwrap()).collect()
    }

    fn signal(&self, signal: Signal) {
        for process in self.processes() {
            // A session may have ended since it was listed.
            let _ = kill_process(process, signal);
        }
    }

    /// SIGKILL of all processes but the first, which notices, ends what is left and recovers from the log of its writes.
    /// Returns when others have taken their place.
    fn crash(&self) {
        let killed = self.processes().split_off(1);
        for process in &killed {
            let _ = kill_process(*process, Signal::KILL);
        }
        let recovered = |now: Vec<Pid>| now.len() > 1 && !now.iter().any(|p| killed.contains(p));
        while !recovered(self.processes()) {
            sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL of the server; its processes end when they notice.
    fn kill(&self) {
        kill_process(self.processes()[0], Signal::KILL).unwrap();
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
    let child = demo(&data, (DEVICES, "1s"), &[]);
    let child = { child }.spawn().unwrap();
    // History has begun, so the job commits all the time.
    while !data.join("lake/polls/main").is_dir() || history(&data) == 0 {
        sleep(Duration::from_millis(200));
    }
    let server = Server::of(&data);
    // No transaction ends, no connection is closed in order.
    server.control(&["stop", "--mode", "immediate"]);
    let cut = now();
    let found = until_troubled(&data, "postgres", "main", &["failed"]);
    assert_eq!(found["reason"], "PostgreSQL does not run");
    let found = until_troubled(&data, "dataflow", "main", &["waiting"]);
    let reason = found["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("a group cannot be committed"),
        "{reason}"
    );
    assert!(
        found["remedy"].as_str().unwrap().contains("PostgreSQL"),
        "{found}"
    );
    assert_eq!(get(&data, "/health/ready").0, 503);
    assert!(metric(&data, "mast_postgres_errors_total") > Some(0.0));
    // Each device is polled some times meanwhile.
    sleep(Duration::from_secs(6));
    let back = now();
    server.control(&["start"]);
    until_ok(&data);

    server.crash();
    until_ok(&data);

    // The server itself is killed: who started it starts it again.
    let restarts = "mast_postgres_restarts_total";
    assert_eq!(metric(&data, restarts), Some(0.0));
    server.kill();
    while metric(&data, restarts) != Some(1.0) {
        sleep(Duration::from_millis(200));
    }
    until_ok(&data);

    server.signal(Signal::STOP);
    let found = until_troubled(&data, "postgres", "main", &["failed"]);
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("does not answer"), "{reason}");
    server.signal(Signal::CONT);
    until_ok(&data);
    assert_eq!(get(&data, "/health/ready").0, 200);

    let online = "SELECT count(*) AS n FROM devices WHERE state = 'online'";
    while count(&query(&data, online)) < DEVICES {
        sleep(Duration::from_millis(300));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for what in [
        "a group cannot be committed; trying again",
        "PostgreSQL is away; polling goes on",
        "PostgreSQL has died; it is started again",
        "PostgreSQL runs again",
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

/// Over all tenants.
fn count(rows: &serde_json::Value) -> u64 {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["n"].as_u64().unwrap()).sum()
}

/// Files of polls.
fn history(data: &Path) -> usize {
    std::fs::read_dir(data.join("lake/polls/main"))
        .unwrap()
        .count()
}
