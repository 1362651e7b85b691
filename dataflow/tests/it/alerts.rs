//! Alerts, incidents and trends in real Postgres: what is open, what ended and how, and what streams are told.

use mast_dataflow::outputs::Outputs;
use mast_dataflow::relay::events;
use mast_dataflow::sink::Batch;
use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertId, AlertStatus, AlertView, IncidentChange, IncidentEvent,
    IncidentId, IncidentView, Resolution, Root, RuleKind, Severity, Subject, SubjectId, Suppressor,
    TrendChange, TrendEvent, TrendTest, TrendView, alert_event_id, alert_id, incident_event_id,
    incident_id, trend_event_id,
};
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, Epoch, Mac, RuleId, Timestamp};
use uuid::Uuid;

use crate::relay::told_anew;
use crate::sink::{AT, World, world};

pub(crate) const RULE: RuleId = RuleId(Uuid::from_u128(0x11));
pub(crate) const DEVICE: DeviceId = DeviceId(Uuid::from_u128(0x22));

/// The alert of ether1 that opened `after` seconds after all began.
pub(crate) fn alert(w: &World, after: i64, status: AlertStatus) -> AlertView {
    let (subject, opened_at) = (
        Subject::Interface(DEVICE, "ether1".into()),
        AT + Span::secs(after),
    );
    AlertView {
        alert_id: alert_id(RULE, &subject, opened_at),
        tenant_id: w.tenant,
        rule_id: RULE,
        kind: RuleKind::InterfaceUtilization,
        severity: Severity::Warning,
        subject,
        opened_at,
        value_milli: 91_500,
        status,
        suppressor: (status == AlertStatus::Suppressed).then_some(Suppressor::Dependency),
        cause_device_id: (status == AlertStatus::Suppressed).then_some(DEVICE),
        incident_id: None,
    }
}

pub(crate) fn event(view: &AlertView, at: Timestamp, end: Option<Resolution>) -> AlertEvent {
    let change = match end {
        None => AlertChange::Opened,
        Some(_) => AlertChange::Resolved,
    };
    AlertEvent {
        event_id: alert_event_id(view.alert_id, at, change),
        tenant_id: view.tenant_id,
        alert_id: view.alert_id,
        rule_id: view.rule_id,
        kind: view.kind,
        severity: view.severity,
        subject_kind: view.subject.kind(),
        subject_id: SubjectId(view.subject.id()),
        interface: view.subject.interface().map(str::to_owned),
        at,
        change,
        resolution: end,
        value_milli: Some(if end.is_some() {
            70_000
        } else {
            view.value_milli
        }),
        threshold_milli: Some(80_000),
    }
}

fn opened(view: &AlertView) -> AlertEvent {
    event(view, view.opened_at, None)
}

pub(crate) async fn commit(w: &World, from: u64, mut outputs: Outputs) -> Batch {
    let batch = Batch::take(&mut outputs, Epoch(from));
    w.sink.commit(&batch).await.unwrap();
    batch
}

/// Alerts as they are stored: status, whether something suppresses, how it ended, at which value.
async fn stored(w: &World) -> Vec<(String, bool, Option<String>, Option<i64>)> {
    sqlx::query_as(
        "SELECT status, suppressor IS NOT NULL, resolution, resolved_value_milli FROM alerts ORDER BY opened_at",
    )
    .fetch_all(&w.pool)
    .await
    .unwrap()
}

async fn changes(w: &World) -> Vec<(i64, String, String)> {
    sqlx::query_as("SELECT epoch, view, op FROM view_change ORDER BY epoch, n")
        .fetch_all(&w.pool)
        .await
        .unwrap()
}

fn word(word: &str) -> Option<String> {
    Some(word.to_owned())
}

