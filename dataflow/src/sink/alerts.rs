//! Alerts as a table: open ones as they are now, resolved ones as they were last, with their end.
//!
//! A row has columns of the dataflow and columns of people; only the first are written here. Among the open ones a rule and a
//! subject is there once, so that what ends is written before what begins.

use std::collections::{HashMap, HashSet};

use mast_schemas::Epoch;
use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertId, AlertStatus, AlertView, Resolution, RuleSubject, Subject,
    SubjectId,
};
use mast_schemas::{DeviceId, SectorId, SiteId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::tables::{Deleted, columns};

/// A row to be written whole.
struct Row<'a> {
    epoch: Epoch,
    view: AlertView,
    end: Option<&'a AlertEvent>,
}

/// Writes alerts and their events. Returns (alert, tenant) of those that were open and are not any more.
pub(super) async fn write(conn: &mut PgConnection, batch: &Batch) -> Result<Deleted, sqlx::Error> {
    let closed: Vec<Uuid> = batch
        .alerts
        .iter()
        .filter(|(_, _, view)| view.is_none())
        .map(|(_, id, _)| id.0)
        .collect();
    let seen = if closed.is_empty() {
        Deleted::new()
    } else {
        open_ones(conn, &closed).await?
    };
    let ends = batch.alert_events.iter();
    let ends = ends.filter(|(_, event)| event.change == AlertChange::Resolved);
    let ends: HashMap<AlertId, (Epoch, &AlertEvent)> = ends
        .map(|(epoch, event)| (event.alert_id, (*epoch, event)))
        .collect();
    let whole = ended_within(batch, &ends);
    let written: HashSet<AlertId> = whole.iter().map(|row| row.view.alert_id).collect();
    let rest = ends.values().copied();
    let rest: Vec<(Epoch, &AlertEvent)> = rest
        .filter(|(_, event)| !written.contains(&event.alert_id))
        .collect();
    if !rest.is_empty() {
        end(conn, &rest).await?;
    }
    upsert(conn, &whole).await?;
    if !closed.is_empty() {
        drop_unended(conn, &closed).await?;
    }
    let open: Vec<Row<'_>> = batch
        .alerts
        .iter()
        .filter_map(|(epoch, _, view)| {
            view.clone().map(|view| Row {
                epoch: *epoch,
                view,
                end: None,
            })
        })
        .collect();
    upsert(conn, &open).await?;
    events(conn, batch).await?;
    Ok(seen)
}

/// Alerts that ended within the batch and of which it knows all: their last view, else what their opening said.
fn ended_within<'a>(
    batch: &'a Batch,
    ends: &HashMap<AlertId, (Epoch, &'a AlertEvent)>,
) -> Vec<Row<'a>> {
    let openings = batch.alert_events.iter();
    let openings = openings.filter(|(_, event)| event.change == AlertChange::Opened);
    let mut views: HashMap<AlertId, AlertView> = openings
        .map(|(_, event)| (event.alert_id, opened(event)))
        .collect();
    for (_, id, view) in &batch.alerts_left {
        views.insert(*id, view.clone());
    }
    let mut rows: Vec<Row<'a>> = views
        .into_iter()
        .filter_map(|(id, view)| {
            ends.get(&id).map(|(epoch, event)| Row {
                epoch: *epoch,
                view,
                end: Some(event),
            })
        })
        .collect();
    rows.sort_by_key(|row| row.view.alert_id);
    rows
}

/// An alert of which nothing but its opening is known: nobody was told of it.
fn opened(event: &AlertEvent) -> AlertView {
    AlertView {
        alert_id: event.alert_id,
        tenant_id: event.tenant_id,
        rule_id: event.rule_id,
        kind: event.kind,
        severity: event.severity,
        subject: subject(
            event.subject_kind,
            event.subject_id,
            event.interface.as_deref(),
        ),
        opened_at: event.at,
        value_milli: event.value_milli.unwrap_or_default(),
        status: AlertStatus::Waiting,
        suppressor: None,
        cause_device_id: None,
        incident_id: None,
    }
}

fn subject(kind: RuleSubject, id: SubjectId, interface: Option<&str>) -> Subject {
    match kind {
        RuleSubject::Device => Subject::Device(DeviceId(id.0)),
        RuleSubject::Interface => {
            Subject::Interface(DeviceId(id.0), interface.unwrap_or_default().into())
        }
        RuleSubject::Site => Subject::Site(SiteId(id.0)),
        RuleSubject::Sector => Subject::Sector(SectorId(id.0)),
    }
}

/// Those of `ids` that are open, with their tenants.
async fn open_ones(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Deleted, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT alert_id, tenant_id FROM alerts WHERE alert_id = ANY($1) AND resolved_at IS NULL",
        ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.alert_id, row.tenant_id))
        .collect())
}

