//! Addresses of clients as a table.

use mast_schemas::Epoch;
use mast_schemas::views::ClientAddress;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Batch;
use super::tables::columns;

/// Writes the addresses of a batch.
pub(super) async fn write(conn: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
    let (mut rows, mut gone): (Vec<(Epoch, &ClientAddress)>, Vec<_>) = (Vec::new(), Vec::new());
    for (epoch, key, address) in &batch.addresses {
        match address {
            Some(address) => rows.push((*epoch, address)),
            None => gone.push(key),
        }
    }
    if !gone.is_empty() {
        columns!(&gone, (tenant_id, mac) =>
            tenant: Uuid = tenant_id.0,
            macs: i64 = mac.0.cast_signed(),
        );
        sqlx::query!(
            "DELETE FROM client_addresses AS a USING UNNEST($1::uuid[], $2::bigint[]) AS r (tenant_id, mac)
             WHERE a.tenant_id = r.tenant_id AND a.mac = r.mac",
            &tenant,
            &macs,
        )
        .execute(&mut *conn)
        .await?;
    }
    if !rows.is_empty() {
        upsert(conn, &rows).await?;
    }
    Ok(())
}

async fn upsert(
    conn: &mut PgConnection,
    rows: &[(Epoch, &ClientAddress)],
) -> Result<(), sqlx::Error> {
    columns!(rows, (epoch, row) =>
        tenant: Uuid = row.tenant_id.0,
        mac: i64 = row.mac.0.cast_signed(),
        address: &str = row.address.as_str(),
        name: Option<&str> = row.host_name.as_deref(),
        source: &str = row.source.as_str(),
        device: Uuid = row.device_id.0,
        since: i64 = row.since.0,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO client_addresses (tenant_id, mac, address, host_name, source, device_id, since, epoch)
         SELECT tenant_id, mac, address, host_name, source, device_id, instant(since), epoch
         FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::bigint[], $8::bigint[])
              AS r (tenant_id, mac, address, host_name, source, device_id, since, epoch)
         ON CONFLICT (tenant_id, mac) DO UPDATE SET
             address = excluded.address, host_name = excluded.host_name, source = excluded.source,
             device_id = excluded.device_id, since = excluded.since, epoch = excluded.epoch",
        &tenant,
        &mac,
        &address as _,
        &name as _,
        &source as _,
        &device,
        &since,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}
