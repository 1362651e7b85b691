//! Two tenants with rows in every table, the service over them in this process, and a client for each who may ask.
//!
//! Every text of tenant B holds [`SECRET`], and none of A does: what A sees of B shows.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use futures::StreamExt;
use mast_api::token::{self, NewToken, Role};
use mast_api::{ApiConfig, Rate, router};
use mast_lake::{LakeConfig, LakeWriter, Table};
use mast_notify::guard::Guard;
use mast_notify::{Sender, SenderConfig};
use mast_postgres::testing::{self, Database};
use mast_postgres::{impatient_pool, tenant_tx};
use mast_query::{Engine, EngineConfig};
use mast_schemas::column::Record;
use mast_schemas::records::{Event, Interface, Poll, Registration};
use mast_schemas::views::{HealthSample, PLACE_TICK};
use mast_schemas::{Epoch, Mac, TenantId, Timestamp};
use mast_secrets::{KeyFile, KeyProvider};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use tower::ServiceExt;
use uuid::Uuid;

/// In every text of tenant B, in none of A.
pub(crate) const SECRET: &str = "BBB";

/// A tenant of the fixture, by a number: `0xa` or `0xb`.
#[derive(Clone, Copy)]
pub(crate) struct Fleet {
    number: u128,
    pub(crate) word: &'static str,
}

pub(crate) const A: Fleet = Fleet {
    number: 0xa,
    word: "AAA",
};
pub(crate) const B: Fleet = Fleet {
    number: 0xb,
    word: SECRET,
};

impl Fleet {
    pub(crate) fn tenant(self) -> TenantId {
        TenantId(Uuid::from_u128(self.number))
    }

    /// The n-th thing of the tenant.
    pub(crate) fn id(self, n: u128) -> Uuid {
        Uuid::from_u128(self.number << 12 | n)
    }

    pub(crate) fn site(self) -> Uuid {
        self.id(0x101)
    }

    pub(crate) fn sector(self) -> Uuid {
        self.id(0x201)
    }

    pub(crate) fn ap(self) -> Uuid {
        self.id(1)
    }

    pub(crate) fn group(self) -> Uuid {
        self.id(0x401)
    }

    pub(crate) fn tag(self) -> Uuid {
        self.id(0x501)
    }

    pub(crate) fn thresholds(self) -> Uuid {
        self.id(0x601)
    }

    pub(crate) fn rule(self) -> Uuid {
        self.id(0x901)
    }

    pub(crate) fn window(self) -> Uuid {
        self.id(0x902)
    }

    /// An open alert, of the second access point.
    pub(crate) fn alert(self) -> Uuid {
        self.id(0x903)
    }

    /// An alert that resolved.
    pub(crate) fn resolved(self) -> Uuid {
        self.id(0x904)
    }

    pub(crate) fn incident(self) -> Uuid {
        self.id(0x905)
    }

    /// The client whose signal degrades.
    pub(crate) fn degrading(self) -> Mac {
        self.mac(2)
    }

    pub(crate) fn channel(self) -> Uuid {
        self.id(0x901)
    }

    pub(crate) fn route(self) -> Uuid {
        self.id(0x911)
    }

    pub(crate) fn delivery(self) -> Uuid {
        self.id(0x921)
    }

    fn mac(self, n: u64) -> Mac {
        Mac(0x0200_0000_0000 | u64::try_from(self.number).unwrap() << 8 | n)
    }

    /// What the link of the first client is called.
    pub(crate) fn link(self) -> String {
        let (radio, mac) = (self.mac(0xf1), self.mac(1));
        format!("{}.{:012x}.{:012x}", self.ap(), radio.0, mac.0)
    }
}

pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) api: PgPool,
    pub(crate) router: Router,
    pub(crate) keys: Arc<dyn KeyProvider>,
    owner: PgPool,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A world whose service is set otherwise.
    pub(crate) async fn with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        // A request that fails says why in the log alone.
        let logging = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::ERROR)
            .with_test_writer();
        let _ = logging.try_init();
        let database = testing::database().await;
        let folder = tempfile::tempdir().unwrap();
        let api = database.pool(mast_postgres::Role::Api).await;
        let dataflow = database.pool(mast_postgres::Role::Dataflow).await;
        for fleet in [A, B] {
            model(&api, fleet).await;
            views(&dataflow, fleet).await;
            alerts(&dataflow, fleet).await;
            notifications(&api, &dataflow, fleet).await;
        }
        sqlx::query("INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, $1)")
            .bind(i64::try_from(epoch().0).unwrap())
            .execute(&dataflow)
            .await
            .unwrap();
        lake(&dataflow, &folder.path().join("lake")).await;
        let keys: Arc<dyn KeyProvider> =
            Arc::new(KeyFile::open_or_create(&folder.path().join("key")).unwrap());
        let mut config = config(&database, folder.path(), Arc::clone(&keys));
        change(&mut config);
        Self {
            owner: database.pool(mast_postgres::Role::Owner).await,
            database,
            api,
            router: router(config),
            keys,
            folder,
        }
    }

    /// A client with a new token.
    pub(crate) async fn client(&self, fleet: Option<Fleet>, role: Role) -> Client {
        let new = NewToken {
            tenant_id: fleet.map(Fleet::tenant),
            name: role.to_string(),
            role,
            lifetime_s: 3_600,
        };
        let (id, text) = token::create(&self.owner, &new).await.unwrap();
        Client {
            router: self.router.clone(),
            token: Some(text.expose().to_owned()),
            token_id: id,
            tenant: None,
        }
    }

    pub(crate) async fn viewer(&self) -> Client {
        self.client(Some(A), Role::Viewer).await
    }

    pub(crate) async fn operator(&self) -> Client {
        self.client(Some(A), Role::Operator).await
    }

    pub(crate) async fn admin(&self) -> Client {
        self.client(Some(A), Role::Admin).await
    }

    /// The admin of the other tenant.
    pub(crate) async fn stranger(&self) -> Client {
        self.client(Some(B), Role::Admin).await
    }

    pub(crate) async fn super_admin(&self) -> Client {
        self.client(None, Role::SuperAdmin).await
    }

    /// Somebody without a token.
    pub(crate) fn nobody(&self) -> Client {
        Client {
            router: self.router.clone(),
            token: None,
            token_id: Uuid::nil(),
            tenant: None,
        }
    }

    pub(crate) fn owner(&self) -> &PgPool {
        &self.owner
    }

    /// Records of the outbox that were added since `id`, oldest first.
    pub(crate) async fn outbox(&self, id: i64) -> Vec<(i64, mast_schemas::control::Change)> {
        let dataflow = self.database.pool(mast_postgres::Role::Dataflow).await;
        let rows: Vec<(i64, Value)> =
            sqlx::query_as("SELECT id, change FROM outbox WHERE id > $1 ORDER BY id")
                .bind(id)
                .fetch_all(&dataflow)
                .await
                .unwrap();
        rows.into_iter()
            .map(|(id, change)| (id, serde_json::from_value(change).unwrap()))
            .collect()
    }

    /// The newest id of the outbox.
    pub(crate) async fn told(&self) -> i64 {
        self.outbox(0).await.last().map_or(0, |(id, _)| *id)
    }
}

fn config(database: &Database, folder: &Path, keys: Arc<dyn KeyProvider>) -> ApiConfig {
    let role = mast_postgres::Role::Api;
    let pool = || impatient_pool(database.options(role), 5, Duration::from_secs(10));
    let engine = Engine::new(EngineConfig::new(pool(), folder.join("lake"))).unwrap();
    let mut config = ApiConfig::new(pool(), engine, keys);
    config.sender = Sender::new(SenderConfig {
        guard: Guard::new(vec!["127.0.0.1/32".parse().unwrap()]),
        resolver: Arc::new(Nobody),
        ..SenderConfig::default()
    });
    config.rate = Rate {
        per_second: 100_000,
        burst: 100_000,
    };
    config
}

