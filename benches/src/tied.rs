//! Commands of this binary as children: the real ones, which know nothing of being measured.
//!
//! They end in order: at a signal of their own, sent when this process drops them or when it is gone itself. A Ctrl-C at
//! the terminal is for this process only, or they would be told twice and leave off tidying up.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::process::{cpu_time_of, resident_bytes_of};
use crate::{BenchError, Launcher, Part};

/// How long a command may take to end in order.
const PATIENCE: Duration = Duration::from_secs(30);

impl Launcher {
    /// Starts a command of this binary. Call it from the main thread: the system watches the thread, not the process.
    ///
    /// # Errors
    /// [`BenchError::System`].
    pub fn tied<W: Into<String>>(
        &self,
        name: &'static str,
        words: impl IntoIterator<Item = W>,
    ) -> Result<Tied, BenchError> {
        let words = words.into_iter().map(Into::into).collect();
        let part = serde_json::to_string(&Part::Tied(words)).map_err(std::io::Error::from)?;
        let mut inner = Command::new(&self.program)
            .args(&self.arguments)
            .arg(part)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(BenchError::system(format!(
                "start {}",
                self.program.display()
            )))?;
        let gone = || BenchError::Stuck(format!("{name} has no output"));
        let id = inner.id().ok_or_else(gone)?;
        let lines = BufReader::new(inner.stdout.take().ok_or_else(gone)?).lines();
        Ok(Tied {
            name,
            id,
            inner,
            lines,
        })
    }
}

/// The child's side: ties this process to its parent and becomes the command.
pub(crate) fn become_command(words: &[String]) -> Result<(), BenchError> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(std::io::Error::from)?;
    if parent != getppid() {
        // It went before we were tied.
        return Ok(());
    }
    let error = std::process::Command::new(std::env::current_exe()?)
        .args(words)
        .exec();
    Err(BenchError::System {
        what: format!("become mast {}", words.join(" ")),
        source: error,
    })
}

/// A running command.
pub struct Tied {
    name: &'static str,
    id: u32,
    inner: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tied {
    /// Its process.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Waits for its end. Cancel safe.
    ///
    /// # Errors
    /// When the system cannot wait for it.
    pub async fn ended(&mut self) -> Result<(), BenchError> {
        self.inner.wait().await?;
        Ok(())
    }

    /// The next line of its output, which is JSON.
    ///
    /// # Errors
    /// [`BenchError::Said`], [`BenchError::Ended`].
    pub async fn says<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        match self.lines.next_line().await? {
            Some(said) => self.understand(said),
            None => Err(self.too_early().await?),
        }
    }

    /// Waits for its end; the last line of its output, which is JSON.
    ///
    /// # Errors
    /// [`BenchError::Said`], [`BenchError::Ended`].
    pub async fn last_line<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        let mut last = None;
        while let Some(line) = self.lines.next_line().await? {
            last = Some(line);
        }
        match last {
            Some(said) => {
                self.ended().await?;
                self.understand(said)
            }
            None => Err(self.too_early().await?),
        }
    }

    fn understand<T: DeserializeOwned>(&self, said: String) -> Result<T, BenchError> {
        serde_json::from_str(&said).map_err(|source| BenchError::Said {
            part: self.name,
            said,
            source,
        })
    }

    async fn too_early(&mut self) -> Result<BenchError, BenchError> {
        let status = self.inner.wait().await?;
        Ok(BenchError::Ended {
            part: self.name,
            status: status.to_string(),
        })
    }

    /// Its CPU time so far; zero when it has ended.
    pub fn cpu_time(&self) -> Duration {
        cpu_time_of(self.id).unwrap_or_default()
    }

    /// Its resident memory; zero when it has ended.
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes_of(&self.id.to_string()).unwrap_or(0)
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        let (Ok(None), Some(id)) = (self.inner.try_wait(), id) else {
            return;
        };
        eprintln!("stopping {} …", self.name);
        let _ = kill_process(id, Signal::TERM);
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if !matches!(self.inner.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.inner.start_kill();
    }
}
