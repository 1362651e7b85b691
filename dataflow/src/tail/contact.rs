//! How a tail is found and opened.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use mast_schemas::tail::{Contact, SERVER_NAME};
use sha2::{Digest, Sha256};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// A contact with a new certificate and a new word, and the certificate's key.
pub(super) fn make(address: SocketAddr) -> Result<(Contact, String), rcgen::Error> {
    let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])?;
    let contact = Contact::new(address, made.cert.pem());
    Ok((contact, made.signing_key.serialize_pem()))
}

/// Leaves it in a file that our user alone reads, whole or not at all.
pub(super) fn leave(contact: &Contact, file: &Path) -> io::Result<()> {
    let fresh = file.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let mut open = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    open.write_all(&serde_json::to_vec(contact)?)?;
    drop(open);
    fs::rename(&fresh, file)
}

/// Lets those pass who bear the word.
#[derive(Clone)]
pub(super) struct Guard([u8; 32]);

impl Guard {
    pub(super) fn of(contact: &Contact) -> Self {
        Self(digest(&contact.token))
    }
}

/// What is compared: how long that takes tells nothing of the word itself.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let value = request.metadata().get("authorization");
        let word = value
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        match word {
            Some(word) if digest(word) == self.0 => Ok(request),
            _ => Err(Status::unauthenticated(
                "send the word that the file tail.json in the data folder holds, as Authorization: Bearer",
            )),
        }
    }
}
