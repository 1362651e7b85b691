//! `mast status`, `/metrics` and `/health` of a child process, as whoever watches it sees them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::support::{last_json, mast};

/// What `mast status` says, and its exit code.
pub(crate) fn status(data: &Path) -> (i32, Value) {
    let output = mast(&["status", "--json", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    (output.status.code().unwrap(), last_json(&output))
}

/// The part of a report, by kind and begin of its name.
pub(crate) fn part<'a>(report: &'a Value, part: &str, name: &str) -> Option<&'a Value> {
    let parts = report["parts"].as_array().unwrap();
    let is = |p: &&Value| p["part"] == part && p["name"].as_str().unwrap().starts_with(name);
    parts.iter().find(is)
}

/// Looks again until the report is as wanted. It takes as long as it takes; that it never comes is a failure.
pub(crate) fn until(data: &Path, wanted: &str, is: impl Fn(i32, &Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..150 {
        if data.join("health").is_dir() {
            let (code, report) = status(data);
            if is(code, &report) {
                return report;
            }
            last = report;
        }
        sleep(Duration::from_millis(300));
    }
    panic!("never {wanted}: {last:#}");
}

/// Everything is ok, and the first start is over.
pub(crate) fn until_ok(data: &Path) -> Value {
    until(data, "ok", |code, report| {
        code == 0 && report["running"] == true
    })
}

/// A part is in one of these states, and says why and what to do.
pub(crate) fn until_troubled(data: &Path, kind: &str, name: &str, states: &[&str]) -> Value {
    let report = until(
        data,
        &format!("{kind} {name} {states:?}"),
        |code, report| {
            let state = part(report, kind, name).map(|p| p["state"].as_str().unwrap());
            code > 0 && state.is_some_and(|state| states.contains(&state))
        },
    );
    let found = part(&report, kind, name).unwrap().clone();
    for said in ["reason", "remedy"] {
        assert!(!found[said].as_str().unwrap().is_empty(), "{found:#}");
    }
    found
}

/// Status and body of a GET to the demo that runs on a data folder.
pub(crate) fn get(data: &Path, path: &str) -> (u16, String) {
    ask(&data.join("demo.address"), path)
}

/// Status and body of a GET to the process whose address is noted in a file.
pub(crate) fn ask(address: &Path, path: &str) -> (u16, String) {
    let address = std::fs::read_to_string(address).unwrap();
    let mut stream = TcpStream::connect(address.trim()).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: mast\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// The sum of a metric over its labels; null if it is not there.
pub(crate) fn metric(data: &Path, name: &str) -> Option<f64> {
    measured(&data.join("demo.address"), name)
}

/// The same, of the process whose address is noted in a file.
pub(crate) fn measured(address: &Path, name: &str) -> Option<f64> {
    let (status, text) = ask(address, "/metrics");
    assert_eq!(status, 200);
    let lines = text.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    });
    let values: Vec<f64> = lines
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}
