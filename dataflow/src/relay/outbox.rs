//! Outbox → `mast.control.v1`: every committed change of the model, once, in the order of its commit.
//!
//! Each round reads the clock, then the outbox, appends what it found and then a heartbeat with that clock. A record is
//! stamped with the clock of its own round, so no later record is older than an earlier heartbeat, whatever Postgres does.
//!
//! How far the log has come stands in the log: the *key* of every record of this topic is the highest outbox id up to and
//! with it, 8 bytes, big endian, in heartbeats too. So the newest record tells where to go on, also after a kill between
//! the append and the note in `relay_progress`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mast_log::{Log, LogError, Record, fault};
use mast_schemas::control::{Change, ControlRecord};
use mast_schemas::message::{Header, Heartbeat, ProducerId};
use mast_schemas::metric::Metric;
use mast_schemas::{Timestamp, topics};
use sqlx::PgPool;
use sqlx::types::Json;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Lag, blocking, newest, read_all, relayed};
use crate::error::DataflowError;
use crate::job::Clock;
use crate::troubles::{Place, Troubles};

/// How often the outbox is read and a heartbeat sent.
pub const EVERY: Duration = Duration::from_millis(250);

/// Changes read in one round.
const ROUND: i64 = 5_000;
const NAME: &str = "control";

/// The relay of one job.
pub struct OutboxRelay {
    pool: PgPool,
    log: Arc<dyn Log>,
    clock: Clock,
    producer: ProducerId,
    generation: u64,
    /// Highest outbox id in the log.
    relayed: i64,
    last_clock: Timestamp,
    lag: Lag,
}

impl OutboxRelay {
    /// A relay that goes on where the log ends.
    ///
    /// # Errors
    /// [`DataflowError::Log`], [`DataflowError::Postgres`].
    pub async fn open(
        pool: PgPool,
        log: Arc<dyn Log>,
        clock: Clock,
        generation: u64,
    ) -> Result<Self, DataflowError> {
        let in_log = blocking(topics::CONTROL, &log, highest).await?;
        let noted =
            sqlx::query_scalar!("SELECT outbox_id FROM relay_progress WHERE name = $1", NAME)
                .fetch_optional(&pool)
                .await?
                .unwrap_or(0);
        if noted > in_log {
            // The log was replaced by an empty one: it needs everything again.
            tracing::warn!(
                noted,
                in_log,
                "the control topic holds less than was relayed; relaying again from there"
            );
        }
        let made: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM outbox")
            .fetch_one(&pool)
            .await?;
        let made = made.unwrap_or(0).max(noted);
        if in_log > made {
            tracing::error!(
                made,
                in_log,
                "the control topic holds changes that this database never made: the topics belong to another installation, \
                 whose changes hide this one's; give this one a prefix of its own (log.topic_prefix), or delete the topics mast.*"
            );
        }
        let producer = ProducerId(Uuid::now_v7());
        Ok(Self {
            pool,
            log,
            clock,
            producer,
            generation,
            relayed: in_log,
            last_clock: Timestamp(i64::MIN),
            lag: Lag::default(),
        })
    }

    /// Highest outbox id in the log.
    pub const fn relayed(&self) -> i64 {
        self.relayed
    }

    /// How far it is behind the outbox.
    pub fn lag(&self) -> Lag {
        self.lag.clone()
    }

