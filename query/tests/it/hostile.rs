//! What a hostile tenant A would try.

use mast_query::QueryError;

use crate::TABLES;
use crate::fixture::{Fixture, SECRET};

#[tokio::test]
async fn no_sql_shows_another_tenants_row() {
    let f = Fixture::new().await;
    let mut corpus: Vec<String> = Vec::new();
    for table in TABLES {
        for rest in [
            "WHERE tenant_id = '{b}'",
            "WHERE tenant_id = '{b}' OR 1=1",
            "WHERE tenant_id <> '{a}' OR tenant_id IS NULL",
            "WHERE tenant_id IN ('{a}', '{b}') OR true",
            "WHERE NOT (tenant_id = '{a}')",
            "WHERE tenant_id LIKE '%' OR tenant_id > ''",
            "WHERE tenant_id = (SELECT max(tenant_id) FROM {t})",
            "x JOIN {t} y ON x.tenant_id <> y.tenant_id",
            "x FULL JOIN {t} y ON x.tenant_id = '{b}'",
            "UNION ALL SELECT * FROM {t} WHERE tenant_id = '{b}'",
            "WHERE EXISTS (SELECT 1 FROM devices d WHERE d.tenant_id = '{b}')",
            "WHERE tenant_id = '{a}'' OR ''1''=''1'",
            "WHERE tenant_id = ''') OR true --'",
            "; SELECT * FROM {t}",
            "-- $1\nWHERE true",
            "LIMIT 1000000 OFFSET 0",
            "WHERE tenant_id IN (SELECT tenant_id FROM (VALUES ('{b}')) v (tenant_id))",
            "WHERE CASE WHEN true THEN tenant_id = '{b}' ELSE false END",
            "WHERE coalesce(nullif(tenant_id, '{a}'), '{b}') = '{b}'",
            "x LEFT JOIN {t} y ON false WHERE y.tenant_id IS NULL",
            "x CROSS JOIN LATERAL (SELECT * FROM {t} y WHERE y.tenant_id <> x.tenant_id) z",
            "EXCEPT SELECT * FROM {t} WHERE tenant_id = '{a}'",
            "INTERSECT SELECT * FROM {t} WHERE tenant_id = '{b}'",
            "AS x (tenant_id)",
        ] {
            corpus.push(format!("SELECT * FROM {table} {rest}").replace("{t}", table));
        }
        corpus.push(format!(
            "WITH {table} AS (SELECT * FROM mast.public.{table}) SELECT * FROM {table}"
        ));
        corpus.push(format!(
            "SELECT tenant_id, count(*) FROM {table} GROUP BY ROLLUP (tenant_id)"
        ));
        corpus.push(format!(
            "WITH RECURSIVE r AS (SELECT tenant_id FROM {table} UNION SELECT '{{b}}' FROM r JOIN {table} USING (tenant_id))
             SELECT t.* FROM {table} t JOIN r USING (tenant_id)"
        ));
        corpus.push(format!("EXPLAIN VERBOSE SELECT * FROM {table}"));
        corpus.push(format!("DESCRIBE {table}"));
        corpus.push(format!("SHOW COLUMNS FROM {table}"));
        corpus.push(format!(
            "SELECT array_agg(tenant_id), min(tenant_id), max(tenant_id), count(DISTINCT tenant_id) FROM {table}"
        ));
        corpus.push(format!(
            "EXPLAIN ANALYZE SELECT * FROM {table} WHERE tenant_id = '{{b}}'"
        ));
    }
    for more in [
        "SELECT * FROM devices WHERE name = 'x'' OR ''1''=''1'",
        "SELECT * FROM devices WHERE name LIKE ''') OR true; --%'",
        "SELECT * FROM devices WHERE name IN ('$1', ''';RESET mast.tenant_id;--')",
        "SELECT * FROM links WHERE mac = '02:00:00:00:0B:01' OR cpe_device_id = '{b}'",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM information_schema.routines",
        "SELECT * FROM information_schema.schemata",
        "SHOW ALL",
        "SHOW TABLES",
    ] {
        corpus.push(more.to_owned());
    }
    for sql in corpus {
        let sql = sql
            .replace("{a}", &f.a.to_string())
            .replace("{b}", &f.b.to_string());
        if let Ok(answer) = f.json(f.a, &sql).await {
            // A query may speak of B itself; what must not come back is anything that only B's rows hold.
            assert!(!answer.contains(SECRET), "{sql}: {answer}");
            assert!(
                !answer.contains(&format!("\"tenant_id\":\"{}\"", f.b)),
                "{sql}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn all_but_queries_is_refused() {
    let f = Fixture::new().await;
    let outside = f.root().join("outside.csv");
    std::fs::write(&outside, SECRET).unwrap();
    let outside = outside.display().to_string();
    for sql in [
        "CREATE TABLE x AS SELECT 1".to_owned(),
        "CREATE VIEW devices AS SELECT 1".to_owned(),
        format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{outside}'"),
        "CREATE SCHEMA x".to_owned(),
        "CREATE DATABASE x".to_owned(),
        "CREATE FUNCTION f() RETURNS int RETURN 1".to_owned(),
        "DROP TABLE devices".to_owned(),
        "INSERT INTO devices (name) VALUES ('x')".to_owned(),
        "UPDATE devices SET name = 'x'".to_owned(),
        "DELETE FROM devices".to_owned(),
        "TRUNCATE TABLE devices".to_owned(),
        format!("COPY devices TO '{outside}.copy'"),
        format!("EXPLAIN ANALYZE COPY devices TO '{outside}.copy' STORED AS CSV"),
        "EXPLAIN ANALYZE DELETE FROM devices".to_owned(),
        "SET mast.tenant_id = 'x'".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "RESET datafusion.execution.batch_size".to_owned(),
        "BEGIN".to_owned(),
        "COMMIT".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "EXECUTE p".to_owned(),
        "DEALLOCATE p".to_owned(),
        format!("SELECT * FROM '{outside}'"),
        format!("SELECT * FROM read_csv('{outside}')"),
        format!("SELECT * FROM read_parquet('{outside}')"),
        format!("SELECT * FROM parquet_metadata('{outside}')"),
        "SELECT * FROM pg_catalog.pg_class".to_owned(),
        "SELECT * FROM lake_manifest".to_owned(),
        "SELECT * FROM device_credentials".to_owned(),
        "SELECT * FROM tenants".to_owned(),
        "SELECT set_config('mast.tenant_id', 'x', false)".to_owned(),
        "SELECT pg_read_file('x')".to_owned(),
        format!("SELECT * FROM read_json('{outside}')"),
        format!("SELECT * FROM read_text('{outside}')"),
        format!("SELECT * FROM 'file://{outside}'"),
        "SELECT * FROM 'mast-lake://lake/polls/main/g1-e0-1-0.parquet'".to_owned(),
        "SELECT * FROM 'http://169.254.169.254/latest/meta-data/x.csv'".to_owned(),
        "SELECT pg_read_binary_file('x')".to_owned(),
        "SELECT pg_ls_dir('.')".to_owned(),
        "SELECT lo_import('x')".to_owned(),
        "SELECT * FROM dblink('dbname=mast', 'SELECT 1')".to_owned(),
        "SELECT pg_sleep(100)".to_owned(),
        "SELECT current_setting('mast.tenant_id')".to_owned(),
        "SELECT pg_terminate_backend(1)".to_owned(),
        "SELECT nextval('x')".to_owned(),
        "WITH gone AS (DELETE FROM devices RETURNING *) SELECT * FROM gone".to_owned(),
        "SELECT * INTO stolen FROM devices".to_owned(),
        "MERGE INTO devices USING links ON true WHEN MATCHED THEN DELETE".to_owned(),
        "CREATE OR REPLACE VIEW devices AS SELECT 1".to_owned(),
        "CREATE TEMPORARY TABLE x (a int)".to_owned(),
        "CREATE INDEX i ON devices (name)".to_owned(),
        "ALTER TABLE devices ADD COLUMN x int".to_owned(),
        "DROP VIEW devices".to_owned(),
        "DROP SCHEMA public CASCADE".to_owned(),
        "EXPLAIN INSERT INTO devices (name) VALUES ('x')".to_owned(),
        "EXPLAIN CREATE TABLE x AS SELECT 1".to_owned(),
        "EXPLAIN DROP TABLE devices".to_owned(),
        "EXPLAIN ANALYZE CREATE VIEW x AS SELECT 1".to_owned(),
        format!("EXPLAIN ANALYZE CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{outside}'"),
        "EXPLAIN ANALYZE SET datafusion.execution.batch_size = 1".to_owned(),
        "COPY (SELECT * FROM devices) TO PROGRAM 'cat'".to_owned(),
        "COPY devices FROM STDIN".to_owned(),
        format!("COPY devices TO 'file://{outside}.copy' STORED AS PARQUET"),
        "SET ROLE mast_owner".to_owned(),
        "SET SESSION AUTHORIZATION mast_owner".to_owned(),
        "SET TIME ZONE 'UTC'".to_owned(),
        "SET datafusion.runtime.memory_limit = '100G'".to_owned(),
        "SET datafusion.catalog.information_schema = false".to_owned(),
        "START TRANSACTION READ WRITE".to_owned(),
        "ROLLBACK".to_owned(),
        "SAVEPOINT x".to_owned(),
        "LOCK TABLE devices".to_owned(),
        "GRANT ALL ON devices TO PUBLIC".to_owned(),
        "CALL f()".to_owned(),
        "DO 'x'".to_owned(),
        "VACUUM".to_owned(),
        "ANALYZE devices".to_owned(),
        "LISTEN mast_outbox".to_owned(),
        "NOTIFY mast_outbox".to_owned(),
        "LOAD 'x'".to_owned(),
        "DECLARE c CURSOR FOR SELECT 1".to_owned(),
        "FETCH FORWARD 1 FROM scan_0".to_owned(),
        "KILL 1".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELECT 1; DROP TABLE devices".to_owned(),
        String::new(),
        ";".to_owned(),
    ] {
        let refused = f.json(f.a, &sql).await;
        assert!(
            matches!(refused, Err(QueryError::Refused(_) | QueryError::Sql(_))),
            "{sql}: {refused:?}"
        );
    }
    assert!(!std::path::Path::new(&format!("{outside}.copy")).exists());
    assert!(f.json(f.a, "SELECT name FROM devices").await.is_ok());
}

#[tokio::test]
async fn a_statement_that_nests_deeply_or_never_ends_is_an_error() {
    let f = Fixture::new().await;
    for sql in [
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1", "- ".repeat(20_000)),
        format!("SELECT {}true", "NOT ".repeat(20_000)),
        format!(
            "{}SELECT 1{}",
            "SELECT * FROM (".repeat(2_000),
            ") x".repeat(2_000)
        ),
    ] {
        let refused = f.json(f.a, &sql).await;
        assert!(matches!(refused, Err(QueryError::Sql(_))), "{refused:?}");
    }
}
