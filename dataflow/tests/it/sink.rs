//! The sink against real Postgres.

use std::time::{Duration, Instant};

use mast_dataflow::DataflowError;
use mast_dataflow::outputs::Outputs;
use mast_dataflow::sink::gauges::{self, GaugeBuffer};
use mast_dataflow::sink::{Batch, Committed, Sink};
use mast_postgres::Role;
use mast_postgres::testing::{Database, database};
use mast_schemas::records::{Outcome, Source};
use mast_schemas::views::{
    Counts, DeviceEvent, DeviceState, DeviceView, LinkEvent, LinkGauge, LinkReason, LinkState,
    LinkView, Place, Signals, device_event_id, link_event_id,
};
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, SiteId, TenantId, Timestamp};
use sqlx::{Connection, PgPool};

pub(crate) const AT: Timestamp = Timestamp(1_700_000_000_123_456);

pub(crate) struct World {
    database: Database,
    pub(crate) pool: PgPool,
    pub(crate) sink: Sink,
    pub(crate) tenant: TenantId,
    device: DeviceId,
}

pub(crate) async fn world() -> World {
    let database = database().await;
    let pool = database.pool(Role::Dataflow).await;
    let (sink, epoch) = Sink::open(pool.clone(), "main", 1).await.unwrap();
    assert_eq!(epoch, Epoch(0));
    World {
        database,
        pool,
        sink,
        tenant: TenantId::new(),
        device: DeviceId::new(),
    }
}

impl World {
    fn device(&self, state: DeviceState) -> DeviceView {
        DeviceView {
            device_id: self.device,
            tenant_id: self.tenant,
            state,
            since: AT,
            outcome: Some(Outcome::Ok),
            identity: Some("hill".to_owned()),
            version: None,
            board: None,
            architecture: None,
            serial: None,
            firmware: None,
        }
    }

    fn link(&self, mac: u64, state: LinkState) -> LinkView {
        LinkView {
            id: LinkId {
                tenant_id: self.tenant,
                ap_device_id: self.device,
                radio_mac: Mac(1),
                mac: Mac(mac),
            },
            interface: "wlan1".to_owned(),
            source: Source::Wireless,
            cpe_device_id: None,
            state,
            since: AT,
            reason: LinkReason::Confirmed,
            discovered_at: AT,
            unobserved: false,
            ambiguous: false,
        }
    }

    fn gauge(&self, mac: u64, signal: i16, at: Timestamp) -> LinkGauge {
        LinkGauge {
            id: self.link(mac, LinkState::Active).id,
            observed_at: at,
            signal_dbm: Some(signal),
            station_signal_dbm: None,
            snr_db: None,
            tx_ccq_percent: Some(120),
            tx_rate_bps: Some(1_000_000),
            rx_rate_bps: None,
        }
    }

    /// A device, a link, counts and an event of each kind, in slots 5 to 7.
    fn outputs(&self) -> Outputs {
        let (active, degraded) = (
            self.link(9, LinkState::Active),
            self.link(9, LinkState::Degraded),
        );
        let device_event = DeviceEvent {
            event_id: device_event_id(
                &self.device,
                AT,
                DeviceState::Unobserved,
                DeviceState::Online,
            ),
            tenant_id: self.tenant,
            device_id: self.device,
            at: AT,
            from_state: DeviceState::Unobserved,
            to_state: DeviceState::Online,
            outcome: Some(Outcome::Ok),
        };
        let link_event = LinkEvent {
            event_id: link_event_id(&active.id, AT, None, Some(LinkState::Active)),
            tenant_id: self.tenant,
            ap_device_id: self.device,
            radio_mac: Mac(1),
            mac: Mac(9),
            at: AT,
            from_state: None,
            to_state: Some(LinkState::Active),
            reason: LinkReason::Seen,
        };
        let counts = Counts {
            devices: [1, 0, 0, 0],
            links: [0, 0, 1, 0, 0],
            links_unobserved: 0,
        };
        Outputs {
            upto: Epoch(7),
            devices: vec![(
                Epoch(5),
                self.device,
                Some(self.device(DeviceState::Online)),
            )],
            links: vec![
                (Epoch(5), active.id, Some(active)),
                (Epoch(7), degraded.id, Some(degraded)),
            ],
            counts: vec![(Epoch(7), Place::Tenant(self.tenant), Some(counts))],
            device_events: vec![(Epoch(5), device_event)],
            link_events: vec![(Epoch(5), link_event)],
            ..Outputs::default()
        }
    }

