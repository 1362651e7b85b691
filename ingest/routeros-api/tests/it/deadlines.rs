//! A peer that falls silent at each step: the step is named, and nothing hangs.

use crate::support::{LONG, SHORT, credentials, listen, log_in};
use crate::tls::{accept, certificate};
use routeros_api::client::probe;
use routeros_api::server::Connection;
use routeros_api::{
    CallError, Client, Command, Deadlines, Error, ErrorClass, LoginForm, Step, Target, TlsMode,
};
use std::future::pending;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Only the step in question is short.
fn short(step: Step) -> Deadlines {
    let mut deadlines = Deadlines::all(LONG);
    match step {
        Step::Connect => deadlines.connect = SHORT,
        Step::Tls => deadlines.tls = SHORT,
        Step::Login => deadlines.login = SHORT,
        Step::Command => deadlines.command = SHORT,
    }
    deadlines
}

fn assert_timeout(error: &Error, expected: Step) {
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(
        matches!(error, Error::Timeout { step, after: SHORT } if *step == expected),
        "{error}"
    );
}

async fn fails_at(target: &Target, mode: &TlsMode, step: Step) {
    let error = Client::connect(target, &credentials(), &short(step), mode)
        .await
        .unwrap_err();
    assert_timeout(&error, step);
}

#[tokio::test]
async fn silence_while_connecting() {
    // A full accept queue drops further connection requests without an answer, as dead hosts do.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        fillers.push(filler.unwrap());
    }
    fails_at(&Target::new(address), &TlsMode::Plain, Step::Connect).await;
}

#[tokio::test]
async fn silence_in_the_tls_handshake() {
    let address = listen(|io| async move {
        let _open = io;
        pending::<()>().await;
    })
    .await;
    for mode in [TlsMode::Insecure, TlsMode::Pinned(None)] {
        fails_at(&Target::new(address), &mode, Step::Tls).await;
    }
}

#[tokio::test]
async fn silence_at_login() {
    let address = listen(|io| async move {
        let _open = io;
        pending::<()>().await;
    })
    .await;
    fails_at(&Target::new(address), &TlsMode::Plain, Step::Login).await;

    let issued = certificate("127.0.0.1");
    let address = listen(move |io| {
        let acceptor = accept(&issued);
        async move {
            let _open = acceptor.accept(io).await.unwrap();
            pending::<()>().await;
        }
    })
    .await;
    fails_at(&Target::new(address), &TlsMode::Insecure, Step::Login).await;
}

#[tokio::test]
async fn silence_after_the_challenge() {
    let address = listen(|io| async move {
        let mut connection = Connection::new(io);
        let request = connection.next().await.unwrap().unwrap();
        connection.replies().done_ret(request.tag(), "abc123");
        connection.flush().await.unwrap();
        pending::<()>().await;
    })
    .await;
    fails_at(&Target::new(address), &TlsMode::Plain, Step::Login).await;
}

#[tokio::test]
async fn a_byte_now_and_then_does_not_lengthen_the_deadline() {
    let address = listen(|mut io| async move {
        // Rows without end, never a `!done`.
        while io.write_all(b"\x03!re\0").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    fails_at(&Target::new(address), &TlsMode::Plain, Step::Login).await;
}

#[tokio::test]
async fn silence_in_a_reply_keeps_what_was_whole() {
    let address = listen(|io| async move {
        let mut connection = log_in(io, LoginForm::Challenge).await;
        connection.next().await.unwrap().unwrap();
        connection.replies().re(Some(b"1"), [("n", "1")]);
        connection.replies().done(Some(b"1"));
        connection.replies().re(Some(b"2"), [("n", "2")]);
        connection.replies().raw(b"\x03!re\x06.tag=2\x04=n=");
        connection.flush().await.unwrap();
        pending::<()>().await;
    })
    .await;
    let target = Target::new(address);
    let mut client = Client::connect(
        &target,
        &credentials(),
        &short(Step::Command),
        &TlsMode::Plain,
    )
    .await
    .unwrap();
    let plan = ["/one", "/two", "/three"].map(Command::new);
    let answers = client.call_many(&plan, SHORT).await;
    assert_eq!(answers[0].as_ref().unwrap().rows.len(), 1);
    for (answer, whole) in answers[1..].iter().zip([1, 0]) {
        let CallError::Connection { error, rows } = answer.as_ref().unwrap_err() else {
            panic!("not a trap");
        };
        assert_timeout(error, Step::Command);
        assert_eq!(rows.len(), whole);
    }
    assert!(!client.is_open());
    let later = client.call(&Command::new("/four")).await.unwrap_err();
    assert_eq!(later.class(), Some(ErrorClass::Timeout));
}

#[tokio::test]
async fn a_router_that_reads_nothing_is_a_timeout_too() {
    let address = listen(|io| async move {
        let _open = log_in(io, LoginForm::Challenge).await;
        pending::<()>().await;
    })
    .await;
    let target = Target::new(address);
    let mut client = Client::connect(
        &target,
        &credentials(),
        &Deadlines::all(LONG),
        &TlsMode::Plain,
    )
    .await
    .unwrap();
    // More than the buffers of a loopback connection hold.
    let large = Command::new("/x").attribute("v", vec![b'v'; 16 << 20]);
    let answers = client.call_many(&[large], SHORT).await;
    assert_eq!(
        answers[0].as_ref().unwrap_err().class(),
        Some(ErrorClass::Timeout)
    );
}

#[tokio::test]
async fn an_uncancellable_command_still_ends() {
    let address = listen(|io| async move {
        let mut connection = log_in(io, LoginForm::Challenge).await;
        let request = connection.next().await.unwrap().unwrap();
        connection.replies().re(request.tag(), [("n", "1")]);
        while let Ok(Some(_)) = connection.next().await {}
    })
    .await;
    let target = Target::new(address);
    let mut client = Client::connect(
        &target,
        &credentials(),
        &Deadlines::all(LONG),
        &TlsMode::Plain,
    )
    .await
    .unwrap();
    let error = client
        .call_some(&Command::new("/monitor"), 1, LONG, SHORT)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Some(ErrorClass::Timeout));
    assert_eq!(error.rows().len(), 1);
}

#[tokio::test]
async fn a_closed_port_is_refused_not_timed_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new(listener.local_addr().unwrap());
    drop(listener);
    let result = Client::connect(
        &target,
        &credentials(),
        &Deadlines::all(LONG),
        &TlsMode::Plain,
    )
    .await;
    assert_eq!(result.unwrap_err().class(), ErrorClass::Refused);
}

#[tokio::test]
async fn a_want_of_ours_is_not_the_devices_fault() {
    // TCP has no route to the broadcast address on any machine.
    let target = Target::new("255.255.255.255:8728".parse().unwrap());
    let result = Client::connect(
        &target,
        &credentials(),
        &Deadlines::all(LONG),
        &TlsMode::Plain,
    )
    .await;
    assert_eq!(result.unwrap_err().class(), ErrorClass::Internal);
}

#[tokio::test]
async fn a_probe_tells_an_open_port_from_a_closed_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    probe(address, LONG).await.unwrap();
    drop(listener);
    assert_eq!(
        probe(address, LONG).await.unwrap_err().class(),
        ErrorClass::Refused
    );
}
