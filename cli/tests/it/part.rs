//! A part of an installation as a process of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{last_json, mast};

/// For a step that the machine's speed decides.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Of topics: the cluster is shared with others.
pub(crate) const PREFIX: &str = "north.";

/// A process of ours, with what it says in a file.
pub(crate) struct Part {
    pub(crate) args: Vec<String>,
    said: PathBuf,
    child: Option<Child>,
}

impl Part {
    /// One that was not started yet.
    pub(crate) fn new(folder: &Path, name: &str, args: &[&str]) -> Self {
        Self {
            args: args.iter().map(ToString::to_string).collect(),
            said: folder.join(format!("{name}.log")),
            child: None,
        }
    }

    /// Starts it and waits for the line that tells that it is up.
    pub(crate) fn start(folder: &Path, name: &str, args: &[&str]) -> (Self, Value) {
        let mut part = Self::new(folder, name, args);
        let up = part.again();
        (part, up)
    }

    /// Starts it again, as it was started before.
    pub(crate) fn again(&mut self) -> Value {
        let mut child = self.spawn();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        self.child = Some(child);
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}\n{}", self.said()))
    }

    pub(crate) fn spawn(&self) -> Child {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let said = File::options().create(true).append(true).open(&self.said);
        let mut command = mast(&args);
        // The simulator knows no log.
        if args[0] != "simulate" {
            command.env("MAST_LOG_TOPIC_PREFIX", PREFIX);
        }
        command
            .env("MAST_LOG_TIMEOUT", "3s")
            .env("MAST_LOG_PARTITIONS", "4")
            .env("MAST_DATAFLOW_CHECKPOINT_EVERY", "5s")
            .env("MAST_DATAFLOW_LAKE_EVERY", "3s")
            .stderr(said.unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// With SIGKILL.
    pub(crate) fn kill(&mut self) {
        crate::support::kill(&mut self.child.take().unwrap());
    }

    /// Asks it to end; its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        terminate(&child);
        child.wait().unwrap().code()
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) fn says(&self, text: &str) {
        self.says_one_of(&[text]);
    }

    /// Waits until it has said one of these.
    pub(crate) fn says_one_of(&self, texts: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while !texts.iter().any(|text| self.said().contains(text)) {
            assert!(
                Instant::now() < deadline,
                "not said: {texts:?}\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Changes what is true of a virtual fleet.
pub(crate) fn happens(socket: &str, event: &str) {
    let mut args = vec!["simulate", "ctl", "--socket", socket];
    args.extend(event.split(' '));
    let done = mast(&args).output().unwrap();
    assert!(done.status.success(), "{event}: {done:?}");
}

pub(crate) fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
}

/// What `mast verify` says of an installation whose log is a broker's: all laws are kept.
pub(crate) fn verified_over_kafka(data: &str, brokers: &str) -> Value {
    let verified = mast(&[
        "verify",
        "--data",
        data,
        "--log",
        "kafka",
        "--brokers",
        brokers,
    ])
    .env("MAST_LOG_TOPIC_PREFIX", PREFIX)
    .output()
    .unwrap();
    let report = last_json(&verified);
    assert!(verified.status.success(), "{report}");
    assert_eq!(report["breaches"], 0, "{report}");
    report
}