/// Knows no name: nothing of a test leaves this machine.
struct Nobody;

#[async_trait::async_trait]
impl mast_notify::Resolve for Nobody {
    async fn addresses(&self, name: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        Err(std::io::Error::other(format!("nobody knows {name}")))
    }
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) router: Router,
    pub(crate) token: Option<String>,
    pub(crate) token_id: Uuid,
    tenant: Option<String>,
}

impl Client {
    /// The same, naming a tenant.
    pub(crate) fn of(&self, tenant: impl ToString) -> Self {
        Self {
            tenant: Some(tenant.to_string()),
            ..self.clone()
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(tenant) = &self.tenant {
            request = request.header("mast-tenant", tenant);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let is_stream = |value: &HeaderValue| value == "text/event-stream";
        let body = match parts.headers.get("content-type").is_some_and(is_stream) {
            true => snapshot(body).await,
            false => to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        };
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, &[JSON], body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, if_match: &str, body: Value) -> Answer {
        let headers = [
            ("content-type", "application/merge-patch+json"),
            ("if-match", if_match),
        ];
        self.send("PATCH", path, &headers, body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str, if_match: &str) -> Answer {
        let headers = [("if-match", if_match)];
        self.send("DELETE", path, &headers, Body::empty()).await
    }

    pub(crate) async fn sql(&self, sql: &str) -> Answer {
        self.post("/api/v1/sql", json!({ "sql": sql })).await
    }
}

/// A stream has no end: what comes up to the end of its snapshot.
async fn snapshot(body: Body) -> Vec<u8> {
    let (mut events, mut text) = (body.into_data_stream(), Vec::new());
    while !text.windows(12).any(|part| part == b"event: ready") {
        text.extend_from_slice(&events.next().await.unwrap().unwrap());
    }
    text
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn etag(&self) -> &str {
        self.header("etag").unwrap()
    }

    /// Values of a field of all items.
    pub(crate) fn items(&self, field: &str) -> Vec<Value> {
        let json = self.json();
        let items = json["items"].as_array().unwrap_or_else(|| panic!("{self}"));
        items.iter().map(|item| item[field].clone()).collect()
    }

    /// The status of a problem that is whole.
    pub(crate) fn problem(&self) -> u16 {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{self}");
        let kind = problem["type"].as_str().unwrap();
        assert!(kind.starts_with("urn:mast:problem:"), "{self}");
        for words in ["title", "detail"] {
            assert!(!problem[words].as_str().unwrap().is_empty(), "{self}");
        }
        self.status.as_u16()
    }
}

impl fmt::Display for Answer {
    /// Status and body, as snapshots have them: what is different each time has a name instead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => write!(f, " {:#}", masked(json)),
            Err(_) => write!(f, " {}", self.text()),
        }
    }
}

/// Ids and times that the fixture did not set.
fn masked(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(k, v)| (k, masked(v))).collect(),
        Value::Array(items) => items.into_iter().map(masked).collect(),
        Value::String(text) => {
            let made = Uuid::parse_str(&text).is_ok_and(|id| id.get_version_num() == 7);
            let is_time = text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
            match (made, is_time) {
                (true, _) => "[id]".into(),
                (_, true) => "[time]".into(),
                _ => text.into(),
            }
        }
        value => value,
    }
}

/// When the fixture's rows were seen: ten minutes ago.
pub(crate) fn seen_at() -> Timestamp {
    static NOW: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let now = *NOW.get_or_init(|| Timestamp::from_system(SystemTime::now()).0);
    Timestamp(now / 1_000_000 * 1_000_000 - 600_000_000)
}

/// The first tick of the history of places, microseconds; an hour later everything is worse.
fn places_from() -> i64 {
    let tick = PLACE_TICK.0;
    seen_at().0.div_euclid(tick) * tick - 13 * tick
}

fn epoch() -> Epoch {
    Epoch::of(seen_at()).next()
}

