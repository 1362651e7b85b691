//! Nothing of one tenant for another.

use std::time::Duration;

use mast_postgres::tenant_tx;
use serde_json::json;
use uuid::Uuid;

use crate::hook::Hook;
use crate::world::{KEY, World, ask};

#[tokio::test]
async fn a_tenant_is_told_of_its_own_alone() {
    let world = World::new().await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let (mut of_a, mut of_b) = (Hook::start().await, Hook::start().await);
    let channel = world.webhook(a, &of_a.url()).await;
    world.webhook(b, &of_b.url()).await;
    let dispatcher = world.dispatcher();
    let shared = ask("of a");
    world.request(a, &shared).await;
    // The same incident by its id, of another tenant: ids of incidents are not secret.
    world
        .request(
            b,
            &crate::world::Ask {
                title: "of b".to_owned(),
                ..shared
            },
        )
        .await;
    assert_eq!(of_a.next().await.titles(), ["of a"]);
    assert_eq!(of_b.next().await.titles(), ["of b"]);
    world.until_delivered(a).await;
    world.until_delivered(b).await;
    dispatcher.stop(Duration::from_secs(10)).await;
    assert!(of_a.more().is_empty() && of_b.more().is_empty());
    let crossing = async |sql: &'static str| {
        let mut tx = tenant_tx(&world.api, b).await.unwrap();
        let done = sqlx::query(sql)
            .bind(channel)
            .bind(Uuid::now_v7())
            .bind(b.0)
            .execute(&mut *tx)
            .await;
        done.map(|done| done.rows_affected())
    };
    let seen =
        crossing("UPDATE notification_channels SET name = 'mine' WHERE id = $1 AND $2::uuid <> $3");
    assert_eq!(seen.await.unwrap(), 0);
    for sql in [
        "INSERT INTO notification_routes (tenant_id, id, name, least_severity, kinds, time_zone, channel_ids)
         VALUES ($3, $2, 'mine', 'info', '{opened}', 'UTC', ARRAY[$1])",
        "INSERT INTO notification_channel_secrets (tenant_id, channel_id, ciphertext) SELECT $3, $1, 'x' WHERE $2::uuid IS NOT NULL",
    ] {
        let error = crossing(sql).await.unwrap_err();
        assert!(error.as_database_error().unwrap().is_foreign_key_violation() || error.as_database_error().unwrap().is_unique_violation(), "{error}");
    }
}

/// Bytes that were sealed for another tenant do not open, whatever row they stand in.
#[tokio::test]
async fn secrets_of_another_tenant_do_not_open() {
    let world = World::new().await;
    let (a, b) = (world.tenant("a").await, world.tenant("b").await);
    let mut hook = Hook::start().await;
    let channel = world.webhook(a, &hook.url()).await;
    let theirs = world
        .channel(b, "webhook", json!({ "url": hook.url(), "key": KEY }), None)
        .await;
    let mut tx = tenant_tx(&world.api, b).await.unwrap();
    let sealed: Vec<u8> = sqlx::query_scalar(
        "SELECT ciphertext FROM notification_channel_secrets WHERE channel_id = $1",
    )
    .bind(theirs)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    drop(tx);
    let mut tx = tenant_tx(&world.api, a).await.unwrap();
    sqlx::query("UPDATE notification_channel_secrets SET ciphertext = $2 WHERE channel_id = $1")
        .bind(channel)
        .bind(sealed)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let dispatcher = world.dispatcher();
    world.request(a, &ask("x")).await;
    world
        .until(a, |all| {
            all[0].starts_with("dead 1 the secrets of the channel do not open")
        })
        .await;
    dispatcher.stop(Duration::from_secs(10)).await;
    assert!(hook.more().is_empty());
}
