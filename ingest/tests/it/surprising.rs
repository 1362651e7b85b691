//! Values that have surprised programs before, one test each.

use super::corpus::decoded;
use serde_json::{Value, json};

/// The one row of a reply; it must be typed without a problem.
fn row(menu: &str, reply: Value) -> Value {
    let line = json!({"menu": menu, "reply": reply}).to_string();
    let (mut rows, problems, _) = decoded(line.as_bytes());
    assert_eq!(problems, "", "{line}");
    assert_eq!(rows.len(), 1, "{line}");
    rows.remove(0)
}

const WIRELESS: &str = "/interface/wireless/registration-table";
const WIFI: &str = "/interface/wifi/registration-table";
const CAPSMAN: &str = "/caps-man/registration-table";
const MAC: &str = "4c:5e:0c:a2:54:51";

fn wireless(attribute: &str, value: &str) -> Value {
    row(
        WIRELESS,
        json!({"mac-address": MAC, "interface": "wlan1", attribute: value}),
    )
}

fn wifi(attribute: &str, value: &str) -> Value {
    row(
        WIFI,
        json!({"mac-address": MAC, "interface": "wifi1", attribute: value}),
    )
}

#[test]
fn ccq_passes_one_hundred() {
    assert_eq!(wireless("tx-ccq", "113")["tx_ccq_percent"], 113);
}

#[test]
fn byte_counters_pass_two_to_the_thirty_two() {
    let row = wifi("bytes", "21465305155,3084142808");
    assert_eq!(row["tx_bytes"], 21_465_305_155u64);
    assert_eq!(row["rx_bytes"], 3_084_142_808u64);
}

#[test]
fn ht_rates_have_no_width() {
    let row = wireless("rx-rate", "58.5Mbps-HT");
    assert_eq!(row["rx_rate_bps"], 58_500_000);
    assert_eq!(row.get("rx_width_mhz"), None);
}

#[test]
fn rates_in_all_their_forms() {
    for (text, bps, width, streams) in [
        ("117Mbps-20MHz/2S/SGI", 117_000_000u64, Some(20), Some(2)),
        ("866.6Mbps-80MHz/2S/SGI", 866_600_000, Some(80), Some(2)),
        ("1.2Gbps-160MHz/2S/GI", 1_200_000_000, Some(160), Some(2)),
        ("5.5Mbps", 5_500_000, None, None),
        ("576500000", 576_500_000, None, None),
    ] {
        let row = wireless("tx-rate", text);
        assert_eq!(row["tx_rate_bps"], bps, "{text}");
        assert_eq!(
            row.get("tx_width_mhz").and_then(Value::as_u64),
            width,
            "{text}"
        );
        assert_eq!(
            row.get("tx_streams").and_then(Value::as_u64),
            streams,
            "{text}"
        );
    }
}

#[test]
fn durations_in_all_their_forms() {
    for (text, seconds) in [
        ("5d9m11s", 432_551u64),
        ("1w2d", 777_600),
        ("2w6d13:21:53", 1_776_113),
        ("01:22:53", 4_973),
        ("48w3d9h41m36s", 29_324_496),
        ("5d2h39m39s750ms", 441_579),
        ("0s", 0),
        ("1d00:00:01", 86_401),
    ] {
        assert_eq!(wireless("uptime", text)["uptime_s"], seconds, "{text}");
    }
    for (text, millis) in [
        ("00:00:00.060", 60),
        ("4s750ms", 4_750),
        ("10ms781us", 10),
        ("0ms", 0),
    ] {
        assert_eq!(
            wireless("last-activity", text)["last_activity_ms"],
            millis,
            "{text}"
        );
    }
}

#[test]
fn signals_in_all_their_forms() {
    for (text, dbm) in [
        ("-62@6Mbps", -62),
        ("-74dBm@6Mbps", -74),
        ("-76", -76),
        ("-67@HT20", -67),
    ] {
        assert_eq!(
            wireless("signal-strength", text)["signal_dbm"],
            dbm,
            "{text}"
        );
    }
}

#[test]
fn of_several_links_the_strongest_signal_counts() {
    assert_eq!(wifi("signal", "-62,-55")["signal_dbm"], -55);
}

#[test]
fn an_idle_stations_rate_is_bits_a_second() {
    assert_eq!(wifi("tx-rate", "1000000")["tx_rate_bps"], 1_000_000);
}