    /// Does what people do, with another role's rights.
    pub(crate) async fn superuser(&self, sql: &'static str) {
        let mut conn = self.all_rights().await;
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }

    /// A connection that may also read what the job only writes.
    pub(crate) async fn all_rights(&self) -> sqlx::PgConnection {
        sqlx::PgConnection::connect_with(&self.database.superuser())
            .await
            .unwrap()
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn a_commit_shows_the_last_value_of_each_key_and_its_events_once() {
    let w = world().await;
    let batch = Batch::take(&mut w.outputs(), Epoch(0));
    assert_eq!(w.sink.commit(&batch).await.unwrap(), Committed::Now);

    let (state, since): (String, i64) = sqlx::query_as("SELECT state, micros(since) FROM links")
        .fetch_one(&w.pool)
        .await
        .unwrap();
    assert_eq!((state.as_str(), since), ("degraded", AT.0));
    assert_eq!(w.number("SELECT epoch FROM job_progress").await, 7);
    assert_eq!(
        w.number("SELECT devices_online + links_degraded FROM place_counts WHERE kind = 'tenant'")
            .await,
        2
    );
    assert_eq!(w.number("SELECT count(*) FROM link_events").await, 1);
    assert_eq!(w.number("SELECT count(*) FROM device_events").await, 1);
    let changes: Vec<(i64, i32, String, String)> =
        sqlx::query_as("SELECT epoch, n, view, op FROM view_change ORDER BY epoch, n")
            .fetch_all(&w.pool)
            .await
            .unwrap();
    let upsert = |epoch, n, view: &str| (epoch, n, view.to_owned(), "upsert".to_owned());
    assert_eq!(
        changes,
        [
            upsert(5, 0, "devices"),
            upsert(7, 0, "links"),
            upsert(7, 1, "tenant_counts")
        ]
    );
    let row: sqlx::types::Json<LinkView> =
        sqlx::query_scalar("SELECT row FROM view_change WHERE view = 'links'")
            .fetch_one(&w.pool)
            .await
            .unwrap();
    assert_eq!(row.0, w.link(9, LinkState::Degraded));
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_done_twice() {
    let w = world().await;
    let batch = Batch::take(&mut w.outputs(), Epoch(0));
    w.sink.commit(&batch).await.unwrap();
    assert_eq!(w.sink.commit(&batch).await.unwrap(), Committed::Before);
    assert_eq!(w.number("SELECT count(*) FROM view_change").await, 3);
}

#[tokio::test]
async fn a_job_that_was_taken_over_changes_nothing() {
    let w = world().await;
    let (newer, _) = Sink::open(w.pool.clone(), "main", 2).await.unwrap();
    let batch = Batch::take(&mut w.outputs(), Epoch(0));
    assert!(matches!(
        w.sink.commit(&batch).await,
        Err(DataflowError::Fenced { generation: 1, .. })
    ));
    assert!(matches!(
        w.sink.checkpointed(Epoch(7)).await,
        Err(DataflowError::Fenced { .. })
    ));
    assert_eq!(w.number("SELECT count(*) FROM links").await, 0);
    assert_eq!(newer.commit(&batch).await.unwrap(), Committed::Now);
    assert!(matches!(
        Sink::open(w.pool.clone(), "main", 2).await,
        Err(DataflowError::Fenced { .. })
    ));
}

#[tokio::test]
async fn what_was_committed_before_a_kill_is_left_out_of_the_replay() {
    let w = world().await;
    let batch = Batch::take(&mut w.outputs(), Epoch(5));
    assert!(
        batch.devices.is_empty() && batch.device_events.is_empty() && batch.link_events.is_empty()
    );
    assert_eq!(batch.links.len(), 1);
}

#[tokio::test]
async fn deletions_reach_tables_and_streams() {
    let w = world().await;
    w.sink
        .commit(&Batch::take(&mut w.outputs(), Epoch(0)))
        .await
        .unwrap();
    let mut outputs = Outputs {
        upto: Epoch(8),
        devices: vec![
            (Epoch(8), w.device, None),
            (Epoch(8), DeviceId::new(), None),
        ],
        links: vec![(Epoch(8), w.link(9, LinkState::Down).id, None)],
        counts: vec![(Epoch(8), Place::Tenant(w.tenant), None)],
        ..Outputs::default()
    };
    w.sink
        .commit(&Batch::take(&mut outputs, Epoch(7)))
        .await
        .unwrap();
    for table in ["device_status", "links", "place_counts"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&w.pool).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    let sql = "SELECT count(*) FROM view_change WHERE epoch = 8 AND op = 'delete' AND row IS NULL AND tenant_id = $1";
    let deletions: i64 = sqlx::query_scalar(sql)
        .bind(w.tenant.0)
        .fetch_one(&w.pool)
        .await
        .unwrap();
    assert_eq!(
        deletions, 3,
        "a device that was never shown is told to nobody"
    );
}

#[tokio::test]
async fn gauges_keep_the_newest_value_and_go_with_their_link() {
    let w = world().await;
    let interval = Duration::from_secs(16);
    let begin = Instant::now();
    let mut buffer = GaugeBuffer::new(interval, begin);
    let place = Place::Site(w.tenant, SiteId::new());
    let signals = Signals {
        clients: 1,
        sum_dbm: -60,
        p10_dbm: Some(-60),
        worst_dbm: Some(-60),
    };
    let later = AT + mast_schemas::time::Span::secs(1);
    let mut outputs = Outputs {
        upto: Epoch(9),
        link_gauges: vec![
            w.gauge(9, -60, later),
            w.gauge(9, -99, AT),
            w.gauge(10, -70, AT),
        ],
        signals: vec![(Epoch(9), place, Some(signals))],
        ..Outputs::default()
    };
    buffer.merge(&mut outputs);
    let mut clock = begin;
    let mut turn = async |buffer: &mut GaugeBuffer| {
        let mut rows = 0;
        for _ in 0..16 {
            clock += interval / 16;
            let batch = buffer.take(clock).unwrap();
            rows += batch.rows();
            gauges::write(&w.pool, &batch).await.unwrap();
            assert!(buffer.take(clock).is_none(), "one slice at a time");
        }
        rows
    };
    assert_eq!(turn(&mut buffer).await, 3, "each key once an interval");
    assert_eq!(
        w.number("SELECT signal_dbm::bigint FROM link_gauges WHERE mac = 9")
            .await,
        -60
    );
    assert_eq!(w.number("SELECT sum_dbm FROM place_signals").await, -60);

    let old = w.gauge(10, -40, Timestamp(AT.0 - 1));
    let gone = w.link(9, LinkState::Down).id;
    let mut outputs = Outputs {
        upto: Epoch(10),
        link_gauges: vec![old, w.gauge(9, -61, later)],
        links: vec![(Epoch(10), gone, None)],
        ..Outputs::default()
    };
    buffer.merge(&mut outputs);
    turn(&mut buffer).await;
    assert_eq!(
        w.number("SELECT count(*) FROM link_gauges WHERE mac = 9")
            .await,
        0
    );
    assert_eq!(
        w.number("SELECT signal_dbm::bigint FROM link_gauges WHERE mac = 10")
            .await,
        -70,
        "an older value"
    );
    for row in [
        "place_past_clients (kind, id, tenant_id, hour_ago, epoch) SELECT 'site', gen_random_uuid(), gen_random_uuid(), 3, 1",
        "place_air (kind, id, tenant_id, interfaces, rx_bps, tx_bps, radios, noise_sum_dbm, epoch)
         SELECT 'site', gen_random_uuid(), gen_random_uuid(), 1, 8, 8, 0, 0, 1",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("INSERT INTO {row}"));
        sqlx::query(sql).execute(&w.pool).await.unwrap();
    }
    gauges::sweep(&w.pool).await.unwrap();
    assert_eq!(
        w.number("SELECT count(*) FROM link_gauges").await,
        0,
        "no such link"
    );
    assert_eq!(
        w.number("SELECT count(*) FROM place_past_clients").await,
        0,
        "no such place"
    );
    assert_eq!(
        w.number("SELECT count(*) FROM place_air").await,
        0,
        "a start begins without them"
    );
}

#[tokio::test]
async fn a_new_era_begins_when_the_views_are_forgotten() {
    let w = world().await;
    let batch = Batch::take(&mut w.outputs(), Epoch(0));
    w.sink.commit(&batch).await.unwrap();
    let era = w.number("SELECT era FROM job_progress").await;
    let (sink, _) = Sink::open(w.pool.clone(), "main", 2).await.unwrap();
    assert_eq!(
        w.number("SELECT era FROM job_progress").await,
        era,
        "a restart goes on with the same views"
    );
    sink.forget().await.unwrap();
    assert_eq!(w.number("SELECT era FROM job_progress").await, era + 1);
    assert_eq!(w.number("SELECT epoch FROM job_progress").await, 0);
    assert_eq!(w.number("SELECT count(*) FROM view_change").await, 0);
    assert!(matches!(
        w.sink.forget().await,
        Err(DataflowError::Fenced { .. })
    ));
    assert_eq!(
        w.number("SELECT era FROM job_progress").await,
        era + 1,
        "a job that was taken over begins none"
    );
}

#[tokio::test]
async fn old_changes_go_and_it_is_said_from_where_on_they_are_all_there() {
    let w = world().await;
    w.sink
        .commit(&Batch::take(&mut w.outputs(), Epoch(0)))
        .await
        .unwrap();
    let from = "SELECT changes_from FROM job_progress";
    assert_eq!(w.number(from).await, 0);
    let (interval, begin) = (Duration::from_secs(16), Instant::now());
    let mut buffer = GaugeBuffer::new(interval, begin);
    // Ten minutes are 2,400 slots: of the slots 5 and 7 the first is too old.
    buffer.merge(&mut Outputs {
        upto: Epoch(2_406),
        ..Outputs::default()
    });
    for n in 1..=16 {
        let batch = buffer.take(begin + interval / 16 * n).unwrap();
        gauges::write(&w.pool, &batch).await.unwrap();
    }
    assert_eq!(w.number(from).await, 6);
    assert_eq!(w.number("SELECT min(epoch) FROM view_change").await, 7);
}

/// Not a test of a promise: `cargo test -p mast-dataflow --release -- --ignored throughput --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn throughput_of_link_commits() {
    const ROWS: u64 = 20_000;
    let w = world().await;
    for (round, state) in [LinkState::Active, LinkState::Degraded, LinkState::Active]
        .into_iter()
        .enumerate()
    {
        let epoch = Epoch(round as u64 + 1);
        let links = (0..ROWS)
            .map(|mac| (epoch, w.link(mac, state).id, Some(w.link(mac, state))))
            .collect();
        let mut outputs = Outputs {
            upto: epoch,
            links,
            ..Outputs::default()
        };
        let started = Instant::now();
        w.sink
            .commit(&Batch::take(&mut outputs, Epoch(0)))
            .await
            .unwrap();
        println!(
            "round {round}: {:.0} rows/s",
            ROWS as f64 / started.elapsed().as_secs_f64()
        );
    }
}
