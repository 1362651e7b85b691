//! What a node needs around it: real Postgres, the embedded log, a key file, a tenant.

use super::support::{Said, said};
use mast_ingest::{Node, NodeConfig, NodeHandle, NodeStats};
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, Record};
use mast_postgres::testing::{Database, database};
use mast_postgres::{Role, tenant_tx};
use mast_schemas::control::{self, Change, ControlRecord, TlsPolicy};
use mast_schemas::message::WholePoll;
use mast_schemas::{DeviceId, SiteId, TenantId, Timestamp, topics};
use mast_secrets::{Credentials, KeyFile, KeyProvider, Secret};
use std::collections::HashMap;
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
        let tenant = another_tenant(&api).await;
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

    /// A second tenant.
    pub(crate) async fn another_tenant(&self) -> TenantId {
        another_tenant(&self.api).await
    }

    /// Takes a device out, as a person of its tenant would.
    pub(crate) async fn delete(&self, device: &control::Device) {
        let mut tx = tenant_tx(&self.api, device.tenant_id).await.unwrap();
        sqlx::query("DELETE FROM devices WHERE id = $1")
            .bind(device.id.0)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Adds a device with the plain API, on no site.
    pub(crate) async fn device(&self, address: SocketAddr, password: &str) -> control::Device {
        let device = self.unplaced(address);
        self.add(&device, &Credentials::new("mast", Secret::new(password)))
            .await;
        device
    }

    /// A device of the bench's tenant that nobody has added yet.
    pub(crate) fn unplaced(&self, address: SocketAddr) -> control::Device {
        control::Device {
            id: DeviceId::new(),
            tenant_id: self.tenant,
            name: format!("device {}", uuid::Uuid::now_v7()),
            address: address.ip().to_string(),
            api_port: address.port(),
            api_ssl_port: 8729,
            tls: TlsPolicy::Plain,
            site_id: None,
            sector_id: None,
            parent_id: None,
            group_ids: Vec::new(),
            tag_ids: Vec::new(),
            role: control::Role::Ap,
            interval_ms: 300,
            enabled: true,
            credentials_version: 1,
            version: 1,
        }
    }

    /// Adds a site.
    pub(crate) async fn site(&self) -> SiteId {
        let site = SiteId::new();
        let mut tx = tenant_tx(&self.api, self.tenant).await.unwrap();
        sqlx::query("INSERT INTO sites (id, tenant_id, name) VALUES ($1, $2, $3)")
            .bind(site.0)
            .bind(self.tenant.0)
            .bind(site.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        site
    }

    /// Adds a device as an import would, but without a relay of its change.
    pub(crate) async fn add(&self, device: &control::Device, credentials: &Credentials) {
        let tenant = device.tenant_id;
        let sealed = self.keys.encrypt(tenant, &credentials.encode()).unwrap();
        let mut tx = tenant_tx(&self.api, tenant).await.unwrap();
        sqlx::query(
            "INSERT INTO devices (id, tenant_id, name, address, api_port, api_ssl_port, tls, site_id, role, interval_ms, \
             credentials_version, has_credentials) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, true)",
        )
        .bind(device.id.0)
        .bind(tenant.0)
        .bind(&device.name)
        .bind(&device.address)
        .bind(i32::from(device.api_port))
        .bind(i32::from(device.api_ssl_port))
        .bind(device.tls.to_string())
        .bind(device.site_id.map(|site| site.0))
        .bind(device.role.to_string())
        .bind(i32::try_from(device.interval_ms).unwrap())
        .bind(device.credentials_version)
        .execute(&mut *tx)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO device_credentials (device_id, tenant_id, ciphertext) VALUES ($1, $2, $3)",
        )
        .bind(device.id.0)
        .bind(tenant.0)
        .bind(sealed)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
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

async fn another_tenant(api: &sqlx::PgPool) -> TenantId {
    let tenant = TenantId::new();
    let mut tx = tenant_tx(api, tenant).await.unwrap();
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, $2)")
        .bind(tenant.0)
        .bind(tenant.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    tenant
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

/// All polls of the log, read on from where it was read.
#[derive(Default)]
pub(crate) struct Reader {
    next: HashMap<u32, u64>,
    pub(crate) polls: Vec<WholePoll>,
}

impl Reader {
    pub(crate) fn read(&mut self, bench: &Bench) {
        for place in 0..bench.partitions {
            let next = self.next.entry(place).or_default();
            let entries = bench.log.read(topics::TELEMETRY, place, *next, 64 << 20);
            for entry in entries.unwrap_or_default() {
                *next = entry.offset + 1;
                if let Said::Polls(polls) = said(&entry.record) {
                    self.polls.extend(polls);
                }
            }
        }
    }
}
