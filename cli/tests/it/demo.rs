//! The whole system as a user runs it: `mast demo` as a child process, through trouble and SIGKILL.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{agrees, demo, finish, folder, kill, mast, query, verified};

/// Devices of the fleet.
const DEVICES: u64 = 60;
const FLEET: (u64, &str) = (DEVICES, "2s");

/// Trouble of every kind, all of it over before the comparison.
const TROUBLE: &str = "\
at 14s rain site=1 db=32 for=10s
at 15s ap_dead ap=2 for=12s
at 16s clients_lost ap=3 for=12s
at 18s reboot device=5 for=5s
at 20s roam cpe=4 to=1
at 22s wrong_password device=9 for=8s
";

/// So that a short run reads these tables of each device.
const OFTEN: [(&str, &str); 2] = [
    ("MAST_INGEST_ARP_EVERY", "4s"),
    ("MAST_INGEST_DHCP_LEASES_EVERY", "4s"),
];

#[test]
fn views_equal_the_truth_through_trouble_and_a_kill() {
    let folder = folder();
    let data = folder.path().join("data");
    let scenario = folder.path().join("trouble.txt");
    std::fs::write(&scenario, TROUBLE).unwrap();
    let scenario = scenario.to_str().unwrap();

    let mut child = demo(&data, FLEET, &["--scenario", scenario])
        .envs(OFTEN)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A random moment amid the trouble.
    let jitter = u64::from(std::process::id()) % 8_000;
    std::thread::sleep(Duration::from_millis(14_000 + jitter));
    kill(&mut child);

    let mut again = demo(&data, FLEET, &["--scenario", scenario, "--for", "50s"]);
    let report = finish(again.envs(OFTEN));
    agrees(
        &report,
        DEVICES,
        &format!("killed after {} ms", 14_000 + jitter),
    );
    verified(&data);

    // What a tenant sees by SQL is its own, and it is there.
    let sql = "SELECT state, count(*) AS n FROM devices GROUP BY state";
    let folder = data.to_str().unwrap();
    let output = mast(&[
        "query", sql, "--data", folder, "--tenant", "north", "--format", "json",
    ])
    .output()
    .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["state"], "online", "{rows}");
    assert!(
        rows[0]["n"].as_u64().unwrap() < 60,
        "one tenant of two: {rows}"
    );
    // Routers tell the addresses of their clients; the simulator's managed clients tell their identity as their name.
    let sql = "SELECT count(c.address) > 0 AS some, count(c.host_name) > 0 AS named,
                      count(*) FILTER (WHERE c.host_name <> d.identity) AS wrong
               FROM clients c JOIN devices d ON d.device_id = c.cpe_device_id";
    for row in query(&data, sql).as_array().unwrap() {
        let found = (&row["some"], &row["named"], &row["wrong"]);
        assert_eq!(found, (&true.into(), &true.into(), &0.into()), "{row}");
    }
    let rows = query(&data, "SELECT count(*) AS n FROM registration_samples");
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .any(|r| r["n"].as_u64() > Some(0)),
        "{rows}"
    );
}
