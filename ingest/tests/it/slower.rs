//! The slower kinds over real sockets: a router whose log, leases and routes answer queries and counts.

use super::support::{MemoryLog, listen, spec, trust};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mast_ingest::clock::SystemClock;
use mast_ingest::marks::{KeptMark, MarkStore, Marks, PgMarks};
use mast_ingest::producer::{Producer, ProducerConfig};
use mast_ingest::session::{Polled, Session};
use mast_ingest::slower::{Cadences, Slower};
use mast_ingest::tail::{Line, Mark, Reading};
use mast_ingest::trust::{DeviceSpec, Trust};
use mast_postgres::testing::database;
use mast_postgres::{Role, tenant_tx};
use mast_schemas::control::TlsPolicy;
use mast_schemas::message::WholePoll;
use mast_schemas::records::{EventOrigin, Outcome, PollId, Tables};
use mast_schemas::{DeviceId, TenantId};
use routeros_api::LoginForm;
use routeros_api::server::{Connection, Request};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;

type Row = Vec<(&'static str, String)>;

/// A router that others change while it is polled.
#[derive(Default)]
pub(crate) struct Router {
    menus: Mutex<HashMap<&'static str, Vec<Row>>>,
    /// Menus that say this instead of answering.
    traps: Mutex<HashMap<&'static str, &'static str>>,
    uptime_s: AtomicUsize,
    next_id: AtomicUsize,
    /// Commands asked, by path.
    asked: Mutex<HashMap<String, usize>>,
    hangs_up: AtomicBool,
}

impl Router {
    pub(crate) fn new() -> Arc<Self> {
        let router = Arc::new(Self::default());
        router.next_id.store(1, Relaxed);
        router.uptime_s.store(1_000, Relaxed);
        router.menu(
            "/ip/arp/print",
            &[&[
                ("address", "192.0.2.7"),
                ("mac-address", "02:00:00:00:00:07"),
                ("interface", "ether1"),
                ("DHCP", "true"),
                ("complete", "yes"),
            ]],
        );
        router.menu(
            "/ip/dhcp-server/lease/print",
            &[&[
                ("address", "192.0.2.8"),
                ("host-name", "tv"),
                ("expires-after", "6m17s"),
                ("last-seen", "never"),
            ]],
        );
        router.menu("/ip/neighbor/print", &[]);
        router.menu(
            "/system/package/update/print",
            &[&[
                ("channel", "stable"),
                ("installed-version", "7.24"),
                ("latest-version", "7.24.1"),
                ("status", "New version is available"),
            ]],
        );
        router.menu(
            "/system/routerboard/print",
            &[&[
                ("serial-number", "S1"),
                ("current-firmware", "7.20"),
                ("upgrade-firmware", "7.24"),
                ("model", "RB1"),
            ]],
        );
        let flag = |flag, active: bool| {
            let mut row = vec![(flag, "true")];
            row.extend(active.then_some(("active", "true")));
            row
        };
        let routes = [
            flag("connect", true),
            flag("static", true),
            flag("static", false),
            flag("dynamic", true),
        ];
        let routes: Vec<&[_]> = routes.iter().map(Vec::as_slice).collect();
        router.menu("/ip/route/print", &routes);
        router.menu("/log/print", &[]);
        router
    }

    fn menu(&self, path: &'static str, rows: &[&[(&'static str, &str)]]) {
        let row = |row: &&[(&'static str, &str)]| {
            row.iter().map(|(n, v)| (*n, (*v).to_owned())).collect()
        };
        self.menus
            .lock()
            .unwrap()
            .insert(path, rows.iter().map(row).collect());
    }

    pub(crate) fn log(&self, message: &str) {
        let id = self.next_id.fetch_add(1, Relaxed);
        let mut menus = self.menus.lock().unwrap();
        let lines = menus.entry("/log/print").or_default();
        let fields = [
            (".id", format!("*{id:X}")),
            ("time", "09:22:08".to_owned()),
            ("topics", "system,info".to_owned()),
            ("message", message.to_owned()),
        ];
        lines.push(fields.into());
        if lines.len() > 20 {
            lines.remove(0);
        }
    }

    fn restart(&self) {
        self.menus.lock().unwrap().insert("/log/print", Vec::new());
        self.next_id.store(1, Relaxed);
        self.uptime_s.store(5, Relaxed);
        self.log("router rebooted");
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    fn answer(&self, connection: &mut Connection<TcpStream>, request: &Request) {
        let (path, tag) = (request.path().into_owned(), request.tag());
        *self.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
        let replies = connection.replies();
        if let Some(said) = self.traps.lock().unwrap().get(path.as_str()) {
            replies.trap(tag, said, None);
            replies.done(tag);
            return;
        }
        let resource = [vec![
            ("version", "7.24 (stable)".to_owned()),
            ("uptime", format!("{}s", self.uptime_s.load(Relaxed))),
        ]];
        let menus = self.menus.lock().unwrap();
        let rows: &[Row] = match (path.as_str(), menus.get(path.as_str())) {
            ("/system/resource/print", _) => &resource,
            (_, Some(rows)) => rows,
            (_, None) => {
                replies.trap(tag, "no such command prefix", None);
                replies.done(tag);
                return;
            }
        };
        let (filter, list) = (request.filter(), request.proplist());
        let value = |row: &Row, name: &[u8]| row.iter().position(|(n, _)| n.as_bytes() == name);
        let passes =
            |row: &&Row| filter.matches(|name| value(row, name).map(|i| row[i].1.as_bytes()));
        let found: Vec<&Row> = rows.iter().filter(passes).collect();
        if request.get("count-only").is_some() {
            replies.done_ret(tag, found.len().to_string());
            return;
        }
        for row in found {
            replies.re(
                tag,
                row.iter()
                    .filter(|(n, _)| list.allows(n))
                    .map(|(n, v)| (*n, v)),
            );
        }
        replies.done(tag);
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let mut connection = Connection::new(stream);
        let login = connection.login(LoginForm::Password, |attempt| attempt.accepts(b"secret"));
        if !matches!(login.await, Ok(true)) {
            return;
        }
        while let Ok(Some(request)) = connection.next().await {
            if self.hangs_up.load(Relaxed) && request.path() == "/system/resource/print" {
                return;
            }
            self.answer(&mut connection, &request);
        }
    }

    pub(crate) async fn address(self: &Arc<Self>) -> SocketAddr {
        let router = Arc::clone(self);
        listen(move |stream| Arc::clone(&router).serve(stream)).await
    }
}

/// As often as can be: each kind at each poll or at the one after it.
pub(crate) fn eager() -> Cadences {
    let soon = Duration::from_micros(1);
    Cadences {
        arp: soon,
        dhcp_lease: soon,
        neighbor: soon,
        routes: soon,
        firmware: soon,
        log: soon,
    }
}

pub(crate) fn sharing(marks: Marks) -> Arc<Slower> {
    Arc::new(Slower {
        cadences: eager(),
        marks: Arc::new(marks),
        ..Slower::default()
    })
}

async fn session(router: &Arc<Router>, slower: &Arc<Slower>) -> (Session, Trust, DeviceSpec) {
    let device = spec(router.address().await, TlsPolicy::Plain, "secret");
    let session = Session::sharing(Arc::new(device.clone()), Arc::clone(slower));
    (session, trust(Arc::default()), device)
}

/// What the device's own log said in a poll.
fn lines(polled: &Polled) -> Vec<&str> {
    let events = polled.slow.events.iter();
    let of_device = events.filter(|e| e.origin == EventOrigin::Device);
    of_device.map(|e| e.message.as_str()).collect()
}

fn notes(polled: &Polled) -> Vec<&str> {
    let events = polled.slow.events.iter();
    let ours = events.filter(|e| e.origin == EventOrigin::Ingest);
    ours.map(|e| e.message.as_str()).collect()
}

#[tokio::test]
async fn each_kind_is_read_whole_and_typed() {
    let router = Router::new();
    let (mut session, trust, _) = session(&router, &sharing(Marks::default())).await;
    let first = session.poll(&trust).await;
    assert_eq!(first.outcome, Outcome::Ok, "{:?}", first.detail);
    assert_eq!(notes(&first).len(), 1, "connected: {:?}", notes(&first));
    let polled = session.poll(&trust).await;
    let arp = &polled.slow.arp[0];
    assert_eq!(
        (arp.address.as_str(), arp.dhcp, arp.complete),
        ("192.0.2.7", Some(true), Some(true))
    );
    let lease = &polled.slow.dhcp_leases[0];
    assert_eq!(
        (lease.expires_after_s, lease.last_seen_s),
        (Some(377), None)
    );
    let firmware = &polled.slow.firmware[0];
    assert_eq!(firmware.routerboot_upgrade_version.as_deref(), Some("7.24"));
    assert_eq!(firmware.latest_version.as_deref(), Some("7.24.1"));
    // An empty table is a fact.
    assert!(polled.slow.neighbors.is_empty() && Tables(polled.tables.0).has(Tables::NEIGHBOR));
    // By protocol from the second time on, when the table is known to be small.
    let routes = |polled: &Polled| -> Vec<(String, u32, u32)> {
        let rows = polled.slow.routes.iter();
        rows.map(|r| (r.protocol.clone(), r.active, r.total))
            .collect()
    };
    assert_eq!(routes(&first), [("all".to_owned(), 3, 4)]);
    let expected = [
        ("all", 3, 4),
        ("connect", 1, 1),
        ("static", 1, 2),
        ("other", 1, 1),
    ];
    assert_eq!(
        routes(&polled),
        expected.map(|(p, a, t)| (p.to_owned(), a, t))
    );
    assert_eq!(router.asked("/system/package/update/check-for-updates"), 0);
}

#[tokio::test]
async fn a_kind_that_is_refused_is_said_once_and_left_alone_and_the_poll_is_ok() {
    let router = Router::new();
    router
        .traps
        .lock()
        .unwrap()
        .insert("/ip/arp/print", "not enough permissions (9)");
    router
        .traps
        .lock()
        .unwrap()
        .insert("/ip/neighbor/print", "no such command prefix");
    let slower = Arc::new(Slower {
        cadences: Cadences {
            arp: Duration::from_secs(1),
            ..eager()
        },
        ..Slower::default()
    });
    let device = spec(router.address().await, TlsPolicy::Plain, "secret");
    let (mut session, trust) = (
        Session::sharing(Arc::new(device), slower),
        trust(Arc::default()),
    );
    let mut said = Vec::new();
    // The first reading of a kind is at an unknown moment of its interval.
    while router.asked("/ip/arp/print") == 0 {
        let polled = session.poll(&trust).await;
        assert_eq!(polled.outcome, Outcome::Ok);
        said.extend(notes(&polled).into_iter().map(str::to_owned));
    }
    for _ in 0..20 {
        let polled = session.poll(&trust).await;
        said.extend(notes(&polled).into_iter().map(str::to_owned));
    }
    let refused = said
        .iter()
        .filter(|n| n.contains("ARP table not read") && n.contains("permissions"));
    assert_eq!(refused.count(), 1, "{said:?}");
    assert_eq!(router.asked("/ip/arp/print"), 1);
    assert_eq!(
        router.asked("/ip/neighbor/print"),
        1,
        "not there, not asked"
    );
}

/// Marks in memory.
#[derive(Default)]
struct Kept(Mutex<HashMap<DeviceId, KeptMark>>);

impl MarkStore for Kept {
    fn read(&self, device: DeviceId) -> BoxFuture<'_, Result<Option<Mark>, String>> {
        let kept = self.0.lock().unwrap().get(&device).map(|k| k.mark.clone());
        async move { Ok(kept) }.boxed()
    }

    fn keep<'a>(&'a self, marks: &'a [KeptMark]) -> BoxFuture<'a, Result<(), String>> {
        let mut held = self.0.lock().unwrap();
        held.extend(marks.iter().map(|k| (k.device, k.clone())));
        async { Ok(()) }.boxed()
    }
}

