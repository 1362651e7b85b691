//! Rules, windows and what people say of alerts: what the tables let in, what goes with what, and what is told of it.

use mast_postgres::{Role, tenant_tx, testing};
use mast_schemas::TenantId;
use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope, Severity};
use mast_schemas::control::{Change, Rule, Schedule};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::{Fleet, REFUSED, code, fleet};

/// The changes that were told after `after`.
async fn told(dataflow: &PgPool, after: i64) -> Vec<Change> {
    let rows: Vec<serde_json::Value> =
        sqlx::query_scalar("SELECT change FROM outbox WHERE id > $1 ORDER BY id")
            .bind(after)
            .fetch_all(dataflow)
            .await
            .unwrap();
    let read = |change| serde_json::from_value(change).unwrap();
    rows.into_iter().map(read).collect()
}

async fn last(dataflow: &PgPool) -> i64 {
    let newest = "SELECT coalesce(max(id), 0) FROM outbox";
    sqlx::query_scalar(newest)
        .fetch_one(dataflow)
        .await
        .unwrap()
}

/// Runs a statement as the API, in a transaction of the tenant.
async fn run(api: &PgPool, tenant: TenantId, sql: String) -> Result<u64, sqlx::Error> {
    let mut tx = tenant_tx(api, tenant).await?;
    let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Inserts a rule of `scope` with the id of what it names.
async fn rule(api: &PgPool, a: &Fleet, name: &str, scope: &str, id: Uuid) -> Uuid {
    let rule = Uuid::now_v7();
    let tenant = a.tenant;
    let sql = format!(
        "INSERT INTO alert_rules (id, tenant_id, name, kind, scope, {scope}_id, subject, operator, enter_milli,
             clear_milli, severity)
         VALUES ('{rule}', '{tenant}', '{name}', 'cpu', '{scope}', '{id}', 'device', 'gt', 90500, 80000, 'info')"
    );
    run(api, tenant, sql).await.unwrap();
    rule
}

#[tokio::test]
async fn a_new_tenant_has_its_first_rules_and_they_are_told() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    let changes = told(&dataflow, 0).await;
    assert!(matches!(&changes[0], Change::Tenant(t) if t.id == a.tenant));
    let mut rules: Vec<Rule> = changes
        .into_iter()
        .filter_map(|change| match change {
            Change::Rule(rule) => Some(rule),
            _ => None,
        })
        .collect();
    rules.sort_by_key(|rule| rule.kind);
    let said: Vec<_> = rules
        .iter()
        .map(|r| (r.kind, r.operator, r.enter_milli, r.clear_milli, r.hits))
        .collect();
    use Operator::{Gt, Lt};
    use RuleKind as K;
    assert_eq!(
        said,
        [
            (K::Cpu, Some(Gt), 90_000, 80_000, 5),
            (K::Memory, Some(Gt), 90_000, 85_000, 5),
            (K::Disk, Some(Gt), 85_000, 80_000, 3),
            (K::Temperature, Some(Gt), 80_000, 70_000, 3),
            (K::Signal, Some(Lt), -75_000, -72_000, 3),
            (K::Ccq, Some(Lt), 50_000, 60_000, 3),
            (K::Offline, None, 0, 0, 1),
            (K::Unmanageable, None, 0, 0, 1),
            (K::SectorClientDrop, Some(Gt), 50_000, 25_000, 2),
            (K::SiteDown, None, 0, 0, 1),
        ]
    );
    for rule in &rules {
        let critical = matches!(rule.kind, K::Offline | K::SiteDown);
        assert_eq!(rule.severity == Severity::Critical, critical, "{rule:?}");
        let subject = rule.kind.subject();
        assert_eq!(subject, Some(rule.subject), "{rule:?}");
        assert!(rule.enabled && rule.scope == Scope::Tenant && rule.tenant_id == a.tenant);
    }
}

