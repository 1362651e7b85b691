//! Trends as a table: clients whose signal degrades, and those whose did, from when until when.
//!
//! A client has one open row at most; within a commit it may end one trend and begin others. What ends is written before what
//! begins.

use std::collections::{BTreeMap, HashSet};

use mast_schemas::alerts::{TrendChange, TrendEvent, TrendView};
use mast_schemas::{Epoch, Mac, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::tables::columns;

/// A client.
type Key = (TenantId, Mac);

/// A trend that began and ended within the commit.
struct Whole<'a> {
    began: &'a TrendEvent,
    ended: &'a TrendEvent,
    epoch: Epoch,
}

/// Writes trends and their events.
pub(super) async fn write(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let (ends, whole) = parts(batch);
    if !ends.is_empty() {
        end(conn, &ends).await?;
    }
    let mut rows: Vec<(Epoch, TrendView, Option<&TrendEvent>)> = whole
        .iter()
        .map(|whole| (whole.epoch, whole.view(), Some(whole.ended)))
        .collect();
    let closed: Vec<Key> = batch
        .trends
        .iter()
        .filter(|(_, _, view)| view.is_none())
        .map(|(_, key, _)| *key)
        .collect();
    if !closed.is_empty() {
        drop_unended(conn, &closed).await?;
    }
    let known: HashSet<(Key, i64)> = rows
        .iter()
        .map(|(_, view, _)| ((view.tenant_id, view.mac), view.since.0))
        .collect();
    rows.extend(batch.trends.iter().filter_map(|(epoch, key, view)| {
        let view = view.filter(|view| !known.contains(&(*key, view.since.0)))?;
        Some((*epoch, view, None))
    }));
    upsert(conn, &rows).await?;
    events(conn, batch).await
}

/// Ends of trends that were open before the commit, and trends that are whole within it.
fn parts(batch: &Batch) -> (Vec<(Epoch, &TrendEvent)>, Vec<Whole<'_>>) {
    let mut events: Vec<(Epoch, &TrendEvent)> = batch
        .trend_events
        .iter()
        .map(|(epoch, e)| (*epoch, e))
        .collect();
    events.sort_by_key(|(epoch, e)| (*epoch, e.at));
    let mut begun: BTreeMap<Key, &TrendEvent> = BTreeMap::new();
    let (mut ends, mut whole) = (Vec::new(), Vec::new());
    for (epoch, event) in events {
        let key = (event.tenant_id, event.mac);
        if event.change == TrendChange::Opened {
            begun.insert(key, event);
        } else if let Some(began) = begun.remove(&key) {
            whole.push(Whole {
                began,
                ended: event,
                epoch,
            });
        } else {
            ends.push((epoch, event));
        }
    }
    (ends, whole)
}

impl Whole<'_> {
    /// The trend as it was last.
    fn view(&self) -> TrendView {
        let Self { began, ended, .. } = self;
        TrendView {
            tenant_id: began.tenant_id,
            mac: began.mac,
            ap_device_id: ended.ap_device_id,
            radio_mac: ended.radio_mac,
            test: began.test,
            since: began.at,
            baseline_cdbm: began.baseline_cdbm,
            // Whatever opens a trend asked its recent window.
            opened_cdbm: began.recent_cdbm.unwrap_or(began.baseline_cdbm),
        }
    }
}

