//! What the fleet's api-ssl services offer.

use std::sync::OnceLock;

use routeros_api::server::{LegacyAcceptor, acceptor};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    certificate::{modern_certificate, old_certificate},
    error::SimulatorError,
    world::model::Tls,
};

/// One certificate of each kind.
struct Keys {
    modern: TlsAcceptor,
    dhe: LegacyAcceptor,
}

impl Keys {
    fn new(seed: u64) -> Result<Self, SimulatorError> {
        let broken = |error: routeros_api::Error| SimulatorError::Certificate(error.to_string());
        let (certificate, key) = modern_certificate(seed)?;
        let (old_certificate, old_key) = old_certificate(seed)?;
        Ok(Self {
            modern: acceptor(vec![certificate], key).map_err(broken)?,
            dhe: LegacyAcceptor::dhe_rsa(&old_certificate, old_key.secret_der()).map_err(broken)?,
        })
    }
}

/// The doors of all devices. Those of a seed are the same after a restart, so a client that pinned
/// a certificate finds it again.
pub(crate) struct Doors {
    seed: u64,
    keys: Keys,
    /// What devices show that changed their certificate; made when the first one does.
    changed: OnceLock<Keys>,
    anonymous: LegacyAcceptor,
}

/// A connection with TLS.
pub(crate) enum Opened<'a> {
    Modern(Box<TlsStream<&'a mut TcpStream>>),
    Old(SslStream<&'a mut TcpStream>),
}

impl Doors {
    pub(crate) fn new(seed: u64) -> Result<Self, SimulatorError> {
        let broken = |error: routeros_api::Error| SimulatorError::Certificate(error.to_string());
        Ok(Self {
            seed,
            keys: Keys::new(seed)?,
            changed: OnceLock::new(),
            anonymous: LegacyAcceptor::anonymous().map_err(broken)?,
        })
    }

    /// The handshake of a service of this kind.
    pub(crate) async fn open<'a>(
        &self,
        tls: Tls,
        changed: bool,
        socket: &'a mut TcpStream,
    ) -> std::io::Result<Opened<'a>> {
        let keys = if changed { self.changed()? } else { &self.keys };
        match tls {
            Tls::Off | Tls::Modern => {
                let stream = keys.modern.accept(socket).await?;
                Ok(Opened::Modern(Box::new(stream)))
            }
            Tls::Dhe => keys.dhe.accept(socket).await.map(Opened::Old),
            Tls::Anonymous => self.anonymous.accept(socket).await.map(Opened::Old),
        }
    }

    fn changed(&self) -> std::io::Result<&Keys> {
        if self.changed.get().is_none() {
            let keys = Keys::new(!self.seed).map_err(std::io::Error::other)?;
            // Whoever was first: the keys are the same.
            let _ = self.changed.set(keys);
        }
        self.changed
            .get()
            .ok_or_else(|| std::io::Error::other("no certificate was made"))
    }
}
