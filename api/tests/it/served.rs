//! The service on a socket.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use mast_api::{ApiConfig, Server};
use mast_postgres::{Role, impatient_pool};
use mast_query::{Engine, EngineConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ear::{Ear, Job, Link};
use crate::world::{A, World};

/// The service over a world, on a socket, set otherwise.
pub(crate) async fn serve(world: &World, change: impl FnOnce(&mut ApiConfig)) -> Server {
    let pool = || impatient_pool(world.database.options(Role::Api), 3, Duration::from_secs(5));
    let lake = world.folder.path().join("lake");
    let engine = Engine::new(EngineConfig::new(pool(), lake)).unwrap();
    let mut config = ApiConfig::new(pool(), engine, Arc::clone(&world.keys));
    change(&mut config);
    Server::start(([127, 0, 0, 1], 0).into(), config)
        .await
        .unwrap()
}

async fn until_closed(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_request_at_hand_is_answered_before_the_end() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let token = world.viewer().await.token.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let body = r#"{"sql":"SELECT count(*) AS n FROM generate_series(1, 3000000)"}"#;
    let request = format!(
        "POST /api/v1/sql HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // The head is answered once the request is at hand.
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let address = server.address();
    server.stop(Duration::from_secs(30)).await;
    let rest = until_closed(&mut stream).await;
    assert!(rest.contains("3000000"), "{rest}");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_its_connection_and_no_stream() {
    let world = World::new().await;
    let server = serve(&world, |config| {
        config.sockets.head = Duration::from_millis(300);
    })
    .await;
    let token = world.viewer().await.token.unwrap();
    let mut ear = Ear::open(server.address(), &token, "?views=links", None).await;
    ear.snapshot().await;
    for begun in ["", "G", "GET /health HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let answer = until_closed(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let mut job = Job::of(&world).await;
    job.links(&[Link {
        tenant: A.tenant(),
        ap: A.ap(),
        mac: 1,
        state: None,
        number: 1,
        interface: String::new(),
    }])
    .await;
    assert_eq!(ear.next().await.unwrap().name, "changes");
}

#[tokio::test]
async fn there_are_so_many_connections_and_others_wait_for_one_to_end() {
    let world = World::new().await;
    let server = serve(&world, |config| {
        config.sockets.most = 1;
        config.sockets.head = Duration::from_millis(500);
    })
    .await;
    let idle = TcpStream::connect(server.address()).await.unwrap();
    let mut waits = TcpStream::connect(server.address()).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    waits.write_all(request).await.unwrap();
    assert!(until_closed(&mut waits).await.contains("alive"));
    // Never blocks: it says what is so by now.
    let ended = idle.into_std().unwrap().read(&mut [0]);
    assert!(matches!(ended, Ok(0)), "the first had to end: {ended:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let world = World::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let pool = impatient_pool(world.database.options(Role::Api), 1, Duration::from_secs(5));
    let lake = world.folder.path().join("lake");
    let engine = Engine::new(EngineConfig::new(pool.clone(), lake)).unwrap();
    let config = ApiConfig::new(pool, engine, Arc::clone(&world.keys));
    let refused = Server::start(taken.local_addr().unwrap(), config).await;
    let error = refused.err().unwrap().to_string();
    assert!(
        error.contains(&taken.local_addr().unwrap().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn health_is_open_and_says_little() {
    let world = World::new().await;
    let nobody = world.nobody();
    assert_eq!(nobody.get("/health").await.text(), r#"{"state":"alive"}"#);
    assert_eq!(
        nobody.get("/health/ready").await.text(),
        r#"{"state":"ready"}"#
    );
}