#[tokio::test]
async fn an_alert_is_open_until_it_resolves_and_then_it_is_as_it_was_last() {
    let w = world().await;
    let view = alert(&w, 0, AlertStatus::Waiting);
    let outputs = Outputs {
        upto: Epoch(7),
        alerts: vec![
            (Epoch(5), view.alert_id, Some(view.clone())),
            (
                Epoch(7),
                view.alert_id,
                Some(alert(&w, 0, AlertStatus::Suppressed)),
            ),
        ],
        alert_events: vec![(Epoch(5), opened(&view))],
        ..Outputs::default()
    };
    let batch = commit(&w, 0, outputs).await;
    assert_eq!(
        stored(&w).await,
        [("suppressed".to_owned(), true, None, None)]
    );
    // The answer to the commit was lost: it is not done twice.
    w.sink.commit(&batch).await.unwrap();
    assert_eq!(w.number("SELECT count(*) FROM alert_events").await, 1);

    let outputs = Outputs {
        upto: Epoch(9),
        alerts: vec![(Epoch(9), view.alert_id, None)],
        alert_events: vec![
            (Epoch(5), opened(&view)),
            (
                Epoch(9),
                event(&view, AT + Span::secs(1), Some(Resolution::Cleared)),
            ),
        ],
        ..Outputs::default()
    };
    commit(&w, 7, outputs).await;
    let ended = ("suppressed".to_owned(), true, word("cleared"), Some(70_000));
    assert_eq!(stored(&w).await, [ended]);
    assert_eq!(
        w.number("SELECT micros(resolved_at) FROM alerts").await,
        AT.0 + 1_000_000
    );
    let alerts = |epoch, op: &str| (epoch, "alerts".to_owned(), op.to_owned());
    assert_eq!(
        changes(&w).await,
        [alerts(7, "upsert"), alerts(9, "delete")]
    );
}

#[tokio::test]
async fn what_came_and_went_within_a_commit_is_there_and_one_after_the_other_is_open() {
    let w = world().await;
    let (first, second) = (
        alert(&w, 0, AlertStatus::Open),
        alert(&w, 2, AlertStatus::Open),
    );
    let third = alert(&w, 4, AlertStatus::Waiting);
    let outputs = Outputs {
        upto: Epoch(20),
        alerts: vec![
            (Epoch(5), first.alert_id, Some(first.clone())),
            (Epoch(8), first.alert_id, None),
            // The second opened and resolved within a slot: no view ever had it.
            (Epoch(20), third.alert_id, Some(third.clone())),
        ],
        alert_events: vec![
            (Epoch(5), opened(&first)),
            (
                Epoch(8),
                event(&first, AT + Span::secs(1), Some(Resolution::Manual)),
            ),
            (Epoch(9), opened(&second)),
            (
                Epoch(9),
                event(&second, AT + Span::secs(3), Some(Resolution::SubjectGone)),
            ),
            (Epoch(20), opened(&third)),
        ],
        ..Outputs::default()
    };
    commit(&w, 0, outputs).await;
    assert_eq!(
        stored(&w).await,
        [
            ("open".to_owned(), false, word("manual"), Some(70_000)),
            (
                "waiting".to_owned(),
                false,
                word("subject_gone"),
                Some(70_000)
            ),
            ("waiting".to_owned(), false, None, None),
        ]
    );
    let upsert = (20, "alerts".to_owned(), "upsert".to_owned());
    assert_eq!(
        changes(&w).await,
        [upsert],
        "what nobody saw is not told to be gone"
    );

    // In the next commit it ends, and another one of the rule and subject opens.
    let fourth = alert(&w, 9, AlertStatus::Open);
    let outputs = Outputs {
        upto: Epoch(30),
        alerts: vec![
            (Epoch(25), third.alert_id, None),
            (Epoch(28), fourth.alert_id, Some(fourth.clone())),
        ],
        alert_events: vec![
            (
                Epoch(25),
                event(&third, AT + Span::secs(8), Some(Resolution::RuleDisabled)),
            ),
            (Epoch(28), opened(&fourth)),
        ],
        ..Outputs::default()
    };
    commit(&w, 20, outputs).await;
    let open = "SELECT count(*) FROM alerts WHERE resolved_at IS NULL";
    assert_eq!((stored(&w).await.len(), w.number(open).await), (4, 1));
}

#[tokio::test]
async fn what_people_said_stays_whatever_the_dataflow_says() {
    let w = world().await;
    let view = alert(&w, 0, AlertStatus::Open);
    let outputs = |epoch, view: &AlertView| Outputs {
        upto: Epoch(epoch),
        alerts: vec![(Epoch(epoch), view.alert_id, Some(view.clone()))],
        ..Outputs::default()
    };
    commit(&w, 0, outputs(5, &view)).await;
    w.superuser(
        "UPDATE alerts SET acknowledged_at = now(), acknowledged_by = 'ana', assignee = 'bor'",
    )
    .await;
    let changed = AlertView {
        severity: Severity::Critical,
        ..alert(&w, 0, AlertStatus::Suppressed)
    };
    commit(&w, 5, outputs(6, &changed)).await;
    let both = "SELECT count(*) FROM alerts WHERE acknowledged_by = 'ana' AND assignee = 'bor' AND severity = 'critical'";
    assert_eq!(w.number(both).await, 1);
}

