//! What ingest reads and writes in Postgres: devices, their credentials, and the pins of certificates.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mast_schemas::control::{Device, TlsPolicy};
use mast_schemas::{DeviceId, GroupId, SectorId, SiteId, TagId, TenantId};
use mast_secrets::KeyProvider;
use routeros_api::{Credentials, Fingerprint, TlsStack};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::IngestError;
use crate::trust::{DeviceSpec, Manner, NoCredentials, PinStore};

/// Postgres as the role `mast_ingest`.
#[derive(Clone)]
pub struct Store {
    pool: PgPool,
    keys: Arc<dyn KeyProvider>,
}

/// A device with what belongs to it.
struct Row {
    id: Uuid,
    tenant_id: Uuid,
    name: String,
    address: String,
    api_port: i32,
    api_ssl_port: i32,
    tls: String,
    site_id: Option<Uuid>,
    sector_id: Option<Uuid>,
    parent_id: Option<Uuid>,
    group_ids: Vec<Uuid>,
    tag_ids: Vec<Uuid>,
    role: String,
    interval_ms: i32,
    enabled: bool,
    credentials_version: i64,
    version: i64,
    ciphertext: Option<Vec<u8>>,
    tls_fingerprint: Option<Vec<u8>>,
    login_modern: Option<bool>,
    tls_stack: Option<String>,
}

impl Store {
    /// Over a pool of the role `mast_ingest`.
    pub fn new(pool: PgPool, keys: Arc<dyn KeyProvider>) -> Self {
        Self { pool, keys }
    }

    /// The pool.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Ids of all devices that are to be polled.
    ///
    /// # Errors
    /// [`IngestError::Postgres`].
    pub async fn ids(&self) -> Result<Vec<DeviceId>, IngestError> {
        let ids = sqlx::query_scalar!("SELECT id FROM devices WHERE enabled");
        let ids = ids.fetch_all(&self.pool).await?;
        Ok(ids.into_iter().map(DeviceId).collect())
    }

    /// Devices with their credentials opened. One whose credentials can't be opened comes too, with the reason; one that
    /// is gone does not.
    ///
    /// # Errors
    /// [`IngestError::Postgres`].
    pub async fn devices(&self, ids: &[DeviceId]) -> Result<Vec<DeviceSpec>, IngestError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let rows = sqlx::query_as!(
            Row,
            r#"SELECT d.id, d.tenant_id, d.name, d.address, d.api_port, d.api_ssl_port, d.tls, d.site_id, d.sector_id,
                 d.parent_id, d.group_ids, d.tag_ids, d.role, d.interval_ms, d.enabled, d.credentials_version, d.version, c.ciphertext AS "ciphertext?",
                 p.tls_fingerprint, p.login_modern AS "login_modern?",
                 p.tls_stack AS "tls_stack?"
               FROM devices d
               LEFT JOIN device_credentials c ON c.device_id = d.id
               LEFT JOIN device_pins p ON p.device_id = d.id
               WHERE d.id = ANY($1::uuid[])"#,
            &ids,
        )
        .fetch_all(&self.pool)
        .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            match self.spec(row) {
                Ok(spec) => found.push(spec),
                Err(error) => tracing::error!(%error, "a device is not polled"),
            }
        }
        Ok(found)
    }

    fn spec(&self, row: Row) -> Result<DeviceSpec, IngestError> {
        let bad = |reason: String| IngestError::Device {
            device: row.id,
            reason,
        };
        let port = |port: i32| u16::try_from(port).map_err(|_| bad(format!("port {port}")));
        let device = Device {
            id: DeviceId(row.id),
            tenant_id: TenantId(row.tenant_id),
            api_port: port(row.api_port)?,
            api_ssl_port: port(row.api_ssl_port)?,
            tls: row
                .tls
                .parse::<TlsPolicy>()
                .map_err(|e| bad(e.to_string()))?,
            site_id: row.site_id.map(SiteId),
            sector_id: row.sector_id.map(SectorId),
            parent_id: row.parent_id.map(DeviceId),
            group_ids: row.group_ids.into_iter().map(GroupId).collect(),
            tag_ids: row.tag_ids.into_iter().map(TagId).collect(),
            role: row
                .role
                .parse()
                .map_err(|e: mast_schemas::SchemaError| bad(e.to_string()))?,
            interval_ms: u32::try_from(row.interval_ms).unwrap_or(60_000),
            enabled: row.enabled,
            credentials_version: row.credentials_version,
            version: row.version,
            name: row.name,
            address: row.address,
        };
        let pin = row
            .tls_fingerprint
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(DeviceSpec {
            credentials: self.open(&device, row.ciphertext.as_deref()),
            pin: pin.map(Fingerprint),
            manner: Manner {
                modern: row.login_modern.unwrap_or(false),
                tls_stack: match row.tls_stack.as_deref() {
                    Some("openssl") => TlsStack::OpenSsl,
                    _ => TlsStack::Rustls,
                },
            },
            device,
        })
    }

    /// Opens a device's credentials; why not, in words for the poll row.
    fn open(&self, device: &Device, sealed: Option<&[u8]>) -> Result<Credentials, NoCredentials> {
        let sealed = sealed.ok_or(NoCredentials::Missing)?;
        let locked = |error: mast_secrets::SecretsError| NoCredentials::Locked(error.to_string());
        let plain = self
            .keys
            .decrypt(device.tenant_id, sealed)
            .map_err(locked)?;
        let opened = mast_secrets::Credentials::decode(&plain).map_err(locked)?;
        Ok(Credentials::new(
            opened.username.clone(),
            opened.password.expose(),
        ))
    }
}

impl PinStore for Store {
    fn keep<'a>(
        &'a self,
        device: &'a Device,
        found: Fingerprint,
    ) -> BoxFuture<'a, Result<Fingerprint, String>> {
        async move {
            // A pin that is there wins, whoever put it there.
            let kept = sqlx::query_scalar!(
                r#"INSERT INTO device_pins AS p (device_id, tenant_id, tls_fingerprint) VALUES ($1, $2, $3)
                   ON CONFLICT (device_id) DO UPDATE
                   SET tls_fingerprint = coalesce(p.tls_fingerprint, excluded.tls_fingerprint)
                   RETURNING tls_fingerprint AS "tls_fingerprint!""#,
                device.id.0,
                device.tenant_id.0,
                found.0.as_slice(),
            )
            .fetch_one(&self.pool)
            .await
            .map_err(|e| e.to_string())?;
            kept.try_into().map(Fingerprint).map_err(|_| "the stored pin is no fingerprint".to_owned())
        }
        .boxed()
    }

    fn remember<'a>(&'a self, device: &'a Device, manner: Manner) -> BoxFuture<'a, ()> {
        async move {
            let done = sqlx::query!(
                "INSERT INTO device_pins (device_id, tenant_id, login_modern, tls_stack) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (device_id) DO UPDATE
                 SET login_modern = excluded.login_modern, tls_stack = excluded.tls_stack",
                device.id.0,
                device.tenant_id.0,
                manner.modern,
                manner.tls_stack.to_string(),
            )
            .execute(&self.pool)
            .await;
            if let Err(error) = done {
                // Learnt anew at the next login; nothing is lost.
                tracing::debug!(%error, device = %device.id, "how the device is spoken to was not remembered");
            }
        }
        .boxed()
    }
}
