//! A real Kafka broker for tests, as `deploy/dev/kafka/kafka.sh` runs it.

#![expect(
    clippy::unwrap_used,
    reason = "this is test code that other test binaries call"
)]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
}

impl DevBroker {
    /// Starts one on free ports; its data is kept in `dir`, which is also where its output goes.
    ///
    /// # Panics
    /// If it can't be started.
    pub fn start(dir: &Path) -> Self {
        let listeners = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let mut broker = Self {
            dir: dir.to_owned(),
            ports,
            server: None,
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
        self.server = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while !self.is_up() {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the broker did not start; see {}",
                self.dir.join("broker.out").display()
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
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
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
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
