//! What keeps people from being told of an alert, as §19 of the semantics has it.

use std::time::SystemTime;

use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{TenantId, Timestamp, WindowId, control};
use mast_state::incidents::open_until;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Alert;
use crate::http::problem::Problem;
use crate::http::wire::Time;
use crate::resources::alert_events::{self, AlertEvent};

/// What there is to keep people from being told, whichever of it is the reason that the alert names.
#[derive(Serialize, ToSchema)]
pub(crate) struct Suppression {
    /// Maintenance windows that are open now for what the alert is of, or for its cause. Of an alert that resolved: none.
    windows: Vec<OpenWindow>,
    /// Openings and resolvings of its rule and subject within `flap_window_s` up to now, or up to its end.
    changes: Vec<AlertEvent>,
    /// So many changes within that time are flapping.
    flap_changes: u8,
    /// That time, seconds.
    flap_window_s: i64,
    /// The farthest device above that is offline.
    cause_device_id: Option<Uuid>,
    /// Its name.
    cause: Option<String>,
}

/// A maintenance window that is open.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenWindow {
    id: Uuid,
    name: String,
    /// `tenant`, `site` or `devices`.
    scope: String,
    /// When it closes; it may open again.
    until: Time,
}

#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    name: String,
    scope: String,
    starts_at: Time,
    ends_at: Time,
    recurrence: Option<String>,
    time_zone: String,
}

impl Row {
    /// The window as the dataflow has it, as far as its times are concerned.
    fn controlled(&self) -> control::Window {
        control::Window {
            id: WindowId(self.id),
            tenant_id: TenantId(Uuid::nil()),
            name: String::new(),
            site_id: None,
            device_ids: Vec::new(),
            starts_at: Timestamp(self.starts_at.0),
            ends_at: Timestamp(self.ends_at.0),
            recurrence: self.recurrence.clone(),
            time_zone: self.time_zone.clone(),
            version: 0,
        }
    }
}

pub(super) async fn of(
    tx: &mut PgConnection,
    tenant: Uuid,
    alert: &Alert,
) -> Result<Suppression, Problem> {
    let now = Timestamp::from_system(SystemTime::now());
    let windows = match alert.resolved_at {
        None => windows(tx, tenant, alert, now).await?,
        Some(_) => Vec::new(),
    };
    let until = alert.resolved_at.unwrap_or(now.into());
    let from = Time(until.0.saturating_sub(DEFAULT.flap_window.0));
    let changes = alert_events::of_rule_and_subject(tx, tenant, alert, (from, until)).await?;
    Ok(Suppression {
        windows,
        changes,
        flap_changes: DEFAULT.flap_changes,
        flap_window_s: DEFAULT.flap_window.0 / 1_000_000,
        cause_device_id: alert.live.cause_device_id,
        cause: alert.cause.clone(),
    })
}

/// Windows of everything, of where the subject or its cause stands, or of these devices; those that are open.
async fn windows(
    tx: &mut PgConnection,
    tenant: Uuid,
    alert: &Alert,
    now: Timestamp,
) -> Result<Vec<OpenWindow>, Problem> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT w.id, w.name, w.scope, w.starts_at, w.ends_at, w.recurrence, w.time_zone FROM maintenance_windows w
         WHERE w.tenant_id = $1 AND w.starts_at <= instant($5) AND (w.scope = 'tenant' OR w.device_ids && ARRAY[$2, $4]
             OR w.site_id = $3 OR w.site_id = (SELECT site_id FROM devices WHERE tenant_id = $1 AND id = $4))
         ORDER BY w.name",
    )
    .bind(tenant)
    .bind(alert.live.subject_id)
    .bind(alert.site_id)
    .bind(alert.live.cause_device_id)
    .bind(now.0)
    .fetch_all(tx)
    .await?;
    let open = rows.into_iter().filter_map(|row| {
        let until = open_until(&row.controlled(), now)?.into();
        let Row {
            id, name, scope, ..
        } = row;
        Some(OpenWindow {
            id,
            name,
            scope,
            until,
        })
    });
    Ok(open.collect())
}
