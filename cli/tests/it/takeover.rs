//! Two ingest nodes, each a process with a data folder of its own, over a real Kafka broker: what happens when one is killed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mast_log::dev_broker::DevBroker;
use mast_postgres::{Role, attach, lease};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::health::ask;
use crate::part::{PATIENCE, Part, happens, verified_over_kafka};
use crate::support::{folder, mast};

const DEVICES: u64 = 24;
const PARTITIONS: usize = 4;

/// Broker, fleet, dataflow and its PostgreSQL, the inventory imported; nodes come later.
struct Cluster {
    folder: PathBuf,
    broker: DevBroker,
    simulator: Part,
    dataflow: Part,
}

impl Cluster {
    fn start(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(folder.join("broker")).unwrap();
        let broker = DevBroker::start(&folder.join("broker"));
        let (devices, inventory) = (DEVICES.to_string(), path("fleet.json"));
        let socket = path("fleet.sock");
        let mut fleet = vec!["simulate", "--devices", &devices, "--interval", "1s"];
        fleet.extend(["--socket", &socket, "--inventory", &inventory]);
        fleet.extend(["--api-port", "0", "--api-ssl-port", "0"]);
        let (simulator, _) = Part::start(folder, "simulator", &fleet);
        let (data, address) = (path("data"), broker.address());
        let mut dataflow = vec!["dataflow", "--data", &data];
        dataflow.extend(["--log", "kafka", "--brokers", &address]);
        let (dataflow, _) = Part::start(folder, "dataflow", &dataflow);
        let imported = mast(&["import", &inventory, "--data", &data]).output();
        let imported = imported.unwrap();
        assert!(imported.status.success(), "{imported:?}");
        Self {
            folder: folder.to_owned(),
            broker,
            simulator,
            dataflow,
        }
    }

    fn data(&self) -> String {
        self.path("data").to_str().unwrap().to_owned()
    }

