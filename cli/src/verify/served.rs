//! What an installation serves, read in one snapshot of Postgres.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use mast_lake::{Contents, Retention, Table};
use mast_oracle::Views;
use mast_schemas::time::Span;
use mast_schemas::views::{ClientAddress, Counts, DeviceView, EventId, Health, LinkView, Place};
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, SectorId, SiteId, TenantId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::alerts;
use super::kept::Kept;
use super::lake::Range;
use crate::standalone::JOB;

/// What Postgres shows in one snapshot.
pub(super) struct Served {
    pub(super) epoch: Epoch,
    pub(super) views: Views,
    /// Events of devices and links by their ids.
    pub(super) events: BTreeMap<EventId, Seen>,
    /// Those of places, which are in Postgres only.
    pub(super) place_events: BTreeMap<EventId, Seen>,
    /// Those of alerts, incidents and trends by their ids, which history has too.
    pub(super) alert_events: BTreeMap<EventId, Seen>,
    /// Files of the lake.
    pub(super) lake: Contents,
    /// Ranges that the lake's manifest names, table by table in their order.
    pub(super) ranges: Vec<Range>,
    /// How far back the lake reaches.
    pub(super) kept: Kept,
}

/// An event in Postgres.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Its slot.
    pub(super) epoch: Epoch,
    /// Whether the lake need not hold it any more.
    pub(super) may_be_gone: bool,
}

impl Served {
    /// Reads all of it, in a transaction that has not read anything.
    pub(super) async fn read(conn: &mut PgConnection, usual: Retention) -> anyhow::Result<Self> {
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .execute(&mut *conn)
            .await?;
        mast_lake::hold(conn).await?;
        read(conn, usual).await
    }
}

async fn read(conn: &mut PgConnection, usual: Retention) -> anyhow::Result<Served> {
    let epoch: i64 = sqlx::query_scalar("SELECT epoch FROM job_progress WHERE job = $1")
        .bind(JOB)
        .fetch_optional(&mut *conn)
        .await?
        .context("the dataflow has never run here; start it with `mast demo`")?;
    let views = Views {
        devices: devices(conn).await.context("read device_status")?,
        links: links(conn).await.context("read links")?,
        addresses: addresses(conn).await.context("read client_addresses")?,
        counts: counts(conn).await.context("read place_counts")?,
        health: health(conn).await.context("read place_health")?,
        trends: alerts::trends(conn).await.context("read trends")?,
        alerts: alerts::alerts(conn).await.context("read alerts")?,
        incidents: alerts::incidents(conn).await.context("read incidents")?,
        ..Views::default()
    };
    let lake = mast_lake::contents(conn, &Table::ALL)
        .await
        .context("read the lake's manifest")?;
    let kept = Kept {
        now: lake.as_of.unwrap_or_default().end(),
        usual,
        own: own_retention(conn).await.context("read lake_retention")?,
    };
    Ok(Served {
        epoch: Epoch(epoch.cast_unsigned()),
        views,
        events: events(conn, &kept).await.context("read the events")?,
        place_events: place_events(conn).await.context("read the events")?,
        alert_events: alert_events(conn, &kept)
            .await
            .context("read the events of alerts")?,
        lake,
        ranges: ranges(conn).await.context("read the lake's manifest")?,
        kept,
    })
}

async fn own_retention(
    conn: &mut PgConnection,
) -> anyhow::Result<HashMap<(TenantId, Table), Span>> {
    let rows: Vec<(Uuid, String, i32)> =
        sqlx::query_as("SELECT tenant_id, table_name, keep_days FROM lake_retention")
            .fetch_all(conn)
            .await?;
    let own = |(tenant, table, days): (_, String, _)| {
        let keep = Span::hours(24 * i64::from(days));
        Ok(((TenantId(tenant), table.parse()?), keep))
    };
    rows.into_iter().map(own).collect()
}

async fn events(conn: &mut PgConnection, kept: &Kept) -> anyhow::Result<BTreeMap<EventId, Seen>> {
    let rows: Vec<(Uuid, Uuid, i64, i64, bool)> = sqlx::query_as(
        "SELECT event_id, tenant_id, epoch, micros(at), true FROM link_events
         UNION ALL SELECT event_id, tenant_id, epoch, micros(at), false FROM device_events",
    )
    .fetch_all(conn)
    .await?;
    let seen = |(id, tenant, epoch, at, link): (_, _, i64, _, _)| {
        let table = if link {
            Table::LinkEvents
        } else {
            Table::DeviceEvents
        };
        let seen = Seen {
            epoch: Epoch(epoch.cast_unsigned()),
            may_be_gone: kept.may_be_gone(table, TenantId(tenant), Timestamp(at)),
        };
        (EventId(id), seen)
    };
    Ok(rows.into_iter().map(seen).collect())
}

async fn alert_events(
    conn: &mut PgConnection,
    kept: &Kept,
) -> anyhow::Result<BTreeMap<EventId, Seen>> {
    let rows: Vec<(String, Uuid, Uuid, i64, i64)> = sqlx::query_as(
        "SELECT 'alert_events', event_id, tenant_id, epoch, micros(at) FROM alert_events
         UNION ALL SELECT 'incident_events', event_id, tenant_id, epoch, micros(at) FROM incident_events
         UNION ALL SELECT 'trend_events', event_id, tenant_id, epoch, micros(at) FROM trend_events",
    )
    .fetch_all(conn)
    .await?;
    let seen = |(table, id, tenant, epoch, at): (String, _, _, i64, _)| {
        let seen = Seen {
            epoch: Epoch(epoch.cast_unsigned()),
            may_be_gone: kept.may_be_gone(table.parse()?, TenantId(tenant), Timestamp(at)),
        };
        Ok((EventId(id), seen))
    };
    rows.into_iter().map(seen).collect()
}

