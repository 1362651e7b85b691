//! Rules and maintenance windows as people write them; alerts, incidents and trends, and what people do about them.

use mast_schemas::alerts::{RuleKind, RuleSubject, Scope};
use mast_schemas::control::Change;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{A, Answer, B, World, seen_at};

const RULES: &str = "/api/v1/rules";
const WINDOWS: &str = "/api/v1/maintenance-windows";

fn at(answer: &Answer) -> String {
    answer.header("location").unwrap().to_owned()
}

fn cpu() -> Value {
    json!({ "name": "hot", "kind": "cpu", "operator": "gt", "enter": 90.5, "clear": 80, "hits": 3, "severity": "warning" })
}

/// Which fields a refusal names.
fn pointers(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.problem(), 422);
    let json = answer.json();
    let errors = json["errors"].as_array().unwrap().iter();
    errors
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_rule_lives() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let made = operator.post(RULES, cpu()).await;
    assert_eq!(made.status, 201, "{made}");
    let rule = made.json();
    for (field, value) in [
        ("scope", json!("tenant")),
        ("scope_id", Value::Null),
        ("subject", json!("device")),
        ("enter", json!(90.5)),
        ("clear", json!(80.0)),
        ("hits", json!(3)),
        ("clears", json!(2)),
        ("enabled", json!(true)),
        ("alerts", json!(0)),
        ("version", json!(1)),
    ] {
        assert_eq!(rule[field], value, "{field}");
    }
    let at = at(&made);
    assert_eq!(operator.get(&at).await.json(), rule);

    // Another threshold, and a scope.
    let patch = json!({ "enter": 95.125, "scope": "sector", "scope_id": A.sector(), "description": "towers" });
    let patched = operator.patch(&at, made.etag(), patch).await;
    assert_eq!(patched.status, 200, "{patched}");
    assert_eq!(patched.json()["scope_name"], "sector-AAA");
    assert_eq!(
        operator
            .patch(&at, made.etag(), json!({ "hits": 1 }))
            .await
            .problem(),
        412
    );
    let same = operator
        .patch(&at, patched.etag(), json!({ "hits": 3 }))
        .await;
    assert_eq!(same.json()["version"], 2, "nothing was changed");

    // Another kind, which has no operator.
    let patch = json!({ "kind": "site_down", "subject": null, "operator": null, "enter": null, "clear": null,
        "scope": "site", "scope_id": A.site() });
    let other = operator.patch(&at, "*", patch).await;
    assert_eq!(other.status, 200, "{other}");
    assert_eq!(
        (&other.json()["subject"], &other.json()["enter"]),
        (&json!("site"), &Value::Null)
    );
    assert_eq!(operator.delete(&at, "*").await.status, 204);
    assert_eq!(operator.get(&at).await.problem(), 404);

    let records = world.outbox(since).await;
    let [
        (_, Change::Rule(first)),
        (_, Change::Rule(second)),
        (_, Change::Rule(third)),
        (_, Change::RuleDeleted { id }),
    ] = &records[..]
    else {
        panic!("{records:?}")
    };
    assert_eq!(
        (first.kind, first.enter_milli, first.scope),
        (RuleKind::Cpu, 90_500, Scope::Tenant)
    );
    assert_eq!((second.enter_milli, second.version), (95_125, 2));
    assert!(matches!(second.scope, Scope::Sector(id) if id.0 == A.sector()));
    assert_eq!((third.subject, third.operator), (RuleSubject::Site, None));
    assert_eq!(*id, first.id);
}

#[tokio::test]
async fn a_rule_judges_at_the_hours_that_it_says() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let nights = json!({ "days": ["fri", "sat"], "from": "22:00", "to": "06:00", "time_zone": "Europe/Ljubljana" });
    let mut rule = cpu();
    rule["schedule"] = nights.clone();
    let made = operator.post(RULES, rule).await;
    assert_eq!(made.status, 201, "{made}");
    assert_eq!(made.json()["schedule"], nights);
    let at = at(&made);
    // One hour of it, and then none of it.
    let later = operator
        .patch(&at, "*", json!({ "schedule": { "from": "23:30" } }))
        .await;
    assert_eq!(later.json()["schedule"]["from"], "23:30", "{later}");
    assert_eq!(later.json()["schedule"]["to"], "06:00");
    let sql = json!({ "sql": "SELECT schedule_days, schedule_from, schedule_to, schedule_zone FROM rules WHERE name = 'hot'" });
    let shown = operator.post("/api/v1/sql", sql).await;
    let expected = json!({ "schedule_days": "fri,sat", "schedule_from": "23:30", "schedule_to": "06:00",
        "schedule_zone": "Europe/Ljubljana" });
    assert_eq!(shown.json(), json!([expected]));
    let always = operator.patch(&at, "*", json!({ "schedule": null })).await;
    assert_eq!(always.json()["schedule"], Value::Null, "{always}");
    let records = world.outbox(since).await;
    let said = records.iter().map(|(_, change)| match change {
        Change::Rule(rule) => rule
            .schedule
            .as_ref()
            .map(|s| (&*s.days, s.from_minute, s.to_minute)),
        other => panic!("{other:?}"),
    });
    let days = &[5, 6][..];
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            Some((days, Some(1_320), Some(360))),
            Some((days, Some(1_410), Some(360))),
            None
        ]
    );
}

