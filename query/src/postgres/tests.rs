//! The SQL that a query's plan sends to Postgres.

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use mast_postgres::{Role, testing};
use uuid::Uuid;

use super::*;
use crate::TenantScope;
use crate::tables::NOW;

/// Plans as the engine does.
struct Planner {
    _database: testing::Database,
    context: SessionContext,
}

impl Planner {
    async fn new() -> Self {
        let database = testing::database().await;
        let pool = database.pool(Role::Api).await;
        let scope = TenantScope::One(TenantId(Uuid::from_u128(0xa)));
        let pools = RuntimeEnv::default();
        let memory = MemoryConsumer::new("tail").register(&pools.memory_pool);
        let snapshot = Snapshot::open(&pool, &scope, None, memory).await.unwrap();
        let snapshot = Arc::new(snapshot);
        let state = SessionStateBuilder::new()
            .with_config(SessionConfig::new().with_target_partitions(1))
            .with_default_features()
            .build();
        let context = SessionContext::new_with_state(state);
        for table in NOW {
            let provider = NowProvider::new(table, snapshot.clone(), true);
            context
                .register_table(table.name, Arc::new(provider))
                .unwrap();
        }
        Self {
            _database: database,
            context,
        }
    }

    /// The statements for Postgres, and the operators that remain above them.
    async fn sent(&self, sql: &str) -> String {
        let plan = self.context.sql(sql).await.unwrap();
        let plan = plan.create_physical_plan().await.unwrap();
        let mut lines = Vec::new();
        describe(&plan, &mut lines);
        lines.join("\n")
    }
}

fn describe(plan: &Arc<dyn ExecutionPlan>, lines: &mut Vec<String>) {
    match plan.downcast_ref::<StreamingTableExec>() {
        None => lines.push(plan.name().to_owned()),
        Some(scan) => lines.extend(scan.partitions().iter().map(|part| {
            let mut text = format!("{part:?}");
            for table in NOW {
                text = text.replace(table.query, &format!("…{}…", table.name));
            }
            text
        })),
    }
    for child in plan.children() {
        describe(child, lines);
    }
}

#[tokio::test]
async fn projections_conditions_and_limits_become_one_select() {
    let p = Planner::new().await;
    insta::assert_snapshot!(p.sent("SELECT name, state FROM devices").await, @r#"SELECT t.name, t.state FROM (…devices…) AS t [Id(00000000-0000-0000-0000-00000000000a)]"#);
    insta::assert_snapshot!(p.sent("SELECT count(*) FROM devices").await, @r#"
ProjectionExec
AggregateExec
SELECT 1 FROM (…devices…) AS t [Id(00000000-0000-0000-0000-00000000000a)]
"#);
    insta::assert_snapshot!(p.sent("SELECT * FROM sites LIMIT 5").await, @r#"SELECT t.tenant_id, t.site_id, t.name, t.latitude_deg, t.longitude_deg, t.elevation_m, t.devices_online, t.devices_offline, t.devices_unmanageable, t.devices_unobserved, t.links_discovered, t.links_active, t.links_degraded, t.links_down, t.links_stale, t.links_unobserved, t.clients, t.signal_mean_dbm, t.signal_p10_dbm, t.signal_worst_dbm, micros(t.as_of), t.state, micros(t.since), t.clients_hour_ago, t.clients_week_ago, t.rx_bps, t.tx_bps, t.noise_mean_dbm, t.noise_worst_dbm FROM (…sites…) AS t LIMIT $2 [Id(00000000-0000-0000-0000-00000000000a), I64(5)]"#);
    insta::assert_snapshot!(p.sent("SELECT name FROM devices WHERE state = 'online' AND cpu_load_percent >= 50 LIMIT 3").await, @r#"SELECT t.name FROM (…devices…) AS t WHERE (t.state = $2) AND (t.cpu_load_percent >= $3) LIMIT $4 [Id(00000000-0000-0000-0000-00000000000a), Text("online"), I16(50), I64(3)]"#);
    insta::assert_snapshot!(p.sent("SELECT since FROM devices WHERE since > '2024-01-01T00:00:00Z'").await, @r#"SELECT micros(t.since) FROM (…devices…) AS t WHERE (t.since > instant($2)) [Id(00000000-0000-0000-0000-00000000000a), I64(1704067200000000)]"#);
    insta::assert_snapshot!(p.sent("SELECT mac FROM links WHERE mac IN ('4C:5E:0C:A2:54:51', '4C:5E:0C:A2:54:52') OR unobserved").await, @r#"SELECT t.mac FROM (…links…) AS t WHERE (((t.mac = $2) OR (t.mac = $3)) OR t.unobserved) [Id(00000000-0000-0000-0000-00000000000a), I64(83966822601809), I64(83966822601810)]"#);
    insta::assert_snapshot!(p.sent("SELECT name FROM devices WHERE name LIKE 'ap-%' AND name < 'b' AND outcome IS NOT NULL AND NOT enabled").await, @r#"SELECT t.name FROM (…devices…) AS t WHERE (t.outcome IS NOT NULL) AND (NOT t.enabled) AND (t.name COLLATE "C" < $2) AND (starts_with(t.name, $3)) [Id(00000000-0000-0000-0000-00000000000a), Text("b"), Text("ap-")]"#);
    insta::assert_snapshot!(p.sent("SELECT ap FROM clients WHERE signal_dbm BETWEEN -80 AND -60").await, @r#"SELECT t.ap FROM (…clients…) AS t WHERE (t.signal_dbm >= $2) AND (t.signal_dbm <= $3) [Id(00000000-0000-0000-0000-00000000000a), I16(-80), I16(-60)]"#);
    insta::assert_snapshot!(p.sent("SELECT name FROM sectors WHERE sector_id = '00000000-0000-0000-0000-00000000000a'").await, @r#"SELECT t.name FROM (…sectors…) AS t WHERE (t.sector_id = $2) [Id(00000000-0000-0000-0000-00000000000a), Id(00000000-0000-0000-0000-00000000000a)]"#);
}

#[tokio::test]
async fn what_postgres_would_understand_otherwise_stays_above_the_scan() {
    let p = Planner::new().await;
    insta::assert_snapshot!(p.sent("SELECT name FROM devices WHERE upper(name) = 'X' AND state = 'online' LIMIT 3").await, @r#"
FilterExec
SELECT t.name FROM (…devices…) AS t WHERE (t.state = $2) [Id(00000000-0000-0000-0000-00000000000a), Text("online")]
"#);
    insta::assert_snapshot!(p.sent("SELECT mac FROM links WHERE mac = '4c:5e:0c:a2:54:51'").await, @r#"
FilterExec
SELECT t.mac FROM (…links…) AS t [Id(00000000-0000-0000-0000-00000000000a)]
"#);
    insta::assert_snapshot!(p.sent("SELECT name FROM devices WHERE name LIKE '%x'").await, @r#"
FilterExec
SELECT t.name FROM (…devices…) AS t [Id(00000000-0000-0000-0000-00000000000a)]
"#);
    insta::assert_snapshot!(p.sent("SELECT name FROM devices ORDER BY name LIMIT 2").await, @r#"
SortExec(TopK)
SELECT t.name FROM (…devices…) AS t [Id(00000000-0000-0000-0000-00000000000a)]
"#);
}
