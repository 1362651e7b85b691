//! Many commands at once, over a real socket.

use crate::support::{LONG, credentials, echo, listen, log_in, patient};
use routeros_api::server::Connection;
use routeros_api::{CallError, Client, Command, LoginForm, LoginPolicy, Sentence, Target, TlsMode};
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(crate) async fn client(address: SocketAddr) -> Client {
    let target = Target {
        known_modern: true,
        ..Target::new(address)
    };
    Client::connect(&target, &credentials(), &patient(), &TlsMode::Plain)
        .await
        .unwrap()
}

pub(crate) async fn modern(io: TcpStream) -> Connection<TcpStream> {
    log_in(io, LoginForm::Password).await
}

#[tokio::test]
async fn a_poll_of_pipelined_commands_is_answered_in_order() {
    let mut client = client(listen(|io| async { echo(modern(io).await).await }).await).await;
    for poll in 0..3 {
        let plan: Vec<_> = (0..20)
            .map(|n| Command::new(format!("/menu{n}/print")).attribute("poll", poll.to_string()))
            .collect();
        let answers = client.call_many(&plan, LONG).await;
        for (n, answer) in answers.into_iter().enumerate() {
            let row = &answer.unwrap().rows[0];
            assert_eq!(row.text("path").unwrap(), format!("/menu{n}/print"));
            assert_eq!(row.text("poll").unwrap(), poll.to_string());
        }
    }
    assert!(client.call_many(&[], LONG).await.is_empty());
    assert!(client.is_open());
}

#[tokio::test]
async fn more_words_than_both_socket_buffers_hold_do_not_block() {
    let mut client = client(listen(|io| async { echo(modern(io).await).await }).await).await;
    let value = "v".repeat(200);
    let plan: Vec<_> = (0..20_000)
        .map(|n| {
            Command::new("/x")
                .attribute("n", n.to_string())
                .attribute("v", &value)
        })
        .collect();
    // 80,000 words and 5 MB each way.
    let answers = client.call_many(&plan, LONG).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().rows[0].text("n").unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn answers_are_read_while_commands_are_still_being_written() {
    let (near, far) = tokio::io::duplex(512);
    tokio::spawn(async { echo(log_in(far, LoginForm::Password).await).await });
    let policy = LoginPolicy::PasswordFirst;
    let mut client = Client::login_over(Box::new(near), policy, &credentials(), &patient())
        .await
        .unwrap();
    // Answers of one request alone fill the channel, and so do the requests.
    let plan = vec![Command::new("/x").attribute("v", "v".repeat(100_000)); 20];
    for answer in client.call_many(&plan, LONG).await {
        assert_eq!(answer.unwrap().rows[0].get("v").unwrap().len(), 100_000);
    }
}

#[tokio::test]
async fn a_trap_fails_its_command_and_no_other() {
    let address = listen(|io| async {
        let mut connection = modern(io).await;
        while let Ok(Some(request)) = connection.next().await {
            let tag = request.tag();
            match request.path().as_ref() {
                "/trap" => connection.replies().trap(tag, "no such command", Some(0)),
                "/empty" => connection.replies().empty(tag),
                "/odd" => connection
                    .replies()
                    .sentence(&Sentence::from_words(["!odd"])),
                _ => connection.replies().re(tag, [("a", "1")]),
            }
            connection.replies().done(tag);
        }
    })
    .await;
    let mut client = client(address).await;
    let plan = ["/one", "/trap", "/empty", "/odd", "/two"].map(Command::new);
    let answers = client.call_many(&plan, LONG).await;
    assert_eq!(answers[0].as_ref().unwrap().rows.len(), 1);
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!(
        (error.class(), error.to_string().as_str()),
        (None, "no such command")
    );
    assert_eq!(answers[2].as_ref().unwrap().rows.len(), 0);
    assert_eq!(answers[3].as_ref().unwrap().rows.len(), 0);
    assert_eq!(answers[4].as_ref().unwrap().rows.len(), 1);
    assert!(client.is_open());
    assert_eq!(client.strays().unknown_word, 1);
}

#[tokio::test]
async fn fatal_keeps_whole_answers_and_ends_the_rest() {
    let address = listen(|io| async {
        let mut connection = modern(io).await;
        let first = connection.next().await.unwrap().unwrap();
        connection.replies().re(first.tag(), [("a", "1")]);
        connection.replies().done(first.tag());
        connection.replies().fatal("session terminated on request");
        connection.shutdown().await.unwrap();
    })
    .await;
    let mut client = client(address).await;
    let answers = client
        .call_many(&["/one", "/quit"].map(Command::new), LONG)
        .await;
    assert_eq!(answers[0].as_ref().unwrap().rows.len(), 1);
    let error = answers[1].as_ref().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the router ended the session: session terminated on request"
    );
    assert!(!client.is_open());
    let again = client.call(&Command::new("/one")).await.unwrap_err();
    assert_eq!(
        again.to_string(),
        error.to_string(),
        "a later call says why"
    );
}

