//! What a session costs, over real TLS between two processes: polls a second of client CPU, and resident
//! memory of an idle session on each side. Prints one JSON line. `cargo bench -p routeros-api`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement ends where it fails"
)]

use routeros_api::server::{Connection, acceptor};
use routeros_api::{Client, Command, Credentials, Deadlines, LoginForm, Target, TlsMode};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const IDLE_SESSIONS: usize = 2_000;
const BUSY_SESSIONS: usize = 50;
const AP_CLIENTS: usize = 25;
const RUN_FOR: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(30);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    if std::env::args().any(|argument| argument == "--serve") {
        runtime.block_on(serve());
    } else {
        runtime.block_on(measure());
    }
}

async fn measure() {
    let (mut child, target) = start_server();
    let before = [memory_bytes("self"), memory_bytes(&child.id().to_string())];
    let started = (Instant::now(), cpu_seconds());
    let mut sessions = Vec::new();
    for _ in 0..IDLE_SESSIONS {
        sessions.push(connect(&target).await);
    }
    let handshake_cpu_ms = (cpu_seconds() - started.1) * 1e3 / IDLE_SESSIONS as f64;
    for client in &mut sessions {
        poll(client, &ap_plan()).await;
    }
    let each = |after: u64, before: u64| (after.saturating_sub(before)) / IDLE_SESSIONS as u64;
    let client_idle = each(memory_bytes("self"), before[0]);
    let server_idle = each(memory_bytes(&child.id().to_string()), before[1]);
    sessions.truncate(BUSY_SESSIONS);
    let (sessions, ap) = rate(sessions, ap_plan()).await;
    let (_, cpe) = rate(sessions, cpe_plan()).await;
    child.kill().unwrap();
    child.wait().unwrap();
    println!(
        "{{\"idle_client_bytes\":{client_idle},\"idle_server_bytes\":{server_idle},\
         \"handshake_client_cpu_ms\":{handshake_cpu_ms:.2},\
         \"ap_polls_per_cpu_s\":{ap:.0},\"cpe_polls_per_cpu_s\":{cpe:.0}}}"
    );
}

/// Polls per second of this process's CPU, with all sessions busy.
async fn rate(sessions: Vec<Client>, plan: Vec<Command>) -> (Vec<Client>, f64) {
    let begin = cpu_seconds();
    let end = Instant::now() + RUN_FOR;
    let tasks: Vec<_> = sessions
        .into_iter()
        .map(|mut client| {
            let plan = plan.clone();
            tokio::spawn(async move {
                let mut polls = 0u32;
                while Instant::now() < end {
                    poll(&mut client, &plan).await;
                    polls += 1;
                }
                (client, polls)
            })
        })
        .collect();
    let (mut sessions, mut polls) = (Vec::new(), 0.0);
    for task in tasks {
        let (client, count) = task.await.unwrap();
        sessions.push(client);
        polls += f64::from(count);
    }
    (sessions, polls / (cpu_seconds() - begin))
}

async fn poll(client: &mut Client, plan: &[Command]) {
    let mut attributes = 0;
    for answer in client.call_many(plan, DEADLINE).await {
        for row in answer.unwrap().rows {
            attributes += row.attributes().count();
        }
    }
    assert!(attributes > 0);
}

async fn connect(target: &Target) -> Client {
    let credentials = Credentials::new("reader", "secret");
    let deadlines = Deadlines::all(DEADLINE);
    Client::connect(target, &credentials, &deadlines, &TlsMode::Pinned(None))
        .await
        .unwrap()
}

fn ap_plan() -> Vec<Command> {
    let mut plan = cpe_plan();
    plan.push(Command::new("/interface/wifi/registration-table/print").proplist(NAMES));
    plan.push(Command::new("/system/health/print").proplist(["name", "value", "type"]));
    plan
}

fn cpe_plan() -> Vec<Command> {
    vec![
        Command::new("/system/identity/print").proplist(["name"]),
        Command::new("/system/resource/print").proplist(["uptime", "version", "cpu-load"]),
        Command::new("/interface/print")
            .proplist(["name", "type", "running", "rx-byte", "tx-byte"]),
        Command::new("/interface/wireless/registration-table/print").proplist(["mac-address"]),
    ]
}

const NAMES: [&str; 16] = [
    ".id",
    "interface",
    "ssid",
    "mac-address",
    "uptime",
    "signal",
    "tx-rate",
    "rx-rate",
    "packets",
    "bytes",
    "tx-bits-per-second",
    "rx-bits-per-second",
    "authorized",
    "auth-type",
    "band",
    "last-activity",
];

const VALUES: [&str; 16] = [
    "*1A",
    "wifi1",
    "tower-7",
    "48:A9:8A:00:00:01",
    "3d8h35m33s",
    "-61",
    "866700000",
    "780000000",
    "123456,654321",
    "123456789,987654321",
    "123456",
    "654321",
    "true",
    "wpa2-psk",
    "5ghz-ac",
    "0ms",
];

async fn serve() {
    let issued = rcgen::generate_simple_self_signed(["router.example".to_owned()]).unwrap();
    let acceptor = acceptor(vec![issued.cert.der().clone()], issued.signing_key.into()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(router(acceptor.clone(), stream));
    }
}

async fn router(acceptor: TlsAcceptor, stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let stream = Box::pin(acceptor.accept(stream)).await.unwrap();
    let mut connection = Connection::new(stream);
    if !connection
        .login(LoginForm::Password, |attempt| attempt.accepts(b"secret"))
        .await
        .unwrap()
    {
        return;
    }
    while let Ok(Some(request)) = connection.next().await {
        let tag = request.tag();
        let replies = connection.replies();
        match request.path().as_ref() {
            "/interface/wifi/registration-table/print" => {
                (0..AP_CLIENTS).for_each(|_| replies.re(tag, NAMES.into_iter().zip(VALUES)));
            }
            "/interface/print" => {
                (0..8).for_each(|_| replies.re(tag, NAMES.into_iter().zip(VALUES).take(5)));
            }
            "/interface/wireless/registration-table/print" => replies.empty(tag),
            _ => replies.re(tag, NAMES.into_iter().zip(VALUES).take(4)),
        }
        replies.done(tag);
    }
}

fn start_server() -> (Child, Target) {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--serve")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, Target::new(line.trim().parse().unwrap()))
}

/// Resident bytes of a process.
fn memory_bytes(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 1024
}

/// User and system seconds of this process, in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
