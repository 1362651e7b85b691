//! A database with tenants, channels and routes, requests as a dataflow job adds them, and dispatchers over it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mast_notify::channel::Settings;
use mast_notify::guard::Guard;
use mast_notify::{Dispatcher, DispatcherConfig, Resolve, Sender, SenderConfig};
use mast_postgres::testing::{self, Database};
use mast_postgres::{Role, tenant_tx};
use mast_schemas::TenantId;
use mast_secrets::{KeyFile, KeyProvider};
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

/// The key of all webhooks here.
pub(crate) const KEY: &str = "0123456789abcdef";

pub(crate) struct World {
    pub(crate) api: PgPool,
    pub(crate) keys: Arc<dyn KeyProvider>,
    dataflow: PgPool,
    _database: Database,
    _folder: TempDir,
}

/// What a request says beside its ids.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) incident: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) site: Option<Uuid>,
    pub(crate) title: String,
    /// Minutes of its time behind 2026-03-06T12:00:00Z, a Friday.
    pub(crate) minute: i64,
}

pub(crate) fn ask(title: &str) -> Ask {
    Ask {
        incident: Uuid::now_v7(),
        kind: "opened",
        severity: "warning",
        site: None,
        title: title.to_owned(),
        minute: 0,
    }
}

/// One that knows no name.
pub(crate) struct Nobody;

#[async_trait]
impl Resolve for Nobody {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::Error::other(format!("nobody knows {name}")))
    }
}

