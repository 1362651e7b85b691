//! A real Kafka broker for tests, as `deploy/dev/kafka/kafka.sh` runs it.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code that other test binaries call"
)]

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{KafkaConfig, KafkaLog, Login, Mechanism, Password, Security};

/// Fetching and starting it, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A broker with a data folder of its own. Dropping it kills it.
#[derive(Debug)]
pub struct DevBroker {
    dir: PathBuf,
    ports: [u16; 3],
    server: Option<Child>,
    /// Ends the broker when this process is gone, however that ends.
    watcher: Option<Child>,
}

/// Ports that nobody uses now, below those that the system gives out by itself: so nobody gets one meanwhile.
fn free_ports() -> [u16; 3] {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % u32::from(COUNT)) as u16;
    let mut free = [(); 3].map(|()| None);
    for place in &mut free {
        while place.is_none() {
            let step = NEXT.fetch_add(1, Relaxed);
            let port = FIRST + begin.wrapping_add(step) % COUNT;
            *place = TcpListener::bind(("127.0.0.1", port)).ok();
        }
    }
    free.map(|listener| listener.unwrap().local_addr().unwrap().port())
}

impl DevBroker {
    /// Starts one on free ports; its data is kept in `dir`, which is also where its output goes.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(dir: &Path) -> Self {
        let mut broker = Self {
            dir: dir.to_owned(),
            ports: free_ports(),
            server: None,
            watcher: None,
        };
        broker.again();
        broker
    }

    /// Starts it again, on the same ports with the same data.
    ///
    /// # Panics
    /// If it runs, or can't be started.
    pub fn again(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/kafka/kafka.sh");
        let output = std::fs::File::create(self.dir.join("broker.out")).unwrap();
        let mut command = Command::new(script);
        command.arg("run").arg(&self.dir);
        command.args(self.ports.map(|port| port.to_string()));
        command.stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let server = command.spawn().unwrap();
        self.watcher = Some(watch(&server));
        self.server = Some(server);
        let deadline = Instant::now() + PATIENCE;
        while !self.is_up() {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the broker did not start ({ended:?}):\n{}",
                std::fs::read_to_string(self.dir.join("broker.out")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it answers.
    fn is_up(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.ports[0])).is_ok() && {
            let mut config = self.plain();
            config.timeout = Duration::from_secs(2);
            KafkaLog::connect(config).is_ok()
        }
    }

    /// Ends it at once, as a power failure of its process would.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn kill(&mut self) {
        self.end().unwrap();
    }

    /// `None` = it doesn't run.
    fn end(&mut self) -> Option<()> {
        if let Some(mut watcher) = self.watcher.take() {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
        let mut server = self.server.take()?;
        let _ = server.kill();
        let _ = server.wait();
        Some(())
    }

    /// Stops it from doing anything, while its connections stay open.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it doesn't run.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.server.as_ref().unwrap().id();
        kill_process(Pid::from_raw(id as i32).unwrap(), signal).unwrap();
    }

    /// Its address without encryption.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// How to reach it without encryption.
    pub fn plain(&self) -> KafkaConfig {
        KafkaConfig::plain(self.address())
    }

    /// How to reach it by TLS, signed in with SCRAM.
    ///
    /// # Panics
    /// If its password can't be read.
    pub fn tls(&self) -> KafkaConfig {
        let password = std::fs::read_to_string(self.dir.join("password")).unwrap();
        KafkaConfig {
            security: Security::Tls {
                ca: Some(self.dir.join("ca.pem")),
                login: Some(Login {
                    user: "mast".to_owned(),
                    password: Password::new(password.trim()),
                    mechanism: Mechanism::Sha512,
                }),
            },
            ..KafkaConfig::plain(format!("localhost:{}", self.ports[1]))
        }
    }
}

impl Drop for DevBroker {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// A shell that waits for the end of its input, which is the end of this process. In a group of its own: Ctrl-C must not
/// end it before its work.
fn watch(server: &Child) -> Child {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "read -r _; kill -9 \"$0\""]);
    command.arg(server.id().to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command.process_group(0).spawn().unwrap()
}