async fn model(pool: &PgPool, fleet: Fleet) {
    let (tenant, word) = (fleet.tenant(), fleet.word);
    let mut tx = tenant_tx(pool, tenant).await.unwrap();
    let statements: [(&str, Vec<Uuid>); 6] = [
        (
            "INSERT INTO tenants (name, id) VALUES ('tenant-' || $1, $2)",
            vec![tenant.0],
        ),
        (
            "INSERT INTO sites (name, tenant_id, id, latitude, longitude, notes) VALUES ('site-' || $1, $2, $3, 45.5, 14.5, $1)",
            vec![tenant.0, fleet.site()],
        ),
        (
            "INSERT INTO sectors (name, tenant_id, site_id, id, azimuth_deg) VALUES ('sector-' || $1, $2, $3, $4, 90)",
            vec![tenant.0, fleet.site(), fleet.sector()],
        ),
        (
            "INSERT INTO device_groups (name, tenant_id, id) VALUES ('group-' || $1, $2, $3)",
            vec![tenant.0, fleet.group()],
        ),
        (
            "INSERT INTO tags (name, tenant_id, id, color) VALUES ('tag-' || $1, $2, $3, '#1e90ff')",
            vec![tenant.0, fleet.tag()],
        ),
        (
            "INSERT INTO thresholds (technology, tenant_id, site_id, id, degraded_signal_dbm)
             VALUES (substr('wireless' || $1, 1, 8), $2, $3, $4, -75)",
            vec![tenant.0, fleet.site(), fleet.thresholds()],
        ),
    ];
    for (sql, ids) in statements {
        let mut query = sqlx::query(sql).bind(word);
        for id in ids {
            query = query.bind(id);
        }
        query.execute(&mut *tx).await.unwrap();
    }
    for (n, name, role) in [
        (1, "ap", "ap"),
        (2, "bp", "ap"),
        (3, "cpe", "cpe"),
        (4, "zz", "other"),
    ] {
        sqlx::query(
            "INSERT INTO devices (id, tenant_id, name, address, site_id, sector_id, role, interval_ms, group_ids, tag_ids)
             VALUES ($1, $2, $3 || '-' || $4, $4 || '.example.net', $5, $6, $7, 30000, $8, $9)",
        )
        .bind(fleet.id(n))
        .bind(tenant.0)
        .bind(name)
        .bind(word)
        .bind((n < 4).then(|| fleet.site()))
        .bind((n < 3).then(|| fleet.sector()))
        .bind(role)
        .bind(if n == 1 { vec![fleet.group()] } else { vec![] })
        .bind(if n < 3 { vec![fleet.tag()] } else { vec![] })
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    let (word, site, device) = (fleet.word, fleet.site(), fleet.id(4));
    let (rule, window) = (fleet.rule(), fleet.window());
    for sql in [
        format!(
            "INSERT INTO alert_rules (id, tenant_id, name, kind, scope, site_id, subject, operator, enter_milli, clear_milli,
                 severity)
             VALUES ('{rule}', '{tenant}', 'rule-{word}', 'cpu', 'site', '{site}', 'device', 'gt', 9500, 9000, 'warning')"
        ),
        format!(
            "INSERT INTO maintenance_windows (id, tenant_id, name, scope, device_ids, starts_at, ends_at, time_zone)
             VALUES ('{window}', '{tenant}', 'window-{word}', 'devices', ARRAY['{device}'::uuid], instant(0), instant(1000000),
                 'UTC')"
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// An open alert in an open incident, an alert that resolved, a client whose signal degrades, and their events.
async fn alerts(pool: &PgPool, fleet: Fleet) {
    let (tenant, rule, device) = (fleet.tenant(), fleet.rule(), fleet.id(2));
    let (alert, resolved, incident) = (fleet.alert(), fleet.resolved(), fleet.incident());
    let (mac, radio) = (fleet.degrading().0, fleet.mac(0xf1).0);
    let (ap, at, epoch) = (fleet.ap(), seen_at().0, epoch().0);
    for sql in [
        format!(
            "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, opened_at,
                 value_milli, status, incident_id, resolved_at, resolution, resolved_value_milli, epoch)
             VALUES ('{alert}', '{tenant}', '{rule}', 'offline', 'critical', 'device', '{device}', instant({at}), 1000, 'open',
                 '{incident}', NULL, NULL, NULL, {epoch}),
                 ('{resolved}', '{tenant}', '{rule}', 'cpu', 'warning', 'device', '{ap}', instant({at} - 60000000), 12500,
                 'open', NULL, instant({at}), 'cleared', 8000, {epoch})"
        ),
        format!(
            "INSERT INTO incidents (incident_id, tenant_id, root_kind, root_id, kind, severity, opened_at, alerts, devices,
                 clients, alerts_most, devices_most, clients_most, epoch)
             VALUES ('{incident}', '{tenant}', 'device', '{device}', 'offline', 'critical', instant({at}), 1, 1, 2, 3, 3, 4,
                 {epoch})"
        ),
        format!(
            "INSERT INTO trends (tenant_id, mac, since, ap_device_id, radio_mac, test, baseline_cdbm, opened_cdbm, epoch)
             VALUES ('{tenant}', {mac}, instant({at}), '{ap}', {radio}, 'week', -6125, -6600, {epoch})"
        ),
        format!(
            "INSERT INTO alert_events (event_id, tenant_id, alert_id, rule_id, kind, severity, subject_kind, subject_id, at,
                 change, value_milli, threshold_milli, epoch)
             VALUES ('{alert}', '{tenant}', '{alert}', '{rule}', 'offline', 'critical', 'device', '{device}', instant({at}),
                 'opened', 1000, 0, {epoch})"
        ),
        format!(
            "INSERT INTO incident_events (event_id, tenant_id, incident_id, at, change, root_kind, root_id, kind, severity,
                 opened_at, alerts, devices, clients, epoch)
             VALUES ('{incident}', '{tenant}', '{incident}', instant({at}), 'opened', 'device', '{device}', 'offline',
                 'critical', instant({at}), 1, 1, 2, {epoch})"
        ),
        format!(
            "INSERT INTO trend_events (event_id, tenant_id, mac, ap_device_id, radio_mac, at, change, test, baseline_cdbm,
                 recent_cdbm, epoch)
             VALUES ('{alert}', '{tenant}', {mac}, '{ap}', {radio}, instant({at}), 'opened', 'week', -6125, -6600, {epoch})"
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap();
    }
}

