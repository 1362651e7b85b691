//! What goes to standard output. A reader that went away ends the program quietly, as it does for other tools.

use std::io::{self, Write};

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
