//! Statements that compute for longer than anyone would wait.

use std::time::Duration;

use mast_query::{Engine, EngineConfig, QueryError, TenantScope};

use crate::fixture::Fixture;

/// Far more than what is waited for needs, far less than an endless statement would take.
const PATIENCE: Duration = Duration::from_secs(60);

const SERIES: &str = "generate_series(1, 1000000)";

/// Each ends at its limit, and leaves the only thread to the next.
#[tokio::test]
async fn what_never_ends_is_ended_and_gives_its_thread_back() {
    let f = Fixture::new().await;
    let engine = Engine::new(EngineConfig {
        threads: 1,
        time_limit: Duration::from_millis(300),
        ..f.config()
    })
    .unwrap();
    let session = engine.session(TenantScope::One(f.a));
    for endless in [
        "SELECT count(*) FROM generate_series(1, 100000000000)",
        "SELECT count(*) FROM {series} a, {series} b",
        "SELECT max(a.value + b.value) FROM {series} a, {series} b",
        "SELECT count(*) FROM {series} a JOIN {series} b ON a.value < b.value",
        "SELECT count(*) FROM {series} a JOIN {series} b ON a.value + b.value < 0",
        "SELECT count(*) FROM {series} a JOIN {series} b ON a.value % 1 = b.value % 1",
        "SELECT count(*) FROM {series} a JOIN {series} b ON a.value % 1 = b.value % 1 AND a.value + b.value < 0",
        "SELECT count(*) FROM {series} a WHERE EXISTS (SELECT 1 FROM {series} b WHERE a.value + b.value < 0)",
        "SELECT count(*) FROM (SELECT unnest(range(1, 100)) FROM {series}), {series}",
        "SELECT count(*) FROM {series} a LEFT JOIN {series} b ON a.value + b.value < 0",
        "SELECT count(*) FROM {series} a WHERE a.value % 1 NOT IN (SELECT b.value % 1 FROM {series} b WHERE a.value + b.value < 0)",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n > 0) SELECT count(*) FROM r",
        "SELECT count(*) FROM {series} a UNION ALL SELECT count(*) FROM {series} b, {series} c",
    ] {
        let endless = endless.replace("{series}", SERIES);
        let asked = async { session.sql(&endless).await?.collect().await };
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        assert!(
            matches!(&answer, Ok(Err(QueryError::Limit(why))) if why.contains("longer")),
            "{endless}: {answer:?}"
        );
        let served = async {
            loop {
                let next = async { session.sql("SELECT 1").await?.collect().await };
                if next.await.is_ok() {
                    break;
                }
            }
        };
        let served = tokio::time::timeout(PATIENCE, served).await;
        assert!(served.is_ok(), "{endless}: the thread is still held");
    }
}
