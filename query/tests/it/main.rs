//! Queries as tenant A asks them, over a database and a lake that hold tenant B's rows too.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod cancel;
mod clients;
mod endless;
mod fixture;
mod hostile;
mod pruning;
mod ribbons;
mod series;
mod upkeep;

use std::time::Duration;

use fixture::Fixture;
use mast_query::{Format, QueryError, TenantScope, format};

/// Every table, with one of its columns.
pub(crate) const TABLES: &[&str] = &[
    "devices",
    "sites",
    "sectors",
    "links",
    "clients",
    "alerts",
    "incidents",
    "rules",
    "trends",
    "device_states",
    "device_availability",
    "place_states",
    "place_availability",
    "polls",
    "interface_samples",
    "registration_samples",
    "radio_samples",
    "link_events",
    "device_events",
    "arp_entries",
    "dhcp_leases",
    "neighbors",
    "route_summaries",
    "firmware",
    "device_log",
    "site_health_history",
    "alert_events",
    "incident_events",
    "trend_events",
    "registration_1m",
    "registration_15m",
    "registration_1h",
    "registration_1d",
    "interface_1m",
    "interface_15m",
    "interface_1h",
    "interface_1d",
    "radio_1m",
    "radio_15m",
    "radio_1h",
    "radio_1d",
    "poll_1m",
    "poll_15m",
    "poll_1h",
    "poll_1d",
];

#[tokio::test]
async fn each_table_has_ones_own_rows_only() {
    let f = Fixture::new().await;
    for table in TABLES {
        let a = f
            .json(f.a, &format!("SELECT * FROM {table}"))
            .await
            .unwrap();
        let b = f
            .json(f.b, &format!("SELECT * FROM {table}"))
            .await
            .unwrap();
        assert!(
            a.contains(&f.a.to_string()) && !f.tells_of_b(&a),
            "{table}: {a}"
        );
        assert!(
            f.tells_of_b(&b) && !b.contains(&f.a.to_string()),
            "{table}: {b}"
        );
        let counted = f
            .json(f.a, &format!("SELECT count(*) AS n FROM {table}"))
            .await
            .unwrap();
        let listed = f
            .session(f.a)
            .sql(&format!("SELECT * FROM {table}"))
            .await
            .unwrap();
        let rows: usize = listed
            .collect()
            .await
            .unwrap()
            .iter()
            .map(|b| b.num_rows())
            .sum();
        assert_eq!(counted.trim(), format!("[{{\"n\":{rows}}}]"), "{table}");
    }
}

#[tokio::test]
async fn pushed_down_conditions_mean_the_same_as_those_that_are_not() {
    let f = Fixture::new().await;
    let plain = f.without_pushdown();
    for condition in [
        "name = 'ap-AAA-1'",
        "name <> 'ap-AAA-1'",
        "name < 'ap-AAA-2'",
        "name >= 'ap-AAA-1' AND name <= 'b'",
        "name IN ('ap-AAA-1', 'Zz')",
        "name NOT IN ('ap-AAA-1', 'Zz')",
        "name LIKE 'ap-%'",
        "name NOT LIKE 'ap-%'",
        "name LIKE '%AAA%'",
        "name LIKE 'ap_AAA%'",
        "name ILIKE 'AP-%'",
        "name BETWEEN 'Z' AND 'b'",
        "outcome IS NULL",
        "outcome IS NOT NULL AND NOT (state = 'online')",
        "state = 'online' OR cpu_load_percent > 50",
        "cpu_load_percent >= 10 AND cpu_load_percent < 60",
        "cpu_load_percent <> 10",
        "NOT (cpu_load_percent = 10)",
        "interval_ms = 30000",
        "uptime_s BETWEEN 1 AND 1000000",
        "enabled",
        "NOT enabled",
        "enabled = false",
        "since > '2023-01-01T00:00:00Z'",
        "since = '2023-11-14T22:13:20.123456Z'",
        "since < '2200-01-01T00:00:00Z'",
        "device_id = '00000000-0000-0000-0000-00000000a001'",
        "device_id = '00000000-0000-0000-0000-00000000A001'",
        "device_id <> '00000000-0000-0000-0000-00000000a001'",
        "device_id IN ('00000000-0000-0000-0000-00000000a001', 'x')",
        "device_id > '00000000-0000-0000-0000-00000000a001'",
        "name = 'x'' OR ''1''=''1'",
    ] {
        let sql = format!("SELECT * FROM devices WHERE {condition} ORDER BY device_id");
        let (fast, slow) = (
            f.json(f.a, &sql).await.unwrap(),
            plain.json(f.a, &sql).await.unwrap(),
        );
        assert_eq!(fast, slow, "{condition}");
    }
    for condition in [
        "mac = '02:00:00:00:0A:01'",
        "mac = '02:00:00:00:0a:01'",
        "mac > '02:00:00:00:0A:01'",
        "mac IN ('02:00:00:00:0A:01', 'x')",
        "signal_dbm < -60",
        "tx_rate_bps > 1000",
        "unobserved OR ambiguous",
    ] {
        for table in ["links", "clients"] {
            let sql = format!("SELECT * FROM {table} WHERE {condition} ORDER BY mac, ap");
            let (fast, slow) = (
                f.json(f.a, &sql).await.unwrap(),
                plain.json(f.a, &sql).await.unwrap(),
            );
            assert_eq!(fast, slow, "{table}: {condition}");
        }
    }
}