/// What sends in tests: to this machine, quickly impatient.
pub(crate) fn sender_config() -> SenderConfig {
    SenderConfig {
        guard: Guard::new(vec!["127.0.0.1/32".parse().unwrap()]),
        resolver: Arc::new(Nobody),
        ..SenderConfig::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = testing::database().await;
        let folder = tempfile::tempdir().unwrap();
        Self {
            api: database.pool(Role::Api).await,
            keys: Arc::new(KeyFile::open_or_create(&folder.path().join("key")).unwrap()),
            dataflow: database.pool(Role::Dataflow).await,
            _database: database,
            _folder: folder,
        }
    }

    pub(crate) async fn tenant(&self, name: &str) -> TenantId {
        let tenant = TenantId::new();
        let sql = "INSERT INTO tenants (id, name) VALUES ($1, $2)";
        let mut tx = tenant_tx(&self.api, tenant).await.unwrap();
        sqlx::query(sql)
            .bind(tenant.0)
            .bind(name)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        tenant
    }

    /// A channel with these settings.
    pub(crate) async fn channel(
        &self,
        tenant: TenantId,
        kind: &str,
        settings: Value,
        digest_over: Option<i32>,
    ) -> Uuid {
        let settings: Settings = serde_json::from_value(json!({ kind: settings })).unwrap();
        let id = Uuid::now_v7();
        let mut tx = tenant_tx(&self.api, tenant).await.unwrap();
        sqlx::query(
            "INSERT INTO notification_channels (tenant_id, id, name, kind, digest_over, target, settings)
             VALUES ($1, $2, $2::text, $3, $4, '', $5)",
        )
        .bind(tenant.0)
        .bind(id)
        .bind(kind)
        .bind(digest_over)
        .bind(serde_json::to_value(settings.public()).unwrap())
        .execute(&mut *tx)
        .await
        .unwrap();
        let sealed = settings.secrets().seal(&*self.keys, tenant).unwrap();
        sqlx::query("INSERT INTO notification_channel_secrets (tenant_id, channel_id, ciphertext) VALUES ($1, $2, $3)")
            .bind(tenant.0)
            .bind(id)
            .bind(sealed)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// A webhook, and a route that leads everything to it.
    pub(crate) async fn webhook(&self, tenant: TenantId, url: &str) -> Uuid {
        let channel = self
            .channel(
                tenant,
                "webhook",
                json!({ "url": url, "key": KEY }),
                Some(5),
            )
            .await;
        self.route(tenant, &[channel]).await;
        channel
    }

    /// A route that leads everything to these channels.
    pub(crate) async fn route(&self, tenant: TenantId, channels: &[Uuid]) -> Uuid {
        let id = Uuid::now_v7();
        let mut tx = tenant_tx(&self.api, tenant).await.unwrap();
        sqlx::query(
            "INSERT INTO notification_routes (tenant_id, id, name, least_severity, kinds, time_zone, channel_ids)
             VALUES ($1, $2, $2::text, 'info', '{opened,escalated,resolved}', 'UTC', $3)",
        )
        .bind(tenant.0)
        .bind(id)
        .bind(channels)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Adds a request, as a dataflow job does.
    pub(crate) async fn request(&self, tenant: TenantId, ask: &Ask) -> Uuid {
        self.requests(tenant, std::slice::from_ref(ask)).await[0]
    }

    /// Adds requests, all at one moment.
    pub(crate) async fn requests(&self, tenant: TenantId, asks: &[Ask]) -> Vec<Uuid> {
        let mut tx = self.dataflow.begin().await.unwrap();
        let mut ids = Vec::new();
        for ask in asks {
            let id = Uuid::now_v7();
            let content = json!({
                "title": ask.title, "cause": "power", "root": { "kind": "site", "id": "1", "name": "Hill" }, "site": null,
                "devices_affected": 3, "clients_affected": 0, "opened_at": 1_772_798_400_000_000_i64, "resolved_at": null,
            });
            sqlx::query(
                "INSERT INTO notification_requests (id, tenant_id, incident_id, kind, severity, site_id, happened_at, content)
                 VALUES ($1, $2, $3, $4, $5, $6, timestamptz '2026-03-06T12:00:00Z' + $7 * interval '1 minute', $8)
                 ON CONFLICT DO NOTHING",
            )
            .bind(id)
            .bind(tenant.0)
            .bind(ask.incident)
            .bind(ask.kind)
            .bind(ask.severity)
            .bind(ask.site)
            .bind(ask.minute)
            .bind(content)
            .execute(&mut *tx)
            .await
            .unwrap();
            ids.push(id);
        }
        tx.commit().await.unwrap();
        ids
    }

    pub(crate) fn dispatcher(&self) -> Dispatcher {
        self.dispatcher_with(sender_config())
    }

    pub(crate) fn dispatcher_with(&self, sender: SenderConfig) -> Dispatcher {
        Dispatcher::start(self.dispatching(sender))
    }

    pub(crate) fn dispatching(&self, sender: SenderConfig) -> DispatcherConfig {
        let keys = Arc::clone(&self.keys);
        let mut config = DispatcherConfig::new(self.api.clone(), keys, Sender::new(sender));
        config.every = Duration::from_millis(20);
        config
    }

    /// Runs a statement for a tenant, whose id is `$1`.
    pub(crate) async fn run(&self, tenant: TenantId, sql: &'static str) -> u64 {
        let mut tx = tenant_tx(&self.api, tenant).await.unwrap();
        let done = sqlx::query(sql)
            .bind(tenant.0)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        done.rows_affected()
    }

    /// As if the pauses of all deliveries were over.
    pub(crate) async fn no_pauses(&self, tenant: TenantId) {
        self.run(
            tenant,
            "UPDATE notification_deliveries SET next_attempt_at = clock_timestamp() WHERE tenant_id = $1 AND state = 'pending'",
        )
        .await;
    }

    /// As if all claims had passed.
    pub(crate) async fn no_claims(&self, tenant: TenantId) {
        let passed = self.run(
            tenant,
            "UPDATE notification_deliveries SET claimed_until = clock_timestamp() WHERE tenant_id = $1 AND state = 'sending'",
        );
        assert!(passed.await > 0, "nothing was claimed");
    }

    /// Texts of a query of a tenant, whose id is `$1`.
    pub(crate) async fn texts(&self, tenant: TenantId, sql: &'static str) -> Vec<String> {
        let mut tx = tenant_tx(&self.api, tenant).await.unwrap();
        sqlx::query_scalar(sql)
            .bind(tenant.0)
            .fetch_all(&mut *tx)
            .await
            .unwrap()
    }

    /// State, attempts and reason of all deliveries, oldest first.
    pub(crate) async fn deliveries(&self, tenant: TenantId) -> Vec<String> {
        self.texts(
            tenant,
            "SELECT concat_ws(' ', state, attempts, reason) FROM notification_deliveries WHERE tenant_id = $1
             ORDER BY happened_at, created_at, id",
        )
        .await
    }

    /// All attempts: outcome, number, whether repeated, status.
    pub(crate) async fn attempts(&self, tenant: TenantId) -> Vec<String> {
        self.texts(
            tenant,
            "SELECT concat_ws(' ', outcome, attempt, CASE WHEN repeated THEN 'repeated' END, status)
             FROM notification_attempts WHERE tenant_id = $1 ORDER BY id",
        )
        .await
    }

    /// Waits until all deliveries are so; there must be some.
    pub(crate) async fn until(&self, tenant: TenantId, what: impl Fn(&[String]) -> bool) {
        let waiting = async {
            loop {
                let deliveries = self.deliveries(tenant).await;
                if !deliveries.is_empty() && what(&deliveries) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .is_err()
        {
            panic!(
                "{:?} {:?}",
                self.deliveries(tenant).await,
                self.attempts(tenant).await
            );
        }
    }

    pub(crate) async fn until_delivered(&self, tenant: TenantId) {
        self.until(tenant, |all| {
            all.iter().all(|one| one.starts_with("delivered"))
        })
        .await;
    }
}