async fn end(conn: &mut PgConnection, ends: &[(Epoch, &TrendEvent)]) -> Result<(), sqlx::Error> {
    columns!(ends, (epoch, event) =>
        tenant: Uuid = event.tenant_id.0,
        mac: i64 = event.mac.0.cast_signed(),
        ap: Uuid = event.ap_device_id.0,
        radio: i64 = event.radio_mac.0.cast_signed(),
        at: i64 = event.at.0,
        ending: &str = event.change.as_str(),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "UPDATE trends AS t SET ap_device_id = r.ap, radio_mac = r.radio, ended_at = instant(r.at), ending = r.ending,
             epoch = r.epoch
         FROM UNNEST($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
              AS r (tenant_id, mac, ap, radio, at, ending, epoch)
         WHERE t.tenant_id = r.tenant_id AND t.mac = r.mac AND t.ended_at IS NULL",
        &tenant,
        &mac,
        &ap,
        &radio,
        &at,
        &ending as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops what is open no more and has no end: its tenant is gone.
async fn drop_unended(conn: &mut PgConnection, keys: &[Key]) -> Result<(), sqlx::Error> {
    columns!(keys, (tenant, mac) =>
        tenants: Uuid = tenant.0,
        macs: i64 = mac.0.cast_signed(),
    );
    sqlx::query!(
        "DELETE FROM trends AS t USING UNNEST($1::uuid[], $2::bigint[]) AS r (tenant_id, mac)
         WHERE t.tenant_id = r.tenant_id AND t.mac = r.mac AND t.ended_at IS NULL",
        &tenants,
        &macs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn upsert(
    conn: &mut PgConnection,
    rows: &[(Epoch, TrendView, Option<&TrendEvent>)],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    columns!(rows, (epoch, view, end) =>
        tenant: Uuid = view.tenant_id.0,
        mac: i64 = view.mac.0.cast_signed(),
        since: i64 = view.since.0,
        ap: Uuid = view.ap_device_id.0,
        radio: i64 = view.radio_mac.0.cast_signed(),
        test: &str = view.test.as_str(),
        baseline: i32 = view.baseline_cdbm,
        opened: i32 = view.opened_cdbm,
        ended: Option<i64> = end.map(|event| event.at.0),
        ending: Option<&str> = end.map(|event| event.change.as_str()),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO trends (tenant_id, mac, since, ap_device_id, radio_mac, test, baseline_cdbm, opened_cdbm, ended_at,
                             ending, epoch)
         SELECT tenant_id, mac, instant(since), ap_device_id, radio_mac, test, baseline_cdbm, opened_cdbm,
                instant(ended_at), ending, epoch
         FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::text[], $7::integer[],
                     $8::integer[], $9::bigint[], $10::text[], $11::bigint[])
              AS r (tenant_id, mac, since, ap_device_id, radio_mac, test, baseline_cdbm, opened_cdbm, ended_at, ending,
                    epoch)
         ON CONFLICT (tenant_id, mac, since) DO UPDATE SET
             ap_device_id = excluded.ap_device_id, radio_mac = excluded.radio_mac, test = excluded.test,
             baseline_cdbm = excluded.baseline_cdbm, opened_cdbm = excluded.opened_cdbm, ended_at = excluded.ended_at,
             ending = excluded.ending, epoch = excluded.epoch",
        &tenant,
        &mac,
        &since,
        &ap,
        &radio,
        &test as _,
        &baseline,
        &opened,
        &ended as _,
        &ending as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn events(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.trend_events.is_empty() {
        return Ok(());
    }
    columns!(&batch.trend_events, (epoch, event) =>
        id: Uuid = event.event_id.0,
        tenant: Uuid = event.tenant_id.0,
        mac: i64 = event.mac.0.cast_signed(),
        ap: Uuid = event.ap_device_id.0,
        radio: i64 = event.radio_mac.0.cast_signed(),
        at: i64 = event.at.0,
        change: &str = event.change.as_str(),
        test: &str = event.test.as_str(),
        baseline: i32 = event.baseline_cdbm,
        recent: Option<i32> = event.recent_cdbm,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO trend_events (event_id, tenant_id, mac, ap_device_id, radio_mac, at, change, test, baseline_cdbm,
                                   recent_cdbm, epoch)
         SELECT event_id, tenant_id, mac, ap_device_id, radio_mac, instant(at), change, test, baseline_cdbm, recent_cdbm,
                epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
                     $9::integer[], $10::integer[], $11::bigint[])
              AS r (event_id, tenant_id, mac, ap_device_id, radio_mac, at, change, test, baseline_cdbm, recent_cdbm, epoch)
         ON CONFLICT (event_id) DO NOTHING",
        &id,
        &tenant,
        &mac,
        &ap,
        &radio,
        &at,
        &change as _,
        &test as _,
        &baseline,
        &recent as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}
