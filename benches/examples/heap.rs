//! Bytes on the heap a client: `cargo run --release -p mast-benches --example heap -- [clients] [workers] [rows per epoch, 0 = by the
//! minute] [rounds] [rules]`. The allocator counts here, which costs time: the other figures are those of the example `dataflow`. Polls
//! that are so far apart by the rows of an epoch that hours pass give each client a trend.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::alloc::System;

use cap::Cap;
use mast_benches::dataflow::{Options, run};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut next = |default| given.next().unwrap_or(Ok(default));
    let (clients, workers) = (next(100_000)?, next(1)?);
    let options = Options {
        clients,
        workers: usize::try_from(workers)?,
        rows_per_epoch: Some(next(0)?).filter(|rows| *rows > 0),
        rounds: u32::try_from(next(2)?)?,
        rules: next(0)?,
        heap_bytes: Some(|| ALLOCATOR.allocated() as u64),
        ..Options::default()
    };
    let report = run(&options, &mut |line| eprintln!("{line}"))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
