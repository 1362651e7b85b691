//! What ended long ago: removed beside the commits, as gauges are written.

use mast_schemas::Epoch;
use mast_schemas::time::Span;
use sqlx::PgPool;

/// For so long alerts, incidents and trends are shown after their end; what people said of them likewise.
const ENDED_KEPT: Span = Span::hours(24 * 90);

/// Removes what ended too long before `epoch`. Events and history stay.
pub(super) async fn forget(pool: &PgPool, epoch: Epoch) -> Result<(), sqlx::Error> {
    let before = (epoch.end() - ENDED_KEPT).0;
    sqlx::query!("DELETE FROM alerts WHERE resolved_at < instant($1)", before)
        .execute(pool)
        .await?;
    sqlx::query!(
        "DELETE FROM incidents WHERE closed_at < instant($1)",
        before
    )
    .execute(pool)
    .await?;
    sqlx::query!("DELETE FROM trends WHERE ended_at < instant($1)", before)
        .execute(pool)
        .await?;
    sqlx::query!(
        "DELETE FROM alert_notes AS n WHERE n.at < instant($1)
             AND NOT EXISTS (SELECT 1 FROM alerts AS a WHERE a.alert_id = n.alert_id)
             AND NOT EXISTS (SELECT 1 FROM incidents AS i WHERE i.incident_id = n.incident_id)",
        before
    )
    .execute(pool)
    .await?;
    Ok(())
}
