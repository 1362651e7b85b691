//! The statements of an import, but for devices. Each takes all rows of its kind at once: one round trip, whatever their
//! number.
//!
//! Rows travel as the file says them, in JSON: a key that is not there leaves what is stored. `xmax = 0` tells a row that was
//! inserted from one that was updated. A row that already says it fails the condition of the update, so it is neither written
//! nor returned, and no trigger sees it.

use std::collections::{BTreeSet, HashMap};

use mast_schemas::inventory::{Device, Sector, Site};
use mast_schemas::{GroupId, SectorId, SiteId, TagId, TenantId};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Tally;
use crate::ApiError;

/// A thing with the id that it gets if it is new.
#[derive(Serialize)]
struct Row<'a, T> {
    id: Uuid,
    #[serde(flatten)]
    said: &'a T,
}

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
    let row = |said| Row {
        id: SiteId::new().0,
        said,
    };
    let rows: Vec<Row<'_, Site>> = sites.iter().map(row).collect();
    let written = sqlx::query_scalar!(
        r#"INSERT INTO sites AS s (id, tenant_id, name, latitude, longitude, elevation_m, address, notes, core)
           SELECT (v->>'id')::uuid, $1, v->>'name',
                  CASE WHEN v ? 'latitude' THEN (v->>'latitude')::float8 ELSE old.latitude END,
                  CASE WHEN v ? 'longitude' THEN (v->>'longitude')::float8 ELSE old.longitude END,
                  CASE WHEN v ? 'elevation_m' THEN (v->>'elevation_m')::float8 ELSE old.elevation_m END,
                  CASE WHEN v ? 'address' THEN v->>'address' ELSE old.address END,
                  CASE WHEN v ? 'notes' THEN v->>'notes' ELSE old.notes END,
                  coalesce((v->>'core')::boolean, old.core, false)
           FROM jsonb_array_elements($2) AS v
           LEFT JOIN sites old ON old.tenant_id = $1 AND old.name = v->>'name'
           ON CONFLICT (tenant_id, name) DO UPDATE SET
               latitude = excluded.latitude, longitude = excluded.longitude, elevation_m = excluded.elevation_m,
               address = excluded.address, notes = excluded.notes, core = excluded.core
           WHERE (s.latitude, s.longitude, s.elevation_m, s.address, s.notes, s.core)
               IS DISTINCT FROM (excluded.latitude, excluded.longitude, excluded.elevation_m, excluded.address,
                  excluded.notes, excluded.core)
           RETURNING xmax = 0 AS "created!""#,
        tenant_id.0,
        Json(rows) as _,
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
    let row = |said| Row {
        id: SectorId::new().0,
        said,
    };
    let rows: Vec<Row<'_, Sector>> = sectors.iter().map(row).collect();
    let written = sqlx::query_scalar!(
        r#"INSERT INTO sectors AS s (id, tenant_id, site_id, name, azimuth_deg, beamwidth_deg, range_m)
           SELECT (v->>'id')::uuid, $1, site.id, v->>'name',
                  CASE WHEN v ? 'azimuth_deg' THEN (v->>'azimuth_deg')::float8 ELSE old.azimuth_deg END,
                  CASE WHEN v ? 'beamwidth_deg' THEN (v->>'beamwidth_deg')::float8 ELSE old.beamwidth_deg END,
                  CASE WHEN v ? 'range_m' THEN (v->>'range_m')::float8 ELSE old.range_m END
           FROM jsonb_array_elements($2) AS v
           JOIN sites site ON site.tenant_id = $1 AND site.name = v->>'site'
           LEFT JOIN sectors old ON old.tenant_id = $1 AND old.site_id = site.id AND old.name = v->>'name'
           ON CONFLICT (tenant_id, site_id, name) DO UPDATE SET
               azimuth_deg = excluded.azimuth_deg, beamwidth_deg = excluded.beamwidth_deg, range_m = excluded.range_m
           WHERE (s.azimuth_deg, s.beamwidth_deg, s.range_m)
               IS DISTINCT FROM (excluded.azimuth_deg, excluded.beamwidth_deg, excluded.range_m)
           RETURNING xmax = 0 AS "created!""#,
        tenant_id.0,
        Json(rows) as _,
    )
    .fetch_all(tx)
    .await?;
    Ok(Tally::of(sectors.len(), &written))
}

/// The ids of labels by their names; those that were not there are made.
pub(super) type Ids = HashMap<String, Uuid>;

/// All names that devices say, each once.
fn names(devices: &[Device], said: fn(&Device) -> &Option<Vec<String>>) -> Vec<&str> {
    let names = devices
        .iter()
        .flat_map(|device| said(device).iter().flatten());
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    names.into_iter().collect()
}

fn labels(rows: impl ExactSizeIterator<Item = (String, Uuid, bool)>) -> (Ids, Tally) {
    let total = rows.len();
    let mut created = Vec::new();
    let ids = rows.map(|(name, id, new)| {
        created.extend(new.then_some(true));
        (name, id)
    });
    (ids.collect(), Tally::of(total, &created))
}

pub(super) async fn groups(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    devices: &[Device],
) -> Result<(Ids, Tally), ApiError> {
    let names = names(devices, |device| &device.groups);
    let ids: Vec<Uuid> = names.iter().map(|_| GroupId::new().0).collect();
    let rows = sqlx::query!(
        r#"WITH made AS (
               INSERT INTO device_groups (id, tenant_id, name)
               SELECT i.id, $1, i.name FROM unnest($2::uuid[], $3::text[]) AS i (id, name)
               ON CONFLICT (tenant_id, name) DO NOTHING RETURNING id, name)
           SELECT id AS "id!", name AS "name!", true AS "created!" FROM made
           UNION ALL SELECT id, name, false FROM device_groups WHERE tenant_id = $1 AND name = ANY ($3)"#,
        tenant_id.0,
        &ids,
        &names as &[&str],
    )
    .fetch_all(tx)
    .await?;
    Ok(labels(
        rows.into_iter().map(|row| (row.name, row.id, row.created)),
    ))
}

pub(super) async fn tags(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    devices: &[Device],
) -> Result<(Ids, Tally), ApiError> {
    let names = names(devices, |device| &device.tags);
    let ids: Vec<Uuid> = names.iter().map(|_| TagId::new().0).collect();
    let rows = sqlx::query!(
        r#"WITH made AS (
               INSERT INTO tags (id, tenant_id, name)
               SELECT i.id, $1, i.name FROM unnest($2::uuid[], $3::text[]) AS i (id, name)
               ON CONFLICT (tenant_id, name) DO NOTHING RETURNING id, name)
           SELECT id AS "id!", name AS "name!", true AS "created!" FROM made
           UNION ALL SELECT id, name, false FROM tags WHERE tenant_id = $1 AND name = ANY ($3)"#,
        tenant_id.0,
        &ids,
        &names as &[&str],
    )
    .fetch_all(tx)
    .await?;
    Ok(labels(
        rows.into_iter().map(|row| (row.name, row.id, row.created)),
    ))
}
