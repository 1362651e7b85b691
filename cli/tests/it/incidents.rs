//! A tower dies as people hear of it: one incident and one message, whatever hangs on it, and nothing more once it is back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::part::{PATIENCE, Part, happens};
use crate::support::{folder, query, verified};
use crate::up::Up;

/// Devices of the fleet, on two towers.
const DEVICES: u64 = 400;
const INTERVAL: Duration = Duration::from_secs(4);

/// Somebody's webhook: takes what it is told, and keeps it.
struct Hook {
    address: String,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let told = Arc::<Mutex<Vec<Value>>>::default();
        let keeps = Arc::clone(&told);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let body = taken(stream.unwrap());
                keeps.lock().unwrap().push(body);
            }
        });
        Self { address, told }
    }

    /// What it was told: what happened, to what, and of which incident.
    fn told(&self) -> Vec<[String; 3]> {
        let told = self.told.lock().unwrap();
        let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let told = told
            .iter()
            .flat_map(|body| body["notifications"].as_array().unwrap());
        told.map(|told| [&told["kind"], &told["root"]["name"], &told["incident_id"]].map(word))
            .collect()
    }
}

/// The body of a request, which is answered.
fn taken(mut stream: TcpStream) -> Value {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    stream
        .write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        .unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn post(up: &Up, token: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(&up.api).unwrap();
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: mast\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
    serde_json::from_str(body).unwrap()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn now_us() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

#[test]
fn a_tower_of_200_that_dies_is_one_incident_and_one_message() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (socket, file, config) = (path("fleet.sock"), path("fleet.json"), path("mast.toml"));
    let (devices, interval) = (DEVICES.to_string(), format!("{}s", INTERVAL.as_secs()));
    let mut fleet = vec!["simulate", "--devices", &devices, "--towers", "2"];
    fleet.extend(["--interval", &interval, "--socket", &socket]);
    fleet.extend(["--inventory", &file, "--api-port", "0"]);
    fleet.extend(["--api-ssl-port", "0"]);
    let (_simulator, _) = Part::start(folder.path(), "simulator", &fleet);
    std::fs::write(&config, "[notify]\nallow_networks = ['127.0.0.0/8']\n").unwrap();
    let data = folder.path().join("data");
    let up = Up::start_with(&data, &["--config", &config]);
    up.does(&["import", &file]);

    // Each tenant's people are told of what is critical.
    let hook = Hook::start();
    let tenants = up.json(&["tenant", "list"]);
    for tenant in tenants.as_array().unwrap() {
        let tenant = tenant["name"].as_str().unwrap();
        let made = up.does(&[
            "token", "create", "--tenant", tenant, "--name", "noc", "--role", "admin",
        ]);
        let made: Value = serde_json::from_str(&made).unwrap();
        let token = made["token"].as_str().unwrap();
        let channel = post(
            &up,
            token,
            "/api/v1/notification-channels",
            &json!({ "name": "noc", "kind": "webhook",
                "webhook": { "url": format!("http://{}/", hook.address), "key": "0123456789abcdef" } }),
        );
        post(
            &up,
            token,
            "/api/v1/notification-routes",
            &json!({ "name": "critical", "least_severity": "critical", "channel_ids": [channel["id"]] }),
        );
    }
    let number = |sql: &str| query(&data, sql)[0]["n"].as_u64().unwrap();
    let online = "SELECT count(*) AS n FROM devices WHERE state = 'online'";
    until("all online", || number(online) == DEVICES);
    let live = "SELECT count(*) AS n FROM links WHERE state IN ('active', 'degraded')";
    let links = number(live);
    until("links that are there", || {
        std::thread::sleep(INTERVAL);
        number(live) >= links
    });
    assert!(hook.told().is_empty(), "all is well: {:?}", hook.told());

    // All of a tower is silent, as if its power were gone.
    let died_at = now_us();
    happens(&socket, "power site=1 for=1h");
    until("somebody is told", || !hook.told().is_empty());
    let silent = "SELECT count(*) AS n FROM devices WHERE state = 'offline'";
    until("all of it offline", || number(silent) >= DEVICES / 2);
    // Sites are looked at once a minute.
    let sites =
        "SELECT count(*) AS n FROM alerts WHERE kind = 'site_down' AND incident_id IS NOT NULL";
    until("the site hangs on it", || number(sites) > 0);
    std::thread::sleep(Duration::from_secs(10));
    let told = hook.told();
    assert_eq!(told.len(), 1, "{told:?}");
    let [what, root, incident] = &told[0];
    assert_eq!(what, "opened");
    let incidents = query(
        &data,
        "SELECT i.opened_at, i.alerts, i.devices, d.name, to_unixtime(i.opened_at) AS s FROM incidents i
         JOIN devices d ON d.device_id = i.root_id WHERE i.severity = 'critical'",
    );
    let incidents = incidents.as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0]["name"].as_str(), Some(root.as_str()));
    assert!(
        incidents[0]["devices"].as_u64() >= Some(DEVICES / 2),
        "{incidents:?}"
    );
    let after = incidents[0]["s"].as_i64().unwrap() - died_at / 1_000_000;
    let most = 2 * INTERVAL.as_secs().cast_signed() + 5;
    assert!(
        after <= most,
        "told after {after} s, which should be {most} at most"
    );
    // All others say what they hang on.
    let of_offline = query(
        &data,
        "SELECT a.status, a.suppressor, c.name AS cause, count(*) AS n FROM alerts a
         LEFT JOIN devices c ON c.device_id = a.cause_device_id WHERE a.kind = 'offline' GROUP BY 1, 2, 3 ORDER BY 1",
    );
    let rows = of_offline.as_array().unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(
        (&rows[0]["status"], &rows[0]["n"]),
        (&json!("open"), &json!(1))
    );
    assert_eq!(rows[1]["suppressor"], "dependency");
    assert_eq!(rows[1]["cause"].as_str(), Some(root.as_str()));
    verified(&data);

    // It comes back: one word more, and nothing is left.
    happens(&socket, "heal");
    until("all online", || number(online) == DEVICES);
    let open = "SELECT count(*) AS n FROM alerts WHERE kind IN ('offline', 'site_down')";
    until("no alert", || number(open) == 0);
    until("its end is told", || hook.told().len() > 1);
    std::thread::sleep(Duration::from_secs(5));
    // What was last of it is the site, which is looked at once a minute.
    let ends = hook.told();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert_eq!([&ends[1][0], &ends[1][2]], ["resolved", incident]);
    verified(&data);
    up.end();
}
