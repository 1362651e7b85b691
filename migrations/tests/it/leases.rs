//! Two holders and one lease.

use std::time::Duration;

use mast_postgres::lease::{acquire, release, renew};
use mast_postgres::{Role, testing};
use uuid::Uuid;

use crate::{REFUSED, code};

const LONG: Duration = Duration::from_secs(600);
const OVER: Duration = Duration::ZERO;
const NAME: &str = "ingest/all";

#[tokio::test]
async fn one_holds_and_the_other_waits_until_it_is_released() {
    let pool = testing::database().await.pool(Role::Ingest).await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let held = acquire(&pool, NAME, one, LONG).await.unwrap().unwrap();
    assert_eq!(held.fencing_epoch, 1);
    assert!(held.expires_at > held.database_now);
    assert_eq!(acquire(&pool, NAME, two, LONG).await.unwrap(), None);
    let renewed = renew(&pool, &held, LONG).await.unwrap().unwrap();
    assert_eq!(renewed.fencing_epoch, 1);
    assert!(release(&pool, &renewed).await.unwrap());
    assert_eq!(
        acquire(&pool, NAME, two, LONG)
            .await
            .unwrap()
            .unwrap()
            .fencing_epoch,
        2
    );
}

#[tokio::test]
async fn an_expired_lease_is_taken_and_its_former_holder_is_fenced() {
    let pool = testing::database().await.pool(Role::Ingest).await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let paused = acquire(&pool, NAME, one, OVER).await.unwrap().unwrap();
    let taken = acquire(&pool, NAME, two, LONG).await.unwrap().unwrap();
    assert!(taken.fencing_epoch > paused.fencing_epoch);
    assert_eq!(renew(&pool, &paused, LONG).await.unwrap(), None);
    assert!(!release(&pool, &paused).await.unwrap());
    assert_eq!(acquire(&pool, NAME, one, LONG).await.unwrap(), None);
}

#[tokio::test]
async fn a_restarted_holder_need_not_wait_but_fences_its_former_self() {
    let pool = testing::database().await.pool(Role::Dataflow).await;
    let node = Uuid::now_v7();
    let before = acquire(&pool, "dataflow/main", node, LONG)
        .await
        .unwrap()
        .unwrap();
    let after = acquire(&pool, "dataflow/main", node, LONG)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.fencing_epoch, before.fencing_epoch + 1);
    assert_eq!(renew(&pool, &before, LONG).await.unwrap(), None);
}

#[tokio::test]
async fn of_many_at_once_one_gets_it() {
    let pool = testing::database().await.pool(Role::Ingest).await;
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { acquire(&pool, NAME, Uuid::now_v7(), LONG).await.unwrap() })
        })
        .collect();
    let mut got = 0;
    for task in asking {
        got += usize::from(task.await.unwrap().is_some());
    }
    assert_eq!(got, 1);
}

#[tokio::test]
async fn a_role_holds_only_leases_of_its_own_kind() {
    let database = testing::database().await;
    let ingest = database.pool(Role::Ingest).await;
    let error = acquire(&ingest, "dataflow/main", Uuid::now_v7(), LONG)
        .await
        .unwrap_err();
    assert_eq!(code(&error), REFUSED);
}
