//! Routers of our own on loopback, and a log in memory that can refuse.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mast_ingest::trust::{DeviceSpec, LoginPace, Manner, PinStore, Trust};
use mast_log::{Ends, Entry, Log, LogError, Record, TopicSpec};
use mast_schemas::control::{Device, Role, TlsPolicy};
use mast_schemas::message::{Header, Heartbeat, WholePoll, read_polls};
use mast_schemas::{DeviceId, TenantId};
use routeros_api::server::Connection;
use routeros_api::{Credentials, Fingerprint, LoginForm};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Listens on loopback and serves every connection with `serve`.
pub(crate) async fn listen<F, W>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A menu's rows by the path of its print or monitor. What is not here is `no such command`.
pub(crate) type Menus = HashMap<&'static str, Vec<Vec<(&'static str, String)>>>;

/// A router with one client on one radio.
pub(crate) fn access_point() -> Menus {
    let row = |pairs: &[(&'static str, &str)]| {
        pairs
            .iter()
            .map(|(n, v)| (*n, (*v).to_owned()))
            .collect::<Vec<_>>()
    };
    HashMap::from([
        (
            "/system/resource/print",
            vec![row(&[
                ("version", "6.49.10 (long-term)"),
                ("uptime", "1d2h"),
                ("cpu-load", "7"),
                ("board-name", "RB921UAGS-5SHPacT"),
            ])],
        ),
        ("/system/identity/print", vec![row(&[("name", "tower-7")])]),
        (
            "/interface/print",
            vec![
                row(&[
                    ("name", "ether1"),
                    ("type", "ether"),
                    ("mac-address", "02:00:00:00:00:01"),
                    ("rx-byte", "5"),
                ]),
                row(&[
                    ("name", "wlan1"),
                    ("type", "wlan"),
                    ("mac-address", "02:00:00:00:00:02"),
                ]),
            ],
        ),
        (
            "/interface/wireless/print",
            vec![row(&[
                ("name", "wlan1"),
                ("mac-address", "02:00:00:00:00:02"),
                ("mode", "ap-bridge"),
                ("ssid", "west"),
            ])],
        ),
        (
            "/interface/wireless/registration-table/print",
            vec![row(&[
                ("interface", "wlan1"),
                ("mac-address", "02:00:00:00:00:99"),
                ("ap", "false"),
                ("signal-strength", "-61@6Mbps"),
                ("uptime", "5m"),
            ])],
        ),
        (
            "/interface/wireless/monitor",
            vec![row(&[
                ("channel", "5220/20-Ce/an(18dBm)"),
                ("noise-floor", "-108"),
                ("registered-clients", "1"),
            ])],
        ),
    ])
}

/// Serves the menus on any channel; the password is `secret`.
pub(crate) async fn router<S>(io: S, menus: Menus)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut connection = Connection::new(io);
    if !matches!(
        connection
            .login(LoginForm::Password, |attempt| attempt.accepts(b"secret"))
            .await,
        Ok(true)
    ) {
        return;
    }
    while let Ok(Some(request)) = connection.next().await {
        match menus.get(request.path().as_ref()) {
            Some(rows) => {
                for row in rows {
                    connection
                        .replies()
                        .re(request.tag(), row.iter().map(|(n, v)| (*n, v)));
                }
            }
            None => connection
                .replies()
                .trap(request.tag(), "no such command prefix", None),
        }
        connection.replies().done(request.tag());
    }
}

/// A router that can be cut off and put back: cut off, it ends its sessions and takes no new one.
pub(crate) async fn breakable() -> (SocketAddr, watch::Sender<bool>) {
    let (sender, receiver) = watch::channel(true);
    let address = listen(move |stream| {
        let mut up = receiver.clone();
        async move {
            if *up.borrow_and_update() {
                tokio::select! {
                    () = router(stream, access_point()) => {}
                    _ = up.wait_for(|up| !up) => {}
                }
            }
        }
    })
    .await;
    (address, sender)
}

/// A device at this address. Deadlines are two seconds, the least there is.
pub(crate) fn spec(address: SocketAddr, tls: TlsPolicy, password: &str) -> DeviceSpec {
    DeviceSpec {
        device: Device {
            id: DeviceId::new(),
            tenant_id: TenantId::new(),
            name: "tower-7".to_owned(),
            address: address.ip().to_string(),
            api_port: address.port(),
            api_ssl_port: address.port(),
            tls,
            site_id: None,
            sector_id: None,
            parent_id: None,
            group_ids: Vec::new(),
            tag_ids: Vec::new(),
            role: Role::Ap,
            interval_ms: 1_000,
            enabled: true,
            credentials_version: 1,
            version: 1,
        },
        credentials: Ok(Credentials::new("mast", password)),
        pin: None,
        manner: Manner {
            modern: true,
            ..Manner::default()
        },
    }
}

