//! A peer that stops at any byte of the TLS handshake, in each flight: silent, it is a timeout of that step; gone, TLS failed.
//! By both libraries, in both versions.

use crate::legacy_tls;
use crate::support::{LONG, SHORT, credentials, listen};
use crate::tls::{accept_only, certificate};
use routeros_api::{Client, Deadlines, Error, ErrorClass, Step, Target, TlsMode, TlsStack};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Silence,
    Close,
}

/// Passes on what a router says up to `most` bytes, and then nothing more. Counts what it passed on.
async fn gate(router: SocketAddr, most: usize, end: End) -> (SocketAddr, Arc<AtomicUsize>) {
    let passed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&passed);
    let address = listen(move |io| {
        let count = Arc::clone(&count);
        async move {
            let (mut said, mut asked) = TcpStream::connect(router).await.unwrap().into_split();
            let (mut from_client, mut to_client) = io.into_split();
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut from_client, &mut asked).await;
            });
            let mut left = most;
            let mut buffer = vec![0; 4096];
            while left > 0 {
                let Ok(read @ 1..) = said.read(&mut buffer[..left.min(4096)]).await else {
                    break;
                };
                if to_client.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
                count.fetch_add(read, Ordering::Relaxed);
                left -= read;
            }
            if end == End::Silence {
                pending::<()>().await;
            }
        }
    })
    .await;
    (address, passed)
}

async fn stop_at_each_place(router: SocketAddr, tls_stack: TlsStack) {
    let connect = move |address, deadlines: Deadlines| async move {
        let target = Target {
            tls_stack,
            ..Target::new(address)
        };
        Client::connect(&target, &credentials(), &deadlines, &TlsMode::Pinned(None)).await
    };
    // What the whole handshake takes: the router says nothing after it.
    let (address, passed) = gate(router, usize::MAX, End::Silence).await;
    let whole = Deadlines {
        login: SHORT,
        ..Deadlines::all(LONG)
    };
    let error = connect(address, whole).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                step: Step::Login,
                ..
            }
        ),
        "{error}"
    );
    let total = passed.load(Ordering::Relaxed);
    assert!(total > 500, "{total} bytes are no handshake");

    let mut checks = JoinSet::new();
    // Signatures differ by some bytes in length from one handshake to the next: the last place is before any end.
    for most in [0, 1, 5, 60, total / 3, total / 2, total - 40, total - 10] {
        for end in [End::Silence, End::Close] {
            checks.spawn(async move {
                let (address, _) = gate(router, most, end).await;
                let deadlines = Deadlines {
                    tls: if end == End::Silence { SHORT } else { LONG },
                    ..Deadlines::all(LONG)
                };
                let error = connect(address, deadlines).await.unwrap_err();
                let place = format!("{most} of {total} bytes, {end:?}: {error}");
                match end {
                    End::Silence => {
                        let timeout = Error::Timeout {
                            step: Step::Tls,
                            after: SHORT,
                        };
                        assert_eq!(error.to_string(), timeout.to_string(), "{place}");
                        assert_eq!(error.class(), ErrorClass::Timeout);
                    }
                    End::Close => assert_eq!(error.class(), ErrorClass::TlsFailed, "{place}"),
                }
            });
        }
    }
    while let Some(done) = checks.join_next().await {
        done.unwrap();
    }
}

async fn rustls_that_stops(version: &'static rustls::SupportedProtocolVersion) {
    let issued = certificate("127.0.0.1");
    let router = listen(move |io| {
        let acceptor = accept_only(&issued, version);
        async move {
            let _open = acceptor.accept(io).await;
            pending::<()>().await;
        }
    })
    .await;
    stop_at_each_place(router, TlsStack::Rustls).await;
}

#[tokio::test]
async fn tls_1_3_that_stops() {
    rustls_that_stops(&rustls::version::TLS13).await;
}

#[tokio::test]
async fn tls_1_2_that_stops() {
    rustls_that_stops(&rustls::version::TLS12).await;
}

#[tokio::test]
async fn old_suites_that_stop() {
    let acceptor = legacy_tls::dhe_acceptor();
    let router = listen(move |io| {
        let acceptor = acceptor.clone();
        async move {
            let _open = acceptor.accept(io).await;
            pending::<()>().await;
        }
    })
    .await;
    stop_at_each_place(router, TlsStack::OpenSsl).await;
}
