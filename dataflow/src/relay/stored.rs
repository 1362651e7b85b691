//! Events as Postgres holds them, read back as they were told.

use mast_schemas::alerts::{AlertEvent, AlertId, IncidentEvent, IncidentId, SubjectId, TrendEvent};
use mast_schemas::views::{DeviceEvent, EventId, HealthEvent, LinkEvent, PlaceId};
use mast_schemas::{DeviceId, Epoch, Mac, RuleId, SchemaError, TenantId, Timestamp};
use sqlx::PgPool;

use super::events::{Event, EventRecord};
use crate::error::DataflowError;

/// Committed events of the epochs `from..=upto`, in the order of the topic.
pub(crate) async fn committed(
    pool: &PgPool,
    from: Epoch,
    upto: Epoch,
) -> Result<Vec<EventRecord>, DataflowError> {
    let (from, upto) = (from.0.cast_signed(), upto.0.cast_signed());
    let mut events = Vec::new();
    let rows = sqlx::query!(
        r#"SELECT event_id, tenant_id, device_id, micros(at) AS "at!", from_state, to_state, outcome, epoch
           FROM device_events WHERE epoch BETWEEN $1 AND $2"#,
        from,
        upto,
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let event = DeviceEvent {
            event_id: EventId(row.event_id),
            tenant_id: TenantId(row.tenant_id),
            device_id: DeviceId(row.device_id),
            at: Timestamp(row.at),
            from_state: word(&row.from_state)?,
            to_state: word(&row.to_state)?,
            outcome: row.outcome.as_deref().map(word).transpose()?,
        };
        events.push(EventRecord {
            epoch: Epoch(row.epoch.unsigned_abs()),
            event: Event::Device(event),
        });
    }
    let rows = sqlx::query!(
        r#"SELECT event_id, tenant_id, ap_device_id, radio_mac, mac, micros(at) AS "at!", from_state, to_state, reason,
                  epoch
           FROM link_events WHERE epoch BETWEEN $1 AND $2"#,
        from,
        upto,
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let event = LinkEvent {
            event_id: EventId(row.event_id),
            tenant_id: TenantId(row.tenant_id),
            ap_device_id: DeviceId(row.ap_device_id),
            radio_mac: Mac(row.radio_mac.cast_unsigned()),
            mac: Mac(row.mac.cast_unsigned()),
            at: Timestamp(row.at),
            from_state: row.from_state.as_deref().map(word).transpose()?,
            to_state: row.to_state.as_deref().map(word).transpose()?,
            reason: word(&row.reason)?,
        };
        events.push(EventRecord {
            epoch: Epoch(row.epoch.unsigned_abs()),
            event: Event::Link(event),
        });
    }
    let rows = sqlx::query!(
        r#"SELECT event_id, tenant_id, place_kind, place_id, micros(at) AS "at!", from_state, to_state, epoch
           FROM health_events WHERE epoch BETWEEN $1 AND $2"#,
        from,
        upto,
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let event = HealthEvent {
            event_id: EventId(row.event_id),
            tenant_id: TenantId(row.tenant_id),
            place_kind: word(&row.place_kind)?,
            place_id: PlaceId(row.place_id),
            at: Timestamp(row.at),
            from_state: row.from_state.as_deref().map(word).transpose()?,
            to_state: row.to_state.as_deref().map(word).transpose()?,
        };
        events.push(EventRecord {
            epoch: Epoch(row.epoch.unsigned_abs()),
            event: Event::Place(event),
        });
    }
    alerts(pool, (from, upto), &mut events).await?;
    incidents(pool, (from, upto), &mut events).await?;
    trends(pool, (from, upto), &mut events).await?;
    events.sort_by_key(|event| (event.epoch, event.id()));
    Ok(events)
}

