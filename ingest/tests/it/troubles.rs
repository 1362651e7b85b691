//! Bad days of a node: its clock, its keys, its log. Each ends in a state that says what is wrong and what helps.

use super::bench::{Bench, of, wait};
use super::support::{access_point, listen, router};
use mast_ingest::clock::{SystemClock, TimeSource as _};
use mast_ingest::spool::SpoolConfig;
use mast_ingest::{Concern, Node, NodeStats, Status};
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log as _};
use mast_schemas::records::Outcome;
use mast_schemas::{Timestamp, topics};
use mast_secrets::{FollowedKeyFile, KeyFile};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

fn trouble(stats: &NodeStats, concern: Concern) -> Option<&str> {
    let found = stats.troubles.iter().find(|(c, _)| *c == concern);
    found.map(|(_, why)| why.as_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_polls_nothing_says_so_and_polls_again_when_it_is_right() {
    let bench = Bench::new().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let address = listen(move |stream| {
        counted.fetch_add(1, Relaxed);
        router(stream, access_point())
    })
    .await;
    let device = bench.device(address, "secret").await;
    let clock = Arc::new(SystemClock::shifted(300_000));
    let mut config = bench.config().await;
    config.clock = clock.clone();
    let node = Node::start(config).await.unwrap();
    let stats = wait(&node, "the reason", |s| {
        trouble(s, Concern::Clock).is_some()
    })
    .await;
    let why = trouble(&stats, Concern::Clock).unwrap();
    assert!(
        why.contains("ahead of PostgreSQL's") && why.contains("NTP"),
        "{why}"
    );
    assert!(matches!(&stats.status, Status::Waiting(reason) if reason.contains("clock")));
    // A healthy node may have what this one doesn't hold.
    let healthy = bench.node().await;
    wait(&healthy, "everything", |s| s.status == Status::Polling(2)).await;
    healthy.stop().await;
    let before = connections.load(Relaxed);
    assert_eq!(node.stats().polls, 0);

    clock.set_shift(0);
    wait(&node, "polls", |s| {
        s.polls > 2 && s.status == Status::Polling(2)
    })
    .await;
    assert!(connections.load(Relaxed) > before);

    // Set while it runs, ahead and behind: nothing is held until it is right, and no row is stamped by it.
    for shift_ms in [300_000, -300_000] {
        clock.set_shift(shift_ms);
        wait(&node, "it stops", |s| {
            trouble(s, Concern::Clock).is_some() && s.devices == 0 && s.sessions == 0
        })
        .await;
        clock.set_shift(0);
        let polls = node.stats().polls;
        wait(&node, "it polls again", |s| s.polls > polls + 2).await;
    }
    assert!(!clock.was_set());
    node.stop().await;
    let rows = of(&bench.polls(), &device);
    let now = Timestamp::from_system(SystemTime::now());
    assert!(
        rows.windows(2)
            .all(|w| w[0].observed_at <= w[1].observed_at)
    );
    assert!(
        rows.iter()
            .all(|row| (now - row.observed_at).0.abs() < 120_000_000)
    );
    let ids: Vec<(u64, u64)> = rows.iter().map(|r| (r.lease_epoch, r.sequence)).collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_gone_or_wrong_is_told_and_costs_no_open_session() {
    let bench = Bench::new().await;
    let address = listen(|stream| router(stream, access_point())).await;
    let device = bench.device(address, "secret").await;
    let key = bench.folder.path().join("key");
    let backup = bench.folder.path().join("backup");
    std::fs::rename(&key, &backup).unwrap();

    // Lost before the start: the device's polls are ours to answer for.
    let mut config = bench.config().await;
    config.keys = Arc::new(FollowedKeyFile::new(&key));
    let node = Node::start(config).await.unwrap();
    let internal = Outcome::Internal as usize;
    let stats = wait(&node, "internal polls", |s| {
        s.outcomes[internal] > 1
            && trouble(s, Concern::Keys).is_some_and(|w| w.contains("1 devices"))
    })
    .await;
    let why = trouble(&stats, Concern::Keys).unwrap();
    assert!(
        why.contains("no key file") && why.contains("backup"),
        "{why}"
    );
    assert_eq!(
        stats.polls, stats.outcomes[internal],
        "nothing counts against the device"
    );

    // Another key in its place opens nothing either.
    KeyFile::open_or_create(&key).unwrap();
    wait(&node, "the wrong key", |s| {
        trouble(s, Concern::Keys).is_some_and(|why| why.contains("sealed with another key"))
    })
    .await;

    // Put right: polled without a restart.
    std::fs::rename(&backup, &key).unwrap();
    wait(&node, "polls", |s| {
        s.outcomes[0] > 2 && s.troubles.is_empty()
    })
    .await;

    // Lost while it runs: told, and the session lives.
    std::fs::rename(&key, &backup).unwrap();
    let stats = wait(&node, "the loss", |s| trouble(s, Concern::Keys).is_some()).await;
    assert!(
        trouble(&stats, Concern::Keys)
            .unwrap()
            .contains("key in memory")
    );
    wait(&node, "polls go on", |s| {
        s.outcomes[0] > stats.outcomes[0] + 2
    })
    .await;
    assert_eq!(node.stats().outcomes[internal], stats.outcomes[internal]);
    node.stop().await;
    let rows = of(&bench.polls(), &device);
    let why = rows[0].detail.as_deref().unwrap_or_default();
    assert!(why.contains("credentials can't be opened"), "{why}");
}

/// A log without room: polls wait on disk, over a restart of the node, and come in order when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_log_is_full_polls_wait_on_disk_and_none_is_lost() {
    let mut bench = Bench::new().await;
    bench.partitions = 1;
    // So small that it is full after some polls; a trim makes room.
    let small = EmbeddedConfig {
        fsync: Fsync::Never,
        segment_bytes: 16 << 10,
        max_bytes: Some(256 << 10),
        ..EmbeddedConfig::default()
    };
    bench.log = Arc::new(EmbeddedLog::open(bench.folder.path().join("small"), small).unwrap());
    let address = listen(|stream| router(stream, access_point())).await;
    let device = bench.device(address, "secret").await;
    let config = || async {
        let mut config = bench.config().await;
        config.spool = Some(SpoolConfig::new(bench.folder.path().join("spool")));
        config
    };
    let node = Node::start(config().await).await.unwrap();
    let stats = wait(&node, "polls on disk", |s| s.spool_polls > 3).await;
    let why = trouble(&stats, Concern::Log).unwrap();
    assert!(why.contains("full"), "{why}");
    assert_eq!(stats.polls_dropped, 0);
    let first = bench.polls().len();
    node.stop().await;

    let node = Node::start(config().await).await.unwrap();
    let stats = wait(&node, "more on disk", |s| s.spool_polls > 6).await;
    assert_eq!(stats.polls_dropped, 0);
    let kept = bench.polls();
    assert_eq!(kept.len(), first, "nothing went past what waits");
    let end = bench.log.ends(topics::TELEMETRY, 0).unwrap().next;
    bench.log.trim(topics::TELEMETRY, 0, end).unwrap();
    wait(&node, "the log takes them", |s| {
        s.spool_polls == 0 && trouble(s, Concern::Log).is_none()
    })
    .await;
    node.stop().await;
    let mut rows = of(&kept, &device);
    let seen = rows.last().map(|row| (row.lease_epoch, row.sequence));
    let later = of(&bench.polls(), &device);
    rows.extend(
        later
            .into_iter()
            .filter(|r| Some((r.lease_epoch, r.sequence)) > seen),
    );
    let ids: Vec<(u64, u64)> = rows.iter().map(|r| (r.lease_epoch, r.sequence)).collect();
    for pair in ids.windows(2) {
        let follows = pair[1] == (pair[0].0, pair[0].1 + 1) || pair[1] == (pair[0].0 + 1, 1);
        assert!(follows, "a poll is missing or out of order: {ids:?}");
    }
    assert!(ids.iter().any(|(epoch, _)| *epoch == 2));
}
