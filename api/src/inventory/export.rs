//! The inventory of a tenant as it is: what imports again as what is there already. Credentials stay where they are.

use mast_schemas::TenantId;
use mast_schemas::inventory::{Device, Sector, Site, Tenant};
use sqlx::PgConnection;

use crate::ApiError;

/// All that people decided of a tenant's places and devices, by name; null where there is no such tenant. In a transaction of
/// the tenant, best in a snapshot.
///
/// # Errors
/// [`ApiError::Sql`].
pub async fn export(
    tx: &mut PgConnection,
    tenant_id: TenantId,
) -> Result<Option<Tenant>, ApiError> {
    let Some(name) = name(tx, tenant_id).await? else {
        return Ok(None);
    };
    Ok(Some(Tenant {
        name,
        sites: sites(tx, tenant_id).await?,
        sectors: sectors(tx, tenant_id).await?,
        devices: devices(tx, tenant_id).await?,
    }))
}

/// What the tenant is called.
pub(crate) async fn name(
    tx: &mut PgConnection,
    tenant_id: TenantId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("SELECT name FROM tenants WHERE id = $1", tenant_id.0)
        .fetch_optional(tx)
        .await
}

async fn sites(tx: &mut PgConnection, tenant_id: TenantId) -> Result<Vec<Site>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT name, latitude, longitude, elevation_m, address, notes, core FROM sites WHERE tenant_id = $1
         ORDER BY name",
        tenant_id.0
    )
    .fetch_all(tx)
    .await?;
    let site = rows.into_iter().map(|row| Site {
        name: row.name,
        latitude: Some(row.latitude),
        longitude: Some(row.longitude),
        elevation_m: Some(row.elevation_m),
        address: Some(row.address),
        notes: Some(row.notes),
        core: Some(row.core),
    });
    Ok(site.collect())
}

async fn sectors(tx: &mut PgConnection, tenant_id: TenantId) -> Result<Vec<Sector>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT s.name, p.name AS site, s.azimuth_deg, s.beamwidth_deg, s.range_m
         FROM sectors s JOIN sites p ON p.tenant_id = s.tenant_id AND p.id = s.site_id
         WHERE s.tenant_id = $1 ORDER BY p.name, s.name",
        tenant_id.0
    )
    .fetch_all(tx)
    .await?;
    let sector = rows.into_iter().map(|row| Sector {
        name: row.name,
        site: row.site,
        azimuth_deg: Some(row.azimuth_deg),
        beamwidth_deg: Some(row.beamwidth_deg),
        range_m: Some(row.range_m),
    });
    Ok(sector.collect())
}

async fn devices(tx: &mut PgConnection, tenant_id: TenantId) -> Result<Vec<Device>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT d.name, d.address, d.api_port, d.api_ssl_port, d.tls, p.name AS "site?", e.name AS "sector?", d.role,
                  d.interval_ms, d.enabled, h.name AS "parent?",
                  ARRAY (SELECT g.name FROM device_groups g WHERE g.tenant_id = d.tenant_id AND g.id = ANY (d.group_ids)
                         ORDER BY g.name) AS "groups!",
                  ARRAY (SELECT t.name FROM tags t WHERE t.tenant_id = d.tenant_id AND t.id = ANY (d.tag_ids)
                         ORDER BY t.name) AS "tags!"
           FROM devices d
           LEFT JOIN sites p ON p.tenant_id = d.tenant_id AND p.id = d.site_id
           LEFT JOIN sectors e ON e.tenant_id = d.tenant_id AND e.id = d.sector_id
           LEFT JOIN devices h ON h.tenant_id = d.tenant_id AND h.id = d.parent_id
           WHERE d.tenant_id = $1 ORDER BY d.name"#,
        tenant_id.0
    )
    .fetch_all(tx)
    .await?;
    // Ports and words are within their types: the table's checks say so.
    let port = |port: i32| u16::try_from(port).ok();
    let device = rows.into_iter().map(|row| Device {
        api_port: port(row.api_port),
        api_ssl_port: port(row.api_ssl_port),
        tls: row.tls.parse().ok(),
        site: Some(row.site),
        sector: Some(row.sector),
        role: row.role.parse().ok(),
        interval_s: Some(f64::from(row.interval_ms) / 1_000.0),
        enabled: Some(row.enabled),
        parent: Some(row.parent),
        groups: Some(row.groups),
        tags: Some(row.tags),
        ..Device::new(row.name, row.address)
    });
    Ok(device.collect())
}
