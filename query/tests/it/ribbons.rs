//! States as intervals, and their shares of a window.

use crate::fixture::{EPOCH, Fixture};

/// Seconds before the instant that the tables show, slot, outcome, states.
const EVENTS: [(i64, u64, Option<&str>, &str, &str); 4] = [
    (7_200, 100, Some("ok"), "unobserved", "online"),
    (3_600, 90, Some("timeout"), "online", "offline"),
    (1_800, 50, None, "offline", "unobserved"),
    // Bound late: the device had answered before the timer was due.
    (1_900, 40, Some("ok"), "unobserved", "online"),
];

async fn told(f: &Fixture, sql: &str) -> String {
    f.json(f.a, sql).await.unwrap().trim_end().to_owned()
}

async fn with_events() -> Fixture {
    let f = Fixture::new().await;
    let pool = f.dataflow().await;
    let now = i64::try_from(EPOCH).unwrap() * 250_000;
    for (ago_s, slots_ago, outcome, from, to) in EVENTS {
        sqlx::query(
            "INSERT INTO device_events (event_id, tenant_id, device_id, at, from_state, to_state, outcome, epoch)
             SELECT gen_random_uuid(), tenant_id, device_id, instant($1), $2, $3, $4, $5 FROM device_status
             WHERE state = 'online'",
        )
        .bind(now - ago_s * 1_000_000)
        .bind(from)
        .bind(to)
        .bind(outcome)
        .bind(i64::try_from(EPOCH - slots_ago).unwrap())
        .execute(&pool)
        .await
        .unwrap();
    }
    f
}

