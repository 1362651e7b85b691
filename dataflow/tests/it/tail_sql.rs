//! SQL over history while it is made: at any moment an answer has each poll that is bound up to its `as_of`, once.

use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, UInt64Type};
use mast_dataflow::job::{Chain, Job, JobConfig};
use mast_postgres::{Role, tenant_tx};
use mast_query::{Engine, EngineConfig, Session, TenantScope};
use mast_schemas::epochs::Binding;
use mast_schemas::message::{Header, read_section};
use mast_schemas::records::{Outcome, Poll};
use mast_schemas::{DeviceId, Epoch, TenantId, Timestamp, topics};

use crate::job::{PARTITIONS, World, make, world};

/// What an answer says.
#[derive(Debug)]
struct Answer {
    as_of: Timestamp,
    polls: i64,
    different: i64,
    lake_only: Option<String>,
}

async fn count(session: &Session) -> Option<Answer> {
    let sql = "SELECT count(*), count(DISTINCT sequence) FROM polls";
    let result = session.sql(sql).await.unwrap();
    let (as_of, lake_only) = (result.as_of()?, result.lake_only().map(str::to_owned));
    let batches = result.collect().await.unwrap();
    let number = |i: usize| batches[0].column(i).as_primitive::<Int64Type>().value(0);
    Some(Answer {
        as_of,
        polls: number(0),
        different: number(1),
        lake_only,
    })
}

fn engine(w: &World, pool: sqlx::PgPool) -> Engine {
    let mut config = EngineConfig::new(pool, w.config().lake());
    config.tail = Some(w.config().tail_file());
    Engine::new(config).unwrap()
}

/// Which polls each slot binds, by the log alone.
struct Bound(Vec<(Epoch, TenantId)>);

impl Bound {
    fn of(w: &World) -> Self {
        let mut chain = Chain::default();
        let mut next = [0; PARTITIONS as usize];
        let mut bound = Vec::new();
        let entries = |topic, p, from| w.log.read(topic, p, from, usize::MAX).unwrap();
        for entry in entries(topics::EPOCHS, 0, 0) {
            let binding = Binding::decode(&entry.record.body).unwrap();
            if !chain.accept(&binding) {
                continue;
            }
            for (p, next) in next.iter_mut().enumerate() {
                let records = entries(topics::TELEMETRY, p as u32, *next);
                for entry in records {
                    if entry.offset >= binding.telemetry[p] {
                        break;
                    }
                    *next = entry.offset + 1;
                    let header = Header::decode(&entry.record.headers).unwrap();
                    let polls = read_section::<Poll>(&header, &entry.record.body, None).unwrap();
                    let Some(polls) = polls else { continue };
                    let tenants = polls.column_by_name("tenant_id").unwrap();
                    for tenant in tenants.as_fixed_size_binary().iter().flatten() {
                        let tenant = TenantId::from_bytes(tenant.try_into().unwrap());
                        bound.push((binding.first, tenant));
                    }
                }
            }
        }
        Self(bound)
    }

    fn upto(&self, as_of: Timestamp, tenant: TenantId) -> i64 {
        let is = |(epoch, of): &&(Epoch, TenantId)| epoch.end() <= as_of && *of == tenant;
        self.0.iter().filter(is).count().try_into().unwrap()
    }
}

