//! Live views: what a listener gets, and where it may go on.

use std::collections::BTreeSet;

use mast_api::token::Role;
use mast_schemas::alerts::{
    AlertId, AlertStatus, AlertView, IncidentId, IncidentView, Root, RuleKind, Severity, Subject,
    Suppressor, TrendTest, TrendView,
};
use mast_schemas::records::Outcome;
use mast_schemas::views::{
    AddressSource, ClientAddress, Counts, DeviceState, DeviceView, Health, HealthState, LinkState,
    View,
};
use mast_schemas::{DeviceId, Mac, RuleId, TenantId, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ear::{Change, Ear, Job, Link, Rows, text};
use crate::served::serve;
use crate::world::{A, B, Fleet, SECRET, World};

fn link(fleet: Fleet, mac: u64, state: LinkState, number: i64) -> Link {
    Link {
        tenant: fleet.tenant(),
        ap: fleet.ap(),
        mac,
        state: Some(state),
        number,
        interface: format!("wlan-{}", fleet.word),
    }
}

/// Tables and changes of one slot that touches every view.
fn everything(tenant: TenantId, online: i64, state: HealthState) -> (Vec<String>, Vec<Change>) {
    let (site, sector, since) = (A.site(), A.sector(), Link::since(7));
    let counts = Counts {
        devices: [online, 1, 2, 3],
        links: [4, 5, 6, 7, 8],
        links_unobserved: 9,
    };
    let health = Health { state, since };
    let mut tables = Vec::new();
    let mut changes = Vec::new();
    for (kind, id, counted, told) in [
        ("tenant", tenant.0, View::TenantCounts, View::TenantHealth),
        ("site", site, View::SiteCounts, View::SiteHealth),
        ("sector", sector, View::SectorCounts, View::SectorHealth),
    ] {
        tables.push(format!(
            "DELETE FROM place_counts WHERE id = '{id}'; DELETE FROM place_health WHERE id = '{id}';
             INSERT INTO place_counts VALUES ('{kind}', '{id}', '{tenant}', {online}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1);
             INSERT INTO place_health VALUES ('{kind}', '{id}', '{tenant}', '{state}', instant({}), 1)",
            since.0
        ));
        let key = json!({ "id": id });
        changes.push(Change::new(tenant, counted, key.clone(), Some(counts)));
        changes.push(Change::new(tenant, told, key, Some(health)));
    }
    let address = ClientAddress {
        tenant_id: tenant,
        mac: Mac(0xabc),
        address: "192.0.2.9".to_owned(),
        host_name: Some("a \"name\"\nof two lines".to_owned()),
        source: AddressSource::Dhcp,
        device_id: DeviceId(A.ap()),
        since,
    };
    tables.push(format!(
        "INSERT INTO client_addresses VALUES ('{tenant}', 2748, '192.0.2.9', E'a \"name\"\\nof two lines', 'dhcp', '{}',
         instant({}), 1) ON CONFLICT DO NOTHING",
        A.ap(),
        since.0
    ));
    let key = json!({ "mac": address.mac });
    changes.push(Change::new(
        tenant,
        View::ClientAddresses,
        key,
        Some(address),
    ));
    let device = DeviceView {
        device_id: DeviceId(A.id(4)),
        tenant_id: tenant,
        state: DeviceState::Online,
        since,
        outcome: Some(Outcome::Partial),
        identity: None,
        version: Some("7.1".to_owned()),
        board: None,
        architecture: Some("arm64".to_owned()),
        serial: Some("S1".to_owned()),
        firmware: Some("7.0".to_owned()),
    };
    tables.push(format!(
        "INSERT INTO device_status VALUES ('{}', '{tenant}', 'online', instant({}), 'partial', NULL, '7.1', NULL, 'arm64',
         'S1', '7.0', 1) ON CONFLICT DO NOTHING",
        A.id(4),
        since.0
    ));
    let key = json!({ "device_id": device.device_id });
    changes.push(Change::new(tenant, View::Devices, key, Some(device)));
    alerts(tenant, since, &mut tables, &mut changes);
    (tables, changes)
}

