//! An HTTP server that answers as it is told to, and tells what it was sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// By a status, headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Not at all.
    Nothing,
    /// 200, and a body without an end.
    Endless,
    /// 200, and a body that never comes.
    Stalling,
    /// 200, with what was sent.
    Echo,
}

pub(crate) fn status(status: u16) -> Answer {
    Answer::Status(status, Vec::new(), format!("answer {status}"))
}

/// What was sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Titles of what it tells, of a webhook.
    pub(crate) fn titles(&self) -> Vec<String> {
        let json = self.json();
        let told = json["notifications"].as_array().unwrap().iter();
        told.map(|n| n["title"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// An authority, and a certificate of its for `localhost` and 127.0.0.1.
pub(crate) struct Tls {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        Self {
            authority: issuer.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A server that runs.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub(crate) async fn start() -> Self {
        Self::at([127, 0, 0, 1].into(), 0, None).await
    }

    pub(crate) async fn at(ip: IpAddr, port: u16, tls: Option<&Tls>) -> Self {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let (acceptor, told) = (tls.map(Tls::acceptor), Arc::clone(&answers));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, told, tell) = (acceptor.clone(), Arc::clone(&told), tell.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, told, tell).await,
                        // Who does not trust us ends the handshake.
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, told, tell).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            answers,
            seen,
            task,
        }
    }

    /// The next requests are answered so, in this order; those behind them by 200.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.address)
    }

    /// The next request; one that does not come is a failure.
    pub(crate) async fn next(&mut self) -> Seen {
        let seen = tokio::time::timeout(Duration::from_secs(30), self.seen.recv()).await;
        seen.unwrap_or_else(|_| panic!("nothing was sent")).unwrap()
    }

    /// What has come and was not looked at.
    pub(crate) fn more(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (answers, tell) = (Arc::clone(&answers), tell.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let seen = Seen {
                method: parts.method.to_string(),
                path: parts.uri.to_string(),
                headers: parts.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            };
            let answer = answers
                .lock()
                .unwrap()
                .pop_front()
                .unwrap_or_else(|| status(200));
            let echo = format!("{:?} {}", seen.headers, seen.body);
            // Nobody may listen any more: the test is over.
            let _ = tell.send(seen);
            Ok::<_, hyper::Error>(match answer {
                Answer::Nothing => std::future::pending().await,
                Answer::Endless => {
                    let chunks = futures::stream::repeat(Bytes::from_static(&[b'x'; 1_024]));
                    Response::new(
                        StreamBody::new(chunks.map(|c| Ok(Frame::data(c)))).boxed_unsync(),
                    )
                }
                Answer::Stalling => {
                    let never = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
                    Response::new(StreamBody::new(never).boxed_unsync())
                }
                Answer::Echo => whole(200, Vec::new(), echo),
                Answer::Status(status, headers, body) => whole(status, headers, body),
            })
        }
    });
    // The other side goes away when it likes.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn whole(status: u16, headers: Vec<(&'static str, String)>, body: String) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response
        .body(Full::new(Bytes::from(body)).boxed_unsync())
        .unwrap()
}
