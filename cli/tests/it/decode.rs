//! `mast decode` over recorded replies.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn corpus(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../ingest/tests/corpus")
        .join(name)
}

#[test]
fn recorded_registrations_are_typed() {
    for name in [
        "interface-wireless-registration-table.jsonl",
        "interface-wifi-registration-table.jsonl",
    ] {
        let file = corpus(name);
        let output = Command::new(env!("CARGO_BIN_EXE_mast"))
            .arg("decode")
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        let rows: Vec<Value> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(rows.len(), lines, "{name}");
        for row in rows {
            assert_eq!(row["kind"], "registration");
            assert!(
                row["mac"].is_string() && row["signal_dbm"].is_i64(),
                "{row}"
            );
        }
    }
}

#[test]
fn what_cannot_be_typed_is_named_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.jsonl");
    let row = r#"{"menu":"/interface/wireless/registration-table","reply":{"interface":"wlan1","mac-address":"4C:5E:0C:A2:54:51","signal-strength":"loud"}}"#;
    std::fs::write(&file, format!("{row}\nnot json\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mast"))
        .arg("decode")
        .arg(&file)
        .output()
        .unwrap();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{problems}");
    assert!(
        problems.contains("signal-strength") && problems.contains("loud"),
        "{problems}"
    );
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("4C:5E:0C:A2:54:51"),
        "the row is kept"
    );
}
