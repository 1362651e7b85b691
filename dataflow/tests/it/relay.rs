//! The relays, from real Postgres to a real log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mast_dataflow::job::Clock;
use mast_dataflow::outputs::Outputs;
use mast_dataflow::relay::events::{self, EventRecord, EventRelay};
use mast_dataflow::relay::outbox::OutboxRelay;
use mast_dataflow::sink::{Batch, Sink};
use mast_dataflow::troubles::Troubles;
use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, TopicSpec};
use mast_postgres::testing::{Database, database};
use mast_postgres::{Role, tenant_tx};
use mast_schemas::control::{Change, ControlRecord};
use mast_schemas::message::Header;
use mast_schemas::time::Span;
use mast_schemas::views::{DeviceEvent, DeviceState, device_event_id};
use mast_schemas::{DeviceId, Epoch, TenantId, Timestamp, topics};
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};

struct World {
    _dir: tempfile::TempDir,
    _database: Database,
    pool: PgPool,
    api: PgPool,
    log: Arc<dyn Log>,
    clock: Clock,
}

async fn world() -> World {
    let database = database().await;
    let (pool, api) = (
        database.pool(Role::Dataflow).await,
        database.pool(Role::Api).await,
    );
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    };
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(dir.path(), config).unwrap());
    for name in [topics::CONTROL, topics::EVENTS] {
        log.ensure_topic(&TopicSpec {
            name: name.to_owned(),
            partitions: 1,
        })
        .unwrap();
    }
    // A clock that shows another time each time.
    let ticks = AtomicI64::new(1_000);
    let clock: Clock = Arc::new(move || Timestamp(ticks.fetch_add(1, Ordering::Relaxed)));
    World {
        _dir: dir,
        _database: database,
        pool,
        api,
        log,
        clock,
    }
}

impl World {
    async fn tenant(&self, name: &str) -> TenantId {
        let tenant = TenantId::new();
        let mut tx = tenant_tx(&self.api, tenant).await.unwrap();
        let sql = "INSERT INTO tenants (id, name) VALUES ($1, $2)";
        sqlx::query(sql)
            .bind(tenant.0)
            .bind(name)
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        tenant
    }

    async fn relay(&self, generation: u64) -> OutboxRelay {
        OutboxRelay::open(
            self.pool.clone(),
            self.log.clone(),
            self.clock.clone(),
            generation,
        )
        .await
        .unwrap()
    }

    fn control(&self) -> Vec<(Header, Option<ControlRecord>)> {
        let entries = self.log.read(topics::CONTROL, 0, 0, 1 << 20).unwrap();
        let read = |entry: mast_log::Entry| {
            let header = Header::decode(&entry.record.headers).unwrap();
            let record = header
                .heartbeat
                .is_none()
                .then(|| ControlRecord::decode(&entry.record.body).unwrap());
            (header, record)
        };
        entries.into_iter().map(read).collect()
    }

    fn names(&self) -> Vec<String> {
        let name = |change: Change| match change {
            Change::Tenant(t) => Some(t.name),
            // Those that a tenant begins with.
            Change::Rule(_) => None,
            other => panic!("{other:?}"),
        };
        self.control()
            .into_iter()
            .filter_map(|(_, record)| record)
            .filter_map(|r| name(r.change))
            .collect()
    }

    fn events(&self) -> Vec<EventRecord> {
        events_in(self.log.as_ref())
    }
}

fn events_in(log: &dyn Log) -> Vec<EventRecord> {
    let entries = log.read(topics::EVENTS, 0, 0, 1 << 20).unwrap();
    entries
        .iter()
        .map(|entry| serde_json::from_slice(&entry.record.body).unwrap())
        .collect()
}

/// What a relay with an empty log tells of the events that are committed up to a slot.
pub(crate) async fn told_anew(pool: &PgPool, upto: Epoch) -> Vec<EventRecord> {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> =
        Arc::new(EmbeddedLog::open(dir.path(), EmbeddedConfig::default()).unwrap());
    log.ensure_topic(&TopicSpec {
        name: topics::EVENTS.to_owned(),
        partitions: 1,
    })
    .unwrap();
    EventRelay::open(pool, log.clone(), 1, upto).await.unwrap();
    events_in(log.as_ref())
}

#[tokio::test]
async fn every_change_reaches_the_topic_once_and_in_order() {
    let w = world().await;
    w.tenant("first").await;
    let mut relay = w.relay(1).await;
    relay.round().await.unwrap();
    w.tenant("second").await;
    w.tenant("third").await;
    relay.round().await.unwrap();
    relay.round().await.unwrap();
    assert_eq!(w.names(), ["first", "second", "third"]);
    assert!(
        w.control()
            .iter()
            .all(|(header, _)| header.lease_epoch == 1)
    );
}

#[tokio::test]
async fn a_heartbeat_is_never_newer_than_a_later_record() {
    let w = world().await;
    let mut relay = w.relay(1).await;
    for name in ["a", "b", "c"] {
        w.tenant(name).await;
        relay.round().await.unwrap();
        relay.round().await.unwrap();
    }
    let mut promised = Timestamp(i64::MIN);
    for (header, record) in w.control() {
        if let Some(heartbeat) = header.heartbeat {
            assert!(heartbeat.clock >= promised);
            promised = heartbeat.clock;
        } else {
            assert!(
                record.unwrap().at >= promised,
                "older than what was promised"
            );
        }
    }
    assert!(promised > Timestamp(0));
}