#[tokio::test]
async fn a_rule_that_means_nothing_is_refused_with_its_fields() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let with = |change: Value| {
        let mut rule = cpu();
        for (field, value) in change.as_object().unwrap() {
            rule[field] = value.clone();
        }
        rule
    };
    for (change, expected) in [
        (json!({ "name": "" }), "/name"),
        (json!({ "kind": "heat" }), "/kind"),
        (json!({ "severity": "bad" }), "/severity"),
        (json!({ "operator": "above" }), "/operator"),
        (json!({ "operator": null }), "/operator"),
        (json!({ "enter": 90.0005 }), "/enter"),
        (json!({ "clear": 91 }), "/clear"),
        (json!({ "hits": 0 }), "/hits"),
        (json!({ "clears": 1001 }), "/clears"),
        (json!({ "subject": "site" }), "/subject"),
        (json!({ "interface": "*" }), "/interface"),
        (json!({ "kind": "interface_utilization" }), "/interface"),
        (json!({ "kind": "noise_floor" }), "/subject"),
        (json!({ "scope": "world" }), "/scope"),
        (json!({ "scope": "site" }), "/scope_id"),
        (json!({ "scope_id": A.site() }), "/scope_id"),
        (
            json!({ "scope": "site", "scope_id": A.sector() }),
            "/scope_id",
        ),
        (json!({ "scope": "tag", "scope_id": B.tag() }), "/scope_id"),
        (json!({ "schedule": { "days": [] } }), "/schedule/days"),
        (json!({ "schedule": { "days": ["day"] } }), "/schedule/days"),
        (
            json!({ "schedule": { "from": "24:00", "to": "06:00" } }),
            "/schedule/from",
        ),
        (json!({ "schedule": { "from": "22:00" } }), "/schedule/to"),
        (
            json!({ "schedule": { "time_zone": "Nowhere/Land" } }),
            "/schedule/time_zone",
        ),
        (json!({ "schedule": { "zone": "UTC" } }), "/schedule/zone"),
        (json!({ "threshold": 1 }), "/threshold"),
        (json!({ "enter": "90" }), "/enter"),
    ] {
        let refused = operator.post(RULES, with(change.clone())).await;
        assert_eq!(pointers(&refused), [expected], "{change}");
    }
    let taken = operator
        .post(RULES, with(json!({ "name": "CPU load" })))
        .await;
    assert_eq!(taken.problem(), 409);
    assert_eq!(world.outbox(since).await, []);
}

#[tokio::test]
async fn a_new_tenant_begins_with_rules_that_can_be_deleted() {
    let world = World::new().await;
    let all = world.super_admin().await;
    let made = all.post("/api/v1/tenants", json!({ "name": "new" })).await;
    assert_eq!(made.status, 201, "{made}");
    let theirs = all.of("new");
    let rules = theirs.get(&format!("{RULES}?sort=name")).await;
    assert_eq!(rules.items("name").len(), 10, "{rules}");
    assert!(rules.items("name").contains(&json!("Site down")));
    // That of offline devices is one like the others.
    let offline = theirs.get(&format!("{RULES}?filter=kind=offline")).await;
    let offline = format!("{RULES}/{}", offline.items("id")[0].as_str().unwrap());
    let patch = json!({ "severity": "info", "hits": 3, "enabled": false });
    let edited = theirs.patch(&offline, "*", patch).await;
    assert_eq!(edited.status, 200, "{edited}");
    assert_eq!(
        (&edited.json()["severity"], &edited.json()["hits"]),
        (&json!("info"), &json!(3))
    );
    for id in rules.items("id") {
        let at = format!("{RULES}/{}", id.as_str().unwrap());
        assert_eq!(theirs.delete(&at, "*").await.status, 204);
    }
    assert_eq!(theirs.get(RULES).await.items("id"), Vec::<Value>::new());
}