#[tokio::test]
async fn the_tail_of_a_log_survives_reconnects_and_changes_of_the_device() {
    let router = Router::new();
    let (mut session, trust, device) = session(&router, &sharing(Marks::default())).await;
    router.log("one");
    router.log("one");
    let first = session.poll(&trust).await;
    assert_eq!(lines(&first), ["one", "one"]);
    let numbers: Vec<u32> = first.slow.events.iter().map(|e| e.line).collect();
    assert_eq!(numbers, [0, 1, 2], "places in the poll, ours included");
    assert_eq!(
        first.slow.events[1].device_time.as_deref(),
        Some("09:22:08")
    );
    assert_eq!(lines(&session.poll(&trust).await), [""; 0]);
    // A session that breaks.
    router.hangs_up.store(true, Relaxed);
    assert!(!session.poll(&trust).await.outcome.reached());
    router.log("two");
    router.hangs_up.store(false, Relaxed);
    assert_eq!(lines(&session.poll(&trust).await), ["two"]);
    // Another address of the same device.
    let mut moved = device;
    moved.device.api_port = router.address().await.port();
    session.change(Arc::new(moved));
    router.log("three");
    assert_eq!(lines(&session.poll(&trust).await), ["three"]);
    // It runs over.
    (0..30).for_each(|n| router.log(&format!("burst {n}")));
    let mut found = Vec::new();
    let mut said = Vec::new();
    for _ in 0..2 {
        let polled = session.poll(&trust).await;
        found.extend(lines(&polled).into_iter().map(str::to_owned));
        said.extend(notes(&polled).into_iter().map(str::to_owned));
    }
    assert_eq!((found.len(), found[0].as_str()), (20, "burst 10"));
    assert!(
        said.iter()
            .any(|n| n.starts_with("10 lines of the log were lost")),
        "{said:?}"
    );
    // It restarts: ids begin anew, and soon are as high as before.
    router.restart();
    (0..15).for_each(|_| router.log("up"));
    let mut found = Vec::new();
    for _ in 0..2 {
        let polled = session.poll(&trust).await;
        found.extend(lines(&polled).into_iter().map(str::to_owned));
    }
    assert_eq!((found.len(), found[0].as_str()), (16, "router rebooted"));
    assert_eq!(lines(&session.poll(&trust).await), [""; 0]);
}

