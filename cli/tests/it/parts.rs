//! The parts as processes of their own, over a real Kafka broker: the views are what is true of the virtual fleet, also
//! after the broker and each process were killed, and no law is broken.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mast_log::dev_broker::DevBroker;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{folder, last_json, mast};

const DEVICES: u64 = 24;
/// The cluster is shared with others.
const PREFIX: &str = "north.";
/// For a step that the machine's speed decides.
const PATIENCE: Duration = Duration::from_secs(180);

/// A process of ours, with what it says in a file.
struct Part {
    args: Vec<String>,
    said: PathBuf,
    child: Option<Child>,
}

impl Part {
    /// Starts it and waits for the line that tells that it is up.
    fn start(folder: &Path, args: &[&str]) -> (Self, Value) {
        let mut part = Self {
            args: args.iter().map(ToString::to_string).collect(),
            said: folder.join(format!("{}.log", args[0])),
            child: None,
        };
        let up = part.again();
        (part, up)
    }

    fn again(&mut self) -> Value {
        let mut child = self.spawn();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        self.child = Some(child);
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}\n{}", self.said()))
    }

    fn spawn(&self) -> Child {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let said = File::options().create(true).append(true).open(&self.said);
        let mut command = mast(&args);
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

    fn kill(&mut self) {
        crate::support::kill(&mut self.child.take().unwrap());
    }

    /// Asks it to end; its exit code.
    fn end(mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        terminate(&child);
        child.wait().unwrap().code()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said this.
    fn says(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said().contains(text) {
            assert!(
                Instant::now() < deadline,
                "not said: {text}\n{}",
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

fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
}

/// The whole, as somebody runs it in four terminals.
struct Installation {
    broker: DevBroker,
    simulator: Part,
    dataflow: Part,
    ingest: Part,
    socket: String,
    data: String,
}

impl Installation {
    fn start(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(folder.join("broker")).unwrap();
        let broker = DevBroker::start(&folder.join("broker"));
        let (socket, data, inventory) = (path("fleet.sock"), path("data"), path("fleet.json"));
        let devices = DEVICES.to_string();
        let journal = path("journal");
        let mut fleet = vec!["simulate", "--devices", &devices, "--interval", "1s"];
        fleet.extend(["--socket", &socket, "--journal", &journal]);
        fleet.extend(["--inventory", &inventory]);
        let any = [&fleet[..], &["--api-port", "0", "--api-ssl-port", "0"]].concat();
        let (mut simulator, up) = Part::start(folder, &any);
        // Started again it listens where it did.
        let (plain, tls) = (up["api_port"].to_string(), up["api_ssl_port"].to_string());
        let same = [&fleet[..], &["--api-port", &plain, "--api-ssl-port", &tls]].concat();
        simulator.args = same.iter().map(ToString::to_string).collect();

        let address = broker.address();
        let kafka = ["--data", &data, "--log", "kafka", "--brokers", &address];
        let (dataflow, _) = Part::start(folder, &[&["dataflow"][..], &kafka].concat());
        let imported = mast(&["import", &inventory, "--data", &data])
            .output()
            .unwrap();
        assert!(imported.status.success(), "{imported:?}");
        // The pollers come over TLS, with an account whose password is in a file.
        let config = folder.join("ingest.toml");
        let text = format!(
            "data = {data:?}\n[log]\nkind = 'kafka'\nbrokers = {:?}\ntls = true\nca = {:?}\nuser = 'mast'\npassword_file = {:?}\n",
            broker.tls().brokers,
            folder.join("broker/ca.pem"),
            folder.join("broker/password"),
        );
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        let (ingest, _) = Part::start(folder, &["ingest", "--config", config]);
        Self {
            broker,
            simulator,
            dataflow,
            ingest,
            socket,
            data,
        }
    }

    /// Changes what is true.
    fn happens(&self, event: &str) {
        let mut args = vec!["simulate", "ctl", "--socket", &self.socket];
        args.extend(event.split(' '));
        let done = mast(&args).output().unwrap();
        assert!(done.status.success(), "{event}: {done:?}");
    }

    /// Waits until every view is what is true: that all devices are online, or that an access point has no power.
    fn agrees(&self, all_online: bool, why: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (socket, data) = (&self.socket, &self.data);
            let mut args = vec!["simulate", "compare", "--socket", socket];
            args.extend(["--data", data, "--interval", "1s"]);
            let compared = mast(&args).output().unwrap();
            let told = if compared.stdout.is_empty() {
                Value::Null
            } else {
                last_json(&compared)
            };
            if compared.status.success()
                && (told["online"] == DEVICES) == all_online
                && told["devices"] == DEVICES
                && told["links_live"].as_u64() > Some(0)
            {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{why}: {told}\n{}\ndataflow: {}\ningest: {}",
                String::from_utf8_lossy(&compared.stderr),
                self.dataflow.said(),
                self.ingest.said()
            );
        }
    }
}

#[test]
fn views_equal_the_truth_over_kafka_through_kills_of_the_broker_and_of_each_process() {
    let folder = folder();
    let mut all = Installation::start(folder.path());
    all.agrees(true, "at the start");

    // Each time something happens while a part is away, so that what was served before is wrong afterwards.
    all.broker.kill();
    all.happens("ap_dead ap=1 for=1h");
    all.dataflow
        .says("bindings cannot be appended; trying again");
    all.broker.again();
    all.agrees(false, "the broker was killed");

    all.ingest.kill();
    all.happens("heal");
    all.ingest.again();
    all.agrees(true, "ingest was killed");

    all.dataflow.kill();
    all.happens("ap_dead ap=2 for=1h");
    all.dataflow.again();
    all.agrees(false, "the dataflow was killed");

    all.simulator.kill();
    all.simulator.again();
    all.happens("heal");
    all.agrees(true, "the fleet was killed");

    let address = all.broker.address();
    let verified = mast(&[
        "verify",
        "--data",
        &all.data,
        "--log",
        "kafka",
        "--brokers",
        &address,
    ]);
    let verified = { verified }
        .env("MAST_LOG_TOPIC_PREFIX", PREFIX)
        .output()
        .unwrap();
    let report = last_json(&verified);
    assert!(verified.status.success(), "{report}");
    assert_eq!(report["breaches"], 0, "{report}");
    assert!(report["polls"].as_u64() > Some(0), "{report}");

    assert_eq!(all.ingest.end(), Some(0));
    assert_eq!(all.dataflow.end(), Some(0));
    assert_eq!(all.simulator.end(), Some(0));
}

#[test]
fn a_part_on_its_own_waits_and_says_what_for() {
    let folder = folder();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let kafka = ["--data", data, "--log", "kafka", "--brokers", "127.0.0.1:1"];
    for (part, reasons) in [
        (
            "ingest",
            &["no Postgres runs in", "mast dataflow --data"][..],
        ),
        ("dataflow", &["the log has to wait", "127.0.0.1:1"]),
    ] {
        let part = Part {
            args: [&[part][..], &kafka]
                .concat()
                .iter()
                .map(ToString::to_string)
                .collect(),
            said: folder.path().join(part),
            child: None,
        };
        let mut child = part.spawn();
        for reason in reasons {
            part.says(reason);
        }
        terminate(&child);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{}", part.said());
    }
}