#[tokio::test]
async fn a_rule_goes_with_what_its_scope_names_and_that_is_told() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    let (tenant, group, tag) = (a.tenant, Uuid::now_v7(), Uuid::now_v7());
    for (table, id) in [("device_groups", group), ("tags", tag)] {
        let sql =
            format!("INSERT INTO {table} (id, tenant_id, name) VALUES ('{id}', '{tenant}', 'x')");
        run(&api, tenant, sql).await.unwrap();
    }
    for (scope, table, id) in [
        ("group", "device_groups", group),
        ("tag", "tags", tag),
        ("device", "devices", a.devices[0]),
        ("sector", "sectors", a.sector),
        ("site", "sites", a.site),
    ] {
        let before = last(&dataflow).await;
        let rule = rule(&api, &a, scope, scope, id).await;
        let sql = format!("DELETE FROM {table} WHERE id = '{id}'");
        run(&api, tenant, sql).await.unwrap();
        let changes = told(&dataflow, before).await;
        let Change::Rule(made) = &changes[0] else {
            panic!("{changes:?}")
        };
        let named = match made.scope {
            Scope::Group(id) => id.0,
            Scope::Tag(id) => id.0,
            Scope::Device(id) => id.0,
            Scope::Sector(id) => id.0,
            Scope::Site(id) => id.0,
            Scope::Tenant => Uuid::nil(),
        };
        assert_eq!((made.id.0, named, made.enter_milli), (rule, id, 90_500));
        assert_eq!(made.subject, RuleSubject::Device);
        let gone = |c: &&Change| matches!(c, Change::RuleDeleted { id } if id.0 == rule);
        assert_eq!(changes.iter().filter(gone).count(), 1, "{changes:?}");
    }
}

#[tokio::test]
async fn a_rule_that_means_nothing_is_refused() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let (a, b) = (fleet(&api, "a").await, fleet(&api, "b").await);
    let (tenant, site, foreign) = (a.tenant, a.site, b.site);
    let nil = "NULL";
    let (here, there) = (format!("'{site}'"), format!("'{foreign}'"));
    let sector = format!("'{}'", a.sector);
    let row = |values: &str, site: &str, sector: &str| {
        format!(
            "INSERT INTO alert_rules (id, tenant_id, name, kind, scope, subject, interface, operator, enter_milli,
                 clear_milli, severity, site_id, sector_id)
             VALUES (gen_random_uuid(), '{tenant}', 'odd', {values}, 'info', {site}, {sector})"
        )
    };
    for (why, values, site, sector, refused) in [
        (
            "no such kind",
            "'x','tenant','device',NULL,'gt',2,1",
            nil,
            nil,
            "23514",
        ),
        (
            "a scope without its thing",
            "'cpu','site','device',NULL,'gt',2,1",
            nil,
            nil,
            "23514",
        ),
        (
            "a thing without its scope",
            "'cpu','tenant','device',NULL,'gt',2,1",
            &here,
            nil,
            "23514",
        ),
        (
            "another's site",
            "'cpu','site','device',NULL,'gt',2,1",
            &there,
            nil,
            "23503",
        ),
        (
            "no operator",
            "'cpu','tenant','device',NULL,NULL,2,1",
            nil,
            nil,
            "23514",
        ),
        (
            "nothing to compare",
            "'offline','tenant','device',NULL,'gt',0,0",
            nil,
            nil,
            "23514",
        ),
        (
            "clear on the bad side",
            "'cpu','tenant','device',NULL,'gt',1,2",
            nil,
            nil,
            "23514",
        ),
        (
            "the same below",
            "'signal','tenant','device',NULL,'lt',2,1",
            nil,
            nil,
            "23514",
        ),
        (
            "a device has no interface",
            "'cpu','tenant','device','*','gt',2,1",
            nil,
            nil,
            "23514",
        ),
        (
            "which interfaces",
            "'interface_down','tenant','interface',NULL,NULL,0,0",
            nil,
            nil,
            "23514",
        ),
        (
            "of what",
            "'cpu','tenant','site',NULL,'gt',2,1",
            nil,
            nil,
            "23514",
        ),
        (
            "a site is in no sector",
            "'link_down_count','sector','site',NULL,'gt',2,1",
            nil,
            &sector,
            "23514",
        ),
    ] {
        let error = run(&api, tenant, row(values, site, sector)).await;
        assert_eq!(code(&error.unwrap_err()), refused, "{why}");
    }
    let scheduled = |days: &str, from: &str, to: &str, zone: &str| {
        format!(
            "INSERT INTO alert_rules (id, tenant_id, name, kind, scope, subject, severity, schedule_days, schedule_from,
                 schedule_to, schedule_zone)
             VALUES (gen_random_uuid(), '{tenant}', 'odd', 'offline', 'tenant', 'device', 'info', {days}, {from}, {to}, {zone})"
        )
    };
    for (why, days, from, to, zone) in [
        ("an eighth day", "'{8}'", nil, nil, "'UTC'"),
        ("no day at all", "'{}'", nil, nil, "'UTC'"),
        ("from without to", nil, "60", nil, "'UTC'"),
        ("a minute too late", nil, "60", "1440", "'UTC'"),
        ("days on no clock", "'{1}'", nil, nil, nil),
        ("hours on no clock", nil, "60", "120", nil),
        ("a clock without a name", nil, nil, nil, "''"),
    ] {
        let error = run(&api, tenant, scheduled(days, from, to, zone)).await;
        assert_eq!(code(&error.unwrap_err()), "23514", "{why}");
    }
    let good = row(
        "'link_down_count','sector','sector',NULL,'gt',2,1",
        nil,
        &sector,
    );
    assert_eq!(run(&api, tenant, good).await.unwrap(), 1);
}

