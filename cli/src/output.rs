//! What goes to standard output and standard error. A reader that went away is no reason to stop: who starts a system
//! through a pipe may only want to see its first lines. The trap avoided: `eprintln!`, which panics then.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat};
use mast_schemas::Timestamp;

/// Writes a line; a closed pipe is no error.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    write(|out| writeln!(out, "{text}"))
}

/// Writes one JSON object as a line.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Runs `f` on locked standard output; a closed pipe is no error.
pub(crate) fn write(f: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match f(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a line to standard error; nobody may be there to read it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows how far something is, in one line of a terminal's standard error; whoever closed it does not mind.
pub(crate) fn progress(text: &str) {
    let _ = write!(io::stderr().lock(), "\r{text}");
}

/// A time for people, in UTC.
pub(crate) fn instant(at: Timestamp) -> String {
    DateTime::from_timestamp_micros(at.0).map_or_else(String::new, |at| {
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    })
}
