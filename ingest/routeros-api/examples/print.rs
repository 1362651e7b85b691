//! Prints a menu of a router, or a few rows of a command that goes on.
//!
//! ```text
//! ROUTEROS_PASSWORD=secret cargo run -p routeros-api --example print -- 192.0.2.1:8729 reader /interface/print name type
//! ```
//!
//! The certificate of the first connection is taken, and its fingerprint is shown: whoever goes on with a router pins it.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use routeros_api::codec::display_text;
use routeros_api::{Client, Command, Credentials, Deadlines, Target, TlsMode};
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, user, path, properties @ ..] = &arguments[..] else {
        return Err("print ADDRESS:PORT USER /menu/print [PROPERTY...]".into());
    };
    let password = std::env::var("ROUTEROS_PASSWORD").unwrap_or_default();
    let target = Target::new(address.parse()?);
    // Port 8728 is the plain one by habit.
    let mode = match target.address.port() {
        8728 => TlsMode::Plain,
        _ => TlsMode::Pinned(None),
    };
    let credentials = Credentials::new(user, password);
    let each = Duration::from_secs(5);
    let mut client = Client::connect(&target, &credentials, &Deadlines::all(each), &mode).await?;
    if let Some(fingerprint) = client.info().fingerprint {
        println!("# certificate {fingerprint}");
    }
    let mut command = Command::new(path);
    if !properties.is_empty() {
        command = command.proplist(properties);
    }
    let reply = client.call_some(&command, 100, each, 2 * each).await?;
    for row in &reply.rows {
        let cells = row
            .attributes()
            .map(|(name, value)| format!("{}={}", display_text(name), display_text(value)));
        println!("{}", cells.collect::<Vec<_>>().join(" "));
    }
    client.close(each).await;
    Ok(())
}