/// A router whose `/monitor` sends two rows and then waits to be cancelled.
async fn monitoring(io: TcpStream) {
    let mut connection = modern(io).await;
    let mut running = None;
    while let Ok(Some(request)) = connection.next().await {
        let tag = request.tag();
        if let Some(Some(cancelled)) = request.cancels() {
            assert_eq!(running.as_deref(), Some(cancelled));
            connection
                .replies()
                .trap(Some(cancelled), "interrupted", Some(2));
            connection.replies().done(tag);
            connection.replies().done(Some(cancelled));
        } else {
            running = tag.map(<[u8]>::to_vec);
            connection.replies().re(tag, [("n", "1")]);
            connection.replies().re(tag, [("n", "2")]);
        }
    }
}

#[tokio::test]
async fn an_endless_command_is_cancelled_after_its_rows() {
    let mut client = client(listen(monitoring).await).await;
    for _ in 0..2 {
        let reply = client
            .call_some(&Command::new("/monitor"), 2, LONG, LONG)
            .await
            .unwrap();
        assert_eq!(reply.rows.len(), 2);
    }
    let run_for = std::time::Duration::from_millis(50);
    let reply = client
        .call_some(&Command::new("/monitor"), 5, run_for, LONG)
        .await
        .unwrap();
    assert_eq!(reply.rows.len(), 2, "the time was up before five rows");
    assert!(client.is_open());
}

#[tokio::test]
async fn a_started_command_can_be_cancelled_by_hand() {
    let mut client = client(listen(monitoring).await).await;
    let tag = client.start(&Command::new("/monitor"));
    let cancel = client.cancel(tag);
    let answers = client.gather(&[tag, cancel], LONG).await;
    let error = answers[0].as_ref().unwrap_err();
    assert!(error.is_interrupted());
    assert_eq!(error.rows().len(), 2);
    assert!(answers[1].is_ok());
    let again = client.finish(tag, LONG).await.unwrap_err();
    assert_eq!(again.to_string(), "the command's answer was taken before");
    assert!(client.is_open());
}

#[tokio::test]
async fn queries_and_proplists_reach_the_router() {
    let address = listen(|io| async {
        let mut connection = modern(io).await;
        let rows = [
            [("name", "ether1"), ("type", "ether")],
            [("name", "wlan1"), ("type", "wlan")],
        ];
        while let Ok(Some(request)) = connection.next().await {
            let (filter, list) = (request.filter(), request.proplist());
            for row in rows {
                let value = |name: &[u8]| {
                    let found = row.iter().find(|(known, _)| known.as_bytes() == name);
                    found.map(|(_, value)| value.as_bytes())
                };
                if filter.matches(value) {
                    let shown = row.into_iter().filter(|(name, _)| list.allows(name));
                    connection.replies().re(request.tag(), shown);
                }
            }
            connection.replies().done(request.tag());
        }
    })
    .await;
    let mut client = client(address).await;
    let command = Command::new("/interface/print")
        .proplist(["name"])
        .query_equals("type", "wlan");
    let reply = client.call(&command).await.unwrap();
    assert_eq!(reply.rows.len(), 1);
    let attributes: Vec<_> = reply.rows[0].attributes().collect();
    assert_eq!(attributes, [(&b"name"[..], &b"wlan1"[..])]);
}

#[tokio::test]
async fn any_bytes_end_a_servers_session_without_harm() {
    use tokio::io::AsyncWriteExt;
    let mut seed = 1u64;
    for length in 0..200 {
        let (mut near, far) = tokio::io::duplex(64);
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 58) as u8
            })
            .collect();
        let server = async {
            let mut connection = Connection::new(far);
            while let Ok(Some(_)) = connection.next().await {}
        };
        let client = async {
            // A refused sentence closes the channel under the writer: that is fine.
            let _ = near.write_all(&bytes).await;
            drop(near);
        };
        let both = async { tokio::join!(server, client) };
        tokio::time::timeout(LONG, both).await.expect("no hang");
    }
}

#[tokio::test]
async fn a_lost_connection_says_so_for_every_command() {
    let address = listen(|io| async {
        let mut connection = modern(io).await;
        connection.next().await.unwrap();
    })
    .await;
    let mut client = client(address).await;
    let answers = client
        .call_many(&["/one", "/two"].map(Command::new), LONG)
        .await;
    for answer in answers {
        assert!(matches!(answer, Err(CallError::Connection { .. })));
    }
}

#[tokio::test]
async fn a_dropped_call_shifts_no_later_answer() {
    let mut client = client(listen(|io| async { echo(modern(io).await).await }).await).await;
    for n in 0..20 {
        let dropped = ["/dropped", "/dropped/too"].map(Command::new);
        {
            let mut call = std::pin::pin!(client.call_many(&dropped, LONG));
            // Sent, but left before the answer.
            let waker = std::task::Waker::noop();
            let polled = call
                .as_mut()
                .poll(&mut std::task::Context::from_waker(waker));
            assert!(polled.is_pending());
        }
        let answer = client
            .call(&Command::new(format!("/kept{n}")))
            .await
            .unwrap();
        assert_eq!(answer.rows.len(), 1);
        assert_eq!(answer.rows[0].text("path").unwrap(), format!("/kept{n}"));
    }
    assert_eq!(
        client.strays().unknown_tag,
        20 * 4,
        "rows and ends of the dropped commands"
    );
}
