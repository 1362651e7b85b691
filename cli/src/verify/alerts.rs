//! Alerts, incidents and trends, as Postgres shows them.

use std::collections::BTreeMap;

use anyhow::Context;
use mast_schemas::alerts::{
    AlertId, AlertView, IncidentId, IncidentView, Root, RuleSubject, Subject, TrendView,
};
use mast_schemas::{DeviceId, Mac, RuleId, SectorId, SiteId, TenantId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

/// Alerts that are open.
pub(super) async fn alerts(
    conn: &mut PgConnection,
) -> anyhow::Result<BTreeMap<AlertId, AlertView>> {
    let rows = sqlx::query(
        "SELECT *, micros(opened_at) AS opened_us FROM alerts WHERE resolved_at IS NULL",
    )
    .fetch_all(conn)
    .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let alert_id = AlertId(row.try_get("alert_id")?);
        let view = AlertView {
            alert_id,
            tenant_id: TenantId(row.try_get("tenant_id")?),
            rule_id: RuleId(row.try_get("rule_id")?),
            kind: row.try_get::<&str, _>("kind")?.parse()?,
            severity: row.try_get::<&str, _>("severity")?.parse()?,
            subject: subject(&row)?,
            opened_at: Timestamp(row.try_get("opened_us")?),
            value_milli: row.try_get("value_milli")?,
            status: row.try_get::<&str, _>("status")?.parse()?,
            suppressor: (row.try_get::<Option<&str>, _>("suppressor")?)
                .map(str::parse)
                .transpose()?,
            cause_device_id: (row.try_get::<Option<Uuid>, _>("cause_device_id")?).map(DeviceId),
            incident_id: (row.try_get::<Option<Uuid>, _>("incident_id")?).map(IncidentId),
        };
        all.insert(alert_id, view);
    }
    Ok(all)
}

fn subject(row: &PgRow) -> anyhow::Result<Subject> {
    let id: Uuid = row.try_get("subject_id")?;
    let interface: Option<&str> = row.try_get("interface")?;
    Ok(match row.try_get::<&str, _>("subject_kind")?.parse()? {
        RuleSubject::Device => Subject::Device(DeviceId(id)),
        RuleSubject::Interface => {
            let name = interface.context("an alert of an interface has no name")?;
            Subject::Interface(DeviceId(id), name.into())
        }
        RuleSubject::Site => Subject::Site(SiteId(id)),
        RuleSubject::Sector => Subject::Sector(SectorId(id)),
    })
}

/// Incidents that are open.
pub(super) async fn incidents(
    conn: &mut PgConnection,
) -> anyhow::Result<BTreeMap<IncidentId, IncidentView>> {
    let rows = sqlx::query(
        "SELECT *, micros(opened_at) AS opened_us FROM incidents WHERE closed_at IS NULL",
    )
    .fetch_all(conn)
    .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let incident_id = IncidentId(row.try_get("incident_id")?);
        let id: Uuid = row.try_get("root_id")?;
        let root = match row.try_get::<&str, _>("root_kind")?.parse()? {
            RuleSubject::Device | RuleSubject::Interface => Root::Device(DeviceId(id)),
            RuleSubject::Site => Root::Site(SiteId(id)),
            RuleSubject::Sector => Root::Sector(SectorId(id)),
        };
        let number = |name: &str| anyhow::Ok(u32::try_from(row.try_get::<i64, _>(name)?)?);
        let view = IncidentView {
            incident_id,
            tenant_id: TenantId(row.try_get("tenant_id")?),
            root,
            kind: row.try_get::<&str, _>("kind")?.parse()?,
            severity: row.try_get::<&str, _>("severity")?.parse()?,
            opened_at: Timestamp(row.try_get("opened_us")?),
            alerts: number("alerts")?,
            devices: number("devices")?,
            clients: number("clients")?,
        };
        all.insert(incident_id, view);
    }
    Ok(all)
}

/// Clients that degrade.
pub(super) async fn trends(
    conn: &mut PgConnection,
) -> anyhow::Result<BTreeMap<(TenantId, Mac), TrendView>> {
    let rows =
        sqlx::query("SELECT *, micros(since) AS since_us FROM trends WHERE ended_at IS NULL")
            .fetch_all(conn)
            .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let address = |name: &str| row.try_get::<i64, _>(name).map(|m| Mac(m.cast_unsigned()));
        let (tenant_id, mac) = (TenantId(row.try_get("tenant_id")?), address("mac")?);
        let view = TrendView {
            tenant_id,
            mac,
            ap_device_id: DeviceId(row.try_get("ap_device_id")?),
            radio_mac: address("radio_mac")?,
            test: row.try_get::<&str, _>("test")?.parse()?,
            since: Timestamp(row.try_get("since_us")?),
            baseline_cdbm: row.try_get("baseline_cdbm")?,
            opened_cdbm: row.try_get("opened_cdbm")?,
        };
        all.insert((tenant_id, mac), view);
    }
    Ok(all)
}