/// Notes the end of alerts that were open before the batch and did not change otherwise.
async fn end(conn: &mut PgConnection, ends: &[(Epoch, &AlertEvent)]) -> Result<(), sqlx::Error> {
    columns!(ends, (epoch, event) =>
        id: Uuid = event.alert_id.0,
        severity: &str = event.severity.as_str(),
        at: i64 = event.at.0,
        resolution: &str = why_of(event),
        value: Option<i64> = event.value_milli,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "UPDATE alerts AS a SET severity = r.severity, resolved_at = instant(r.at), resolution = r.resolution,
             resolved_value_milli = r.value, epoch = r.epoch
         FROM UNNEST($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[])
              AS r (id, severity, at, resolution, value, epoch)
         WHERE a.alert_id = r.id",
        &id,
        &severity as _,
        &at,
        &resolution as _,
        &value as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn why_of(event: &AlertEvent) -> &'static str {
    // Each resolving says why.
    event.resolution.unwrap_or(Resolution::Cleared).as_str()
}

/// Drops what is open no more and has no end: its tenant is gone.
async fn drop_unended(conn: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM alerts WHERE alert_id = ANY($1) AND resolved_at IS NULL",
        ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn upsert(conn: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    columns!(rows, Row { epoch, view, end } =>
        id: Uuid = view.alert_id.0,
        tenant: Uuid = view.tenant_id.0,
        rule: Uuid = view.rule_id.0,
        kind: &str = view.kind.as_str(),
        severity: &str = view.severity.as_str(),
        subject_kind: &str = view.subject.kind().as_str(),
        subject_id: Uuid = view.subject.id(),
        interface: Option<&str> = view.subject.interface(),
        opened: i64 = view.opened_at.0,
        value: i64 = view.value_milli,
        status: &str = view.status.as_str(),
        suppressor: Option<&str> = view.suppressor.map(|s| s.as_str()),
        cause: Option<Uuid> = view.cause_device_id.map(|id| id.0),
        incident: Option<Uuid> = view.incident_id.map(|id| id.0),
        resolved: Option<i64> = end.map(|event| event.at.0),
        why: Option<&str> = end.map(why_of),
        resolved_value: Option<i64> = end.and_then(|event| event.value_milli),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface, opened_at,
                             value_milli, status, suppressor, cause_device_id, incident_id, resolved_at, resolution,
                             resolved_value_milli, epoch)
         SELECT alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface, instant(opened_at),
                value_milli, status, suppressor, cause_device_id, incident_id, instant(resolved_at), resolution,
                resolved_value_milli, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[],
                     $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::uuid[], $14::uuid[], $15::bigint[],
                     $16::text[], $17::bigint[], $18::bigint[])
              AS r (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface, opened_at,
                    value_milli, status, suppressor, cause_device_id, incident_id, resolved_at, resolution,
                    resolved_value_milli, epoch)
         ON CONFLICT (alert_id) DO UPDATE SET
             kind = excluded.kind, severity = excluded.severity, status = excluded.status,
             suppressor = excluded.suppressor, cause_device_id = excluded.cause_device_id,
             incident_id = excluded.incident_id, resolved_at = excluded.resolved_at, resolution = excluded.resolution,
             resolved_value_milli = excluded.resolved_value_milli, epoch = excluded.epoch",
        &id,
        &tenant,
        &rule,
        &kind as _,
        &severity as _,
        &subject_kind as _,
        &subject_id,
        &interface as _,
        &opened,
        &value,
        &status as _,
        &suppressor as _,
        &cause as _,
        &incident as _,
        &resolved as _,
        &why as _,
        &resolved_value as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn events(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.alert_events.is_empty() {
        return Ok(());
    }
    columns!(&batch.alert_events, (epoch, event) =>
        id: Uuid = event.event_id.0,
        tenant: Uuid = event.tenant_id.0,
        alert: Uuid = event.alert_id.0,
        rule: Uuid = event.rule_id.0,
        kind: &str = event.kind.as_str(),
        severity: &str = event.severity.as_str(),
        subject_kind: &str = event.subject_kind.as_str(),
        subject_id: Uuid = event.subject_id.0,
        interface: Option<&str> = event.interface.as_deref(),
        at: i64 = event.at.0,
        change: &str = event.change.as_str(),
        resolution: Option<&str> = event.resolution.map(|r| r.as_str()),
        value: Option<i64> = event.value_milli,
        threshold: Option<i64> = event.threshold_milli,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO alert_events (event_id, tenant_id, alert_id, rule_id, kind, severity, subject_kind, subject_id,
                                   interface, at, change, resolution, value_milli, threshold_milli, epoch)
         SELECT event_id, tenant_id, alert_id, rule_id, kind, severity, subject_kind, subject_id, interface, instant(at),
                change, resolution, value_milli, threshold_milli, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[],
                     $9::text[], $10::bigint[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[])
              AS r (event_id, tenant_id, alert_id, rule_id, kind, severity, subject_kind, subject_id, interface, at,
                    change, resolution, value_milli, threshold_milli, epoch)
         ON CONFLICT (event_id) DO NOTHING",
        &id,
        &tenant,
        &alert,
        &rule,
        &kind as _,
        &severity as _,
        &subject_kind as _,
        &subject_id,
        &interface as _,
        &at,
        &change as _,
        &resolution as _,
        &value as _,
        &threshold as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}
