//! What a bad disk leaves behind, as the next start and `mast status` tell of it: a cut or changed log, a torn checkpoint,
//! another database. Each is a clear state with its remedy, and none a silent start from nothing.

use std::fs;
use std::path::{Path, PathBuf};

use mast_secrets::KeyFile;

use crate::health::{part, status, until_ok};
use crate::support::{agrees, demo, folder, kill, last_json, verified};

const DEVICES: u64 = 12;
const FLEET: (u64, &str) = (DEVICES, "1s");

fn run(data: &Path, time: &str) -> std::process::Output {
    demo(data, FLEET, &["--for", time])
        .env("MAST_DATAFLOW_CHECKPOINT_EVERY", "1s")
        .output()
        .unwrap()
}

/// The fullest segment of telemetry.
fn segment(data: &Path) -> PathBuf {
    let topic = data.join("log/topics/mast.telemetry.v1");
    let partitions = fs::read_dir(topic).unwrap().map(|p| p.unwrap().path());
    let files = partitions.filter(|p| p.is_dir()).flat_map(|partition| {
        let files = fs::read_dir(partition).unwrap().map(|f| f.unwrap().path());
        files
            .filter(|f| f.extension().is_some_and(|e| e == "seg"))
            .collect::<Vec<_>>()
    });
    files
        .max_by_key(|file| fs::metadata(file).unwrap().len())
        .unwrap()
}

/// Folders of checkpoints, oldest first.
fn checkpoints(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("checkpoints")).unwrap();
    let mut all: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// A start that refuses, and what it says.
fn refused(data: &Path) -> String {
    let output = run(data, "9s");
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_damaged_is_named_with_the_remedy_and_never_passed_over() {
    let folder = folder();
    let data = folder.path().join("data");
    assert!(run(&data, "9s").status.success());
    assert!(checkpoints(&data).len() >= 3);

    // Half a batch at the end of the log: a write that a power failure cut off.
    let file = segment(&data);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, [&whole[..], &whole[32..100]].concat()).unwrap();
    let (code, report) = status(&data);
    assert_eq!(code, 3, "it is cut away at the next start: {report:#}");

    // A flipped bit with whole batches behind it.
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    fs::write(&file, &flipped).unwrap();
    let told = refused(&data);
    assert!(
        told.contains("truncate -s") && told.contains("from a copy"),
        "{told}"
    );
    let (code, report) = status(&data);
    let log = part(&report, "log", "main").unwrap();
    assert_eq!((code, &log["state"]), (2, &"failed".into()), "{report:#}");
    assert!(
        log["reason"].as_str().unwrap().contains("truncate -s"),
        "{log:#}"
    );
    fs::write(&file, [&whole[..], &whole[32..100]].concat()).unwrap();

    // The newest checkpoint is torn: the one before stands in.
    let newest = checkpoints(&data).pop().unwrap();
    let torn = fs::read_dir(&newest).unwrap().map(|e| e.unwrap().path());
    let torn = { torn }
        .find(|f| f.to_string_lossy().contains("devices-"))
        .unwrap();
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let (_, report) = status(&data);
    let kept = part(&report, "checkpoints", "kept").unwrap();
    assert_eq!(kept["state"], "degraded", "{report:#}");
    assert_eq!(kept["numbers"]["damaged"], 1, "{kept:#}");
    let output = run(&data, "5s");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("damaged checkpoint; trying an older one"),
        "{told}"
    );
    assert!(output.status.success(), "{told}");

    // Another database under an old log: what it binds would not count at the next start.
    let (postgres, aside) = (data.join("postgres"), data.join("postgres-aside"));
    fs::rename(&postgres, &aside).unwrap();
    let told = refused(&data);
    assert!(told.contains("a new one, or an older copy"), "{told}");
    fs::remove_dir_all(&postgres).unwrap();
    fs::rename(&aside, &postgres).unwrap();

    // The key file is lost, and then another one is in its place: neither is taken for a new installation.
    let (key, aside) = (data.join("key"), data.join("key-aside"));
    fs::rename(&key, &aside).unwrap();
    for _ in 0..2 {
        let told = refused(&data);
        for word in ["another key file", "from a copy", "--data NEW"] {
            assert!(told.contains(word), "{told}");
        }
        let other = folder.path().join("other-key");
        KeyFile::open_or_create(&other).unwrap();
        fs::rename(other, &key).unwrap();
    }
    fs::rename(&aside, &key).unwrap();

    agrees(&last_json(&run(&data, "15s")), DEVICES, "all is back");
    verified(&data);
}

#[test]
fn a_lost_key_file_shows_while_all_runs() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut child = demo(&data, FLEET, &[]).spawn().unwrap();
    until_ok(&data);
    fs::rename(data.join("key"), data.join("key-aside")).unwrap();
    let (code, report) = status(&data);
    let key = part(&report, "keys", "").unwrap();
    assert_eq!((code, &key["state"]), (2, &"failed".into()), "{report:#}");
    assert!(
        key["remedy"].as_str().unwrap().contains("from a copy"),
        "{key:#}"
    );
    fs::rename(data.join("key-aside"), data.join("key")).unwrap();
    assert_eq!(status(&data).0, 0);
    kill(&mut child);
}
