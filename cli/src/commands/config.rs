//! `mast config`: what holds, and where it was set.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::config::{Effective, is_secret};

/// Show the configuration that holds here, and where each value was set.
///
/// Defaults < file < environment < flags. The file is `mast.toml` in the current folder, or the one that --config (or
/// MAST_CONFIG) names. A key such as `dataflow.workers` is MAST_DATAFLOW_WORKERS in the environment. Keys that are not known,
/// values of the wrong type or out of bounds are errors, at the start of every command. Secrets are shown as `***`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How to print. TOML can be saved as `mast.toml`.
    #[arg(long, value_enum, default_value_t = Format::Toml)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  mast config                                    every key with its value and origin
  mast config > mast.toml                        a file to begin with
  MAST_DATAFLOW_WORKERS=2 mast config            shows that the environment is heard
  mast --config other.toml config --format json  for programs";

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// As a file, with the origin of each value as a comment.
    Toml,
    /// One JSON array.
    Json,
}

impl Args {
    pub(crate) fn run(self, effective: &Effective) -> anyhow::Result<ExitCode> {
        let text = match self.format {
            Format::Toml => toml(effective),
            Format::Json => serde_json::to_string(&json(effective))?,
        };
        crate::output::line(text.trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Keys without a section come first, as TOML wants it.
fn toml(effective: &Effective) -> String {
    let mut entries = effective.entries();
    entries.sort_by_key(|(key, ..)| key.contains('.'));
    let (mut text, mut section) = (String::new(), "");
    for (key, value, origin) in entries {
        let (of, name) = key.split_once('.').unwrap_or(("", key));
        if of != section {
            text.push_str(&format!("\n[{of}]\n"));
            section = of;
        }
        let line = match value {
            // A file to begin with must not hold the stars as a password.
            Some(value) if is_secret(key) => format!("# {name} = {value}"),
            Some(value) => format!("{name} = {value}"),
            None => format!("# {name} ="),
        };
        text.push_str(&format!("{line:<32} # {origin}\n"));
    }
    text
}

fn json(effective: &Effective) -> Vec<serde_json::Value> {
    let entries = effective.entries().into_iter();
    entries
        .map(|(key, value, from)| serde_json::json!({ "key": key, "value": value, "from": from }))
        .collect()
}