#[tokio::test]
async fn intervals_never_overlap_and_the_later_word_holds() {
    let f = with_events().await;
    let sql =
        "SELECT state, outcome FROM device_states WHERE device = 'ap-AAA-1' ORDER BY began_at";
    assert_eq!(
        told(&f, sql).await,
        r#"[{"state":"online","outcome":"ok"},{"state":"offline","outcome":"timeout"},"#.to_owned()
            + r#"{"state":"online","outcome":"ok"},{"state":"online","outcome":"ok"}]"#
    );
    let sql = "SELECT count(*) AS n FROM device_states a JOIN device_states b ON a.device_id = b.device_id
        AND a.began_at < b.began_at AND (a.ended_at IS NULL OR a.ended_at > b.began_at)";
    assert_eq!(told(&f, sql).await, r#"[{"n":0}]"#);
}

/// A job that was begun anew does not tell what its first views take back.
#[tokio::test]
async fn a_state_without_an_event_holds_after_all_that_was_told() {
    let f = Fixture::new().await;
    let pool = f.dataflow().await;
    for insert in [
        "INSERT INTO device_events (event_id, tenant_id, device_id, at, from_state, to_state, outcome, epoch)
         SELECT gen_random_uuid(), tenant_id, device_id, since + interval '10 s', 'offline', 'online', 'ok', epoch
         FROM device_status WHERE state = 'offline'",
        "INSERT INTO health_events (event_id, tenant_id, place_kind, place_id, at, from_state, to_state, epoch)
         SELECT gen_random_uuid(), tenant_id, kind, id, since + interval '10 s', 'degraded', 'up', epoch
         FROM place_health",
        "UPDATE place_health SET state = 'unknown', since = since + interval '1 s'",
    ] {
        sqlx::query(insert).execute(&pool).await.unwrap();
    }
    let sql =
        "SELECT state, began_at > as_of - interval '15 seconds' AS late, ended_at IS NULL AS now
        FROM device_states WHERE device = 'ap-AAA-2'";
    assert_eq!(
        told(&f, sql).await,
        r#"[{"state":"offline","late":true,"now":true}]"#
    );
    let sql = "SELECT state, ended_at IS NULL AS now FROM place_states ORDER BY began_at";
    assert_eq!(
        told(&f, sql).await,
        r#"[{"state":"degraded","now":false},{"state":"unknown","now":true}]"#
    );
}

#[tokio::test]
async fn shares_add_up_to_the_window_and_unobserved_time_is_neither_up_nor_down() {
    let f = with_events().await;
    let sql =
        "SELECT online_s, offline_s, unmanageable_s, unobserved_s, round(availability * 7200) AS n
        FROM device_availability WHERE device = 'ap-AAA-1' AND window_hours = 24";
    assert_eq!(
        told(&f, sql).await,
        r#"[{"online_s":5500.0,"offline_s":1700.0,"unmanageable_s":0.0,"unobserved_s":79200.0,"n":5500.0}]"#
    );
    // One that was never observed, and three windows of each device.
    let sql = "SELECT count(*) AS n, count(availability) AS known, sum(unobserved_s) AS s FROM device_availability
        WHERE device = 'Zz-AAA'";
    assert_eq!(told(&f, sql).await, r#"[{"n":3,"known":0,"s":3283200.0}]"#);
    let sql = "SELECT degraded_s < 25 AND degraded_s > 24 AS short, down_s, availability FROM place_availability
        WHERE window_hours = 720";
    assert_eq!(
        told(&f, sql).await,
        r#"[{"short":true,"down_s":0.0,"availability":1.0}]"#
    );
}

/// A day that was up for 12 h, in maintenance for 6, down for 4 and up again to its end.
#[tokio::test]
async fn time_in_maintenance_is_neither_up_nor_down_nor_unobserved() {
    let f = Fixture::new().await;
    let pool = f.dataflow().await;
    sqlx::query(
        "INSERT INTO health_events (event_id, tenant_id, place_kind, place_id, at, from_state, to_state, epoch)
         SELECT gen_random_uuid(), tenant_id, 'tenant', tenant_id, instant($1) - make_interval(hours => h), f, s, $2 - h * 14400
         FROM place_health CROSS JOIN (VALUES (24, NULL, 'up'), (12, 'up', 'maintenance'), (6, 'maintenance', 'down'),
             (2, 'down', 'up')) AS x (h, f, s)",
    )
    .bind(i64::try_from(EPOCH).unwrap() * 250_000)
    .bind(i64::try_from(EPOCH).unwrap())
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO place_health (kind, id, tenant_id, state, since, epoch)
         SELECT 'tenant', tenant_id, tenant_id, 'up', instant($1) - interval '2 hours', $2 - 28800 FROM place_health",
    )
    .bind(i64::try_from(EPOCH).unwrap() * 250_000)
    .bind(i64::try_from(EPOCH).unwrap())
    .execute(&pool)
    .await
    .unwrap();
    let sql = "SELECT window_hours AS h, up_s / 3600 AS up, down_s / 3600 AS down, maintenance_s / 3600 AS maintenance,
        unobserved_s / 3600 AS unobserved, round(availability * 18) AS of_18
        FROM place_availability WHERE place_kind = 'tenant' AND window_hours < 720 ORDER BY window_hours";
    assert_eq!(
        told(&f, sql).await,
        r#"[{"h":24,"up":14.0,"down":4.0,"maintenance":6.0,"unobserved":0.0,"of_18":14.0},"#
            .to_owned()
            + r#"{"h":168,"up":14.0,"down":4.0,"maintenance":6.0,"unobserved":144.0,"of_18":14.0}]"#
    );
    let sql = "SELECT state FROM place_states WHERE place_kind = 'tenant' ORDER BY began_at";
    assert_eq!(
        told(&f, sql).await,
        r#"[{"state":"up"},{"state":"maintenance"},{"state":"down"},{"state":"up"}]"#
    );
    // All of an hour in maintenance has no availability.
    for change in [
        "DELETE FROM health_events WHERE place_kind = 'tenant' AND to_state <> 'maintenance'",
        "UPDATE place_health SET state = 'maintenance', since = since - interval '10 hours' WHERE kind = 'tenant'",
    ] {
        sqlx::query(change).execute(&pool).await.unwrap();
    }
    let sql =
        "SELECT maintenance_s / 3600 AS h, availability IS NULL AS none FROM place_availability
        WHERE place_kind = 'tenant' AND window_hours = 24";
    assert_eq!(told(&f, sql).await, r#"[{"h":12.0,"none":true}]"#);
}
