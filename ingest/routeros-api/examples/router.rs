//! A router of one's own, to try a client against: takes the user `reader` with the password `secret`, on the plain port.
//!
//! ```text
//! cargo run -p routeros-api --example router -- 127.0.0.1:8728
//! ```

#![expect(clippy::print_stdout, reason = "it tells where it listens")]

use routeros_api::LoginForm;
use routeros_api::server::{Connection, Request, ServerError};
use std::error::Error;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const INTERFACES: [[(&str, &str); 3]; 2] = [
    [("name", "ether1"), ("type", "ether"), ("mtu", "1500")],
    [("name", "wlan1"), ("type", "wlan"), ("mtu", "1500")],
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8728")).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                println!("a session ended: {error}");
            }
        });
    }
}

async fn serve(stream: TcpStream) -> Result<(), ServerError> {
    let mut connection = Connection::new(stream);
    let login = connection.login(LoginForm::Password, |attempt| {
        attempt.name() == b"reader" && attempt.accepts(b"secret")
    });
    // Whoever connects and says nothing does not stay for ever.
    let accepted = tokio::time::timeout(Duration::from_secs(10), login).await;
    if !accepted.unwrap_or(Ok(false))? {
        return Ok(());
    }
    while let Some(request) = connection.next().await? {
        answer(&mut connection, &request);
    }
    Ok(())
}

fn answer(connection: &mut Connection<TcpStream>, request: &Request) {
    let tag = request.tag();
    let replies = connection.replies();
    if request.path() == "/interface/print" {
        let (filter, list) = (request.filter(), request.proplist());
        for item in &INTERFACES {
            let property = |name: &[u8]| {
                let found = item.iter().find(|(known, _)| known.as_bytes() == name);
                found.map(|(_, value)| value.as_bytes())
            };
            if filter.matches(property) {
                replies.re(
                    tag,
                    item.iter().copied().filter(|(name, _)| list.allows(name)),
                );
            }
        }
    } else {
        replies.trap(tag, "no such command", Some(0));
    }
    replies.done(tag);
}
