//! Recorded replies of real routers: each menu that is read while polling is typed whole, and nothing
//! of a reply is lost.

use mast_ingest::decode_records;
use serde_json::Value;
use std::path::Path;

fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Rows and problems of a recording.
pub(crate) fn decoded(recording: &[u8]) -> (Vec<Value>, String, mast_ingest::DecodeSummary) {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let summary = decode_records(recording, &mut rows, &mut problems).unwrap();
    let text = String::from_utf8(rows).unwrap();
    let rows = text.lines().map(|line| {
        assert!(line.starts_with("{\"kind\":\""), "{line}");
        serde_json::from_str(line).unwrap()
    });
    (
        rows.collect(),
        String::from_utf8(problems).unwrap(),
        summary,
    )
}

/// All recordings of a folder of the corpus, by name.
fn recordings() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let read = |name: String| {
        let text = recorded(&name);
        (name, text)
    };
    names.into_iter().map(read).collect()
}

#[test]
fn every_recorded_reply_of_every_menu_is_typed() {
    let (mut lines, mut menu_rows) = (0, 0);
    for (name, text) in recordings() {
        let (rows, problems, summary) = decoded(text.as_bytes());
        assert_eq!(problems, "", "{name}");
        assert!(summary.is_clean(), "{name}");
        lines += summary.lines;
        for row in rows.iter().filter(|row| row["kind"] == "menu_row") {
            menu_rows += 1;
            assert_eq!(row.get("extra"), None, "{name}: {row}");
        }
    }
    assert!(
        lines >= 391 && menu_rows > 100,
        "{lines} lines, {menu_rows} rows"
    );
}

/// What menus without a record become: units in the names, lists as arrays, words where a number is not meant.
#[test]
fn the_hard_ones_of_the_other_menus() {
    let first = |name: &str, line: usize| {
        let text = recorded(&format!("{name}.jsonl"));
        let line = text.lines().nth(line).unwrap().to_owned();
        decoded(line.as_bytes()).0.remove(0)
    };
    let has = |row: &Value, expected: Value| {
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&row[field], value, "{field} of {row}");
        }
    };
    has(
        &first("queue-simple", 0),
        serde_json::json!({
            "kind": "menu_row", "menu": "/queue/simple", "row_id": "*1", "upload_bytes": 0, "download_bytes": 0,
            "max_limit_bps": [0, 0], "burst_time_s": [0, 0], "priority": [8, 8], "total_bytes": 0,
        }),
    );
    let lte = first("interface-lte-monitor", 0);
    has(
        &lte,
        serde_json::json!({"rsrp_dbm": -97, "rsrq_db": -9, "sinr_db": 6, "session_uptime_s": 954}),
    );
    let traffic = first("interface-monitor-traffic", 0);
    assert!(
        traffic["rx_bits_per_second_bps"].is_u64() || traffic["rx_bits_per_second"].is_u64(),
        "{traffic}"
    );
    let user = first("user", 0);
    assert!(
        user["last_logged_in"].as_str().unwrap().contains('T'),
        "{user}"
    );
    let security = first("interface-wifi-security", 0);
    assert!(
        security.get("passphrase").is_none() && security.get("eap_password").is_none(),
        "{security}"
    );
}

const POLLED: [&str; 29] = [
    "interface-wireless-registration-table",
    "interface-wifi-registration-table",
    "interface-wifiwave2-registration-table",
    "caps-man-registration-table",
    "interface",
    "interface-wireless",
    "interface-wireless-monitor",
    "interface-wifi",
    "interface-wifi-radio",
    "interface-wifi-monitor",
    "interface-w60g",
    "interface-w60g-monitor",
    "interface-w60g-station",
    "caps-man-interface",
    "system-resource",
    "system-routerboard",
    "system-identity",
    "system-health",
    "system-package",
    "system-package-update",
    "system-package-update-check-for-updates",
    "ip-arp",
    "ip-dhcp-server-lease",
    "ip-neighbor",
    "ip-route",
    "log",
    "traps",
    "done-ret",
    "interface-wifi-registration-table",
];

#[test]
fn every_polled_menu_is_typed_without_a_problem() {
    for name in POLLED {
        let text = recorded(&format!("{name}.jsonl"));
        let (rows, problems, summary) = decoded(text.as_bytes());
        assert_eq!(problems, "", "{name}");
        assert!(summary.is_clean(), "{name}");
        let lines = text.lines().count();
        let most = lines + usize::from(name == "interface-w60g-monitor");
        assert!(
            (lines..=most).contains(&rows.len()),
            "{name}: {} rows",
            rows.len()
        );
    }
}

/// Names of attributes whose value is found in a field under another form.
fn is_typed_elsewhere(name: &str) -> bool {
    const RETYPED: [&str; 47] = [
        "DHCP",
        "complete",
        "invalid",
        "blocked",
        "last-seen",
        "age",
        "active-mac-address",
        "mac-address",
        "remote-address",
        "radio-mac",
        "rx-rate",
        "tx-rate",
        "tx-phy-rate",
        "packets",
        "bytes",
        "uptime",
        "last-activity",
        "signal-strength",
        "signal",
        "rx-signal",
        "last-ip",
        "channel",
        "current-channel",
        "expires-after",
        "rate",
        "noise-floor",
        "rssi",
        "value",
        "type",
        "name",
        "overall-tx-ccq",
        "password",
        "nv2-preshared-key",
        "nv2-sync-secret",
        "active",
        "running",
        "disabled",
        "ap",
        "authorized",
        "802.1x-port-enabled",
        "dynamic",
        "available",
        "tx-power",
        "connected",
        "published",
        "static",
        ".id",
    ];
    RETYPED.contains(&name)
}