#[tokio::test]
async fn when_a_rule_judges_is_told() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let a = fleet(&api, "a").await;
    let rule = rule(&api, &a, "nights", "site", a.site).await;
    let before = last(&dataflow).await;
    for set in [
        "schedule_days = '{5,6}', schedule_from = 1320, schedule_to = 360, schedule_zone = 'Europe/Ljubljana'",
        "schedule_days = NULL, schedule_from = NULL, schedule_to = NULL",
        "schedule_zone = NULL",
    ] {
        let sql = format!("UPDATE alert_rules SET {set} WHERE id = '{rule}'");
        run(&api, a.tenant, sql).await.unwrap();
    }
    let schedules: Vec<_> = told(&dataflow, before)
        .await
        .into_iter()
        .map(|change| match change {
            Change::Rule(rule) => rule.schedule,
            other => panic!("{other:?}"),
        })
        .collect();
    let nights = Schedule {
        days: vec![5, 6],
        from_minute: Some(1_320),
        to_minute: Some(360),
        time_zone: "Europe/Ljubljana".to_owned(),
    };
    let always = Schedule {
        days: Vec::new(),
        from_minute: None,
        to_minute: None,
        ..nights.clone()
    };
    assert_eq!(schedules, [Some(nights), Some(always), None]);
}

#[tokio::test]
async fn a_window_whose_last_device_is_deleted_is_none_of_the_whole_tenant() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let (a, b) = (fleet(&api, "a").await, fleet(&api, "b").await);
    let (tenant, window, [first, second]) = (a.tenant, Uuid::now_v7(), a.devices);
    let row = |devices: &str| {
        format!(
            "INSERT INTO maintenance_windows (id, tenant_id, name, scope, device_ids, starts_at, ends_at, recurrence,
                 time_zone)
             VALUES ('{window}', '{tenant}', 'night', 'devices', '{{{devices}}}', instant(1000000), instant(2000000),
                 'FREQ=DAILY', 'Europe/Ljubljana')"
        )
    };
    let foreign = run(&api, tenant, row(&b.devices[0].to_string())).await;
    assert_eq!(code(&foreign.unwrap_err()), "23503");
    assert_eq!(
        code(&run(&api, tenant, row("")).await.unwrap_err()),
        "23514"
    );
    let before = last(&dataflow).await;
    let made = run(&api, tenant, row(&format!("{first},{second}"))).await;
    assert_eq!(made.unwrap(), 1);
    for device in [first, second] {
        let sql = format!("DELETE FROM devices WHERE id = '{device}'");
        run(&api, tenant, sql).await.unwrap();
    }
    let changes = told(&dataflow, before).await;
    let windows: Vec<Vec<Uuid>> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Window(w) => {
                assert_eq!((w.starts_at.0, w.ends_at.0), (1_000_000, 2_000_000));
                Some(w.device_ids.iter().map(|d| d.0).collect())
            }
            _ => None,
        })
        .collect();
    assert_eq!(windows, [vec![first, second], vec![second]]);
    let gone = |c: &Change| matches!(c, Change::WindowDeleted { id } if id.0 == window);
    assert!(changes.iter().any(gone), "{changes:?}");
}

