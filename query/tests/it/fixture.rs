//! Two tenants with rows in every table. All names of tenant B hold [`SECRET`].

use std::path::Path;
use std::time::Duration;

use mast_lake::{LakeConfig, LakeWriter, Retention, Stop, Table, Upkeep};
use mast_postgres::testing::Database;
use mast_postgres::{Role, tenant_tx, testing};
use mast_query::{Engine, EngineConfig, Format, QueryError, Session, Tenant, TenantScope, format};
use mast_schemas::alerts::{AlertEvent, IncidentEvent, TrendEvent};
use mast_schemas::column::Record;
use mast_schemas::records::{
    Arp, DhcpLease, Event, Firmware, Interface, Neighbor, Poll, Radio, Registration, RouteSummary,
};
use mast_schemas::rollups::{Rolled, Width};
use mast_schemas::time::Span;
use mast_schemas::views::{DeviceEvent, HealthSample, LinkEvent};
use mast_schemas::{Epoch, Mac, TenantId, Timestamp};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;
use uuid::Uuid;

/// In every text of tenant B, in none of A.
pub(crate) const SECRET: &str = "BBB";
/// Newest epoch of the job.
pub(crate) const EPOCH: u64 = 6_800_000_100;
const AT_US: i64 = 1_700_000_000_123_456;

pub(crate) struct Fixture {
    database: Database,
    folder: TempDir,
    pool: PgPool,
    engine: Engine,
    pub(crate) a: TenantId,
    pub(crate) b: TenantId,
}

/// An engine with other settings over the same rows.
pub(crate) struct Other(Engine);

impl Other {
    pub(crate) async fn json(&self, tenant: TenantId, sql: &str) -> Result<String, QueryError> {
        json(&self.0.session(TenantScope::One(tenant)), sql).await
    }
}