#[tokio::test]
async fn alerts_of_a_deleted_tenant_go_without_a_word() {
    let w = world().await;
    let view = alert(&w, 0, AlertStatus::Open);
    let change = |epoch, view: Option<AlertView>, id: AlertId| Outputs {
        upto: Epoch(epoch),
        alerts: vec![(Epoch(epoch), id, view)],
        ..Outputs::default()
    };
    commit(&w, 0, change(5, Some(view.clone()), view.alert_id)).await;
    commit(&w, 5, change(6, None, view.alert_id)).await;
    assert_eq!(w.number("SELECT count(*) FROM alerts").await, 0);
}

pub(crate) fn incident(w: &World, id: IncidentId, alerts: u32) -> IncidentView {
    IncidentView {
        incident_id: id,
        tenant_id: w.tenant,
        root: Root::Device(DEVICE),
        kind: RuleKind::Offline,
        severity: Severity::Critical,
        opened_at: AT,
        alerts,
        devices: alerts,
        clients: 0,
    }
}

pub(crate) fn became(view: &IncidentView, change: IncidentChange, after: i64) -> IncidentEvent {
    let at = AT + Span::secs(after);
    IncidentEvent {
        event_id: incident_event_id(view.incident_id, at, change),
        tenant_id: view.tenant_id,
        incident_id: view.incident_id,
        at,
        change,
        merged_into: (change == IncidentChange::Merged).then_some(view.incident_id),
        root_kind: view.root.kind(),
        root_id: SubjectId(view.root.id()),
        kind: view.kind,
        severity: view.severity,
        opened_at: view.opened_at,
        alerts: view.alerts,
        devices: view.devices,
        clients: view.clients,
    }
}

#[tokio::test]
async fn people_are_told_what_is_so_of_a_root_and_how_much_hangs_on_it() {
    let w = world().await;
    let of = |number: u128, cause: Option<DeviceId>, id: IncidentId| {
        let (subject, kind) = (
            Subject::Device(DeviceId(Uuid::from_u128(number))),
            RuleKind::Offline,
        );
        AlertView {
            alert_id: alert_id(RULE, &subject, AT),
            kind,
            subject,
            cause_device_id: cause,
            incident_id: Some(id),
            ..alert(&w, 0, AlertStatus::Suppressed)
        }
    };
    let id = incident_id(w.tenant, alert(&w, 0, AlertStatus::Open).alert_id);
    let all = [
        of(DEVICE.0.as_u128(), None, id),
        of(0x33, Some(DEVICE), id),
        of(0x44, Some(DEVICE), id),
    ];
    let opened = became(&incident(&w, id, 3), IncidentChange::Opened, 0);
    let outputs = Outputs {
        upto: Epoch(5),
        alerts: all
            .map(|view| (Epoch(5), view.alert_id, Some(view)))
            .to_vec(),
        incidents: vec![(Epoch(5), id, Some(incident(&w, id, 3)))],
        incident_events: vec![(Epoch(5), opened)],
        ..Outputs::default()
    };
    commit(&w, 0, outputs).await;
    let resolved = became(&incident(&w, id, 0), IncidentChange::Resolved, 9);
    let outputs = Outputs {
        upto: Epoch(9),
        incidents: vec![(Epoch(9), id, None)],
        incident_events: vec![(Epoch(9), resolved)],
        ..Outputs::default()
    };
    commit(&w, 5, outputs).await;
    // Another that was told of and is part of one now.
    let other = IncidentId(Uuid::from_u128(7));
    let began = incident(&w, other, 2);
    let merged = IncidentEvent {
        merged_into: Some(id),
        ..became(&began, IncidentChange::Merged, 20)
    };
    let outputs = Outputs {
        upto: Epoch(20),
        incidents: vec![(Epoch(19), other, Some(began)), (Epoch(20), other, None)],
        incident_events: vec![(Epoch(20), merged)],
        ..Outputs::default()
    };
    commit(&w, 9, outputs).await;
    // The dataflow's own role adds, and reads nothing of it.
    w.superuser("GRANT SELECT ON notification_requests TO mast_dataflow")
        .await;
    let told: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT kind, content ->> 'title', content ->> 'cause' FROM notification_requests ORDER BY happened_at",
    )
    .fetch_all(&w.pool)
    .await
    .unwrap();
    // Nobody has told the name of it.
    let dead = format!("{DEVICE} does not answer");
    let word = str::to_owned;
    assert_eq!(
        told,
        [
            (
                word("opened"),
                dead.clone(),
                format!("{dead}; 2 other devices hang on it")
            ),
            (
                word("resolved"),
                dead.clone(),
                word("all of its alerts have resolved")
            ),
            (
                word("resolved"),
                dead,
                format!("another incident took its alerts: {}", id.0)
            ),
        ]
    );
}

