//! Ingest under load: what a core of it polls, what an idle session holds, how long a poll takes.
//!
//! Three processes: routers that answer fixed words over TLS, ingest itself with its real pollers, producer and embedded
//! log, and the one that started both. CPU time and memory are those of the ingest process. Sessions are open before
//! anything is measured.

mod node;
mod routers;
mod words;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::{BenchError, Launcher, Part};

pub use node::Ingest;
pub use routers::Routers;

/// The load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Devices, each with a session; one in ten is an access point.
    pub devices: u32,
    /// How long each of the three measured parts lasts.
    pub seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            devices: 2_000,
            seconds: 20,
        }
    }
}

/// Most devices: each takes a file descriptor in two processes, and some systems allow 20,000.
const MOST_DEVICES: u32 = 19_000;

impl Options {
    fn check(self) -> Result<(), BenchError> {
        let refuse = |why: String| Err(BenchError::Options(why));
        if !(10..=MOST_DEVICES).contains(&self.devices) {
            return refuse(format!(
                "--devices {} is out of range: from 10, of which one is an access point, to {MOST_DEVICES}",
                self.devices
            ));
        }
        if self.seconds == 0 {
            return refuse("--seconds must be at least 1".to_owned());
        }
        Ok(())
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Polls of access points per second of ingest's CPU time, back to back.
    pub ap_polls_per_s_per_core: f64,
    /// Polls of customers' devices per second of ingest's CPU time, back to back.
    pub cpe_polls_per_s_per_core: f64,
    /// Resident memory that ingest took for a device with an idle session: task, protocol, TLS and what it knows.
    pub rss_per_session_bytes: u64,
    /// Half of the polls took no longer, with every device polled once a minute, ms.
    pub poll_p50_ms: f64,
    /// All but a hundredth took no longer, ms.
    pub poll_p99_ms: f64,
    /// All else.
    #[serde(flatten)]
    pub figures: Figures,
    /// CPU time of the routers per poll, µs.
    pub router_us_per_poll: f64,
    /// Resident memory of the routers' process, for each session.
    pub router_rss_per_session_bytes: u64,
}

/// What the ingest process measured of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Devices.
    pub devices: u32,
    /// How long each part lasted.
    pub seconds: u32,
    /// Access points polled back to back.
    pub ap: Busy,
    /// Customers' devices polled back to back.
    pub cpe: Busy,
    /// Everything polled once a minute.
    pub paced: Paced,
    /// CPU time of opening a session: TLS, login, the first poll of all menus; ms.
    pub open_cpu_ms: f64,
    /// Resident memory with all sessions idle, less that without any.
    pub sessions_rss_bytes: u64,
    /// Resident memory of the process at the end.
    pub rss_bytes: u64,
    /// Messages are in the log as batches of this many bytes in all.
    pub log_bytes: u64,
    /// Polls that did not end well; with any, the other figures mean little.
    pub failed_polls: u64,
}

/// Polls back to back over some sessions.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Busy {
    /// Sessions polled at once.
    pub sessions: u32,
    /// Polls.
    pub polls: u64,
    /// Rows of all kinds.
    pub rows: u64,
    /// CPU time per poll, µs.
    pub cpu_us_per_poll: f64,
    /// CPU time in cores.
    pub cores: f64,
    /// Half of the polls took no longer, ms.
    pub p50_ms: f64,
    /// All but a hundredth took no longer, ms.
    pub p99_ms: f64,
}

/// Polls once a minute.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Paced {
    /// Polls.
    pub polls: u64,
    /// CPU time per poll, with all that goes on besides: flushes, heartbeats, timers; µs.
    pub cpu_us_per_poll: f64,
    /// Half of the polls took no longer, ms.
    pub p50_ms: f64,
    /// All but a hundredth took no longer, ms.
    pub p99_ms: f64,
}

/// Runs the benchmark; progress goes to standard error. Dropping the future ends all processes.
///
/// # Errors
/// [`BenchError`], which names what could not be done.
pub async fn run(options: Options, launcher: &Launcher) -> Result<Report, BenchError> {
    options.check()?;
    let folder = TempDir::new()?;
    let mut routers = launcher.start("the routers", &Part::Routers(Routers::default()))?;
    let listening: routers::Listening = routers.says().await?;
    let mut ingest = launcher.start(
        "ingest",
        &Part::Ingest(Ingest {
            devices: options.devices,
            seconds: options.seconds,
            port: listening.port,
            folder: folder.path().to_owned(),
        }),
    )?;
    // It says when sessions are open, and then what it measured.
    let _open: u32 = ingest.says().await?;
    let (cpu, idle_bytes) = (routers.cpu_time(), routers.resident_bytes());
    let figures: Figures = ingest.says().await?;
    let routers_cpu = routers.cpu_time().saturating_sub(cpu);
    let polls = figures.ap.polls + figures.cpe.polls + figures.paced.polls;
    if figures.failed_polls > 0 {
        eprintln!("{} polls failed: figures mean little", figures.failed_polls);
    }
    Ok(Report {
        ap_polls_per_s_per_core: 1e6 / figures.ap.cpu_us_per_poll,
        cpe_polls_per_s_per_core: 1e6 / figures.cpe.cpu_us_per_poll,
        rss_per_session_bytes: figures.sessions_rss_bytes / u64::from(options.devices),
        poll_p50_ms: figures.paced.p50_ms,
        poll_p99_ms: figures.paced.p99_ms,
        router_us_per_poll: routers_cpu.as_secs_f64() * 1e6 / polls.max(1) as f64,
        router_rss_per_session_bytes: idle_bytes / u64::from(options.devices),
        figures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = Options::default();
        assert!(good.check().is_ok());
        for bad in [
            Options { devices: 9, ..good },
            Options {
                devices: 20_000,
                ..good
            },
            Options { seconds: 0, ..good },
        ] {
            assert!(
                matches!(bad.check(), Err(BenchError::Options(_))),
                "{bad:?}"
            );
        }
    }
}
