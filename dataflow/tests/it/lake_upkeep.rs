//! The lake is rolled up and rid of what is too old, as far as its disk lets it.

use std::time::Duration;

use mast_dataflow::job::{Job, JobConfig, JobStatus};
use mast_dataflow::troubles::Place;
use mast_lake::Retention;
use mast_schemas::health::{Part, State};
use mast_schemas::records::Outcome;
use mast_schemas::time::Span;

use crate::job::{now, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollups_that_find_no_room_delay_neither_commits_nor_retention_and_lose_nothing() {
    let mut w = world().await;
    let config = JobConfig {
        lake_every: Duration::ZERO,
        upkeep_every: Duration::from_millis(100),
        retention: Retention {
            raw: Span::secs(10),
            ..Retention::default()
        },
        ..w.config()
    };
    let polls = w.config().lake().join("poll_1m");
    let aside = polls.with_extension("aside");
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| s.counters.devices > 0).await;
    w.poll(Outcome::Ok);
    let status = w.until(&mut job, |s| s.counters.device_events == 1).await;
    w.until(&mut job, |s| s.lake_epoch >= status.epoch).await;
    assert_eq!(w.in_lake("device_events").await, Some(1));

    // The minute of the poll closes, and the poll is too old.
    std::fs::rename(&polls, &aside).unwrap();
    std::fs::write(&polls, "no folder").unwrap();
    w.forward(Duration::from_secs(180));
    let waits = |s: &JobStatus| s.troubles.now().contains_key(&Place::Upkeep);
    let status = w.until(&mut job, waits).await;
    let health = status.health("main", now());
    let lake = health.iter().find(|part| part.part == Part::Lake).unwrap();
    assert_eq!(lake.state, State::Failed);
    assert!(lake.remedy.contains("make room on the disk"), "{lake:?}");
    let later = status.epoch.0 + 8;
    let status = w.until(&mut job, |s| s.lake_epoch.0 > later).await;
    assert!(waits(&status) && !status.troubles.now().contains_key(&Place::Lake));
    while w.in_lake("device_events").await != Some(0) {
        w.until(&mut job, waits).await;
    }
    assert_eq!(w.in_lake("polls").await, Some(1), "it is not rolled up yet");
    assert_eq!(w.in_lake("poll_1m").await, Some(0));

    std::fs::remove_file(&polls).unwrap();
    std::fs::rename(&aside, &polls).unwrap();
    w.until(&mut job, |s| !waits(s)).await;
    while w.in_lake("polls").await != Some(0) {
        let epoch = job.status().borrow().epoch;
        w.until(&mut job, |s| s.epoch > epoch).await;
    }
    assert_eq!(w.in_lake("poll_1m").await, Some(1));
    job.stop().await.unwrap();
    assert_eq!(w.in_lake("poll_1m").await, Some(1), "once");
}