#[tokio::test]
async fn an_incident_remembers_the_most_it_had_and_how_it_closed() {
    let w = world().await;
    let id = incident_id(w.tenant, alert(&w, 0, AlertStatus::Open).alert_id);
    let mut outputs = Outputs {
        upto: Epoch(9),
        ..Outputs::default()
    };
    for (epoch, alerts) in [(5, 1), (6, 40), (9, 3)] {
        outputs
            .incidents
            .push((Epoch(epoch), id, Some(incident(&w, id, alerts))));
    }
    let opened = became(&incident(&w, id, 1), IncidentChange::Opened, 0);
    outputs.incident_events.push((Epoch(5), opened.clone()));
    commit(&w, 0, outputs).await;
    let figures = "SELECT alerts * 1000 + alerts_most FROM incidents WHERE closed_at IS NULL";
    assert_eq!(w.number(figures).await, 3_040);

    let closed = became(&incident(&w, id, 0), IncidentChange::Resolved, 9);
    let outputs = Outputs {
        upto: Epoch(12),
        incidents: vec![(Epoch(12), id, None)],
        incident_events: vec![(Epoch(5), opened), (Epoch(12), closed)],
        ..Outputs::default()
    };
    commit(&w, 9, outputs).await;
    let figures = "SELECT alerts * 1000 + alerts_most FROM incidents WHERE closing = 'resolved' AND closed_at IS NOT NULL";
    assert_eq!(w.number(figures).await, 40);
    assert_eq!(w.number("SELECT count(*) FROM incident_events").await, 2);
    let of = |epoch, op: &str| (epoch, "incidents".to_owned(), op.to_owned());
    assert_eq!(changes(&w).await, [of(9, "upsert"), of(12, "delete")]);

    // One that was merged within the commit that saw it.
    let other = IncidentId(Uuid::from_u128(7));
    let merged = became(&incident(&w, other, 2), IncidentChange::Merged, 20);
    let outputs = Outputs {
        upto: Epoch(20),
        incidents: vec![
            (Epoch(19), other, Some(incident(&w, other, 5))),
            (Epoch(20), other, None),
        ],
        incident_events: vec![(Epoch(20), merged)],
        ..Outputs::default()
    };
    commit(&w, 12, outputs).await;
    let figures =
        "SELECT alerts_most FROM incidents WHERE closing = 'merged' AND merged_into IS NOT NULL";
    assert_eq!(w.number(figures).await, 5);
}

fn trend(w: &World, since: i64) -> TrendView {
    TrendView {
        tenant_id: w.tenant,
        mac: Mac(9),
        ap_device_id: DEVICE,
        radio_mac: Mac(1),
        test: TrendTest::Day,
        since: AT + Span::secs(since),
        baseline_cdbm: -6_000,
        opened_cdbm: -6_600,
    }
}

fn turned(view: &TrendView, at: i64, change: TrendChange) -> TrendEvent {
    let at = AT + Span::secs(at);
    TrendEvent {
        event_id: trend_event_id(view.tenant_id, view.mac, at, change),
        tenant_id: view.tenant_id,
        mac: view.mac,
        ap_device_id: view.ap_device_id,
        radio_mac: view.radio_mac,
        at,
        change,
        test: view.test,
        baseline_cdbm: view.baseline_cdbm,
        recent_cdbm: (change != TrendChange::Gone).then_some(view.opened_cdbm),
    }
}

