//! E-mail over SMTP.
//!
//! TLS is from the begin, or by STARTTLS, and then required: a server, or somebody before it, that does not offer STARTTLS gets
//! nothing. STARTTLS is spoken here, byte by byte, and the SMTP client begins anew behind it: so nothing that was said in clear,
//! be it pushed in behind the reply, is ever taken for what was said under TLS.
//!
//! One address that is refused must not keep the others from being told: what some take is sent to those.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::Utc;
use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use mast_schemas::notifications::AttemptOutcome;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::Answer;
use super::dial::Dialer;
use super::mime::compose;
use crate::channel::{Email, SmtpTls};
use crate::notice::Message;
use crate::outcome::{self, Fault};

type Smtp = lettre::transport::smtp::Error;

/// Time for a goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// Most that a server says to one message, in bytes: there are at most 50 addresses.
const SAID_MAX: usize = 256 << 10;
/// Longest reply before TLS, in bytes.
const REPLY_MAX: usize = 8 << 10;

/// Sends a message to all who are told by this channel.
pub(super) async fn send(
    dialer: &Dialer,
    email: &Email,
    message: &Message,
) -> Result<Answer, Fault> {
    let mut connection = open(dialer, email).await?;
    let sent = deliver(&mut connection, email, message).await;
    // What was taken stays taken, however the goodbye ends, and whether it does.
    let _ = tokio::time::timeout(GOODBYE, connection.quit()).await;
    sent
}

async fn open(dialer: &Dialer, email: &Email) -> Result<AsyncSmtpConnection, Fault> {
    let mut stream = dialer.connect(&email.host, email.port).await?;
    let local = stream
        .local_addr()
        .map_err(|e| Fault::Failed(e.to_string()))?;
    let hello = match local.ip() {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => ClientId::Ipv6(address),
    };
    let transport: Box<dyn AsyncTokioStream> = if email.is_implicit() {
        Box::new(Stream::new(
            dialer.secure(&email.host, stream).await?,
            b"",
            local,
        ))
    } else if email.tls == SmtpTls::None {
        Box::new(Stream::new(stream, b"", local))
    } else {
        start_tls(&mut stream, &hello).await?;
        let secure = dialer.secure(&email.host, stream).await?;
        Box::new(Stream::new(secure, b"220 behind STARTTLS\r\n", local))
    };
    let mut connection = AsyncSmtpConnection::connect_with_transport(transport, &hello)
        .await
        .map_err(|e| fault(&e))?;
    if let (Some(user), Some(password)) = (&email.username, &email.password) {
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        let signed_in = connection
            .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
            .await;
        signed_in.map_err(|error| within("sign in", fault(&error)))?;
    }
    Ok(connection)
}

async fn deliver(
    connection: &mut AsyncSmtpConnection,
    email: &Email,
    message: &Message,
) -> Result<Answer, Fault> {
    let address = |text: &String| {
        text.parse::<Address>()
            .map_err(|e| Fault::Refused(format!("{text}: {e}")))
    };
    let from = address(&email.from)?;
    connection
        .command(Mail::new(Some(from), Vec::new()))
        .await
        .map_err(|e| within("MAIL FROM", fault(&e)))?;
    let (mut taken, mut refused, mut may_pass) = (0usize, Vec::new(), false);
    for to in &email.to {
        match connection
            .command(Rcpt::new(address(to)?, Vec::new()))
            .await
        {
            Ok(_) => taken += 1,
            Err(error) if error.status().is_some() => {
                may_pass |= error.is_transient();
                refused.push(format!("{to}: {error}"));
            }
            Err(error) => return Err(fault(&error)),
        }
    }
    let refused = refused.join("; ");
    if taken == 0 {
        return Err(if may_pass {
            Fault::Failed(refused)
        } else {
            Fault::Refused(refused)
        });
    }
    connection
        .command(Data)
        .await
        .map_err(|e| within("DATA", fault(&e)))?;
    let bytes = compose(email, message, Utc::now());
    let reply = connection.message(&bytes).await.map_err(|e| fault(&e))?;
    let said: Vec<&str> = reply.message().collect();
    let said = match refused.is_empty() {
        true => said.join(" "),
        false => format!("{} (but not to {refused})", said.join(" ")),
    };
    Ok(Answer {
        outcome: AttemptOutcome::Delivered,
        status: Some(reply.code().into()),
        reply: outcome::reply(said.as_bytes()),
        asked: None,
    })
}