#[tokio::test]
async fn a_maintenance_window_lives() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let window = json!({ "name": "night", "scope": "devices", "device_ids": [A.ap()], "starts_at": "2026-02-01T01:00:00+01:00",
        "ends_at": "2026-02-01T03:00:00+01:00", "recurrence": "FREQ=WEEKLY;BYDAY=SU", "time_zone": "Europe/Ljubljana" });
    let made = operator.post(WINDOWS, window.clone()).await;
    assert_eq!(made.status, 201, "{made}");
    assert_eq!(made.json()["starts_at"], "2026-02-01T00:00:00Z");
    let at = at(&made);
    let patch =
        json!({ "scope": "site", "site_id": A.site(), "device_ids": [], "recurrence": null });
    let patched = operator.patch(&at, made.etag(), patch).await;
    assert_eq!(patched.status, 200, "{patched}");
    assert_eq!(patched.json()["site"], "site-AAA");
    let found = operator
        .get(&format!("{WINDOWS}?filter=device_id={}", A.id(4)))
        .await;
    assert_eq!(found.items("name"), ["window-AAA"]);
    assert_eq!(operator.delete(&at, patched.etag()).await.status, 204);
    let records = world.outbox(since).await;
    let [
        (_, Change::Window(first)),
        (_, Change::Window(second)),
        (_, Change::WindowDeleted { id }),
    ] = &records[..]
    else {
        panic!("{records:?}")
    };
    assert_eq!(first.recurrence.as_deref(), Some("FREQ=WEEKLY;BYDAY=SU"));
    assert_eq!((first.ends_at - first.starts_at).0, 7_200_000_000);
    assert_eq!(
        (second.site_id.map(|s| s.0), &second.recurrence),
        (Some(A.site()), &None)
    );
    assert_eq!((second.device_ids.len(), *id), (0, first.id));

    for (change, expected) in [
        (json!({ "scope": "world" }), "/scope"),
        (json!({ "scope": "tenant" }), "/device_ids"),
        (json!({ "device_ids": [] }), "/device_ids"),
        (json!({ "device_ids": [B.ap()] }), "/device_ids"),
        (json!({ "site_id": A.site() }), "/site_id"),
        (json!({ "ends_at": "2026-02-01T00:00:00Z" }), "/ends_at"),
        (json!({ "ends_at": "2028-02-01T00:00:00Z" }), "/ends_at"),
        (json!({ "starts_at": "soon" }), "/starts_at"),
    ] {
        let mut window = window.clone();
        for (field, value) in change.as_object().unwrap() {
            window[field] = value.clone();
        }
        let refused = operator.post(WINDOWS, window).await;
        assert_eq!(pointers(&refused), [expected], "{change}");
    }
}

#[tokio::test]
async fn alerts_are_listed_with_what_they_are_of() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let open = viewer
        .get("/api/v1/alerts?filter=status=open%7Cwaiting%7Csuppressed")
        .await;
    assert_eq!(open.items("id"), [json!(A.alert())]);
    let alert = viewer
        .get(&format!("/api/v1/alerts/{}", A.alert()))
        .await
        .json();
    for (field, value) in [
        ("subject", "bp-AAA"),
        ("rule", "rule-AAA"),
        ("site", "site-AAA"),
        ("sector", "sector-AAA"),
        ("severity", "critical"),
    ] {
        assert_eq!(alert[field], value, "{field}");
    }
    assert_eq!(
        (&alert["value"], &alert["resolved_at"]),
        (&json!(1.0), &Value::Null)
    );
    let resolved = viewer.get("/api/v1/alerts?filter=status=resolved").await;
    assert_eq!(resolved.items("resolution"), ["cleared"]);
    assert_eq!(resolved.items("resolved_value"), [json!(8.0)]);
    for (filter, number) in [
        (format!("site_id={}", A.site()), 2),
        (format!("sector_id={},severity=warning", A.sector()), 1),
        (format!("device_id={}", A.ap()), 1),
        (format!("rule_id={}", A.rule()), 2),
        (format!("incident_id={}", A.incident()), 1),
        ("acknowledged=true".to_owned(), 0),
        ("severity_level%3E=3".to_owned(), 1),
    ] {
        let found = viewer.get(&format!("/api/v1/alerts?filter={filter}")).await;
        assert_eq!(found.items("id").len(), number, "{filter}: {found}");
    }
    let worst = viewer
        .get("/api/v1/alerts?sort=-severity_level&limit=1")
        .await;
    assert_eq!(worst.items("id"), [json!(A.alert())]);
    let next = worst.json()["next"].as_str().unwrap().to_owned();
    let rest = viewer
        .get(&format!(
            "/api/v1/alerts?sort=-severity_level&cursor={next}"
        ))
        .await;
    assert_eq!(rest.items("id"), [json!(A.resolved())]);
    let incidents = viewer.get("/api/v1/incidents?filter=status=open").await;
    assert_eq!(incidents.items("root"), ["bp-AAA"]);
    assert_eq!(incidents.items("clients_most"), [4]);
    assert_eq!(incidents.items("title"), ["bp-AAA does not answer"]);
    assert_eq!(incidents.items("cause"), ["bp-AAA does not answer"]);
    let trends = viewer
        .get("/api/v1/trends?filter=status=degrading,fall_db%3E4.7&sort=-fall_db")
        .await;
    assert_eq!(trends.items("baseline_dbm"), [json!(-61.25)]);
    for path in ["alert-events", "incident-events", "trend-events"] {
        let events = viewer
            .get(&format!("/api/v1/{path}?filter=change=opened"))
            .await;
        assert_eq!(events.items("id").len(), 1, "{path}");
    }
}

