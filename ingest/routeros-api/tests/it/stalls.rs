//! Where a router can stop, and how: it falls silent, hangs up or resets the connection, at each step and within each part
//! of a sentence. Whoever waits learns which step it was, whose fault, and keeps what was whole.

use crate::support::{LONG, SHORT, credentials, echo, listen, log_in};
use crate::tls::{accept, certificate};
use routeros_api::server::Connection;
use routeros_api::{
    CallError, Client, Command, Deadlines, Error, ErrorClass, Limits, LoginForm, Step, Target,
    TlsMode,
};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Silence,
    Close,
    Reset,
}

const ENDS: [End; 3] = [End::Silence, End::Close, End::Reset];

/// Beginnings of an answer that lack their end, and whether they stop within a sentence.
const PARTS: [(&[u8], bool); 9] = [
    (b"", false),
    (b"\x80", true),
    (b"\xe0\x10\0", true),
    (b"\x05!do", true),
    (b"\x05!done", true),
    (b"\x03!re\x08=name=a", true),
    (b"\0\0", false),
    (b"\x05!trap\0", false),
    (b"\x06!empty\0", false),
];

/// A router that takes as many requests as it has answers, gives them, and then ends that way.
async fn router(answers: Vec<Vec<u8>>, end: End) -> Target {
    let address = listen(move |io| {
        let answers = answers.clone();
        async move {
            let mut connection = Connection::new(io);
            for answer in answers {
                connection.next().await.unwrap().unwrap();
                connection.replies().raw(&answer);
                connection.flush().await.unwrap();
            }
            match end {
                End::Silence => pending::<()>().await,
                End::Close => connection.shutdown().await.unwrap(),
                End::Reset => connection.io().set_zero_linger().unwrap(),
            }
        }
    })
    .await;
    Target::new(address)
}

fn is_that_end(error: &Error, end: End, at: Step, within: bool) -> bool {
    match (end, error) {
        (End::Silence, Error::Timeout { step, after }) => (*step, *after) == (at, SHORT),
        (End::Close, Error::Closed { step, mid_sentence }) => {
            (*step, *mid_sentence) == (at, within)
        }
        // A reset may take away what was sent before it.
        (End::Reset, Error::Io { step, .. } | Error::Closed { step, .. }) => *step == at,
        _ => false,
    }
}

const fn class_of(end: End) -> ErrorClass {
    match end {
        End::Silence => ErrorClass::Timeout,
        End::Close | End::Reset => ErrorClass::Io,
    }
}

/// All parts and ends at once: they wait for the same deadline.
async fn each<F>(check: impl Fn(&'static [u8], bool, End) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut checks = JoinSet::new();
    for (part, within) in PARTS {
        for end in ENDS {
            checks.spawn(check(part, within, end));
        }
    }
    while let Some(done) = checks.join_next().await {
        done.unwrap();
    }
}

fn login_deadline() -> Deadlines {
    Deadlines {
        login: SHORT,
        ..Deadlines::all(LONG)
    }
}

/// In the answer to the first request of a login.
#[tokio::test]
async fn a_login_that_is_not_answered_whole() {
    each(|part, within, end| async move {
        let target = router(vec![part.to_vec()], end).await;
        let result =
            Client::connect(&target, &credentials(), &login_deadline(), &TlsMode::Plain).await;
        let error = result.unwrap_err();
        assert!(
            is_that_end(&error, end, Step::Login, within),
            "{part:?} {end:?}: {error}"
        );
        assert_eq!(error.class(), class_of(end));
    })
    .await;
}

/// In the answer to the response, after a whole challenge.
#[tokio::test]
async fn a_challenge_whose_answer_gets_none() {
    each(|part, within, end| async move {
        let challenge = b"\x05!done\x0b=ret=abc123\0".to_vec();
        let target = router(vec![challenge, part.to_vec()], end).await;
        let result =
            Client::connect(&target, &credentials(), &login_deadline(), &TlsMode::Plain).await;
        let error = result.unwrap_err();
        assert!(
            is_that_end(&error, end, Step::Login, within),
            "{part:?} {end:?}: {error}"
        );
    })
    .await;
}

/// In the answer to a command, behind a whole row.
#[tokio::test]
async fn a_command_that_is_not_answered_whole_keeps_its_rows() {
    each(|part, within, end| async move {
        let answer = [b"\x03!re\x06.tag=1\0", part].concat();
        let target = Target {
            known_modern: true,
            ..router(vec![b"\x05!done\0".to_vec(), answer], end).await
        };
        let deadlines = Deadlines {
            command: SHORT,
            ..Deadlines::all(LONG)
        };
        let mut client = Client::connect(&target, &credentials(), &deadlines, &TlsMode::Plain)
            .await
            .unwrap();
        let Err(CallError::Connection { error, rows }) =
            client.call(&Command::new("/x/print")).await
        else {
            panic!("{part:?} {end:?}: not over");
        };
        assert!(
            is_that_end(&error, end, Step::Command, within),
            "{part:?} {end:?}: {error}"
        );
        assert!(rows.len() == 1 || end == End::Reset, "{part:?} {end:?}");
        assert!(!client.is_open());
        let later = client.call(&Command::new("/x/print")).await.unwrap_err();
        assert_eq!(
            later.class(),
            Some(class_of(end)),
            "the end stays what it was"
        );
    })
    .await;
}

/// A router that logs in and then does what it is told with its socket.
async fn misbehaving<F, W>(then: F) -> Client
where
    F: Fn(TcpStream) -> W + Send + Sync + Clone + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let address = listen(move |io| {
        let then = then.clone();
        async move { then(log_in(io, LoginForm::Challenge).await.into_inner()).await }
    })
    .await;
    let deadlines = Deadlines::all(LONG);
    Client::connect(
        &Target::new(address),
        &credentials(),
        &deadlines,
        &TlsMode::Plain,
    )
    .await
    .unwrap()
}