/// An alert, an incident and a trend.
fn alerts(tenant: TenantId, since: Timestamp, tables: &mut Vec<String>, changes: &mut Vec<Change>) {
    let (id, device, at) = (Uuid::from_u128(0x77), DeviceId(A.ap()), since.0);
    let alert = AlertView {
        alert_id: AlertId(id),
        tenant_id: tenant,
        rule_id: RuleId(A.rule()),
        kind: RuleKind::InterfaceUtilization,
        severity: Severity::Info,
        subject: Subject::Interface(device, "ether1".into()),
        opened_at: since,
        value_milli: 91_250,
        status: AlertStatus::Suppressed,
        suppressor: Some(Suppressor::Dependency),
        cause_device_id: Some(device),
        incident_id: Some(IncidentId(id)),
    };
    let incident = IncidentView {
        incident_id: IncidentId(id),
        tenant_id: tenant,
        root: Root::Device(device),
        kind: RuleKind::Offline,
        severity: Severity::Critical,
        opened_at: since,
        alerts: 1,
        devices: 2,
        clients: 3,
    };
    let trend = TrendView {
        tenant_id: tenant,
        mac: Mac(0xabc),
        ap_device_id: device,
        radio_mac: Mac(0xf1),
        test: TrendTest::Day,
        since,
        baseline_cdbm: -6_050,
        opened_cdbm: -6_625,
    };
    tables.push(format!(
        "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface, opened_at,
             value_milli, status, suppressor, cause_device_id, incident_id, epoch)
         VALUES ('{id}', '{tenant}', '{}', 'interface_utilization', 'info', 'interface', '{device}', 'ether1', instant({at}),
             91250, 'suppressed', 'dependency', '{device}', '{id}', 1) ON CONFLICT DO NOTHING;
         INSERT INTO incidents (incident_id, tenant_id, root_kind, root_id, kind, severity, opened_at, alerts, devices, clients,
             alerts_most, devices_most, clients_most, epoch)
         VALUES ('{id}', '{tenant}', 'device', '{device}', 'offline', 'critical', instant({at}), 1, 2, 3, 4, 5, 6, 1)
         ON CONFLICT DO NOTHING;
         INSERT INTO trends (tenant_id, mac, since, ap_device_id, radio_mac, test, baseline_cdbm, opened_cdbm, epoch)
         VALUES ('{tenant}', 2748, instant({at}), '{device}', 241, 'day', -6050, -6625, 1) ON CONFLICT DO NOTHING",
        A.rule()
    ));
    let key = json!({ "id": id });
    changes.push(Change::new(tenant, View::Alerts, key.clone(), Some(alert)));
    changes.push(Change::new(tenant, View::Incidents, key, Some(incident)));
    let key = json!({ "mac": trend.mac });
    changes.push(Change::new(tenant, View::Trends, key, Some(trend)));
}

/// Each field of a row is that of the thing in its list.
async fn is_as_listed(world: &World, rows: &Rows, view: &str) {
    let list = world
        .viewer()
        .await
        .get(&format!("/api/v1/{view}?limit=500"))
        .await;
    let list = list.json()["items"].as_array().unwrap().clone();
    let mut seen = 0;
    for row in rows.of(view) {
        let item = list.iter().find(|item| item["id"] == row["id"]);
        let item = item.unwrap_or_else(|| panic!("{row} is not in the list"));
        for (field, value) in row.as_object().unwrap() {
            assert_eq!(&item[field], value, "{field} of {row}");
        }
        seen += 1;
    }
    assert!(seen >= 2, "{rows:?}");
}

