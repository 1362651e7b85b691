//! The log lost records that a job needs.

use std::path::Path;
use std::sync::Arc;

use mast_dataflow::job::{Job, JobConfig};
use mast_dataflow::{DataflowError, Lost};
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, TopicSpec};
use mast_schemas::records::Outcome;
use mast_schemas::{DeviceId, topics};
use uuid::Uuid;

use crate::job::{home, make, world};

/// A copy of a log without the telemetry of one partition, but for its newest record.
fn without(log: &dyn Log, dir: &Path, partition: u32) -> Arc<dyn Log> {
    let config = EmbeddedConfig {
        segment_bytes: 1,
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    };
    let copy = EmbeddedLog::open(dir, config).unwrap();
    for name in topics::ALL {
        let partitions = log.partitions(name).unwrap();
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions,
        };
        copy.ensure_topic(&spec).unwrap();
        for p in 0..partitions {
            for entry in log.read(name, p, 0, 64 << 20).unwrap() {
                copy.append(name, p, &[entry.record]).unwrap();
            }
        }
    }
    let next = copy.ends(topics::TELEMETRY, partition).unwrap().next;
    copy.trim(topics::TELEMETRY, partition, next - 1).unwrap();
    let first = copy.ends(topics::TELEMETRY, partition).unwrap().first;
    assert_eq!(first, next - 1);
    Arc::new(copy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_gap_leaves_the_devices_of_its_partition_unobserved_and_repeats_nothing() {
    let mut w = world().await;
    let lost = w.device;
    let kept = std::iter::repeat_with(DeviceId::new);
    let kept = { kept }.find(|id| home(*id) != home(lost)).unwrap();
    make(&w.database, w.tenant, kept).await;
    let mut job = w.start().await;
    w.until(&mut job, |s| s.counters.devices > 1).await;
    w.poll_of(lost, Outcome::Ok);
    w.poll_of(kept, Outcome::Ok);
    w.until(&mut job, |s| s.counters.device_events == 2).await;
    job.stop().await.unwrap();

    // The broker dropped what came before the last heartbeat, the checkpoints are lost, history was not written yet.
    let dir = tempfile::tempdir().unwrap();
    w.log = without(w.log.as_ref(), dir.path(), home(lost));
    std::fs::remove_dir_all(w.dir.path().join("checkpoints")).unwrap();
    let forget = "DELETE FROM lake_manifest";
    sqlx::query(forget).execute(&w.pool).await.unwrap();

    let refused = Job::start(w.config()).await.err().unwrap();
    let DataflowError::Gap { lost: found, .. } = &refused else {
        panic!("{refused:?}");
    };
    let next = w.log.ends(topics::TELEMETRY, home(lost)).unwrap().first;
    let expected = Lost {
        topic: topics::TELEMETRY,
        partition: home(lost),
        wanted: 0,
        first: next,
    };
    assert_eq!(found, &[expected]);
    let text = refused.to_string();
    for word in [
        format!(
            "mast.telemetry.v1 partition {} lost {next} records that are needed, offsets 0 to {}",
            home(lost),
            next - 1
        ),
        "checkpoint".to_owned(),
        "--accept-gap".to_owned(),
    ] {
        assert!(text.contains(&word), "{text}");
    }
    assert_eq!(w.state_of(lost).await, "online", "nothing was touched");

    // A person accepts it. What was served is made anew from what is left; nobody has polled since.
    let stale = "INSERT INTO device_status (device_id, tenant_id, state, since, epoch)
                 VALUES ($1, $2, 'offline', now(), 1)";
    let stale = sqlx::query(stale).bind(Uuid::now_v7()).bind(w.tenant.0);
    stale.execute(&w.pool).await.unwrap();
    let config = JobConfig {
        accept_gap: true,
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| !s.replaying && s.counters.polls == 1)
        .await;
    assert_eq!(w.state_of(lost).await, "unobserved");
    assert_eq!(w.state_of(kept).await, "online");
    assert_eq!(w.number("SELECT count(*) FROM device_status").await, 2);
    job.stop().await.unwrap();

    // Nobody has to accept it twice, also where only the acceptance itself is left of the checkpoints.
    for entry in std::fs::read_dir(w.dir.path().join("checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("0-0") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let mut job = w.start().await;
    w.until(&mut job, |s| !s.replaying).await;
    assert_eq!(w.state_of(lost).await, "unobserved");
    w.poll_of(lost, Outcome::Ok);
    w.until(&mut job, |s| s.counters.device_events == 1).await;
    assert_eq!(w.state_of(lost).await, "online");
    job.stop().await.unwrap();
    assert_eq!(w.told().await, (3, 2, 0, 5), "each once");
    // What places were is made again: nobody but history was told it.
    let places = w.in_lake("site_health_history").await;
    assert!(places >= Some(2), "{places:?}");
    for (table, rows) in [("device_events", 3), ("polls", 2)] {
        assert_eq!(w.in_lake(table).await, Some(rows), "{table}");
    }
}