#[tokio::test]
async fn what_is_safe_is_not_read_again_by_the_next_process_and_what_is_not_is() {
    let (router, kept) = (Router::new(), Arc::new(Kept::default()));
    let log = Arc::new(MemoryLog::new(1));
    let producer = Producer::new(
        log.clone(),
        Arc::new(SystemClock::default()),
        ProducerConfig::default(),
        None,
        Arc::default(),
    )
    .unwrap();
    producer.open_all(1);
    let address = router.address().await;
    let device = Arc::new(spec(address, TlsPolicy::Plain, "secret"));
    let (id, tenant) = (device.device.id, device.device.tenant_id);
    // A process: polls once, hands over, and keeps what is safe.
    let run = async |sequence: u64, log_takes: bool| {
        log.refuses.store(!log_takes, Relaxed);
        let slower = sharing(Marks::new(kept.clone()));
        let mut session = Session::sharing(Arc::clone(&device), Arc::clone(&slower));
        let mut polled = session.poll(&trust(Arc::default())).await;
        let read: Vec<String> = lines(&polled).into_iter().map(str::to_owned).collect();
        let poll = PollId {
            lease_epoch: 1,
            sequence,
        };
        let ticket = producer.submit(whole(&device, poll));
        if let Some(mark) = polled.mark.take() {
            slower.marks.put(
                ticket,
                KeptMark {
                    device: id,
                    tenant,
                    poll,
                    mark,
                },
            );
        }
        assert_eq!(slower.marks.flush(&producer).await, 0, "not in the log yet");
        producer.flush(true);
        slower.marks.flush(&producer).await;
        read
    };
    router.log("one");
    assert_eq!(run(1, true).await, ["one"]);
    router.log("two");
    assert_eq!(run(2, false).await, ["two"]);
    assert_eq!(run(3, true).await, ["two"], "it had never come to the log");
    assert_eq!(run(4, true).await, [""; 0]);
}