/// Pins and manners in memory.
#[derive(Default)]
pub(crate) struct Pins {
    pins: Mutex<HashMap<DeviceId, Fingerprint>>,
    manners: Mutex<HashMap<DeviceId, Manner>>,
}

impl Pins {
    pub(crate) fn pin(&self, device: DeviceId) -> Option<Fingerprint> {
        self.pins.lock().unwrap().get(&device).copied()
    }

    pub(crate) fn manner(&self, device: DeviceId) -> Option<Manner> {
        self.manners.lock().unwrap().get(&device).copied()
    }

    pub(crate) fn forget(&self) {
        self.pins.lock().unwrap().clear();
    }
}

impl PinStore for Pins {
    fn keep<'a>(
        &'a self,
        device: &'a Device,
        found: Fingerprint,
    ) -> BoxFuture<'a, Result<Fingerprint, String>> {
        let kept = *self.pins.lock().unwrap().entry(device.id).or_insert(found);
        async move { Ok(kept) }.boxed()
    }

    fn remember<'a>(&'a self, device: &'a Device, manner: Manner) -> BoxFuture<'a, ()> {
        self.manners.lock().unwrap().insert(device.id, manner);
        async {}.boxed()
    }
}

pub(crate) fn trust(pins: Arc<Pins>) -> Trust {
    Trust {
        roots: None,
        pins,
        logins: Arc::new(LoginPace::new(500)),
    }
}

/// A log in memory.
#[derive(Default)]
pub(crate) struct MemoryLog {
    pub(crate) partitions: u32,
    entries: Mutex<HashMap<u32, Vec<Record>>>,
    pub(crate) refuses: AtomicBool,
    /// Takes an append and says that it failed, as a broker does whose answer is lost.
    pub(crate) deceives: AtomicBool,
}

impl MemoryLog {
    pub(crate) fn new(partitions: u32) -> Self {
        Self {
            partitions,
            ..Self::default()
        }
    }

    pub(crate) fn records(&self, partition: u32) -> Vec<Record> {
        self.entries
            .lock()
            .unwrap()
            .get(&partition)
            .cloned()
            .unwrap_or_default()
    }
}

impl Log for MemoryLog {
    fn ensure_topic(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }
    fn partitions(&self, _: &str) -> Result<u32, LogError> {
        Ok(self.partitions)
    }
    fn append(&self, _: &str, partition: u32, records: &[Record]) -> Result<u64, LogError> {
        if self.refuses.load(Relaxed) {
            return Err(LogError::Full {
                used_bytes: 1,
                limit_bytes: Some(1),
            });
        }
        let mut entries = self.entries.lock().unwrap();
        let held = entries.entry(partition).or_default();
        held.extend_from_slice(records);
        if self.deceives.load(Relaxed) {
            return Err(LogError::Broker {
                action: "append",
                brokers: "none".to_owned(),
                reason: "the answer was lost".to_owned(),
            });
        }
        Ok((held.len() - records.len()) as u64)
    }
    fn read(&self, _: &str, _: u32, _: u64, _: usize) -> Result<Vec<Entry>, LogError> {
        Ok(Vec::new())
    }
    fn ends(&self, _: &str, _: u32) -> Result<Ends, LogError> {
        Ok(Ends { first: 0, next: 0 })
    }
    fn trim(&self, _: &str, _: u32, _: u64) -> Result<(), LogError> {
        Ok(())
    }
    fn sync(&self) -> Result<(), LogError> {
        Ok(())
    }
    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        std::thread::sleep(timeout);
        seen
    }
}

/// What a record of the telemetry topic holds.
pub(crate) enum Said {
    Heartbeat(Heartbeat),
    Polls(Vec<WholePoll>),
}

pub(crate) fn said(record: &Record) -> Said {
    let header = Header::decode(&record.headers).unwrap();
    match header.heartbeat {
        Some(beat) => Said::Heartbeat(beat),
        None => Said::Polls(read_polls(&header, &record.body).unwrap()),
    }
}
