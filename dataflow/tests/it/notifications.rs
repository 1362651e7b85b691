//! What people are told of incidents, as rows in real Postgres: each thing once, by the names of the moment, and nothing worse of
//! what they silenced.

use mast_dataflow::outputs::Outputs;
use mast_dataflow::sink::Committed;
use mast_schemas::alerts::{
    AlertStatus, AlertView, IncidentChange, IncidentEvent, IncidentId, IncidentView, Resolution,
    Root, RuleKind, Severity, Subject, alert_id,
};
use mast_schemas::notifications::{Named, NotificationContent};
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, Epoch, SectorId, SiteId, TenantId, Timestamp};
use uuid::Uuid;

use crate::alerts::{RULE, alert, became, commit, event, incident};
use crate::sink::{AT, World, world};

const TENANT: TenantId = TenantId(Uuid::from_u128(0x100));
const SITE: SiteId = SiteId(Uuid::from_u128(0x101));
const SECTOR: SectorId = SectorId(Uuid::from_u128(0x102));
const ROUTER: DeviceId = DeviceId(Uuid::from_u128(0x103));
const AP: DeviceId = DeviceId(Uuid::from_u128(0x104));

/// A tenant with a tower: a site, a sector of it, its router, and an access point in the sector.
async fn tower() -> World {
    let mut w = world().await;
    w.tenant = TENANT;
    let sql = "WITH t AS (INSERT INTO tenants (id, name) VALUES ($1, 'valley')),
                    s AS (INSERT INTO sites (id, tenant_id, name) VALUES ($2, $1, 'hill')),
                    e AS (INSERT INTO sectors (id, tenant_id, site_id, name) VALUES ($3, $1, $2, 'hill north'))
               INSERT INTO devices (id, tenant_id, name, address, site_id, sector_id, role, interval_ms)
               VALUES ($4, $1, 'hill router', '192.0.2.1', $2, NULL, 'router', 10000),
                      ($5, $1, 'hill ap', '192.0.2.2', $2, $3, 'ap', 10000)";
    let query = sqlx::query(sql).bind(TENANT.0).bind(SITE.0).bind(SECTOR.0);
    let query = query.bind(ROUTER.0).bind(AP.0);
    query.execute(&mut w.all_rights().await).await.unwrap();
    w
}

/// A request as it is stored.
#[derive(Debug)]
struct Told {
    kind: String,
    severity: String,
    site: Option<Uuid>,
    at: Timestamp,
    content: NotificationContent,
}

/// All requests, by time.
async fn told(w: &World) -> Vec<Told> {
    let sql = "SELECT kind, severity, site_id, micros(happened_at), content::text FROM notification_requests
               ORDER BY happened_at, kind, content ->> 'title'";
    let mut conn = w.all_rights().await;
    let rows: Vec<(String, String, Option<Uuid>, i64, String)> =
        sqlx::query_as(sql).fetch_all(&mut conn).await.unwrap();
    let told = rows
        .into_iter()
        .map(|(kind, severity, site, at, content)| Told {
            kind,
            severity,
            site,
            at: Timestamp(at),
            content: serde_json::from_str(&content).unwrap(),
        });
    told.collect()
}

async fn kinds(w: &World) -> Vec<String> {
    told(w).await.into_iter().map(|told| told.kind).collect()
}

const ID: IncidentId = IncidentId(Uuid::from_u128(7));

/// The incident with so many alerts, at whose root is the router.
fn of_router(w: &World, alerts: u32) -> IncidentView {
    IncidentView {
        root: Root::Device(ROUTER),
        clients: 2 * alerts,
        ..incident(w, ID, alerts)
    }
}

/// The outputs of a slot in which nothing but this became of incidents.
fn slot(epoch: u64, views: &[IncidentView], events: Vec<IncidentEvent>) -> Outputs {
    let epoch = Epoch(epoch);
    let views = views
        .iter()
        .map(|view| (epoch, view.incident_id, Some(*view)));
    Outputs {
        upto: epoch,
        incidents: views.collect(),
        incident_events: events.into_iter().map(|event| (epoch, event)).collect(),
        ..Outputs::default()
    }
}

