//! Committed transitions → `mast.events.v1`, for integrators: by epoch, within one by event id.
//!
//! What a commit wrote is appended after it. After a kill in between, the rest is taken from Postgres: all events from the
//! epoch of the newest record on, but those that the end of the topic already holds. Ids are a function of the transition,
//! so a consumer that keeps them sees each event once even where this could not know.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use mast_log::{Log, Record};
use mast_schemas::alerts::{AlertEvent, IncidentEvent, TrendEvent};
use mast_schemas::message::{Header, ProducerId};
use mast_schemas::metric::Metric;
use mast_schemas::views::{DeviceEvent, EventId, HealthEvent, LinkEvent};
use mast_schemas::{Epoch, topics};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use super::stored::committed;
use super::{Lag, blocking, newest};
use crate::error::DataflowError;
use crate::sink::Batch;
use crate::troubles::{Place, Troubles};

/// Records looked at to find where to go on.
const TAIL: u64 = 10_000;
/// Records kept in the topic.
const KEPT: u64 = 1_000_000;
/// Records of one append.
const APPEND: usize = 10_000;

/// A record of `mast.events.v1`, JSON; its key is the event's id, its header has no sections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Slot in which it happened.
    pub epoch: Epoch,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// A transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// Of a device.
    Device(DeviceEvent),
    /// Of a link.
    Link(LinkEvent),
    /// Of a site, a sector or a tenant.
    Place(HealthEvent),
    /// Of an alert. Under its own name, since it has a `kind` itself.
    Alert {
        /// The event.
        alert: AlertEvent,
    },
    /// Of an incident, likewise.
    Incident {
        /// The event.
        incident: IncidentEvent,
    },
    /// Of a client's trend, likewise.
    Trend {
        /// The event.
        trend: TrendEvent,
    },
}

impl EventRecord {
    /// Its id.
    pub const fn id(&self) -> EventId {
        match &self.event {
            Event::Device(event) => event.event_id,
            Event::Link(event) => event.event_id,
            Event::Place(event) => event.event_id,
            Event::Alert { alert } => alert.event_id,
            Event::Incident { incident } => incident.event_id,
            Event::Trend { trend } => trend.event_id,
        }
    }

    fn record(&self, header: &Bytes) -> Record {
        Record {
            key: Bytes::copy_from_slice(self.id().0.as_bytes()),
            headers: header.clone(),
            // A struct of numbers, strings and lists always serializes.
            body: serde_json::to_vec(self).unwrap_or_default().into(),
        }
    }
}

/// The events of a commit, in the order of the topic.
pub fn of(batch: &Batch) -> Vec<EventRecord> {
    let devices = batch
        .device_events
        .iter()
        .map(|(epoch, e)| (*epoch, Event::Device(e.clone())));
    let links = batch
        .link_events
        .iter()
        .map(|(epoch, e)| (*epoch, Event::Link(e.clone())));
    let places = batch
        .health_events
        .iter()
        .map(|(epoch, e)| (*epoch, Event::Place(e.clone())));
    let alerts = batch.alert_events.iter();
    let alerts = alerts.map(|(epoch, e)| (*epoch, Event::Alert { alert: e.clone() }));
    let incidents = batch.incident_events.iter().map(|(epoch, e)| {
        let incident = e.clone();
        (*epoch, Event::Incident { incident })
    });
    let trends = batch.trend_events.iter();
    let trends = trends.map(|(epoch, e)| (*epoch, Event::Trend { trend: e.clone() }));
    let mut events: Vec<EventRecord> = devices
        .chain(links)
        .chain(places)
        .chain(alerts)
        .chain(incidents)
        .chain(trends)
        .map(|(epoch, event)| EventRecord { epoch, event })
        .collect();
    events.sort_by_key(|event| (event.epoch, event.id()));
    events
}

/// The relay of one job.
pub struct EventRelay {
    log: Arc<dyn Log>,
    header: Bytes,
    lag: Lag,
}

impl EventRelay {
    /// Appends what commits before this start left out, up to `upto`, and goes on from there.
    ///
    /// # Errors
    /// [`DataflowError::Log`], [`DataflowError::Postgres`].
    pub async fn open(
        pool: &PgPool,
        log: Arc<dyn Log>,
        generation: u64,
        upto: Epoch,
    ) -> Result<Self, DataflowError> {
        let producer = ProducerId(Uuid::now_v7());
        let header = Header {
            producer,
            lease_epoch: generation,
            heartbeat: None,
            sections: Vec::new(),
        }
        .encode();
        let relay = Self {
            log,
            header,
            lag: Lag::default(),
        };
        let tail = relay.tail().await?;
        let from = tail.last().map_or(Epoch(0), |event| event.epoch);
        let known: HashSet<EventId> = tail
            .iter()
            .filter(|e| e.epoch == from)
            .map(EventRecord::id)
            .collect();
        let mut missed = committed(pool, from, upto).await?;
        missed.retain(|event| !known.contains(&event.id()));
        if !missed.is_empty() {
            tracing::info!(
                events = missed.len(),
                "relaying events that an earlier start had committed"
            );
            relay.append(&missed).await?;
        }
        Ok(relay)
    }

    /// How far it is behind the commits. Whoever hands it events adds them there.
    pub fn lag(&self) -> Lag {
        self.lag.clone()
    }

    /// Appends what it is given until nobody gives any more. While the log is away it tries again; a stop ends that, and the
    /// next start relays what is left.
    ///
    /// # Errors
    /// [`DataflowError::Log`].
    pub async fn run(
        self,
        mut commits: mpsc::Receiver<Vec<EventRecord>>,
        stop: watch::Receiver<bool>,
        troubles: Troubles,
    ) -> Result<(), DataflowError> {
        while let Some(mut events) = commits.recv().await {
            let given = events.len() as u64;
            if let Some(first) = events.first() {
                self.lag.oldest(first.epoch.end());
            }
            while let Err(error) = self.append(&events).await {
                if !error.is_log_away() {
                    return Err(error);
                }
                troubles.tell(Place::Events, &error);
                if *stop.borrow() {
                    tracing::warn!(%error, "events wait for the next start");
                    return Ok(());
                }
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                // What was appended without an answer is not appended again.
                if let Ok(tail) = self.tail().await {
                    let known: HashSet<EventId> = tail.iter().map(EventRecord::id).collect();
                    events.retain(|event| !known.contains(&event.id()));
                }
            }
            troubles.mended(Place::Events);
            self.lag.done(given);
            Metric::DataflowRelayed.add(&["events"], events.len() as u64);
        }
        Ok(())
    }

    /// The newest records of the topic.
    async fn tail(&self) -> Result<Vec<EventRecord>, DataflowError> {
        let tail = blocking(topics::EVENTS, &self.log, |log| {
            newest(log, topics::EVENTS, TAIL)
        });
        let records = tail.await?;
        let events = records.iter().map(|entry| &entry.record.body);
        Ok(events
            .filter_map(|body| serde_json::from_slice(body).ok())
            .collect())
    }

    async fn append(&self, events: &[EventRecord]) -> Result<(), DataflowError> {
        for part in events.chunks(APPEND) {
            let records: Vec<Record> = part
                .iter()
                .map(|event| event.record(&self.header))
                .collect();
            let append = move |log: &dyn Log| {
                let first = log.append(topics::EVENTS, 0, &records)?;
                log.trim(topics::EVENTS, 0, first.saturating_sub(KEPT))
            };
            blocking(topics::EVENTS, &self.log, append).await?;
        }
        Ok(())
    }
}