async fn json(session: &Session, sql: &str) -> Result<String, QueryError> {
    let mut out = Vec::new();
    format(session.sql(sql).await?, Format::Json, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let database = testing::database().await;
        let folder = tempfile::tempdir().unwrap();
        let (pool, dataflow) = (
            database.pool(Role::Api).await,
            database.pool(Role::Dataflow).await,
        );
        let tenants = [("AAA", 0xa, "alpha"), ("BBB", 0xb, "beta")];
        for (word, number, name) in tenants {
            model(&pool, word, number, name).await;
            views(&dataflow, word, number).await;
        }
        sqlx::query("INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, $1)")
            .bind(i64::try_from(EPOCH).unwrap())
            .execute(&dataflow)
            .await
            .unwrap();
        lake(&dataflow, folder.path()).await;
        let engine =
            Engine::new(EngineConfig::new(pool.clone(), folder.path().to_owned())).unwrap();
        Self {
            database,
            folder,
            pool,
            engine,
            a: tenant(0xa),
            b: tenant(0xb),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// As the dataflow, which writes what is seen.
    pub(crate) async fn dataflow(&self) -> PgPool {
        self.database.pool(Role::Dataflow).await
    }

    /// Who sees what Postgres does for every role.
    pub(crate) async fn superuser(&self) -> PgPool {
        PgPool::connect_with(self.database.superuser())
            .await
            .unwrap()
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn session(&self, tenant: TenantId) -> Session {
        self.engine.session(TenantScope::One(tenant))
    }

    pub(crate) fn tenants(&self) -> Vec<Tenant> {
        vec![
            Tenant {
                id: self.a,
                name: "alpha".into(),
            },
            Tenant {
                id: self.b,
                name: "beta".into(),
            },
        ]
    }

    pub(crate) async fn json(&self, tenant: TenantId, sql: &str) -> Result<String, QueryError> {
        json(&self.session(tenant), sql).await
    }

    pub(crate) async fn json_of(
        &self,
        scope: TenantScope,
        sql: &str,
    ) -> Result<String, QueryError> {
        json(&self.engine.session(scope), sql).await
    }

    pub(crate) fn tells_of_b(&self, answer: &str) -> bool {
        answer.contains(SECRET) || answer.contains(&self.b.to_string())
    }

    pub(crate) fn config(&self) -> EngineConfig {
        EngineConfig::new(self.pool.clone(), self.folder.path().to_owned())
    }

    pub(crate) fn without_pushdown(&self) -> Other {
        Other(
            Engine::new(EngineConfig {
                pushdown: false,
                ..self.config()
            })
            .unwrap(),
        )
    }

    pub(crate) fn limited(
        &self,
        time_limit: Duration,
        max_rows: u64,
        memory_bytes: usize,
    ) -> Other {
        Other(
            Engine::new(EngineConfig {
                time_limit,
                max_rows,
                memory_bytes,
                ..self.config()
            })
            .unwrap(),
        )
    }
}

fn tenant(number: u128) -> TenantId {
    TenantId(Uuid::from_u128(number))
}

/// `0xa001` is the first device of tenant `0xa`, and so on.
fn id(number: u128, n: u128) -> Uuid {
    Uuid::from_u128(number << 12 | n)
}

fn mac(number: u128, n: u128) -> i64 {
    i64::try_from(0x0200_0000_0000 | number << 8 | n).unwrap()
}

async fn model(pool: &PgPool, word: &str, number: u128, name: &str) {
    let tenant = tenant(number);
    let mut tx = tenant_tx(pool, tenant).await.unwrap();
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, $2)")
        .bind(tenant.0)
        .bind(name)
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO sites (id, tenant_id, name, latitude) VALUES ($1, $2, 'site-' || $3, 45.5)",
    )
    .bind(id(number, 0x101))
    .bind(tenant.0)
    .bind(word)
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query("INSERT INTO sectors (id, tenant_id, site_id, name, azimuth_deg) VALUES ($1, $2, $3, 'sector-' || $4, 90)")
        .bind(id(number, 0x201))
        .bind(tenant.0)
        .bind(id(number, 0x101))
        .bind(word)
        .execute(&mut *tx)
        .await
        .unwrap();
    let devices = [
        (1, format!("ap-{word}-1"), "ap"),
        (2, format!("ap-{word}-2"), "ap"),
        (3, format!("cpe-{word}"), "cpe"),
        (4, format!("Zz-{word}"), "other"),
    ];
    for (n, name, role) in devices {
        sqlx::query(
            "INSERT INTO devices (id, tenant_id, name, address, site_id, sector_id, role, interval_ms, enabled)
             VALUES ($1, $2, $3, '127.0.0.1', $4, $5, $6, 30000, $7)",
        )
        .bind(id(number, n))
        .bind(tenant.0)
        .bind(name)
        .bind(id(number, 0x101))
        .bind(id(number, 0x201))
        .bind(role)
        .bind(n != 4)
        .execute(&mut *tx)
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
}

async fn views(pool: &PgPool, word: &str, number: u128) {
    for (n, state, outcome) in [
        (1, "online", Some("ok")),
        (2, "offline", Some("timeout")),
        (3, "unobserved", None),
    ] {
        sqlx::query(
            "INSERT INTO device_status (device_id, tenant_id, state, since, outcome, identity, epoch)
             VALUES ($1, $2, $3, instant($4), $5, 'id-' || $6, $7)",
        )
        .bind(id(number, n))
        .bind(tenant(number).0)
        .bind(state)
        .bind(AT_US)
        .bind(outcome)
        .bind(word)
        .bind(i64::try_from(EPOCH).unwrap())
        .execute(pool)
        .await
        .unwrap();
    }
    place(pool, number).await;
    alerts(pool, number).await;
    address(pool, word, number).await;
    for (n, cpu) in [(1, Some(10i16)), (2, Some(60)), (3, None)] {
        sqlx::query(
            "INSERT INTO device_gauges (device_id, tenant_id, observed_at, cpu_load_percent, uptime_s)
             VALUES ($1, $2, instant($3), $4, 1000)",
        )
        .bind(id(number, n))
        .bind(tenant(number).0)
        .bind(AT_US)
        .bind(cpu)
        .execute(pool)
        .await
        .unwrap();
    }
    for (ap, client, state, cpe) in [
        (1, 1, "active", Some(3)),
        (1, 2, "degraded", None),
        (2, 1, "stale", Some(3)),
    ] {
        sqlx::query(
            "INSERT INTO links (tenant_id, ap_device_id, radio_mac, mac, interface, source, cpe_device_id, state, since,
             reason, discovered_at, unobserved, ambiguous, epoch)
             VALUES ($1, $2, $3, $4, 'wlan-' || $5, 'wireless', $6, $7, instant($8), 'confirmed', instant($8), false, false, $9)",
        )
        .bind(tenant(number).0)
        .bind(id(number, ap))
        .bind(mac(number, 0xf0 + ap))
        .bind(mac(number, client))
        .bind(word)
        .bind(cpe.map(|n| id(number, n)))
        .bind(state)
        .bind(AT_US)
        .bind(i64::try_from(EPOCH).unwrap())
        .execute(pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO link_gauges (tenant_id, ap_device_id, radio_mac, mac, observed_at, signal_dbm, tx_rate_bps)
             VALUES ($1, $2, $3, $4, instant($5), $6, 54000000)",
        )
        .bind(tenant(number).0)
        .bind(id(number, ap))
        .bind(mac(number, 0xf0 + ap))
        .bind(mac(number, client))
        .bind(AT_US)
        .bind(-60 - i16::try_from(client).unwrap())
        .execute(pool)
        .await
        .unwrap();
    }
}

/// What a router says of the first client.
async fn address(pool: &PgPool, word: &str, number: u128) {
    sqlx::query(
        "INSERT INTO client_addresses (tenant_id, mac, address, host_name, source, device_id, since, epoch)
         VALUES ($1, $2, '10.0.0.' || $3, 'host-' || $4, 'dhcp', $5, instant($6), $7)",
    )
    .bind(tenant(number).0)
    .bind(mac(number, 1))
    .bind(number.to_string())
    .bind(word)
    .bind(id(number, 1))
    .bind(AT_US)
    .bind(i64::try_from(EPOCH).unwrap())
    .execute(pool)
    .await
    .unwrap();
}

/// A site that has been degraded for ever.
async fn place(pool: &PgPool, number: u128) {
    sqlx::query(
        "INSERT INTO place_health (kind, id, tenant_id, state, since, epoch) VALUES ('site', $1, $2, 'degraded', instant($3), $4)",
    )
    .bind(id(number, 0x101))
    .bind(tenant(number).0)
    .bind(AT_US)
    .bind(i64::try_from(EPOCH).unwrap())
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO health_events (event_id, tenant_id, place_kind, place_id, at, to_state, epoch)
         VALUES ($1, $2, 'site', $3, instant($4), 'degraded', $5)",
    )
    .bind(id(number, 0x320))
    .bind(tenant(number).0)
    .bind(id(number, 0x101))
    .bind(AT_US)
    .bind(i64::try_from(EPOCH).unwrap())
    .execute(pool)
    .await
    .unwrap();
}

