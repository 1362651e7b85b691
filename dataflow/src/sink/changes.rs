//! `view_change`: what a commit changed, row by row, for live streams that resume by (epoch, n).
//!
//! A stream wants the newest value of a key, so a commit of many slots tells each key once, under the slot that set it.

use mast_schemas::Epoch;
use mast_schemas::views::{Place, View};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::tables::{Gone, columns, place};

struct Change {
    epoch: Epoch,
    tenant: Uuid,
    view: View,
    key: String,
    /// `None` = deleted.
    row: Option<String>,
}

pub(super) async fn write(
    conn: &mut PgConnection,
    batch: &Batch,
    gone: &Gone,
) -> Result<(), sqlx::Error> {
    let changes = gather(batch, gone);
    if changes.is_empty() {
        return Ok(());
    }
    let numbers = number(&changes);
    columns!(&changes, change =>
        epoch: i64 = change.epoch.0.cast_signed(),
        tenant: Uuid = change.tenant,
        view: &str = change.view.as_str(),
        key: &str = change.key.as_str(),
        op: &str = if change.row.is_some() { "upsert" } else { "delete" },
        row: Option<&str> = change.row.as_deref(),
    );
    sqlx::query!(
        "INSERT INTO view_change (epoch, n, tenant_id, view, key, op, row)
         SELECT epoch, n, tenant_id, view, key::jsonb, op, row::jsonb
         FROM UNNEST($1::bigint[], $2::integer[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])
              AS r (epoch, n, tenant_id, view, key, op, row)",
        &epoch,
        &numbers,
        &tenant,
        &view as _,
        &key as _,
        &op as _,
        &row as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// All changes by epoch; within one, devices, links, addresses, counts and states of places, alerts, incidents and trends by
/// rising key.
fn gather(batch: &Batch, gone: &Gone) -> Vec<Change> {
    let mut changes =
        Vec::with_capacity(batch.devices.len() + batch.links.len() + batch.counts.len());
    for (epoch, id, view) in &batch.devices {
        let tenant = view.as_ref().map(|view| view.tenant_id.0);
        // What came and went within the commit was never seen.
        let Some(tenant) = tenant.or_else(|| gone.devices.get(&id.0).copied()) else {
            continue;
        };
        let key = format!(r#"{{"device_id":"{id}"}}"#);
        changes.push(Change {
            epoch: *epoch,
            tenant,
            view: View::Devices,
            key,
            row: view.as_ref().map(json),
        });
    }
    for (epoch, id, view) in &batch.links {
        let (tenant, row) = (id.tenant_id.0, view.as_ref().map(json));
        changes.push(Change {
            epoch: *epoch,
            tenant,
            view: View::Links,
            key: json(id),
            row,
        });
    }
    for (epoch, (tenant, mac), address) in &batch.addresses {
        changes.push(Change {
            epoch: *epoch,
            tenant: tenant.0,
            view: View::ClientAddresses,
            key: format!(r#"{{"mac":{}}}"#, json(mac)),
            row: address.as_ref().map(json),
        });
    }
    for (epoch, key, counts) in &batch.counts {
        let (_, id, tenant) = place(key);
        let view = match key {
            Place::Tenant(_) => View::TenantCounts,
            Place::Site(..) => View::SiteCounts,
            Place::Sector(..) => View::SectorCounts,
        };
        let (key, row) = (format!(r#"{{"id":"{id}"}}"#), counts.as_ref().map(json));
        changes.push(Change {
            epoch: *epoch,
            tenant,
            view,
            key,
            row,
        });
    }
    for (epoch, key, health) in &batch.health {
        let (_, id, tenant) = place(key);
        let view = match key {
            Place::Tenant(_) => View::TenantHealth,
            Place::Site(..) => View::SiteHealth,
            Place::Sector(..) => View::SectorHealth,
        };
        changes.push(Change {
            epoch: *epoch,
            tenant,
            view,
            key: format!(r#"{{"id":"{id}"}}"#),
            row: health.as_ref().map(json),
        });
    }
    alerts(batch, gone, &mut changes);
    changes.sort_by_key(|change| change.epoch);
    changes
}

/// Alerts, incidents and trends.
fn alerts(batch: &Batch, gone: &Gone, changes: &mut Vec<Change>) {
    for (epoch, id, view) in &batch.alerts {
        let tenant = view.as_ref().map(|view| view.tenant_id.0);
        let tenant = tenant.or_else(|| gone.alerts.get(&id.0).copied());
        changes.extend(tenant.map(|tenant| Change {
            epoch: *epoch,
            tenant,
            view: View::Alerts,
            key: format!(r#"{{"id":"{}"}}"#, id.0),
            row: view.as_ref().map(json),
        }));
    }
    for (epoch, id, view) in &batch.incidents {
        let tenant = view.as_ref().map(|view| view.tenant_id.0);
        let tenant = tenant.or_else(|| gone.incidents.get(&id.0).copied());
        changes.extend(tenant.map(|tenant| Change {
            epoch: *epoch,
            tenant,
            view: View::Incidents,
            key: format!(r#"{{"id":"{}"}}"#, id.0),
            row: view.as_ref().map(json),
        }));
    }
    for (epoch, (tenant, mac), view) in &batch.trends {
        changes.push(Change {
            epoch: *epoch,
            tenant: tenant.0,
            view: View::Trends,
            key: format!(r#"{{"mac":{}}}"#, json(mac)),
            row: view.as_ref().map(json),
        });
    }
}

/// From 0 within each epoch.
fn number(changes: &[Change]) -> Vec<i32> {
    let (mut last, mut n) = (None, 0);
    let next = |change: &Change| {
        n = if last == Some(change.epoch) { n + 1 } else { 0 };
        last = Some(change.epoch);
        n
    };
    changes.iter().map(next).collect()
}

fn json(value: &impl Serialize) -> String {
    // Structs of numbers, strings and lists always serialize.
    serde_json::to_string(value).unwrap_or_default()
}