    /// Relays until `stop` says so, then says goodbye, so that nobody waits for this producer's silence. While Postgres is
    /// away it sends nothing, and goes on when it is back.
    ///
    /// # Errors
    /// [`DataflowError::Log`], or [`DataflowError::Postgres`] when waiting does not mend it.
    pub async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        troubles: Troubles,
    ) -> Result<(), DataflowError> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Whether an append may have succeeded without an answer.
        let mut unsure = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopped(&mut stop) => return self.goodbye().await,
            }
            if unsure && let Err(error) = self.look().await {
                if !error.is_log_away() {
                    return Err(error);
                }
                continue;
            }
            unsure = false;
            match self.round().await {
                Ok(()) => troubles.mended(Place::Outbox),
                Err(error) if super::passes(&error) => {
                    unsure = error.is_log_away();
                    troubles.tell(Place::Outbox, &error);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Relays all that is in the outbox now, then sends a heartbeat.
    ///
    /// # Errors
    /// As [`OutboxRelay::run`].
    pub async fn round(&mut self) -> Result<(), DataflowError> {
        loop {
            // A clock that was set back must not break an earlier promise.
            self.last_clock = self.last_clock.max((self.clock)());
            let rows = sqlx::query!(
                r#"SELECT id, change AS "change: Json<Change>" FROM outbox WHERE id > $1 ORDER BY id LIMIT $2"#,
                self.relayed,
                ROUND,
            )
            .fetch_all(&self.pool)
            .await?;
            let full = rows.len() as i64 == ROUND;
            self.lag.wait(self.waiting(rows.len() as u64, full).await?);
            if let Some(last) = rows.last().map(|row| row.id) {
                let records: Vec<Record> = rows
                    .into_iter()
                    .map(|row| self.record(row.id, row.change.0))
                    .collect();
                let count = records.len() as u64;
                self.append(records).await?;
                Metric::DataflowRelayed.add(&["outbox"], count);
                self.relayed = last;
                fault::point("after_relay_append");
                self.note().await?;
            }
            if !full {
                self.heartbeat(vec![(0, 0)]).await?;
                self.lag.caught_up(self.last_clock);
                return Ok(());
            }
        }
    }

    /// Changes that wait, where `read` of them were read and there may be more.
    async fn waiting(&self, read: u64, more: bool) -> Result<u64, DataflowError> {
        if !more {
            return Ok(read);
        }
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM outbox")
            .fetch_one(&self.pool)
            .await?;
        Ok((newest.unwrap_or(0) - self.relayed).max(0).unsigned_abs())
    }

    /// Asks the log how far it has come: what was appended without an answer is not appended again.
    async fn look(&mut self) -> Result<(), DataflowError> {
        let in_log = blocking(topics::CONTROL, &self.log, highest).await?;
        self.relayed = self.relayed.max(in_log);
        Ok(())
    }

    async fn note(&self) -> Result<(), DataflowError> {
        sqlx::query!(
            "INSERT INTO relay_progress (name, outbox_id) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET outbox_id = excluded.outbox_id",
            NAME,
            self.relayed,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    async fn goodbye(mut self) -> Result<(), DataflowError> {
        if self.log.trouble().is_some() {
            return Ok(());
        }
        self.last_clock = self.last_clock.max((self.clock)());
        match self.heartbeat(Vec::new()).await {
            // Then somebody waits for this producer's silence, once.
            Err(error) if error.is_log_away() => Ok(()),
            done => done,
        }
    }

    async fn heartbeat(&self, shards: Vec<(u32, u32)>) -> Result<(), DataflowError> {
        let heartbeat = Heartbeat {
            clock: self.last_clock,
            shards,
        };
        let record = Record {
            key: key(self.relayed),
            headers: self.header(Some(heartbeat)),
            body: Bytes::new(),
        };
        self.append(vec![record]).await
    }

    fn record(&self, outbox_id: i64, change: Change) -> Record {
        let record = ControlRecord {
            outbox_id,
            at: self.last_clock,
            change,
        };
        Record {
            key: key(outbox_id),
            headers: self.header(None),
            body: record.encode().into(),
        }
    }

    fn header(&self, heartbeat: Option<Heartbeat>) -> Bytes {
        Header {
            producer: self.producer,
            lease_epoch: self.generation,
            heartbeat,
            sections: Vec::new(),
        }
        .encode()
    }

    async fn append(&self, records: Vec<Record>) -> Result<(), DataflowError> {
        blocking(topics::CONTROL, &self.log, move |log| {
            log.append(topics::CONTROL, 0, &records)
        })
        .await?;
        Ok(())
    }
}

/// Ends when told to stop, or when nobody is left to tell.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn key(outbox_id: i64) -> Bytes {
    Bytes::copy_from_slice(&outbox_id.to_be_bytes())
}

/// The highest outbox id in the log; 0 when there is none.
fn highest(log: &dyn Log) -> Result<i64, LogError> {
    let last = newest(log, topics::CONTROL, 1)?;
    let Some(last) = last.first() else {
        return Ok(0);
    };
    if let Some(id) = relayed(&last.record) {
        return Ok(id);
    }
    // Written by something else than a relay: look at every record.
    let ends = log.ends(topics::CONTROL, 0)?;
    let all = read_all(log, topics::CONTROL, ends.first, ends.next)?;
    let ids = all
        .iter()
        .filter_map(|entry| ControlRecord::decode(&entry.record.body).ok())
        .map(|r| r.outbox_id);
    Ok(ids.max().unwrap_or(0))
}