/// An open alert in an open incident, one that resolved, and a client whose signal degrades.
async fn alerts(pool: &PgPool, number: u128) {
    let (tenant, alert, resolved) = (tenant(number), id(number, 0x330), id(number, 0x331));
    let device = id(number, 1);
    for sql in [
        format!(
            "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, opened_at,
                 value_milli, status, incident_id, resolved_at, resolution, epoch)
             VALUES ('{alert}', '{tenant}', '{alert}', 'cpu', 'warning', 'device', '{device}', instant({AT_US}), 91500, 'open',
                 '{alert}', NULL, NULL, {EPOCH}),
                 ('{resolved}', '{tenant}', '{alert}', 'cpu', 'warning', 'device', '{device}', instant({AT_US}), 95000, 'open',
                 NULL, instant({AT_US}), 'cleared', {EPOCH})"
        ),
        format!(
            "INSERT INTO incidents (incident_id, tenant_id, root_kind, root_id, kind, severity, opened_at, alerts, devices,
                 clients, alerts_most, devices_most, clients_most, epoch)
             VALUES ('{alert}', '{tenant}', 'device', '{device}', 'cpu', 'warning', instant({AT_US}), 1, 1, 0, 1, 1, 0, {EPOCH})"
        ),
        format!(
            "INSERT INTO trends (tenant_id, mac, since, ap_device_id, radio_mac, test, baseline_cdbm, opened_cdbm, epoch)
             VALUES ('{tenant}', 7, instant({AT_US}), '{device}', 8, 'day', -6000, -6650, {EPOCH})"
        ),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(pool).await.unwrap();
    }
}

