//! The schema and the private server against real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world fails"
)]

mod alerts;
mod leases;
mod outbox;
mod parts;
mod private;
mod roles;
mod schema;
mod tenants;

use mast_schemas::TenantId;
use sqlx::PgPool;
use uuid::Uuid;

/// A tenant with a site, a sector and two devices in it, made as the API would.
struct Fleet {
    tenant: TenantId,
    site: Uuid,
    sector: Uuid,
    devices: [Uuid; 2],
}

async fn fleet(api: &PgPool, name: &str) -> Fleet {
    let (tenant, site, sector) = (TenantId::new(), Uuid::now_v7(), Uuid::now_v7());
    let devices = [Uuid::now_v7(), Uuid::now_v7()];
    let mut tx = mast_postgres::tenant_tx(api, tenant).await.unwrap();
    let run = sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, $2)");
    run.bind(tenant.0)
        .bind(name)
        .execute(&mut *tx)
        .await
        .unwrap();
    let run = sqlx::query("INSERT INTO sites (id, tenant_id, name) VALUES ($1, $2, 'hill')");
    run.bind(site)
        .bind(tenant.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    let run = sqlx::query(
        "INSERT INTO sectors (id, tenant_id, site_id, name) VALUES ($1, $2, $3, 'north')",
    );
    run.bind(sector)
        .bind(tenant.0)
        .bind(site)
        .execute(&mut *tx)
        .await
        .unwrap();
    for (n, device) in devices.iter().enumerate() {
        let run = sqlx::query(
            "INSERT INTO devices (id, tenant_id, name, address, interval_ms, site_id, sector_id)
             VALUES ($1, $2, $3, '192.0.2.1', 60000, $4, $5)",
        );
        run.bind(device)
            .bind(tenant.0)
            .bind(format!("ap{n}"))
            .bind(site)
            .bind(sector)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    Fleet {
        tenant,
        site,
        sector,
        devices,
    }
}

/// The SQLSTATE of a refusal.
fn code(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(|e| e.code())
        .map_or_else(|| error.to_string(), |c| c.into_owned())
}

/// What a role gets that lacks a right, or writes a row that a policy refuses.
const REFUSED: &str = "42501";