#[tokio::test]
async fn what_people_do_with_an_alert_is_shown_and_noted() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let path = format!("/api/v1/alerts/{}", A.alert());
    let acked = operator
        .post(&format!("{path}/ack"), json!({ "note": "on the way" }))
        .await;
    assert_eq!(acked.status, 200, "{acked}");
    assert_eq!(acked.json()["acknowledged_by"], "operator");
    let soon = from_now(3_600);
    let silenced = operator
        .post(&format!("{path}/silence"), json!({ "until": soon }))
        .await;
    assert_eq!(silenced.status, 200, "{silenced}");
    assert_eq!(silenced.json()["silenced_until"], soon);
    for bad in [
        json!("2020-01-01T00:00:00Z"),
        json!("2200-01-01T00:00:00Z"),
        json!(7),
    ] {
        let refused = operator
            .post(&format!("{path}/silence"), json!({ "until": bad }))
            .await;
        assert_eq!(pointers(&refused), ["/until"]);
    }
    let ended = operator.post(&format!("{path}/silence"), json!({})).await;
    assert_eq!(ended.json()["silenced_until"], Value::Null);
    let assigned = operator
        .post(&format!("{path}/assign"), json!({ "assignee": "Ana" }))
        .await;
    assert_eq!(assigned.json()["assignee"], "Ana");
    let comment = operator
        .post(&format!("{path}/comments"), json!({ "note": "fuse" }))
        .await;
    assert_eq!(
        (comment.status.as_u16(), &comment.json()["by"]),
        (201, &json!("operator"))
    );
    let back = operator
        .post(&format!("{path}/ack"), json!({ "acknowledged": false }))
        .await;
    assert_eq!(back.json()["acknowledged_at"], Value::Null);
    assert_eq!(
        world.outbox(since).await,
        [],
        "none of it is the dataflow's matter"
    );

    let notes = operator
        .get(&format!(
            "/api/v1/alert-notes?filter=alert_id={}&sort=at",
            A.alert()
        ))
        .await;
    assert_eq!(
        notes.items("action"),
        [
            "acknowledge",
            "silence",
            "silence",
            "assign",
            "comment",
            "acknowledge"
        ]
    );
    assert_eq!(notes.items("note")[4], "fuse");
    let silence = operator
        .post(
            &format!("/api/v1/alerts/{}/silence", A.resolved()),
            json!({ "until": soon }),
        )
        .await;
    assert_eq!(silence.problem(), 422);
    let empty = operator
        .post(&format!("{path}/comments"), json!({ "note": "" }))
        .await;
    assert_eq!(pointers(&empty), ["/note"]);
}

