//! What people change of a device while everything runs: from their transaction over outbox, relay and control topic to the
//! poller's next poll, and back as the state that they see.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mast_postgres::{Role, attach, find_tenant, pool, tenant_tx};
use mast_schemas::TenantId;
use mast_secrets::{Credentials, KeyFile, KeyProvider as _, Secret};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{demo, folder};

struct Person {
    pool: PgPool,
    tenant: TenantId,
    device: Uuid,
}

impl Person {
    /// Somebody of tenant north, who looks at a device that is online.
    async fn of(data: &Path) -> Self {
        let found = tokio::time::timeout(Duration::from_secs(120), Self::found(data)).await;
        found.unwrap_or_else(|_| panic!("no device came online"))
    }

    async fn found(data: &Path) -> Self {
        let (pool, tenant) = loop {
            if let Some(options) = attach(&data.join("postgres"), Role::Api).await
                && let Ok(pool) = pool(options, 2).await
                && let Ok(Some(tenant)) = find_tenant(&pool, "north").await
            {
                break (pool, tenant);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let device = loop {
            let mut tx = tenant_tx(&pool, tenant).await.unwrap();
            let online = "SELECT device_id FROM device_status WHERE state = 'online' ORDER BY device_id LIMIT 1";
            let found: Option<Uuid> = sqlx::query_scalar(online)
                .fetch_optional(&mut *tx)
                .await
                .unwrap();
            if let Some(found) = found {
                break found;
            }
            drop(tx);
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        Self {
            pool,
            tenant,
            device,
        }
    }

    /// One transaction. The device is $1.
    async fn does(&self, statement: &'static str) {
        let mut tx = tenant_tx(&self.pool, self.tenant).await.unwrap();
        sqlx::query(statement)
            .bind(self.device)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn enters(&self, sealed: &[u8]) {
        let mut tx = tenant_tx(&self.pool, self.tenant).await.unwrap();
        for (statement, bytes) in [
            (
                "UPDATE device_credentials SET ciphertext = $2, version = version + 1 WHERE device_id = $1",
                Some(sealed),
            ),
            (
                "UPDATE devices SET credentials_version = credentials_version + 1 WHERE id = $1",
                None,
            ),
        ] {
            let query = sqlx::query(statement).bind(self.device);
            let query = match bytes {
                Some(bytes) => query.bind(bytes.to_vec()),
                None => query,
            };
            query.execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    async fn state(&self) -> Option<(String, Option<String>)> {
        let mut tx = tenant_tx(&self.pool, self.tenant).await.unwrap();
        let row = "SELECT state, outcome FROM device_status WHERE device_id = $1";
        sqlx::query_as(row)
            .bind(self.device)
            .fetch_optional(&mut *tx)
            .await
            .unwrap()
    }

    async fn sees(&self, state: &str, outcome: Option<&str>) {
        for _ in 0..600 {
            let now = self.state().await;
            if now
                .as_ref()
                .is_some_and(|(s, o)| s == state && (outcome.is_none() || o.as_deref() == outcome))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not {state} {outcome:?} but {:?}", self.state().await);
    }
}

#[tokio::test]
async fn what_people_change_is_polled_without_a_restart() {
    let folder = folder();
    let data = folder.path().join("data");
    let mut child = demo(&data, (12, "500ms"), &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let person = Person::of(&data).await;

    // Ports nobody listens on, and back.
    person
        .does("UPDATE devices SET api_port = 1, api_ssl_port = 1 WHERE id = $1")
        .await;
    person.sees("offline", Some("refused")).await;
    let others = "UPDATE devices d SET api_port = o.api_port, api_ssl_port = o.api_ssl_port FROM devices o \
                  WHERE d.id = $1 AND o.id <> d.id AND o.api_port <> 1";
    person.does(others).await;
    person.sees("online", Some("ok")).await;

    // A password that is wrong, and the right one again: the breaker does not make it wait.
    let mut tx = tenant_tx(&person.pool, person.tenant).await.unwrap();
    let right: Vec<u8> =
        sqlx::query_scalar("SELECT ciphertext FROM device_credentials WHERE device_id = $1")
            .bind(person.device)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    drop(tx);
    let keys = KeyFile::open(&data.join("key")).unwrap();
    let wrong = Credentials::new("mast", Secret::new("not it")).encode();
    person
        .enters(&keys.encrypt(person.tenant, &wrong).unwrap())
        .await;
    person.sees("unmanageable", Some("auth_failed")).await;
    person.enters(&right).await;
    person.sees("online", Some("ok")).await;

    // Without a CA nothing can be verified: that is ours, so in the end nobody knows.
    person
        .does("UPDATE devices SET tls = 'verified' WHERE id = $1")
        .await;
    person.sees("unobserved", None).await;
    person
        .does("UPDATE devices SET tls = 'auto' WHERE id = $1")
        .await;
    person.sees("online", Some("ok")).await;

    person
        .does("UPDATE devices SET enabled = false WHERE id = $1")
        .await;
    person.sees("unobserved", None).await;
    person
        .does("UPDATE devices SET enabled = true, interval_ms = 300, site_id = NULL WHERE id = $1")
        .await;
    person.sees("online", Some("ok")).await;

    person.does("DELETE FROM devices WHERE id = $1").await;
    while person.state().await.is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    person.pool.close().await;
    // In order, so that its PostgreSQL ends with it.
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    child.wait().unwrap();
}
