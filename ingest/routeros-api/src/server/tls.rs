//! TLS for the router's side.

use crate::error::Error;
use openssl::dh::Dh;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslVersion};
use openssl::x509::X509;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;
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

/// An acceptor as of an old router, with suites that rustls doesn't speak. TLS 1.2 at most. Cheap to clone.
#[derive(Clone)]
pub struct LegacyAcceptor {
    context: SslContext,
}

impl LegacyAcceptor {
    /// With an RSA certificate, and DHE for its only key exchange.
    ///
    /// # Errors
    /// [`Error::Setting`] when certificate or key can't be used.
    pub fn dhe_rsa(certificate_der: &[u8], key_pkcs8_der: &[u8]) -> Result<Self, Error> {
        Self::build("kDHE+aRSA+AES:@SECLEVEL=1", |builder| {
            builder.set_certificate(X509::from_der(certificate_der)?.as_ref())?;
            builder.set_private_key(PKey::private_key_from_pkcs8(key_pkcs8_der)?.as_ref())?;
            builder.check_private_key()
        })
    }

    /// Without a certificate: anonymous Diffie-Hellman, as an api-ssl service to which none was given.
    ///
    /// # Errors
    /// [`Error::Setting`] when OpenSSL was built without it.
    pub fn anonymous() -> Result<Self, Error> {
        Self::build("kDHE+aNULL+AES:@SECLEVEL=0", |_| Ok(()))
    }

    fn build(
        ciphers: &str,
        identify: impl FnOnce(&mut SslContextBuilder) -> Result<(), ErrorStack>,
    ) -> Result<Self, Error> {
        let build = || {
            let mut builder = SslContext::builder(SslMethod::tls_server())?;
            builder.set_max_proto_version(Some(SslVersion::TLS1_2))?;
            builder.set_cipher_list(ciphers)?;
            builder.set_tmp_dh(Dh::get_2048_256()?.as_ref())?;
            builder.set_mode(SslMode::RELEASE_BUFFERS);
            identify(&mut builder)?;
            Ok(Self {
                context: builder.build(),
            })
        };
        build().map_err(|error: ErrorStack| Error::Setting(format!("OpenSSL: {error}")))
    }

    /// The handshake.
    ///
    /// # Errors
    /// When the client has no suite in common with us, or leaves.
    pub async fn accept<S>(&self, io: S) -> io::Result<SslStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = SslStream::new(Ssl::new(&self.context)?, io)?;
        Pin::new(&mut stream)
            .accept()
            .await
            .map_err(io::Error::other)?;
        Ok(stream)
    }
}

impl std::fmt::Debug for LegacyAcceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LegacyAcceptor")
    }
}
