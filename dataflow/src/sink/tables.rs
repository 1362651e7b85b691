//! The views as tables: batched upserts and deletions, one statement a table.

use std::collections::HashMap;

use mast_schemas::views::{Counts, DeviceView, LinkView, Place};
use mast_schemas::{Epoch, LinkId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Batch;

/// Rows that were there and are not any more, with their tenant: what the tables knew of them and a batch does not.
pub(super) type Deleted = HashMap<Uuid, Uuid>;

/// What a commit took away.
#[derive(Default)]
pub(super) struct Gone {
    pub(super) devices: Deleted,
    pub(super) alerts: Deleted,
    pub(super) incidents: Deleted,
}

/// Writes all views and events of a batch. Returns what is no longer there.
pub(super) async fn write(conn: &mut PgConnection, batch: &Batch) -> Result<Gone, sqlx::Error> {
    let devices = devices(conn, batch).await?;
    links(conn, batch).await?;
    super::addresses::write(conn, batch).await?;
    counts(conn, batch).await?;
    super::places::write(conn, batch).await?;
    device_events(conn, batch).await?;
    link_events(conn, batch).await?;
    let alerts = super::alerts::write(conn, batch).await?;
    let incidents = super::incidents::write(conn, batch).await?;
    super::trends::write(conn, batch).await?;
    super::notifications::write(conn, batch).await?;
    Ok(Gone {
        devices,
        alerts,
        incidents,
    })
}

/// One array a column, for UNNEST.
macro_rules! columns {
    ($rows:expr, $row:pat => $($name:ident: $ty:ty = $value:expr),+ $(,)?) => {
        $(let mut $name: Vec<$ty> = Vec::with_capacity($rows.len());)+
        for $row in $rows { $($name.push($value);)+ }
    };
}
pub(super) use columns;

async fn devices(conn: &mut PgConnection, batch: &Batch) -> Result<Deleted, sqlx::Error> {
    let (mut rows, mut gone): (Vec<(Epoch, &DeviceView)>, Vec<Uuid>) = (Vec::new(), Vec::new());
    for (epoch, id, view) in &batch.devices {
        match view {
            Some(view) => rows.push((*epoch, view)),
            None => gone.push(id.0),
        }
    }
    if !rows.is_empty() {
        upsert_devices(conn, &rows).await?;
    }
    if gone.is_empty() {
        return Ok(Deleted::new());
    }
    let deleted = sqlx::query!(
        "DELETE FROM device_status WHERE device_id = ANY($1) RETURNING device_id, tenant_id",
        &gone
    )
    .fetch_all(conn)
    .await?;
    Ok(deleted
        .into_iter()
        .map(|row| (row.device_id, row.tenant_id))
        .collect())
}

async fn upsert_devices(
    conn: &mut PgConnection,
    rows: &[(Epoch, &DeviceView)],
) -> Result<(), sqlx::Error> {
    columns!(rows, (epoch, view) =>
        id: Uuid = view.device_id.0,
        tenant: Uuid = view.tenant_id.0,
        state: &str = view.state.as_str(),
        since: i64 = view.since.0,
        outcome: Option<&str> = view.outcome.map(|o| o.as_str()),
        identity: Option<&str> = view.identity.as_deref(),
        version: Option<&str> = view.version.as_deref(),
        board: Option<&str> = view.board.as_deref(),
        architecture: Option<&str> = view.architecture.as_deref(),
        serial: Option<&str> = view.serial.as_deref(),
        firmware: Option<&str> = view.firmware.as_deref(),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO device_status (device_id, tenant_id, state, since, outcome, identity, version, board, architecture,
                                    serial, firmware, epoch)
         SELECT device_id, tenant_id, state, instant(since), outcome, identity, version, board, architecture, serial,
                firmware, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::text[], $12::bigint[])
              AS r (device_id, tenant_id, state, since, outcome, identity, version, board, architecture, serial,
                    firmware, epoch)
         ON CONFLICT (device_id) DO UPDATE SET
             tenant_id = excluded.tenant_id, state = excluded.state, since = excluded.since,
             outcome = excluded.outcome, identity = excluded.identity, version = excluded.version,
             board = excluded.board, architecture = excluded.architecture, serial = excluded.serial,
             firmware = excluded.firmware, epoch = excluded.epoch",
        &id,
        &tenant,
        &state as _,
        &since,
        &outcome as _,
        &identity as _,
        &version as _,
        &board as _,
        &architecture as _,
        &serial as _,
        &firmware as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The key columns of links.
pub(super) struct LinkKeys {
    pub(super) tenant: Vec<Uuid>,
    pub(super) ap: Vec<Uuid>,
    pub(super) radio: Vec<i64>,
    pub(super) mac: Vec<i64>,
}

impl LinkKeys {
    pub(super) fn of<'a>(ids: impl Iterator<Item = &'a LinkId> + Clone) -> Self {
        Self {
            tenant: ids.clone().map(|id| id.tenant_id.0).collect(),
            ap: ids.clone().map(|id| id.ap_device_id.0).collect(),
            radio: ids.clone().map(|id| id.radio_mac.0.cast_signed()).collect(),
            mac: ids.map(|id| id.mac.0.cast_signed()).collect(),
        }
    }
}

async fn links(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let rows: Vec<(Epoch, &LinkView)> = batch
        .links
        .iter()
        .filter_map(|(epoch, _, view)| view.as_ref().map(|view| (*epoch, view)))
        .collect();
    if !rows.is_empty() {
        upsert_links(conn, &rows).await?;
    }
    let gone = LinkKeys::of(
        batch
            .links
            .iter()
            .filter(|(_, _, view)| view.is_none())
            .map(|(_, id, _)| id),
    );
    if gone.mac.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "DELETE FROM links AS l
         USING UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS r (tenant_id, ap_device_id, radio_mac, mac)
         WHERE l.tenant_id = r.tenant_id AND l.ap_device_id = r.ap_device_id AND l.radio_mac = r.radio_mac
           AND l.mac = r.mac",
        &gone.tenant,
        &gone.ap,
        &gone.radio,
        &gone.mac,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn upsert_links(
    conn: &mut PgConnection,
    rows: &[(Epoch, &LinkView)],
) -> Result<(), sqlx::Error> {
    let key = LinkKeys::of(rows.iter().map(|(_, view)| &view.id));
    columns!(rows, (epoch, view) =>
        interface: &str = view.interface.as_str(),
        source: &str = view.source.as_str(),
        cpe: Option<Uuid> = view.cpe_device_id.map(|id| id.0),
        state: &str = view.state.as_str(),
        since: i64 = view.since.0,
        reason: &str = view.reason.as_str(),
        discovered: i64 = view.discovered_at.0,
        unobserved: bool = view.unobserved,
        ambiguous: bool = view.ambiguous,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO links (tenant_id, ap_device_id, radio_mac, mac, interface, source, cpe_device_id, state, since,
                            reason, discovered_at, unobserved, ambiguous, epoch)
         SELECT tenant_id, ap_device_id, radio_mac, mac, interface, source, cpe_device_id, state, instant(since),
                reason, instant(discovered_at), unobserved, ambiguous, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::uuid[], $8::text[],
                     $9::bigint[], $10::text[], $11::bigint[], $12::boolean[], $13::boolean[], $14::bigint[])
              AS r (tenant_id, ap_device_id, radio_mac, mac, interface, source, cpe_device_id, state, since, reason,
                    discovered_at, unobserved, ambiguous, epoch)
         ON CONFLICT (tenant_id, ap_device_id, radio_mac, mac) DO UPDATE SET
             interface = excluded.interface, source = excluded.source, cpe_device_id = excluded.cpe_device_id,
             state = excluded.state, since = excluded.since, reason = excluded.reason,
             discovered_at = excluded.discovered_at, unobserved = excluded.unobserved,
             ambiguous = excluded.ambiguous, epoch = excluded.epoch",
        &key.tenant,
        &key.ap,
        &key.radio,
        &key.mac,
        &interface as _,
        &source as _,
        &cpe as _,
        &state as _,
        &since,
        &reason as _,
        &discovered,
        &unobserved,
        &ambiguous,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Kind, id and tenant of a place, as the tables hold them.
pub(super) const fn place(place: &Place) -> (&'static str, Uuid, Uuid) {
    (place.kind().as_str(), place.id().0, place.tenant().0)
}

async fn counts(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let gone: Vec<_> = batch
        .counts
        .iter()
        .filter(|(_, _, counts)| counts.is_none())
        .collect();
    columns!(&gone, (_, key, _) => kind: &str = place(key).0, id: Uuid = place(key).1);
    if !id.is_empty() {
        sqlx::query!(
            "DELETE FROM place_counts AS c USING UNNEST($1::text[], $2::uuid[]) AS r (kind, id)
             WHERE c.kind = r.kind AND c.id = r.id",
            &kind as _,
            &id,
        )
        .execute(&mut *conn)
        .await?;
    }
    let rows: Vec<(Epoch, &Place, Counts)> = batch
        .counts
        .iter()
        .filter_map(|(epoch, place, counts)| counts.map(|c| (*epoch, place, c)))
        .collect();
    if rows.is_empty() {
        Ok(())
    } else {
        upsert_counts(conn, &rows).await
    }
}

async fn upsert_counts(
    conn: &mut PgConnection,
    rows: &[(Epoch, &Place, Counts)],
) -> Result<(), sqlx::Error> {
    columns!(rows, (epoch, key, _) =>
        kind: &str = place(key).0,
        id: Uuid = place(key).1,
        tenant: Uuid = place(key).2,
        epochs: i64 = epoch.0.cast_signed(),
    );
    let devices: [Vec<i64>; 4] =
        std::array::from_fn(|i| rows.iter().map(|(_, _, c)| c.devices[i]).collect());
    let links: [Vec<i64>; 5] =
        std::array::from_fn(|i| rows.iter().map(|(_, _, c)| c.links[i]).collect());
    let unobserved: Vec<i64> = rows.iter().map(|(_, _, c)| c.links_unobserved).collect();
    sqlx::query!(
        "INSERT INTO place_counts (kind, id, tenant_id, devices_online, devices_offline, devices_unmanageable,
             devices_unobserved, links_discovered, links_active, links_degraded, links_down, links_stale,
             links_unobserved, epoch)
         SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
             $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
         ON CONFLICT (kind, id) DO UPDATE SET
             tenant_id = excluded.tenant_id, devices_online = excluded.devices_online,
             devices_offline = excluded.devices_offline, devices_unmanageable = excluded.devices_unmanageable,
             devices_unobserved = excluded.devices_unobserved, links_discovered = excluded.links_discovered,
             links_active = excluded.links_active, links_degraded = excluded.links_degraded,
             links_down = excluded.links_down, links_stale = excluded.links_stale,
             links_unobserved = excluded.links_unobserved, epoch = excluded.epoch",
        &kind as _,
        &id,
        &tenant,
        &devices[0],
        &devices[1],
        &devices[2],
        &devices[3],
        &links[0],
        &links[1],
        &links[2],
        &links[3],
        &links[4],
        &unobserved,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn device_events(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.device_events.is_empty() {
        return Ok(());
    }
    columns!(&batch.device_events, (epoch, event) =>
        id: Uuid = event.event_id.0,
        tenant: Uuid = event.tenant_id.0,
        device: Uuid = event.device_id.0,
        at: i64 = event.at.0,
        from: &str = event.from_state.as_str(),
        to: &str = event.to_state.as_str(),
        outcome: Option<&str> = event.outcome.map(|o| o.as_str()),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO device_events (event_id, tenant_id, device_id, at, from_state, to_state, outcome, epoch)
         SELECT event_id, tenant_id, device_id, instant(at), from_state, to_state, outcome, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[])
              AS r (event_id, tenant_id, device_id, at, from_state, to_state, outcome, epoch)
         ON CONFLICT (event_id) DO NOTHING",
        &id,
        &tenant,
        &device,
        &at,
        &from as _,
        &to as _,
        &outcome as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn link_events(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.link_events.is_empty() {
        return Ok(());
    }
    columns!(&batch.link_events, (epoch, event) =>
        id: Uuid = event.event_id.0,
        tenant: Uuid = event.tenant_id.0,
        ap: Uuid = event.ap_device_id.0,
        radio: i64 = event.radio_mac.0.cast_signed(),
        mac: i64 = event.mac.0.cast_signed(),
        at: i64 = event.at.0,
        from: Option<&str> = event.from_state.map(|s| s.as_str()),
        to: Option<&str> = event.to_state.map(|s| s.as_str()),
        reason: &str = event.reason.as_str(),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO link_events (event_id, tenant_id, ap_device_id, radio_mac, mac, at, from_state, to_state, reason,
                                  epoch)
         SELECT event_id, tenant_id, ap_device_id, radio_mac, mac, instant(at), from_state, to_state, reason, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[],
                     $9::text[], $10::bigint[])
              AS r (event_id, tenant_id, ap_device_id, radio_mac, mac, at, from_state, to_state, reason, epoch)
         ON CONFLICT (event_id) DO NOTHING",
        &id,
        &tenant,
        &ap,
        &radio,
        &mac,
        &at,
        &from as _,
        &to as _,
        &reason as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}
