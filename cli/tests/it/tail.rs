//! History by SQL to the newest instant, while everything runs and through a SIGKILL: every answer has the polls that are bound
//! up to its `as_of`, as the lake has them once all is stored, and as `mast verify` finds them in the log.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use mast_postgres::{Role, attach, find_tenant, pool};
use mast_query::{Engine, EngineConfig, Session, TenantScope};
use mast_schemas::{Epoch, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::part::{PATIENCE, terminate};
use crate::support::{demo, finish, folder, kill, mast, query, verified};

/// Polls of tenant north at an instant.
#[derive(Debug)]
struct Answer {
    as_of: Timestamp,
    polls: i64,
    lake_only: Option<String>,
}

fn start(data: &Path, api: SocketAddr) -> Child {
    demo(data, (24, "500ms"), &[])
        .env("MAST_API_LISTEN", api.to_string())
        .env("MAST_DATAFLOW_LAKE_EVERY", "1s")
        .env("MAST_DATAFLOW_CHECKPOINT_EVERY", "2s")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Somebody of tenant north, beside the process; null while it is not up.
async fn session(data: &Path) -> Option<Session> {
    let options = attach(&data.join("postgres"), Role::Api).await?;
    let pool = pool(options, 2).await.ok()?;
    let tenant = find_tenant(&pool, "north").await.ok()??;
    let mut config = EngineConfig::new(pool, data.join("lake"));
    config.tail = Some(data.join(mast_schemas::tail::FILE));
    Some(Engine::new(config).ok()?.session(TenantScope::One(tenant)))
}

/// What somebody sees; null while nothing is there to be seen.
async fn ask(data: &Path) -> Option<Answer> {
    let session = session(data).await?;
    let result = session.sql("SELECT count(*) FROM polls").await.ok()?;
    let (as_of, lake_only) = (result.as_of()?, result.lake_only().map(str::to_owned));
    let batches = result.collect().await.ok()?;
    Some(Answer {
        as_of,
        polls: batches[0].column(0).as_primitive::<Int64Type>().value(0),
        lake_only,
    })
}

/// Asks until so many answers more were not the lake's alone.
async fn collect(data: &Path, answers: &mut Vec<Answer>, whole: usize) {
    let (mut left, deadline) = (whole, Instant::now() + PATIENCE);
    while left > 0 {
        assert!(Instant::now() < deadline, "{answers:?}");
        match ask(data).await {
            Some(answer) => {
                left -= usize::from(answer.lake_only.is_none());
                answers.push(answer);
            }
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// A device of which it is known what runs through its interfaces now.
async fn device(data: &Path) -> String {
    let sql = "SELECT device_id FROM interface_rates WHERE rx_bps IS NOT NULL AND tx_bps IS NOT NULL LIMIT 1";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let result = session(data).await.unwrap().sql(sql).await.unwrap();
        let batches = result.collect().await.unwrap();
        if let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) {
            return batch.column(0).as_string::<i32>().value(0).to_owned();
        }
        assert!(Instant::now() < deadline, "no rates");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The head and the body of what the API answers a viewer of tenant north.
fn get(data: &Path, api: SocketAddr, path: &str) -> (String, Value) {
    let args = ["token", "create", "--tenant", "north", "--name", "test"];
    let made = finish(mast(&args).args(["--data", data.to_str().unwrap()]));
    let token = made["token"].as_str().unwrap();
    let mut stream = TcpStream::connect(api).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_whole_at_any_moment_and_through_a_kill() {
    let folder = folder();
    let data = folder.path().join("data");
    // A port that is free.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = listener.local_addr().unwrap();
    drop(listener);
    let mut child = start(&data, api);
    let mut answers = Vec::new();
    collect(&data, &mut answers, 40).await;
    let path = format!("/api/v1/devices/{}/interfaces", device(&data).await);
    let (head, list) = get(&data, api, &path);
    assert!(
        head.starts_with("HTTP/1.1 200") && !head.contains("mast-tail"),
        "{head}"
    );
    let rates =
        |interface: &Value| interface["rx_bps"].is_u64() && interface["rates_at"].is_string();
    assert!(
        list["items"].as_array().unwrap().iter().any(rates),
        "{list}"
    );
    kill(&mut child);
    // Whoever asks now finds a file that leads to nobody, and gets what the lake holds.
    answers.extend(ask(&data).await);
    let mut child = start(&data, api);
    collect(&data, &mut answers, 40).await;
    // One that stands still answers nobody, and holds nobody up. At some moments it is not asked: the lake has all by itself.
    let process = Pid::from_child(&child);
    let deadline = Instant::now() + PATIENCE;
    loop {
        kill_process(process, Signal::STOP).unwrap();
        let stuck = ask(&data).await;
        kill_process(process, Signal::CONT).unwrap();
        let stuck = stuck.unwrap();
        let is_missed = stuck.lake_only.is_some();
        answers.push(stuck);
        if is_missed {
            break;
        }
        assert!(Instant::now() < deadline, "nobody misses it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    collect(&data, &mut answers, 5).await;
    terminate(&child);
    assert!(child.wait().unwrap().success());

    let stored = query(
        &data,
        "SELECT epoch, count(*) AS polls FROM polls WHERE tenant = 'north' GROUP BY epoch",
    );
    let stored: Vec<(Epoch, i64)> = stored
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let epoch = Epoch(row["epoch"].as_u64().unwrap());
            (epoch, row["polls"].as_i64().unwrap())
        })
        .collect();
    let mut newest = Timestamp(0);
    for answer in &answers {
        let until = stored.iter().filter(|(e, _)| e.end() <= answer.as_of);
        let expected: i64 = until.map(|(_, polls)| polls).sum();
        assert_eq!(answer.polls, expected, "{answer:?}");
        if answer.lake_only.is_none() {
            assert!(answer.as_of >= newest, "{answer:?}");
            newest = answer.as_of;
        }
    }
    assert!(answers.last().unwrap().polls > answers[0].polls);
    verified(&data);
}
