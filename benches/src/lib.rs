#![doc = include_str!("../README.md")]

pub mod api;
pub mod dataflow;
mod error;
pub mod ingest;
mod percentile;
pub mod pipeline;
mod process;
pub mod processes;
pub mod series;
pub mod soak;
mod tied;

use serde::{Deserialize, Serialize};

pub use error::BenchError;
pub use percentile::percentile;
pub use process::{Launcher, cpu_time, resident_bytes};
pub use tied::Tied;

/// A part that runs in a process of its own, see [`Launcher`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Routers with fixed answers.
    Routers(ingest::Routers),
    /// Ingest, loaded and measured.
    Ingest(ingest::Ingest),
    /// A command of this binary that ends with its parent.
    Tied(Vec<String>),
}

impl Part {
    /// Runs the part in this process until it is done or its parent is gone. What it has to say goes to standard output.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn run(self) -> Result<(), BenchError> {
        if let Self::Tied(words) = self {
            return tied::become_command(&words);
        }
        process::end_with_parent();
        // As the commands do that run these parts for users.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match self {
                Self::Routers(part) => Box::pin(part.serve()).await,
                Self::Ingest(part) => Box::pin(part.measure()).await,
                Self::Tied(_) => Ok(()),
            }
        })
    }
}

/// Says a line to the parent.
fn say(what: &impl Serialize) -> Result<(), BenchError> {
    use std::io::Write as _;
    let line = serde_json::to_string(what).map_err(std::io::Error::from)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
