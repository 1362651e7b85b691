//! Routers that speak DHE alone, or have no certificate at all: real handshakes with OpenSSL's server.

use crate::support::{LONG, credentials, echo, listen, log_in, patient};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};
use routeros_api::server::LegacyAcceptor;
use routeros_api::{
    Client, Command, Error, ErrorClass, Fingerprint, LoginForm, Target, TlsMode, TlsStack,
    TrustedRoots,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// An RSA certificate by a CA of its own: routers' keys are RSA, which rcgen doesn't make.
struct Issued {
    ca: X509,
    certificate: X509,
    key: PKey<Private>,
}

fn common_name(name: &str) -> X509Name {
    let mut builder = X509NameBuilder::new().unwrap();
    builder.append_entry_by_text("CN", name).unwrap();
    builder.build()
}

fn builder(name: &str, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&common_name(name)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(30).unwrap())
        .unwrap();
    builder
}

fn issue(address: &str) -> Issued {
    let rsa = || PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let ca_key = rsa();
    let mut ca = builder("a CA", &ca_key);
    ca.set_issuer_name(&common_name("a CA")).unwrap();
    ca.append_extension(BasicConstraints::new().critical().ca().build().unwrap())
        .unwrap();
    ca.sign(&ca_key, MessageDigest::sha256()).unwrap();
    let ca = ca.build();

    let key = rsa();
    let mut leaf = builder("api-ssl", &key);
    leaf.set_issuer_name(ca.subject_name()).unwrap();
    let names = SubjectAlternativeName::new()
        .ip(address)
        .build(&leaf.x509v3_context(Some(&ca), None))
        .unwrap();
    leaf.append_extension(names).unwrap();
    leaf.sign(&ca_key, MessageDigest::sha256()).unwrap();
    Issued {
        ca,
        certificate: leaf.build(),
        key,
    }
}

impl Issued {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate.to_der().unwrap())
    }

    fn roots(&self) -> TrustedRoots {
        TrustedRoots::from_pem(&self.ca.to_pem().unwrap()).unwrap()
    }

    fn acceptor(&self) -> LegacyAcceptor {
        let key = self.key.private_key_to_pkcs8().unwrap();
        LegacyAcceptor::dhe_rsa(&self.certificate.to_der().unwrap(), &key).unwrap()
    }
}

/// Takes DHE alone.
pub(crate) fn dhe_acceptor() -> LegacyAcceptor {
    issue("127.0.0.1").acceptor()
}

/// A router behind such TLS, and how often it was dialled.
async fn router(acceptor: LegacyAcceptor) -> (Target, Arc<AtomicUsize>) {
    let dialled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dialled);
    let address = listen(move |io| {
        count.fetch_add(1, Ordering::Relaxed);
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(io).await {
                echo(log_in(stream, LoginForm::Password).await).await;
            }
        }
    })
    .await;
    (Target::new(address), dialled)
}

async fn connect(target: &Target, mode: &TlsMode) -> Result<Client, Error> {
    Client::connect(target, &credentials(), &patient(), mode).await
}

#[tokio::test]
async fn a_router_with_dhe_alone_is_reached_by_openssl_and_remembered() {
    let issued = issue("127.0.0.1");
    let (mut target, dialled) = router(issued.acceptor()).await;
    let modes = [
        TlsMode::Pinned(None),
        TlsMode::Pinned(Some(issued.fingerprint())),
        TlsMode::Verified(issued.roots()),
        TlsMode::Insecure,
        TlsMode::Anonymous,
    ];
    for mode in modes {
        target.tls_stack = TlsStack::Rustls;
        dialled.store(0, Ordering::Relaxed);
        let mut client = connect(&target, &mode).await.unwrap();
        let info = client.info().clone();
        assert_eq!(info.tls_stack, Some(TlsStack::OpenSsl), "{mode:?}");
        assert_eq!(info.tls_version.as_deref(), Some("TLSv1_2"));
        assert_eq!(info.fingerprint, Some(issued.fingerprint()));
        let big = "x".repeat(300_000);
        let command = Command::new("/long").attribute("comment", &big);
        let reply = client.call(&command).await.unwrap();
        assert_eq!(reply.rows[0].text("comment").as_deref(), Some(big.as_str()));

        assert_eq!(dialled.swap(0, Ordering::Relaxed), 2, "rustls first");
        target.tls_stack = TlsStack::OpenSsl;
        assert!(connect(&target, &mode).await.is_ok());
        assert_eq!(dialled.load(Ordering::Relaxed), 1, "remembered: no detour");
    }
}

