//! What a device of the fleet costs: memory with an open TLS session, CPU for an answer.
//!
//! ```text
//! cargo run --release -p mast-simulator --example fleet -- [DEVICES] [SECONDS]
//! ```
//!
//! The fleet is a process of its own, so that its memory and CPU are its alone (read from `/proc`).
//! Every device is connected, over TLS where it has it, and polled; then access points are polled as
//! fast as the machine can. Prints one line of JSON. Memory of the kernel's sockets is not in it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement ends where it cannot go on, and its output is what it prints"
)]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Command as Process, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use mast_simulator::{
    Fleet, FleetConfig, menus,
    world::{
        World,
        layout::lay_out,
        model::{Device, Plan, Role, Stack, Tls},
    },
};
use routeros_api::{
    Client, Command, Credentials, Deadlines, Sentence, Target, TlsMode,
    server::{ReplyWriter, Request},
};

const SEED: u64 = 1;
const PATIENCE: Duration = Duration::from_secs(60);

const WIRELESS: &str = "interface,mac-address,ap,radio-name,signal-strength,signal-strength-ch0,\
signal-strength-ch1,tx-signal-strength,signal-to-noise,tx-ccq,rx-ccq,tx-rate,rx-rate,p-throughput,\
bytes,packets,uptime,last-activity,distance,last-ip,authentication-type,encryption,\
802.1x-port-enabled,routeros-version,comment";
const WIFI: &str = "interface,ssid,mac-address,uptime,last-activity,signal,auth-type,band,tx-rate,\
rx-rate,packets,bytes,tx-bits-per-second,rx-bits-per-second,vlan-id,authorized,comment";

const RESOURCE: &str = "version,board-name,architecture-name,uptime,cpu-load,free-memory,\
total-memory,free-hdd-space,total-hdd-space";
const INTERFACE: &str = "name,type,mac-address,running,disabled,comment,rx-byte,tx-byte,rx-packet,\
tx-packet,rx-error,tx-error,rx-drop,tx-drop,tx-queue-drop,link-downs";

/// What a poll asks of a device: menus and properties.
fn poll(device: &Device) -> [(&'static str, &'static str); 3] {
    let table = match device.stack {
        Stack::Wireless => ("/interface/wireless/registration-table/print", WIRELESS),
        Stack::Wifi => ("/interface/wifi/registration-table/print", WIFI),
        Stack::Wifiwave2 => ("/interface/wifiwave2/registration-table/print", WIFI),
    };
    let resource = ("/system/resource/print", RESOURCE);
    [resource, ("/interface/print", INTERFACE), table]
}

fn commands(device: &Device) -> Vec<Command> {
    let command = |(path, list)| Command::new(path).attribute(".proplist", list);
    poll(device).map(command).into()
}

/// Microseconds of one poll's answers, without sockets, and their bytes.
fn rendering(plan: &Arc<Plan>, role: Role) -> (f64, usize) {
    let world = World::new(Arc::clone(plan), 1_750_000_000_000);
    let devices: Vec<usize> = (0..plan.devices.len())
        .filter(|d| plan.devices[*d].role == role)
        .collect();
    let requests: Vec<Vec<Request>> = devices
        .iter()
        .map(|d| poll(&plan.devices[*d]))
        .map(|poll| poll.iter().map(request).collect())
        .collect();
    let (mut polls, mut bytes, begun) = (0, 0, thread_cpu_us());
    while thread_cpu_us() - begun < 500_000.0 {
        for (device, requests) in devices.iter().zip(&requests) {
            let mut replies = ReplyWriter::new();
            for request in requests {
                menus::answer(&world, *device, polls as i64 * 100, request, &mut replies);
            }
            bytes += replies.pending().len();
            polls += 1;
        }
    }
    ((thread_cpu_us() - begun) / polls as f64, bytes / polls)
}

/// CPU time of this thread, microseconds: others on the machine don't count.
fn thread_cpu_us() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let spent: u64 = schedstat.split(' ').next().unwrap().parse().unwrap();
    spent as f64 / 1e3
}

fn request((path, list): &(&str, &str)) -> Request {
    let list = format!("=.proplist={list}");
    Request::new(Sentence::from_words([*path, &list, ".tag=1"]))
}

