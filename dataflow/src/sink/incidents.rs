//! Incidents as a table: open ones as they are now, closed ones as they were when they closed, with the most they ever had.

use std::collections::{HashMap, HashSet};

use mast_schemas::Epoch;
use mast_schemas::alerts::{IncidentChange, IncidentEvent, IncidentId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::tables::{Deleted, columns};

/// A row to be written whole.
struct Row {
    epoch: Epoch,
    id: Uuid,
    tenant: Uuid,
    root: (&'static str, Uuid),
    kind: &'static str,
    severity: &'static str,
    opened_at: i64,
    /// Alerts, devices, clients.
    now: [i64; 3],
    most: [i64; 3],
    end: Option<(i64, &'static str, Option<Uuid>)>,
}

/// Writes incidents and their events. Returns (incident, tenant) of those that were open and are not any more.
pub(super) async fn write(conn: &mut PgConnection, batch: &Batch) -> Result<Deleted, sqlx::Error> {
    let closed: Vec<Uuid> = batch
        .incidents
        .iter()
        .filter(|(_, _, view)| view.is_none())
        .map(|(_, id, _)| id.0)
        .collect();
    let seen = if closed.is_empty() {
        Deleted::new()
    } else {
        open_ones(conn, &closed).await?
    };
    let most: HashMap<IncidentId, [u32; 3]> = batch.incidents_most.iter().copied().collect();
    let most = |id: IncidentId| most.get(&id).copied().unwrap_or_default().map(i64::from);
    // An incident that closed says all of itself.
    let ends: HashMap<IncidentId, (Epoch, &IncidentEvent)> = batch
        .incident_events
        .iter()
        .filter(|(_, event)| closes(event))
        .map(|(epoch, event)| (event.incident_id, (*epoch, event)))
        .collect();
    // One that closed and opened again within the batch is open.
    let is_open: HashSet<IncidentId> = batch
        .incidents
        .iter()
        .filter(|(_, _, view)| view.is_some())
        .map(|(_, id, _)| *id)
        .collect();
    let mut rows: Vec<Row> = ends
        .values()
        .filter(|(_, event)| !is_open.contains(&event.incident_id))
        .map(|(epoch, event)| ended(*epoch, event, most))
        .collect();
    rows.extend(batch.incidents.iter().filter_map(|(epoch, id, view)| {
        view.map(|view| Row {
            epoch: *epoch,
            id: id.0,
            tenant: view.tenant_id.0,
            root: (view.root.kind().as_str(), view.root.id()),
            kind: view.kind.as_str(),
            severity: view.severity.as_str(),
            opened_at: view.opened_at.0,
            now: [view.alerts, view.devices, view.clients].map(i64::from),
            most: most(*id),
            end: None,
        })
    }));
    rows.sort_by_key(|row| row.id);
    upsert(conn, &rows).await?;
    if !closed.is_empty() {
        drop_unended(conn, &closed).await?;
    }
    events(conn, batch).await?;
    Ok(seen)
}

const fn closes(event: &IncidentEvent) -> bool {
    matches!(
        event.change,
        IncidentChange::Resolved | IncidentChange::Merged
    )
}

fn ended(epoch: Epoch, event: &IncidentEvent, most: impl Fn(IncidentId) -> [i64; 3]) -> Row {
    let now = [event.alerts, event.devices, event.clients].map(i64::from);
    let known = most(event.incident_id);
    Row {
        epoch,
        id: event.incident_id.0,
        tenant: event.tenant_id.0,
        root: (event.root_kind.as_str(), event.root_id.0),
        kind: event.kind.as_str(),
        severity: event.severity.as_str(),
        opened_at: event.opened_at.0,
        now,
        most: std::array::from_fn(|n| known[n].max(now[n])),
        end: Some((
            event.at.0,
            event.change.as_str(),
            event.merged_into.map(|id| id.0),
        )),
    }
}

/// Those of `ids` that are open, with their tenants.
async fn open_ones(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Deleted, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT incident_id, tenant_id FROM incidents WHERE incident_id = ANY($1) AND closed_at IS NULL",
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.incident_id, row.tenant_id))
        .collect())
}

