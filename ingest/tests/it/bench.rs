//! What a node needs around it: real Postgres, the embedded log, a key file, a tenant.

use super::support::{Said, said};
use mast_ingest::{Node, NodeConfig, NodeHandle, NodeStats};
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, Record};
use mast_postgres::testing::{Database, database};
use mast_postgres::{Role, tenant_tx};
use mast_schemas::control::{self, Change, ControlRecord, TlsPolicy};
use mast_schemas::message::WholePoll;
use mast_schemas::{DeviceId, TenantId, Timestamp, topics};
use mast_secrets::{Credentials, KeyFile, KeyProvider, Secret};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Bench {
    pub(crate) database: Database,
    pub(crate) api: sqlx::PgPool,
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) keys: Arc<KeyFile>,
    pub(crate) tenant: TenantId,
    pub(crate) partitions: u32,
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
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
            partitions: 2,
            folder,
        }
    }

    pub(crate) async fn config(&self) -> NodeConfig {
        let pool = self.database.pool(Role::Ingest).await;
        let mut config = NodeConfig::new(pool, self.log.clone(), self.keys.clone());
        config.partitions = self.partitions;
        config.lease_ttl = Duration::from_secs(2);
        config.cadences = super::slower::eager();
        config
    }

    pub(crate) async fn node(&self) -> NodeHandle {
        Node::start(self.config().await).await.unwrap()
    }

    /// Adds a device as an import would, but without a relay of its change.
    pub(crate) async fn device(&self, address: SocketAddr, password: &str) -> control::Device {
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

    pub(crate) fn sealed(&self, password: &str) -> Vec<u8> {
        let plain = Credentials::new("mast", Secret::new(password)).encode();
        self.keys.encrypt(self.tenant, &plain).unwrap()
    }

    /// What a relay would write.
    pub(crate) fn tell(&self, change: Change) {
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

    /// All messages of a partition, in its order.
    pub(crate) fn records(&self, place: u32) -> Vec<Record> {
        let mut found = Vec::new();
        let mut from = self.log.ends(topics::TELEMETRY, place).unwrap().first;
        loop {
            let entries = self
                .log
                .read(topics::TELEMETRY, place, from, 1 << 20)
                .unwrap();
            let Some(last) = entries.last() else {
                return found;
            };
            from = last.offset + 1;
            found.extend(entries.into_iter().map(|entry| entry.record));
        }
    }

    pub(crate) fn polls(&self) -> Vec<WholePoll> {
        let mut found = Vec::new();
        for place in 0..self.partitions {
            for record in self.records(place) {
                if let Said::Polls(polls) = said(&record) {
                    found.extend(polls);
                }
            }
        }
        found
    }

    /// Waits until the log holds polls as wanted.
    pub(crate) async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&[WholePoll]) -> bool,
    ) -> Vec<WholePoll> {
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

pub(crate) fn of(
    polls: &[WholePoll],
    device: &control::Device,
) -> Vec<mast_schemas::records::Poll> {
    polls
        .iter()
        .filter(|p| p.poll.device_id == device.id)
        .map(|p| p.poll.clone())
        .collect()
}

/// Waits until a node's counters are as wanted.
pub(crate) async fn wait(
    node: &NodeHandle,
    what: &str,
    wanted: impl Fn(&NodeStats) -> bool,
) -> NodeStats {
    for _ in 0..1_500 {
        let stats = node.stats();
        if wanted(&stats) {
            return stats;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {:?}", node.stats());
}
