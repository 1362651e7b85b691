//! Who asks for charts: one connection, one request after the other.

use std::net::SocketAddr;
use std::time::Instant;

use hyper::StatusCode;
use mast_schemas::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::fleet::Fleet;
use crate::api::{Ask, Connection};
use crate::{BenchError, percentile};

/// How long requests took, from the question to the last byte of the answer.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// Of what the answers were made: `raw`, `1m`, `15m`, `1h` or `1d`.
    pub source: String,
    /// Points asked for.
    pub points: u32,
    /// Points of an answer that had samples.
    pub answered: usize,
    /// What the first request took, when nothing was known of any file.
    pub first_ms: f64,
    /// Half of the others took at most so long.
    pub p50_ms: f64,
    /// All but one in a hundred of them took at most so long.
    pub p99_ms: f64,
}

/// A client of the API.
pub(super) struct Asker {
    connection: Connection,
    token: String,
    asked: u32,
}

impl Asker {
    pub(super) async fn new(server: SocketAddr, token: String) -> Result<Self, BenchError> {
        Ok(Self {
            connection: Connection::open(server).await?,
            token,
            asked: 0,
        })
    }

    /// The signal of links over all of the time, each of another link.
    pub(super) async fn chart(
        &mut self,
        fleet: &Fleet,
        (from, to): (Timestamp, Timestamp),
        requests: u32,
        points: u32,
    ) -> Result<Asked, BenchError> {
        let time = |at: Timestamp| {
            let time = chrono::DateTime::from_timestamp_micros(at.0).unwrap_or_default();
            time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        };
        let (mut took, mut last) = (Vec::new(), Value::Null);
        for _ in 0..=requests {
            let link = fleet.pick(self.asked);
            self.asked += 1;
            let path = format!(
                "/api/v1/links/{link}/series?metric=signal_dbm&from={}&to={}&points={points}",
                time(from),
                time(to)
            );
            let ask = Ask {
                path,
                token: self.token.clone(),
                tag: None,
            };
            let began = Instant::now();
            let (_, body) = self.connection.ask(&ask, StatusCode::OK).await?;
            took.push(began.elapsed().as_secs_f64() * 1_000.0);
            last = serde_json::from_slice(&body).map_err(std::io::Error::from)?;
        }
        let all = last["points"].as_array().map_or(&[][..], Vec::as_slice);
        let answered = all.iter().filter(|point| !point["mean"].is_null()).count();
        if answered == 0 {
            return Err(BenchError::Stuck("no point has an answer".to_owned()));
        }
        let first_ms = took.remove(0);
        took.sort_by(f64::total_cmp);
        let at = |share| percentile(&took, share).unwrap_or_default();
        Ok(Asked {
            source: last["source"].as_str().unwrap_or_default().to_owned(),
            points,
            answered,
            first_ms,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        })
    }
}