/// The deadline is for the whole answer: rows that trickle in without an end don't lengthen it, and are kept.
#[tokio::test]
async fn rows_that_trickle_for_ever_end_at_the_deadline() {
    let mut client = misbehaving(|mut io| async move {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while io.write_all(b"\x03!re\x06.tag=1\0").await.is_ok() {
            pace.tick().await;
        }
    })
    .await;
    let mut answers = client.call_many(&[Command::new("/x/print")], SHORT).await;
    let CallError::Connection { error, rows } = answers.remove(0).unwrap_err() else {
        panic!("not over");
    };
    assert!(
        matches!(
            error,
            Error::Timeout {
                step: Step::Command,
                after: SHORT
            }
        ),
        "{error}"
    );
    assert!(!rows.is_empty());
}

/// A peer that sends faster than anybody can read doesn't get to hold the clock.
#[tokio::test]
async fn a_flood_of_nothing_does_not_outrun_the_deadline() {
    let mut client = misbehaving(|mut io| async move {
        let nothing = vec![0; 64 << 10];
        while io.write_all(&nothing).await.is_ok() {}
    })
    .await;
    let answers = client.call_many(&[Command::new("/x/print")], SHORT).await;
    assert_eq!(
        answers[0].as_ref().unwrap_err().class(),
        Some(ErrorClass::Timeout)
    );
}

#[tokio::test]
async fn a_flood_of_answers_to_nothing_ends_the_session() {
    let mut client = misbehaving(|mut io| async move {
        while io.write_all(b"\x03!re\x07.tag=99\0").await.is_ok() {}
    })
    .await;
    client.set_limits(Limits {
        strays: 1_000,
        ..Limits::SESSION
    });
    let error = client.call(&Command::new("/x/print")).await.unwrap_err();
    assert_eq!(error.class(), Some(ErrorClass::ProtocolError), "{error}");
    assert_eq!(client.strays().unknown_tag, 1_001);
}

#[tokio::test]
async fn a_command_with_too_many_rows_ends_the_session() {
    let mut client =
        misbehaving(
            |mut io| async move { while io.write_all(b"\x03!re\x06.tag=1\0").await.is_ok() {} },
        )
        .await;
    client.set_limits(Limits {
        command_rows: 500,
        ..Limits::SESSION
    });
    let error = client.call(&Command::new("/x/print")).await.unwrap_err();
    assert_eq!(error.class(), Some(ErrorClass::ProtocolError), "{error}");
    assert_eq!(error.rows().len(), 501);
}

