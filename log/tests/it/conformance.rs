//! The suite that every log passes, under each policy.

use std::time::Duration;

use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, conformance};

use crate::support::quick;

fn run(fsync: Fsync) {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { fsync, ..quick() };
    conformance::run(|| Box::new(EmbeddedLog::open(dir.path(), config.clone()).unwrap()));
}

#[test]
fn with_fsync_at_every_append() {
    run(Fsync::EveryAppend);
}

#[test]
fn with_fsync_by_interval() {
    run(Fsync::Interval(Duration::from_millis(5)));
}

#[test]
fn without_fsync() {
    run(Fsync::Never);
}