#[tokio::test]
async fn an_incident_is_told_of_when_it_opens_gets_worse_and_is_over_and_each_once() {
    let w = tower().await;
    let warning = Severity::Warning;
    let opened = IncidentView {
        severity: warning,
        ..of_router(&w, 3)
    };
    let escalated = of_router(&w, 40);
    let mut slots = vec![
        slot(
            5,
            &[opened],
            vec![became(&opened, IncidentChange::Opened, 0)],
        ),
        slot(
            7,
            &[escalated],
            vec![became(&escalated, IncidentChange::Escalated, 10)],
        ),
    ];
    // It is over: the event has no numbers any more.
    let over = of_router(&w, 0);
    let mut last = slot(9, &[], vec![became(&over, IncidentChange::Resolved, 90)]);
    last.incidents.push((Epoch(9), ID, None));
    slots.push(last);
    let mut batches = Vec::new();
    for outputs in slots {
        batches.push(commit(&w, 0, outputs).await);
    }

    let all = told(&w).await;
    let kinds: Vec<&str> = all.iter().map(|told| told.kind.as_str()).collect();
    assert_eq!(kinds, ["opened", "escalated", "resolved"]);
    let severities: Vec<&str> = all.iter().map(|told| told.severity.as_str()).collect();
    assert_eq!(severities, ["warning", "critical", "critical"]);
    let hill = Named {
        id: SITE.0,
        name: "hill".to_owned(),
    };
    for (told, after) in all.iter().zip([0, 10, 90]) {
        assert_eq!(told.at, AT + Span::secs(after));
        assert_eq!(told.site, Some(SITE.0));
        assert_eq!(told.content.site.as_ref(), Some(&hill));
        assert_eq!(told.content.title, "hill router does not answer");
        assert_eq!(told.content.root.kind, "device");
        assert_eq!(told.content.root.id, ROUTER.0.to_string());
        assert_eq!(told.content.opened_at, AT);
    }
    // What is over is told with the most that it had.
    let numbers = |told: &Told| {
        let of = &told.content;
        (of.devices_affected, of.clients_affected, of.resolved_at)
    };
    let numbers: Vec<_> = all.iter().map(numbers).collect();
    let (few, most) = ((Some(3), Some(6)), (Some(40), Some(80)));
    assert_eq!(
        numbers,
        [
            (few.0, few.1, None),
            (most.0, most.1, None),
            (most.0, most.1, Some(AT + Span::secs(90)))
        ]
    );

    // The answer to a commit was lost; and views are begun anew, from slots that were told of before.
    for batch in &batches {
        assert_eq!(w.sink.commit(batch).await.unwrap(), Committed::Before);
    }
    w.sink.forget().await.unwrap();
    for batch in &batches {
        assert_eq!(w.sink.commit(batch).await.unwrap(), Committed::Now);
    }
    assert_eq!(told(&w).await.len(), 3);
}

/// The end goes where the begin went: see `mast_notify::route`.
#[tokio::test]
async fn an_incident_that_another_took_in_is_over() {
    let w = tower().await;
    let view = of_router(&w, 2);
    let mut outputs = slot(5, &[], vec![became(&view, IncidentChange::Merged, 3)]);
    outputs.incidents.push((Epoch(4), ID, Some(view)));
    outputs.incidents.push((Epoch(5), ID, None));
    commit(&w, 0, outputs).await;
    assert_eq!(w.number("SELECT count(*) FROM incident_events").await, 1);
    let told = told(&w).await;
    let [end] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(end.kind, "resolved");
    let cause = format!("another incident took its alerts: {}", ID.0);
    assert_eq!(end.content.cause, cause);
    assert_eq!(end.content.resolved_at, Some(end.at));
}

/// An alert of an interface of its own, in the incident.
fn of_interface(w: &World, name: &str) -> AlertView {
    let subject = Subject::Interface(AP, name.into());
    AlertView {
        alert_id: alert_id(RULE, &subject, AT),
        subject,
        incident_id: Some(ID),
        ..alert(w, 0, AlertStatus::Open)
    }
}

