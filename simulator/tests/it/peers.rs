//! Independent clients hold conversations with devices: librouteros (Python) and go-routeros (Go).
//!
//! Their programs are in `simulator/peers/`, their libraries pinned by hash. What runs them is
//! installed by `deploy/dev/install.sh`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mast_simulator::{FleetHandle, truth::DeviceTruth};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::live::hundred;

/// Libraries may have to be fetched and built first.
const PATIENCE: Duration = Duration::from_secs(300);

fn folder(peer: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(peer)
}

/// Where what is installed and built for the peers stays from run to run.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Runs a program to its end; gives its output.
async fn run(command: &mut Command, input: &str) -> String {
    let shown = format!("{:?}", command.as_std());
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!("{shown}: {error}; deploy/dev/install.sh installs what is missing")
    });
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = ended
        .await
        .unwrap_or_else(|_| panic!("{shown} does not end"));
    let output = output.unwrap();
    let (told, failed) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{shown}: {told}{failed}");
    told
}

/// Devices that differ in what a client meets: (what it is, device, whether TLS is used).
fn devices(fleet: &FleetHandle) -> Vec<(&'static str, DeviceTruth, bool)> {
    let all = fleet.truth().devices;
    let find = |fits: &dyn Fn(&DeviceTruth) -> bool| all.iter().find(|d| fits(d)).unwrap().clone();
    let version = |d: &DeviceTruth, start: &str| d.version.starts_with(start) && d.tls == "modern";
    vec![
        (
            "challenge login, no TLS",
            find(&|d| d.login == "challenge"),
            false,
        ),
        ("version 6, TLS", find(&|d| version(d, "6.49")), true),
        ("version 7.16, TLS", find(&|d| version(d, "7.16")), true),
        (
            "version 7.18, TLS and !empty",
            find(&|d| version(d, "7.18")),
            true,
        ),
        ("version 7.18, no TLS", find(&|d| version(d, "7.18")), false),
    ]
}

/// What a peer reads from its standard input.
fn told_of(device: &DeviceTruth, tls: bool) -> String {
    let port = match tls {
        true => device.api_ssl_port.unwrap(),
        false => device.api_port,
    };
    let says_empty = ["7.18", "7.20"]
        .iter()
        .any(|v| device.version.starts_with(v));
    serde_json::json!({
        "address": device.address, "port": port, "tls": tls, "login": device.login, "name": device.name,
        "username": device.username, "password": device.password, "says_empty": says_empty,
    })
    .to_string()
}

/// Lets a peer talk with every kind of device; each must hold `conversations`.
async fn converse(program: &Path, arguments: &[PathBuf], conversations: usize) {
    let fleet = hundred().await;
    for (what, device, tls) in devices(&fleet) {
        let told = run(
            Command::new(program).args(arguments),
            &told_of(&device, tls),
        )
        .await;
        let held = told.lines().filter(|line| line.starts_with("ok ")).count();
        assert_eq!(held, conversations, "{what}: {told}");
        assert_eq!(
            told.contains("!empty"),
            device.version.starts_with("7.18"),
            "{what}"
        );
    }
    fleet.stop().await;
}

#[tokio::test]
async fn librouteros_understands_every_kind_of_device() {
    let (folder, venv) = (folder("python"), built("librouteros"));
    let python = venv.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv), "").await;
    }
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ];
    let requirements = folder.join("requirements.txt");
    let mut install = Command::new(&python);
    install
        .args(pip)
        .args(["--require-hashes", "-r"])
        .arg(requirements);
    run(&mut install, "").await;
    converse(&python, &[folder.join("converse.py")], 24).await;
}

#[tokio::test]
async fn go_routeros_understands_every_kind_of_device() {
    let peer = built("go-routeros");
    let mut build = Command::new("go");
    build
        .args(["build", "-mod=readonly", "-buildvcs=false", "-o"])
        .arg(&peer)
        .arg(".");
    run(build.current_dir(folder("go")), "").await;
    converse(&peer, &[], 21).await;
}