#[tokio::test]
async fn a_kill_between_append_and_note_repeats_nothing() {
    let w = world().await;
    w.tenant("first").await;
    let mut relay = w.relay(1).await;
    relay.round().await.unwrap();
    // As if the note, which comes after the append, had never been made.
    sqlx::query("UPDATE relay_progress SET outbox_id = 0")
        .execute(&w.pool)
        .await
        .unwrap();
    w.tenant("second").await;
    let mut successor = w.relay(2).await;
    successor.round().await.unwrap();
    assert_eq!(w.names(), ["first", "second"]);
}

#[tokio::test]
async fn a_new_log_gets_everything_again() {
    let w = world().await;
    w.tenant("first").await;
    w.relay(1).await.round().await.unwrap();
    let empty = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> =
        Arc::new(EmbeddedLog::open(empty.path(), EmbeddedConfig::default()).unwrap());
    log.ensure_topic(&TopicSpec {
        name: topics::CONTROL.to_owned(),
        partitions: 1,
    })
    .unwrap();
    let w = World { log, ..w };
    w.relay(2).await.round().await.unwrap();
    assert_eq!(w.names(), ["first"]);
}

#[tokio::test]
async fn a_clean_stop_says_goodbye() {
    let w = world().await;
    let (stop, stops) = watch::channel(false);
    let running = tokio::spawn(w.relay(1).await.run(stops, Troubles::default()));
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    let last = w.control().pop().unwrap().0;
    assert!(last.heartbeat.unwrap().shards.is_empty());
}

fn event(tenant_id: TenantId, us: i64) -> DeviceEvent {
    let (device_id, at) = (DeviceId::new(), Timestamp(us));
    let (from_state, to_state) = (DeviceState::Online, DeviceState::Offline);
    let event_id = device_event_id(&device_id, at, from_state, to_state);
    DeviceEvent {
        event_id,
        tenant_id,
        device_id,
        at,
        from_state,
        to_state,
        outcome: None,
    }
}

#[tokio::test]
async fn events_missed_by_a_kill_follow_at_the_next_start_and_none_twice() {
    let w = world().await;
    let (sink, _) = Sink::open(w.pool.clone(), "main", 1).await.unwrap();
    let tenant = TenantId::new();
    let mut batches = Vec::new();
    for upto in [10, 20, 30] {
        let device_events = (0..3)
            .map(|i| (Epoch(upto - i % 2), event(tenant, upto as i64)))
            .collect();
        let mut outputs = Outputs {
            upto: Epoch(upto),
            device_events,
            ..Outputs::default()
        };
        let batch = Batch::take(&mut outputs, Epoch(upto - 10));
        sink.commit(&batch).await.unwrap();
        batches.push(batch);
    }
    // The first run relays one commit, and dies before it relays the others.
    let relay = EventRelay::open(&w.pool, w.log.clone(), 1, Epoch(0))
        .await
        .unwrap();
    let (commits, receiver) = mpsc::channel(1);
    let (_stop, stops) = watch::channel(false);
    let running = tokio::spawn(relay.run(receiver, stops, Troubles::default()));
    commits.send(events::of(&batches[0])).await.unwrap();
    drop(commits);
    running.await.unwrap().unwrap();
    assert_eq!(w.events().len(), 3);

    EventRelay::open(&w.pool, w.log.clone(), 2, Epoch(30))
        .await
        .unwrap();
    let expected: Vec<EventRecord> = batches.iter().flat_map(events::of).collect();
    assert_eq!(w.events(), expected, "by epoch, then id");
    EventRelay::open(&w.pool, w.log.clone(), 3, Epoch(30))
        .await
        .unwrap();
    assert_eq!(w.events().len(), expected.len());
}

#[tokio::test]
async fn a_relay_that_cannot_append_tells_what_waits_and_since_when() {
    let w = world().await;
    let dir = tempfile::tempdir().unwrap();
    let small = EmbeddedConfig {
        max_bytes: Some(64 << 10),
        ..EmbeddedConfig::default()
    };
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(dir.path(), small).unwrap());
    for name in [topics::CONTROL, topics::EVENTS] {
        log.ensure_topic(&TopicSpec {
            name: name.to_owned(),
            partitions: 1,
        })
        .unwrap();
    }
    let w = World { log, ..w };
    let now = Timestamp(60_000_000);
    let mut outbox = w.relay(1).await;
    let lag = outbox.lag();
    outbox.round().await.unwrap();
    assert_eq!(lag.records(), 0);
    let caught_up = lag.ms(now);
    assert!(caught_up > 0, "it is known up to when nothing waited");
    w.tenant(&"n".repeat(100 << 10)).await;
    w.tenant("second").await;
    let full = outbox.round().await.unwrap_err();
    assert!(full.to_string().contains("full"), "{full}");
    // Each with the ten rules that it begins with.
    assert_eq!((lag.records(), lag.ms(now)), (22, caught_up));

    let events = EventRelay::open(&w.pool, w.log.clone(), 1, Epoch(0))
        .await
        .unwrap();
    let lag = events.lag();
    let told = EventRecord {
        epoch: Epoch(100),
        event: events::Event::Device(event(TenantId::new(), 5_000_000)),
    };
    let (commits, receiver) = mpsc::channel(1);
    let (stop, stops) = watch::channel(false);
    let troubles = Troubles::default();
    let running = tokio::spawn(events.run(receiver, stops, troubles.clone()));
    commits.send(vec![told; 1_000]).await.unwrap();
    while troubles.now().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(lag.ms(Epoch(100).end() + Span::secs(7)), 7_000);
    stop.send_replace(true);
    drop(commits);
    running.await.unwrap().unwrap();
}