#[tokio::test]
async fn a_client_has_one_open_trend_and_those_that_ended() {
    let w = world().await;
    let key = (w.tenant, Mac(9));
    let (first, second, third) = (trend(&w, 0), trend(&w, 20), trend(&w, 40));
    let outputs = Outputs {
        upto: Epoch(5),
        trends: vec![(Epoch(5), key, Some(first))],
        trend_events: vec![(Epoch(5), turned(&first, 0, TrendChange::Opened))],
        ..Outputs::default()
    };
    commit(&w, 0, outputs).await;
    let outputs = Outputs {
        upto: Epoch(30),
        trends: vec![
            (Epoch(10), key, None),
            (Epoch(20), key, Some(second)),
            (Epoch(25), key, None),
            (Epoch(30), key, Some(third)),
        ],
        trend_events: vec![
            (Epoch(10), turned(&first, 10, TrendChange::Recovered)),
            (Epoch(20), turned(&second, 20, TrendChange::Opened)),
            (Epoch(25), turned(&second, 30, TrendChange::Accepted)),
            (Epoch(30), turned(&third, 40, TrendChange::Opened)),
        ],
        ..Outputs::default()
    };
    commit(&w, 5, outputs).await;
    let rows: Vec<(i64, Option<String>, i32)> = sqlx::query_as(
        "SELECT (micros(since) - $1) / 1000000, ending, opened_cdbm FROM trends ORDER BY since",
    )
    .bind(AT.0)
    .fetch_all(&w.pool)
    .await
    .unwrap();
    assert_eq!(
        rows,
        [
            (0, word("recovered"), -6_600),
            (20, word("accepted"), -6_600),
            (40, None, -6_600)
        ]
    );
    assert_eq!(w.number("SELECT count(*) FROM trend_events").await, 5);
    let of = |epoch, op: &str| (epoch, "trends".to_owned(), op.to_owned());
    assert_eq!(changes(&w).await, [of(5, "upsert"), of(30, "upsert")]);
}

#[tokio::test]
async fn a_job_that_begins_anew_forgets_what_is_open_and_keeps_what_was() {
    let w = world().await;
    let (ended, open) = (
        alert(&w, 0, AlertStatus::Open),
        alert(&w, 5, AlertStatus::Open),
    );
    let outputs = Outputs {
        upto: Epoch(20),
        alerts: vec![
            (Epoch(5), ended.alert_id, Some(ended.clone())),
            (Epoch(8), ended.alert_id, None),
            (Epoch(20), open.alert_id, Some(open.clone())),
        ],
        alert_events: vec![
            (Epoch(5), opened(&ended)),
            (
                Epoch(8),
                event(&ended, AT + Span::secs(1), Some(Resolution::Cleared)),
            ),
            (Epoch(20), opened(&open)),
        ],
        incidents: vec![(
            Epoch(20),
            IncidentId(Uuid::from_u128(7)),
            Some(incident(&w, IncidentId(Uuid::from_u128(7)), 1)),
        )],
        trends: vec![(Epoch(20), (w.tenant, Mac(9)), Some(trend(&w, 0)))],
        ..Outputs::default()
    };
    commit(&w, 0, outputs).await;
    w.sink.forget().await.unwrap();
    assert_eq!(
        stored(&w).await,
        [("open".to_owned(), false, word("cleared"), Some(70_000))]
    );
    let left = "SELECT (SELECT count(*) FROM incidents) + (SELECT count(*) FROM trends)";
    assert_eq!(w.number(left).await, 0);
    assert_eq!(w.number("SELECT count(*) FROM alert_events").await, 3);
}

#[tokio::test]
async fn their_events_come_back_from_postgres_as_they_were_told() {
    let w = world().await;
    let view = alert(&w, 0, AlertStatus::Open);
    let id = IncidentId(Uuid::from_u128(7));
    let outputs = Outputs {
        upto: Epoch(9),
        alert_events: vec![
            (Epoch(5), opened(&view)),
            (
                Epoch(9),
                event(&view, AT + Span::secs(1), Some(Resolution::OutOfScope)),
            ),
        ],
        incident_events: vec![
            (
                Epoch(6),
                became(&incident(&w, id, 3), IncidentChange::Escalated, 1),
            ),
            (
                Epoch(7),
                became(&incident(&w, id, 3), IncidentChange::Merged, 2),
            ),
        ],
        trend_events: vec![
            (Epoch(6), turned(&trend(&w, 0), 0, TrendChange::Opened)),
            (Epoch(8), turned(&trend(&w, 0), 9, TrendChange::Gone)),
        ],
        ..Outputs::default()
    };
    let batch = commit(&w, 0, outputs).await;
    let told = events::of(&batch);
    assert_eq!(told.len(), 6);
    for event in &told {
        let json = serde_json::to_value(event).unwrap();
        assert_eq!(
            serde_json::from_value::<events::EventRecord>(json).unwrap(),
            *event
        );
    }
    // A relay that comes after a kill takes them all from Postgres.
    assert_eq!(told_anew(&w.pool, Epoch(9)).await, told);
}