#[tokio::test]
async fn who_silenced_all_that_is_open_in_an_incident_hears_of_its_end_alone() {
    let w = tower().await;
    let alerts = ["ether1", "ether2", "ether3"].map(|name| of_interface(&w, name));
    let mut outputs = slot(1, &[of_router(&w, 3)], Vec::new());
    for alert in &alerts {
        let row = (Epoch(1), alert.alert_id, Some(alert.clone()));
        outputs.alerts.push(row);
    }
    commit(&w, 0, outputs).await;
    let worse = async |n: u32| {
        let view = of_router(&w, 3 + n);
        let event = became(&view, IncidentChange::Escalated, i64::from(n));
        commit(&w, 0, slot(u64::from(1 + n), &[view], vec![event])).await;
        kinds(&w).await.len()
    };
    assert_eq!(worse(1).await, 1, "nothing is silenced");
    w.superuser(
        "UPDATE alerts SET silenced_until = happened.at + interval '1 hour'
         FROM (SELECT max(opened_at) AS at FROM alerts) AS happened WHERE interface <> 'ether3'",
    )
    .await;
    assert_eq!(worse(2).await, 2, "one of them is not silenced");
    w.superuser("UPDATE alerts SET silenced_until = opened_at + interval '4 seconds'")
        .await;
    assert_eq!(worse(3).await, 2, "all are silenced");
    assert_eq!(worse(4).await, 3, "that was until now");
    w.superuser("UPDATE alerts SET silenced_until = 'infinity' WHERE interface <> 'ether3'")
        .await;
    assert_eq!(worse(5).await, 4, "of the third it is over");
    // The third resolves, and what is left is silenced.
    let end = event(&alerts[2], AT + Span::secs(6), Some(Resolution::Cleared));
    let mut outputs = slot(7, &[], Vec::new());
    outputs.alerts.push((Epoch(7), alerts[2].alert_id, None));
    outputs.alert_events.push((Epoch(7), end));
    commit(&w, 0, outputs).await;
    assert_eq!(worse(7).await, 4);

    let over = became(&of_router(&w, 0), IncidentChange::Resolved, 9);
    let mut outputs = slot(9, &[], vec![over]);
    outputs.incidents.push((Epoch(9), ID, None));
    commit(&w, 0, outputs).await;
    let all = kinds(&w).await;
    assert_eq!(all.iter().filter(|kind| *kind == "escalated").count(), 4);
    assert_eq!(all.last().map(String::as_str), Some("resolved"));
}

#[tokio::test]
async fn roots_are_named_as_people_named_them_and_unknown_ones_by_their_ids() {
    let w = tower().await;
    let unknown = DeviceId(Uuid::from_u128(0x999));
    let roots = [
        (Root::Device(AP), RuleKind::Offline, TENANT),
        (Root::Sector(SECTOR), RuleKind::SectorClientDrop, TENANT),
        (Root::Site(SITE), RuleKind::SiteDown, TENANT),
        (Root::Device(unknown), RuleKind::Cpu, TENANT),
        // Of another tenant: whoever is told must not read our names.
        (
            Root::Site(SITE),
            RuleKind::SiteDown,
            TenantId(Uuid::from_u128(0x200)),
        ),
    ];
    let views = (1..)
        .zip(roots)
        .map(|(n, (root, kind, tenant_id))| IncidentView {
            root,
            kind,
            tenant_id,
            ..incident(&w, IncidentId(Uuid::from_u128(n)), 1)
        });
    let views: Vec<IncidentView> = views.collect();
    let opened = (0..).zip(&views);
    let opened = opened.map(|(n, view)| became(view, IncidentChange::Opened, n));
    commit(&w, 0, slot(5, &views, opened.collect())).await;

    let all = told(&w).await;
    let titles: Vec<&str> = all.iter().map(|t| t.content.title.as_str()).collect();
    let (unknown, site) = (unknown.0.to_string(), SITE.0.to_string());
    assert_eq!(
        titles,
        [
            "hill ap does not answer".to_owned(),
            "hill north: clients were lost".to_owned(),
            "hill is down".to_owned(),
            format!("{unknown}: CPU load"),
            format!("{site} is down"),
        ]
    );
    let names: Vec<_> = all
        .iter()
        .map(|t| (t.content.root.kind.as_str(), t.content.root.name.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("device", "hill ap"),
            ("sector", "hill north"),
            ("site", "hill"),
            ("device", unknown.as_str()),
            ("site", site.as_str()),
        ]
    );
    let places: Vec<_> = all.iter().map(|told| told.site).collect();
    let hill = Some(SITE.0);
    assert_eq!(places, [hill, hill, hill, None, None]);
    assert_eq!(all[0].content.cause, "hill ap does not answer");
}

#[tokio::test]
async fn each_request_names_the_root_of_its_own_time() {
    let w = tower().await;
    let opened = IncidentView {
        root: Root::Device(AP),
        ..of_router(&w, 1)
    };
    let escalated = of_router(&w, 5);
    // In one commit, as after a pause.
    let mut outputs = slot(
        9,
        &[escalated],
        vec![became(&escalated, IncidentChange::Escalated, 2)],
    );
    let first = slot(
        5,
        &[opened],
        vec![became(&opened, IncidentChange::Opened, 0)],
    );
    outputs.incidents.splice(0..0, first.incidents);
    outputs.incident_events.splice(0..0, first.incident_events);
    commit(&w, 0, outputs).await;
    let all = told(&w).await;
    let names: Vec<_> = all
        .iter()
        .map(|t| (t.content.root.id.clone(), t.content.root.name.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            (AP.0.to_string(), "hill ap"),
            (ROUTER.0.to_string(), "hill router")
        ]
    );
}
