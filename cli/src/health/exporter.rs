//! `/metrics`, `/health` and `/health/ready` of this process, over HTTP on this machine.
//!
//! `/health` answers as long as the process does. `/health/ready` is 200 while all parts of the process do their work, and
//! 503 else; its body says of each part how it is. Whoever may reach the port sees names of nodes and counts, no tenant's
//! data; it is meant for loopback, and another address is refused in the configuration.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use mast_schemas::metric::{Metric, Part};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Board;
use crate::standalone::replace;

/// Where the lines of histograms in milliseconds are drawn.
const BUCKETS_MS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
];
/// A request head that is not there after this is not waited for.
const HEAD: Duration = Duration::from_secs(5);
/// How often what is kept for histograms is tidied.
const TIDY: Duration = Duration::from_secs(5);

/// Records this process's metrics, and answers for it if a port was free.
pub(crate) struct Exporter {
    tasks: Vec<JoinHandle<()>>,
    address: Option<SocketAddr>,
}

impl Exporter {
    /// Begins to record the metrics of `parts`, and listens. A port that is taken is told and is no reason not to run.
    pub(crate) async fn start(listen: Option<SocketAddr>, parts: &[Part], board: Board) -> Self {
        let mut exporter = Self {
            tasks: Vec::new(),
            address: None,
        };
        let Some(listen) = listen else {
            return exporter;
        };
        let Some(recorded) = record(parts) else {
            return exporter;
        };
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                exporter.address = listener.local_addr().ok();
                let tidied = recorded.clone();
                exporter.tasks.push(tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(TIDY).await;
                        tidied.run_upkeep();
                    }
                }));
                exporter
                    .tasks
                    .push(tokio::spawn(serve(listener, recorded, board)));
            }
            Err(error) => tracing::warn!(
                %error,
                %listen,
                remedy = "set [metrics] listen to a free port, or to port 0 for any",
                "metrics and health are not served; all else runs"
            ),
        }
        exporter
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Leaves a note of where it listens, for `mast status`.
    pub(crate) fn note(&self, file: &Path) {
        let noted = match self.address {
            Some(address) => replace(file, &address.to_string()),
            None => std::fs::remove_file(file).or(Ok(())),
        };
        if let Err(error) = noted {
            tracing::debug!(%error, file = %file.display(), "where metrics are served was not noted");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Installs the recorder; null when the process has one already.
fn record(parts: &[Part]) -> Option<PrometheusHandle> {
    let built = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), BUCKETS_MS)
        .and_then(PrometheusBuilder::install_recorder);
    match built {
        Ok(handle) => {
            parts.iter().copied().for_each(Metric::begin);
            Some(handle)
        }
        Err(error) => {
            tracing::warn!(%error, "metrics are not recorded");
            None
        }
    }
}

async fn serve(listener: TcpListener, metrics: PrometheusHandle, board: Board) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, metrics.clone(), board.clone()));
            }
            Err(error) => {
                // Mostly for want of file descriptors, which come back.
                tracing::debug!(%error, "no connection was taken");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, metrics: PrometheusHandle, board: Board) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let answered = answer(request.method(), request.uri().path(), &metrics, &board);
        async move { Ok::<_, Infallible>(answered) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request was not answered");
    }
}

fn answer(
    method: &Method,
    path: &str,
    metrics: &PrometheusHandle,
    board: &Board,
) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/metrics") => (
            StatusCode::OK,
            "text/plain; version=0.0.4",
            metrics.render(),
        ),
        (&Method::GET | &Method::HEAD, "/health") => {
            (StatusCode::OK, JSON, r#"{"state":"alive"}"#.to_owned())
        }
        (&Method::GET | &Method::HEAD, "/health/ready") => {
            let status = if board.is_ready() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let body = serde_json::json!({ "state": board.state(), "parts": board.parts() });
            (status, JSON, body.to_string())
        }
        (_, "/metrics" | "/health" | "/health/ready") => {
            (StatusCode::METHOD_NOT_ALLOWED, JSON, "{}".to_owned())
        }
        _ => (StatusCode::NOT_FOUND, JSON, "{}".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_no_reason_not_to_run() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let exporter = Exporter::start(Some(address), Part::ALL, Board::default()).await;
        assert_eq!(exporter.address(), None);
        let nowhere = Exporter::start(None, Part::ALL, Board::default()).await;
        assert_eq!(nowhere.address(), None);
    }
}