async fn place_events(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<EventId, Seen>> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as("SELECT event_id, epoch FROM health_events")
        .fetch_all(conn)
        .await?;
    let seen = |(id, epoch): (_, i64)| {
        let seen = Seen {
            epoch: Epoch(epoch.cast_unsigned()),
            may_be_gone: false,
        };
        (EventId(id), seen)
    };
    Ok(rows.into_iter().map(seen).collect())
}

async fn ranges(conn: &mut PgConnection) -> anyhow::Result<Vec<Range>> {
    let rows = sqlx::query_as::<_, (String, i64, i64)>(
        "SELECT table_name, epoch_from, epoch_to FROM lake_manifest WHERE job = $1 ORDER BY table_name, epoch_from",
    )
    .bind(JOB)
    .fetch_all(conn)
    .await?;
    let range = |(table, from, to): (String, i64, i64)| Range {
        table,
        from: Epoch(from.cast_unsigned()),
        to: Epoch(to.cast_unsigned()),
    };
    Ok(rows.into_iter().map(range).collect())
}

async fn devices(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<DeviceId, DeviceView>> {
    let rows = sqlx::query("SELECT *, micros(since) AS since_us FROM device_status")
        .fetch_all(conn)
        .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let device_id = DeviceId(row.try_get("device_id")?);
        let view = DeviceView {
            device_id,
            tenant_id: TenantId(row.try_get("tenant_id")?),
            state: row.try_get::<&str, _>("state")?.parse()?,
            since: Timestamp(row.try_get("since_us")?),
            outcome: row
                .try_get::<Option<&str>, _>("outcome")?
                .map(str::parse)
                .transpose()?,
            identity: row.try_get("identity")?,
            version: row.try_get("version")?,
            board: row.try_get("board")?,
            architecture: row.try_get("architecture")?,
            serial: row.try_get("serial")?,
            firmware: row.try_get("firmware")?,
        };
        all.insert(device_id, view);
    }
    Ok(all)
}

async fn links(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<LinkId, LinkView>> {
    let rows = sqlx::query(
        "SELECT *, micros(since) AS since_us, micros(discovered_at) AS discovered_us FROM links",
    )
    .fetch_all(conn)
    .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let mac = |name: &str| row.try_get::<i64, _>(name).map(|m| Mac(m.cast_unsigned()));
        let id = LinkId {
            tenant_id: TenantId(row.try_get("tenant_id")?),
            ap_device_id: DeviceId(row.try_get("ap_device_id")?),
            radio_mac: mac("radio_mac")?,
            mac: mac("mac")?,
        };
        let view = LinkView {
            id,
            interface: row.try_get("interface")?,
            source: row.try_get::<&str, _>("source")?.parse()?,
            cpe_device_id: row
                .try_get::<Option<Uuid>, _>("cpe_device_id")?
                .map(DeviceId),
            state: row.try_get::<&str, _>("state")?.parse()?,
            since: Timestamp(row.try_get("since_us")?),
            reason: row.try_get::<&str, _>("reason")?.parse()?,
            discovered_at: Timestamp(row.try_get("discovered_us")?),
            unobserved: row.try_get("unobserved")?,
            ambiguous: row.try_get("ambiguous")?,
        };
        all.insert(id, view);
    }
    Ok(all)
}

async fn addresses(
    conn: &mut PgConnection,
) -> anyhow::Result<BTreeMap<(TenantId, Mac), ClientAddress>> {
    let rows = sqlx::query("SELECT *, micros(since) AS since_us FROM client_addresses")
        .fetch_all(conn)
        .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let tenant_id = TenantId(row.try_get("tenant_id")?);
        let mac = Mac(row.try_get::<i64, _>("mac")?.cast_unsigned());
        let address = ClientAddress {
            tenant_id,
            mac,
            address: row.try_get("address")?,
            host_name: row.try_get("host_name")?,
            source: row.try_get::<&str, _>("source")?.parse()?,
            device_id: DeviceId(row.try_get("device_id")?),
            since: Timestamp(row.try_get("since_us")?),
        };
        all.insert((tenant_id, mac), address);
    }
    Ok(all)
}

async fn counts(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<Place, Counts>> {
    let rows = sqlx::query("SELECT * FROM place_counts")
        .fetch_all(conn)
        .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let place = place(&row)?;
        let counts = Counts {
            devices: [
                row.try_get("devices_online")?,
                row.try_get("devices_offline")?,
                row.try_get("devices_unmanageable")?,
                row.try_get("devices_unobserved")?,
            ],
            links: [
                row.try_get("links_discovered")?,
                row.try_get("links_active")?,
                row.try_get("links_degraded")?,
                row.try_get("links_down")?,
                row.try_get("links_stale")?,
            ],
            links_unobserved: row.try_get("links_unobserved")?,
        };
        all.insert(place, counts);
    }
    Ok(all)
}

async fn health(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<Place, Health>> {
    let rows = sqlx::query("SELECT *, micros(since) AS since_us FROM place_health")
        .fetch_all(conn)
        .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let health = Health {
            state: row.try_get::<&str, _>("state")?.parse()?,
            since: Timestamp(row.try_get("since_us")?),
        };
        all.insert(place(&row)?, health);
    }
    Ok(all)
}

fn place(row: &PgRow) -> anyhow::Result<Place> {
    let (tenant, id) = (
        TenantId(row.try_get("tenant_id")?),
        row.try_get::<Uuid, _>("id")?,
    );
    Ok(match row.try_get::<&str, _>("kind")? {
        "tenant" => Place::Tenant(tenant),
        "site" => Place::Site(tenant, SiteId(id)),
        _ => Place::Sector(tenant, SectorId(id)),
    })
}