    fn socket(&self) -> String {
        self.path("fleet.sock").to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts a node, with the key of the installation.
    fn node(&self, name: &str) -> Part {
        let pid_file = self.path("data/postgres/cluster/postmaster.pid");
        let pid_file = std::fs::read_to_string(pid_file).unwrap();
        let socket = pid_file.lines().nth(4).unwrap();
        let own = self.path(name);
        std::fs::create_dir_all(&own).unwrap();
        std::fs::copy(self.path("data/key"), own.join("key")).unwrap();
        let config = self.path(&format!("{name}.toml"));
        let text = format!(
            "data = {own:?}\n[log]\nkind = 'kafka'\nbrokers = {:?}\n[postgres]\nurl = 'postgres:///mast?host={socket}'\n",
            self.broker.address(),
        );
        std::fs::write(&config, text).unwrap();
        let args = ["ingest", "--config", config.to_str().unwrap()];
        Part::start(&self.folder, name, &args).0
    }

    /// Waits until each partition is held, by these nodes and no other.
    fn held_by(&self, nodes: &[&str]) {
        let wanted: BTreeSet<Uuid> = nodes.iter().map(|node| self.holder(node)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = self.path("data/postgres");
            let options = attach(&folder, Role::Ingest).await.unwrap();
            let mut postgres = PgConnection::connect_with(&options).await.unwrap();
            let deadline = Instant::now() + PATIENCE;
            loop {
                let held = lease::holders(&mut postgres, "ingest/telemetry/").await;
                let held = held.unwrap();
                let holders: BTreeSet<Uuid> = held.iter().map(|(_, holder)| *holder).collect();
                if held.len() == PARTITIONS && holders == wanted {
                    postgres.close().await.unwrap();
                    return;
                }
                assert!(Instant::now() < deadline, "{nodes:?}, {wanted:?}: {held:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }

    /// Who a node is to the leases.
    fn holder(&self, node: &str) -> Uuid {
        let file = self.path(node).join("holder");
        std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    fn query(&self, sql: &str) -> Value {
        let data = self.data();
        let done = mast(&["query", sql, "--data", &data, "--format", "json"]).output();
        let done = done.unwrap();
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{told}");
        serde_json::from_slice(&done.stdout).unwrap()
    }

    fn number(&self, sql: &str) -> u64 {
        let rows = self.query(sql);
        let first = rows[0].as_object().unwrap().values().next().unwrap();
        first.as_u64().unwrap_or_else(|| panic!("{sql}: {rows}"))
    }

    /// Waits until each device was polled twice from now on, as history says. What is in the log now is history then, too.
    fn all_polled(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let sql = format!(
            "SELECT count(*) AS n FROM (SELECT device_id FROM polls WHERE outcome = 'ok' AND NOT late \
             AND observed_at > to_timestamp_millis({}) GROUP BY device_id HAVING count(*) >= 2)",
            now.as_millis()
        );
        self.until("polls of each device", || self.number(&sql) == DEVICES);
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            let said = |name: &str| std::fs::read_to_string(self.path(name)).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "{what}\none: {}\ntwo: {}\ndataflow: {}",
                said("one.log"),
                said("two.log"),
                self.dataflow.said()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Nothing is twice in history as readers see it, and no law is broken. While the newest slot is a checkpoint's there is
    /// no poll to check them by.
    fn is_right(&self) {
        let twice = "SELECT device_id, lease_epoch, sequence FROM polls GROUP BY 1, 2, 3 HAVING count(*) > 1";
        assert_eq!(self.query(twice), Value::Array(Vec::new()));
        self.until("polls since a checkpoint", || {
            let report = verified_over_kafka(&self.data(), &self.broker.address());
            report["polls"].as_u64() > Some(0)
        });
    }

    fn end(mut self, nodes: &mut [Part]) {
        for node in nodes {
            assert_eq!(node.end(), Some(0), "{}", node.said());
        }
        assert_eq!(self.dataflow.end(), Some(0));
        assert_eq!(self.simulator.end(), Some(0));
    }
}

#[test]
fn a_node_takes_over_what_a_killed_one_held() {
    let folder = folder();
    let all = Cluster::start(folder.path());
    let mut one = all.node("one");
    let two = all.node("two");
    all.held_by(&["one", "two"]);
    all.all_polled();

    one.kill();
    all.held_by(&["two"]);
    all.all_polled();
    all.is_right();

    // It comes back and gets its part.
    one.again();
    all.held_by(&["one", "two"]);
    all.all_polled();
    all.is_right();
    all.end(&mut [one, two]);
}

/// What a killed node had in its spool comes when another has polled on: it is history, once, and changes no view.
#[test]
fn what_comes_late_is_history_and_changes_nothing() {
    let folder = folder();
    let mut all = Cluster::start(folder.path());
    let mut one = all.node("one");
    all.held_by(&["one"]);
    all.all_polled();

    // Only what waits in the spool knows that an access point was gone.
    all.broker.kill();
    happens(&all.socket(), "ap_dead ap=1 for=1h");
    all.until("timeouts on disk", || {
        let (status, metrics) = ask(&all.path("one").join("ingest.address"), "/metrics");
        assert_eq!(status, 200);
        let value = |name: &str| {
            let line = metrics.lines().find(|line| line.starts_with(name));
            line.map_or(0.0, |line| {
                line.rsplit(' ').next().unwrap().parse().unwrap()
            })
        };
        // The first of so many have been there for longer than memory keeps them.
        value("mast_ingest_spool_bytes") > 0.0
            && value("mast_ingest_polls_total{outcome=\"timeout\"}") >= 40.0
    });
    one.kill();
    let (spool, copy) = (all.path("one/spool"), all.path("copy"));
    copied(&spool, &copy);
    happens(&all.socket(), "heal");
    all.broker.again();
    let two = all.node("two");
    all.held_by(&["two"]);
    all.all_polled();

    one.again();
    all.until("an empty spool", || segments(&spool) == 0);
    all.all_polled();
    let (count, stored_once) = (late(&all), stored(&all));
    assert!(count > 0 && count == stored_once, "{count} {stored_once}");
    // The same again, as from a copy that somebody put back.
    assert_eq!(one.end(), Some(0));
    copied(&copy, &spool);
    one.again();
    all.until("an empty spool", || segments(&spool) == 0);
    all.all_polled();
    assert_eq!(stored(&all), 2 * count);
    assert_eq!(late(&all), count, "readers keep one of each");

    let gone = all.number(
        "SELECT count(*) AS n FROM polls p JOIN devices d ON d.device_id = p.device_id \
         WHERE p.late AND p.outcome = 'timeout' AND d.role = 'ap'",
    );
    assert!(gone >= 2, "what came late says that it was gone: {gone}");
    let offline = all.number(
        "SELECT count(*) AS n FROM device_events e JOIN devices d ON d.device_id = e.device_id \
         WHERE e.to_state = 'offline' AND d.role = 'ap'",
    );
    assert_eq!(offline, 0, "and no view ever said so");
    let online = "SELECT count(*) AS n FROM devices WHERE state = 'online'";
    all.until("all online", || all.number(online) == DEVICES);
    all.is_right();
    all.end(&mut [one, two]);
}

/// Late polls as readers see them.
fn late(all: &Cluster) -> u64 {
    all.number("SELECT count(*) AS n FROM polls WHERE late")
}

/// Late polls that were written until now, however often each. Readers see what waits to be written as well: so it waits
/// until the lake has committed all slots until now.
fn stored(all: &Cluster) -> u64 {
    const SLOT: u128 = 250;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let slot = i64::try_from(now.as_millis() / SLOT).unwrap();
    all.until("a lake that holds what was polled", || {
        let sql = "SELECT coalesce(max(epoch_to), 0) FROM lake_manifest WHERE table_name = 'polls'";
        of_manifest(all, sql) >= slot
    });
    let sql = "SELECT coalesce(sum((file ->> 'late_rows')::bigint), 0)::bigint \
               FROM lake_manifest, jsonb_array_elements(files) AS file WHERE table_name = 'polls'";
    of_manifest(all, sql).unsigned_abs()
}

fn of_manifest(all: &Cluster, sql: &'static str) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = attach(&all.path("data/postgres"), Role::Dataflow).await;
        let mut postgres = PgConnection::connect_with(&options.unwrap()).await.unwrap();
        let found: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut postgres)
            .await
            .unwrap();
        postgres.close().await.unwrap();
        found
    })
}

/// Files of the spool that hold polls.
fn segments(spool: &Path) -> usize {
    let files = std::fs::read_dir(spool).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    names.filter(|name| name != "lock").count()
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
