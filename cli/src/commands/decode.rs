//! `mast decode`: recorded replies in, typed rows out.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// Turn recorded RouterOS replies into typed rows.
///
/// The file holds one JSON object a line: `menu`, `reply` (word to text) and, where they apply, `routeros`, `params` and
/// `word` (`!trap`, `!done`). Typed rows go to standard output, one JSON object a line, `kind` first, absent values left out.
/// What cannot be typed is named on standard error, by line, menu and attribute; then the exit code is 1.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The recording; `-` reads standard input.
    file: PathBuf,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let out = BufWriter::new(std::io::stdout().lock());
        let problems = std::io::stderr().lock();
        let summary = if self.file.as_os_str() == "-" {
            mast_ingest::decode::decode_records(std::io::stdin().lock(), out, problems)
        } else {
            let file =
                File::open(&self.file).with_context(|| format!("open {}", self.file.display()))?;
            mast_ingest::decode::decode_records(BufReader::new(file), out, problems)
        };
        match summary {
            Ok(summary) if summary.is_clean() => Ok(ExitCode::SUCCESS),
            Ok(_) => Ok(ExitCode::FAILURE),
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(e) => Err(e).context("decode"),
        }
    }
}
