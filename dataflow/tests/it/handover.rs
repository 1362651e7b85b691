//! The job goes from process to process: two with the same log, database, checkpoints and lake, as on two machines with a
//! shared disk. Whoever holds the lease is killed, paused or stopped; the other one takes over; nothing is lost, nothing is
//! there twice, and what the paused one does when it wakes is refused.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use mast_dataflow::DataflowError;
use mast_dataflow::job::{Chain, Job, JobConfig};
use mast_log::{Log, LogServer, ServedLog};
use mast_postgres::Role;
use mast_schemas::epochs::Binding;
use mast_schemas::records::Outcome;
use mast_schemas::topics;
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;

use crate::job::{PARTITIONS, World, world};

const FOLDER: &str = "MAST_TEST_JOB_FOLDER";
const LOG: &str = "MAST_TEST_JOB_LOG";
const DATABASE: &str = "MAST_TEST_JOB_DATABASE";
/// For a step that a lease's end or the machine's speed decides.
const PATIENCE: Duration = Duration::from_secs(120);

/// Not a test of its own: what the child processes of the next one do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_runs_the_job_until_its_input_ends() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let database = std::env::var(DATABASE).unwrap();
    let (socket, name) = database.split_once(' ').unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .socket(socket)
        .username(Role::Dataflow.as_str())
        .database(name);
    let pool = mast_postgres::pool(options, 8).await.unwrap();
    let log: Arc<dyn Log> = Arc::new(ServedLog::connect(std::env::var_os(LOG).unwrap()).unwrap());
    let config = JobConfig {
        partitions: PARTITIONS,
        checkpoint_every: Duration::from_secs(1),
        lake_every: Duration::from_secs(1),
        ..JobConfig::new("main", pool, log, folder.into())
    };
    let mut waits = false;
    let mut job = loop {
        match Job::start(config.clone()).await {
            Ok(job) => break job,
            Err(DataflowError::Held { .. }) => {
                if !std::mem::replace(&mut waits, true) {
                    println!("\nwaits");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    let generation = job.status().borrow().generation;
    println!("\nleads {generation}");
    let input = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    tokio::select! {
        ended = job.finished() => println!("\nended {}", ended.unwrap_err()),
        _ = input => {
            job.stop().await.unwrap();
            println!("\nstopped");
        }
    }
    // The reader of the input may still wait.
    std::process::exit(0);
}

/// A machine with a process of the job.
struct Machine {
    child: Child,
    input: Option<ChildStdin>,
    says: Receiver<String>,
}

impl Machine {
    fn start(w: &World, name: &str) -> Self {
        let folder = w.dir.path().join(name);
        if !folder.exists() {
            std::fs::create_dir(&folder).unwrap();
            for shared in ["checkpoints", "lake"] {
                let there = w.dir.path().join(shared);
                std::fs::create_dir_all(&there).unwrap();
                std::os::unix::fs::symlink(there, folder.join(shared)).unwrap();
            }
        }
        let options = w.database.options(Role::Dataflow);
        let socket = options.get_socket().unwrap().to_str().unwrap().to_owned();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "handover::child_runs_the_job_until_its_input_ends",
            ])
            .arg("--nocapture")
            .env(FOLDER, folder)
            .env(LOG, socket_of(w.dir.path()))
            .env(DATABASE, format!("{socket} {}", w.database.name()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (said, says) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|l| said.send(l)));
        let input = child.stdin.take();
        Self { child, input, says }
    }

    /// Waits until it says something that begins so; the rest of it.
    fn says(&self, begin: &str) -> String {
        loop {
            let line = self.says.recv_timeout(PATIENCE).unwrap();
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn stop(mut self) {
        drop(self.input.take());
        self.says("stopped");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket_of(dir: &Path) -> std::path::PathBuf {
    dir.join("log.sock")
}

/// Sends heartbeats until the device is in this state.
async fn until(w: &World, state: &str) {
    let begun = std::time::Instant::now();
    loop {
        w.beat();
        let sql = "SELECT state FROM device_status WHERE device_id = $1";
        let now: Option<String> = sqlx::query_scalar(sql)
            .bind(w.device.0)
            .fetch_optional(&w.pool)
            .await
            .unwrap();
        if now.as_deref() == Some(state) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not {state} but {now:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_from_process_to_process_and_loses_and_repeats_nothing() {
    let mut w = world().await;
    let _server = LogServer::start(w.log.clone(), socket_of(w.dir.path())).unwrap();

    let a = Machine::start(&w, "a");
    assert_eq!(a.says("leads"), "1");
    let b = Machine::start(&w, "b");
    b.says("waits");
    until(&w, "unobserved").await;
    w.poll(Outcome::Ok);
    until(&w, "online").await;

    // Killed: the other one has the lease when it has run out.
    a.signal(Signal::KILL);
    w.poll(Outcome::Timeout);
    w.poll(Outcome::Timeout);
    until(&w, "offline").await;
    let second: u64 = b.says("leads").parse().unwrap();
    assert!(second > 1);

    // Paused: it wakes when another one has taken over, and is refused.
    let a = Machine::start(&w, "a");
    a.says("waits");
    b.signal(Signal::STOP);
    w.poll(Outcome::Ok);
    until(&w, "online").await;
    let third: u64 = a.says("leads").parse().unwrap();
    assert!(third > second);
    b.signal(Signal::CONT);
    let why = b.says("ended");
    assert!(why.contains("generation"), "{why}");
    drop(b);

    // Stopped in order: the other one need not wait for the lease to run out.
    let b = Machine::start(&w, "b");
    b.says("waits");
    a.stop();
    w.poll(Outcome::Timeout);
    w.poll(Outcome::Timeout);
    until(&w, "offline").await;
    let last: i64 = b.says("leads").parse().unwrap();
    b.stop();

    assert_eq!(w.told().await, (4, 5, 5, 14), "each event once");
    for (table, rows) in [("device_events", 4), ("polls", 6)] {
        assert_eq!(w.in_lake(table).await, Some(rows), "{table}, each once");
    }
    assert_eq!(w.number("SELECT generation FROM job_progress").await, last);
    // The bindings that count are one chain up to what is served.
    let mut chain = Chain::default();
    let first = w.log.ends(topics::EPOCHS, 0).unwrap().first;
    for entry in w.log.read(topics::EPOCHS, 0, first, 64 << 20).unwrap() {
        chain.accept(&Binding::decode(&entry.record.body).unwrap());
    }
    let served = w.number("SELECT epoch FROM job_progress").await;
    assert_eq!(chain.closed().0.cast_signed(), served);
}
