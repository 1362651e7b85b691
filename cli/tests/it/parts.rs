//! The parts as processes of their own, over a real Kafka broker: the views are what is true of the virtual fleet, also
//! after the broker and each process were killed, and no law is broken.

use std::path::Path;
use std::time::Instant;

use mast_log::dev_broker::DevBroker;
use serde_json::Value;

use crate::part::{PATIENCE, Part, happens, terminate, verified_over_kafka};
use crate::support::{folder, last_json, mast};

const DEVICES: u64 = 24;

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
        let (mut simulator, up) = Part::start(folder, "simulator", &any);
        // Started again it listens where it did.
        let (plain, tls) = (up["api_port"].to_string(), up["api_ssl_port"].to_string());
        let same = [&fleet[..], &["--api-port", &plain, "--api-ssl-port", &tls]].concat();
        simulator.args = same.iter().map(ToString::to_string).collect();

        let address = broker.address();
        let kafka = ["--data", &data, "--log", "kafka", "--brokers", &address];
        let (dataflow, _) = Part::start(folder, "dataflow", &[&["dataflow"][..], &kafka].concat());
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
        let (ingest, _) = Part::start(folder, "ingest", &["ingest", "--config", config]);
        Self {
            broker,
            simulator,
            dataflow,
            ingest,
            socket,
            data,
        }
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
    happens(&all.socket, "ap_dead ap=1 for=1h");
    // Whatever it was about to do.
    all.dataflow.says_one_of(&[
        "bindings cannot be appended; trying again",
        "the log cannot be read; trying again",
    ]);
    all.broker.again();
    all.agrees(false, "the broker was killed");

    all.ingest.kill();
    happens(&all.socket, "heal");
    all.ingest.again();
    all.agrees(true, "ingest was killed");

    all.dataflow.kill();
    happens(&all.socket, "ap_dead ap=2 for=1h");
    all.dataflow.again();
    all.agrees(false, "the dataflow was killed");

    all.simulator.kill();
    all.simulator.again();
    happens(&all.socket, "heal");
    all.agrees(true, "the fleet was killed");

    let address = all.broker.address();
    let report = verified_over_kafka(&all.data, &address);
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
        let args = [&[part][..], &kafka].concat();
        let part = Part::new(folder.path(), part, &args);
        let mut child = part.spawn();
        for reason in reasons {
            part.says(reason);
        }
        terminate(&child);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{}", part.said());
    }
}
