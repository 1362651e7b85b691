//! A tower dies as people hear of it: one incident, whatever hangs on it, and nothing more once it is back.

use serde_json::Value;

use crate::support::{agrees, demo, finish, folder, query, verified};

/// Devices of the fleet, on two towers of two tenants.
const DEVICES: u64 = 60;
const FLEET: (u64, &str) = (DEVICES, "2s");

/// The tower of `north` loses its power, and gets it back.
const TROUBLE: &str = "\
at 20s power site=1 for=16s
";

fn rows(data: &std::path::Path, sql: &str) -> Vec<Value> {
    query(data, sql).as_array().unwrap().clone()
}

#[test]
fn a_tower_that_dies_is_one_incident_that_resolves() {
    let folder = folder();
    let data = folder.path().join("data");
    let scenario = folder.path().join("trouble.txt");
    std::fs::write(&scenario, TROUBLE).unwrap();
    let scenario = scenario.to_str().unwrap();
    let more = ["--towers", "2", "--scenario", scenario, "--for", "70s"];
    let report = finish(&mut demo(&data, FLEET, &more));
    agrees(&report, DEVICES, "after the tower came back");

    // Of all that fell silent, alerts opened; all of them resolved.
    let silent = rows(
        &data,
        "SELECT count(DISTINCT subject_id) AS n FROM alert_events WHERE kind = 'offline' AND change = 'opened'",
    );
    let silent = silent[0]["n"].as_u64().unwrap();
    assert!(silent > 20, "{silent} devices fell silent");
    let open = rows(
        &data,
        "SELECT subject, kind, status FROM alerts WHERE kind IN ('offline', 'site_down')",
    );
    assert!(open.is_empty(), "{open:?}");

    // People are told of one thing, and of its end.
    let told = rows(
        &data,
        "SELECT i.change, d.name AS root, i.kind, i.severity, i.devices
         FROM incident_events i LEFT JOIN devices d ON d.device_id = i.root_id
         WHERE i.severity = 'critical' ORDER BY i.at",
    );
    let words: Vec<(&str, &str)> = told
        .iter()
        .map(|row| {
            (
                row["change"].as_str().unwrap(),
                row["root"].as_str().unwrap_or("?"),
            )
        })
        .collect();
    assert_eq!(
        words,
        [
            ("opened", "tower-01-router"),
            ("resolved", "tower-01-router")
        ],
        "{told:?}"
    );
    verified(&data);
}
