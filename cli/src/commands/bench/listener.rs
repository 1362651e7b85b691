//! Listens to the live views of all tenants, and measures how long after a poll what it changed was heard of.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, bail};
use chrono::DateTime;
use mast_schemas::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Listeners, a task each, until this is dropped.
pub(super) struct Listeners {
    heard_ms: Arc<Mutex<Vec<u64>>>,
    _tasks: JoinSet<()>,
}

impl Listeners {
    /// Listens with tokens, one of each tenant.
    pub(super) async fn start(api: SocketAddr, tokens: &[String]) -> anyhow::Result<Self> {
        let heard_ms = Arc::<Mutex<Vec<u64>>>::default();
        let mut tasks = JoinSet::new();
        for token in tokens {
            let stream = connect(api, token).await.context("listen to live views")?;
            let heard_ms = Arc::clone(&heard_ms);
            tasks.spawn(async move {
                if let Err(error) = listen(stream, &heard_ms).await {
                    tracing::warn!(error = format!("{error:#}"), "a stream ended");
                }
            });
        }
        Ok(Self {
            heard_ms,
            _tasks: tasks,
        })
    }

    /// What was measured since the last call, ms, the smallest first.
    pub(super) fn take(&self) -> Vec<u64> {
        let mut heard = self.heard_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut heard = std::mem::take(&mut *heard);
        heard.sort_unstable();
        heard
    }
}

type Stream = BufReader<TcpStream>;

async fn connect(api: SocketAddr, token: &str) -> anyhow::Result<Stream> {
    let mut stream = TcpStream::connect(api).await?;
    // HTTP/1.0: the answer comes as it is, without chunks.
    let request = format!(
        "GET /api/v1/stream?views=devices,links HTTP/1.0\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    if !status.ends_with(b" 200") {
        bail!("the API answers {}", String::from_utf8_lossy(&status));
    }
    Ok(BufReader::new(stream))
}

/// What changed of a row, state and since when, tells of a poll where it is another than before.
async fn listen(stream: Stream, heard_ms: &Mutex<Vec<u64>>) -> anyhow::Result<()> {
    let (mut lines, mut known) = (stream.lines(), HashMap::new());
    while let Some(line) = lines.next_line().await? {
        let Some(data) = line.strip_prefix("data: ") else {
            continue;
        };
        let now = Timestamp::from_system(SystemTime::now());
        let data: Value = serde_json::from_str(data)?;
        let rows = data["rows"].as_array().into_iter().flatten();
        for row in rows {
            known.insert(row["id"].to_string(), row["since"].clone());
        }
        for change in data["changes"].as_array().into_iter().flatten() {
            let since = &change["row"]["since"];
            let before = known.insert(change["id"].to_string(), since.clone());
            let Some(at) = since.as_str().filter(|_| before.as_ref() != Some(since)) else {
                continue;
            };
            let at = DateTime::parse_from_rfc3339(at)?.timestamp_micros();
            let ms = (now.0 - at).max(0).unsigned_abs() / 1_000;
            heard_ms
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(ms);
        }
    }
    bail!("the API ended it")
}