/// A record from JSON; what is not named is null.
fn rows<R: Record + serde::de::DeserializeOwned>(
    rows: Vec<serde_json::Value>,
) -> arrow::array::RecordBatch {
    let rows: Vec<R> = rows
        .into_iter()
        .map(|row| serde_json::from_value(row).unwrap())
        .collect();
    R::batch(&rows)
}

fn sample(number: u128, n: i64, more: serde_json::Value) -> serde_json::Value {
    let mut row = serde_json::json!({
        "tenant_id": tenant(number), "device_id": id(number, 1), "observed_at": AT_US + n * 1_000_000,
        "lease_epoch": 1, "sequence": n + 1,
    });
    let (Some(row_fields), serde_json::Value::Object(more)) = (row.as_object_mut(), more) else {
        unreachable!()
    };
    row_fields.extend(more);
    row
}

async fn lake(pool: &PgPool, root: &Path) {
    let mut conn = pool.acquire().await.unwrap();
    let config = LakeConfig {
        root: root.to_owned(),
        job: "main".into(),
        generation: 1,
        max_rows_per_file: 1000,
        target_bytes: 128 << 20,
    };
    let mut writer = LakeWriter::open(&mut conn, config.clone()).await.unwrap();
    let json = |value| value;
    for (word, number) in [("AAA", 0xa), ("BBB", 0xb)] {
        for n in 0..2 {
            let epoch = Epoch(EPOCH - 10 + u64::try_from(n).unwrap());
            let poll = sample(
                number,
                n,
                serde_json::json!({
                    "outcome": "ok", "next_due_at": AT_US, "interval_ms": 30000, "tables": 3, "identity": format!("id-{word}"),
                }),
            );
            let interface = sample(
                number,
                n,
                serde_json::json!({ "name": format!("wlan-{word}"), "rx_bytes": 5 }),
            );
            let radio = sample(
                number,
                n,
                serde_json::json!({
                    "source": "wireless", "interface": format!("wlan-{word}"), "ssid": word,
                }),
            );
            let registration = |client: u128| {
                sample(
                    number,
                    n,
                    serde_json::json!({
                        "source": "wireless", "interface": format!("wlan-{word}"), "remote": false, "ssid": word,
                        "mac": mast_schemas::Mac(u64::try_from(mac(number, client)).unwrap()), "signal_dbm": -61,
                    }),
                )
            };
            writer
                .append(Table::Polls, epoch, false, &rows::<Poll>(vec![json(poll)]))
                .unwrap();
            writer
                .append(
                    Table::InterfaceSamples,
                    epoch,
                    false,
                    &rows::<Interface>(vec![interface]),
                )
                .unwrap();
            writer
                .append(
                    Table::RadioSamples,
                    epoch,
                    false,
                    &rows::<Radio>(vec![radio]),
                )
                .unwrap();
            slow_kinds(&mut writer, epoch, &|value| sample(number, n, value), word);
            let both = rows::<Registration>(vec![registration(1), registration(2)]);
            writer
                .append(Table::RegistrationSamples, epoch, false, &both)
                .unwrap();
            // The same poll again, from an older lease.
            let again = rows::<Registration>(vec![registration(1)]);
            writer
                .append(Table::RegistrationSamples, Epoch(epoch.0 + 2), true, &again)
                .unwrap();
            let link = serde_json::json!({
                "event_id": id(number, 0x300 + u128::try_from(n).unwrap()), "tenant_id": tenant(number), "ap_device_id": id(number, 1),
                "radio_mac": "02:00:00:00:00:01", "mac": "02:00:00:00:00:02", "at": AT_US, "to_state": "active", "reason": "seen",
            });
            let device = serde_json::json!({
                "event_id": id(number, 0x310 + u128::try_from(n).unwrap()), "tenant_id": tenant(number), "device_id": id(number, 1),
                "at": AT_US, "from_state": "unobserved", "to_state": "online", "outcome": "ok",
            });
            let health = serde_json::json!({
                "tenant_id": tenant(number), "place_kind": "site", "place_id": id(number, 0x101),
                "at": AT_US + n * 1_000_000, "state": "up", "since": AT_US, "devices_online": 1, "devices_offline": 0,
                "devices_unmanageable": 0, "devices_unobserved": 0, "links_discovered": 0, "links_active": 1,
                "links_degraded": 0, "links_down": 0,
            });
            let event = id(number, 0x340 + u128::try_from(n).unwrap());
            let mut put = |table, batch| writer.append(table, epoch, false, &batch).unwrap();
            put(
                Table::AlertEvents,
                rows::<AlertEvent>(vec![serde_json::json!({
                    "event_id": event, "tenant_id": tenant(number), "alert_id": id(number, 0x330), "rule_id": id(number, 1),
                    "kind": "cpu", "severity": "warning", "subject_kind": "device", "subject_id": id(number, 1),
                    "at": AT_US, "change": "opened", "value_milli": 91_500, "threshold_milli": 90_000,
                })]),
            );
            put(
                Table::IncidentEvents,
                rows::<IncidentEvent>(vec![serde_json::json!({
                    "event_id": event, "tenant_id": tenant(number), "incident_id": id(number, 0x330), "at": AT_US,
                    "change": "opened", "root_kind": "device", "root_id": id(number, 1), "kind": "cpu",
                    "severity": "warning", "opened_at": AT_US, "alerts": 1, "devices": 1, "clients": 0,
                })]),
            );
            put(
                Table::TrendEvents,
                rows::<TrendEvent>(vec![serde_json::json!({
                    "event_id": event, "tenant_id": tenant(number), "mac": "02:00:00:00:00:02", "ap_device_id": id(number, 1),
                    "radio_mac": "02:00:00:00:00:01", "at": AT_US, "change": "opened", "test": "day",
                    "baseline_cdbm": -6_000, "recent_cdbm": -6_650,
                })]),
            );
            writer
                .append(
                    Table::SiteHealthHistory,
                    epoch,
                    false,
                    &rows::<HealthSample>(vec![health]),
                )
                .unwrap();
            writer
                .append(
                    Table::LinkEvents,
                    epoch,
                    false,
                    &rows::<LinkEvent>(vec![link]),
                )
                .unwrap();
            writer
                .append(
                    Table::DeviceEvents,
                    epoch,
                    false,
                    &rows::<DeviceEvent>(vec![device]),
                )
                .unwrap();
        }
    }
    writer.commit(&mut conn, Epoch(EPOCH)).await.unwrap();
    // All buckets of these samples are closed.
    let later = Epoch::of(Timestamp(AT_US) + Span::hours(72));
    writer.commit(&mut conn, later).await.unwrap();
    let upkeep = Upkeep::new(config, Retention::default(), Stop::default());
    for of in Rolled::ALL {
        for width in Width::ALL {
            while let Some(change) = upkeep.roll_up(&mut conn, of, width).await.unwrap() {
                let mut tx = conn.begin().await.unwrap();
                change.apply(&mut tx, upkeep.config()).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
    }
}

/// A row of each slower kind.
fn slow_kinds(
    writer: &mut LakeWriter,
    epoch: Epoch,
    sample: &dyn Fn(serde_json::Value) -> serde_json::Value,
    word: &str,
) {
    let mut put = |table, batch| writer.append(table, epoch, false, &batch).unwrap();
    let entry = serde_json::json!({"address": "192.0.2.7", "interface": format!("wlan-{word}")});
    put(Table::ArpEntries, rows::<Arp>(vec![sample(entry)]));
    let lease = serde_json::json!({"address": "192.0.2.7", "host_name": format!("id-{word}"), "active_mac": Mac(7)});
    put(Table::DhcpLeases, rows::<DhcpLease>(vec![sample(lease)]));
    let neighbor = serde_json::json!({"interface": "ether1", "identity": format!("id-{word}")});
    put(Table::Neighbors, rows::<Neighbor>(vec![sample(neighbor)]));
    let routes = serde_json::json!({"protocol": "all", "active": 3, "total": 4});
    put(
        Table::RouteSummaries,
        rows::<RouteSummary>(vec![sample(routes)]),
    );
    let firmware = serde_json::json!({"channel": "stable", "model": format!("id-{word}")});
    put(Table::Firmware, rows::<Firmware>(vec![sample(firmware)]));
    let event = serde_json::json!({
        "topics": "system,info", "message": format!("id-{word}"), "line": 0, "origin": "device",
    });
    put(Table::DeviceLog, rows::<Event>(vec![sample(event)]));
}
