//! Runs one target over files: `cargo run -p mast-fuzz --example one -- TARGET FILE...`

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().ok_or("which target?")?;
    for file in arguments {
        mast_fuzz::run(&target, &std::fs::read(&file)?);
    }
    Ok(())
}