#[tokio::test]
async fn a_listener_gets_all_rows_and_then_what_changes_in_the_same_form() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let token = world.viewer().await.token.unwrap();
    let mut job = Job::of(&world).await;
    let (tables, changes) = everything(A.tenant(), 1, HealthState::Degraded);
    job.commit(&tables, &changes).await;

    let mut ear = Ear::open(server.address(), &token, "", None).await;
    assert_eq!(ear.status(), 200);
    for header in [
        "content-type: text/event-stream",
        "cache-control: no-store",
        "x-accel-buffering: no",
        "x-content-type-options: nosniff",
    ] {
        assert!(ear.head.contains(header), "{}", ear.head);
    }
    let mut rows = ear.snapshot().await;
    assert_eq!(rows.of("devices").len(), 4);
    assert_eq!(rows.of("links").len(), 3);
    for view in View::ALL {
        assert!(!rows.of(view.as_str()).is_empty(), "{view}");
    }
    is_as_listed(&world, &rows, "devices").await;
    for view in ["links", "alerts", "incidents", "trends"] {
        is_as_listed(&world, &rows, view).await;
    }

    let (tables, changes) = everything(A.tenant(), 17, HealthState::Up);
    job.commit(&tables, &changes).await;
    let event = ear.next().await.unwrap();
    assert_eq!(event.name, "changes");
    let told = event.data["changes"].as_array().unwrap();
    let views: Vec<_> = told.iter().map(|change| text(&change["view"])).collect();
    let committed: Vec<_> = changes
        .iter()
        .map(|change| change.view.to_string())
        .collect();
    assert_eq!(views, committed, "each once, in order");
    rows.apply(&event);
    let (first, second) = (
        link(A, 1, LinkState::Active, 1),
        link(A, 2, LinkState::Degraded, 2),
    );
    job.links(&[first.clone(), second]).await;
    rows.apply(&ear.next().await.unwrap());
    job.links(&[Link {
        state: None,
        ..first
    }])
    .await;
    let gone = ear.next().await.unwrap();
    assert_eq!(gone.data["changes"][0]["op"], "delete");
    assert_eq!(gone.data["changes"][0].get("row"), None);
    rows.apply(&gone);

    let anew = Ear::open(server.address(), &token, "", None)
        .await
        .snapshot()
        .await;
    assert_eq!(rows, anew);
    assert_eq!(rows.of("tenant_counts")[0]["devices_online"], 17);
    assert_eq!(rows.of("site_health")[0]["state"], "up");
    is_as_listed(&world, &rows, "links").await;
}

#[tokio::test]
async fn views_are_chosen_by_name() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let viewer = world.viewer().await;
    let token = viewer.token.clone().unwrap();
    let mut job = Job::of(&world).await;
    let query = "?views=links,site_health";
    let mut ear = Ear::open(server.address(), &token, query, None).await;
    let rows = ear.snapshot().await;
    let views: BTreeSet<_> = rows.0.keys().map(|(view, _)| view.as_str()).collect();
    assert_eq!(views, BTreeSet::from(["links", "site_health"]));
    let (tables, mut changes) = everything(A.tenant(), 1, HealthState::Down);
    changes.reverse();
    job.commit(&tables, &changes).await;
    let event = ear.next().await.unwrap();
    let told = event.data["changes"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{event:?}");
    assert_eq!(told[0]["view"], "site_health");

    for wrong in ["", "nothing", "links,", "Links", "links,nothing"] {
        let answer = viewer.get(&format!("/api/v1/stream?views={wrong}")).await;
        assert_eq!(answer.problem(), 400, "{wrong}");
        assert!(answer.text().contains("site_health"), "{answer}");
    }
    let answer = viewer.get("/api/v1/stream?view=links").await;
    assert_eq!(answer.problem(), 400);
}

/// What comes first for who sends this id: `reset`, or the number of a change.
async fn begins_with(server: &mast_api::Server, token: &str, id: &str) -> String {
    let mut ear = Ear::open(server.address(), token, "", Some(id)).await;
    assert_eq!(ear.status(), 200, "{id}");
    let event = ear.next().await.unwrap();
    match event.name.as_str() {
        "changes" => text(&event.data["changes"][0]["row"]["since"]),
        name => name.to_owned(),
    }
}

