//! Real handshakes in each mode, and what must not be believed.

use crate::support::{credentials, echo, listen, log_in, patient};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use routeros_api::server::acceptor;
use routeros_api::{
    Client, Command, Error, ErrorClass, Fingerprint, LoginForm, Target, TlsMode, TrustedRoots,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

/// A certificate by a CA of its own.
pub(crate) struct Issued {
    ca_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Issued {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.chain[0])
    }
}

/// Issues a certificate for `name`, an IP address or a host name.
pub(crate) fn certificate(name: &str) -> Issued {
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    Issued {
        ca_pem: ca.pem(),
        chain: vec![leaf.der().clone()],
        key: key.into(),
    }
}

pub(crate) fn accept(issued: &Issued) -> TlsAcceptor {
    acceptor(issued.chain.clone(), issued.key.clone_key()).unwrap()
}

/// Takes one version alone, and says nothing after the handshake.
pub(crate) fn accept_only(
    issued: &Issued,
    version: &'static rustls::SupportedProtocolVersion,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(issued.chain.clone(), issued.key.clone_key())
        .unwrap();
    config.send_tls13_tickets = 0;
    TlsAcceptor::from(Arc::new(config))
}

/// A router behind TLS that logs in and echoes.
async fn router(acceptor: TlsAcceptor) -> SocketAddr {
    listen(move |io| {
        let acceptor = acceptor.clone();
        async move {
            // A client that distrusts us hangs up: nothing to serve then.
            if let Ok(stream) = acceptor.accept(io).await {
                echo(log_in(stream, LoginForm::Password).await).await;
            }
        }
    })
    .await
}

async fn connect(target: &Target, mode: &TlsMode) -> Result<Client, Error> {
    Client::connect(target, &credentials(), &patient(), mode).await
}

async fn polls(client: &mut Client) {
    let reply = client
        .call(&Command::new("/system/resource/print"))
        .await
        .unwrap();
    assert_eq!(
        reply.rows[0].text("path").as_deref(),
        Some("/system/resource/print")
    );
}

#[tokio::test]
async fn verified_by_address_and_by_name() {
    for (subject, server_name) in [("127.0.0.1", None), ("ap-1.example", Some("ap-1.example"))] {
        let issued = certificate(subject);
        let mode = TlsMode::Verified(TrustedRoots::from_pem(issued.ca_pem.as_bytes()).unwrap());
        let mut target = Target::new(router(accept(&issued)).await);
        target.server_name = server_name.map(str::to_owned);
        let mut client = connect(&target, &mode).await.unwrap();
        assert_eq!(client.info().fingerprint, Some(issued.fingerprint()));
        assert_eq!(client.info().tls_version.as_deref(), Some("TLSv1_3"));
        assert_eq!(client.info().login_form, LoginForm::Password);
        polls(&mut client).await;
    }
}

#[tokio::test]
async fn verified_refuses_another_ca_and_another_name() {
    let issued = certificate("127.0.0.1");
    let target = Target::new(router(accept(&issued)).await);
    let other = TrustedRoots::from_pem(certificate("127.0.0.1").ca_pem.as_bytes()).unwrap();
    let error = connect(&target, &TlsMode::Verified(other))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::TlsFailed);

    let ours = TrustedRoots::from_pem(issued.ca_pem.as_bytes()).unwrap();
    let target = Target {
        server_name: Some("ap-2.example".to_owned()),
        ..target
    };
    let error = connect(&target, &TlsMode::Verified(ours))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::TlsFailed);
}

#[tokio::test]
async fn pinned_learns_at_first_use_and_holds_to_it() {
    let issued = certificate("elsewhere.example");
    let target = Target::new(router(accept(&issued)).await);
    let mut client = connect(&target, &TlsMode::Pinned(None)).await.unwrap();
    polls(&mut client).await;
    let learned = client.info().fingerprint.unwrap();
    assert_eq!(learned, issued.fingerprint());
    let mut client = connect(&target, &TlsMode::Pinned(Some(learned)))
        .await
        .unwrap();
    polls(&mut client).await;
}

#[tokio::test]
async fn pinned_says_nothing_to_another_certificate() {
    let received = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&received);
    let (sender, mut served) = tokio::sync::mpsc::channel(1);
    let issued = certificate("127.0.0.1");
    let acceptor = accept(&issued);
    let address = listen(move |io| {
        let (acceptor, count, sender) = (acceptor.clone(), Arc::clone(&count), sender.clone());
        async move {
            let mut stream = acceptor.accept(io).await.unwrap();
            let mut heard = Vec::new();
            // The client hangs up without a farewell; what counts is what it said before.
            let _ = stream.read_to_end(&mut heard).await;
            count.store(heard.len(), Ordering::SeqCst);
            sender.send(()).await.unwrap();
        }
    })
    .await;
    let expected = Fingerprint([7; 32]);
    let error = connect(&Target::new(address), &TlsMode::Pinned(Some(expected)))
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::TlsFailed);
    assert!(
        matches!(error, Error::FingerprintMismatch { expected: e, found }
        if e == expected && found == issued.fingerprint())
    );
    served.recv().await.unwrap();
    assert_eq!(received.load(Ordering::SeqCst), 0);
}

/// Presents a certificate whose key it doesn't hold.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_copied_certificate_without_its_key_does_not_pass_a_pin() {
    let issued = certificate("127.0.0.1");
    let other_key = certificate("127.0.0.1").key;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = provider.key_provider.load_private_key(other_key).unwrap();
    let impostor = Impostor(Arc::new(CertifiedKey::new(issued.chain.clone(), key)));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(impostor));
    let target = Target::new(router(TlsAcceptor::from(Arc::new(config))).await);
    let mode = TlsMode::Pinned(Some(issued.fingerprint()));
    let error = connect(&target, &mode).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::TlsFailed);
    connect(&target, &TlsMode::Insecure).await.unwrap();
}

#[tokio::test]
async fn insecure_believes_anybody_also_on_tls_1_2() {
    let issued = certificate("elsewhere.example");
    let target = Target::new(router(accept_only(&issued, &rustls::version::TLS12)).await);
    for mode in [
        TlsMode::Insecure,
        TlsMode::Pinned(Some(issued.fingerprint())),
    ] {
        let mut client = connect(&target, &mode).await.unwrap();
        assert_eq!(client.info().tls_version.as_deref(), Some("TLSv1_2"));
        polls(&mut client).await;
    }
}

#[tokio::test]
async fn tls_to_a_plain_port_is_tls_failed() {
    let speaking = listen(|mut io| async move {
        use tokio::io::AsyncWriteExt;
        let _ = io.write_all(b"\x06!fatal\x0dnot logged in\0").await;
    })
    .await;
    let closing = listen(|io| async move { drop(io) }).await;
    for address in [speaking, closing] {
        let error = connect(&Target::new(address), &TlsMode::Insecure)
            .await
            .unwrap_err();
        assert_eq!(error.class(), ErrorClass::TlsFailed, "{error}");
    }
}

#[test]
fn unusable_settings_are_our_fault() {
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let error = TrustedRoots::from_pem(pem.as_bytes()).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Internal);
    }
}
