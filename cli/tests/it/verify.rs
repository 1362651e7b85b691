//! `mast verify` on history that was broken on purpose: each breach is found, named, and told from the other laws.

use std::path::Path;

use mast_log::fault;
use mast_postgres::{Private, Role};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{demo, folder, last_json, law, mast, verified, verify};

/// Law 3 is broken and no other; its examples.
fn broken(data: &Path) -> String {
    let (kept, report) = verify(data);
    assert!(!kept, "{report}");
    assert_eq!(law(&report, 3)["breaches"], report["breaches"], "{report}");
    law(&report, 3)["examples"].to_string()
}

/// What `mast lake check` says, and whether it found nothing wrong.
fn lake_check(data: &Path) -> (bool, Value) {
    let output = mast(&["lake", "check", "--json", "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    (output.status.success(), last_json(&output))
}

/// Runs a statement that touches one row of the manifest.
async fn change(pool: &PgPool, sql: &'static str) {
    let done = sqlx::query(sql).execute(pool).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
}

async fn file_of(pool: &PgPool, table: &str) -> String {
    let sql = "SELECT files -> 0 ->> 'path' FROM lake_manifest WHERE table_name = $1 AND rows > 0";
    let path = sqlx::query_scalar(sql).bind(table).fetch_one(pool);
    path.await.unwrap()
}

#[tokio::test]
async fn history_that_lost_or_repeats_rows_breaks_the_third_law() {
    let folder = folder();
    let data = folder.path().join("data");
    // The log still holds all that the first range of history has: there was no checkpoint yet.
    let mut child = demo(&data, (12, "1s"), &["--for", "60s"]);
    for table in ["MAST_INGEST_ARP_EVERY", "MAST_INGEST_DHCP_LEASES_EVERY"] {
        child.env(table, "1s");
    }
    let output = child.env(fault::VARIABLE, "after_manifest:1").output();
    assert!(!output.unwrap().status.success());
    let private = Private::start(&data.join("postgres")).await.unwrap();
    let pool = private.pool(Role::Dataflow, 2).await.unwrap();
    let report: Value = verified(&data);
    assert!(law(&report, 3)["checked"].as_u64() > Some(100), "{report}");

    // A range that the manifest does not name.
    change(
        &pool,
        "UPDATE lake_manifest SET table_name = 'aside' WHERE table_name = 'polls'",
    )
    .await;
    let found = broken(&data);
    assert!(found.contains("rows in polls 0, not 1"), "{found}");
    change(
        &pool,
        "UPDATE lake_manifest SET table_name = 'polls' WHERE table_name = 'aside'",
    )
    .await;

    change(
        &pool,
        "UPDATE lake_manifest SET table_name = 'aside' WHERE table_name = 'site_health_history'",
    )
    .await;
    let found = broken(&data);
    assert!(found.contains("in the lake []"), "{found}");
    change(
        &pool,
        "UPDATE lake_manifest SET table_name = 'site_health_history' WHERE table_name = 'aside'",
    )
    .await;

    // A range that it names twice.
    let twice = "INSERT INTO lake_manifest (job, table_name, epoch_from, epoch_to, files, rows, bytes)
                 SELECT job, table_name, epoch_from + 1, epoch_to, files, rows, bytes FROM lake_manifest
                 WHERE table_name = 'registration_samples'";
    change(&pool, twice).await;
    let found = broken(&data);
    assert!(found.contains("is named twice"), "{found}");
    let once =
        "DELETE FROM lake_manifest WHERE table_name = 'registration_samples' AND epoch_from > 0";
    change(&pool, once).await;

    // A file that is gone.
    let file = data
        .join("lake")
        .join(file_of(&pool, "device_events").await);
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).unwrap();
    let found = broken(&data);
    assert!(found.contains("No such file"), "{found}");
    let (whole, report) = lake_check(&data);
    assert!(!whole, "{report}");
    let found = report["findings"][0].as_str().unwrap();
    assert!(found.contains("device_events") && found.contains("No such file"));

    // Another file in its place.
    std::fs::copy(
        data.join("lake").join(file_of(&pool, "link_events").await),
        &file,
    )
    .unwrap();
    let found = broken(&data);
    assert!(found.contains("rows, not"), "{found}");
    assert!(found.contains("is in the lake once too often"), "{found}");
    std::fs::rename(&aside, &file).unwrap();

    verified(&data);
    wrong_views(&data, &pool).await;
    verified(&data);
    let (whole, report) = lake_check(&data);
    assert!(whole && report["findings"] == json!([]), "{report}");
    let rows: i64 = sqlx::query_scalar("SELECT sum(rows)::bigint FROM lake_manifest")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(report["rows"], rows);
    pool.close().await;
    private.stop().await.unwrap();
}

/// A view of a place that is wrong breaks the first law and the fourth, one of a client the first; an event too few the second.
async fn wrong_views(data: &Path, pool: &PgPool) {
    let one = "(SELECT id FROM place_health WHERE kind = 'site' AND state = 'up' LIMIT 1)";
    for (wrong, right, says) in [
        (
            format!("UPDATE place_health SET state = 'down' WHERE id = {one}"),
            "UPDATE place_health SET state = 'up' WHERE kind = 'site' AND state = 'down'",
            "a place is as its devices are",
        ),
        (
            format!("UPDATE place_health SET state = 'maintenance' WHERE id = {one}"),
            "UPDATE place_health SET state = 'up' WHERE state = 'maintenance'",
            "a place is in maintenance while a window that covers it is open",
        ),
        (
            format!(
                "UPDATE place_counts SET devices_online = devices_online + 1000 WHERE id = {one}"
            ),
            "UPDATE place_counts SET devices_online = devices_online - 1000 WHERE devices_online > 1000",
            "devices and links of a place by state add up",
        ),
    ] {
        let done = sqlx::query(sqlx::AssertSqlSafe(wrong)).execute(pool).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
        let (kept, report) = verify(data);
        assert!(!kept, "{report}");
        for number in [1, 4] {
            assert!(
                law(&report, number)["breaches"].as_u64() > Some(0),
                "{report}"
            );
        }
        let found = law(&report, 4)["examples"].to_string();
        assert!(found.contains(says), "{found}");
        change(pool, right).await;
    }
    let turned =
        "UPDATE client_addresses SET source = CASE source WHEN 'arp' THEN 'dhcp' ELSE 'arp' END
                  WHERE mac = (SELECT min(mac) FROM client_addresses)";
    change(pool, turned).await;
    let (_, report) = verify(data);
    assert_eq!(law(&report, 1)["breaches"], 1, "{report}");
    let found = law(&report, 1)["examples"].to_string();
    assert!(found.contains("address is ClientAddress"), "{found}");
    change(pool, turned).await;
    let lost = "UPDATE health_events SET epoch = 0 WHERE event_id = (SELECT event_id FROM health_events LIMIT 1)";
    change(pool, lost).await;
    let (_, report) = verify(data);
    let found = law(&report, 2)["examples"].to_string();
    assert!(found.contains("is missing"), "{report}");
    let found_again = "UPDATE health_events SET epoch = micros(at) / 250000 - 1 WHERE epoch = 0";
    change(pool, found_again).await;
}

/// What somebody changed by hand in alerts, incidents and trends is found, and named.
#[tokio::test]
async fn alerts_incidents_and_trends_that_were_changed_by_hand_break_their_laws() {
    let folder = folder();
    let data = folder.path().join("data");
    let scenario = folder.path().join("trouble.txt");
    std::fs::write(&scenario, "at 12s ap_dead ap=1 for=1h\n").unwrap();
    let more = ["--for", "45s", "--scenario", scenario.to_str().unwrap()];
    let output = demo(&data, (30, "1s"), &more).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let private = Private::start(&data.join("postgres")).await.unwrap();
    let pool = private.pool(Role::Dataflow, 2).await.unwrap();
    let report: Value = verified(&data);
    let (two, four) = (law(&report, 2), law(&report, 4));
    assert!(two["checked"].as_u64() > Some(0) && four["checked"].as_u64() > Some(0));
    let id = async |sql: &'static str| -> String {
        let id = sqlx::query_scalar(sql).fetch_one(&pool).await;
        id.unwrap_or_else(|e| panic!("{sql}: {e}"))
    };
    let alert = id(
        "SELECT alert_id::text FROM alerts WHERE kind = 'offline' AND resolved_at IS NULL \
        AND status = 'open' LIMIT 1",
    )
    .await;
    let incident = id("SELECT incident_id::text FROM incidents WHERE closed_at IS NULL ORDER BY opened_at LIMIT 1").await;
    let (of_alert, of_incident, of_ap) = (other("alerts"), other("incidents"), other("ap"));
    // Law by law, which of them breaks and what its examples name.
    let wrong = [
        (
            format!("UPDATE alerts SET status = 'waiting' WHERE alert_id = '{alert}'"),
            format!("UPDATE alerts SET status = 'open' WHERE alert_id = '{alert}'"),
            vec![(1, alert.as_str())],
        ),
        (
            format!("UPDATE incidents SET devices = devices + 100 WHERE incident_id = '{incident}'"),
            format!("UPDATE incidents SET devices = devices - 100 WHERE incident_id = '{incident}'"),
            vec![(1, incident.as_str()), (4, incident.as_str())],
        ),
        (
            format!("UPDATE alerts SET tenant_id = {of_alert} WHERE alert_id = '{alert}'"),
            format!("UPDATE alerts SET tenant_id = {of_alert} WHERE alert_id = '{alert}'"),
            vec![(1, alert.as_str()), (5, alert.as_str())],
        ),
        (
            format!("UPDATE incidents SET tenant_id = {of_incident} WHERE incident_id = '{incident}'"),
            format!("UPDATE incidents SET tenant_id = {of_incident} WHERE incident_id = '{incident}'"),
            vec![(1, incident.as_str()), (5, incident.as_str())],
        ),
        (
            format!(
                "INSERT INTO trends (tenant_id, mac, since, ap_device_id, radio_mac, test, baseline_cdbm, opened_cdbm, epoch)
                 SELECT {of_ap}, 1, now(), device_id, 2, 'day', -6000, -6600, 1 FROM device_status AS ap LIMIT 1"
            ),
            "DELETE FROM trends".to_owned(),
            vec![(1, "trend"), (5, "trend of 00:00:00:00:00:01")],
        ),
    ];
    for (wrong, right, laws) in wrong {
        by_hand(&pool, &wrong).await;
        let (kept, report) = verify(&data);
        assert!(!kept, "{wrong}: {report}");
        for (number, names) in laws {
            let found = law(&report, number)["examples"].to_string();
            assert!(found.contains(names), "{wrong}: {number}: {report}");
        }
        by_hand(&pool, &right).await;
    }
    verified(&data);
    pool.close().await;
    private.stop().await.unwrap();
}

/// The tenant that a row of a table is not of: the demo has two.
fn other(table: &str) -> String {
    format!(
        "(SELECT d.tenant_id FROM device_status AS d WHERE d.tenant_id <> {table}.tenant_id LIMIT 1)"
    )
}

/// A statement of an operator, which touches one row.
async fn by_hand(pool: &PgPool, sql: &str) {
    let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
    let done = done.execute(pool).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{sql}");
}
