//! Routers of our own on loopback, and the credentials they take.

use routeros_api::server::{Connection, Request};
use routeros_api::{Credentials, Deadlines, LoginForm, Sentence};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Long enough that only a hang reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// Short enough to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

pub(crate) fn credentials() -> Credentials {
    Credentials::new("userTest", "passTest")
}

pub(crate) fn patient() -> Deadlines {
    Deadlines::all(LONG)
}

/// Listens on loopback and serves every connection with `serve`.
pub(crate) async fn listen<F, W>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Takes the login of `credentials()` in the given form; panics if the client fails it.
pub(crate) async fn log_in<S>(io: S, form: LoginForm) -> Connection<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut connection = Connection::new(io);
    assert!(
        connection
            .login(form, |attempt| attempt.accepts(b"passTest"))
            .await
            .unwrap()
    );
    connection
}

/// A router that answers every command with its path and attributes.
pub(crate) async fn echo<S>(mut connection: Connection<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Ok(Some(request)) = connection.next().await {
        answer_echo(&mut connection, &request);
    }
}

fn answer_echo<S>(connection: &mut Connection<S>, request: &Request)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let path = request.path().into_owned();
    let mut properties = vec![(b"path".to_vec(), path.into_bytes())];
    properties.extend(
        request
            .attributes()
            .map(|(name, value)| (name.to_vec(), value.to_vec())),
    );
    connection.replies().re(request.tag(), properties);
    connection.replies().done(request.tag());
}

/// Sentences in wire form; words are parted by spaces, so none may hold one.
pub(crate) fn wire(sentences: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for sentence in sentences {
        Sentence::from_words(sentence.split(' ')).encode(&mut out);
    }
    out
}