/// A time so many seconds from now, in whole seconds.
fn from_now(seconds: i64) -> String {
    let at = chrono::Utc::now() + chrono::Duration::seconds(seconds);
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[tokio::test]
async fn a_person_resolves_an_alert_once() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let path = format!("/api/v1/alerts/{}/resolve", A.alert());
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    for _ in 0..2 {
        let answer = operator
            .send("POST", &path, &headers, r#"{"note":"mended"}"#)
            .await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    let records = world.outbox(since).await;
    let [(_, Change::AlertResolved { tenant_id, id })] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!((*tenant_id, id.0), (A.tenant(), A.alert()));
    let path = format!("/api/v1/alerts/{}/resolve", A.resolved());
    assert_eq!(operator.post(&path, json!({})).await.status, 200);
    assert_eq!(world.outbox(since).await.len(), 1, "it is resolved already");
    let unknown = format!("/api/v1/alerts/{}/resolve", Uuid::nil());
    assert_eq!(operator.post(&unknown, json!({})).await.problem(), 404);
}

#[tokio::test]
async fn incidents_are_acknowledged_and_signals_accepted() {
    let world = World::new().await;
    let operator = world.operator().await;
    let since = world.told().await;
    let path = format!("/api/v1/incidents/{}", A.incident());
    let acked = operator.post(&format!("{path}/ack"), json!({})).await;
    assert_eq!(acked.json()["acknowledged_by"], "operator", "{acked}");
    let comment = operator
        .post(&format!("{path}/comments"), json!({ "note": "power" }))
        .await;
    assert_eq!(comment.json()["incident_id"], json!(A.incident()));
    assert_eq!(world.outbox(since).await, []);

    let accept = format!("/api/v1/trends/{}/accept", A.degrading());
    let accepted = operator.post(&accept, json!({ "note": "moved" })).await;
    assert_eq!(
        (accepted.status.as_u16(), &accepted.json()["action"]),
        (201, &json!("accept"))
    );
    let records = world.outbox(since).await;
    let [(_, Change::TrendNormal { tenant_id, mac })] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!((*tenant_id, *mac), (A.tenant(), A.degrading()));
    let other = operator
        .post("/api/v1/trends/02:00:00:00:00:99/accept", json!({}))
        .await;
    assert_eq!(other.problem(), 404);
    let bad = operator.post("/api/v1/trends/x/accept", json!({})).await;
    assert_eq!(bad.problem(), 400);
}

/// Deleting a site takes its rules along, and the dataflow hears of each.
#[tokio::test]
async fn what_a_scope_names_takes_its_rules_along() {
    let world = World::new().await;
    let admin = world.admin().await;
    let since = world.told().await;
    let deleted = admin
        .delete(&format!("/api/v1/sites/{}", A.site()), "*")
        .await;
    assert_eq!(deleted.status, 204);
    let records = world.outbox(since).await;
    let gone = records
        .iter()
        .any(|(_, change)| matches!(change, Change::RuleDeleted { id } if id.0 == A.rule()));
    assert!(gone, "{records:?}");
    assert_eq!(
        admin.get(&format!("{RULES}/{}", A.rule())).await.problem(),
        404
    );
}

#[tokio::test]
async fn an_alert_is_explained_by_what_is_known_of_it() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let why = viewer
        .get(&format!("/api/v1/alerts/{}/explain", A.resolved()))
        .await;
    assert_eq!(why.status, 200, "{why}");
    let why = why.json();
    assert_eq!(why["rule"]["enter"], json!(9.5));
    let values = why["values"].as_array().unwrap();
    let values: Vec<_> = values
        .iter()
        .map(|v| v["value"].as_f64().unwrap())
        .collect();
    assert_eq!(values, [10.0, 12.0, 13.0], "as the polls had it");
    let field = |list: &Value, name: &str| -> Vec<Value> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|item| item[name].clone())
            .collect()
    };
    assert_eq!(field(&why["values"], "judged"), ["bad"; 3]);
    assert_eq!(
        field(&why["values"], "run"),
        [1, 0, 0],
        "the second of two opens, and none clears"
    );
    assert_eq!(why["ancestors"][0]["name"], "ap-AAA");
    assert_eq!(why["ancestors"][0]["why"], "subject");
    assert_eq!(why["incident"], Value::Null);

    let why = viewer
        .get(&format!("/api/v1/alerts/{}/explain", A.alert()))
        .await
        .json();
    assert_eq!(why["incident"]["root"], "bp-AAA");
    assert_eq!(why["events"][0]["change"], "opened");
    assert_eq!(why["threshold"], json!(0.0));
    assert_eq!(
        (&why["ancestors"][0]["state"], &why["values"]),
        (&json!("offline"), &json!([]))
    );
    let missing = why["missing"].to_string();
    assert!(missing.contains("no values of that time"), "{missing}");
}

/// How often a rule would have fired: the three polls that history has of an access point have loads of 10, 12 and 13 %.
#[tokio::test]
async fn a_preview_steps_a_rule_over_history() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let preview = async |hits: u16, enter: f64| {
        let rule = json!({ "name": "loads", "kind": "cpu", "scope": "device", "scope_id": A.ap(), "subject": "device",
            "operator": "gt", "enter": enter, "clear": 5, "hits": hits, "clears": 1, "severity": "warning" });
        viewer.post(&format!("{RULES}/preview"), rule).await
    };
    let told = preview(2, 11.0).await;
    assert_eq!(told.status, 200, "{told}");
    let told = told.json();
    assert_eq!((&told["fired"], &told["open"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&told["subjects"], &told["exact"]),
        (&json!(1), &json!(true))
    );
    let alert = &told["alerts"][0];
    assert_eq!(
        (&alert["subject_id"], &alert["value"], &alert["resolved_at"]),
        (&json!(A.ap()), &json!(13.0), &Value::Null)
    );
    assert_eq!(preview(3, 11.0).await.json()["fired"], json!(0));
    assert_eq!(preview(1, 50.0).await.json()["fired"], json!(0));
    let alert = &preview(1, 11.0).await.json()["alerts"][0];
    assert_eq!(alert["value"], json!(12.0));

    // The polls are of this minute and the next one.
    let minute = seen_at().0.div_euclid(60_000_000);
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    for (from, to, fired) in [(minute, minute + 2, 1), (minute + 2, minute, 0)] {
        let rule = json!({ "name": "loads", "kind": "cpu", "scope": "device", "scope_id": A.ap(), "operator": "gt",
            "enter": 11, "clear": 5, "hits": 2, "clears": 1, "severity": "warning",
            "schedule": { "from": clock(from), "to": clock(to) } });
        let told = viewer.post(&format!("{RULES}/preview"), rule).await;
        assert_eq!(told.json()["fired"], json!(fired), "{told}");
    }

    // One that is there, and the same rule for what is another tenant's.
    let there = viewer
        .post(&format!("{RULES}/{}/preview", A.rule()), json!({}))
        .await;
    assert_eq!(there.status, 200, "{there}");
    let strange = json!({ "name": "loads", "kind": "cpu", "scope": "device", "scope_id": B.ap(), "subject": "device",
        "operator": "gt", "enter": 1, "clear": 1, "hits": 1, "clears": 1, "severity": "warning" });
    let strange = viewer.post(&format!("{RULES}/preview"), strange).await;
    assert_eq!(strange.problem(), 422);
}

