//! The lake's disk takes nothing for a while.

use std::path::PathBuf;
use std::time::Duration;

use mast_dataflow::job::{Job, JobConfig, JobStatus};
use mast_dataflow::troubles::Place;
use mast_schemas::health::State;
use mast_schemas::records::Outcome;

use crate::job::{World, now, world};

/// The lake's folder goes away and comes back.
struct Lake {
    there: PathBuf,
    aside: PathBuf,
}

impl Lake {
    fn of(w: &World) -> Self {
        let there = w.config().lake();
        let aside = there.with_extension("aside");
        Self { there, aside }
    }

    fn away(&self) {
        std::fs::rename(&self.there, &self.aside).unwrap();
        std::fs::write(&self.there, "no folder").unwrap();
    }

    fn back(&self) {
        std::fs::remove_file(&self.there).unwrap();
        std::fs::rename(&self.aside, &self.there).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_lake_takes_nothing_views_go_on_until_a_bound_of_bytes() {
    let mut w = world().await;
    let lake = Lake::of(&w);
    let waits = |s: &JobStatus, place| s.troubles.now().contains_key(&place);
    let config = JobConfig {
        lake_every: Duration::ZERO,
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| s.counters.devices > 0).await;
    lake.away();
    w.poll(Outcome::Ok);
    let status = w.until(&mut job, |s| waits(s, Place::Lake)).await;
    // More groups than find room between the committer and the lake's task.
    let groups = status.counters.groups + 40;
    let status = w.until(&mut job, |s| s.counters.groups > groups).await;
    assert!(waits(&status, Place::Lake) && !waits(&status, Place::Stall));
    assert!(status.lake_waiting_bytes > 0);
    lake.back();
    w.until(&mut job, |s| {
        !waits(s, Place::Lake) && s.lake_epoch >= status.epoch
    })
    .await;
    job.stop().await.unwrap();

    // Hardly anything may wait.
    let config = JobConfig {
        lake_buffer: 1,
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| !s.replaying).await;
    lake.away();
    w.poll(Outcome::Ok);
    let status = w.until(&mut job, |s| waits(s, Place::Stall)).await;
    let health = &status.health("main", now())[0];
    assert_eq!(health.state, State::Failed);
    assert!(
        health.reason.contains("views stand still"),
        "{}",
        health.reason
    );
    w.poll(Outcome::Ok);
    lake.back();
    w.until(&mut job, |s| {
        s.troubles.now().is_empty() && s.counters.polls == 2
    })
    .await;
    job.stop().await.unwrap();
    let sql = "SELECT sum(rows)::bigint FROM lake_manifest WHERE table_name = 'polls'";
    assert_eq!(w.number(sql).await, 3, "each once");
}
