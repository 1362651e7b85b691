//! Checkpoints on a real disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mast_dataflow::checkpoint::{KEPT, list, load, newest, write};
use mast_dataflow::engine::Engine;
use mast_dataflow::outputs::Snapshot;
use mast_oracle::script::{days, random};
use mast_schemas::checkpoint::{
    AssociationRecord, CapRecord, Manifest, RoamRecord, StandingRecord, VERSION,
};
use mast_schemas::control::Role;
use mast_schemas::{DeviceId, Epoch, GroupId, Mac, SiteId, TagId, TenantId, Timestamp};

use crate::support::{config, encode};

fn snapshot(epoch: u64, clients: u64) -> Snapshot {
    let tenant_id = TenantId::new();
    let roam = |i: u64| RoamRecord {
        tenant_id,
        mac: Mac(i),
        owner: Some(AssociationRecord {
            ap_device_id: DeviceId::new(),
            radio_mac: Mac(i + 1),
            began_at: Timestamp(5),
        }),
        owner_departed_at: None,
        others: Vec::new(),
        changes: vec![Timestamp(4), Timestamp(5)],
        ambiguous: i.is_multiple_of(2),
    };
    let cap = CapRecord {
        tenant_id,
        radio_mac: Mac(7),
        reporters: vec![DeviceId::new()],
        ap_device_id: DeviceId::new(),
    };
    Snapshot {
        epoch: Epoch(epoch),
        control: vec![StandingRecord {
            device_id: DeviceId::new(),
            tenant_id,
            site_id: Some(SiteId::new()),
            sector_id: None,
            enabled: true,
            role: Role::Cpe,
            interval_ms: 60_000,
            parent_id: Some(DeviceId::new()),
            group_ids: vec![GroupId::new()],
            tag_ids: vec![TagId::new(), TagId::new()],
        }],
        roam: (0..clients).map(|i| ((i * 37) as u8, roam(i))).collect(),
        caps: vec![(255, cap)],
        ..Snapshot::default()
    }
}

fn manifest(epoch: u64) -> Manifest {
    Manifest {
        epoch: Epoch(epoch),
        generation: 3,
        version: VERSION,
        bindings: epoch * 2,
        telemetry: vec![epoch, epoch + 1],
        control: 4,
        anew_after: None,
        files: Vec::new(),
    }
}

/// All that `snapshot` fills in, by key group.
fn told(mut snapshot: Snapshot) -> String {
    snapshot
        .roam
        .sort_by_key(|(group, record)| (*group, record.mac));
    format!("{snapshot:?}")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_written_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let written = snapshot(10, 500);
    write(dir.path(), manifest(10), &written).unwrap();
    let stored = &list(dir.path()).unwrap()[0];
    let loaded = load(&stored.path, &stored.manifest).unwrap();
    assert_eq!(told(loaded), told(written));
    assert_eq!(
        (stored.manifest.bindings, stored.manifest.telemetry.clone()),
        (20, vec![10, 11])
    );
    let caps = stored
        .manifest
        .files
        .iter()
        .filter(|name| name.starts_with("caps-"));
    assert_eq!(
        caps.collect::<Vec<_>>(),
        ["caps-255.bin"],
        "empty groups have no file"
    );
}

/// Each kind of record as the flow makes it, of fleets that have them all.
#[test]
fn all_that_the_flow_keeps_is_loaded_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut parts = BTreeSet::new();
    for (n, slots) in (1..).zip([random(3, 6), random(5, 6), days(1)]) {
        let mut engine = Engine::start(config(2), Snapshot::default()).unwrap();
        // In the midst of it all, before what it has is forgotten.
        let half = slots.len() / 2;
        for input in encode(&slots, 3).into_iter().take(half) {
            engine.feed(input).unwrap();
        }
        engine.outputs().unwrap();
        let written = engine.snapshot().unwrap();
        write(dir.path(), manifest(n), &written).unwrap();
        let stored = list(dir.path()).unwrap().into_iter();
        let stored = stored.max_by_key(|stored| stored.manifest.epoch).unwrap();
        let mut loaded = load(&stored.path, &stored.manifest).unwrap();
        loaded.epoch = written.epoch;
        // Which worker had a record is not kept.
        let lines = |snapshot: &Snapshot| {
            let text = format!("{snapshot:#?}");
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&loaded), lines(&written));
        let files = stored.manifest.files.iter();
        parts.extend(files.filter_map(|name| Some(name.rsplit_once('-')?.0.to_owned())));
    }
    let wanted =
        "control,rules,windows,cores,judged,trends,alerts,incidents,devices,roam,aps,shown,health";
    for part in wanted.split(',') {
        assert!(parts.contains(part), "no {part} in {parts:?}");
    }
}

#[test]
fn the_last_three_are_kept_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    for epoch in [100, 9, 20, 1_000, 300] {
        write(dir.path(), manifest(epoch), &snapshot(epoch, 3)).unwrap();
    }
    let epochs: Vec<u64> = list(dir.path())
        .unwrap()
        .iter()
        .map(|s| s.manifest.epoch.0)
        .collect();
    assert_eq!(epochs, [1_000, 300, 100]);
    assert_eq!(names(dir.path()).len(), KEPT);
}

#[test]
fn a_torn_checkpoint_is_replaced_by_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    for epoch in [1, 2, 3] {
        write(dir.path(), manifest(epoch), &snapshot(epoch, 50)).unwrap();
    }
    let torn = dir.path().join("3-3").join("caps-255.bin");
    let bytes = fs::read(&torn).unwrap();
    fs::write(&torn, &bytes[..bytes.len() - 1]).unwrap();
    fs::remove_file(dir.path().join("2-3").join("control-000.bin")).unwrap();
    let (stored, state) = newest(dir.path(), Epoch(u64::MAX)).unwrap().unwrap();
    assert_eq!((stored.manifest.epoch, state.epoch), (Epoch(1), Epoch(1)));
    let broken = &list(dir.path()).unwrap()[0];
    let error = load(&broken.path, &broken.manifest)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("3-3/caps-255.bin") && error.contains("checksum"),
        "{error}"
    );
}

#[test]
fn without_a_manifest_there_is_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        newest(&dir.path().join("missing"), Epoch(u64::MAX))
            .unwrap()
            .is_none()
    );
    write(dir.path(), manifest(5), &snapshot(5, 5)).unwrap();
    // Killed before the manifest's rename, and before the folder's.
    fs::remove_file(dir.path().join("5-3").join("manifest.json")).unwrap();
    fs::create_dir(dir.path().join(".part-6-3")).unwrap();
    assert!(newest(dir.path(), Epoch(u64::MAX)).unwrap().is_none());
    write(dir.path(), manifest(6), &snapshot(6, 5)).unwrap();
    assert_eq!(names(dir.path()), ["6-3"], "what was left over is gone");
}
