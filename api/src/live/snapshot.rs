//! Snapshots: all rows of the chosen views at one instant, for all who wait for one at the same time.
//!
//! The rows come from one snapshot of the database and go on in parts, so that a large fleet is never in memory as a whole.
//! The trap: a transaction that stays open for who does not read. Who takes no part for too long is left out, and is cut.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::join_all;
use mast_postgres::tenant_snapshot;
use mast_schemas::TenantId;
use mast_schemas::views::View;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, PgPool};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::event::{self, SnapshotData};
use super::position::Position;
use super::read;
use super::row::LiveRow;
use super::views::Views;
use crate::resources::alerts::live_alert_columns;
use crate::resources::devices::device_status_columns;
use crate::resources::incidents::live_incident_columns;
use crate::resources::links::live_link_columns;
use crate::resources::trends::live_trend_columns;

/// Rows of a part.
const PART: usize = 500;
/// Time to take a part.
const STUCK: Duration = Duration::from_secs(10);
/// Time for all parts.
const MOST: Duration = Duration::from_secs(120);

/// Who waits for a snapshot.
pub(super) struct Waiter {
    pub(super) views: Views,
    pub(super) to: mpsc::Sender<Bytes>,
    /// Told the position of the snapshot that was sent, or null where it could not be read to its end. Dropped: there is no
    /// such tenant any more, or it took nothing for too long.
    pub(super) done: oneshot::Sender<Option<Position>>,
}

/// Sends a snapshot to all who wait.
pub(super) async fn send(pool: &PgPool, tenant: TenantId, waiters: Vec<Waiter>) {
    let mut group = Group(waiters);
    let position = match timeout(MOST, group.read(pool, tenant)).await {
        Ok(Ok(Some(position))) => Some(position),
        Ok(Err(error)) => {
            tracing::debug!(%error, %tenant, "a snapshot was not read to its end");
            None
        }
        Ok(Ok(None)) => return,
        Err(_) => {
            tracing::debug!(%tenant, "a snapshot took too long for those who wait");
            None
        }
    };
    for waiter in group.0 {
        // Who is gone needs none.
        let _ = waiter.done.send(position);
    }
}

macro_rules! counts {
    ($kind:literal) => {
        concat!(
            "SELECT id, devices_online, devices_offline, devices_unmanageable, devices_unobserved, links_discovered,
 links_active, links_degraded, links_down, links_stale, links_unobserved
 FROM place_counts WHERE tenant_id = $1 AND kind = '",
            $kind,
            "'"
        )
    };
}

macro_rules! health {
    ($kind:literal) => {
        concat!(
            "SELECT id, state, since FROM place_health WHERE tenant_id = $1 AND kind = '",
            $kind,
            "'"
        )
    };
}

const DEVICES: &str = concat!(
    "SELECT s.device_id AS id, ",
    device_status_columns!(),
    " FROM device_status s WHERE s.tenant_id = $1"
);
const LINKS: &str = concat!(
    "SELECT ",
    live_link_columns!(),
    " FROM links l WHERE l.tenant_id = $1"
);
const ADDRESSES: &str = "SELECT mac AS id, address, host_name, source, device_id, since
 FROM client_addresses WHERE tenant_id = $1";

const ALERTS: &str = concat!(
    "SELECT ",
    live_alert_columns!(),
    " FROM alerts a WHERE a.tenant_id = $1 AND a.resolved_at IS NULL"
);
const INCIDENTS: &str = concat!(
    "SELECT ",
    live_incident_columns!(),
    " FROM incidents i WHERE i.tenant_id = $1 AND i.closed_at IS NULL"
);
const TRENDS: &str = concat!(
    "SELECT ",
    live_trend_columns!(),
    " FROM trends t WHERE t.tenant_id = $1 AND t.ended_at IS NULL"
);

struct Group(Vec<Waiter>);

impl Group {
    /// Sends all of it; its position, or null where the tenant is gone.
    async fn read(
        &mut self,
        pool: &PgPool,
        tenant: TenantId,
    ) -> Result<Option<Position>, sqlx::Error> {
        let mut tx = tenant_snapshot(pool, tenant).await?;
        let Some(head) = read::head(&mut tx, tenant).await? else {
            return Ok(None);
        };
        self.give(|_| true, &event::reset()).await;
        let mut rows = Rows {
            group: self,
            tx: &mut tx,
            tenant,
        };
        for view in View::ALL.iter().copied() {
            match view {
                View::Devices => rows.send(view, DEVICES, LiveRow::Device).await?,
                View::Links => rows.send(view, LINKS, LiveRow::Link).await?,
                View::ClientAddresses => rows.send(view, ADDRESSES, LiveRow::Address).await?,
                View::TenantCounts => rows.send(view, counts!("tenant"), LiveRow::Counts).await?,
                View::SiteCounts => rows.send(view, counts!("site"), LiveRow::Counts).await?,
                View::SectorCounts => rows.send(view, counts!("sector"), LiveRow::Counts).await?,
                View::TenantHealth => rows.send(view, health!("tenant"), LiveRow::Health).await?,
                View::SiteHealth => rows.send(view, health!("site"), LiveRow::Health).await?,
                View::SectorHealth => rows.send(view, health!("sector"), LiveRow::Health).await?,
                View::Alerts => rows.send(view, ALERTS, LiveRow::Alert).await?,
                View::Incidents => rows.send(view, INCIDENTS, LiveRow::Incident).await?,
                View::Trends => rows.send(view, TRENDS, LiveRow::Trend).await?,
            }
        }
        tx.commit().await?;
        Ok(Some(head.position))
    }

    /// Gives an event to those who chose what it is of, and leaves out who is gone or does not take it.
    async fn give(&mut self, chose: impl Fn(Views) -> bool, event: &Bytes) {
        let taking = self.0.iter_mut().map(|waiter| async {
            if !chose(waiter.views) {
                return true;
            }
            tokio::select! {
                biased;
                () = waiter.done.closed() => false,
                sent = timeout(STUCK, waiter.to.send(event.clone())) => matches!(sent, Ok(Ok(()))),
            }
        });
        let mut took = join_all(taking).await.into_iter();
        self.0.retain(|_| took.next().unwrap_or(false));
    }
}

/// The rows of one instant, on their way to a group.
struct Rows<'a> {
    group: &'a mut Group,
    tx: &'a mut PgConnection,
    tenant: TenantId,
}

impl Rows<'_> {
    /// Sends a view to those who chose it.
    async fn send<T>(
        &mut self,
        view: View,
        sql: &'static str,
        row: fn(T) -> LiveRow,
    ) -> Result<(), sqlx::Error>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        if !self.group.0.iter().any(|waiter| waiter.views.has(view)) {
            return Ok(());
        }
        let rows = sqlx::query_as::<_, T>(sql).bind(self.tenant.0);
        let mut parts = rows.fetch(&mut *self.tx).map_ok(row).try_chunks(PART);
        while let Some(rows) = parts.try_next().await.map_err(|error| error.1)? {
            let event = event::rows(&SnapshotData { view, rows });
            self.group.give(|views| views.has(view), &event).await;
        }
        Ok(())
    }
}
