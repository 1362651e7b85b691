//! Whom to trust at the other end of a TLS session.
//!
//! The cryptography provider is passed explicitly: nothing here depends on a process default. Pins are
//! compared after the handshake and before the first byte of ours, so one shared configuration serves
//! every pinned device; the handshake still proves that the peer holds the certificate's key.

pub(crate) mod legacy;

use crate::error::Error;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// SHA-256 of a certificate in DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// How a session is protected. Cheap to clone.
#[derive(Clone, Debug)]
pub enum TlsMode {
    /// The certificate chains to one of these roots and names the address or name dialled.
    Verified(TrustedRoots),
    /// The certificate is this one. `None` = first use: any is taken, and its fingerprint is found in
    /// [`crate::ConnectionInfo::fingerprint`], to be kept.
    Pinned(Option<Fingerprint>),
    /// Encrypted, but whoever is there is believed.
    Insecure,
    /// As insecure, and even a router without any certificate is taken: then the key exchange is anonymous.
    Anonymous,
    /// No TLS at all.
    Plain,
}

impl TlsMode {
    /// The client configuration, or `None` for [`TlsMode::Plain`].
    pub(crate) fn config(&self) -> Result<Option<Arc<ClientConfig>>, Error> {
        static PINNED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        static INSECURE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        let config = match self {
            Self::Plain => return Ok(None),
            Self::Verified(roots) => Arc::clone(&roots.config),
            Self::Pinned(_) => shared(&PINNED, true)?,
            Self::Insecure | Self::Anonymous => shared(&INSECURE, false)?,
        };
        Ok(Some(config))
    }
}

/// Which library speaks TLS with a router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsStack {
    /// rustls: TLS 1.3, and 1.2 with ECDHE.
    #[default]
    Rustls,
    /// OpenSSL: TLS 1.2 with DHE or RSA key exchange, for RouterOS 6.
    OpenSsl,
}

impl fmt::Display for TlsStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rustls => "rustls",
            Self::OpenSsl => "openssl",
        })
    }
}

fn shared(cell: &OnceLock<Arc<ClientConfig>>, check_key: bool) -> Result<Arc<ClientConfig>, Error> {
    if let Some(config) = cell.get() {
        return Ok(Arc::clone(config));
    }
    let config = config_with(Arc::new(AnyCertificate { check_key }))?;
    Ok(Arc::clone(cell.get_or_init(|| config)))
}

/// Roots to verify routers by. Build once and clone: it holds the whole client configuration.
#[derive(Clone)]
pub struct TrustedRoots {
    config: Arc<ClientConfig>,
    legacy: legacy::Connector,
}

impl TrustedRoots {
    /// From the text of one or more PEM certificates.
    ///
    /// # Errors
    /// [`Error::Setting`] when the text holds no certificate, or one that can't be a root.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Setting(format!("can't read the CA certificate: {error}")))?;
        Self::from_der(certificates)
    }

    /// From certificates in DER form.
    ///
    /// # Errors
    /// [`Error::Setting`] when there is none, or one that can't be a root.
    pub fn from_der<'a>(
        certificates: impl IntoIterator<Item = CertificateDer<'a>>,
    ) -> Result<Self, Error> {
        let certificates: Vec<_> = certificates.into_iter().collect();
        let legacy = legacy::Connector::verifying(&certificates)?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate.into_owned())
                .map_err(|error| Error::Setting(format!("unusable CA certificate: {error}")))?;
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| Error::Setting(format!("unusable CA certificates: {error}")))?;
        Ok(Self {
            config: config_with(verifier)?,
            legacy,
        })
    }
}

impl fmt::Debug for TrustedRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustedRoots")
    }
}

/// The one cryptography provider of this crate.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

fn config_with(verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // Sessions stay open for days: tickets would only cost memory.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes any certificate; with `check_key` the peer must prove that it holds the key.
#[derive(Debug)]
struct AnyCertificate {
    check_key: bool,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.check_key {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.check_key {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
