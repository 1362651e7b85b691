//! The statements that write a device.

use mast_secrets::{Credentials, Secret};
use sqlx::PgConnection;
use uuid::Uuid;

use super::input::{CredentialsInput, DeviceInput};
use crate::http::access::{Access, Writes};
use crate::http::problem::Problem;
use crate::resources::check::refused;

/// Which field stands behind which foreign key.
const KEYS: &[(&str, &str)] = &[
    ("group_ids", "/group_ids"),
    ("tag_ids", "/tag_ids"),
    ("parent", "/parent_id"),
    ("sector", "/sector_id"),
    ("site_id", "/site_id"),
];

pub(super) fn seal<W: Writes>(
    who: &Access<W>,
    input: Option<&CredentialsInput>,
) -> Result<Option<Vec<u8>>, Problem> {
    let Some(input) = input else {
        return Ok(None);
    };
    let credentials = Credentials::new(
        input.username.as_str(),
        Secret::new(input.password.as_str()),
    );
    let sealed = who.keys().encrypt(who.tenant(), &credentials.encode());
    sealed.map(Some).map_err(|e| Problem::internal(&e))
}

pub(super) async fn insert(
    tx: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    input: &DeviceInput,
    has_credentials: bool,
    default_interval_ms: u32,
) -> Result<(), Problem> {
    sqlx::query!(
        "INSERT INTO devices (tenant_id, id, name, address, api_port, api_ssl_port, tls, site_id, sector_id, parent_id,
             group_ids, tag_ids, role, interval_ms, enabled, credentials_version, has_credentials)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16::boolean::integer, $16)",
        tenant,
        id,
        input.name,
        input.address,
        i32::from(input.api_port),
        i32::from(input.api_ssl_port),
        input.tls.as_str(),
        input.site_id,
        input.sector_id,
        input.parent_id,
        &input.group_ids,
        &input.tag_ids,
        input.role.as_str(),
        interval(input.interval_ms.unwrap_or(default_interval_ms)),
        input.enabled,
        has_credentials,
    )
    .execute(tx)
    .await
    .map_err(|e| refused(e, KEYS))?;
    Ok(())
}

/// Checked before: at most a day.
fn interval(ms: u32) -> i32 {
    i32::try_from(ms).unwrap_or(i32::MAX)
}

/// The version of its credentials afterwards.
pub(super) async fn update(
    tx: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    input: &DeviceInput,
    new_credentials: bool,
    has_credentials: bool,
) -> Result<i64, Problem> {
    sqlx::query_scalar!(
        "UPDATE devices SET name = $3, address = $4, api_port = $5, api_ssl_port = $6, tls = $7, site_id = $8,
             sector_id = $9, parent_id = $10, group_ids = $11, tag_ids = $12, role = $13,
             interval_ms = coalesce($14, interval_ms), enabled = $15,
             credentials_version = credentials_version + $16::boolean::integer, has_credentials = $17
         WHERE tenant_id = $1 AND id = $2 RETURNING credentials_version",
        tenant,
        id,
        input.name,
        input.address,
        i32::from(input.api_port),
        i32::from(input.api_ssl_port),
        input.tls.as_str(),
        input.site_id,
        input.sector_id,
        input.parent_id,
        &input.group_ids,
        &input.tag_ids,
        input.role.as_str(),
        input.interval_ms.map(interval),
        input.enabled,
        new_credentials,
        has_credentials,
    )
    .fetch_one(tx)
    .await
    .map_err(|e| refused(e, KEYS))
}

pub(super) async fn store(
    tx: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    sealed: &[u8],
    version: i64,
) -> Result<(), Problem> {
    sqlx::query!(
        "INSERT INTO device_credentials (tenant_id, device_id, ciphertext, version) VALUES ($1, $2, $3, $4)
         ON CONFLICT (device_id) DO UPDATE SET ciphertext = excluded.ciphertext, version = excluded.version",
        tenant,
        id,
        sealed,
        version,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A device that hangs on itself, over others, would hang on nothing.
pub(super) async fn no_ring(tx: &mut PgConnection, tenant: Uuid, id: Uuid) -> Result<(), Problem> {
    let ring = sqlx::query_scalar!(
        r#"WITH RECURSIVE above AS (
               SELECT parent_id AS id FROM devices WHERE tenant_id = $1 AND id = $2 AND parent_id IS NOT NULL
               UNION
               SELECT d.parent_id FROM above JOIN devices d ON d.tenant_id = $1 AND d.id = above.id
               WHERE d.parent_id IS NOT NULL)
           SELECT EXISTS (SELECT FROM above WHERE id = $2) AS "ring!""#,
        tenant,
        id,
    )
    .fetch_one(tx)
    .await?;
    if ring {
        return Err(Problem::field("/parent_id", "hangs on this device itself"));
    }
    Ok(())
}
