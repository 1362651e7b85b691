//! A whole node: real Postgres, real sockets, the embedded log.

use super::support::{Said, access_point, listen, router, said};
use mast_ingest::{Node, NodeConfig, NodeHandle, Status};
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, Record};
use mast_postgres::testing::{Database, database};
use mast_postgres::{Role, tenant_tx};
use mast_schemas::control::{self, Change, ControlRecord, TlsPolicy};
use mast_schemas::message::WholePoll;
use mast_schemas::records::{EventOrigin, Outcome};
use mast_schemas::{DeviceId, TenantId, Timestamp, topics};
use mast_secrets::{Credentials, KeyFile, KeyProvider, Secret};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

struct Bench {
    database: Database,
    api: sqlx::PgPool,
    log: Arc<EmbeddedLog>,
    keys: Arc<KeyFile>,
    tenant: TenantId,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig {
            fsync: Fsync::Never,
            ..EmbeddedConfig::default()
        };
        let log = Arc::new(EmbeddedLog::open(folder.path().join("log"), config).unwrap());
        let keys = Arc::new(KeyFile::open_or_create(&folder.path().join("key")).unwrap());
        let database = database().await;
        let api = database.pool(Role::Api).await;
        let tenant = TenantId::new();
        let mut tx = tenant_tx(&api, tenant).await.unwrap();
        sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'acme')")
            .bind(tenant.0)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        Self {
            database,
            api,
            log,
            keys,
            tenant,
            _folder: folder,
        }
    }

    async fn node(&self) -> NodeHandle {
        let pool = self.database.pool(Role::Ingest).await;
        let mut config = NodeConfig::new(pool, self.log.clone(), self.keys.clone());
        config.partitions = 2;
        config.lease_ttl = Duration::from_secs(2);
        config.cadences = super::slower::eager();
        Node::start(config).await.unwrap()
    }

    /// Adds a device as an import would, but without a relay of its change.
    async fn device(&self, address: SocketAddr, password: &str) -> control::Device {
        let device = control::Device {
            id: DeviceId::new(),
            tenant_id: self.tenant,
            name: format!("device {}", uuid::Uuid::now_v7()),
            address: address.ip().to_string(),
            api_port: address.port(),
            api_ssl_port: 8729,
            tls: TlsPolicy::Plain,
            site_id: None,
            sector_id: None,
            role: control::Role::Ap,
            interval_ms: 300,
            enabled: true,
            credentials_version: 1,
            version: 1,
        };
        let mut tx = tenant_tx(&self.api, self.tenant).await.unwrap();
        sqlx::query(
            "INSERT INTO devices (id, tenant_id, name, address, api_port, tls, role, interval_ms, credentials_version) \
             VALUES ($1, $2, $3, $4, $5, 'plain', 'ap', 300, 1)",
        )
        .bind(device.id.0)
        .bind(device.tenant_id.0)
        .bind(&device.name)
        .bind(&device.address)
        .bind(i32::from(device.api_port))
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO device_credentials (device_id, tenant_id, ciphertext) VALUES ($1, $2, $3)",
        )
        .bind(device.id.0)
        .bind(device.tenant_id.0)
        .bind(self.sealed(password))
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        device
    }

    fn sealed(&self, password: &str) -> Vec<u8> {
        let plain = Credentials::new("mast", Secret::new(password)).encode();
        self.keys.encrypt(self.tenant, &plain).unwrap()
    }

    /// What a relay would write.
    fn tell(&self, change: Change) {
        let body = ControlRecord {
            outbox_id: 1,
            at: Timestamp(0),
            change,
        }
        .encode();
        let record = Record {
            body: body.into(),
            ..Record::default()
        };
        self.log.append(topics::CONTROL, 0, &[record]).unwrap();
    }

    fn polls(&self) -> Vec<WholePoll> {
        let mut found = Vec::new();
        for place in 0..2 {
            let mut from = 0;
            loop {
                let entries = self
                    .log
                    .read(topics::TELEMETRY, place, from, 1 << 20)
                    .unwrap();
                let Some(last) = entries.last() else { break };
                from = last.offset + 1;
                for entry in &entries {
                    if let Said::Polls(polls) = said(&entry.record) {
                        found.extend(polls);
                    }
                }
            }
        }
        found
    }

    /// Waits until the log holds polls as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&[WholePoll]) -> bool) -> Vec<WholePoll> {
        for _ in 0..600 {
            let polls = self.polls();
            if wanted(&polls) {
                return polls;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "{what}: {:?}",
            self.polls().iter().map(|p| &p.poll).collect::<Vec<_>>()
        );
    }
}

fn of(polls: &[WholePoll], device: &control::Device) -> Vec<mast_schemas::records::Poll> {
    polls
        .iter()
        .filter(|p| p.poll.device_id == device.id)
        .map(|p| p.poll.clone())
        .collect()
}

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
    assert_eq!(node.stats().status, Status::Polling(1));

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
    while node.stats().devices != 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
    while node.stats().devices != 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
    for place in 0..2 {
        let end = bench.log.ends(topics::TELEMETRY, place).unwrap().next;
        let last = bench
            .log
            .read(topics::TELEMETRY, place, end - 1, 1 << 20)
            .unwrap();
        let Said::Heartbeat(goodbye) = said(&last[0].record) else {
            panic!("no goodbye")
        };
        assert!(goodbye.shards.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_waits_and_then_has_a_higher_epoch() {
    let bench = Bench::new().await;
    let address = listen(|stream| router(stream, access_point())).await;
    let device = bench.device(address, "secret").await;
    let first = bench.node().await;
    bench
        .until("polls", |polls| !of(polls, &device).is_empty())
        .await;
    let second = bench.node().await;
    let waits = |status: &Status| matches!(status, Status::Waiting(why) if why.contains("another"));
    while !waits(&second.stats().status) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.stop().await;
    let polls = bench
        .until("polls of the second", |polls| {
            of(polls, &device).iter().any(|p| p.lease_epoch == 2)
        })
        .await;
    let epochs: Vec<u64> = of(&polls, &device).iter().map(|p| p.lease_epoch).collect();
    assert!(epochs.is_sorted(), "{epochs:?}");
    second.stop().await;
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
