//! Alerts, incidents, rules and trends as SQL shows them.

use crate::fixture::Fixture;

#[tokio::test]
async fn what_is_open_is_shown_with_names_and_decimals() {
    let f = Fixture::new().await;
    let sql = "SELECT rule, subject, site, value, status, as_of IS NOT NULL AS dated FROM alerts";
    assert_eq!(
        f.json(f.a, sql).await.unwrap().trim(),
        r#"[{"rule":null,"subject":"ap-AAA-1","site":"site-AAA","value":91.5,"status":"open","dated":true}]"#
    );
    let sql = "SELECT root, site, alerts, devices_most FROM incidents WHERE severity = 'warning'";
    assert_eq!(
        f.json(f.a, sql).await.unwrap().trim(),
        r#"[{"root":"ap-AAA-1","site":"site-AAA","alerts":1,"devices_most":1}]"#
    );
    let sql = "SELECT mac, ap, test, baseline_dbm, opened_dbm FROM trends WHERE opened_dbm < -66";
    assert_eq!(
        f.json(f.a, sql).await.unwrap().trim(),
        r#"[{"mac":"00:00:00:00:00:07","ap":"ap-AAA-1","test":"day","baseline_dbm":-60.0,"opened_dbm":-66.5}]"#
    );
    let sql = "SELECT name, kind, enter, clear, hits FROM rules WHERE kind IN ('cpu', 'offline') ORDER BY kind";
    assert_eq!(
        f.json(f.a, sql).await.unwrap().trim(),
        r#"[{"name":"CPU load","kind":"cpu","enter":90.0,"clear":80.0,"hits":5},{"name":"Device offline","kind":"offline","enter":null,"clear":null,"hits":1}]"#
    );
}

#[tokio::test]
async fn their_events_are_history() {
    let f = Fixture::new().await;
    let sql =
        "SELECT change, count(*) AS n, max(value_milli) AS v FROM alert_events GROUP BY change";
    assert_eq!(
        f.json(f.a, sql).await.unwrap().trim(),
        r#"[{"change":"opened","n":2,"v":91500}]"#
    );
    let sql = "SELECT min(recent_cdbm) AS least FROM trend_events WHERE mac = '02:00:00:00:00:02'";
    let trends = f.json(f.a, sql).await.unwrap();
    assert_eq!(trends.trim(), r#"[{"least":-6650}]"#);
    let sql = "SELECT root_kind, alerts FROM incident_events LIMIT 1";
    let incidents = f.json(f.a, sql).await.unwrap();
    assert_eq!(incidents.trim(), r#"[{"root_kind":"device","alerts":1}]"#);
}
