//! `cargo run --release -p mast-benches --example dataflow -- [clients] [workers] [rows per epoch, 0 = by the minute] [rounds] [rules]`
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use mast_benches::dataflow::{Options, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut next = |default| given.next().unwrap_or(Ok(default));
    let options = Options {
        clients: next(100_000)?,
        workers: usize::try_from(next(1)?)?,
        rows_per_epoch: Some(next(0)?).filter(|rows| *rows > 0),
        rounds: u32::try_from(next(2)?)?,
        rules: next(0)?,
        ..Options::default()
    };
    let report = run(&options, &mut |line| eprintln!("{line}"))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