/// History has the values of every kind of rule: a site and its sector that were worse than an hour before, and an interface.
#[tokio::test]
async fn rules_of_places_and_interfaces_are_previewed_too() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    for (kind, subject, operator, enter, clear, value) in [
        ("sector_signal_avg", "sector", "lt", -70.0, -68.0, -75.0),
        ("noise_floor", "site", "gt", -95.0, -98.0, -90.0),
        ("throughput_drop", "site", "gt", 50.0, 20.0, 80.0),
        ("signal_degradation", "site", "gt", 2.0, 1.0, 3.0),
        ("device_offline_percent", "site", "gt", 50.0, 20.0, 100.0),
        ("interface_utilization", "interface", "gt", 70.0, 50.0, 80.0),
    ] {
        let (scope, id) = match subject {
            "sector" => ("sector", A.sector()),
            "site" => ("site", A.site()),
            _ => ("device", A.ap()),
        };
        let mut rule = json!({ "name": "worse", "kind": kind, "scope": scope, "scope_id": id,
            "operator": operator, "enter": enter, "clear": clear, "hits": 1, "clears": 1, "severity": "warning" });
        let subject = match subject {
            "interface" => ("interface", json!("wlan-*")),
            place => ("subject", json!(place)),
        };
        rule[subject.0] = subject.1;
        let told = viewer.post(&format!("{RULES}/preview"), rule).await;
        assert_eq!(told.status, 200, "{kind}: {told}");
        let told = told.json();
        assert_eq!(told["fired"], json!(1), "{kind}: {told}");
        assert_eq!(told["alerts"][0]["value"], json!(value), "{kind}: {told}");
    }
    // A rule goes by the devices, also while the state is that of a maintenance window.
    let down = json!({ "name": "down", "kind": "site_down", "scope": "site", "scope_id": A.site(), "hits": 1, "clears": 1,
        "severity": "critical" });
    let told = viewer.post(&format!("{RULES}/preview"), down).await;
    assert_eq!(told.status, 200, "{told}");
    assert_eq!(told.json()["fired"], json!(1), "{told}");
}

/// A recurrence is read when it is written, and what is wrong with it is said.
#[tokio::test]
async fn a_window_that_can_not_recur_is_refused_with_what_is_wrong() {
    let world = World::new().await;
    let operator = world.operator().await;
    let window = |recurrence: &str, zone: &str| {
        json!({ "name": "sundays", "scope": "tenant", "starts_at": "2027-01-15T22:00:00Z",
            "ends_at": "2027-01-15T23:00:00Z", "recurrence": recurrence, "time_zone": zone })
    };
    for (recurrence, zone, pointer, told) in [
        ("FREQ=HOURLY", "UTC", "/recurrence", "FREQ=DAILY"),
        ("FREQ=WEEKLY;BYDAY=XX", "UTC", "/recurrence", "XX"),
        (
            "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            "UTC",
            "/recurrence",
            "does not come again",
        ),
        ("FREQ=DAILY", "Europe/Atlantis", "/time_zone", "Atlantis"),
    ] {
        let refused = operator.post(WINDOWS, window(recurrence, zone)).await;
        assert_eq!(refused.problem(), 422, "{recurrence}: {refused}");
        let text = refused.text();
        assert!(text.contains(pointer) && text.contains(told), "{text}");
    }
    let made = operator
        .post(WINDOWS, window("FREQ=WEEKLY;BYDAY=SU", "Europe/Ljubljana"))
        .await;
    assert_eq!(made.status, 201, "{made}");
}

