//! Connecting: a name is resolved here, once, its addresses are checked, and the very address that was checked is connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::NotifyError;
use crate::guard::Guard;
use crate::outcome::Fault;

/// Who knows the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// Its addresses, the one to try first first.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// This machine's own resolver.
#[derive(Clone, Copy, Debug)]
pub struct System;

#[async_trait]
impl Resolve for System {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// An authority that is trusted beside this machine's own.
#[derive(Clone, Debug)]
pub struct Authority(CertificateDer<'static>);

impl Authority {
    /// All certificates of a PEM text.
    ///
    /// # Errors
    /// [`NotifyError::Authority`] where there is none, or one that can't be an authority.
    pub fn read(pem: &[u8]) -> Result<Vec<Self>, NotifyError> {
        let bad = |why: &dyn std::fmt::Display| NotifyError::Authority(why.to_string());
        let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let read = read.map_err(|e| bad(&e))?;
        let mut roots = RootCertStore::empty();
        for certificate in &read {
            roots.add(certificate.clone()).map_err(|e| bad(&e))?;
        }
        match read.is_empty() {
            true => Err(bad(&"there is no certificate in it")),
            false => Ok(read.into_iter().map(Self).collect()),
        }
    }
}

/// So many addresses of a name are tried.
const TRIED: usize = 4;

/// What connects. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dialer {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    authorities: Arc<[Authority]>,
    /// Made when it is first needed: reading this machine's authorities takes a while.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
    patience: Duration,
}

impl Dialer {
    pub(super) fn new(
        guard: Guard,
        resolver: Arc<dyn Resolve>,
        authorities: Vec<Authority>,
        patience: Duration,
    ) -> Self {
        let authorities = authorities.into();
        Self {
            guard,
            resolver,
            authorities,
            tls: Arc::default(),
            patience,
        }
    }

    /// Trusts this machine's authorities, and those that it was given.
    fn tls(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(made) = self.tls.get() {
            return Ok(Arc::clone(made));
        }
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some of this machine's authorities can't be read");
        }
        let ours = self.authorities.iter().map(|authority| authority.0.clone());
        roots.add_parsable_certificates(system.certs.into_iter().chain(ours));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let made = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(made))))
    }

    pub(super) const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Connects to a host, a name or an address.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let addresses = match bare.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolve(host).await?,
        };
        let (open, closed): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .map(|a| (a, self.guard.check(a)))
            .partition(|(_, checked)| checked.is_ok());
        if open.is_empty() {
            let why = closed.into_iter().find_map(|(_, checked)| checked.err());
            return Err(why.map_or_else(
                || Fault::Failed(format!("{host} has no address")),
                |why| Fault::Refused(format!("{host}: {why}")),
            ));
        }
        let mut last = String::new();
        for (address, _) in open.into_iter().take(TRIED) {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            last = match tokio::time::timeout(self.patience, connecting).await {
                Ok(Ok(stream)) => {
                    // A lost hint costs some milliseconds.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => format!("connect to {host} ({address}) port {port}: {error}"),
                Err(_) => format!(
                    "connect to {host} ({address}) port {port}: no answer within {} ms",
                    self.patience.as_millis()
                ),
            };
        }
        Err(Fault::Failed(last))
    }

    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Fault> {
        match tokio::time::timeout(self.patience, self.resolver.addresses(host)).await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(Fault::Failed(format!("look up {host}: {error}"))),
            Err(_) => Err(Fault::Failed(format!(
                "look up {host}: no answer within {} ms",
                self.patience.as_millis()
            ))),
        }
    }

    /// TLS over a connection, to who can prove to be `host`.
    pub(super) async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Fault> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            Fault::Refused(format!("{host} is no name that a certificate can have"))
        })?;
        let tls = self.tls().map_err(|e| Fault::Failed(format!("TLS: {e}")))?;
        let handshake = TlsConnector::from(tls).connect(name, stream);
        match tokio::time::timeout(self.patience, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Fault::Failed(format!("TLS with {host}: {error}"))),
            Err(_) => Err(Fault::Failed(format!(
                "TLS with {host}: no answer within {} ms",
                self.patience.as_millis()
            ))),
        }
    }
}