fn whole(device: &DeviceSpec, poll: PollId) -> WholePoll {
    let row = serde_json::json!({
        "tenant_id": device.device.tenant_id, "device_id": device.device.id, "observed_at": 0,
        "lease_epoch": poll.lease_epoch, "sequence": poll.sequence, "outcome": "ok", "next_due_at": 0,
        "interval_ms": 1000, "tables": 0,
    });
    WholePoll {
        poll: serde_json::from_value(row).unwrap(),
        interfaces: vec![],
        registrations: vec![],
        radios: vec![],
        slow: mast_schemas::message::SlowRows::default(),
    }
}

fn marked(message: &str) -> Mark {
    let mut mark = Mark::default();
    let line = Line {
        id: Some(7),
        time: "09:22:08".to_owned(),
        topics: "info".to_owned(),
        message: message.to_owned(),
    };
    mark.take(&Reading {
        lines: vec![line],
        from: None,
        beside: None,
        running: None,
    })
    .unwrap();
    mark
}

#[tokio::test]
async fn marks_in_postgres_go_forward_only_and_end_with_their_device() {
    let database = database().await;
    let (api, tenant, device) = (
        database.pool(Role::Api).await,
        TenantId::new(),
        DeviceId::new(),
    );
    let mut tx = tenant_tx(&api, tenant).await.unwrap();
    for statement in [
        "INSERT INTO tenants (id, name) SELECT $1, 'acme' WHERE $2::uuid IS NOT NULL",
        "INSERT INTO devices (tenant_id, id, name, address, interval_ms) VALUES ($1, $2, 'd', '192.0.2.1', 1000)",
    ] {
        sqlx::query(statement)
            .bind(tenant.0)
            .bind(device.0)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let marks = PgMarks(database.pool(Role::Ingest).await);
    assert_eq!(marks.read(device).await, Ok(None));
    let kept = |lease_epoch, sequence, message, device| KeptMark {
        device,
        tenant,
        poll: PollId {
            lease_epoch,
            sequence,
        },
        mark: marked(message),
    };
    let gone = DeviceId::new();
    marks
        .keep(&[kept(2, 5, "b", device), kept(2, 5, "x", gone)])
        .await
        .unwrap();
    assert_eq!(marks.read(device).await, Ok(Some(marked("b"))));
    assert_eq!(marks.read(gone).await, Ok(None), "nobody's");
    marks.keep(&[kept(1, 9, "a", device)]).await.unwrap();
    assert_eq!(
        marks.read(device).await,
        Ok(Some(marked("b"))),
        "of a lease that has ended"
    );
    marks.keep(&[kept(2, 6, "c", device)]).await.unwrap();
    assert_eq!(marks.read(device).await, Ok(Some(marked("c"))));
    let mut tx = tenant_tx(&api, tenant).await.unwrap();
    sqlx::query("DELETE FROM devices WHERE id = $1")
        .bind(device.0)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(marks.read(device).await, Ok(None));
}