/// A second tenant, with a device.
async fn second(w: &World) -> (TenantId, DeviceId) {
    let (tenant, device) = (TenantId::new(), DeviceId::new());
    let pool = w.database.pool(Role::Api).await;
    let mut tx = tenant_tx(&pool, tenant).await.unwrap();
    sqlx::query("INSERT INTO tenants (id, name) VALUES ($1, 'south')")
        .bind(tenant.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    make(&w.database, tenant, device).await;
    (tenant, device)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_poll_is_counted_once_up_to_as_of_while_the_lake_is_committed() {
    let mut w = world().await;
    let (other, its_device) = second(&w).await;
    let engine = engine(&w, w.database.pool(Role::Api).await);
    let tenants = [w.tenant, other];
    let sessions = tenants.map(|tenant| engine.session(TenantScope::One(tenant)));
    let (mut answers, device) = (Vec::new(), w.device);
    // While the lake is committed, however slow an answer is; then ahead of a lake that stays behind.
    for (lake_every, commits, ahead) in [(300, 8, 0), (3_600_000, 0, 20)] {
        let config = JobConfig {
            lake_every: Duration::from_millis(lake_every),
            checkpoint_every: Duration::from_secs(1),
            ..w.config()
        };
        let mut job = Job::start(config).await.unwrap();
        if answers.is_empty() {
            w.until(&mut job, |s| s.counters.devices > 1).await;
        }
        let mut lake = job.status().borrow().lake_epoch;
        let (mut committed, mut answered_ahead) = (0, 0);
        while committed < commits || answered_ahead < ahead {
            w.poll_of(device, Outcome::Ok);
            w.poll_of(device, Outcome::Timeout);
            w.poll_with(its_device, Outcome::Ok, |whole| {
                whole.poll.tenant_id = other;
            });
            w.beat();
            // Two readers at once.
            let (a, b) = tokio::join!(count(&sessions[0]), count(&sessions[1]));
            let now = job.status().borrow().lake_epoch;
            committed += u32::from(now > lake);
            lake = now;
            for (tenant, answer) in tenants.into_iter().zip([a, b]) {
                let Some(answer) = answer else { continue };
                let is_ahead = answer.lake_only.is_none() && answer.as_of > lake.end();
                answered_ahead += u32::from(is_ahead);
                answers.push((tenant, answer));
            }
        }
        job.stop().await.unwrap();
    }

    let bound = Bound::of(&w);
    for tenant in tenants {
        let mut newest = Timestamp(0);
        for (of, answer) in &answers {
            if *of != tenant {
                continue;
            }
            let expected = bound.upto(answer.as_of, tenant);
            assert_eq!(
                (answer.polls, answer.different),
                (expected, expected),
                "{answer:?}"
            );
            if answer.lake_only.is_none() {
                assert!(answer.as_of >= newest, "{answer:?}");
                newest = answer.as_of;
            }
        }
    }
    // Without the job nothing is missing either: its stop has committed all.
    let last = count(&sessions[0]).await.unwrap();
    assert_eq!(last.lake_only, None);
    assert_eq!(last.polls, bound.upto(last.as_of, w.tenant));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_writer_is_out_of_reach_the_answer_is_the_lakes_and_says_so() {
    let mut w = world().await;
    let config = JobConfig {
        lake_every: Duration::from_secs(3_600),
        checkpoint_every: Duration::from_secs(3_600),
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| s.counters.devices > 0).await;
    w.poll(Outcome::Ok);
    w.until(&mut job, |s| s.counters.polls == 1).await;
    let engine = engine(&w, w.database.pool(Role::Api).await);
    let session = engine.session(TenantScope::One(w.tenant));
    let merged = count(&session).await.unwrap();
    assert_eq!((merged.polls, merged.lake_only), (1, None));
    // Rows of a join of tables of history and of now.
    let both = "SELECT p.sequence FROM polls p JOIN devices d ON d.device_id = p.device_id
                WHERE p.observed_at > '2020-01-01T00:00:00Z' AND p.device_id IN (SELECT device_id FROM device_events)";
    let rows = session.sql(both).await.unwrap().collect().await.unwrap();
    assert_eq!(rows.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);

    // Somebody else's certificate, a word that opens nothing, a port where nobody listens, and no file at all.
    let file = w.config().tail_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let good: serde_json::Value = serde_json::from_str(&text).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["tail.mast".to_owned()]).unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = gone.local_addr().unwrap();
    drop(gone);
    for (key, value) in [
        ("certificate", stranger.cert.pem()),
        ("token", "x".to_owned()),
        ("address", closed.to_string()),
        ("address", silent.local_addr().unwrap().to_string()),
        ("more", "no contact".to_owned()),
    ] {
        let mut bad = good.clone();
        bad[key] = value.into();
        std::fs::write(&file, bad.to_string()).unwrap();
        let result = session.sql("SELECT * FROM polls").await.unwrap();
        assert!(result.lake_only().is_some(), "{key}");
        assert_eq!(result.as_of(), None, "the lake holds nothing yet");
        assert_eq!(
            result
                .collect()
                .await
                .unwrap()
                .iter()
                .map(|b| b.num_rows())
                .sum::<usize>(),
            0
        );
        // What reads no history is as new as ever.
        let now = session.sql("SELECT * FROM devices").await.unwrap();
        assert_eq!(
            (now.lake_only(), now.as_of() >= Some(merged.as_of)),
            (None, true)
        );
    }
    std::fs::remove_file(&file).unwrap();
    assert!(count(&session).await.is_none());
    std::fs::write(&file, text).unwrap();
    assert_eq!(count(&session).await.unwrap().polls, 1);
    job.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_row_that_came_again_late_one_is_shown_wherever_they_are() {
    let mut w = world().await;
    let config = JobConfig {
        lake_every: Duration::from_secs(3_600),
        checkpoint_every: Duration::from_secs(3_600),
        ..w.config()
    };
    let mut job = Job::start(config.clone()).await.unwrap();
    w.until(&mut job, |s| s.counters.devices > 0).await;
    let (device, pool) = (w.device, w.database.pool(Role::Api).await);
    w.poll(Outcome::Ok);
    let session = engine(&w, pool).session(TenantScope::One(w.tenant));
    let sequences = async |sql: &str| {
        let result = session.sql(sql).await.unwrap();
        assert_eq!(result.lake_only(), None);
        let column = |batch: &RecordBatch| {
            let column = batch.column_by_name("sequence").unwrap();
            column.as_primitive::<UInt64Type>().values().to_vec()
        };
        let batches = result.collect().await.unwrap();
        batches.iter().flat_map(column).collect::<Vec<_>>()
    };
    // From a lease before: once in what will be a file, once behind it, once alone.
    let again = |w: &mut World, sequence| {
        w.poll_with(device, Outcome::Timeout, |whole| {
            (whole.poll.lease_epoch, whole.poll.sequence) = (0, sequence);
        });
    };
    again(&mut w, 77);
    w.until(&mut job, |s| s.counters.late == 1).await;
    assert_eq!(
        sequences("SELECT sequence FROM polls ORDER BY 1").await,
        [1, 77]
    );
    job.stop().await.unwrap();
    let mut job = Job::start(config).await.unwrap();
    again(&mut w, 77);
    again(&mut w, 78);
    again(&mut w, 78);
    w.until(&mut job, |s| s.counters.late == 3).await;
    for condition in [
        "true",
        "outcome = 'timeout' OR sequence = 1",
        "cpu_load_percent = 3",
    ] {
        let sql = format!("SELECT sequence FROM polls WHERE {condition} ORDER BY 1");
        assert_eq!(sequences(&sql).await, [1, 77, 78], "{condition}");
    }
    job.stop().await.unwrap();
}