/// Drops what is open no more and has no end: its tenant is gone.
async fn drop_unended(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM incidents WHERE incident_id = ANY($1) AND closed_at IS NULL",
        ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn upsert(conn: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    columns!(rows, row =>
        id: Uuid = row.id,
        tenant: Uuid = row.tenant,
        root_kind: &str = row.root.0,
        root_id: Uuid = row.root.1,
        kind: &str = row.kind,
        severity: &str = row.severity,
        opened: i64 = row.opened_at,
        alerts: i64 = row.now[0],
        devices: i64 = row.now[1],
        clients: i64 = row.now[2],
        alerts_most: i64 = row.most[0],
        devices_most: i64 = row.most[1],
        clients_most: i64 = row.most[2],
        closed: Option<i64> = row.end.map(|(at, ..)| at),
        closing: Option<&str> = row.end.map(|(_, how, _)| how),
        into: Option<Uuid> = row.end.and_then(|(.., into)| into),
        epochs: i64 = row.epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO incidents (incident_id, tenant_id, root_kind, root_id, kind, severity, opened_at, alerts, devices,
                                clients, alerts_most, devices_most, clients_most, closed_at, closing, merged_into, epoch)
         SELECT incident_id, tenant_id, root_kind, root_id, kind, severity, instant(opened_at), alerts, devices, clients,
                alerts_most, devices_most, clients_most, instant(closed_at), closing, merged_into, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                     $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::text[],
                     $16::uuid[], $17::bigint[])
              AS r (incident_id, tenant_id, root_kind, root_id, kind, severity, opened_at, alerts, devices, clients,
                    alerts_most, devices_most, clients_most, closed_at, closing, merged_into, epoch)
         ON CONFLICT (incident_id) DO UPDATE SET
             root_kind = excluded.root_kind, root_id = excluded.root_id, kind = excluded.kind,
             severity = excluded.severity, alerts = excluded.alerts, devices = excluded.devices,
             clients = excluded.clients, alerts_most = greatest(incidents.alerts_most, excluded.alerts_most),
             devices_most = greatest(incidents.devices_most, excluded.devices_most),
             clients_most = greatest(incidents.clients_most, excluded.clients_most), closed_at = excluded.closed_at,
             closing = excluded.closing, merged_into = excluded.merged_into, epoch = excluded.epoch",
        &id,
        &tenant,
        &root_kind as _,
        &root_id,
        &kind as _,
        &severity as _,
        &opened,
        &alerts,
        &devices,
        &clients,
        &alerts_most,
        &devices_most,
        &clients_most,
        &closed as _,
        &closing as _,
        &into as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn events(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.incident_events.is_empty() {
        return Ok(());
    }
    columns!(&batch.incident_events, (epoch, event) =>
        id: Uuid = event.event_id.0,
        tenant: Uuid = event.tenant_id.0,
        incident: Uuid = event.incident_id.0,
        at: i64 = event.at.0,
        change: &str = event.change.as_str(),
        into: Option<Uuid> = event.merged_into.map(|id| id.0),
        root_kind: &str = event.root_kind.as_str(),
        root_id: Uuid = event.root_id.0,
        kind: &str = event.kind.as_str(),
        severity: &str = event.severity.as_str(),
        opened: i64 = event.opened_at.0,
        alerts: i64 = event.alerts.into(),
        devices: i64 = event.devices.into(),
        clients: i64 = event.clients.into(),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO incident_events (event_id, tenant_id, incident_id, at, change, merged_into, root_kind, root_id, kind,
                                      severity, opened_at, alerts, devices, clients, epoch)
         SELECT event_id, tenant_id, incident_id, instant(at), change, merged_into, root_kind, root_id, kind, severity,
                instant(opened_at), alerts, devices, clients, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::uuid[], $7::text[], $8::uuid[],
                     $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[])
              AS r (event_id, tenant_id, incident_id, at, change, merged_into, root_kind, root_id, kind, severity,
                    opened_at, alerts, devices, clients, epoch)
         ON CONFLICT (event_id) DO NOTHING",
        &id,
        &tenant,
        &incident,
        &at,
        &change as _,
        &into as _,
        &root_kind as _,
        &root_id,
        &kind as _,
        &severity as _,
        &opened,
        &alerts,
        &devices,
        &clients,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}