#[test]
fn no_value_of_a_reply_is_lost() {
    for name in POLLED {
        if name == "interface-w60g-monitor" {
            continue; // Two rows from one line; see `a_60_ghz_monitor_is_a_radio_and_a_registration`.
        }
        let text = recorded(&format!("{name}.jsonl"));
        let (rows, _, _) = decoded(text.as_bytes());
        for (line, row) in text.lines().zip(rows) {
            let record: Value = serde_json::from_str(line).unwrap();
            let row = row.to_string();
            for (attribute, value) in record["reply"].as_object().unwrap() {
                let value = value.as_str().unwrap();
                let shown = serde_json::to_string(value).unwrap();
                let inside = shown.trim_matches('"');
                assert!(
                    row.contains(inside) || is_typed_elsewhere(attribute),
                    "{name}: {attribute}={value} is not in {row}"
                );
            }
        }
    }
}

#[test]
fn an_old_wireless_row_has_every_known_field() {
    let text = recorded("interface-wireless-registration-table.jsonl");
    let row = &decoded(text.lines().next().unwrap().as_bytes()).0[0];
    let expected = serde_json::json!({
        "kind": "registration", "source": "wireless", "interface": "wlan2", "remote": false,
        "mac": "00:0C:42:1A:AD:5E", "far_end": "ap", "radio_name": "000C421AAD5E",
        "signal_dbm": -74, "tx_signal_dbm": -76, "snr_db": 42, "tx_ccq_percent": 51,
        "rx_ccq_percent": 77, "tx_rate_bps": 52_000_000, "rx_rate_bps": 58_500_000,
        "p_throughput": 36877, "tx_bytes": 1_090_924_066, "rx_bytes": 2_872_515_632_u64,
        "tx_packets": 6_962_070, "rx_packets": 10_208_268, "uptime_s": 1_776_113,
        "last_activity_ms": 60, "last_ip": "203.0.113.53", "auth_type": "wpa2-psk",
        "encryption": "aes-ccm", "authorized": true, "routeros_version": "4.2",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&row[field], value, "{field}");
    }
    assert_eq!(row["extra"]["frames"], "6662813,9698341");
}

#[test]
fn a_60_ghz_monitor_is_a_radio_and_a_registration() {
    let (rows, _, _) = decoded(recorded("interface-w60g-monitor.jsonl").as_bytes());
    let [link, radio] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (&link["kind"], &radio["kind"]),
        (&"registration".into(), &"radio".into())
    );
    assert_eq!(link["mac"], "04:D6:AA:AA:AA:AB");
    assert_eq!(
        link["signal_dbm"], -62,
        "rssi is the signal, `signal` a quality"
    );
    assert_eq!(link["tx_rate_bps"], 1_540_000_000u64);
    assert_eq!(link["extra"]["distance"], "220.88m");
    assert_eq!(link["extra"]["signal"], "70");
    assert_eq!(radio["frequency_mhz"], 58_320);
}

#[test]
fn what_has_no_form_is_named_and_the_rest_goes_on() {
    let mut recording =
        r#"{"menu":"/coffee/machine","reply":{"name":"m1","uptime":"2h","beans":"7"}}"#.to_owned();
    recording += "\n\nthis is no JSON\n{\"menu\":\"/interface\"}\n";
    recording += r#"{"menu":"/interface/wireless/registration-table","reply":{"mac-address":"00:11:22:33:44:55","tx-ccq":"many","interface":"w"}}"#;
    let (rows, problems, summary) = decoded(recording.as_bytes());
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[0],
        serde_json::json!({
            "kind": "menu_row", "menu": "/coffee/machine", "name": "m1", "uptime_s": 7_200, "extra": {"beans": "7"},
        })
    );
    assert_eq!(rows[1]["mac"], "00:11:22:33:44:55");
    assert_eq!(rows[1].get("tx_ccq_percent"), None);
    let named: Vec<&str> = problems.lines().collect();
    for (problem, begin) in named.iter().zip([
        "line 1: /coffee/machine: no such menu",
        "line 1: /coffee/machine: beans=\"7\": no form is known",
        "line 3: not JSON",
        "line 4: not a recorded reply",
        "line 5: /interface/wireless/registration-table: tx-ccq=\"many\": ",
    ]) {
        assert!(problem.starts_with(begin), "{problem}");
    }
    assert_eq!(named.len(), 5);
    assert!(!summary.is_clean());
    assert_eq!(
        (
            summary.untyped_menus,
            summary.bad_lines,
            summary.untyped_values
        ),
        (1, 2, 2)
    );
}

#[test]
fn traps_and_returned_values_are_rows_of_their_own() {
    let (traps, _, _) = decoded(recorded("traps.jsonl").as_bytes());
    assert!(
        traps
            .iter()
            .any(|row| row["kind"] == "trap" && row["category"] == "2")
    );
    assert!(traps.iter().any(|row| row["kind"] == "empty"));
    assert!(traps.iter().any(|row| row["kind"] == "fatal"));
    let (done, _, _) = decoded(recorded("done-ret.jsonl").as_bytes());
    assert!(
        done.iter()
            .all(|row| row["kind"] == "done" && row["ret"].is_string())
    );
}