#[tokio::test]
async fn a_hostile_length_ends_the_session_before_its_bytes() {
    for length in [&b"\xf0\xff\xff\xff\xff"[..], b"\xe0\x20\0\0", b"\xf8"] {
        let mut client = misbehaving(move |mut io| async move {
            io.write_all(length).await.unwrap();
            pending::<()>().await;
        })
        .await;
        let error = client.call(&Command::new("/x/print")).await.unwrap_err();
        assert_eq!(error.class(), Some(ErrorClass::ProtocolError), "{error}");
    }
}

/// One who closes while we still write: what we learn is that the connection is lost, not a timeout.
#[tokio::test]
async fn a_router_that_leaves_while_it_is_written_to() {
    let mut client = misbehaving(|io| async move {
        io.readable().await.unwrap();
        drop(io);
    })
    .await;
    let large = Command::new("/x").attribute("v", vec![b'v'; 16 << 20]);
    let error = client.call(&large).await.unwrap_err();
    assert_eq!(error.class(), Some(ErrorClass::Io), "{error}");
}

/// Saying farewell to one who reads nothing takes no longer than was given for it.
#[tokio::test]
async fn the_farewell_to_a_router_that_reads_nothing_ends() {
    let issued = certificate("127.0.0.1");
    let address = listen(move |io| {
        let acceptor = accept(&issued);
        async move {
            let _open = log_in(acceptor.accept(io).await.unwrap(), LoginForm::Password).await;
            pending::<()>().await;
        }
    })
    .await;
    let target = Target::new(address);
    let deadlines = Deadlines::all(LONG);
    let mut client = Client::connect(&target, &credentials(), &deadlines, &TlsMode::Insecure)
        .await
        .unwrap();
    let large = Command::new("/x").attribute("v", vec![b'v'; 16 << 20]);
    let answers = client.call_many(&[large], SHORT).await;
    assert_eq!(
        answers[0].as_ref().unwrap_err().class(),
        Some(ErrorClass::Timeout)
    );
    tokio::time::timeout(LONG, client.close(SHORT))
        .await
        .unwrap();
}

/// The server's side: one who asks and asks and never reads gets no more asked of us.
#[tokio::test]
async fn a_client_that_reads_no_answers_gets_no_more_requests_read() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let address = listen(move |io| {
        let count = Arc::clone(&count);
        async move {
            let mut connection = log_in(io, LoginForm::Password).await;
            while let Ok(Some(request)) = connection.next().await {
                assert!(connection.replies().pending().len() <= 128 << 10);
                connection
                    .replies()
                    .re(request.tag(), [("v", vec![b'v'; 60 << 10])]);
                connection.replies().done(request.tag());
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"\x06/login\x0e=name=userTest\x12=password=passTest\0")
        .await
        .unwrap();
    let requests = b"\x08/x/print\0".repeat(1 << 20);
    let written = tokio::time::timeout(SHORT, stream.write_all(&requests)).await;
    assert!(written.is_err(), "the server stopped reading");
    assert!(served.load(Ordering::Relaxed) < 10_000);
}

/// The server's side: a client that stops within a request, and then leaves there.
#[tokio::test]
async fn a_client_that_stops_within_a_request() {
    for (part, _) in PARTS.into_iter().filter(|&(_, within)| within) {
        let (sender, mut seen) = tokio::sync::mpsc::channel(2);
        let address = listen(move |io| {
            let sender = sender.clone();
            async move {
                let mut connection = Connection::new(io);
                let waited = tokio::time::timeout(SHORT, connection.next()).await;
                sender.send(waited.is_err()).await.unwrap();
                let end = connection.next().await;
                let left = end.is_ok_and(|request| request.is_none());
                sender.send(left).await.unwrap();
            }
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(part).await.unwrap();
        assert_eq!(seen.recv().await, Some(true), "{part:?} is no request");
        stream.shutdown().await.unwrap();
        assert_eq!(seen.recv().await, Some(true), "{part:?}: the client left");
    }
}

/// The router of these tests is not what fails.
#[tokio::test]
async fn a_router_that_does_not_stop_answers() {
    let address =
        listen(|io| async move { echo(log_in(io, LoginForm::Challenge).await).await }).await;
    let deadlines = Deadlines::all(LONG);
    let mut client = Client::connect(
        &Target::new(address),
        &credentials(),
        &deadlines,
        &TlsMode::Plain,
    )
    .await
    .unwrap();
    assert_eq!(
        client
            .call(&Command::new("/x/print"))
            .await
            .unwrap()
            .rows
            .len(),
        1
    );
}
