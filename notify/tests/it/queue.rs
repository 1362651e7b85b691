//! From requests to deliveries: who is told, once, in order, again, and together.

use std::collections::BTreeSet;
use std::time::Duration;

use mast_notify::DispatcherConfig;
use mast_notify::backoff::Bounds;
use mast_notify::{Dispatcher, backlog};
use serde_json::json;
use uuid::Uuid;

use crate::hook::{Answer, Hook, status};
use crate::world::{Ask, KEY, World, ask, sender_config};

#[tokio::test]
async fn a_request_is_told_once_by_each_channel_that_routes_lead_to() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let (mut first, mut second) = (Hook::start().await, Hook::start().await);
    let channel = world.webhook(tenant, &first.url()).await;
    world.route(tenant, &[channel]).await;
    let other = world
        .channel(tenant, "slack", json!({ "url": second.url() }), None)
        .await;
    world.route(tenant, &[other, channel]).await;
    let asked = ask("Hill is down");
    world.request(tenant, &asked).await;
    // A request of another id for the same: what a writer that forgot its ids would add.
    world.request(tenant, &asked).await;
    let dispatcher = world.dispatcher();
    assert_eq!(first.next().await.titles(), ["Hill is down"]);
    assert!(
        second.next().await.json()["text"]
            .as_str()
            .unwrap()
            .contains("Hill is down")
    );
    world.until_delivered(tenant).await;
    assert_eq!(
        world.attempts(tenant).await,
        ["delivered 1 200", "delivered 1 200"]
    );
    dispatcher.stop(Duration::from_secs(10)).await;
    assert!(first.more().is_empty() && second.more().is_empty());
    let waiting = backlog(&world.api).await.unwrap();
    assert_eq!((waiting.waiting, waiting.dead), (0, 0));
}

#[tokio::test]
async fn two_dispatchers_send_each_once() {
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
    let dispatchers = [world.dispatcher(), world.dispatcher()];
    let asks: Vec<Ask> = (0..60).map(|n| ask(&format!("n{n}"))).collect();
    for some in asks.chunks(7) {
        world.requests(tenant, some).await;
    }
    let mut titles = BTreeSet::new();
    for _ in 0..60 {
        titles.extend(hook.next().await.titles());
    }
    assert_eq!(titles.len(), 60, "one came twice, and another did not");
    world
        .until(tenant, |all| {
            all.len() == 60 && all.iter().all(|one| one == "delivered 1")
        })
        .await;
    for dispatcher in dispatchers {
        dispatcher.stop(Duration::from_secs(10)).await;
    }
    assert!(hook.more().is_empty());
}

#[tokio::test]
async fn the_end_is_told_where_the_begin_was_and_after_it() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    let opened = ask("Hill is down");
    let resolved = Ask {
        kind: "resolved",
        minute: 5,
        title: "Hill is up".to_owned(),
        ..opened.clone()
    };
    let other = Ask {
        kind: "resolved",
        title: "never told".to_owned(),
        ..ask("x")
    };
    hook.answer([status(500)]);
    let dispatcher = world.dispatcher();
    world.requests(tenant, &[resolved, opened, other]).await;
    assert_eq!(hook.next().await.titles(), ["Hill is down"]);
    world
        .until(tenant, |all| all[0] == "pending 1 answer 500")
        .await;
    // The begin waits for another attempt, and the end waits for it.
    world
        .until(tenant, |all| all == ["pending 1 answer 500", "pending 0"])
        .await;
    world
        .run(
            tenant,
            "UPDATE notification_routes SET least_severity = 'critical' WHERE tenant_id = $1",
        )
        .await;
    world.no_pauses(tenant).await;
    assert_eq!(hook.next().await.titles(), ["Hill is down"]);
    assert_eq!(hook.next().await.titles(), ["Hill is up"]);
    world.until_delivered(tenant).await;
    dispatcher.stop(Duration::from_secs(10)).await;
    assert!(
        hook.more().is_empty(),
        "an end of which nobody was told the begin"
    );
}

