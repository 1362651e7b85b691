//! `mast` as a child process, on data folders that PostgreSQL's own user can reach.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn mast(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mast"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A demo of so many devices, polled at this interval.
pub(crate) fn demo(data: &Path, (devices, interval): (u64, &str), more: &[&str]) -> Command {
    let (data, devices) = (data.to_str().unwrap(), devices.to_string());
    let mut command = mast(&["demo", "--json", "--interval", interval]);
    command.args(["--devices", &devices, "--data", data]);
    command.args(more);
    command
}

pub(crate) fn last_json(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| {
        panic!(
            "{e}: {last:?}\n{stdout}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    })
}

pub(crate) fn finish(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    last_json(&output)
}

/// All devices are online, and every view is what is true.
pub(crate) fn agrees(report: &Value, devices: u64, why: &str) {
    assert_eq!(report["mismatches"], 0, "{why}: {report}");
    assert_eq!(report["devices"], devices, "{why}: {report}");
    assert_eq!(report["online"], devices, "{why}: {report}");
    assert!(
        report["links_live"].as_u64().unwrap() > 0,
        "{why}: {report}"
    );
}

/// What `mast verify` says, and whether it found all laws kept.
pub(crate) fn verify(data: &Path) -> (bool, Value) {
    let output = mast(&["verify", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    (output.status.success(), last_json(&output))
}

/// All laws are kept.
pub(crate) fn verified(data: &Path) -> Value {
    let (kept, report) = verify(data);
    assert!(kept, "{report}");
    assert_eq!(report["breaches"], 0, "{report}");
    report
}

/// What a law of a report holds.
pub(crate) fn law(report: &Value, number: u64) -> &Value {
    let laws = report["laws"].as_array().unwrap();
    laws.iter().find(|law| law["law"] == number).unwrap()
}

/// The rows of a query over all tenants.
pub(crate) fn query(data: &Path, sql: &str) -> Value {
    let data = data.to_str().unwrap();
    let output = mast(&["query", sql, "--data", data, "--format", "json"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A folder that PostgreSQL's own user can reach, in the ignored `target` folder.
pub(crate) fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::Builder::new()
        .prefix("demo-")
        .tempdir_in(target)
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}
