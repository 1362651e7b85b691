//! A whole node: real Postgres, real sockets, the embedded log.

use super::bench::{Bench, of, wait};
use super::support::{Said, access_point, listen, router, said};
use mast_ingest::Status;
use mast_postgres::tenant_tx;
use mast_schemas::control::{self, Change};
use mast_schemas::message::WholePoll;
use mast_schemas::records::{EventOrigin, Outcome};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_are_polled_and_changes_followed() {
    let bench = Bench::new().await;
    let address = listen(|stream| router(stream, access_point())).await;
    let first = bench.device(address, "secret").await;
    let node = bench.node().await;
    let polls = bench
        .until("polls of the device", |polls| {
            of(polls, &first)
                .iter()
                .filter(|p| p.outcome == Outcome::Ok)
                .count()
                >= 3
        })
        .await;
    let rows = of(&polls, &first);
    assert!(rows.windows(2).all(|w| w[0].sequence < w[1].sequence));
    assert!(
        rows.windows(2)
            .all(|w| w[0].observed_at <= w[1].observed_at)
    );
    assert!(
        rows.iter()
            .all(|p| p.next_due_at > p.observed_at && p.lease_epoch == 1)
    );
    let whole = polls.iter().find(|p| p.poll.device_id == first.id).unwrap();
    assert_eq!((whole.registrations.len(), whole.interfaces.len()), (1, 2));
    assert_eq!(node.stats().status, Status::Polling(2));

    // Added live, with a password that is wrong at first.
    let second = bench.device(address, "wrong").await;
    bench.tell(Change::Device(second.clone()));
    let failed = |polls: &[WholePoll]| {
        of(polls, &second)
            .iter()
            .any(|p| p.outcome == Outcome::AuthFailed)
    };
    bench.until("the wrong password", failed).await;
    let sealed = bench.sealed("secret");
    let mut tx = tenant_tx(&bench.api, bench.tenant).await.unwrap();
    sqlx::query("UPDATE device_credentials SET ciphertext = $2, version = 2 WHERE device_id = $1")
        .bind(second.id.0)
        .bind(sealed)
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("UPDATE devices SET credentials_version = 2 WHERE id = $1")
        .bind(second.id.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    bench.tell(Change::Device(control::Device {
        credentials_version: 2,
        version: 2,
        ..second.clone()
    }));
    let healed = |polls: &[WholePoll]| of(polls, &second).iter().any(|p| p.outcome == Outcome::Ok);
    bench.until("the right password", healed).await;

    // Disabled and enabled again: no sequence is used twice.
    bench.tell(Change::Device(control::Device {
        enabled: false,
        version: 2,
        ..first.clone()
    }));
    wait(&node, "one device less", |stats| stats.devices == 1).await;
    let before = of(&bench.polls(), &first).len();
    bench.tell(Change::Device(control::Device {
        version: 3,
        ..first.clone()
    }));
    let polls = bench
        .until("the device again", |p| of(p, &first).len() > before + 3)
        .await;
    let mut sequences: Vec<u64> = of(&polls, &first).iter().map(|p| p.sequence).collect();
    let count = sequences.len();
    sequences.dedup();
    assert!(
        sequences.len() == count && sequences.is_sorted(),
        "{sequences:?}"
    );

    bench.tell(Change::DeviceDeleted { id: first.id });
    bench.tell(Change::TenantDeleted { id: bench.tenant });
    wait(&node, "no device", |stats| stats.devices == 0).await;
    node.stop().await;
    for place in 0..2 {
        let last = bench.records(place).pop().unwrap();
        let Said::Heartbeat(goodbye) = said(&last) else {
            panic!("no goodbye")
        };
        assert!(goodbye.shards.is_empty());
    }
}

/// A node that ends in order keeps how far it has read; the next one tells no line again and misses none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_of_a_log_survives_the_node() {
    let bench = Bench::new().await;
    let router = super::slower::Router::new();
    router.log("before");
    let device = bench.device(router.address().await, "secret").await;
    let told = |polls: &[WholePoll]| -> Vec<String> {
        let mut polls: Vec<_> = polls
            .iter()
            .filter(|p| p.poll.device_id == device.id)
            .collect();
        polls.sort_by_key(|p| p.poll.id());
        let events = polls.iter().flat_map(|p| &p.slow.events);
        let of_device = events.filter(|e| e.origin == EventOrigin::Device);
        of_device.map(|e| e.message.clone()).collect()
    };
    let node = bench.node().await;
    bench
        .until("the first line", |polls| told(polls) == ["before"])
        .await;
    node.stop().await;
    router.log("between");
    let node = bench.node().await;
    bench
        .until("the next line", |polls| told(polls).len() >= 2)
        .await;
    router.log("after");
    let polls = bench
        .until("the last line", |polls| told(polls).len() >= 3)
        .await;
    assert_eq!(told(&polls), ["before", "between", "after"]);
    node.stop().await;
}