#[tokio::test]
async fn what_people_say_is_told_where_it_matters_and_nobody_writes_anothers_columns() {
    let database = testing::database().await;
    let (api, dataflow) = (
        database.pool(Role::Api).await,
        database.pool(Role::Dataflow).await,
    );
    let (a, b) = (fleet(&api, "a").await, fleet(&api, "b").await);
    let (tenant, alert) = (a.tenant, Uuid::now_v7());
    sqlx::query(
        "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, opened_at,
             value_milli, status, epoch)
         VALUES ($1, $2, $1, 'offline', 'critical', 'device', $3, now(), 1000, 'open', 1)",
    )
    .bind(alert)
    .bind(tenant.0)
    .bind(a.devices[0])
    .execute(&dataflow)
    .await
    .unwrap();
    let note = |action: &str, column: &str, value: &str| {
        format!(
            "INSERT INTO alert_notes (id, tenant_id, {column}, by, action)
             VALUES (gen_random_uuid(), '{tenant}', {value}, 'ana', '{action}')"
        )
    };
    let before = last(&dataflow).await;
    let id = format!("'{alert}'");
    for sql in [
        note("comment", "alert_id", &id),
        note("resolve", "alert_id", &id),
        note("accept", "mac", "11259375"),
    ] {
        run(&api, tenant, sql).await.unwrap();
    }
    let changes = told(&dataflow, before).await;
    let [
        Change::AlertResolved { id, tenant_id },
        Change::TrendNormal { mac, .. },
    ] = &changes[..]
    else {
        panic!("{changes:?}")
    };
    assert_eq!((id.0, *tenant_id), (alert, tenant));
    assert_eq!(mac.to_string(), "00:00:00:AB:CD:EF");

    let acknowledge = "UPDATE alerts SET acknowledged_at = now(), acknowledged_by = 'ana'";
    assert_eq!(run(&api, tenant, acknowledge.to_owned()).await.unwrap(), 1);
    assert_eq!(
        run(&api, b.tenant, acknowledge.to_owned()).await.unwrap(),
        0
    );
    for refused in [
        "UPDATE alerts SET status = 'suppressed'",
        "UPDATE alerts SET resolved_at = now(), resolution = 'manual'",
        "DELETE FROM alerts",
        "UPDATE alert_notes SET note = 'x'",
        "DELETE FROM alert_notes",
        "UPDATE incidents SET severity = 'info'",
        "DELETE FROM trends",
    ] {
        let error = run(&api, tenant, refused.to_owned()).await.unwrap_err();
        assert_eq!(code(&error), REFUSED, "{refused}");
    }
    for refused in [
        "UPDATE alerts SET acknowledged_at = NULL",
        "UPDATE incidents SET acknowledged_by = 'x'",
        "INSERT INTO alert_notes (id, tenant_id, mac, by, action) SELECT gen_random_uuid(), tenant_id, 1, 'x', 'accept'
         FROM alerts",
    ] {
        let error = sqlx::query(refused).execute(&dataflow).await.unwrap_err();
        assert_eq!(code(&error), REFUSED, "{refused}");
    }
    let forged = note("resolve", "alert_id", &format!("'{alert}'"));
    let error = run(&api, b.tenant, forged).await.unwrap_err();
    assert_eq!(code(&error), REFUSED, "a note of another tenant");
}

#[tokio::test]
async fn at_most_one_alert_of_a_rule_and_a_subject_is_open() {
    let database = testing::database().await;
    let dataflow = database.pool(Role::Dataflow).await;
    let (rule, subject, tenant) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let open = |interface: Option<&'static str>| {
        sqlx::query(
            "INSERT INTO alerts (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface,
                 opened_at, value_milli, status, epoch)
             VALUES (gen_random_uuid(), $1, $2, 'interface_down', 'info', 'interface', $3, $4, now(), 1, 'open', 1)",
        )
        .bind(tenant)
        .bind(rule)
        .bind(subject)
        .bind(interface)
    };
    open(Some("ether1")).execute(&dataflow).await.unwrap();
    open(Some("ether2")).execute(&dataflow).await.unwrap();
    let again = open(Some("ether1")).execute(&dataflow).await.unwrap_err();
    assert_eq!(code(&again), "23505");
    sqlx::query(
        "UPDATE alerts SET resolved_at = now(), resolution = 'cleared' WHERE interface = 'ether1'",
    )
    .execute(&dataflow)
    .await
    .unwrap();
    open(Some("ether1")).execute(&dataflow).await.unwrap();
}
