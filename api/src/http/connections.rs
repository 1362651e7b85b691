//! Connections: how many there may be, how long the head of a request may take to come, and how long a peer may take nothing.
//!
//! The trap: a peer that costs us a connection and itself nothing, by sending a head byte by byte, or by never reading what it
//! asked for. A stream that has nothing to say is neither.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// What connections may use.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    /// At once; others wait until one ends.
    pub most: usize,
    /// From the begin of a connection, or the end of an answer, to the end of the next request's head.
    pub head: Duration,
    /// For a peer to take something of what it asked for.
    pub stall: Duration,
}

/// Pause where no connection can be taken, mostly for want of file descriptors, which come back.
const AGAIN: Duration = Duration::from_millis(200);

/// Answers until it is stopped, and then until all requests at hand are answered. Dropping this cuts them.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    sockets: Sockets,
    stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(sockets.most));
    let mut connections = JoinSet::new();
    let taking = async {
        loop {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let serving = connection(stream, peer, router.clone(), sockets, stop.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection was taken");
                    tokio::time::sleep(AGAIN).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = taking => {}
        () = stopped(stop.clone()) => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A sender that is gone stops it too.
async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    sockets: Sockets,
    stop: watch::Receiver<bool>,
) {
    // What is written is whole: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let stream = Patient {
        stream,
        patience: sockets.stall,
        waits: None,
    };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(sockets.head)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = stopped(stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %peer, "a connection ended before its time");
    }
}

/// A stream that fails when its peer has taken nothing for too long.
struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Since the peer took something last.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn taken<T>(&mut self, cx: &mut Context<'_>, took: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if took.is_ready() {
            self.waits = None;
            return took;
        }
        let patience = self.patience;
        let waits = self
            .waits
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        waits
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let took = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.taken(cx, took)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let took = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.taken(cx, took)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
