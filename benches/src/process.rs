//! What a process uses, and children that do not outlive the measurement.
//!
//! The trap avoided: a part measured together with what loads it. Each part is a process of its own, the same binary
//! started again, and its CPU time is that of the whole process. A child has the reading end of a pipe; when its parent
//! is gone, however it went, the pipe ends and so does the child.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::BenchError;

/// CPU time of all threads of this process, user and system.
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Resident memory of this process.
///
/// # Errors
/// When the system does not tell.
pub fn resident_bytes() -> Result<u64, BenchError> {
    resident_bytes_of("self")
}

/// Resident memory of a process, given as in `/proc`.
pub(crate) fn resident_bytes_of(process: &str) -> Result<u64, BenchError> {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}

/// CPU time of another process, user and system, in steps of 10 ms.
pub(crate) fn cpu_time_of(process: u32) -> Result<Duration, BenchError> {
    ticks(process, 11)
}

/// That of its children that ended and were waited for.
pub(crate) fn cpu_time_of_ended_children(process: u32) -> Result<Duration, BenchError> {
    ticks(process, 13)
}

/// User and system time begin at field `at`, counted from 0 behind the name.
fn ticks(process: u32, at: usize) -> Result<Duration, BenchError> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold anything; behind it the fields are numbers.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split(' ')
        .skip(at)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(
        ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1),
    ))
}

/// How to start this binary again as one of the parts: the part itself follows as the last argument, in JSON.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The binary.
    pub program: PathBuf,
    /// What comes before the part.
    pub arguments: Vec<OsString>,
}

impl Launcher {
    /// The running binary, with these arguments.
    ///
    /// # Errors
    /// When the system does not tell which binary this is.
    pub fn this<A: Into<OsString>>(
        arguments: impl IntoIterator<Item = A>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            arguments: arguments.into_iter().map(Into::into).collect(),
        })
    }

    /// Starts a part.
    pub(crate) fn start(
        &self,
        name: &'static str,
        part: &impl Serialize,
    ) -> Result<Child, BenchError> {
        let part = serde_json::to_string(part).map_err(std::io::Error::from)?;
        let mut inner = Command::new(&self.program)
            .args(&self.arguments)
            .arg(part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::system(format!(
                "start {}",
                self.program.display()
            )))?;
        let gone = || BenchError::Stuck(format!("{name} has no pipes"));
        let lines = BufReader::new(inner.stdout.take().ok_or_else(gone)?).lines();
        let lifeline = inner.stdin.take().ok_or_else(gone)?;
        Ok(Child {
            name,
            inner,
            lines,
            _lifeline: lifeline,
        })
    }
}

/// A running part. Dropping it ends the process.
pub(crate) struct Child {
    name: &'static str,
    inner: tokio::process::Child,
    lines: Lines<BufReader<ChildStdout>>,
    _lifeline: ChildStdin,
}

impl Child {
    /// The next line that it says, which is JSON.
    pub(crate) async fn says<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        let Some(said) = self.lines.next_line().await? else {
            let status = self.inner.wait().await?;
            return Err(BenchError::Ended {
                part: self.name,
                status: status.to_string(),
            });
        };
        serde_json::from_str(&said).map_err(|source| BenchError::Said {
            part: self.name,
            said,
            source,
        })
    }

    /// Its CPU time so far; zero when it has ended.
    pub(crate) fn cpu_time(&self) -> Duration {
        let id = self.inner.id();
        id.and_then(|id| cpu_time_of(id).ok()).unwrap_or_default()
    }

    /// Its resident memory; zero when it has ended.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let id = self.inner.id();
        id.and_then(|id| resident_bytes_of(&id.to_string()).ok())
            .unwrap_or(0)
    }
}

/// The child's side: ends this process when its parent is gone.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 64];
        while input.read(&mut ignored).is_ok_and(|n| n > 0) {}
        std::process::exit(1);
    });
}