/// A channel, a route to it, and a delivery that was given up, with its log.
async fn notifications(api: &PgPool, dataflow: &PgPool, fleet: Fleet) {
    let (tenant, word) = (fleet.tenant(), fleet.word);
    sqlx::query(
        "INSERT INTO notification_requests (id, tenant_id, incident_id, kind, severity, site_id, happened_at, content)
         VALUES ($1, $2, $1, 'opened', 'critical', $3, instant($4), jsonb_build_object('title', 'down-' || $5::text))",
    )
    .bind(fleet.id(0x931))
    .bind(tenant.0)
    .bind(fleet.site())
    .bind(seen_at().0)
    .bind(word)
    .execute(dataflow)
    .await
    .unwrap();
    let mut tx = tenant_tx(api, tenant).await.unwrap();
    for sql in [
        "INSERT INTO notification_channels (tenant_id, id, name, kind, target, settings)
         VALUES ($1, $2, 'channel-' || $5::text, 'webhook', $5::text, jsonb_build_object('webhook', jsonb_build_object('url',
             'https://' || $5::text || '.example.net/'))) RETURNING $3::uuid, $4::uuid",
        "INSERT INTO notification_routes (tenant_id, id, name, least_severity, kinds, site_ids, time_zone, channel_ids)
         SELECT $1, $3, 'route-' || $5::text, 'info', '{opened}', array_agg(id), 'UTC', ARRAY[$2] FROM sites
         WHERE tenant_id = $1 AND $4::uuid IS NOT NULL",
        "INSERT INTO notification_deliveries (tenant_id, channel_id, id, request_id, incident_id, kind, severity, happened_at,
             tells_end, state, attempts, reason, ended_at)
         SELECT $1, $2, $4, id, incident_id, kind, severity, happened_at, true, 'dead', 1, 'no-' || $5::text, happened_at
         FROM notification_requests WHERE tenant_id = $1 AND $3::uuid IS NOT NULL",
        "INSERT INTO notification_attempts (tenant_id, delivery_id, message_id, attempt, repeated, began_at, duration_ms, outcome,
             status, reply)
         SELECT $1, $4, $4, 1, false, now(), 7, 'refused', 404, 'no-' || $5::text WHERE $2::uuid <> $3::uuid",
        "UPDATE notification_requests SET routed_at = now()
         WHERE tenant_id = $1 AND $5::text <> '' AND $2::uuid <> $3::uuid AND $4::uuid IS NOT NULL",
    ] {
        sqlx::query(sql)
            .bind(tenant.0)
            .bind(fleet.channel())
            .bind(fleet.route())
            .bind(fleet.delivery())
            .bind(word)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

async fn views(pool: &PgPool, fleet: Fleet) {
    let (tenant, at) = (fleet.tenant().0, seen_at().0);
    let epoch = i64::try_from(epoch().0).unwrap();
    for (n, state, outcome) in [
        (1, "online", Some("ok")),
        (2, "offline", Some("timeout")),
        (3, "unobserved", None),
    ] {
        sqlx::query(
            "INSERT INTO device_status (device_id, tenant_id, state, since, outcome, identity, version, board, epoch)
             VALUES ($1, $2, $3, instant($4), $5, 'id-' || $6, '7.16.2 (stable)', 'board-' || $6, $7)",
        )
        .bind(fleet.id(n))
        .bind(tenant)
        .bind(state)
        .bind(at)
        .bind(outcome)
        .bind(fleet.word)
        .bind(epoch)
        .execute(pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO device_events (event_id, tenant_id, device_id, at, from_state, to_state, outcome, epoch)
             VALUES ($1, $2, $3, instant($4), 'unobserved', $5, $6, $7)",
        )
        .bind(fleet.id(0x700 + n))
        .bind(tenant)
        .bind(fleet.id(n))
        .bind(at + i64::try_from(n).unwrap() * 1_000_000)
        .bind(state)
        .bind(outcome)
        .bind(epoch)
        .execute(pool)
        .await
        .unwrap();
    }
    sqlx::query(
        "INSERT INTO device_gauges (device_id, tenant_id, observed_at, cpu_load_percent, uptime_s)
         VALUES ($1, $2, instant($3), 10, 1000)",
    )
    .bind(fleet.ap())
    .bind(tenant)
    .bind(at)
    .execute(pool)
    .await
    .unwrap();
    for (ap, client, state, cpe) in [
        (1, 1, "active", Some(3)),
        (1, 2, "degraded", None),
        (2, 1, "stale", Some(3)),
    ] {
        let radio = fleet.mac(0xf0 + ap).0.cast_signed();
        let mac = fleet.mac(client).0.cast_signed();
        sqlx::query(
            "INSERT INTO links (tenant_id, ap_device_id, radio_mac, mac, interface, source, cpe_device_id, state, since,
             reason, discovered_at, unobserved, ambiguous, epoch)
             VALUES ($1, $2, $3, $4, 'wlan-' || $5, 'wireless', $6, $7, instant($8), 'confirmed', instant($8), false, false, $9)",
        )
        .bind(tenant)
        .bind(fleet.id(ap.into()))
        .bind(radio)
        .bind(mac)
        .bind(fleet.word)
        .bind(cpe.map(|n| fleet.id(n)))
        .bind(state)
        .bind(at)
        .bind(epoch)
        .execute(pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO link_gauges (tenant_id, ap_device_id, radio_mac, mac, observed_at, signal_dbm, tx_rate_bps)
             VALUES ($1, $2, $3, $4, instant($5), $6, 54000000)",
        )
        .bind(tenant)
        .bind(fleet.id(ap.into()))
        .bind(radio)
        .bind(mac)
        .bind(at)
        .bind(-60 - i16::try_from(client).unwrap() * 10)
        .execute(pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO link_events (event_id, tenant_id, ap_device_id, radio_mac, mac, at, to_state, reason, epoch)
             VALUES ($1, $2, $3, $4, $5, instant($6), $7, 'seen', $8)",
        )
        .bind(fleet.id(0x800 + u128::from(ap * 16 + client)))
        .bind(tenant)
        .bind(fleet.id(ap.into()))
        .bind(radio)
        .bind(mac)
        .bind(at)
        .bind(state)
        .bind(epoch)
        .execute(pool)
        .await
        .unwrap();
    }
    for (kind, id) in [
        ("tenant", tenant),
        ("site", fleet.site()),
        ("sector", fleet.sector()),
    ] {
        sqlx::query(
            "INSERT INTO place_counts (kind, id, tenant_id, devices_online, devices_offline, devices_unmanageable,
             devices_unobserved, links_discovered, links_active, links_degraded, links_down, links_stale, links_unobserved, epoch)
             VALUES ($1, $2, $3, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, $4)",
        )
        .bind(kind)
        .bind(id)
        .bind(tenant)
        .bind(epoch)
        .execute(pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO place_signals (kind, id, tenant_id, clients, sum_dbm, p10_dbm, worst_dbm, epoch)
             VALUES ($1, $2, $3, 2, -150, -80, -80, $4)",
        )
        .bind(kind)
        .bind(id)
        .bind(tenant)
        .bind(epoch)
        .execute(pool)
        .await
        .unwrap();
        health(pool, tenant, kind, id).await;
    }
    sqlx::query(
        "INSERT INTO client_addresses (tenant_id, mac, address, host_name, source, device_id, since, epoch)
         VALUES ($1, $2, '10.0.0.7', 'host-' || $3, 'dhcp', $4, instant($5), $6)",
    )
    .bind(tenant)
    .bind(fleet.mac(2).0.cast_signed())
    .bind(fleet.word)
    .bind(fleet.ap())
    .bind(at)
    .bind(epoch)
    .execute(pool)
    .await
    .unwrap();
}