async fn alerts(
    pool: &PgPool,
    (from, upto): (i64, i64),
    events: &mut Vec<EventRecord>,
) -> Result<(), DataflowError> {
    let rows = sqlx::query!(
        r#"SELECT event_id, tenant_id, alert_id, rule_id, kind, severity, subject_kind, subject_id, interface,
                  micros(at) AS "at!", change, resolution, value_milli, threshold_milli, epoch
           FROM alert_events WHERE epoch BETWEEN $1 AND $2"#,
        from,
        upto,
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let alert = AlertEvent {
            event_id: EventId(row.event_id),
            tenant_id: TenantId(row.tenant_id),
            alert_id: AlertId(row.alert_id),
            rule_id: RuleId(row.rule_id),
            kind: word(&row.kind)?,
            severity: word(&row.severity)?,
            subject_kind: word(&row.subject_kind)?,
            subject_id: SubjectId(row.subject_id),
            interface: row.interface,
            at: Timestamp(row.at),
            change: word(&row.change)?,
            resolution: row.resolution.as_deref().map(word).transpose()?,
            value_milli: row.value_milli,
            threshold_milli: row.threshold_milli,
        };
        events.push(EventRecord {
            epoch: Epoch(row.epoch.unsigned_abs()),
            event: Event::Alert { alert },
        });
    }
    Ok(())
}

async fn incidents(
    pool: &PgPool,
    (from, upto): (i64, i64),
    events: &mut Vec<EventRecord>,
) -> Result<(), DataflowError> {
    let rows = sqlx::query!(
        r#"SELECT event_id, tenant_id, incident_id, micros(at) AS "at!", change, merged_into, root_kind, root_id, kind,
                  severity, micros(opened_at) AS "opened_at!", alerts, devices, clients, epoch
           FROM incident_events WHERE epoch BETWEEN $1 AND $2"#,
        from,
        upto,
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let incident = IncidentEvent {
            event_id: EventId(row.event_id),
            tenant_id: TenantId(row.tenant_id),
            incident_id: IncidentId(row.incident_id),
            at: Timestamp(row.at),
            change: word(&row.change)?,
            merged_into: row.merged_into.map(IncidentId),
            root_kind: word(&row.root_kind)?,
            root_id: SubjectId(row.root_id),
            kind: word(&row.kind)?,
            severity: word(&row.severity)?,
            opened_at: Timestamp(row.opened_at),
            alerts: count(row.alerts),
            devices: count(row.devices),
            clients: count(row.clients),
        };
        events.push(EventRecord {
            epoch: Epoch(row.epoch.unsigned_abs()),
            event: Event::Incident { incident },
        });
    }
    Ok(())
}

async fn trends(
    pool: &PgPool,
    (from, upto): (i64, i64),
    events: &mut Vec<EventRecord>,
) -> Result<(), DataflowError> {
    let rows = sqlx::query!(
        r#"SELECT event_id, tenant_id, mac, ap_device_id, radio_mac, micros(at) AS "at!", change, test, baseline_cdbm,
                  recent_cdbm, epoch
           FROM trend_events WHERE epoch BETWEEN $1 AND $2"#,
        from,
        upto,
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        let trend = TrendEvent {
            event_id: EventId(row.event_id),
            tenant_id: TenantId(row.tenant_id),
            mac: Mac(row.mac.cast_unsigned()),
            ap_device_id: DeviceId(row.ap_device_id),
            radio_mac: Mac(row.radio_mac.cast_unsigned()),
            at: Timestamp(row.at),
            change: word(&row.change)?,
            test: word(&row.test)?,
            baseline_cdbm: row.baseline_cdbm,
            recent_cdbm: row.recent_cdbm,
        };
        events.push(EventRecord {
            epoch: Epoch(row.epoch.unsigned_abs()),
            event: Event::Trend { trend },
        });
    }
    Ok(())
}

/// A count as the event has it; a table's could be larger, its writer's never is.
fn count(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}

/// A word that the table's own checks let in.
fn word<T: std::str::FromStr<Err = SchemaError>>(text: &str) -> Result<T, DataflowError> {
    text.parse()
        .map_err(|e: SchemaError| DataflowError::Postgres(sqlx::Error::Decode(Box::new(e))))
}