/// What an incident is of is said in words: of an open one as it is, of a closed one how it ended.
#[tokio::test]
async fn an_incident_says_what_happened_and_why() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let path = format!("/api/v1/incidents/{}", A.incident());
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    let change = async |sql: &'static str| {
        let done = sqlx::query(sql).bind(A.tenant().0).bind(A.incident());
        assert!(
            done.execute(&dataflow).await.unwrap().rows_affected() > 0,
            "{sql}"
        );
        let answer = viewer.get(&path).await.json();
        assert_eq!(answer["title"], "bp-AAA does not answer");
        answer["cause"].as_str().unwrap().to_owned()
    };
    // Two alerts of one customer, and an alert of the sector, wait for the access point.
    let cause = change(
        "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, opened_at, value_milli,
             status, suppressor, cause_device_id, incident_id, epoch)
         SELECT gen_random_uuid(), i.tenant_id, gen_random_uuid(), 'offline', 'warning', s.kind, s.id, i.opened_at, 1000,
             'suppressed', 'dependency', i.root_id, i.incident_id, i.epoch
         FROM incidents i, LATERAL (
             SELECT 'device' AS kind, d.id FROM devices d, generate_series(1, 2) WHERE d.tenant_id = i.tenant_id AND d.name LIKE 'cpe-%'
             UNION ALL SELECT 'sector', e.id FROM sectors e WHERE e.tenant_id = i.tenant_id) AS s
         WHERE i.tenant_id = $1 AND i.incident_id = $2",
    )
    .await;
    assert_eq!(cause, "bp-AAA does not answer; 1 other device hangs on it");
    // The access point is back, and what hung on it is not yet.
    let cause = change(
        "WITH back AS (UPDATE alerts SET cause_device_id = NULL WHERE tenant_id = $1 AND incident_id = $2)
         UPDATE incidents SET devices = 2, alerts = 4 WHERE tenant_id = $1 AND incident_id = $2",
    )
    .await;
    assert_eq!(cause, "bp-AAA does not answer; alerts of 2 devices");
    let cause = change(
        "UPDATE incidents SET closed_at = now(), closing = 'resolved' WHERE tenant_id = $1 AND incident_id = $2",
    )
    .await;
    assert_eq!(cause, "all of its alerts have resolved");
    let cause =
        change("UPDATE incidents SET closing = 'merged' WHERE tenant_id = $1 AND incident_id = $2")
            .await;
    assert_eq!(cause, "another incident took its alerts");
}