/// CPU seconds that a process has used, and its resident bytes.
fn usage(process: u32) -> (f64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<u64> = after_name
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // utime and stime in ticks of 10 ms, resident pages of 4 KiB: fields 14, 15 and 24 of proc(5).
    ((fields[10] + fields[11]) as f64 / 100.0, fields[20] * 4_096)
}

async fn open(device: &Device, (api, api_ssl): (u16, u16)) -> Client {
    let (port, mode) = match device.tls {
        Tls::Off => (api, TlsMode::Plain),
        Tls::Anonymous => (api_ssl, TlsMode::Anonymous),
        Tls::Modern | Tls::Dhe => (api_ssl, TlsMode::Pinned(None)),
    };
    let target = Target::new(SocketAddr::new(device.address.into(), port));
    let credentials = Credentials::new(Plan::USERNAME, device.password.as_str());
    let opened = Client::connect(&target, &credentials, &Deadlines::all(PATIENCE), &mode).await;
    opened.unwrap()
}

async fn ask(client: &mut Client, plan: &[Command]) {
    for answer in client.call_many(plan, PATIENCE).await {
        answer.unwrap();
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if first.as_deref() == Some("serve") {
        let devices = arguments.next().unwrap().parse().unwrap();
        return runtime.block_on(serve(devices));
    }
    let devices: usize = first.map_or(15_000, |text| text.parse().unwrap());
    let seconds: u64 = arguments.next().map_or(10, |text| text.parse().unwrap());
    runtime.block_on(measure(devices, Duration::from_secs(seconds)));
}

async fn serve(devices: usize) {
    let config = FleetConfig {
        devices,
        seed: SEED,
        ..FleetConfig::default()
    };
    let fleet = Fleet::start(config).await.unwrap();
    println!("{} {}", fleet.api_port(), fleet.api_ssl_port());
    // Until the one who started us is gone.
    let mut line = String::new();
    let ended = tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line));
    ended.await.unwrap().unwrap();
    fleet.stop().await;
}

async fn measure(devices: usize, during: Duration) {
    let plan = Arc::new(lay_out(SEED, devices, 0));
    let small = Arc::new(lay_out(SEED, 300, 0));
    let (ap_us, ap_bytes) = rendering(&small, Role::Ap);
    let (cpe_us, cpe_bytes) = rendering(&small, Role::Cpe);
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["serve", &devices.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let (api, api_ssl) = line.trim().split_once(' ').unwrap();
    let ports = (api.parse().unwrap(), api_ssl.parse().unwrap());
    let (_, before) = usage(child.id());
    let begun = Instant::now();
    let (mut aps, mut others) = (Vec::new(), Vec::new());
    for device in &plan.devices {
        let mut client = open(device, ports).await;
        let commands = commands(device);
        ask(&mut client, &commands).await;
        match device.role {
            Role::Ap => aps.push((client, commands)),
            _ => others.push(client),
        }
    }
    let (opened_cpu, open) = usage(child.id());
    let opened_s = begun.elapsed().as_secs_f64();
    let end = Instant::now() + during;
    let mut polls = 0_u64;
    'polling: loop {
        for (client, commands) in &mut aps {
            if Instant::now() > end {
                break 'polling;
            }
            ask(client, commands).await;
            polls += 1;
        }
    }
    let (polled_cpu, polled) = usage(child.id());
    drop((aps, others));
    child.kill().unwrap();
    child.wait().unwrap();
    let figures = serde_json::json!({
        "devices": devices,
        "rss_bytes": polled,
        "rss_per_device_bytes": polled / devices as u64,
        "rss_before_sessions_bytes": before,
        "rss_after_first_polls_bytes": open,
        "open_and_first_poll_cpu_ms": 1e3 * opened_cpu / devices as f64,
        "opened_s": opened_s,
        "ap_polls": polls,
        "ap_polls_per_cpu_s": polls as f64 / (polled_cpu - opened_cpu).max(0.01),
        "ap_poll_rendering_us": ap_us,
        "ap_poll_bytes": ap_bytes,
        "cpe_poll_rendering_us": cpe_us,
        "cpe_poll_bytes": cpe_bytes,
    });
    println!("{figures}");
}
