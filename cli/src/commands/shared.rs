//! What several commands have: flags, and the end of those that run everything in one process.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::config::{Flags, Kind};
use crate::standalone::{INTERRUPTED, stop_signal};
use crate::summary::Screen;

/// Where the installation is, and its log.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the log of records is kept [default: embedded]
    #[arg(long, value_enum)]
    log: Option<Kind>,
    /// Some Kafka brokers; TLS and accounts are set in the configuration, section `log`.
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
}

impl Place {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags
            .with("--data", "data", self.data.as_ref())?
            .with("--log", "log.kind", self.log.as_ref())?
            .with("--brokers", "log.brokers", self.brokers.as_ref())
    }
}

/// Stops everything in order, or at once at the next signal; the exit code.
pub(crate) async fn stop_in_order(
    screen: &Screen,
    root: &Path,
    stop: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    screen.step("stopping all in order …");
    tokio::select! {
        stopped = stop => stopped?,
        () = stop_signal()? => {
            screen.step("stopped at once; nothing is lost, the next start recovers it");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    screen.step(&format!(
        "all stopped in order, in {:.1} s; the same command goes on from here, `rm -rf {}` forgets it",
        begun.elapsed().as_secs_f64(),
        root.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// A line for a shell of any folder, after which `mast` is found and knows the data folder.
pub(crate) fn environment(root: &Path) -> String {
    let shell = |text: std::borrow::Cow<'_, str>| format!("'{}'", text.replace('\'', "'\\''"));
    let mut line = format!("export MAST_DATA={}", shell(root.to_string_lossy()));
    let folder = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.to_owned()));
    if let Some(folder) = folder {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|known| known == folder) {
            let folder = shell(folder.to_string_lossy());
            line.push_str(&format!(" PATH=\"$PATH\":{folder}"));
        }
    }
    line
}