#[tokio::test]
async fn what_fails_is_tried_again_and_what_is_refused_is_not() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    let asks_for_time = Answer::Status(
        429,
        vec![("retry-after", "3000".to_owned())],
        "later".to_owned(),
    );
    hook.answer([asks_for_time, status(503)]);
    let dispatcher = world.dispatcher();
    world.request(tenant, &ask("first")).await;
    let first = hook.next().await;
    world.until(tenant, |all| all == ["pending 1 later"]).await;
    let pause =
        "SELECT (next_attempt_at - began_at BETWEEN interval '2990 s' AND interval '3010 s')::text
                 FROM notification_deliveries WHERE tenant_id = $1";
    assert_eq!(world.texts(tenant, pause).await, ["true"]);
    world.no_pauses(tenant).await;
    let second = hook.next().await;
    world
        .until(tenant, |all| all == ["pending 2 answer 503"])
        .await;
    world.no_pauses(tenant).await;
    let third = hook.next().await;
    let ids: BTreeSet<_> = [&first, &second, &third]
        .map(|seen| seen.header("mast-delivery").unwrap().to_owned())
        .into();
    assert_eq!(ids.len(), 1, "it is the same each time");
    assert_eq!(
        third.header("mast-redelivery"),
        None,
        "a failure is known, and no repetition"
    );
    world.until_delivered(tenant).await;
    hook.answer([status(404)]);
    world.request(tenant, &ask("second")).await;
    hook.next().await;
    world
        .until(tenant, |all| all == ["delivered 3", "dead 1 answer 404"])
        .await;
    assert_eq!(
        world.attempts(tenant).await,
        [
            "failed 1 429",
            "failed 2 503",
            "delivered 3 200",
            "refused 1 404"
        ]
    );
    dispatcher.stop(Duration::from_secs(10)).await;
    assert_eq!(backlog(&world.api).await.unwrap().dead, 1);
}

#[tokio::test]
async fn it_is_given_up_after_so_many_attempts_or_so_long() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    hook.answer([status(500), status(500)]);
    let bounds = Bounds {
        attempts: 2,
        age: Duration::from_secs(3_600),
    };
    let dispatcher = Dispatcher::start(DispatcherConfig {
        bounds,
        ..world.dispatching(sender_config())
    });
    world.request(tenant, &ask("x")).await;
    hook.next().await;
    world
        .until(tenant, |all| all == ["pending 1 answer 500"])
        .await;
    world.no_pauses(tenant).await;
    hook.next().await;
    world
        .until(tenant, |all| all == ["dead 2 answer 500"])
        .await;
    // A channel that is switched off tells nothing, until what waits is too old.
    world.run(tenant, "UPDATE notification_deliveries SET state = 'pending', attempts = 0 WHERE tenant_id = $1").await;
    world
        .run(
            tenant,
            "UPDATE notification_channels SET enabled = false WHERE tenant_id = $1",
        )
        .await;
    world.run(
        tenant,
        "UPDATE notification_deliveries SET queued_at = queued_at - interval '2 hours', next_attempt_at = clock_timestamp()
         WHERE tenant_id = $1",
    )
    .await;
    world
        .until(tenant, |all| {
            all == ["dead 0 answer 500; it waited for too long"]
        })
        .await;
    dispatcher.stop(Duration::from_secs(10)).await;
    assert!(hook.more().is_empty());
}

#[tokio::test]
async fn many_at_once_are_told_in_one_message_which_stays_one() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    let asks: Vec<Ask> = (0..7)
        .map(|n| Ask {
            minute: n,
            ..ask(&format!("n{n}"))
        })
        .collect();
    world.requests(tenant, &asks).await;
    hook.answer([status(500)]);
    let dispatcher = world.dispatcher();
    let first = hook.next().await;
    assert_eq!(first.titles(), ["n0", "n1", "n2", "n3", "n4", "n5", "n6"]);
    assert_eq!(first.json()["digest"], true);
    world
        .until(tenant, |all| {
            all.len() == 7 && all.iter().all(|one| one == "pending 1 answer 500")
        })
        .await;
    let id = first.header("mast-delivery").unwrap().to_owned();
    let digests =
        "SELECT DISTINCT digest_id::text FROM notification_deliveries WHERE tenant_id = $1";
    assert_eq!(world.texts(tenant, digests).await, [id.as_str()]);
    world.no_pauses(tenant).await;
    let second = hook.next().await;
    assert_eq!(
        (second.header("mast-delivery"), second.titles()),
        (Some(id.as_str()), first.titles())
    );
    world.until_delivered(tenant).await;
    assert_eq!(
        world.attempts(tenant).await.len(),
        14,
        "each delivery has its own log"
    );
    dispatcher.stop(Duration::from_secs(10)).await;
    assert!(hook.more().is_empty());
}

