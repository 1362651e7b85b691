//! Two holders and one lease.

use std::time::Duration;

use mast_postgres::ingest_nodes::{self, LiveNode};
use mast_postgres::lease::{acquire, acquire_all, holders, release, renew, renew_all};
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

#[tokio::test]
async fn many_leases_are_taken_and_renewed_at_once_and_what_is_lost_is_missing() {
    let pool = testing::database().await.pool(Role::Ingest).await;
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let names: Vec<String> = (0..4).map(|n| format!("ingest/telemetry/{n}")).collect();
    let held = acquire_all(&pool, &names, one, LONG).await.unwrap();
    assert_eq!(held.len(), 4);
    assert_eq!(acquire_all(&pool, &names, two, LONG).await.unwrap(), []);
    let mut by_name: Vec<String> = holders(&pool, "ingest/telemetry/")
        .await
        .unwrap()
        .into_iter()
        .filter(|(_, holder)| *holder == one)
        .map(|(name, _)| name)
        .collect();
    by_name.sort();
    assert_eq!(by_name, names);

    // One ends, and another node takes it.
    assert_eq!(renew_all(&pool, &held[..1], OVER).await.unwrap().len(), 1);
    let taken = acquire_all(&pool, &names, two, LONG).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].name, held[0].name);
    assert_eq!(taken[0].fencing_epoch, 2);
    let renewed = renew_all(&pool, &held, LONG).await.unwrap();
    let mut still: Vec<String> = renewed.into_iter().map(|lease| lease.name).collect();
    still.sort();
    let expected: Vec<&String> = names.iter().filter(|n| **n != held[0].name).collect();
    assert_eq!(still.iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_node_that_leaves_or_dies_is_not_among_those_that_live() {
    let pool = testing::database().await.pool(Role::Ingest).await;
    let node = |capacity| LiveNode {
        holder: Uuid::now_v7(),
        name: "tower/1".to_owned(),
        capacity,
    };
    let (lives, dies) = (node(100), node(200));
    ingest_nodes::live(&pool, &lives, LONG).await.unwrap();
    ingest_nodes::live(&pool, &dies, OVER).await.unwrap();
    assert_eq!(
        ingest_nodes::all(&pool).await.unwrap(),
        std::slice::from_ref(&lives)
    );
    ingest_nodes::leave(&pool, lives.holder).await.unwrap();
    assert_eq!(ingest_nodes::all(&pool).await.unwrap(), []);
}
