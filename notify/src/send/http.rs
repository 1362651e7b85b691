//! One HTTP request, over a connection of its own. Nothing of the answer is believed beyond bounds: headers, body and time
//! have an end.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Position, Url};

use super::Answer;
use super::dial::Dialer;
use crate::outcome::{self, Fault};

/// What is sent.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// Bytes of an answer's body that are read; it is cut off behind them.
const BODY_MAX: usize = 4 << 10;
/// Time for it.
const BODY_TIME: Duration = Duration::from_secs(1);
/// Bytes of its head.
const HEAD_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;

pub(super) async fn send(dialer: &Dialer, asked: Asked) -> Result<Answer, Fault> {
    let host = asked
        .url
        .host_str()
        .ok_or_else(|| Fault::Refused("the URL has no host".to_owned()))?
        .to_owned();
    let secure = asked.url.scheme() == "https";
    let port = asked.url.port_or_known_default().unwrap_or(443);
    let stream = dialer.connect(&host, port).await?;
    if secure {
        exchange(dialer.secure(&host, stream).await?, asked).await
    } else {
        exchange(stream, asked).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    asked: Asked,
) -> Result<Answer, Fault> {
    let failed =
        |error: hyper::Error| Fault::Failed(format!("the request failed: {}", causes(&error)));
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // Ends with this exchange, however that ends.
    let driver = Driver(tokio::spawn(async move {
        // What goes wrong on it is told by the exchange.
        let _ = connection.await;
    }));
    let answer = sender.send_request(request(asked)?).await.map_err(failed)?;
    let answer = read(answer).await;
    drop(driver);
    Ok(answer)
}

/// A task that ends when it is dropped.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(asked: Asked) -> Result<Request<Full<Bytes>>, Fault> {
    let unfit = |what| Fault::Refused(format!("the {what} can't be sent"));
    let authority = &asked.url[Position::BeforeHost..Position::AfterPort];
    let path = &asked.url[Position::BeforePath..Position::AfterQuery];
    let mut request = Request::builder()
        .method(asked.method)
        .uri(path)
        .body(Full::new(Bytes::from(asked.body)))
        .map_err(|_| unfit("URL"))?;
    *request.headers_mut() = asked.headers;
    let host = HeaderValue::from_str(authority).map_err(|_| unfit("host"))?;
    request.headers_mut().insert(HOST, host);
    request
        .headers_mut()
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static("Mast"));
    Ok(request)
}

async fn read(answer: Response<Incoming>) -> Answer {
    let status = answer.status().as_u16();
    let (outcome, why) = outcome::of_status(status);
    let asked = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|value| outcome::retry_after(value, Utc::now()));
    let mut body = answer.into_body();
    let mut begin = Vec::new();
    // What was answered stands in the head. Of a body that breaks off or stands still, what came is shown: a message that was
    // taken must not be sent again for it.
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(bytes) = frame.data_ref() {
                let room = BODY_MAX - begin.len();
                begin.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            if begin.len() == BODY_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(BODY_TIME, reading).await;
    let reply = match (why, outcome::reply(&begin)) {
        (Some(why), _) => why.to_owned(),
        (None, reply) => reply,
    };
    Answer {
        outcome,
        status: Some(status),
        reply,
        asked,
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(source) = inner {
        text = format!("{text}: {source}");
        inner = source.source();
    }
    text
}
