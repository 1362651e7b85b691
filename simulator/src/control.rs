//! The control socket: a line in, a line out.
//!
//! `truth` answers the truth as JSON. Any other line is an event as in a scenario; it answers `ok`
//! and the number of events, or `error` and the reason.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use crate::{error::SimulatorError, fleet::Shared};

const LINE_BYTES: u64 = 4_096;

pub(crate) fn bind(path: &Path) -> Result<UnixListener, SimulatorError> {
    let what = || format!("opening the control socket {}", path.display());
    // A killed fleet leaves its socket behind; anything else is not ours to remove.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path).map_err(SimulatorError::io(what()))?;
    }
    UnixListener::bind(path).map_err(SimulatorError::io(what()))
}

pub(crate) async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &shared).await {
                        tracing::debug!(%error, "a control session ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a control session was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let mut line = String::new();
        if (&mut lines).take(LINE_BYTES).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match shared.control(&line) {
            Ok(answer) => answer,
            Err(reason) => format!("error {reason}"),
        };
        write.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

/// Sends one control line to a running fleet and gives its answer.
///
/// # Errors
/// [`SimulatorError::Io`] when no fleet listens there, [`SimulatorError::Refused`] when it refuses
/// the line.
pub async fn ctl_send(path: &Path, line: &str) -> Result<String, SimulatorError> {
    let what = || format!("asking the fleet at {}", path.display());
    let stream = UnixStream::connect(path)
        .await
        .map_err(SimulatorError::io(what()))?;
    let (read, mut write) = stream.into_split();
    let line = format!("{}\n", line.replace('\n', " "));
    write
        .write_all(line.as_bytes())
        .await
        .map_err(SimulatorError::io(what()))?;
    let mut answer = String::new();
    let read = BufReader::new(read).read_line(&mut answer).await;
    if read.map_err(SimulatorError::io(what()))? == 0 {
        return Err(SimulatorError::Refused(
            "the fleet closed the connection".into(),
        ));
    }
    let answer = answer.trim_end();
    match answer.strip_prefix("error ") {
        Some(reason) => Err(SimulatorError::Refused(reason.to_owned())),
        None => Ok(answer.to_owned()),
    }
}
