//! The health of places in real Postgres.

use std::time::{Duration, Instant};

use mast_dataflow::outputs::Outputs;
use mast_dataflow::sink::Batch;
use mast_dataflow::sink::gauges::{self, GaugeBuffer};
use mast_schemas::time::Span;
use mast_schemas::views::{
    Health, HealthEvent, HealthState, PastClients, Place, PlaceAir, health_event_id,
};
use mast_schemas::{Epoch, SiteId, Timestamp};

use crate::sink::{AT, World, world};

fn event(place: Place, at: Timestamp, to: Option<HealthState>) -> HealthEvent {
    HealthEvent {
        event_id: health_event_id(&place, at, Some(HealthState::Up), to),
        tenant_id: place.tenant(),
        place_kind: place.kind(),
        place_id: place.id(),
        at,
        from_state: Some(HealthState::Up),
        to_state: to,
    }
}

async fn changes(w: &World) -> Vec<(i64, String, String)> {
    sqlx::query_as("SELECT epoch, view, op FROM view_change ORDER BY epoch, n")
        .fetch_all(&w.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_place_shows_its_last_state_and_each_transition_once_until_it_has_no_device() {
    let w = world().await;
    let place = Place::Site(w.tenant, SiteId::new());
    let later = AT + Span::secs(1);
    let health = |state, since| Some(Health { state, since });
    let mut outputs = Outputs {
        upto: Epoch(7),
        health: vec![
            (Epoch(5), place, health(HealthState::Up, AT)),
            (Epoch(7), place, health(HealthState::Degraded, later)),
        ],
        health_events: vec![(Epoch(7), event(place, later, Some(HealthState::Degraded)))],
        ..Outputs::default()
    };
    w.sink
        .commit(&Batch::take(&mut outputs, Epoch(0)))
        .await
        .unwrap();
    let shown: (String, uuid::Uuid, String, i64) =
        sqlx::query_as("SELECT kind, id, state, micros(since) FROM place_health")
            .fetch_one(&w.pool)
            .await
            .unwrap();
    let expected = ("site".to_owned(), place.id().0, "degraded".to_owned());
    assert_eq!(shown, (expected.0, expected.1, expected.2, later.0));
    let told: (String, Option<String>, Option<String>) =
        sqlx::query_as("SELECT place_kind, from_state, to_state FROM health_events")
            .fetch_one(&w.pool)
            .await
            .unwrap();
    let word = |word: &str| Some(word.to_owned());
    assert_eq!(told, ("site".to_owned(), word("up"), word("degraded")));

    let mut outputs = Outputs {
        upto: Epoch(8),
        health: vec![(Epoch(8), place, None)],
        health_events: vec![
            (Epoch(7), event(place, later, Some(HealthState::Degraded))),
            (Epoch(8), event(place, later, None)),
        ],
        ..Outputs::default()
    };
    w.sink
        .commit(&Batch::take(&mut outputs, Epoch(7)))
        .await
        .unwrap();
    assert_eq!(w.number("SELECT count(*) FROM place_health").await, 0);
    assert_eq!(w.number("SELECT count(*) FROM health_events").await, 2);
    let view = |epoch, op: &str| (epoch, "site_health".to_owned(), op.to_owned());
    assert_eq!(changes(&w).await, [view(7, "upsert"), view(8, "delete")]);
}

#[tokio::test]
async fn past_traffic_and_noise_are_gauges_of_the_place_and_go_with_it() {
    let w = world().await;
    let (interval, begin) = (Duration::from_secs(16), Instant::now());
    let mut buffer = GaugeBuffer::new(interval, begin);
    let place = Place::Site(w.tenant, SiteId::new());
    let past = PastClients {
        hour_ago: Some(7),
        week_ago: None,
    };
    let air = PlaceAir {
        interfaces: 2,
        rx_bps: 5_000_000_000,
        tx_bps: 3,
        radios: 1,
        noise_sum_dbm: -97,
        noise_worst_dbm: Some(-97),
    };
    let mut clock = begin;
    let mut turn = async |outputs: &mut Outputs| {
        buffer.merge(outputs);
        for _ in 0..16 {
            clock += interval / 16;
            let batch = buffer.take(clock).unwrap();
            gauges::write(&w.pool, &batch).await.unwrap();
        }
    };
    turn(&mut Outputs {
        upto: Epoch(9),
        past_clients: vec![
            (Epoch(8), place, Some(PastClients::default())),
            (Epoch(9), place, Some(past)),
        ],
        air: vec![(Epoch(9), place, Some(air))],
        ..Outputs::default()
    })
    .await;
    let row: (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT hour_ago, week_ago FROM place_past_clients")
            .fetch_one(&w.pool)
            .await
            .unwrap();
    assert_eq!(row, (Some(7), None));
    let row: (i64, i64, i64, i64, i64, Option<i16>) = sqlx::query_as(
        "SELECT interfaces, rx_bps, tx_bps, radios, noise_sum_dbm, noise_worst_dbm FROM place_air",
    )
    .fetch_one(&w.pool)
    .await
    .unwrap();
    assert_eq!(row, (2, 5_000_000_000, 3, 1, -97, Some(-97)));

    turn(&mut Outputs {
        upto: Epoch(10),
        past_clients: vec![(Epoch(10), place, None)],
        air: vec![(Epoch(10), place, None)],
        ..Outputs::default()
    })
    .await;
    let left =
        "SELECT (SELECT count(*) FROM place_past_clients) + (SELECT count(*) FROM place_air)";
    assert_eq!(w.number(left).await, 0);
}
