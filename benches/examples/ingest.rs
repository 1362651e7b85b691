//! `cargo run --release -p mast-benches --example ingest -- [devices] [seconds]`: as `mast bench ingest`, quicker to build.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use mast_benches::ingest::{Options, run};
use mast_benches::{Launcher, Part};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1).peekable();
    if given.next_if(|word| word == "part").is_some() {
        let part: Part = serde_json::from_str(&given.next().unwrap_or_default())?;
        return Ok(part.run()?);
    }
    let mut next = |default| given.next().map_or(Ok(default), |word| word.parse());
    let options = Options {
        devices: next(2_000)?,
        seconds: next(20)?,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(run(options, &Launcher::this(["part"])?))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