#[tokio::test]
async fn history_is_filtered_by_what_is_shown_and_a_late_repetition_is_one_row() {
    let f = Fixture::new().await;
    let count = async |condition: &str| {
        let sql = format!("SELECT count(*) AS n FROM registration_samples WHERE {condition}");
        f.json(f.a, &sql).await.unwrap().trim().to_owned()
    };
    assert_eq!(
        count("true").await,
        r#"[{"n":4}]"#,
        "the late repetition of one row is left out"
    );
    assert_eq!(count("late").await, r#"[{"n":0}]"#);
    assert_eq!(count("mac = '02:00:00:00:0A:01'").await, r#"[{"n":2}]"#);
    assert_eq!(count("mac = '02:00:00:00:0a:01'").await, r#"[{"n":0}]"#);
    assert_eq!(
        count("device_id = '00000000-0000-0000-0000-00000000a001' AND signal_dbm < -60").await,
        r#"[{"n":4}]"#
    );
    assert_eq!(
        count("observed_at < '2023-11-14T22:13:21Z'").await,
        r#"[{"n":2}]"#
    );
    let plan = f
        .json(
            f.a,
            "EXPLAIN SELECT mac FROM polls p JOIN links l ON p.device_id = l.ap_device_id",
        )
        .await;
    assert!(
        plan.unwrap().contains("tenant_id"),
        "the tenant condition is in the plan"
    );
}

#[tokio::test]
async fn history_is_grouped_by_what_is_stored_in_another_form() {
    let f = Fixture::new().await;
    for (sql, answer) in [
        (
            "SELECT device_id, mac, count(*) AS n FROM registration_samples GROUP BY device_id, mac ORDER BY mac LIMIT 1",
            r#"[{"device_id":"00000000-0000-0000-0000-00000000a001","mac":"02:00:00:00:0A:01","n":2}]"#,
        ),
        (
            "SELECT count(DISTINCT device_id) AS n FROM registration_samples",
            r#"[{"n":1}]"#,
        ),
        (
            "SELECT outcome, count(*) > 0 AS some FROM polls GROUP BY outcome ORDER BY outcome LIMIT 1",
            r#"[{"outcome":"ok","some":true}]"#,
        ),
    ] {
        assert_eq!(f.json(f.a, sql).await.unwrap().trim(), answer, "{sql}");
    }
}

#[tokio::test]
async fn a_join_reads_now_and_history_in_one_snapshot() {
    let f = Fixture::new().await;
    let sql = "SELECT d.name, l.mac, l.ap, l.cpe, l.site, count(*) AS samples, min(r.signal_dbm) AS worst_dbm
               FROM links l JOIN devices d ON d.device_id = l.ap_device_id
               JOIN registration_samples r ON r.device_id = l.ap_device_id AND r.mac = l.mac
               GROUP BY ALL ORDER BY l.mac";
    let sql = sql.replace(
        "GROUP BY ALL",
        "GROUP BY d.name, l.mac, l.ap, l.cpe, l.site",
    );
    let answer = f.json(f.a, &sql).await.unwrap();
    assert!(answer.starts_with(
        r#"[{"name":"ap-AAA-1","mac":"02:00:00:00:0A:01","ap":"ap-AAA-1","cpe":"cpe-AAA","site":"site-AAA","samples":2"#
    ), "{answer}");
    let result = f.session(f.a).sql("SELECT 1").await.unwrap();
    assert_eq!(
        result.as_of(),
        Some(mast_schemas::Epoch(fixture::EPOCH).end())
    );
}

#[tokio::test]
async fn all_tenants_are_told_apart_by_name() {
    let f = Fixture::new().await;
    for table in TABLES {
        let sql = format!(
            "SELECT tenant, count(*) > 0 AS some FROM {table} GROUP BY tenant ORDER BY tenant"
        );
        let answer = f
            .json_of(TenantScope::All(f.tenants()), &sql)
            .await
            .unwrap();
        assert_eq!(
            answer.trim(),
            r#"[{"tenant":"alpha","some":true},{"tenant":"beta","some":true}]"#,
            "{table}"
        );
    }
    let none = f.json_of(TenantScope::All(vec![]), "SELECT 1").await;
    assert!(matches!(none, Err(QueryError::Limit(_))));
}

#[tokio::test]
async fn formats_are_what_they_say() {
    let f = Fixture::new().await;
    let write = async |sql: &str, to: Format| {
        let mut out = Vec::new();
        let rows = format(f.session(f.a).sql(sql).await.unwrap(), to, &mut out)
            .await
            .unwrap();
        (rows, out)
    };
    let sql = "SELECT name, outcome, since FROM devices WHERE name = 'ap-AAA-1'";
    let text = async |sql: &str, to| String::from_utf8(write(sql, to).await.1).unwrap();
    assert_eq!(
        text(sql, Format::Json).await,
        "[{\"name\":\"ap-AAA-1\",\"outcome\":\"ok\",\"since\":\"2023-11-14T22:13:20.123456Z\"}]\n"
    );
    assert_eq!(
        text(sql, Format::Csv).await,
        "name,outcome,since\nap-AAA-1,ok,2023-11-14T22:13:20.123456Z\n"
    );
    assert!(
        text(sql, Format::Table)
            .await
            .contains("| ap-AAA-1 | ok      | 2023-11-14T22:13:20.123456Z |")
    );
    let none = "SELECT name FROM devices WHERE name = 'none'";
    assert_eq!(text(none, Format::Json).await, "[]\n");
    assert_eq!(text(none, Format::Csv).await, "name\n");
    let (rows, bytes) = write(sql, Format::Arrow).await;
    let batches = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let read: usize = batches.map(|b| b.unwrap().num_rows()).sum();
    assert_eq!((rows, read), (1, 1));
}

#[tokio::test]
async fn limits_stop_a_query_with_a_word_why() {
    let f = Fixture::new().await;
    let limited = f.limited(Duration::from_secs(30), 10, 8 << 20);
    let answer = limited
        .json(f.a, "SELECT * FROM generate_series(1, 11)")
        .await;
    assert!(
        matches!(&answer, Err(QueryError::Limit(why)) if why.contains("10 rows")),
        "{answer:?}"
    );
    let hungry = "SELECT max(a.value + b.value) FROM generate_series(1, 1000000) a
                  JOIN generate_series(1, 1000000) b ON a.value = b.value";
    let answer = limited.json(f.a, hungry).await;
    assert!(matches!(&answer, Err(QueryError::Limit(_))), "{answer:?}");
    let hasty = f.limited(Duration::from_millis(300), 10, 256 << 20);
    let endless =
        "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b";
    let answer = hasty.json(f.a, endless).await;
    assert!(
        matches!(&answer, Err(QueryError::Limit(why)) if why.contains("longer")),
        "{answer:?}"
    );
}
