//! SQL over HTTP: formats, limits, and what a hostile asker gets.

use arrow::ipc::reader::StreamReader;
use insta::assert_snapshot;
use mast_query::{Engine, EngineConfig};
use serde_json::json;

use crate::world::{Answer, B, Client, JSON, SECRET, World};

const STATES: &str = "SELECT state, count(*) AS links FROM links GROUP BY state ORDER BY state";

async fn as_format(client: &Client, sql: &str, accept: &str) -> Answer {
    let headers = [JSON, ("accept", accept)];
    let body = json!({ "sql": sql }).to_string();
    client.send("POST", "/api/v1/sql", &headers, body).await
}

#[tokio::test]
async fn an_answer_comes_in_the_format_that_is_accepted() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let json = viewer.sql(STATES).await;
    assert_snapshot!(json, @r#"
    200 [
      {
        "links": 1,
        "state": "active"
      },
      {
        "links": 1,
        "state": "degraded"
      },
      {
        "links": 1,
        "state": "stale"
      }
    ]
    "#);
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert!(json.header("mast-as-of").unwrap().ends_with('Z'));
    let lines = as_format(&viewer, STATES, "application/x-ndjson").await;
    assert_snapshot!(lines.text(), @r#"
    {"state":"active","links":1}
    {"state":"degraded","links":1}
    {"state":"stale","links":1}
    "#);
    let csv = as_format(&viewer, STATES, "text/csv").await;
    assert_snapshot!(csv.text(), @r#"
    state,links
    active,1
    degraded,1
    stale,1
    "#);
    let arrow = as_format(&viewer, STATES, "application/vnd.apache.arrow.stream").await;
    let batches: Vec<_> = StreamReader::try_new(&arrow.body[..], None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 3);
    assert_snapshot!(as_format(&viewer, STATES, "image/png").await, @r#"
    406 {
      "detail": "there are application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream",
      "status": 406,
      "title": "None of the accepted formats is there",
      "type": "urn:mast:problem:not-acceptable"
    }
    "#);
}

#[tokio::test]
async fn an_answer_without_rows_is_whole() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let none = "SELECT name FROM sites WHERE name = 'x'";
    assert_eq!(viewer.sql(none).await.json(), json!([]));
    assert_eq!(
        as_format(&viewer, none, "application/x-ndjson")
            .await
            .text(),
        ""
    );
    assert_eq!(as_format(&viewer, none, "text/csv").await.text(), "name\n");
}

#[tokio::test]
async fn what_is_no_query_is_refused() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    assert_snapshot!(viewer.sql("SELEKT 1").await, @r#"
    400 {
      "detail": "SQL error: ParserError(\"Expected: an SQL statement, found: SELEKT at Line: 1, Column: 1\")",
      "status": 400,
      "title": "The SQL is not valid",
      "type": "urn:mast:problem:invalid-sql"
    }
    "#);
    assert_snapshot!(viewer.sql("SELECT colour FROM (SELECT 1 AS name)").await, @r#"
    400 {
      "detail": "Schema error: No field named colour.\nValid fields are name.",
      "status": 400,
      "title": "The SQL is not valid",
      "type": "urn:mast:problem:invalid-sql"
    }
    "#);
    assert_snapshot!(viewer.sql("DELETE FROM sites").await, @r#"
    400 {
      "detail": "only queries are allowed here, and this is none: Error during planning: DML not supported: Delete",
      "status": 400,
      "title": "The SQL is not valid",
      "type": "urn:mast:problem:invalid-sql"
    }
    "#);
    for sql in [
        "",
        ";",
        "SELECT 1; SELECT 2",
        "INSERT INTO sites VALUES (1)",
        "UPDATE sites SET name = 'x'",
        "DROP TABLE sites",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "EXPLAIN DELETE FROM sites",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM pg_catalog.pg_user",
        "SELECT * FROM api_tokens",
        "SELECT * FROM device_credentials",
        "SELECT pg_sleep(10)",
        "SELECT 1 / 0",
        "SELECT CAST('x' AS BIGINT)",
    ] {
        assert_eq!(viewer.sql(sql).await.problem(), 400, "{sql}");
    }
    let none = viewer
        .post("/api/v1/sql", json!({ "query": "SELECT 1" }))
        .await;
    assert_eq!(none.problem(), 422);
}

#[tokio::test]
async fn a_query_that_is_too_much_is_stopped() {
    let world = World::with(|config| {
        let pool = config.pool.clone();
        let mut engine = EngineConfig::new(pool, std::env::temp_dir().join("mast-api-no-lake"));
        engine.max_rows = 10;
        engine.time_limit = std::time::Duration::from_millis(300);
        config.engine = Engine::new(engine).unwrap();
    })
    .await;
    let viewer = world.viewer().await;
    assert_snapshot!(viewer.sql("SELECT value FROM generate_series(1, 100)").await, @r#"
    422 {
      "detail": "the query was stopped: its answer has more than 10 rows",
      "status": 422,
      "title": "The query passed a limit",
      "type": "urn:mast:problem:query-limit"
    }
    "#);
    let endless =
        "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b";
    assert_eq!(viewer.sql(endless).await.problem(), 422);
}

#[tokio::test]
async fn no_sql_shows_another_tenants_rows() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    let tables = viewer.sql("SHOW TABLES").await.json();
    let tables: Vec<String> = tables
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["table_schema"] == "public")
        .map(|row| row["table_name"].as_str().unwrap().to_owned())
        .collect();
    assert!(tables.len() >= 17, "{tables:?}");
    let b = B.tenant().to_string();
    for table in &tables {
        for rest in [
            String::new(),
            format!("WHERE tenant_id = '{b}'"),
            format!("WHERE tenant_id = '{b}' OR 1=1"),
            format!("WHERE NOT (tenant_id <> '{b}')"),
            "WHERE tenant_id = '' OR ''=''".to_owned(),
            format!("x FULL JOIN {table} y ON x.tenant_id <> y.tenant_id"),
            format!("UNION ALL SELECT * FROM mast.public.{table}"),
            format!("WHERE tenant_id IN (SELECT tenant_id FROM {table})"),
            "WHERE tenant_id = (SELECT max(tenant_id) FROM devices)".to_owned(),
            format!("WHERE CASE WHEN true THEN tenant_id = '{b}' ELSE false END"),
            "-- $1\nWHERE true".to_owned(),
            "/* ' */ WHERE true".to_owned(),
        ] {
            let sql = format!("SELECT * FROM {table} {rest}");
            let answer = viewer.sql(&sql).await;
            assert!(
                answer.status == 200 || answer.problem() == 400,
                "{sql}: {answer}"
            );
            shows_nothing(&answer, &sql);
        }
        let counted = viewer
            .sql(&format!(
                "SELECT count(DISTINCT tenant_id) AS n FROM {table}"
            ))
            .await;
        assert!(counted.json()[0]["n"].as_i64().unwrap() <= 1, "{table}");
    }
    for sql in [
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.df_settings",
        "SHOW ALL",
        "EXPLAIN VERBOSE SELECT * FROM devices",
        "EXPLAIN ANALYZE SELECT * FROM polls",
    ] {
        shows_nothing(&viewer.sql(sql).await, sql);
    }
    let theirs = world.stranger().await.sql("SELECT name FROM sites").await;
    assert!(
        theirs.text().contains(SECRET),
        "the secret is there to be seen: {theirs}"
    );
}

fn shows_nothing(answer: &Answer, sql: &str) {
    let text = answer.text().replace(sql, "");
    assert!(!text.contains(SECRET), "{sql}: {text}");
    let b = B.tenant().to_string();
    // A refusal may repeat what was asked.
    assert!(
        !text.contains(&b)
            || answer.status != 200
            || sql.contains(&b) && text.matches(&b).count() <= sql.matches(&b).count(),
        "{sql}: {text}"
    );
}
