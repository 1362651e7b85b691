//! Every change of the model has its record, in its transaction, in an order that a reader can follow.

use mast_postgres::{OUTBOX_CHANNEL, Role, tenant_tx, testing};
use mast_schemas::control::Change;
use sqlx::PgPool;
use sqlx::postgres::PgListener;

use crate::fleet;

async fn changes(dataflow: &PgPool, after: i64) -> Vec<(i64, Change)> {
    let rows: Vec<(i64, serde_json::Value)> =
        sqlx::query_as("SELECT id, change FROM outbox WHERE id > $1 ORDER BY id")
            .bind(after)
            .fetch_all(dataflow)
            .await
            .unwrap();
    rows.into_iter()
        .map(|(id, change)| (id, serde_json::from_value(change).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_new_fleet_is_told_whole() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    let told: Vec<Change> = changes(&dataflow, 0)
        .await
        .into_iter()
        .map(|(_, change)| change)
        .filter(|change| !matches!(change, Change::Rule(_)))
        .collect();
    let [
        Change::Tenant(tenant),
        Change::Site(site),
        Change::Sector(sector),
        Change::Device(first),
        Change::Device(_),
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        (tenant.id, tenant.name.as_str(), tenant.version),
        (a.tenant, "a", 1)
    );
    assert_eq!((site.id.0, site.tenant_id), (a.site, a.tenant));
    assert_eq!((sector.id.0, sector.site_id.0), (a.sector, a.site));
    assert_eq!(
        (first.id.0, first.sector_id.map(|s| s.0)),
        (a.devices[0], Some(a.sector))
    );
    assert_eq!(
        (
            first.api_port,
            first.api_ssl_port,
            first.interval_ms,
            first.enabled
        ),
        (8728, 8729, 60_000, true)
    );
}

#[tokio::test]
async fn a_change_that_is_rolled_back_is_not_told() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    let before = changes(&dataflow, 0).await.len();
    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    sqlx::query("UPDATE devices SET enabled = false")
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("DELETE FROM sites")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(changes(&dataflow, 0).await.len(), before);
}

#[tokio::test]
async fn what_a_deleted_site_takes_along_is_told() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    let last = changes(&dataflow, 0).await.last().unwrap().0;
    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    sqlx::query("DELETE FROM sites")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let told: Vec<Change> = changes(&dataflow, last)
        .await
        .into_iter()
        .map(|(_, change)| change)
        .collect();
    assert!(
        told.iter()
            .any(|c| matches!(c, Change::SiteDeleted { id } if id.0 == a.site)),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|c| matches!(c, Change::SectorDeleted { id } if id.0 == a.sector)),
        "{told:?}"
    );
    for device in a.devices {
        let now = told.iter().rev().find_map(|c| match c {
            Change::Device(d) if d.id.0 == device => Some(d),
            _ => None,
        });
        let now = now.unwrap();
        assert_eq!((now.site_id, now.sector_id), (None, None));
        assert!(now.version > 1, "the version rises whoever changes the row");
    }
}

#[tokio::test]
async fn a_deleted_sector_leaves_its_devices_on_the_site() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    sqlx::query("DELETE FROM sectors")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let told = changes(&dataflow, 0).await;
    let Change::Device(last) = &told.last().unwrap().1 else {
        panic!("{told:?}")
    };
    assert_eq!(
        (last.site_id.map(|s| s.0), last.sector_id),
        (Some(a.site), None)
    );
}

#[tokio::test]
async fn a_deleted_tenant_takes_all_along_but_the_views() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    sqlx::query("INSERT INTO device_status (device_id, tenant_id, state, since, epoch) VALUES ($1, $2, 'online', now(), 1)")
        .bind(a.devices[0])
        .bind(a.tenant.0)
        .execute(&dataflow)
        .await
        .unwrap();
    let mut tx = tenant_tx(&api, a.tenant).await.unwrap();
    sqlx::query("DELETE FROM tenants")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let told = changes(&dataflow, 0).await;
    for device in a.devices {
        let last = told.iter().rev().find(|(_, c)| match c {
            Change::Device(d) => d.id.0 == device,
            Change::DeviceDeleted { id } => id.0 == device,
            _ => false,
        });
        assert!(
            matches!(last, Some((_, Change::DeviceDeleted { .. }))),
            "{told:?}"
        );
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM device_status")
        .fetch_one(&dataflow)
        .await
        .unwrap();
    assert_eq!(left, 1, "taking rows back is the dataflow's work");
}

#[tokio::test]
async fn writers_take_turns_so_that_ids_become_visible_in_order() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let (a, b) = (fleet(&api, "a").await, fleet(&api, "b").await);
    let mut first = tenant_tx(&api, a.tenant).await.unwrap();
    sqlx::query("UPDATE devices SET enabled = false")
        .execute(&mut *first)
        .await
        .unwrap();

    let mut second = tenant_tx(&api, b.tenant).await.unwrap();
    sqlx::query("SET LOCAL lock_timeout = '50ms'")
        .execute(&mut *second)
        .await
        .unwrap();
    let error = sqlx::query("UPDATE sites SET name = 'y'")
        .execute(&mut *second)
        .await
        .unwrap_err();
    assert_eq!(crate::code(&error), "55P03", "lock not available");
    drop(second);

    first.commit().await.unwrap();
    let mut second = tenant_tx(&api, b.tenant).await.unwrap();
    sqlx::query("UPDATE sites SET name = 'y'")
        .execute(&mut *second)
        .await
        .unwrap();
    second.commit().await.unwrap();
}

#[tokio::test]
async fn a_commit_wakes_the_relay() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let mut listener = PgListener::connect_with(&dataflow).await.unwrap();
    listener.listen(OUTBOX_CHANNEL).await.unwrap();
    fleet(&api, "a").await;
    let woken = tokio::time::timeout(std::time::Duration::from_secs(30), listener.recv()).await;
    assert_eq!(woken.unwrap().unwrap().channel(), OUTBOX_CHANNEL);
}