/// What an error of the client means.
fn fault(error: &Smtp) -> Fault {
    let text = outcome::reply(error.to_string().as_bytes());
    match error.status().map(u16::from).map(outcome::of_smtp) {
        Some(AttemptOutcome::Refused) => Fault::Refused(text),
        _ => Fault::Failed(text),
    }
}

fn within(what: &str, fault: Fault) -> Fault {
    match fault {
        Fault::Failed(why) => Fault::Failed(format!("{what}: {why}")),
        Fault::Refused(why) => Fault::Refused(format!("{what}: {why}")),
    }
}

/// Asks for TLS, in clear. Nothing is read beyond the reply.
async fn start_tls(stream: &mut TcpStream, hello: &ClientId) -> Result<(), Fault> {
    expect(stream, 220).await?;
    say(stream, &format!("EHLO {hello}\r\n")).await?;
    let offers = expect(stream, 250).await?;
    let offers_tls = offers.lines().any(|line| {
        line.get(4..)
            .is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"))
    });
    if !offers_tls {
        let why =
            "the server offers no STARTTLS, and nothing is sent in clear unless `tls` is `none`";
        return Err(Fault::Refused(why.to_owned()));
    }
    say(stream, "STARTTLS\r\n").await?;
    expect(stream, 220).await.map(drop)
}

async fn say(stream: &mut TcpStream, line: &str) -> Result<(), Fault> {
    let said = stream.write_all(line.as_bytes()).await;
    said.map_err(|e| Fault::Failed(format!("before TLS: {e}")))
}

/// Reads one reply, all its lines.
async fn expect(stream: &mut TcpStream, code: u16) -> Result<String, Fault> {
    let (mut reply, mut begin) = (Vec::new(), 0);
    loop {
        let byte = stream
            .read_u8()
            .await
            .map_err(|e| Fault::Failed(format!("before TLS: {e}")))?;
        reply.push(byte);
        if byte == b'\n' {
            // A dash behind the code says that another line follows.
            if reply.get(begin + 3) != Some(&b'-') {
                break;
            }
            begin = reply.len();
        }
        if reply.len() > REPLY_MAX {
            return Err(Fault::Failed("before TLS: the reply has no end".to_owned()));
        }
    }
    let text = String::from_utf8_lossy(&reply).into_owned();
    let told = text
        .get(..3)
        .and_then(|code| code.parse::<u16>().ok())
        .unwrap_or(0);
    if told == code {
        return Ok(text);
    }
    let why = format!("before TLS: {}", outcome::reply(&reply));
    Err(match outcome::of_smtp(told) {
        AttemptOutcome::Refused => Fault::Refused(why),
        _ => Fault::Failed(why),
    })
}

/// A stream that says something of its own first, and hears no more than [`SAID_MAX`]: the client reads lines of any length.
struct Stream<S> {
    inner: S,
    first: &'static [u8],
    address: SocketAddr,
    heard: usize,
}

impl<S> Stream<S> {
    const fn new(inner: S, first: &'static [u8], address: SocketAddr) -> Self {
        Self {
            inner,
            first,
            address,
            heard: 0,
        }
    }
}

impl<S> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            let before = buffer.filled().len();
            let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
            self.heard += buffer.filled().len().saturating_sub(before);
            if self.heard > SAID_MAX {
                return Poll::Ready(Err(io::Error::other("the server's replies have no end")));
            }
            return read;
        }
        let (now, later) = self
            .first
            .split_at(self.first.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.first = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Stream<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
