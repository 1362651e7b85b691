//! Starting and stopping the server of a folder.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::binaries::Binaries;
use super::folder::Folder;
use super::{SUPERUSER, login};
use crate::PostgresError;

/// How long a running server may take to answer before another is started in its place: a busy machine is no dead server.
const ANSWER: Duration = Duration::from_secs(30);

/// How long a stopped server may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// Only a name in the socket's path; no port is opened.
pub(super) const PORT: u16 = 5432;

/// What survives a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Every committed transaction.
    Full,
    /// Nothing; for tests.
    #[cfg(feature = "testing")]
    None,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) programs: Programs,
    stopped: bool,
}

impl Server {
    /// Adopts the server that runs on the folder, or starts one.
    pub(super) async fn start(
        folder: Folder,
        durability: Durability,
    ) -> Result<Self, PostgresError> {
        let binaries = Binaries::find(folder.cluster_version())?;
        let programs = Programs {
            folder: Arc::new(folder),
            binaries,
        };
        if programs.folder.cluster_version().is_none() {
            programs.initdb().await?;
        }
        let changed = programs.configure(durability)?;
        if programs.folder.server_pid()?.is_some() {
            if !changed && programs.answers().await {
                tracing::info!(folder = %programs.folder.root.display(), "adopted the running PostgreSQL");
                return Ok(Self::running(programs));
            }
            programs.stop().await?;
        }
        programs.launch().await?;
        Ok(Self::running(programs))
    }

    const fn running(programs: Programs) -> Self {
        Self {
            programs,
            stopped: false,
        }
    }

    /// Stops the server, in order if it can.
    pub(super) async fn stop(&mut self) -> Result<(), PostgresError> {
        if !self.stopped {
            self.programs.stop().await?;
            self.stopped = true;
        }
        Ok(())
    }
}

/// The programs that start and stop the server of a folder.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) folder: Arc<Folder>,
    binaries: Binaries,
}

impl Programs {
    /// Makes the cluster beside its place and moves it there, so that one that is there is whole.
    async fn initdb(&self) -> Result<(), PostgresError> {
        let fresh = self.folder.root.join("cluster.new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh).map_err(PostgresError::file(&fresh))?;
        }
        let mut command = self.command("initdb");
        command.args([
            "--username",
            SUPERUSER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
        ]);
        command.args(["--locale", "C", "--pgdata"]).arg(&fresh);
        run("initdb", command).await?;
        std::fs::rename(&fresh, &self.folder.cluster)
            .map_err(PostgresError::file(&self.folder.cluster))
    }

    /// Writes the settings; whether they are other than before.
    fn configure(&self, durability: Durability) -> Result<bool, PostgresError> {
        let socket_dir = self.folder.socket_dir.display().to_string();
        let durable = if durability == Durability::Full {
            "on"
        } else {
            "off"
        };
        let settings = format!(
            "# Written at each start; changes here are lost.\n\
             listen_addresses = ''\n\
             port = {PORT}\n\
             unix_socket_directories = '\"{}\"'\n\
             unix_socket_permissions = 0700\n\
             cluster_name = 'mast'\n\
             max_connections = 60\n\
             shared_buffers = 128MB\n\
             max_wal_size = 1GB\n\
             fsync = {durable}\n\
             full_page_writes = {durable}\n\
             synchronous_commit = {durable}\n\
             jit = off\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n\
             lc_messages = 'C'\n",
            socket_dir.replace('\'', "''").replace('"', "\"\""),
        );
        let settings_changed = self.folder.write("postgresql.conf", &settings)?;
        let access_changed = self.folder.write("pg_hba.conf", "local all all trust\n")?;
        Ok(settings_changed || access_changed)
    }

    async fn answers(&self) -> bool {
        let options = login(&self.folder.socket_dir, SUPERUSER, "postgres");
        let connect = PgConnection::connect_with(&options);
        match tokio::time::timeout(ANSWER, connect).await {
            Ok(Ok(connection)) => connection.close().await.is_ok(),
            _ => false,
        }
    }

    /// Starts the server and waits until it answers. Right after a kill -9 of a server its children may still live for a
    /// moment, and Postgres refuses beside them: hence more than one attempt.
    pub(super) async fn launch(&self) -> Result<(), PostgresError> {
        rotate(&self.folder.log)?;
        let mut attempt = 0;
        loop {
            let mut command = self.command("pg_ctl");
            command.args([
                "start",
                "--wait",
                "--timeout",
                "120",
                "--silent",
                "--pgdata",
            ]);
            command
                .arg(&self.folder.cluster)
                .arg("--log")
                .arg(&self.folder.log);
            let error = match run("pg_ctl", command).await {
                Ok(()) => return Ok(()),
                Err(PostgresError::Program { program, output }) => PostgresError::Program {
                    program,
                    output: output + &tail(&self.folder.log),
                },
                Err(error) => return Err(error),
            };
            attempt += 1;
            if attempt == 5 {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn stop(&self) -> Result<(), PostgresError> {
        let pid = self
            .folder
            .server_pid()?
            .filter(|_| Path::new("/proc/self").exists());
        if run("pg_ctl", self.stop_command("fast")).await.is_err()
            && self.folder.server_pid()?.is_some()
        {
            run("pg_ctl", self.stop_command("immediate")).await?;
        }
        // `pg_ctl` waits for the server's pid file to go, which is the last but one thing that a server does.
        let gone = async {
            while pid.is_some_and(|pid| self.folder.runs_here(pid)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(GONE, gone).await;
        Ok(())
    }

    fn stop_command(&self, mode: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.args([
            "stop",
            "--wait",
            "--timeout",
            "30",
            "--silent",
            "--mode",
            mode,
            "--pgdata",
        ]);
        command.arg(&self.folder.cluster);
        command
    }

    /// A program of PostgreSQL, as the server's user, in a folder it can enter, with nothing of our environment that
    /// could change what it does.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.dir.join(program));
        command
            .current_dir(&self.folder.root)
            .stdin(Stdio::null())
            .env_clear()
            .env("LC_ALL", "C");
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        if let Some(account) = &self.folder.account {
            account.apply(&mut command);
        }
        command
    }
}

impl Drop for Server {
    /// Waits for the stop: who drops the server may remove its folder next.
    fn drop(&mut self) {
        if !self.stopped {
            let stopped = self
                .programs
                .stop_command("fast")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !stopped.is_ok_and(|status| status.success()) {
                tracing::warn!(folder = %self.programs.folder.root.display(), "PostgreSQL did not stop; the next start adopts it");
            }
        }
    }
}

async fn run(program: &'static str, command: Command) -> Result<(), PostgresError> {
    let path = Path::new(command.get_program()).to_owned();
    let output = tokio::process::Command::from(command).output().await;
    let output = output.map_err(PostgresError::file(&path))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(PostgresError::Program {
        program,
        output: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

/// Keeps the log from growing for ever.
fn rotate(log: &Path) -> Result<(), PostgresError> {
    match std::fs::metadata(log) {
        Ok(meta) if meta.len() > 16 << 20 => {
            std::fs::rename(log, log.with_extension("log.1")).map_err(PostgresError::file(log))
        }
        _ => Ok(()),
    }
}

/// The last lines of the log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines
        .into_iter()
        .rev()
        .fold(String::new(), |all, line| all + "\n" + line)
}