/// A place that was up for the hour before the rows were seen, and is degraded since.
async fn health(pool: &PgPool, tenant: Uuid, kind: &str, id: Uuid) {
    for statement in [
        "INSERT INTO health_events (event_id, tenant_id, place_kind, place_id, at, from_state, to_state, epoch)
         VALUES (gen_random_uuid(), $1, $2, $3, instant($4 - 3600000000), NULL, 'up', $5 - 14400),
             (gen_random_uuid(), $1, $2, $3, instant($4), 'up', 'degraded', $5)",
        "INSERT INTO place_health (tenant_id, kind, id, state, since, epoch)
         VALUES ($1, $2, $3, 'degraded', instant($4), $5)",
        "INSERT INTO place_past_clients (tenant_id, kind, id, hour_ago, epoch) VALUES ($1, $2, $3, 3, $4 * 0 + $5)",
        "INSERT INTO place_air (tenant_id, kind, id, interfaces, rx_bps, tx_bps, radios, noise_sum_dbm, noise_worst_dbm, epoch)
         VALUES ($1, $2, $3, 1, 2000000, 9000000, 2, -197, -95, $4 * 0 + $5)",
    ] {
        sqlx::query(statement)
            .bind(tenant)
            .bind(kind)
            .bind(id)
            .bind(seen_at().0)
            .bind(i64::try_from(epoch().0).unwrap())
            .execute(pool)
            .await
            .unwrap();
    }
}

