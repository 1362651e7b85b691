//! What people are told: a request for each opening, escalation and end of an incident. One that merged has ended too: whoever was
//! told that it began would wait for its end for ever.
//!
//! Ids are those of the events, so a slot that is worked off again adds nothing. Names are those of the moment.

use mast_schemas::alerts::{IncidentChange, IncidentEvent, RuleKind, RuleSubject};
use mast_schemas::notifications::{Extent, Named, NotificationContent, Occasion, Root, title};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::tables::columns;

/// What is known of a root and its incident.
#[derive(Default)]
struct Known {
    name: Option<String>,
    site: Option<Named>,
    /// The most devices and clients that the incident had.
    most: Option<(i64, i64)>,
}

/// Writes the requests of a batch, whose incidents are written.
pub(super) async fn write(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let events = batch.incident_events.iter();
    let told: Vec<(&IncidentEvent, Occasion)> = events
        .map(|(_, event)| (event, occasion(event.change)))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let known = known(conn, &told).await?;
    let told: Vec<(&IncidentEvent, Occasion, Known)> = told
        .into_iter()
        .zip(known)
        .map(|((event, occasion), known)| (event, occasion, known))
        .collect();
    columns!(&told, (event, occasion, known) =>
        id: Uuid = event.event_id.0,
        tenant: Uuid = event.tenant_id.0,
        incident: Uuid = event.incident_id.0,
        kind: &str = occasion.as_str(),
        severity: &str = event.severity.as_str(),
        site: Option<Uuid> = known.site.as_ref().map(|site| site.id),
        at: i64 = event.at.0,
        // A struct of texts and numbers always serializes.
        content: String = serde_json::to_string(&words(event, *occasion, known)).unwrap_or_default(),
    );
    // Whoever silenced all that is open in an incident does not want to hear that it became worse.
    sqlx::query!(
        "INSERT INTO notification_requests (id, tenant_id, incident_id, kind, severity, site_id, happened_at, content)
         SELECT r.id, r.tenant_id, r.incident_id, r.kind, r.severity, r.site_id, instant(r.at), r.content::jsonb
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::text[])
              AS r (id, tenant_id, incident_id, kind, severity, site_id, at, content)
         WHERE r.kind <> 'escalated' OR (
             SELECT coalesce(bool_or(a.silenced_until IS NULL OR a.silenced_until <= instant(r.at)), true) FROM alerts AS a
             WHERE a.tenant_id = r.tenant_id AND a.incident_id = r.incident_id AND a.resolved_at IS NULL)
         ON CONFLICT (id) DO NOTHING",
        &id,
        &tenant,
        &incident,
        &kind as _,
        &severity as _,
        &site as _,
        &at,
        &content,
    )
    .execute(conn)
    .await?;
    Ok(())
}

const fn occasion(change: IncidentChange) -> Occasion {
    match change {
        IncidentChange::Opened => Occasion::Opened,
        IncidentChange::Escalated => Occasion::Escalated,
        IncidentChange::Resolved | IncidentChange::Merged => Occasion::Resolved,
    }
}

/// Name and place of each event's root, and what its incident had at most, in the order of the events.
async fn known(
    conn: &mut PgConnection,
    told: &[(&IncidentEvent, Occasion)],
) -> Result<Vec<Known>, sqlx::Error> {
    columns!(told, (event, _) =>
        incident: Uuid = event.incident_id.0,
        tenant: Uuid = event.tenant_id.0,
        kind: &str = event.root_kind.as_str(),
        root: Uuid = event.root_id.0,
    );
    // By event, not by incident: within a commit an incident may open with one root and get another. All joins are by keys, so
    // that there is a row for each.
    let rows = sqlx::query!(
        r#"SELECT coalesce(d.name, e.name, p.name) AS name, s.id AS "site_id?",
                  s.name AS "site?", i.devices_most AS "devices?", i.clients_most AS "clients?"
           FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[]) WITH ORDINALITY
                AS r (incident_id, tenant_id, kind, root_id, n)
           LEFT JOIN devices AS d ON r.kind = 'device' AND d.tenant_id = r.tenant_id AND d.id = r.root_id
           LEFT JOIN sectors AS e ON r.kind = 'sector' AND e.tenant_id = r.tenant_id AND e.id = r.root_id
           LEFT JOIN sites AS p ON r.kind = 'site' AND p.tenant_id = r.tenant_id AND p.id = r.root_id
           LEFT JOIN sites AS s ON s.tenant_id = r.tenant_id AND s.id = coalesce(p.id, e.site_id, d.site_id)
           LEFT JOIN incidents AS i ON i.tenant_id = r.tenant_id AND i.incident_id = r.incident_id
           ORDER BY r.n"#,
        &incident,
        &tenant,
        &kind as _,
        &root,
    )
    .fetch_all(conn)
    .await?;
    let known = rows.into_iter().map(|row| {
        let site = row.site_id.zip(row.site);
        Known {
            name: row.name,
            site: site.map(|(id, name)| Named { id, name }),
            most: row.devices.zip(row.clients),
        }
    });
    Ok(known.collect())
}

fn words(event: &IncidentEvent, occasion: Occasion, known: &Known) -> NotificationContent {
    let is_over = occasion == Occasion::Resolved;
    let name = known.name.clone();
    let name = name.unwrap_or_else(|| event.root_id.0.to_string());
    let (devices, clients) = match known.most {
        // What is over has nothing any more; what it had is told.
        Some((devices, clients)) if is_over => (devices.unsigned_abs(), clients.unsigned_abs()),
        _ => (event.devices.into(), event.clients.into()),
    };
    NotificationContent {
        title: title(event.kind, &name),
        cause: match (is_over, event.merged_into) {
            (true, Some(other)) => format!("another incident took its alerts: {}", other.0),
            (true, None) => "all of its alerts have resolved".to_owned(),
            (false, _) => {
                // By the event alone: what is said must not depend on how slots are grouped in commits.
                let dead =
                    (event.root_kind, event.kind) == (RuleSubject::Device, RuleKind::Offline);
                let below = if dead {
                    u64::from(event.devices).saturating_sub(1)
                } else {
                    0
                };
                let extent = Extent {
                    alerts: event.alerts.into(),
                    devices: event.devices.into(),
                    below,
                };
                extent.cause(event.kind, &name)
            }
        },
        root: Root {
            kind: event.root_kind.to_string(),
            id: event.root_id.0.to_string(),
            name,
        },
        site: known.site.clone(),
        devices_affected: Some(devices),
        clients_affected: Some(clients),
        opened_at: event.opened_at,
        resolved_at: is_over.then_some(event.at),
    }
}
