//! From an address to a channel: TCP, then TLS as the mode says.

use super::{Deadlines, Io, Target, within};
use crate::error::{Error, Step};
use crate::tls::{Fingerprint, TlsMode};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An open channel, nothing said on it yet.
pub(super) struct Channel {
    pub(super) io: Box<dyn Io>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) tls_version: Option<String>,
}

pub(super) async fn open(
    target: &Target,
    deadlines: &Deadlines,
    mode: &TlsMode,
) -> Result<Channel, Error> {
    let config = mode.config()?;
    let name = server_name(target)?;
    let dial = async {
        let stream = TcpStream::connect(target.address).await;
        stream.map_err(|error| Error::connect(error, deadlines.connect))
    };
    let tcp = within(Step::Connect, deadlines.connect, dial).await?;
    // A poll is one small write: waiting for more to send would only delay it.
    tcp.set_nodelay(true)
        .map_err(|error| Error::io(Step::Connect, error))?;
    let Some(config) = config else {
        return Ok(Channel {
            io: Box::new(tcp),
            fingerprint: None,
            tls_version: None,
        });
    };
    let handshake = async {
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(Error::tls)
    };
    let stream = within(Step::Tls, deadlines.tls, handshake).await?;
    let fingerprint = leaf(&stream)?;
    if let TlsMode::Pinned(Some(expected)) = *mode
        && expected != fingerprint
    {
        return Err(Error::FingerprintMismatch {
            expected,
            found: fingerprint,
        });
    }
    let version = stream.get_ref().1.protocol_version();
    Ok(Channel {
        io: Box::new(stream),
        fingerprint: Some(fingerprint),
        tls_version: version.map(|version| format!("{version:?}")),
    })
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
