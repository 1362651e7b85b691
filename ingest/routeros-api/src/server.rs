//! The router's side of a session, for simulators and tests.
//!
//! The same codec as the client's, over any channel. [`Connection::next`] sends what was answered before it
//! waits for more, so the answers to pipelined commands leave in one write. An idle connection holds no
//! buffers. After every `!trap` or `!empty` a `done` must follow, as from a real router.
//!
//! What a client sends is capped by [`Limits`]; how long it may take is for the caller to say, around [`Connection::next`] and
//! [`Connection::login`], which can both be given up at any moment.

mod login;
mod reply;
mod request;
mod tls;

pub use login::LoginAttempt;
pub use reply::ReplyWriter;
pub use request::Request;
pub use tls::{LegacyAcceptor, acceptor};

use crate::codec::{DecodeError, Decoder, Limits, display_start};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Bytes read at one go, on the stack.
const READ_BYTES: usize = 4 << 10;

/// Answers queued beyond this are sent before the next request is handed out.
const SEND_BYTES: usize = 64 << 10;

/// Why a server's session ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The client's bytes are no sentences.
    #[error("the client broke the protocol: {0}")]
    Decode(#[from] DecodeError),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// One client's session.
///
/// ```
/// # use routeros_api::{Client, Command, Credentials, Deadlines, LoginForm, LoginPolicy};
/// # use routeros_api::server::Connection;
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (near, far) = tokio::io::duplex(4096);
/// let router = async move {
///     let mut connection = Connection::new(far);
///     let accepted = connection
///         .login(LoginForm::Password, |attempt| {
///             attempt.name() == b"reader" && attempt.accepts(b"secret")
///         })
///         .await?;
///     if !accepted {
///         return Ok(());
///     }
///     while let Some(request) = connection.next().await? {
///         let tag = request.tag();
///         match request.path().as_ref() {
///             "/system/identity/print" => {
///                 connection.replies().re(tag, [("name", "ap-1")]);
///             }
///             _ => connection.replies().trap(tag, "no such command", Some(0)),
///         }
///         connection.replies().done(tag);
///     }
///     Ok::<(), routeros_api::server::ServerError>(())
/// };
/// let caller = async {
///     let credentials = Credentials::new("reader", "secret");
///     let deadlines = Deadlines::all(Duration::from_secs(5));
///     let policy = LoginPolicy::PasswordFirst;
///     let mut client =
///         Client::login_over(Box::new(near), policy, &credentials, &deadlines).await?;
///     let reply = client.call(&Command::new("/system/identity/print")).await?;
///     assert_eq!(reply.rows[0].get("name"), Some(&b"ap-1"[..]));
///     Ok::<(), Box<dyn std::error::Error>>(())
/// };
/// let (served, called) = tokio::join!(router, caller);
/// served?;
/// called
/// # }
/// ```
#[derive(Debug)]
pub struct Connection<S> {
    io: S,
    decoder: Decoder,
    replies: ReplyWriter,
    written: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection on which nothing was said yet. The caps are those before login.
    pub const fn new(io: S) -> Self {
        Self {
            io,
            decoder: Decoder::new(Limits::BEFORE_LOGIN),
            replies: ReplyWriter::new(),
            written: 0,
        }
    }

    /// Sets the caps for requests from now on. [`Connection::login`] does so by itself.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.decoder.set_limits(limits);
    }

    /// Where answers are queued; they leave with [`Connection::next`] or [`Connection::flush`].
    pub const fn replies(&mut self) -> &mut ReplyWriter {
        &mut self.replies
    }

    /// The next request, or `None` when the client closed the connection. Cancel safe.
    ///
    /// # Errors
    /// [`ServerError`]; the session is over.
    pub async fn next(&mut self) -> Result<Option<Request>, ServerError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Whether [`Connection::next`] would give a request without waiting for the client.
    ///
    /// # Errors
    /// [`ServerError::Decode`]; the session is over.
    pub fn next_buffered(&mut self) -> Result<Option<Request>, ServerError> {
        Ok(self.decoder.next_sentence()?.map(Request::new))
    }

    /// Sends the queued answers. Cancel safe.
    ///
    /// # Errors
    /// [`ServerError::Io`]; the session is over.
    pub async fn flush(&mut self) -> Result<(), ServerError> {
        poll_fn(|cx| self.poll_send(cx))
            .await
            .map_err(ServerError::Io)
    }

    /// Sends the queued answers and closes the sending side.
    ///
    /// # Errors
    /// [`ServerError::Io`].
    pub async fn shutdown(mut self) -> Result<(), ServerError> {
        self.flush().await?;
        Ok(self.io.shutdown().await?)
    }

    /// The channel itself, say to break it off.
    pub const fn io(&mut self) -> &mut S {
        &mut self.io
    }

    /// Gives the channel back; what was queued or half received is lost.
    pub fn into_inner(self) -> S {
        self.io
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Request>, ServerError>> {
        loop {
            if self.replies.pending().len() >= SEND_BYTES {
                ready!(self.poll_send(cx))?;
            }
            if let Some(sentence) = self.decoder.next_sentence()? {
                return Poll::Ready(Ok(Some(Request::new(sentence))));
            }
            self.decoder.release();
            // A client that doesn't read its answers gets no more of its requests read.
            ready!(self.poll_send(cx))?;
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let rest @ [_, ..] = &self.replies.pending()[self.written..] {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += sent;
        }
        if self.written > 0 {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.replies.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        self.decoder.feed(bytes);
        if bytes.is_empty() && self.decoder.is_mid_sentence() {
            tracing::debug!("the client left in the midst of a sentence");
        }
        Poll::Ready(Ok(bytes.len()))
    }
}

/// For log lines: the beginning of a path as people read it.
pub(crate) fn shown(path: &[u8]) -> String {
    display_start(path, 64).into_owned()
}
