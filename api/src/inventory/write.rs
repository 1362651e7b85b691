//! The statements of an import. Each takes all rows of its kind as arrays: one round trip, whatever their number.
//!
//! `xmax = 0` tells a row that was inserted from one that was updated. A row that already says it fails the condition of
//! the update, so it is neither written nor returned, and no trigger sees it.

use std::collections::HashMap;

use mast_schemas::inventory::{Device, Sector, Site};
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};
use mast_secrets::{Credentials, KeyProvider, Secret, SecretsError};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tally;
use crate::ApiError;

/// Makes the tenant unless one of that name is there; whether it was made.
pub(super) async fn tenant(
    tx: &mut PgConnection,
    id: TenantId,
    name: &str,
) -> Result<bool, ApiError> {
    let done = sqlx::query!(
        "INSERT INTO tenants (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        id.0,
        name
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn sites(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    sites: &[Site],
) -> Result<Tally, ApiError> {
    let ids: Vec<Uuid> = sites.iter().map(|_| SiteId::new().0).collect();
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let latitudes: Vec<Option<f64>> = sites.iter().map(|site| site.latitude).collect();
    let longitudes: Vec<Option<f64>> = sites.iter().map(|site| site.longitude).collect();
    let elevations: Vec<Option<f64>> = sites.iter().map(|site| site.elevation_m).collect();
    let written = sqlx::query_scalar!(
        r#"INSERT INTO sites AS s (id, tenant_id, name, latitude, longitude, elevation_m)
           SELECT i.id, $1, i.name, i.latitude, i.longitude, i.elevation_m
           FROM unnest($2::uuid[], $3::text[], $4::float8[], $5::float8[], $6::float8[])
               AS i (id, name, latitude, longitude, elevation_m)
           ON CONFLICT (tenant_id, name) DO UPDATE SET
               latitude = excluded.latitude, longitude = excluded.longitude, elevation_m = excluded.elevation_m
           WHERE (s.latitude, s.longitude, s.elevation_m)
               IS DISTINCT FROM (excluded.latitude, excluded.longitude, excluded.elevation_m)
           RETURNING xmax = 0 AS "created!""#,
        tenant_id.0,
        &ids,
        &names as &[&str],
        &latitudes as &[Option<f64>],
        &longitudes as &[Option<f64>],
        &elevations as &[Option<f64>],
    )
    .fetch_all(tx)
    .await?;
    Ok(Tally::of(sites.len(), &written))
}

pub(super) async fn sectors(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    sectors: &[Sector],
) -> Result<Tally, ApiError> {
    let ids: Vec<Uuid> = sectors.iter().map(|_| SectorId::new().0).collect();
    let sites: Vec<&str> = sectors.iter().map(|sector| sector.site.as_str()).collect();
    let names: Vec<&str> = sectors.iter().map(|sector| sector.name.as_str()).collect();
    let azimuths: Vec<Option<f64>> = sectors.iter().map(|sector| sector.azimuth_deg).collect();
    let beamwidths: Vec<Option<f64>> = sectors.iter().map(|sector| sector.beamwidth_deg).collect();
    let written = sqlx::query_scalar!(
        r#"INSERT INTO sectors AS s (id, tenant_id, site_id, name, azimuth_deg, beamwidth_deg)
           SELECT i.id, $1, site.id, i.name, i.azimuth_deg, i.beamwidth_deg
           FROM unnest($2::uuid[], $3::text[], $4::text[], $5::float8[], $6::float8[])
               AS i (id, site, name, azimuth_deg, beamwidth_deg)
           JOIN sites site ON site.tenant_id = $1 AND site.name = i.site
           ON CONFLICT (tenant_id, site_id, name) DO UPDATE SET
               azimuth_deg = excluded.azimuth_deg, beamwidth_deg = excluded.beamwidth_deg
           WHERE (s.azimuth_deg, s.beamwidth_deg) IS DISTINCT FROM (excluded.azimuth_deg, excluded.beamwidth_deg)
           RETURNING xmax = 0 AS "created!""#,
        tenant_id.0,
        &ids,
        &sites as &[&str],
        &names as &[&str],
        &azimuths as &[Option<f64>],
        &beamwidths as &[Option<f64>],
    )
    .fetch_all(tx)
    .await?;
    Ok(Tally::of(sectors.len(), &written))
}

/// Devices and their credentials. The version of the credentials rises in the same row change as all else, so that ingest
/// hears of both at once.
pub(super) async fn devices(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    keys: &dyn KeyProvider,
    devices: &[Device],
    default_interval_ms: u32,
) -> Result<Tally, ApiError> {
    let sealed = changed_credentials(tx, tenant_id, keys, devices).await?;
    let changed: Vec<bool> = sealed.iter().map(Option::is_some).collect();
    let ids: Vec<Uuid> = devices.iter().map(|_| DeviceId::new().0).collect();
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    let addresses: Vec<&str> = devices
        .iter()
        .map(|device| device.address.as_str())
        .collect();
    let api_ports: Vec<i32> = devices
        .iter()
        .map(|device| device.api_port.into())
        .collect();
    let api_ssl_ports: Vec<i32> = devices
        .iter()
        .map(|device| device.api_ssl_port.into())
        .collect();
    let tls: Vec<&str> = devices.iter().map(|device| device.tls.as_str()).collect();
    let sites: Vec<Option<&str>> = devices
        .iter()
        .map(|device| device.site.as_deref())
        .collect();
    let sectors: Vec<Option<&str>> = devices
        .iter()
        .map(|device| device.sector.as_deref())
        .collect();
    let roles: Vec<&str> = devices.iter().map(|device| device.role.as_str()).collect();
    let intervals: Vec<i32> = devices
        .iter()
        .map(|device| interval_ms(device, default_interval_ms))
        .collect();
    let written = sqlx::query_scalar!(
        r#"INSERT INTO devices AS d (id, tenant_id, name, address, api_port, api_ssl_port, tls, site_id, sector_id, role,
                                     interval_ms, credentials_version)
           SELECT i.id, $1, i.name, i.address, i.api_port, i.api_ssl_port, i.tls, site.id, sector.id, i.role,
                  i.interval_ms, coalesce(old.credentials_version, 0) + i.changed::integer
           FROM unnest($2::uuid[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::text[], $8::text[],
                       $9::text[], $10::text[], $11::integer[], $12::boolean[])
               AS i (id, name, address, api_port, api_ssl_port, tls, site, sector, role, interval_ms, changed)
           LEFT JOIN sites site ON site.tenant_id = $1 AND site.name = i.site
           LEFT JOIN sectors sector ON sector.tenant_id = $1 AND sector.site_id = site.id AND sector.name = i.sector
           LEFT JOIN devices old ON old.tenant_id = $1 AND old.name = i.name
           ON CONFLICT (tenant_id, name) DO UPDATE SET
               address = excluded.address, api_port = excluded.api_port, api_ssl_port = excluded.api_ssl_port,
               tls = excluded.tls, site_id = excluded.site_id, sector_id = excluded.sector_id, role = excluded.role,
               interval_ms = excluded.interval_ms, credentials_version = excluded.credentials_version
           WHERE (d.address, d.api_port, d.api_ssl_port, d.tls, d.site_id, d.sector_id, d.role, d.interval_ms,
                  d.credentials_version)
               IS DISTINCT FROM (excluded.address, excluded.api_port, excluded.api_ssl_port, excluded.tls,
                  excluded.site_id, excluded.sector_id, excluded.role, excluded.interval_ms,
                  excluded.credentials_version)
           RETURNING xmax = 0 AS "created!""#,
        tenant_id.0,
        &ids,
        &names as &[&str],
        &addresses as &[&str],
        &api_ports,
        &api_ssl_ports,
        &tls as &[&str],
        &sites as &[Option<&str>],
        &sectors as &[Option<&str>],
        &roles as &[&str],
        &intervals,
        &changed,
    )
    .fetch_all(&mut *tx)
    .await?;
    store_credentials(tx, tenant_id, devices, sealed).await?;
    Ok(Tally::of(devices.len(), &written))
}

/// Checked before: 0.1 s to a day.
#[expect(clippy::cast_possible_truncation, reason = "within a day")]
fn interval_ms(device: &Device, default_interval_ms: u32) -> i32 {
    match device.interval_s {
        Some(seconds) => (seconds * 1_000.0).round() as i32,
        None => i32::try_from(default_interval_ms).unwrap_or(i32::MAX),
    }
}

/// For each device its sealed credentials, if they are new or other than the stored ones. As no two sealings look the
/// same, the stored ones are opened to be compared; what does not open is sealed anew.
async fn changed_credentials(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    keys: &dyn KeyProvider,
    devices: &[Device],
) -> Result<Vec<Option<Vec<u8>>>, ApiError> {
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    let stored = sqlx::query!(
        "SELECT d.name, c.ciphertext FROM devices d JOIN device_credentials c ON c.device_id = d.id
         WHERE d.tenant_id = $1 AND d.name = ANY ($2)",
        tenant_id.0,
        &names as &[&str],
    )
    .fetch_all(tx)
    .await?;
    let ciphertexts: Vec<&[u8]> = stored.iter().map(|row| row.ciphertext.as_slice()).collect();
    let mut known = HashMap::with_capacity(stored.len());
    for (row, opened) in stored
        .iter()
        .zip(keys.decrypt_batch(tenant_id, &ciphertexts)?)
    {
        match opened.and_then(|plaintext| Credentials::decode(&plaintext)) {
            Ok(credentials) => drop(known.insert(row.name.as_str(), credentials)),
            Err(unavailable @ SecretsError::Unavailable { .. }) => return Err(unavailable.into()),
            Err(_) => {}
        }
    }
    let seal = |device: &Device| {
        let credentials = Credentials::new(
            device.username.as_str(),
            Secret::new(device.password.as_str()),
        );
        if known.get(device.name.as_str()) == Some(&credentials) {
            return Ok(None);
        }
        Ok(Some(keys.encrypt(tenant_id, &credentials.encode())?))
    };
    devices.iter().map(seal).collect()
}

/// Stores what changed under the version that the device's row got.
async fn store_credentials(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    devices: &[Device],
    sealed: Vec<Option<Vec<u8>>>,
) -> Result<(), ApiError> {
    let changed = devices
        .iter()
        .zip(sealed)
        .filter_map(|(device, sealed)| Some((device.name.as_str(), sealed?)));
    let (names, ciphertexts): (Vec<&str>, Vec<Vec<u8>>) = changed.unzip();
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO device_credentials (device_id, tenant_id, ciphertext, version)
         SELECT d.id, $1, i.ciphertext, d.credentials_version
         FROM unnest($2::text[], $3::bytea[]) AS i (name, ciphertext)
         JOIN devices d ON d.tenant_id = $1 AND d.name = i.name
         ON CONFLICT (device_id) DO UPDATE SET ciphertext = excluded.ciphertext, version = excluded.version",
        tenant_id.0,
        &names as &[&str],
        &ciphertexts,
    )
    .execute(tx)
    .await?;
    Ok(())
}
