//! What an open session costs: 15,000 of them must fit in one process beside everything else.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command as Process, Stdio},
};

use mast_simulator::{Fleet, FleetConfig, inventory::inventory, world::layout::lay_out};
use routeros_api::{Command, TlsMode};

use crate::live::{PATIENCE, open};

const SEED: u64 = 7;
const DEVICES: usize = 300;
/// Bytes of a device's session, with what the fleet keeps of it.
const MOST_BYTES: u64 = 40 << 10;

/// The other process of the test below: this same program, told to be a fleet.
#[tokio::test]
#[ignore = "started by another test, as a process of its own"]
async fn a_fleet_until_its_input_ends() {
    let config = FleetConfig {
        devices: DEVICES,
        seed: SEED,
        ..FleetConfig::default()
    };
    let fleet = Fleet::start(config).await.unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nports {} {}", fleet.api_port(), fleet.api_ssl_port()).unwrap();
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    ended.await.unwrap().unwrap();
    fleet.stop().await;
}

/// Ends the process, whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().unwrap();
        }
    }
}

impl Running {
    fn start() -> (Self, u16, u16) {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("cost::a_fleet_until_its_input_ends")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ports = lines.find_map(|line| {
            let line = line.unwrap();
            let (api, api_ssl) = line.strip_prefix("ports ")?.split_once(' ')?;
            Some((api.parse().unwrap(), api_ssl.parse().unwrap()))
        });
        let (api, api_ssl) = ports.unwrap();
        (Self(child), api, api_ssl)
    }

    /// Bytes of memory that no file is behind.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() << 10
    }
}

#[tokio::test]
async fn a_session_is_small_also_after_polls() {
    let (fleet, api, api_ssl) = Running::start();
    let plan = lay_out(SEED, DEVICES, 0);
    let devices = inventory(&plan, api, api_ssl, None).tenants.into_iter();
    let modern: Vec<_> = devices
        .flat_map(|tenant| tenant.devices)
        .filter(|device| {
            let planned = plan.devices.iter().find(|d| d.name == device.name);
            planned.is_some_and(|d| d.tls.name() == "modern")
        })
        .collect();
    let polls = [
        Command::new("/system/resource/print"),
        Command::new("/interface/print"),
        Command::new("/interface/wireless/registration-table/print"),
        Command::new("/log/print"),
    ];
    let (mut sessions, mut first) = (Vec::new(), 0);
    for (n, device) in modern.iter().enumerate() {
        let mut client = open(device, &TlsMode::Insecure, PATIENCE).await.unwrap();
        for answer in client.call_many(&polls, PATIENCE).await {
            // Not every device has every table.
            assert!(client.is_open(), "{answer:?}");
        }
        sessions.push(client);
        if n == 20 {
            // What is made once is there by now.
            first = fleet.memory();
        }
    }
    let counted = sessions.len() as u64 - 21;
    assert!(counted > 200);
    let each = fleet.memory().saturating_sub(first) / counted;
    assert!(each > 1 << 10, "{each} bytes: that cannot be");
    assert!(each <= MOST_BYTES, "{each} bytes a session");
}