#[tokio::test]
async fn openssl_believes_no_more_than_rustls() {
    let (issued, other) = (issue("127.0.0.1"), issue("127.0.0.1"));
    let elsewhere = issue("192.0.2.1");
    let (target, _) = router(issued.acceptor()).await;
    let (moved, _) = router(elsewhere.acceptor()).await;
    for stack in [TlsStack::Rustls, TlsStack::OpenSsl] {
        let target = Target {
            tls_stack: stack,
            ..target.clone()
        };
        let pinned = TlsMode::Pinned(Some(other.fingerprint()));
        let error = connect(&target, &pinned).await.unwrap_err();
        assert!(
            matches!(error, Error::FingerprintMismatch { .. }),
            "{error}"
        );

        let error = connect(&target, &TlsMode::Verified(other.roots()))
            .await
            .unwrap_err();
        assert_eq!(error.class(), ErrorClass::TlsFailed, "{error}");

        let moved = Target {
            tls_stack: stack,
            ..moved.clone()
        };
        let error = connect(&moved, &TlsMode::Verified(elsewhere.roots()))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("IP address mismatch"), "{error}");
        assert_eq!(error.class(), ErrorClass::TlsFailed);
    }
}

#[tokio::test]
async fn a_router_without_a_certificate_is_reached_only_where_that_is_allowed() {
    let (target, _) = router(LegacyAcceptor::anonymous().unwrap()).await;
    let issued = issue("127.0.0.1");
    let refused = [
        TlsMode::Pinned(None),
        TlsMode::Pinned(Some(issued.fingerprint())),
        TlsMode::Verified(issued.roots()),
        TlsMode::Insecure,
    ];
    for mode in refused {
        for stack in [TlsStack::Rustls, TlsStack::OpenSsl] {
            let target = Target {
                tls_stack: stack,
                ..target.clone()
            };
            let error = connect(&target, &mode).await.unwrap_err();
            assert_eq!(error.class(), ErrorClass::TlsFailed, "{mode:?}: {error}");
        }
    }
    let mut client = connect(&target, &TlsMode::Anonymous).await.unwrap();
    assert_eq!(client.info().fingerprint, None);
    assert_eq!(client.info().tls_stack, Some(TlsStack::OpenSsl));
    assert!(client.call(&Command::new("/x")).await.is_ok());
}

#[tokio::test]
async fn a_modern_router_is_spoken_to_by_rustls_whatever_is_allowed_or_remembered() {
    let issued = crate::tls::certificate("127.0.0.1");
    let acceptor = crate::tls::accept(&issued);
    let address: SocketAddr = listen(move |io| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(io).await {
                echo(log_in(stream, LoginForm::Password).await).await;
            }
        }
    })
    .await;
    for stack in [TlsStack::Rustls, TlsStack::OpenSsl] {
        for mode in [TlsMode::Anonymous, TlsMode::Pinned(None)] {
            let target = Target {
                tls_stack: stack,
                ..Target::new(address)
            };
            let mut client = connect(&target, &mode).await.unwrap();
            assert!(client.info().fingerprint.is_some());
            assert_eq!(client.info().tls_stack, Some(TlsStack::Rustls));
            assert!(client.call(&Command::new("/x")).await.is_ok());
        }
    }
}

/// Whatever a peer answers to OpenSSL's greeting, and wherever it stops, the deadline of the step holds.
#[tokio::test]
async fn a_peer_that_stalls_or_babbles_in_the_handshake_ends_in_time() {
    let stalling = listen(|mut io| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut hello = [0; 64];
        let _ = io.read(&mut hello).await;
        // The head of a record that never comes.
        let _ = io.write_all(&[0x16, 3, 3, 0x10, 0]).await;
        std::future::pending::<()>().await;
    })
    .await;
    let target = Target {
        tls_stack: TlsStack::OpenSsl,
        ..Target::new(stalling)
    };
    let mut deadlines = patient();
    deadlines.tls = Duration::from_millis(200);
    let mode = TlsMode::Pinned(None);
    let error = Client::connect(&target, &credentials(), &deadlines, &mode)
        .await
        .unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout, "{error}");

    let babbling = listen(|mut io| async move {
        use tokio::io::AsyncWriteExt;
        let _ = io
            .write_all(&b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(9))
            .await;
        tokio::time::sleep(LONG).await;
    })
    .await;
    let target = Target {
        tls_stack: TlsStack::OpenSsl,
        ..Target::new(babbling)
    };
    let error = connect(&target, &mode).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::TlsFailed, "{error}");
}
