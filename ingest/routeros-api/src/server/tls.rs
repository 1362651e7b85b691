//! TLS for the router's side.

use crate::error::Error;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// An acceptor with this certificate, without tickets or stored sessions: they would only cost memory
/// where thousands of sessions stay open.
///
/// # Errors
/// [`Error::Tls`] when the key doesn't fit the certificate.
pub fn acceptor(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, Error> {
    let mut config = ServerConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(Error::Tls)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