#[tokio::test]
async fn a_storm_that_drips_is_held_and_told_at_once() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let mut hook = Hook::start().await;
    world.webhook(tenant, &hook.url()).await;
    let dispatcher = world.dispatcher();
    for n in 0..5 {
        world.request(tenant, &ask(&format!("n{n}"))).await;
        assert_eq!(hook.next().await.titles(), [format!("n{n}")]);
    }
    world.until_delivered(tenant).await;
    for n in 5..8 {
        world
            .request(
                tenant,
                &Ask {
                    minute: n,
                    ..ask(&format!("n{n}"))
                },
            )
            .await;
    }
    world
        .until(tenant, |all| {
            all[5..] == ["pending 0", "pending 0", "pending 0"]
        })
        .await;
    // As if they had waited for a minute.
    world.run(
        tenant,
        "UPDATE notification_deliveries SET next_attempt_at = next_attempt_at - interval '1 minute'
         WHERE tenant_id = $1 AND state = 'pending'",
    )
    .await;
    assert_eq!(hook.next().await.titles(), ["n5", "n6", "n7"]);
    world.until_delivered(tenant).await;
    dispatcher.stop(Duration::from_secs(10)).await;
    assert!(hook.more().is_empty());
}

#[tokio::test]
async fn a_slow_channel_holds_up_no_other() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let (mut slow, mut quick) = (Hook::start().await, Hook::start().await);
    let webhook = |url: String| json!({ "url": url, "key": KEY });
    let first = world
        .channel(tenant, "webhook", webhook(slow.url()), None)
        .await;
    world.route(tenant, &[first]).await;
    slow.answer(vec![Answer::Nothing; 20]);
    let asks: Vec<Ask> = (0..20).map(|n| ask(&format!("n{n}"))).collect();
    world.requests(tenant, &asks).await;
    let dispatcher = world.dispatcher();
    slow.next().await;
    slow.next().await;
    let second = world
        .channel(tenant, "slack", json!({ "url": quick.url() }), None)
        .await;
    world.route(tenant, &[second]).await;
    world.request(tenant, &ask("quick")).await;
    quick.next().await;
    let told = "SELECT state FROM notification_deliveries WHERE tenant_id = $1 AND state <> 'pending' ORDER BY state";
    world
        .until(tenant, |all| {
            all.iter().any(|one| one.starts_with("delivered"))
        })
        .await;
    assert_eq!(
        world.texts(tenant, told).await,
        ["delivered", "sending", "sending"]
    );
    assert!(slow.more().is_empty(), "a channel has two places");
    drop(dispatcher);
}

#[tokio::test]
async fn a_channel_that_is_deleted_tells_nothing_more() {
    let world = World::new().await;
    let tenant = world.tenant("a").await;
    let hook = Hook::start().await;
    let channel = world.webhook(tenant, &hook.url()).await;
    hook.answer([status(500)]);
    let dispatcher = world.dispatcher();
    world.request(tenant, &ask("x")).await;
    world
        .until(tenant, |all| all == ["pending 1 answer 500"])
        .await;
    world
        .run(
            tenant,
            "DELETE FROM notification_channels WHERE tenant_id = $1",
        )
        .await;
    assert_eq!(
        world.deliveries(tenant).await,
        ["dead 1 the channel was deleted"]
    );
    let routes = "SELECT channel_ids::text FROM notification_routes WHERE tenant_id = $1";
    assert_eq!(world.texts(tenant, routes).await, ["{}"]);
    dispatcher.stop(Duration::from_secs(10)).await;
    assert_ne!(channel, Uuid::nil());
}