#[test]
fn comments_hold_equals_signs() {
    let row = row(
        CAPSMAN,
        json!({"mac-address": MAC, "interface": "hAP AC3 2GHz", "comment": "-= Kitchen Light Switch =-"}),
    );
    assert_eq!(row["comment"], "-= Kitchen Light Switch =-");
    assert_eq!(row["interface"], "hAP AC3 2GHz");
    assert_eq!(
        (&row["remote"], &row["far_end"]),
        (&json!(true), &json!("station"))
    );
}

#[test]
fn capsman_tells_the_last_ip_backwards() {
    let row = row(
        CAPSMAN,
        json!({"mac-address": MAC, "last-ip": "21.73.168.192"}),
    );
    assert_eq!(row["last_ip"], "192.168.73.21");
    assert_eq!(
        wireless("last-ip", "192.168.73.21")["last_ip"],
        "192.168.73.21"
    );
}

#[test]
fn empty_values_are_absent_ones() {
    let row = row(
        CAPSMAN,
        json!({"mac-address": MAC, "uptime": "", "rx-signal": "", "comment": ""}),
    );
    for field in ["uptime_s", "signal_dbm", "comment"] {
        assert_eq!(row.get(field), None, "{field}");
    }
}

#[test]
fn bytes_of_another_code_page_are_shown_as_latin_1() {
    let mut line = br#"{"menu":"/interface","reply":{"name":"wlan1","comment":"v"#.to_vec();
    line.extend([0x11 + 0x30, 0xfb, 0x95]);
    line.extend(br#""}}"#);
    let (rows, problems, _) = decoded(&line);
    assert_eq!(problems, "");
    assert_eq!(rows[0]["comment"], "vA\u{fb}\u{95}");
}

#[test]
fn booleans_of_version_three() {
    let row = row(
        "/interface",
        json!({"name": "ether1", "running": "yes", "disabled": "no"}),
    );
    assert_eq!(
        (&row["running"], &row["disabled"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn ports_without_error_counters_have_nulls_not_zeros() {
    let row = row(
        "/interface",
        json!({"name": "ether1", "rx-byte": "164339128591"}),
    );
    assert_eq!(row["rx_bytes"], 164_339_128_591u64);
    assert_eq!(row.get("rx_errors"), None);
}

#[test]
fn a_beta_version_is_kept_as_told() {
    let row = row(
        "/system/resource",
        json!({"version": "7.1beta4 (development)"}),
    );
    assert_eq!(row["version"], "7.1beta4 (development)");
    assert_eq!(
        mast_ingest::parse::version("7.1beta4 (development)"),
        Some((7, 1))
    );
    assert_eq!(mast_ingest::parse::version("6.27"), Some((6, 27)));
    assert_eq!(mast_ingest::parse::version("10.2.1"), Some((10, 2)));
    assert_eq!(mast_ingest::parse::version("seven"), None);
}

#[test]
fn fans_and_supplies_without_a_unit_are_words() {
    let state = json!({"name": "psu2-state", "value": "fail", "type": ""});
    assert_eq!(
        row("/system/health", state)["sensors"]["psu2-state"],
        "fail"
    );
}

#[test]
fn health_of_version_six_is_one_row_with_settings_in_it() {
    let reply = json!({"voltage": "24.2", "temperature": "39", "cpu-temperature": "52C",
        "fan-mode": "auto", "fan1-speed": "5654"});
    let row = row("/system/health", reply);
    assert_eq!(row["kind"], "poll");
    assert!((row["voltage_v"].as_f64().unwrap() - 24.2).abs() < 1e-4);
    assert_eq!(
        (&row["board_temperature_c"], &row["cpu_temperature_c"]),
        (&json!(39.0), &json!(52.0))
    );
    assert_eq!(row["sensors"]["fan1-speed"], "5654");
}

#[test]
fn a_board_without_sensors_says_nothing() {
    assert_eq!(row("/system/health", json!({})), json!({"kind": "poll"}));
}

#[test]
fn channels_in_all_their_forms() {
    for (text, mhz, width, band, power) in [
        ("2412/20-Ce/gn(18dBm)", 2412, Some(40), "gn", Some(18)),
        ("5220/20/an", 5220, Some(20), "an", None),
        ("5180/20/a/P(17dBm)", 5180, Some(20), "a", Some(17)),
        ("5500/ax/Ceee/D", 5500, Some(80), "ax", None),
        ("2462/20/gn(30dBm)", 2462, Some(20), "gn", Some(30)),
    ] {
        let row = row("/interface/wireless/monitor", json!({"channel": text}));
        assert_eq!(row["frequency_mhz"], mhz, "{text}");
        assert_eq!(
            row.get("channel_width_mhz").and_then(Value::as_u64),
            width,
            "{text}"
        );
        assert_eq!(row["band"], band, "{text}");
        assert_eq!(
            row.get("tx_power_dbm").and_then(Value::as_i64),
            power,
            "{text}"
        );
        assert_eq!(row["channel"], text);
    }
}

#[test]
fn the_keys_of_the_air_are_left_on_the_router() {
    let reply = json!({"name": "wlan60-1", "password": "hush-hush", "ssid": "ptmp01"});
    let row = row("/interface/w60g", reply);
    assert!(!row.to_string().contains("hush-hush"), "{row}");
}

#[test]
fn a_station_row_of_the_old_table_says_what_is_at_the_far_end() {
    assert_eq!(wireless("ap", "true")["far_end"], "ap");
    assert_eq!(wireless("ap", "no")["far_end"], "station");
    assert_eq!(
        wifi("signal", "-50").get("far_end"),
        None,
        "the wifi table alone does not tell"
    );
}

#[test]
fn values_out_of_range_are_named_and_the_row_kept() {
    for (attribute, value) in [
        ("uptime", "99999999999999w"),
        ("uptime", "1s2w"),
        ("bytes", "1"),
        ("tx-rate", "fast"),
        ("signal-strength", "-99999"),
        ("distance", "-1"),
    ] {
        let line = json!({"menu": WIRELESS, "reply": {"mac-address": MAC, attribute: value}});
        let (rows, problems, _) = decoded(line.to_string().as_bytes());
        assert_eq!(rows.len(), 1, "{attribute}={value}");
        let named = format!("line 1: {WIRELESS}: {attribute}=\"{value}\": expected ");
        assert!(problems.starts_with(&named), "{problems}");
    }
}

mod any_bytes {
    use mast_ingest::parse::{self, Known, Stamp};
    use mast_schemas::records::Source;
    use proptest::prelude::*;

    const NAMES: [&str; 24] = [
        "mac-address",
        "remote-address",
        "interface",
        "name",
        "uptime",
        "last-activity",
        "bytes",
        "tx-rate",
        "rx-rate",
        "signal",
        "signal-strength",
        "rx-signal",
        "rssi",
        "last-ip",
        "channel",
        "current-channel",
        "channel-width",
        "voltage",
        "cpu-temperature",
        "value",
        "expires-after",
        "noise-floor",
        "ap",
        "distance",
    ];

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..24),
            "[-0-9a-zA-Z@/:.,()]{0,24}".prop_map(String::into_bytes),
            "[0-9]{1,25}(w|d|h|m|s|ms|us|Mbps|Gbps|:[0-9]{1,3}:[0-9]{1,8}(\\.[0-9]{0,12})?)"
                .prop_map(String::into_bytes),
        ]
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (0..NAMES.len()).prop_map(|i| NAMES[i].as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..8),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn never_panic(row in prop::collection::vec((name(), value()), 0..6)) {
            let stamp = Stamp::default();
            let mut known = Known::default();
            known.learn_radio(false, &row);
            for source in Source::ALL {
                parse::registration(stamp, *source, &known, None, &row);
            }
            parse::interface(stamp, &row);
            parse::radio_config(&row);
            parse::radio_state(&row);
            parse::resource(&row);
            parse::health(&row);
            parse::package(&row);
            parse::arp(stamp, &row);
            parse::dhcp_lease(stamp, &row);
            parse::neighbor(stamp, &row);
            parse::event(stamp, &row);
        }

        #[test]
        fn any_line_is_decoded_or_named(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let summary = mast_ingest::decode_records(line.as_slice(), std::io::sink(), std::io::sink()).unwrap();
            prop_assert!(summary.lines >= summary.bad_lines);
        }
    }
}

/// What no database and no index could hold must not stop what is kept of all others.
#[test]
fn a_text_has_no_nul_and_an_end() {
    assert_eq!(wireless("radio-name", "a\0b")["radio_name"], "a\u{FFFD}b");
    assert_eq!(wireless("interface", "a\0")["interface"], "a\u{FFFD}");
    let long = wireless("comment", &"č".repeat(9_000));
    let long = long["comment"].as_str().unwrap();
    assert!(long.ends_with("č…") && long.len() < 4_200, "{}", long.len());
}
