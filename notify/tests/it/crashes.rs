//! Processes that die: what nobody knows the end of is told once more, marked, and never a third time.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mast_notify::{Resolve, SenderConfig};
use serde_json::json;
use tokio::sync::mpsc;

use crate::hook::{Answer, Hook};
use crate::world::{Ask, KEY, World, ask, sender_config};

#[tokio::test]
async fn a_process_that_dies_after_sending_leaves_one_repetition() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    hook.answer([Answer::Nothing, Answer::Nothing]);
    world.request(tenant, &ask("x")).await;
    let dies = world.dispatcher();
    let first = hook.next().await;
    // It has been sent, and nobody has noted it.
    drop(dies);
    assert_eq!(world.deliveries(tenant).await, ["sending 1"]);
    let lives = world.dispatcher();
    world.until(tenant, |all| all == ["sending 1"]).await;
    world.no_claims(tenant).await;
    let second = hook.next().await;
    assert_eq!(
        (
            first.header("mast-redelivery"),
            second.header("mast-redelivery")
        ),
        (None, Some("1"))
    );
    assert_eq!(
        first.header("mast-delivery"),
        second.header("mast-delivery")
    );
    // And that one dies too: a person decides.
    drop(lives);
    let third = world.dispatcher();
    world.no_claims(tenant).await;
    world
        .until(tenant, |all| {
            all[0].starts_with("dead 1 the process that sent it died")
        })
        .await;
    assert_eq!(
        world.attempts(tenant).await,
        ["unknown 1", "unknown 1 repeated"]
    );
    third.stop(Duration::from_secs(10)).await;
    assert!(hook.more().is_empty(), "it was told a third time");
}

#[tokio::test]
async fn a_repetition_that_arrives_ends_it() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    let asks: Vec<Ask> = (0..6)
        .map(|n| Ask {
            minute: n,
            ..ask(&format!("n{n}"))
        })
        .collect();
    world.requests(tenant, &asks).await;
    hook.answer([Answer::Nothing]);
    let dies = world.dispatcher();
    let first = hook.next().await;
    drop(dies);
    let lives = world.dispatcher();
    world.no_claims(tenant).await;
    let second = hook.next().await;
    assert_eq!(
        (first.titles().len(), first.titles()),
        (6, second.titles()),
        "a digest is repeated whole"
    );
    assert_eq!(
        first.header("mast-delivery"),
        second.header("mast-delivery")
    );
    world.until_delivered(tenant).await;
    assert_eq!(
        world.attempts(tenant).await[5..7],
        ["unknown 1", "delivered 1 repeated 200"]
    );
    lives.stop(Duration::from_secs(10)).await;
    assert!(hook.more().is_empty());
}

/// One that never answers, and tells that it was asked.
struct Silent(mpsc::UnboundedSender<()>);

#[async_trait]
impl Resolve for Silent {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        // The test waits for it.
        let _ = self.0.send(());
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_process_that_dies_before_sending_loses_nothing() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    let url = format!("http://localhost:{}/", hook.address.port());
    world.webhook(tenant, &url).await;
    world.request(tenant, &ask("x")).await;
    let (tell, mut asked) = mpsc::unbounded_channel();
    let dies = world.dispatcher_with(SenderConfig {
        resolver: Arc::new(Silent(tell)),
        ..sender_config()
    });
    asked.recv().await.unwrap();
    drop(dies);
    let lives = world.dispatcher_with(SenderConfig {
        resolver: Arc::new(mast_notify::System),
        ..sender_config()
    });
    world.no_claims(tenant).await;
    assert_eq!(
        hook.next().await.header("mast-redelivery"),
        Some("1"),
        "nobody can know that it was not sent"
    );
    world.until_delivered(tenant).await;
    lives.stop(Duration::from_secs(10)).await;
    assert!(hook.more().is_empty());
}

/// A process that stood still until its claim was another's notes nothing over what that one noted.
#[tokio::test]
async fn who_lost_its_claim_changes_nothing() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    world.request(tenant, &ask("x")).await;
    hook.answer([Answer::Nothing]);
    let slow = world.dispatcher_with(SenderConfig {
        whole: Duration::from_secs(2),
        ..sender_config()
    });
    hook.next().await;
    let other = world.dispatcher();
    world.no_claims(tenant).await;
    hook.next().await;
    world.until_delivered(tenant).await;
    // Ends when its attempt, which times out, has been noted or not.
    slow.stop(Duration::from_secs(10)).await;
    assert_eq!(world.deliveries(tenant).await, ["delivered 1"]);
    assert_eq!(
        world.attempts(tenant).await,
        ["unknown 1", "delivered 1 repeated 200"]
    );
    other.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_end_and_begins_nothing() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    let channel = world
        .channel(
            tenant,
            "webhook",
            json!({ "url": hook.url(), "key": KEY }),
            None,
        )
        .await;
    world.route(tenant, &[channel]).await;
    hook.answer([Answer::Nothing]);
    world.request(tenant, &ask("x")).await;
    let dispatcher = world.dispatcher_with(SenderConfig {
        whole: Duration::from_secs(1),
        ..sender_config()
    });
    hook.next().await;
    dispatcher.stop(Duration::from_secs(30)).await;
    assert!(
        world.deliveries(tenant).await[0].starts_with("pending 1 it took longer"),
        "its end was noted"
    );
    world.no_pauses(tenant).await;
    hook.answer([Answer::Nothing]);
    let dispatcher = world.dispatcher();
    hook.next().await;
    dispatcher.stop(Duration::ZERO).await;
    let left = world.deliveries(tenant).await;
    assert!(
        left[0].starts_with("sending 2"),
        "left to who claims it next: {left:?}"
    );
}
