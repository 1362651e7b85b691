//! The health of places as tables: states and transitions in the commit; the past, traffic and noise beside it, as gauges.

use mast_schemas::Epoch;
use mast_schemas::views::{Health, PastClients, Place, PlaceAir};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Batch;
use super::tables::{columns, place};

/// Writes states and transitions of a batch.
pub(super) async fn write(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let gone: Vec<&Place> = batch
        .health
        .iter()
        .filter(|(_, _, health)| health.is_none())
        .map(|(_, key, _)| key)
        .collect();
    if !gone.is_empty() {
        columns!(&gone, key => kind: &str = place(key).0, id: Uuid = place(key).1);
        sqlx::query!(
            "DELETE FROM place_health AS h USING UNNEST($1::text[], $2::uuid[]) AS r (kind, id)
             WHERE h.kind = r.kind AND h.id = r.id",
            &kind as _,
            &id,
        )
        .execute(&mut *conn)
        .await?;
    }
    let rows: Vec<(Epoch, &Place, Health)> = batch
        .health
        .iter()
        .filter_map(|(epoch, key, health)| health.map(|health| (*epoch, key, health)))
        .collect();
    if !rows.is_empty() {
        upsert(conn, &rows).await?;
    }
    events(conn, batch).await
}

async fn upsert(
    conn: &mut PgConnection,
    rows: &[(Epoch, &Place, Health)],
) -> Result<(), sqlx::Error> {
    columns!(rows, (epoch, key, health) =>
        kind: &str = place(key).0,
        id: Uuid = place(key).1,
        tenant: Uuid = place(key).2,
        state: &str = health.state.as_str(),
        since: i64 = health.since.0,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO place_health (kind, id, tenant_id, state, since, epoch)
         SELECT kind, id, tenant_id, state, instant(since), epoch
         FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bigint[])
              AS r (kind, id, tenant_id, state, since, epoch)
         ON CONFLICT (kind, id) DO UPDATE SET
             tenant_id = excluded.tenant_id, state = excluded.state, since = excluded.since, epoch = excluded.epoch",
        &kind as _,
        &id,
        &tenant,
        &state as _,
        &since,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn events(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    if batch.health_events.is_empty() {
        return Ok(());
    }
    columns!(&batch.health_events, (epoch, event) =>
        id: Uuid = event.event_id.0,
        tenant: Uuid = event.tenant_id.0,
        kind: &str = event.place_kind.as_str(),
        place: Uuid = event.place_id.0,
        at: i64 = event.at.0,
        from: Option<&str> = event.from_state.map(|s| s.as_str()),
        to: Option<&str> = event.to_state.map(|s| s.as_str()),
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO health_events (event_id, tenant_id, place_kind, place_id, at, from_state, to_state, epoch)
         SELECT event_id, tenant_id, place_kind, place_id, instant(at), from_state, to_state, epoch
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::bigint[])
              AS r (event_id, tenant_id, place_kind, place_id, at, from_state, to_state, epoch)
         ON CONFLICT (event_id) DO NOTHING",
        &id,
        &tenant,
        &kind as _,
        &place,
        &at,
        &from as _,
        &to as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes live links of the past; a gauge.
pub(super) async fn past(
    pool: &PgPool,
    rows: &[(Place, Epoch, Option<PastClients>)],
) -> Result<(), sqlx::Error> {
    let gone: Vec<&Place> = rows
        .iter()
        .filter(|(_, _, past)| past.is_none())
        .map(|(key, _, _)| key)
        .collect();
    if !gone.is_empty() {
        columns!(&gone, key => kind: &str = place(key).0, id: Uuid = place(key).1);
        sqlx::query!(
            "DELETE FROM place_past_clients AS c USING UNNEST($1::text[], $2::uuid[]) AS r (kind, id)
             WHERE c.kind = r.kind AND c.id = r.id",
            &kind as _,
            &id,
        )
        .execute(pool)
        .await?;
    }
    let rows: Vec<(&Place, Epoch, PastClients)> = rows
        .iter()
        .filter_map(|(key, epoch, past)| past.map(|past| (key, *epoch, past)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    columns!(&rows, (key, epoch, past) =>
        kind: &str = place(key).0,
        id: Uuid = place(key).1,
        tenant: Uuid = place(key).2,
        hour: Option<i64> = past.hour_ago,
        week: Option<i64> = past.week_ago,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO place_past_clients (kind, id, tenant_id, hour_ago, week_ago, epoch)
         SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[])
         ON CONFLICT (kind, id) DO UPDATE SET
             tenant_id = excluded.tenant_id, hour_ago = excluded.hour_ago, week_ago = excluded.week_ago,
             epoch = excluded.epoch
         WHERE place_past_clients.epoch <= excluded.epoch",
        &kind as _,
        &id,
        &tenant,
        &hour as _,
        &week as _,
        &epochs,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Writes traffic and noise; a gauge.
pub(super) async fn air(
    pool: &PgPool,
    rows: &[(Place, Epoch, Option<PlaceAir>)],
) -> Result<(), sqlx::Error> {
    let gone: Vec<&Place> = rows
        .iter()
        .filter(|(_, _, air)| air.is_none())
        .map(|(key, _, _)| key)
        .collect();
    if !gone.is_empty() {
        columns!(&gone, key => kind: &str = place(key).0, id: Uuid = place(key).1);
        sqlx::query!(
            "DELETE FROM place_air AS a USING UNNEST($1::text[], $2::uuid[]) AS r (kind, id)
             WHERE a.kind = r.kind AND a.id = r.id",
            &kind as _,
            &id,
        )
        .execute(pool)
        .await?;
    }
    let rows: Vec<(&Place, Epoch, PlaceAir)> = rows
        .iter()
        .filter_map(|(key, epoch, air)| air.map(|air| (key, *epoch, air)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    columns!(&rows, (key, epoch, air) =>
        kind: &str = place(key).0,
        id: Uuid = place(key).1,
        tenant: Uuid = place(key).2,
        interfaces: i64 = air.interfaces,
        rx: i64 = air.rx_bps,
        tx: i64 = air.tx_bps,
        radios: i64 = air.radios,
        sum: i64 = air.noise_sum_dbm,
        worst: Option<i16> = air.noise_worst_dbm,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO place_air (kind, id, tenant_id, interfaces, rx_bps, tx_bps, radios, noise_sum_dbm, noise_worst_dbm,
                                epoch)
         SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                              $8::bigint[], $9::smallint[], $10::bigint[])
         ON CONFLICT (kind, id) DO UPDATE SET
             tenant_id = excluded.tenant_id, interfaces = excluded.interfaces, rx_bps = excluded.rx_bps,
             tx_bps = excluded.tx_bps, radios = excluded.radios, noise_sum_dbm = excluded.noise_sum_dbm,
             noise_worst_dbm = excluded.noise_worst_dbm, epoch = excluded.epoch
         WHERE place_air.epoch <= excluded.epoch",
        &kind as _,
        &id,
        &tenant,
        &interfaces,
        &rx,
        &tx,
        &radios,
        &sum,
        &worst as _,
        &epochs,
    )
    .execute(pool)
    .await?;
    Ok(())
}