/// A record from JSON; what is not named is null.
fn batch<R: Record + serde::de::DeserializeOwned>(rows: Vec<Value>) -> arrow::array::RecordBatch {
    let rows: Vec<R> = rows
        .into_iter()
        .map(|row| serde_json::from_value(row).unwrap())
        .collect();
    R::batch(&rows)
}

/// Three polls of the first access point, ten seconds apart, with the second one missing.
async fn lake(pool: &PgPool, root: &Path) {
    let mut conn = pool.acquire().await.unwrap();
    let config = LakeConfig {
        root: root.to_owned(),
        job: "main".into(),
        generation: 1,
        max_rows_per_file: 1_000,
        target_bytes: 1 << 20,
    };
    let mut writer = LakeWriter::open(&mut conn, config).await.unwrap();
    for fleet in [A, B] {
        for n in [0i64, 2, 3] {
            let word = fleet.word;
            let row = |more: Value| {
                let mut row = json!({
                    "tenant_id": fleet.tenant(), "device_id": fleet.ap(), "lease_epoch": 1, "sequence": n + 1,
                    "observed_at": seen_at().0 + n * 10_000_000,
                });
                let fields = row.as_object_mut().unwrap();
                fields.extend(more.as_object().unwrap().clone());
                row
            };
            let poll = row(json!({
                "outcome": "ok", "next_due_at": seen_at().0, "interval_ms": 30000, "tables": 3,
                "identity": format!("id-{word}"), "cpu_load_percent": 10 + n,
            }));
            let interface = row(json!({
                "name": format!("wlan-{word}"), "mac": fleet.mac(0xf1), "running": true, "rx_bytes": 1_000_000 * n,
                "link_rate_bps": 1_000_000,
            }));
            let registration = row(json!({
                "source": "wireless", "interface": format!("wlan-{word}"), "radio_mac": fleet.mac(0xf1), "remote": false,
                "mac": fleet.mac(1), "signal_dbm": -60 - n,
            }));
            let line = row(json!({
                "topics": "system,info", "message": format!("line {n} of {word}"), "line": 0, "origin": "device",
            }));
            let epoch = Epoch::of(seen_at());
            let mut put = |table, batch| writer.append(table, epoch, false, &batch).unwrap();
            put(Table::Polls, batch::<Poll>(vec![poll]));
            put(Table::InterfaceSamples, batch::<Interface>(vec![interface]));
            put(
                Table::RegistrationSamples,
                batch::<Registration>(vec![registration]),
            );
            put(Table::DeviceLog, batch::<Event>(vec![line]));
        }
        // Within maintenance all was off for a while.
        for (minutes, worse, state, on, off) in [
            (0, false, "up", 2, 0),
            (60, true, "up", 2, 0),
            (62, true, "maintenance", 2, 0),
            (63, true, "maintenance", 0, 2),
            (65, true, "up", 2, 0),
        ] {
            for (kind, id) in [("site", fleet.site()), ("sector", fleet.sector())] {
                let [dbm, noise, bps, degrading] = if worse {
                    [-75, -90, 100, 3]
                } else {
                    [-60, -100, 500, 0]
                };
                let row = json!({
                    "tenant_id": fleet.tenant(), "place_kind": kind, "place_id": id, "state": state,
                    "at": places_from() + minutes * 60_000_000, "since": places_from(),
                    "devices_online": on, "devices_offline": off, "devices_unmanageable": 0, "devices_unobserved": 0,
                    "links_discovered": 0, "links_active": 2, "links_degraded": 0, "links_down": 0,
                    "signal_clients": 2, "signal_sum_dbm": 2 * dbm, "clients_degrading": degrading,
                    "noise_radios": 1, "noise_sum_dbm": noise, "rx_bps": bps, "tx_bps": 0,
                });
                let rows = batch::<HealthSample>(vec![row]);
                let epoch = Epoch::of(seen_at());
                writer
                    .append(Table::SiteHealthHistory, epoch, false, &rows)
                    .unwrap();
            }
        }
    }
    writer.commit(&mut conn, epoch()).await.unwrap();
}
