//! What the catalogue of Postgres itself says of the schema.

use mast_postgres::{Role, testing};
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn every_table_with_a_tenant_has_row_level_security_enabled_and_forced() {
    let database = testing::database().await;
    let mut superuser = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    let tables: Vec<(String, bool, bool, i64)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
                (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid)
         FROM pg_class c
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relnamespace = 'public'::regnamespace
           AND (c.relname = 'tenants' OR EXISTS (
               SELECT FROM pg_attribute a
               WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
         ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert!(tables.len() >= 15, "{tables:?}");
    for (table, enabled, forced, policies) in tables {
        assert!(
            enabled && forced,
            "{table}: row level security must be enabled and forced"
        );
        assert!(policies > 0, "{table} has no policy");
    }
}

#[tokio::test]
async fn every_policy_of_the_api_is_by_tenant_and_covers_all_that_it_may_touch() {
    let database = testing::database().await;
    let mut superuser = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    let policies: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "SELECT tablename::text, qual, with_check FROM pg_policies
         WHERE schemaname = 'public' AND roles && ARRAY['mast_api', 'public']::name[]",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert!(policies.len() >= 15);
    for (table, qual, check) in policies {
        let column = if table == "tenants" {
            "id"
        } else {
            "tenant_id"
        };
        // In a subquery, which is run once a statement; a call would be made for each row that a join looks up.
        let tenant = "( SELECT current_tenant() AS current_tenant)";
        assert_eq!(qual, format!("({column} = {tenant})"), "{table}");
        assert_eq!(
            check, None,
            "{table}: writes are bound by the same condition"
        );
    }
    let other: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = 'public'::regnamespace
           AND has_table_privilege('mast_api', c.oid, 'SELECT') AND NOT c.relrowsecurity ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(
        other,
        ["job_progress", "lake_manifest", "parts"],
        "without a tenant, and meant to be"
    );
}

#[tokio::test]
async fn no_service_role_has_power_beyond_its_grants() {
    let database = testing::database().await;
    let mut superuser = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    for role in Role::ALL {
        let (power, member, owned): (bool, bool, i64) = sqlx::query_as(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication,
                    EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid),
                    (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid)
                    + (SELECT count(*) FROM pg_proc p WHERE p.proowner = r.oid)
                    + (SELECT count(*) FROM pg_database d WHERE d.datdba = r.oid)
             FROM pg_roles r WHERE rolname = $1",
        )
        .bind(role.as_str())
        .fetch_one(&mut superuser)
        .await
        .unwrap();
        assert!(!power && !member, "{role:?}");
        assert_eq!(
            owned == 0,
            role != Role::Owner,
            "{role:?} owns {owned} objects"
        );
    }
}

#[tokio::test]
async fn output_tables_have_no_key_to_the_model() {
    let database = testing::database().await;
    let mut superuser = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    let keyed: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT conrelid::regclass::text FROM pg_constraint
         WHERE contype = 'f' AND connamespace = 'public'::regnamespace ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(
        keyed,
        [
            "alert_rules",
            "api_tokens",
            "device_credentials",
            "device_groups",
            "device_log_marks",
            "device_pins",
            "devices",
            "lake_retention",
            "maintenance_windows",
            "notification_channel_secrets",
            "notification_channels",
            "notification_routes",
            "sectors",
            "sites",
            "tags",
            "thresholds"
        ]
    );
}

#[tokio::test]
async fn the_words_of_the_records_are_the_words_of_the_checks() {
    use mast_schemas::alerts::{
        AlertChange, AlertStatus, IncidentChange, Operator, Resolution, RuleKind, RuleSubject,
        Severity, Suppressor, TrendChange, TrendTest,
    };
    use mast_schemas::control::{Role as DeviceRole, TlsPolicy};
    use mast_schemas::health::{Part, State};
    use mast_schemas::notifications::{AttemptOutcome, ChannelKind, DeliveryState, Occasion};
    use mast_schemas::records::{Outcome, Source};
    use mast_schemas::views::{
        AddressSource, DeviceState, HealthState, LinkReason, LinkState, PlaceKind,
    };
    fn words<T: std::fmt::Display>(all: &[T]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }
    let database = testing::database().await;
    let mut superuser = PgConnection::connect_with(&database.superuser())
        .await
        .unwrap();
    for (table, column, mut expected) in [
        ("devices", "tls", words(TlsPolicy::ALL)),
        ("devices", "role", words(DeviceRole::ALL)),
        ("device_status", "state", words(DeviceState::ALL)),
        ("device_status", "outcome", words(Outcome::ALL)),
        ("links", "source", words(Source::ALL)),
        ("thresholds", "technology", words(Source::ALL)),
        ("links", "state", words(LinkState::ALL)),
        ("links", "reason", words(LinkReason::ALL)),
        ("place_health", "kind", words(PlaceKind::ALL)),
        ("place_health", "state", words(HealthState::ALL)),
        ("place_past_clients", "kind", words(PlaceKind::ALL)),
        ("place_air", "kind", words(PlaceKind::ALL)),
        ("health_events", "place_kind", words(PlaceKind::ALL)),
        ("health_events", "from_state", words(HealthState::ALL)),
        ("health_events", "to_state", words(HealthState::ALL)),
        ("client_addresses", "source", words(AddressSource::ALL)),
        ("alert_rules", "kind", words(RuleKind::ALL)),
        ("alert_rules", "subject", words(RuleSubject::ALL)),
        ("alert_rules", "operator", words(Operator::ALL)),
        ("alert_rules", "severity", words(Severity::ALL)),
        ("alerts", "severity", words(Severity::ALL)),
        ("alerts", "subject_kind", words(RuleSubject::ALL)),
        ("alerts", "status", words(AlertStatus::ALL)),
        ("alerts", "suppressor", words(Suppressor::ALL)),
        ("alerts", "resolution", words(Resolution::ALL)),
        ("incidents", "severity", words(Severity::ALL)),
        ("trends", "test", words(TrendTest::ALL)),
        ("alert_events", "change", words(AlertChange::ALL)),
        ("incident_events", "change", words(IncidentChange::ALL)),
        ("trend_events", "change", words(TrendChange::ALL)),
        ("notification_channels", "kind", words(ChannelKind::ALL)),
        ("notification_routes", "kinds", words(Occasion::ALL)),
        (
            "notification_routes",
            "least_severity",
            words(Severity::ALL),
        ),
        ("notification_requests", "kind", words(Occasion::ALL)),
        ("notification_requests", "severity", words(Severity::ALL)),
        ("notification_deliveries", "kind", words(Occasion::ALL)),
        ("notification_deliveries", "severity", words(Severity::ALL)),
        (
            "notification_deliveries",
            "state",
            words(DeliveryState::ALL),
        ),
        (
            "notification_attempts",
            "outcome",
            words(AttemptOutcome::ALL),
        ),
        ("part_reports", "part", words(Part::ALL)),
        ("part_reports", "state", words(State::ALL)),
    ] {
        let mut checked: Vec<String> = sqlx::query_scalar(
            "SELECT m[1] FROM pg_constraint, regexp_matches(pg_get_constraintdef(oid), '''([a-z0-9_]+)''', 'g') m
             WHERE conname = $1",
        )
        .bind(format!("{table}_{column}_check"))
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        checked.sort();
        expected.sort();
        assert_eq!(checked, expected, "{table}.{column}");
    }
}

#[tokio::test]
async fn times_cross_the_border_exactly() {
    let database = testing::database().await;
    let api = database.pool(Role::Api).await;
    let mut micros: Vec<i64> = vec![0, 1, -1, 999_999, 4_102_444_799_999_999];
    micros.extend((0..20_000).map(|n| 1_700_000_000_000_000 + n * 97_654_321_001));
    let back: Vec<i64> = sqlx::query_scalar(
        "SELECT micros(instant(us)) FROM unnest($1::bigint[]) WITH ORDINALITY AS t(us, n) ORDER BY n",
    )
    .bind(&micros)
    .fetch_all(&api)
    .await
    .unwrap();
    assert_eq!(back, micros);
}