#[tokio::test]
async fn who_comes_back_goes_on_where_it_was_or_is_told_that_it_can_not() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let token = world.viewer().await.token.unwrap();
    let mut job = Job::of(&world).await;
    let mut ear = Ear::open(server.address(), &token, "", None).await;
    ear.snapshot().await;
    let before = ear.last_id.take().unwrap();
    let (era, from) = before.split_once('.').unwrap();
    let (era, from): (i64, i64) = (era.parse().unwrap(), from.parse().unwrap());
    job.links(&[
        link(A, 1, LinkState::Active, 1_000_001),
        link(A, 2, LinkState::Active, 2_000_001),
    ])
    .await;
    job.links(&[link(A, 3, LinkState::Active, 3_000_001)]).await;
    let first = "2023-11-14T22:13:21.000001Z";
    let (second, third) = ("2023-11-14T22:13:22.000001Z", "2023-11-14T22:13:23.000001Z");
    let from_here = async |id: &str| begins_with(&server, &token, id).await;
    assert_eq!(from_here(&before).await, first);
    assert_eq!(from_here(&format!("{era}.{}.0", from + 1)).await, second);
    assert_eq!(from_here(&format!("{era}.{}", from + 1)).await, third);
    for unknown in [
        &format!("{}.{}", era + 1, from),
        &format!("{}.{}", era - 1, from),
        &format!("{era}.{}", from + 3),
        &format!("{era}.{}", i64::MAX),
        "garbage",
        "",
        "1.2.3.4",
        "' OR true --",
    ] {
        assert_eq!(from_here(unknown).await, "reset", "{unknown}");
    }
    // The first of the two slots is not kept any more.
    sqlx::query("UPDATE job_progress SET changes_from = $1")
        .bind(from + 2)
        .execute(&job.pool)
        .await
        .unwrap();
    assert_eq!(from_here(&before).await, "reset");
    assert_eq!(from_here(&format!("{era}.{}", from + 1)).await, "reset");
}

#[tokio::test]
async fn views_that_are_made_anew_reach_who_listens_as_a_snapshot() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let token = world.viewer().await.token.unwrap();
    let mut job = Job::of(&world).await;
    let mut ear = Ear::open(server.address(), &token, "?views=links", None).await;
    assert_eq!(ear.snapshot().await.of("links").len(), 3);
    let old = ear.last_id.clone().unwrap();
    let forget = "UPDATE job_progress SET era = era + 1, epoch = 0, changes_from = 0;
                      DELETE FROM links; DELETE FROM view_change"
        .split(';');
    let mut tx = job.pool.begin().await.unwrap();
    for sql in forget {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let rows = ear.snapshot().await;
    assert_eq!(rows.of("links").len(), 0);
    // Slots of the new era pass those of the old one: an old id is none all the same.
    job.epoch += 10;
    job.links(&[link(A, 1, LinkState::Active, 1)]).await;
    let event = ear.next().await.unwrap();
    assert_eq!(
        (
            event.name.as_str(),
            event.data["changes"].as_array().unwrap().len()
        ),
        ("changes", 1)
    );
    assert_eq!(begins_with(&server, &token, &old).await, "reset");
}

#[tokio::test]
async fn each_tenant_hears_of_its_own_alone() {
    let world = World::new().await;
    let server = serve(&world, |_| ()).await;
    let ours = world.viewer().await.token.unwrap();
    let theirs = world.stranger().await.token.unwrap();
    let mut job = Job::of(&world).await;
    let mut a = Ear::open(server.address(), &ours, "", None).await;
    let mut b = Ear::open(server.address(), &theirs, "", None).await;
    let (seen_by_a, seen_by_b) = (a.snapshot().await, b.snapshot().await);
    assert!(!format!("{seen_by_a:?}").contains(SECRET));
    assert!(format!("{seen_by_b:?}").contains(SECRET));
    // The id is where B is: it is no key to what is B's.
    let id = b.last_id.clone().unwrap();
    job.links(&[
        link(B, 1, LinkState::Active, 1),
        link(A, 1, LinkState::Active, 1),
        link(B, 2, LinkState::Active, 2),
    ])
    .await;
    let mut forged = Ear::open(server.address(), &ours, "", Some(&id)).await;
    for ear in [&mut a, &mut forged] {
        let event = ear.next().await.unwrap();
        let told = event.data["changes"].as_array().unwrap();
        assert_eq!(told.len(), 1, "{event:?}");
        assert!(!format!("{event:?}").contains(SECRET), "{event:?}");
    }
    let event = b.next().await.unwrap();
    assert_eq!(event.data["changes"].as_array().unwrap().len(), 2);
    let root = world.super_admin().await;
    let answer = root.get("/api/v1/stream").await;
    assert_eq!(answer.problem(), 400, "which tenant?");
    let answer = world.client(Some(A), Role::Viewer).await.of(B.tenant());
    assert_eq!(answer.get("/api/v1/stream").await.problem(), 404);
}

/// What comes until the end.
pub(crate) async fn until_the_end(ear: &mut Ear) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(event) = ear.next().await {
        all.push(event.data);
    }
    all
}
