//! A year of one link: `cargo run --release -p mast-benches --example series -- [links] [requests] [days]`
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use mast_benches::series::{Options, run};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<u32>());
    let mut next = |default| given.next().unwrap_or(Ok(default));
    let usual = Options::default();
    let options = Options {
        links: next(usual.links)?,
        requests: next(usual.requests)?,
        days: next(usual.days)?,
        ..usual
    };
    let report = run(options, &mut |line| eprintln!("{line}")).await?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
