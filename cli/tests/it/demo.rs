//! The whole system as a user runs it: `mast demo` as a child process, through trouble and SIGKILL.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Devices of the tests' fleets.
const DEVICES: &str = "60";

/// Trouble of every kind, all of it over before the comparison.
const TROUBLE: &str = "\
at 14s rain site=1 db=32 for=10s
at 15s ap_dead ap=2 for=12s
at 16s clients_lost ap=3 for=12s
at 18s reboot device=5 for=5s
at 20s roam cpe=4 to=1
at 22s wrong_password device=9 for=8s
";

fn mast(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mast"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn demo(data: &Path, more: &[&str]) -> Command {
    let data = data.to_str().unwrap();
    let mut command = mast(&[
        "demo",
        "--devices",
        DEVICES,
        "--interval",
        "2s",
        "--json",
        "--data",
        data,
    ]);
    command.args(more);
    command
}

fn last_json(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| {
        panic!(
            "{e}: {last:?}\n{stdout}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    })
}

fn finish(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    last_json(&output)
}

fn agrees(report: &Value, why: &str) {
    assert_eq!(report["mismatches"], 0, "{why}: {report}");
    assert_eq!(report["devices"], 60, "{why}: {report}");
    assert_eq!(report["online"], report["devices"], "{why}: {report}");
    assert!(
        report["links_live"].as_u64().unwrap() > 0,
        "{why}: {report}"
    );
}

fn verified(data: &Path) -> Value {
    let output = mast(&["verify", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    let report = last_json(&output);
    assert!(output.status.success(), "{report}");
    assert_eq!(report["breaches"], 0, "{report}");
    report
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A folder that PostgreSQL's own user can reach, in the ignored `target` folder.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::Builder::new()
        .prefix("demo-")
        .tempdir_in(target)
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn views_equal_the_truth_through_trouble_and_a_kill() {
    let folder = folder();
    let data = folder.path().join("data");
    let scenario = folder.path().join("trouble.txt");
    std::fs::write(&scenario, TROUBLE).unwrap();
    let scenario = scenario.to_str().unwrap();

    let mut child = demo(&data, &["--scenario", scenario])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A random moment amid the trouble.
    let jitter = u64::from(std::process::id()) % 8_000;
    std::thread::sleep(Duration::from_millis(14_000 + jitter));
    kill(&mut child);

    let report = finish(&mut demo(&data, &["--scenario", scenario, "--for", "50s"]));
    agrees(&report, &format!("killed after {} ms", 14_000 + jitter));
    verified(&data);

    // What a tenant sees by SQL is its own, and it is there.
    let data = data.to_str().unwrap();
    let sql = "SELECT state, count(*) AS n FROM devices GROUP BY state";
    let output = mast(&[
        "query", sql, "--data", data, "--tenant", "north", "--format", "json",
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
    let sql = "SELECT count(*) AS n FROM registration_samples";
    let output = mast(&["query", sql, "--data", data, "--format", "json"])
        .output()
        .unwrap();
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .any(|r| r["n"].as_u64() > Some(0)),
        "{rows}"
    );
}

#[test]
fn a_kill_at_any_named_point_loses_and_repeats_nothing() {
    for point in [
        "after_relay_append:1",
        "after_binding:60",
        "after_commit:60",
        "after_lake_file:2",
        "after_manifest:1",
        "amid_checkpoint:1",
    ] {
        let folder = folder();
        let data = folder.path().join("data");
        let output = demo(&data, &["--for", "70s"])
            .env("MAST_FAULT_POINT", point)
            .output()
            .unwrap();
        assert!(!output.status.success(), "{point} was never reached");
        let report = finish(&mut demo(&data, &["--for", "25s"]));
        agrees(&report, point);
        verified(&data);
    }
}