/// What is above follows from what is set by hand, from links and from sites, and each says from which.
#[tokio::test]
async fn an_explanation_names_what_is_above_and_why_it_is() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let operator = world.operator().await;
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    let site = operator
        .post("/api/v1/sites", json!({ "name": "core", "core": true }))
        .await
        .json();
    let make = async |name: &str, role: &str, site: &Value| {
        let device = json!({ "name": name, "address": format!("{name}.example.net"), "role": role, "site_id": site });
        let made = operator.post("/api/v1/devices", device).await;
        assert_eq!(made.status, 201, "{made}");
        made.json()["id"].as_str().unwrap().parse::<Uuid>().unwrap()
    };
    let (hill, core) = (json!(A.site()), &site["id"]);
    make("router", "router", &hill).await;
    let (near, far) = (
        make("near", "backhaul", &hill).await,
        make("far", "backhaul", core).await,
    );
    make("edge", "router", core).await;
    // The hill's uplink: an access point at the core, whose client stands on the hill.
    sqlx::query(
        "INSERT INTO links (tenant_id, ap_device_id, radio_mac, mac, interface, source, cpe_device_id, state, since, reason,
             discovered_at, unobserved, ambiguous, epoch)
         VALUES ($1, $2, 7, 8, 'wlan1', 'wireless', $3, 'active', now(), 'confirmed', now(), false, false, 1)",
    )
    .bind(A.tenant().0)
    .bind(far)
    .bind(near)
    .execute(&dataflow)
    .await
    .unwrap();
    // The alert is of the customer, whose link is with the first access point.
    sqlx::query("UPDATE alerts SET subject_id = $2, cause_device_id = $3 WHERE alert_id = $1")
        .bind(A.alert())
        .bind(A.id(3))
        .bind(far)
        .execute(&dataflow)
        .await
        .unwrap();
    let path = format!("/api/v1/alerts/{}/explain", A.alert());
    let above = async || {
        let why = viewer.get(&path).await;
        assert_eq!(why.status, 200, "{why}");
        let why = why.json();
        let above = why["ancestors"].as_array().unwrap().iter();
        above
            .map(|a| {
                format!(
                    "{} {} {}",
                    a["steps"],
                    a["name"].as_str().unwrap(),
                    a["why"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        above().await,
        [
            "0 cpe-AAA subject",
            "1 ap-AAA link",
            "2 router site_router",
            "3 far uplink",
            "4 edge site_router"
        ]
    );
    let why = viewer.get(&path).await.json();
    assert_eq!(why["ancestors"][3]["is_cause"], true);
    assert_eq!(why["suppression"]["cause"], "far");

    // A person knows better; and what goes round is above nothing.
    let patch = |parent: Uuid| json!({ "parent_id": parent });
    let device = |id: Uuid| format!("/api/v1/devices/{id}");
    let set = operator.patch(&device(A.ap()), "*", patch(A.id(2))).await;
    assert_eq!(set.status, 200, "{set}");
    assert_eq!(above().await[1..3], ["1 ap-AAA link", "2 bp-AAA set"]);
    sqlx::query("UPDATE alerts SET subject_kind = 'site', subject_id = $2 WHERE alert_id = $1")
        .bind(A.alert())
        .bind(A.site())
        .execute(&dataflow)
        .await
        .unwrap();
    assert_eq!(above().await[..2], ["1 router site_router", "2 far uplink"]);
}

/// Whatever could keep people from being told is shown: windows that are open, and changes that are flapping.
#[tokio::test]
async fn an_explanation_says_what_keeps_people_from_being_told() {
    let world = World::new().await;
    let operator = world.operator().await;
    let dataflow = world.database.pool(mast_postgres::Role::Dataflow).await;
    let window = async |name: &str, mut more: Value, from: i64, to: i64| {
        more["name"] = json!(name);
        more["starts_at"] = json!(from_now(from));
        more["ends_at"] = json!(from_now(to));
        let made = operator.post(WINDOWS, more).await;
        assert_eq!(made.status, 201, "{made}");
    };
    let site = json!({ "scope": "site", "site_id": A.site() });
    window("open", site.clone(), -60, 600).await;
    window("over", site.clone(), -600, -60).await;
    window("to come", site, 600, 1_200).await;
    let daily = json!({ "scope": "devices", "device_ids": [A.id(2)], "recurrence": "FREQ=DAILY" });
    window("daily", daily, -2 * 86_400 - 60, -2 * 86_400 + 600).await;
    window(
        "of another",
        json!({ "scope": "devices", "device_ids": [A.id(4)] }),
        -60,
        600,
    )
    .await;
    window("of all", json!({ "scope": "tenant" }), -60, 600).await;
    // It opened ten minutes ago, just before what is looked at; since then it went and came.
    sqlx::query(
        "INSERT INTO alert_events (event_id, tenant_id, alert_id, rule_id, kind, severity, subject_kind, subject_id, at, change,
             resolution, value_milli, epoch)
         SELECT gen_random_uuid(), a.tenant_id, a.alert_id, a.rule_id, a.kind, a.severity, a.subject_kind, a.subject_id,
             now() - n * interval '1 minute', CASE WHEN n % 2 = 0 THEN 'resolved' ELSE 'opened' END,
             CASE WHEN n % 2 = 0 THEN 'cleared' END, 1000, 1
         FROM alerts a, generate_series(1, 4) AS n WHERE a.alert_id = $1",
    )
    .bind(A.alert())
    .execute(&dataflow)
    .await
    .unwrap();
    let path = format!("/api/v1/alerts/{}/explain", A.alert());
    let why = operator.get(&path).await;
    assert_eq!(why.status, 200, "{why}");
    let why = &why.json()["suppression"];
    let names = |list: &Value, field: &str| -> Vec<String> {
        let items = list.as_array().unwrap().iter();
        items
            .map(|item| item[field].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&why["windows"], "name"), ["daily", "of all", "open"]);
    assert_eq!(
        names(&why["changes"], "change"),
        ["resolved", "opened", "resolved", "opened"]
    );
    assert_eq!(
        (&why["flap_changes"], &why["flap_window_s"]),
        (&json!(5), &json!(600))
    );

    // What is over is kept from nobody.
    let resolved = operator
        .get(&format!("/api/v1/alerts/{}/explain", A.resolved()))
        .await;
    assert_eq!(resolved.json()["suppression"]["windows"], json!([]));
}

/// What must be there is not taken away by a change either.
#[tokio::test]
async fn a_change_can_not_leave_a_rule_or_a_window_that_could_not_be_made() {
    let world = World::new().await;
    let operator = world.operator().await;
    let rule = format!("{RULES}/{}", A.rule());
    let before = operator.get(&rule).await.json();
    for field in ["name", "kind", "scope", "severity", "operator", "enter"] {
        let refused = operator.patch(&rule, "*", json!({ field: null })).await;
        assert_eq!(refused.problem(), 422, "{field}: {refused}");
        assert!(refused.text().contains(field), "{field}: {refused}");
    }
    assert_eq!(operator.get(&rule).await.json(), before);
    let window = format!("{WINDOWS}/{}", A.window());
    let before = operator.get(&window).await.json();
    for change in [
        json!({ "ends_at": "1969-12-31T23:59:59Z" }),
        json!({ "ends_at": before["starts_at"] }),
    ] {
        let refused = operator.patch(&window, "*", change).await;
        assert_eq!(pointers(&refused), ["/ends_at"]);
    }
    assert_eq!(operator.get(&window).await.json(), before);
}
