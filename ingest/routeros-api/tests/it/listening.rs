//! Commands that go on while others come and go.

use crate::pipelining::{client, modern};
use crate::support::{LONG, SHORT, listen};
use routeros_api::{CallError, Client, Command, Error, Limits, Session};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A router with one listen at a time: it tells what comes by the channel. `None` ends the listen as if the
/// router had lost interest; other commands are answered with an empty `!done`.
async fn router() -> (Client, mpsc::UnboundedSender<Option<&'static str>>) {
    let (tell, told) = mpsc::unbounded_channel();
    let told = std::sync::Arc::new(tokio::sync::Mutex::new(told));
    let address = listen(move |io| serve(io, std::sync::Arc::clone(&told))).await;
    (client(address).await, tell)
}

async fn serve(
    io: TcpStream,
    told: std::sync::Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Option<&'static str>>>>,
) {
    let mut connection = modern(io).await;
    let mut told = told.lock().await;
    let mut listening: Option<Vec<u8>> = None;
    loop {
        tokio::select! {
            request = connection.next() => {
                let Ok(Some(request)) = request else { return };
                let tag = request.tag();
                if let Some(Some(cancelled)) = request.cancels() {
                    assert_eq!(listening.take().as_deref(), Some(cancelled));
                    connection.replies().trap(Some(cancelled), "interrupted", Some(2));
                    connection.replies().done(Some(cancelled));
                } else if request.path() == "/interface/listen" {
                    listening = tag.map(<[u8]>::to_vec);
                    continue;
                }
                connection.replies().done(tag);
            }
            name = told.recv(), if listening.is_some() => {
                let Some(name) = name else { return };
                match name {
                    Some(name) => connection.replies().re(listening.as_deref(), [("name", name)]),
                    None => connection.replies().done(listening.take().as_deref()),
                }
            }
        }
        connection.flush().await.unwrap();
    }
}

fn names(rows: &[routeros_api::Sentence]) -> Vec<String> {
    rows.iter()
        .map(|row| row.text("name").unwrap().into_owned())
        .collect()
}

#[tokio::test]
async fn what_changes_is_heard_between_calls_and_while_they_run() {
    let (mut client, tell) = router().await;
    let tag = client.start(&Command::new("/interface/listen"));
    let quiet = client.hear(tag, SHORT).await.unwrap();
    assert_eq!((quiet.rows.len(), quiet.ended), (0, false));
    assert!(client.is_open(), "that nothing came is no failure");

    tell.send(Some("ether1")).unwrap();
    let heard = client.hear(tag, LONG).await.unwrap();
    assert_eq!(
        (names(&heard.rows), heard.ended),
        (vec!["ether1".to_owned()], false)
    );

    // What comes while another command runs waits for its listener, and disturbs nobody.
    tell.send(Some("ether2")).unwrap();
    let mut heard = Vec::new();
    for _ in 0..200 {
        assert_eq!(
            client
                .call(&Command::new("/other"))
                .await
                .unwrap()
                .rows
                .len(),
            0
        );
    }
    while heard.is_empty() {
        heard = client.hear(tag, LONG).await.unwrap().rows;
    }
    assert_eq!(names(&heard), ["ether2"]);

    let last = client.stop(tag, LONG).await.unwrap();
    assert_eq!(last.rows.len(), 0);
    assert!(client.call(&Command::new("/other")).await.is_ok());
    assert_eq!(client.strays().unknown_tag, 0);
}

#[tokio::test]
async fn a_listen_that_the_router_ends_gives_its_last_rows_and_its_end() {
    let (mut client, tell) = router().await;
    let tag = client.start(&Command::new("/interface/listen"));
    tell.send(Some("ether1")).unwrap();
    tell.send(None).unwrap();
    let mut rows = Vec::new();
    loop {
        let heard = client.hear(tag, LONG).await.unwrap();
        rows.extend(names(&heard.rows));
        if heard.ended {
            break;
        }
    }
    assert_eq!(rows, ["ether1"]);
    let over = client.hear(tag, LONG).await.unwrap_err();
    assert_eq!(over.to_string(), "the command's answer was taken before");
    assert!(client.is_open());
}

