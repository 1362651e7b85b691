//! OpenSSL, for what rustls rightly refuses and RouterOS 6 offers: DHE and RSA key exchange, and anonymous DH.
//!
//! TLS 1.2 only. Security level 1 (80 bits) admits the 1024-bit groups and keys of old routers; level 0 is for
//! anonymous suites, which no other level has.

use super::{Fingerprint, TlsMode};
use crate::error::Error;
use openssl::error::ErrorStack;
use openssl::ssl::{
    SslConnector, SslConnectorBuilder, SslMethod, SslMode, SslRef, SslVerifyMode, SslVersion,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509VerifyResult};
use std::pin::Pin;
use std::sync::OnceLock;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// Forward secrecy first; RSA key exchange last, for routers that have nothing else.
const SIGNED: &str = "kDHE+aRSA+AES:kRSA+AES:@SECLEVEL=1";
/// Those, then the anonymous ones.
const ANY: &str = "kDHE+aRSA+AES:kRSA+AES:kDHE+aNULL+AES:@SECLEVEL=0";

/// A client configuration; cheap to clone.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: SslConnector,
    checks_name: bool,
}

impl Connector {
    /// Takes certificates by these roots, for the name dialled.
    pub(super) fn verifying(roots: &[impl AsRef<[u8]>]) -> Result<Self, Error> {
        let build = || {
            let mut store = X509StoreBuilder::new()?;
            for root in roots {
                store.add_cert(X509::from_der(root.as_ref())?)?;
            }
            let mut builder = builder(SIGNED)?;
            builder.set_verify(SslVerifyMode::PEER);
            builder.set_cert_store(store.build());
            Ok(Self {
                inner: builder.build(),
                checks_name: true,
            })
        };
        build().map_err(|error: ErrorStack| {
            Error::Setting(format!("unusable CA certificate: {error}"))
        })
    }

    /// Takes any certificate; the handshake proves that the router holds its key.
    fn believing(ciphers: &str) -> Result<Self, Error> {
        let build = || {
            let mut builder = builder(ciphers)?;
            builder.set_verify(SslVerifyMode::NONE);
            Ok(Self {
                inner: builder.build(),
                checks_name: false,
            })
        };
        build().map_err(|error: ErrorStack| Error::Setting(format!("OpenSSL: {error}")))
    }

    /// That of a mode.
    pub(crate) fn of(mode: &TlsMode) -> Result<Self, Error> {
        static SIGNED_ONLY: OnceLock<Connector> = OnceLock::new();
        static ANONYMOUS: OnceLock<Connector> = OnceLock::new();
        let (cell, ciphers) = match mode {
            TlsMode::Plain => return Err(Error::Setting("a plain channel has no TLS".to_owned())),
            TlsMode::Verified(roots) => return Ok(roots.legacy.clone()),
            TlsMode::Pinned(_) | TlsMode::Insecure => (&SIGNED_ONLY, SIGNED),
            TlsMode::Anonymous => (&ANONYMOUS, ANY),
        };
        if let Some(found) = cell.get() {
            return Ok(found.clone());
        }
        let made = Self::believing(ciphers)?;
        Ok(cell.get_or_init(|| made).clone())
    }

    /// The handshake. `name` is a host name or an IP address as text.
    pub(crate) async fn connect(
        &self,
        name: &str,
        tcp: TcpStream,
    ) -> Result<SslStream<TcpStream>, Error> {
        let setting = |error: ErrorStack| Error::Setting(format!("OpenSSL: {error}"));
        let mut configuration = self.inner.configure().map_err(setting)?;
        configuration.set_verify_hostname(self.checks_name);
        configuration.set_use_server_name_indication(name.parse::<std::net::IpAddr>().is_err());
        let ssl = configuration.into_ssl(name).map_err(setting)?;
        let mut stream = SslStream::new(ssl, tcp).map_err(setting)?;
        Pin::new(&mut stream)
            .connect()
            .await
            .map_err(|error| Error::OpenSsl(why(stream.ssl(), error)))?;
        Ok(stream)
    }
}

fn builder(ciphers: &str) -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_cipher_list(ciphers)?;
    // An idle session holds no buffers.
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    Ok(builder)
}

/// The certificate's fingerprint; `None` after an anonymous exchange.
pub(crate) fn leaf(stream: &SslStream<TcpStream>) -> Result<Option<Fingerprint>, Error> {
    let Some(certificate) = stream.ssl().peer_certificate() else {
        return Ok(None);
    };
    let der = certificate
        .to_der()
        .map_err(|error| Error::OpenSsl(error.to_string()))?;
    Ok(Some(Fingerprint::of(&der)))
}

/// OpenSSL's words, and what is wrong with the certificate if that is it.
fn why(ssl: &SslRef, error: openssl::ssl::Error) -> String {
    let verified = ssl.verify_result();
    if verified == X509VerifyResult::OK {
        error.to_string()
    } else {
        format!("{}: {error}", verified.error_string())
    }
}
