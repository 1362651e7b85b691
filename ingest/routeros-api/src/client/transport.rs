//! From an address to a channel: TCP, then TLS as the mode says.

use super::{Deadlines, Io, Target, within};
use crate::error::{Error, Step};
use crate::tls::{Fingerprint, TlsMode, TlsStack, legacy};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An open channel, nothing said on it yet.
pub(super) struct Channel {
    pub(super) io: Box<dyn Io>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) tls_version: Option<String>,
    pub(super) tls_stack: Option<TlsStack>,
}

pub(super) async fn open(
    target: &Target,
    deadlines: &Deadlines,
    mode: &TlsMode,
) -> Result<Channel, Error> {
    let Some(config) = mode.config()? else {
        return Ok(Channel {
            io: Box::new(dial_quick(target, deadlines).await?),
            fingerprint: None,
            tls_version: None,
            tls_stack: None,
        });
    };
    let channel = match target.tls_stack {
        TlsStack::Rustls => match by_rustls(target, deadlines, config).await {
            Err(error) if error.lacks_common_suite() => {
                tracing::debug!(%error, "no TLS by rustls; trying OpenSSL");
                by_openssl(target, deadlines, mode).await
            }
            other => other,
        },
        // What it spoke before. It may have been upgraded since.
        TlsStack::OpenSsl => match by_openssl(target, deadlines, mode).await {
            Err(error) if error.lacks_common_suite() => {
                tracing::debug!(%error, "no TLS by OpenSSL; trying rustls");
                match by_rustls(target, deadlines, config).await {
                    Err(other) if other.lacks_common_suite() => Err(error),
                    other => other,
                }
            }
            other => other,
        },
    };
    pinned(channel?, mode)
}

async fn by_rustls(
    target: &Target,
    deadlines: &Deadlines,
    config: Arc<ClientConfig>,
) -> Result<Channel, Error> {
    let name = server_name(target)?;
    let tcp = dial_quick(target, deadlines).await?;
    let handshake = async {
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(Error::tls)
    };
    let stream = within(Step::Tls, deadlines.tls, handshake).await?;
    let fingerprint = leaf(&stream)?;
    let version = stream.get_ref().1.protocol_version();
    Ok(Channel {
        io: Box::new(stream),
        fingerprint: Some(fingerprint),
        tls_version: version.map(|version| format!("{version:?}")),
        tls_stack: Some(TlsStack::Rustls),
    })
}

async fn by_openssl(
    target: &Target,
    deadlines: &Deadlines,
    mode: &TlsMode,
) -> Result<Channel, Error> {
    let connector = legacy::Connector::of(mode)?;
    let name = server_name(target)?.to_str().into_owned();
    let tcp = dial_quick(target, deadlines).await?;
    let stream = within(Step::Tls, deadlines.tls, connector.connect(&name, tcp)).await?;
    Ok(Channel {
        fingerprint: legacy::leaf(&stream)?,
        tls_version: Some(stream.ssl().version_str().replace('.', "_")),
        io: Box::new(stream),
        tls_stack: Some(TlsStack::OpenSsl),
    })
}

/// Lets a channel pass only with the pinned certificate, if one is pinned.
fn pinned(channel: Channel, mode: &TlsMode) -> Result<Channel, Error> {
    match (mode, channel.fingerprint) {
        (&TlsMode::Pinned(Some(expected)), Some(found)) if expected != found => {
            Err(Error::FingerprintMismatch { expected, found })
        }
        (TlsMode::Pinned(_), None) => Err(Error::Tls(rustls::Error::NoCertificatesPresented)),
        _ => Ok(channel),
    }
}

async fn dial_quick(target: &Target, deadlines: &Deadlines) -> Result<TcpStream, Error> {
    let tcp = dial(target.address, deadlines.connect).await?;
    // A poll is one small write: waiting for more to send would only delay it.
    tcp.set_nodelay(true)
        .map_err(|error| Error::io(Step::Connect, error))?;
    Ok(tcp)
}

/// Opens a TCP connection.
pub(super) async fn dial(address: SocketAddr, deadline: Duration) -> Result<TcpStream, Error> {
    let connect = async {
        let stream = TcpStream::connect(address).await;
        stream.map_err(|error| sort(error, address, deadline))
    };
    within(Step::Connect, deadline, connect).await
}

/// Sorts a failed connect: theirs (refused, unreachable) or ours.
fn sort(error: io::Error, address: SocketAddr, deadline: Duration) -> Error {
    use io::ErrorKind as Kind;
    let theirs = match error.kind() {
        // The kernel's own patience ended before ours.
        Kind::TimedOut => {
            return Error::Timeout {
                step: Step::Connect,
                after: deadline,
            };
        }
        Kind::ConnectionRefused | Kind::ConnectionReset | Kind::ConnectionAborted => true,
        // Said by a router on the way, or by our own kernel for want of a route?
        Kind::HostUnreachable | Kind::NetworkUnreachable => has_route(address),
        _ => false,
    };
    let error = Arc::new(error);
    if theirs {
        Error::Refused(error)
    } else {
        Error::Local(error)
    }
}

/// Whether this machine has a route there. Connecting a datagram socket only looks it up: nothing is sent.
fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any)
        .and_then(|socket| socket.connect(address))
        .is_ok()
}

fn server_name(target: &Target) -> Result<ServerName<'static>, Error> {
    match &target.server_name {
        None => Ok(ServerName::from(target.address.ip())),
        Some(name) => ServerName::try_from(name.clone())
            .map_err(|error| Error::Setting(format!("{name:?} is no server name: {error}"))),
    }
}

fn leaf(stream: &TlsStream<TcpStream>) -> Result<Fingerprint, Error> {
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates
        .first()
        .ok_or(Error::Tls(rustls::Error::NoCertificatesPresented))?;
    Ok(Fingerprint::of(certificate))
}
