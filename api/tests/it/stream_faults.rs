//! Live views under trouble: many listeners, cut connections, slow ones, tokens and tenants that end, Postgres away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mast_api::token::{self, NewToken, Role};
use mast_api::{Listeners, Server};
use mast_postgres::Private;
use mast_schemas::views::LinkState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use crate::away;
use crate::ear::{Ear, Event, Job, Link, text};
use crate::served::serve;
use crate::stream::until_the_end;
use crate::world::{A, Fleet, World};

fn link(fleet: Fleet, mac: u64, state: Option<LinkState>, number: i64) -> Link {
    Link {
        tenant: fleet.tenant(),
        ap: fleet.ap(),
        mac,
        state,
        number,
        interface: "wlan1".to_owned(),
    }
}

/// What a change did: the link, and the time that tells it from others; none where the link went.
type Step = (String, Option<String>);

fn steps(event: &Event) -> Vec<Step> {
    let changes = event.data["changes"].as_array().unwrap().iter();
    let step = |change: &Value| {
        let since = change.get("row").map(|row| text(&row["since"]));
        (text(&change["id"]), since)
    };
    changes.map(step).collect()
}

fn step(link: &Link) -> Step {
    let time = chrono::DateTime::from_timestamp_micros(Link::since(link.number).0).unwrap();
    let since = time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    (link.name(), link.state.map(|_| since))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_listeners_get_each_change_once_and_in_order() {
    const LISTENERS: usize = 1_000;
    let world = World::new().await;
    let server = serve(&world, |config| {
        config.rate.burst = 100_000;
        config.listeners.per_token = LISTENERS;
    })
    .await;
    let token = world.viewer().await.token.unwrap();
    let mut job = Job::of(&world).await;
    let slots: Vec<Vec<Link>> = (0..20)
        .map(|slot| {
            let one = |n| link(A, n, Some(LinkState::Active), slot * 10 + n.cast_signed());
            (0..5).map(one).collect()
        })
        .collect();
    let expected: Vec<Step> = slots.iter().flatten().map(step).collect();
    let mut opening = JoinSet::new();
    for _ in 0..LISTENERS {
        let (token, address) = (token.clone(), server.address());
        opening.spawn(async move {
            let mut ear = Ear::open(address, &token, "?views=links", None).await;
            assert_eq!(ear.status(), 200);
            assert_eq!(ear.snapshot().await.of("links").len(), 3);
            ear
        });
    }
    let mut listening = JoinSet::new();
    while let Some(ear) = opening.join_next().await {
        let (mut ear, most) = (ear.unwrap(), expected.len());
        listening.spawn(async move {
            let mut heard = Vec::new();
            while heard.len() < most {
                let event = ear.next().await.unwrap();
                assert_eq!(event.name, "changes");
                heard.extend(steps(&event));
            }
            heard
        });
    }
    for links in &slots {
        job.links(links).await;
    }
    let mut listened = 0;
    while let Some(heard) = listening.join_next().await {
        assert_eq!(heard.unwrap(), expected);
        listened += 1;
    }
    assert_eq!(listened, LISTENERS);
}

/// Commits until it is told to stop; all that it committed, in order.
async fn steadily(mut job: Job, stop: Arc<AtomicBool>, mut random: StdRng) -> (Job, Vec<Step>) {
    let (mut committed, mut number) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let mut links: BTreeMap<u64, Link> = BTreeMap::new();
        for _ in 0..random.random_range(1..4) {
            number += 1;
            let state = match random.random_range(0..4) {
                0 => None,
                1 => Some(LinkState::Degraded),
                _ => Some(LinkState::Active),
            };
            let mac = random.random_range(1..=20);
            links.insert(mac, link(A, mac, state, number));
        }
        let links: Vec<_> = links.into_values().collect();
        committed.extend(links.iter().map(step));
        job.links(&links).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (job, committed)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_at_random_places_misses_nothing_and_hears_nothing_twice() {
    const CUTS: usize = 40;
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let token = world.viewer().await.token.unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let mut ear = Ear::open(server.address(), &token, "?views=links", None).await;
    let mut rows = ear.snapshot().await;
    let stop = Arc::new(AtomicBool::new(false));
    let job = Job::of(&world).await;
    let working = tokio::spawn(steadily(job, Arc::clone(&stop), StdRng::seed_from_u64(8)));
    let (mut heard, mut id) = (Vec::new(), ear.last_id.clone());
    for _ in 0..CUTS {
        ear = Ear::open(server.address(), &token, "?views=links", id.as_deref()).await;
        ear.budget = random.random_range(1..6_000);
        while let Some(event) = ear.next().await {
            assert_eq!(event.name, "changes", "it is known where it was");
            heard.extend(steps(&event));
            rows.apply(&event);
        }
        id.clone_from(&ear.last_id);
    }
    stop.store(true, Ordering::Relaxed);
    let (mut job, mut committed) = working.await.unwrap();
    let last = link(A, 99, Some(LinkState::Active), 9_999_999);
    job.links(std::slice::from_ref(&last)).await;
    committed.push(step(&last));
    let mut ear = Ear::open(server.address(), &token, "?views=links", id.as_deref()).await;
    while heard.last() != committed.last() {
        let event = ear.next().await.unwrap();
        assert_eq!(event.name, "changes");
        heard.extend(steps(&event));
        rows.apply(&event);
    }
    assert_eq!(heard.len(), committed.len());
    assert_eq!(heard, committed);
    let mut anew = Ear::open(server.address(), &token, "?views=links", None).await;
    assert_eq!(anew.snapshot().await, rows);
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_its_tenant() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let address = server.address();
    let (revoked, kept) = (world.viewer().await, world.operator().await);
    let new = NewToken {
        tenant_id: Some(A.tenant()),
        name: "short".to_owned(),
        role: Role::Viewer,
        lifetime_s: 2,
    };
    let (_, short) = token::create(world.owner(), &new).await.unwrap();
    let open = async |token: &str| {
        let mut ear = Ear::open(address, token, "", None).await;
        ear.snapshot().await;
        ear
    };
    let mut expiring = open(short.expose()).await;
    let mut revoking = open(revoked.token.as_ref().unwrap()).await;
    let mut keeping = open(kept.token.as_ref().unwrap()).await;
    let mut other = open(world.stranger().await.token.as_ref().unwrap()).await;
    until_the_end(&mut expiring).await;
    token::revoke(world.owner(), revoked.token_id)
        .await
        .unwrap();
    until_the_end(&mut revoking).await;
    let mut job = Job::of(&world).await;
    job.links(&[link(A, 1, Some(LinkState::Active), 1)]).await;
    assert_eq!(keeping.next().await.unwrap().name, "changes");

    let root = world.super_admin().await;
    let path = format!("/api/v1/tenants/{}", A.tenant());
    let gone = root.delete(&path, "*").await;
    assert_eq!(gone.status, 204, "{gone}");
    until_the_end(&mut keeping).await;
    let tenant = crate::world::B;
    job.links(&[link(tenant, 1, Some(LinkState::Active), 1)])
        .await;
    assert_eq!(other.next().await.unwrap().name, "changes");
}

#[tokio::test]
async fn there_are_so_many_places_to_listen_from() {
    let world = World::new().await;
    let server = serve(&world, |config| {
        config.listeners = Listeners {
            all: 4,
            per_tenant: 3,
            per_token: 2,
        };
    })
    .await;
    let open = async |token: &str| Ear::open(server.address(), token, "", None).await;
    let refused = |ear: &Ear, status: u16| {
        assert_eq!(ear.status(), status, "{}", ear.head);
        assert!(ear.head.contains("retry-after: "), "{}", ear.head);
        assert!(
            ear.head.contains("application/problem+json"),
            "{}",
            ear.head
        );
    };
    let (one, two) = (
        world.viewer().await.token.unwrap(),
        world.operator().await.token.unwrap(),
    );
    let other = world.stranger().await.token.unwrap();
    let first = open(&one).await;
    let _second = open(&one).await;
    refused(&open(&one).await, 429);
    let _third = open(&two).await;
    refused(&open(&two).await, 429);
    let _fourth = open(&other).await;
    refused(&open(&other).await, 503);
    drop(first);
    // The server hears of it in a moment.
    while open(&one).await.status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_cut_off_and_keeps_nobody_waiting() {
    let world = World::new().await;
    let server = serve(&world, |config| {
        config.rate.burst = 1_000_000;
        config.sockets.stall = Duration::from_millis(500);
        config.listeners.per_token = 1;
    })
    .await;
    let (sleeper, awake) = (
        world.viewer().await.token.unwrap(),
        world.operator().await.token.unwrap(),
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(server.address()).await.unwrap();
    let asleep = Ear::over(stream, &sleeper, "?views=links", None).await;
    assert_eq!(asleep.status(), 200);
    let again = async || {
        Ear::open(server.address(), &sleeper, "?views=links", None)
            .await
            .status()
    };
    assert_eq!(again().await, 429, "its place is taken");
    let mut ear = Ear::open(server.address(), &awake, "?views=links", None).await;
    ear.snapshot().await;
    let mut job = Job::of(&world).await;
    let mut number = 0;
    while again().await != 200 {
        let links: Vec<_> = (0..100)
            .map(|mac| {
                number += 1;
                Link {
                    interface: "w".repeat(20_000),
                    ..link(A, mac, Some(LinkState::Active), number)
                }
            })
            .collect();
        job.links(&links).await;
        let mut heard = 0;
        while heard < links.len() {
            heard += steps(&ear.next().await.unwrap()).len();
        }
    }
    drop(asleep);
}

#[tokio::test]
async fn the_end_of_the_service_is_the_end_of_its_streams() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let token = world.viewer().await.token.unwrap();
    let mut ear = Ear::open(server.address(), &token, "", None).await;
    ear.snapshot().await;
    let id = ear.last_id.clone();
    // It waits for nothing: its patience is longer than that of any test.
    server.stop(Duration::from_secs(86_400)).await;
    until_the_end(&mut ear).await;
    let server = serve(&world, |_| ()).await;
    let mut job = Job::of(&world).await;
    job.links(&[link(A, 1, Some(LinkState::Active), 1)]).await;
    let mut ear = Ear::open(server.address(), &token, "", id.as_deref()).await;
    assert_eq!(ear.next().await.unwrap().name, "changes");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_a_stream_says_so_and_then_goes_on() {
    let folder = away::folder();
    let data = folder.path().join("postgres");
    let private = Private::start(&data).await.unwrap();
    let service = away::service(&private, folder.path()).await;
    let server = Server::start(([127, 0, 0, 1], 0).into(), service.config)
        .await
        .unwrap();
    let job = async |private: &Private| {
        let role = mast_postgres::Role::Dataflow;
        Job::over(private.pool(role, 1).await.unwrap()).await
    };
    let link = |number| Link {
        tenant: service.tenant,
        ap: service.tenant.0,
        mac: 1,
        state: Some(LinkState::Active),
        number,
        interface: "wlan1".to_owned(),
    };
    let before = private
        .pool(mast_postgres::Role::Dataflow, 1)
        .await
        .unwrap();
    sqlx::query("INSERT INTO job_progress (job, generation, epoch) VALUES ('main', 1, 5)")
        .execute(&before)
        .await
        .unwrap();
    before.close().await;
    let mut ear = Ear::open(server.address(), &service.token, "", None).await;
    ear.snapshot().await;
    let mut first = job(&private).await;
    first.links(&[link(1)]).await;
    assert_eq!(steps(&ear.next().await.unwrap()), [step(&link(1))]);
    first.pool.close().await;

    private.stop().await.unwrap();
    while ear.any().await.unwrap().comment.as_deref() != Some("the database is away") {}
    let private = Private::start(&data).await.unwrap();
    let mut second = job(&private).await;
    for number in 2..5 {
        second.links(&[link(number)]).await;
    }
    let mut heard = Vec::new();
    while heard.len() < 3 {
        let event = ear.next().await.unwrap();
        assert_eq!(event.name, "changes");
        heard.extend(steps(&event));
    }
    assert_eq!(heard, [2, 3, 4].map(|number| step(&link(number))));
    second.pool.close().await;
    server.stop(Duration::from_secs(10)).await;
    private.stop().await.unwrap();
}