#[tokio::test]
async fn a_router_that_leaves_ends_the_listening() {
    let (mut client, tell) = router().await;
    let tag = client.start(&Command::new("/interface/listen"));
    tell.send(Some("ether1")).unwrap();
    drop(tell);
    let mut rows = Vec::new();
    let error = loop {
        match client.hear(tag, LONG).await {
            Ok(heard) => rows.extend(names(&heard.rows)),
            Err(error) => break error,
        }
    };
    rows.extend(names(error.rows()));
    assert_eq!(rows, ["ether1"]);
    assert!(matches!(
        error,
        CallError::Connection {
            error: Error::Closed { .. },
            ..
        }
    ));
    assert!(!client.is_open());
}

#[tokio::test]
async fn a_refused_listen_is_a_trap_of_its_own() {
    let address = listen(|io| async {
        let mut connection = modern(io).await;
        while let Ok(Some(request)) = connection.next().await {
            connection
                .replies()
                .trap(request.tag(), "no such command", Some(0));
            connection.replies().done(request.tag());
        }
    })
    .await;
    let mut client = client(address).await;
    let tag = client.start(&Command::new("/nothing/listen"));
    let error = client.hear(tag, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "no such command");
    assert!(client.is_open());
}

#[tokio::test]
async fn one_who_floods_a_listener_that_takes_nothing_is_cut_off() {
    let address = listen(|io| async {
        let mut connection = modern(io).await;
        let Ok(Some(request)) = connection.next().await else {
            return;
        };
        let tag = request.tag().map(<[u8]>::to_vec);
        loop {
            connection
                .replies()
                .re(tag.as_deref(), [("name", "x".repeat(1000))]);
            if connection.flush().await.is_err() {
                return;
            }
        }
    })
    .await;
    let mut client = client(address).await;
    client.set_limits(Limits {
        held_bytes: 64 << 10,
        ..Limits::SESSION
    });
    let tag = client.start(&Command::new("/interface/listen"));
    // Somebody who takes what is told is never cut off, however much it is.
    let mut taken = 0;
    while taken < 500 {
        taken += client.hear(tag, LONG).await.unwrap().rows.len();
    }
    let error = client.call(&Command::new("/other")).await.unwrap_err();
    let CallError::Connection { error, .. } = error else {
        panic!("{error}");
    };
    assert!(matches!(error, Error::RepliesTooLarge { .. }), "{error}");
}

/// A command that goes on for days doesn't keep those after it in memory, and their answers find them.
#[test]
fn an_open_listen_keeps_nothing_of_the_commands_after_it() {
    let mut session = Session::new(Limits::SESSION);
    let listening = session.submit(&Command::new("/interface/listen"));
    for round in 0..100_000_u32 {
        let tag = session.submit(&Command::new("/x"));
        session.sent();
        assert_eq!(tag.number(), round + 2);
        let mut done = Vec::new();
        routeros_api::Sentence::from_words(["!done", &format!(".tag={}", tag.number())])
            .encode(&mut done);
        session.receive(&done).unwrap();
        assert!(session.take(tag).unwrap().is_ok());
        assert!(!session.is_known(tag));
    }
    assert!(session.is_known(listening));
    assert!(
        format!("{session:?}").len() < 2_000,
        "only the listen is left"
    );
    assert_eq!(session.strays().unknown_tag, 0);
}

#[tokio::test]
async fn hearing_can_be_given_up_at_any_moment() {
    let (mut client, tell) = router().await;
    let tag = client.start(&Command::new("/interface/listen"));
    let (mut sent, mut heard) = (0, 0);
    for n in 0..50 {
        if n % 3 == 0 {
            tell.send(Some("ether1")).unwrap();
            sent += 1;
        }
        let patience = Duration::from_micros(n * 37);
        if let Ok(told) = tokio::time::timeout(patience, client.hear(tag, LONG)).await {
            heard += told.unwrap().rows.len();
        }
    }
    while heard < sent {
        heard += client.hear(tag, LONG).await.unwrap().rows.len();
    }
    assert_eq!(heard, sent);
    assert!(client.stop(tag, LONG).await.is_ok());
    assert_eq!(client.strays().unknown_tag, 0);
}
