//! Requests to a running API over connections that are kept: as many as it answers, or so many a second.
//!
//! The trap avoided: measuring from when a request could be sent. At a given rate each has its moment, and waits from then on,
//! sent or not; else a server that stands still is asked nothing meanwhile, and looks fast.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::FuturesUnordered;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest, handshake};
use hyper::header::{AUTHORIZATION, ETAG, HOST, IF_NONE_MATCH};
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use crate::{BenchError, percentile};

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Path and query.
    pub path: String,
    /// Who asks.
    pub token: String,
    /// What the asker has already.
    pub tag: Option<String>,
}

/// Who is asked, and by how many.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The API.
    pub address: SocketAddr,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// How long.
    pub time: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Answers {
    /// Answers a second.
    pub per_s: f64,
    /// Half of them took at most so long.
    pub p50_ms: f64,
    /// All but one in a hundred took at most so long.
    pub p99_ms: f64,
}

impl Load {
    /// Asks as often as it is answered. Each answer must have this status, or there are no figures.
    ///
    /// # Errors
    /// [`BenchError`].
    pub async fn full(&self, asks: &[Ask], status: StatusCode) -> Result<Answers, BenchError> {
        self.run(asks, status, None).await
    }

    /// Asks so often a second.
    ///
    /// # Errors
    /// [`BenchError`].
    pub async fn at(&self, per_s: f64, asks: &[Ask]) -> Result<Answers, BenchError> {
        let gap = Duration::from_secs_f64(self.connections as f64 / per_s.max(1.0));
        self.run(asks, StatusCode::OK, Some(gap)).await
    }

    /// Asks each once; the asks of who has those answers.
    ///
    /// # Errors
    /// [`BenchError`].
    pub async fn tagged(&self, asks: &[Ask]) -> Result<Vec<Ask>, BenchError> {
        let mut connection = Connection::open(self.address).await?;
        let mut tagged = Vec::new();
        for ask in asks {
            let (tag, _) = connection.ask(ask, StatusCode::OK).await?;
            tagged.push(Ask { tag, ..ask.clone() });
        }
        Ok(tagged)
    }

    /// The asks for a list's first pages, at most so many. The path has a query, without a cursor.
    ///
    /// # Errors
    /// [`BenchError`].
    pub async fn pages(&self, first: &Ask, most: usize) -> Result<Vec<Ask>, BenchError> {
        let mut connection = Connection::open(self.address).await?;
        let mut pages = vec![first.clone()];
        while let Some(last) = pages.last().filter(|_| pages.len() < most) {
            let (_, body) = connection.ask(last, StatusCode::OK).await?;
            let Page { next: Some(next) } = serde_json::from_slice(&body).unwrap_or_default()
            else {
                break;
            };
            pages.push(Ask {
                path: format!("{}&cursor={next}", first.path),
                ..first.clone()
            });
        }
        Ok(pages)
    }

    async fn run(
        &self,
        asks: &[Ask],
        status: StatusCode,
        gap: Option<Duration>,
    ) -> Result<Answers, BenchError> {
        if asks.is_empty() || self.connections == 0 {
            return Err(BenchError::Options("nobody asks anything".to_owned()));
        }
        let host = self.address.to_string();
        let requests = asks.iter().map(|ask| ask.request(&host));
        let requests: Vec<_> = requests.collect::<Result<_, _>>()?;
        let load = *self;
        // A task of the runtime: the thread that waits for the connections goes on with what came of them.
        let asking = async move { load.ask_all(&requests, status, gap).await };
        let asked = AbortOnDropHandle::new(tokio::spawn(asking)).await;
        asked.map_err(std::io::Error::from)?
    }

    async fn ask_all(
        &self,
        requests: &[Asked],
        status: StatusCode,
        gap: Option<Duration>,
    ) -> Result<Answers, BenchError> {
        let begin = Instant::now() + Duration::from_millis(100);
        let askers = (0..self.connections).map(|n| {
            // Each at its own moment, and with its own question.
            let offset = gap.unwrap_or_default().mul_f64(n as f64) / self.connections as u32;
            self.asker(n, requests, status, begin + offset, gap)
        });
        let askers: FuturesUnordered<_> = askers.collect();
        let took: Vec<Vec<Duration>> = askers.try_collect().await?;
        let seconds = begin.elapsed().as_secs_f64();
        let mut took: Vec<Duration> = took.into_iter().flatten().collect();
        took.sort_unstable();
        let at = |share| percentile(&took, share).map_or(0.0, |took| took.as_secs_f64() * 1_000.0);
        Ok(Answers {
            per_s: took.len() as f64 / seconds,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        })
    }

    async fn asker(
        &self,
        n: usize,
        requests: &[Asked],
        status: StatusCode,
        begin: Instant,
        gap: Option<Duration>,
    ) -> Result<Vec<Duration>, BenchError> {
        let mut connection = Connection::open(self.address).await?;
        let (mut took, mut due) = (Vec::new(), begin);
        let requests = requests.iter().cycle().skip(n * 17 % requests.len());
        for request in requests {
            // A timer that is due ends with the next millisecond: who asks at once must not set one.
            if gap.is_some() {
                sleep_until(due).await;
            }
            if due >= begin + self.time {
                break;
            }
            connection.send(request.clone(), status).await?;
            took.push(due.elapsed());
            due = gap.map_or_else(Instant::now, |gap| due + gap);
        }
        Ok(took)
    }
}

/// What of a page leads on.
#[derive(Default, Deserialize)]
struct Page {
    next: Option<String>,
}

/// A request as it is sent.
type Asked = Request<Empty<Bytes>>;

impl Ask {
    fn request(&self, host: &str) -> Result<Asked, BenchError> {
        let mut request = Request::get(&self.path)
            .header(HOST, host)
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(tag) = &self.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        request
            .body(Empty::new())
            .map_err(|e| BenchError::Options(format!("{}: {e}", self.path)))
    }
}

/// A connection with one request at a time. Who asks drives it: no other task has to be woken.
pub(crate) struct Connection {
    host: String,
    sender: SendRequest<Empty<Bytes>>,
    driver: http1::Connection<TokioIo<TcpStream>, Empty<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(BenchError::system(format!("connect to {address}")))?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            host: address.to_string(),
            sender,
            driver,
        })
    }

    /// The tag of the answer, and its body.
    pub(crate) async fn ask(
        &mut self,
        ask: &Ask,
        status: StatusCode,
    ) -> Result<(Option<String>, Bytes), BenchError> {
        let (head, body) = self.send(ask.request(&self.host)?, status).await?;
        let tag = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        Ok((tag.map(str::to_owned), body))
    }

    async fn send(
        &mut self,
        request: Asked,
        status: StatusCode,
    ) -> Result<(Parts, Bytes), BenchError> {
        let path = request.uri().clone();
        let sender = &mut self.sender;
        let answered = async {
            sender.ready().await?;
            let (head, body) = sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
        };
        let (head, body) = tokio::select! {
            biased;
            answered = answered => answered?,
            ended = &mut self.driver => {
                ended?;
                return Err(BenchError::Stuck(format!("the connection ended before {path} was answered")));
            }
        };
        if head.status != status {
            let said = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            let got = head.status;
            return Err(BenchError::Stuck(format!(
                "{path} was answered by {got}: {said}"
            )));
        }
        Ok((head, body))
    }
}
