//! What a connection is made with, and what is known of it once open.

use crate::codec::display_text;
use crate::login::LoginForm;
use crate::password::Password;
use crate::tls::{Fingerprint, TlsStack};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Which router, and what is known of it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Address and port: 8729 by habit with TLS, 8728 without.
    pub address: SocketAddr,
    /// The name its certificate must bear; `None` = the IP address.
    pub server_name: Option<String>,
    /// Known to run 6.43 or later: then the password may be sent as it is on a plain channel.
    pub known_modern: bool,
    /// What spoke TLS with it before, and is tried first. The other one is tried where they find no common suite.
    pub tls_stack: TlsStack,
}

impl Target {
    /// A router of which only the address is known.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            server_name: None,
            known_modern: false,
            tls_stack: TlsStack::Rustls,
        }
    }
}

/// User name and password, both as the bytes that the router stores: it knows no character set.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: Vec<u8>,
    /// The password.
    pub password: Password,
}

impl Credentials {
    /// From a name and a password.
    pub fn new(username: impl AsRef<[u8]>, password: impl Into<Password>) -> Self {
        Self {
            username: username.as_ref().to_vec(),
            password: password.into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &display_text(&self.username))
            .field("password", &self.password)
            .finish()
    }
}

/// How long each step may take, all of it, counted from its own beginning: not how long a router may be silent. Bytes that
/// trickle in don't lengthen it, and rows without an end neither: at the deadline the step has failed, whatever came.
///
/// What may go on for longer is told by a command that goes on ([`crate::Client::hear`]); there the wait is for the next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Opening the TCP connection.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// The whole login, both halves of a challenge included.
    pub login: Duration,
    /// A call without a deadline of its own.
    pub command: Duration,
}

impl Deadlines {
    /// The same for every step.
    #[must_use]
    pub const fn all(each: Duration) -> Self {
        Self {
            connect: each,
            tls: each,
            login: each,
            command: each,
        }
    }
}

/// What is known of a connection once it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// SHA-256 of the router's certificate; `None` without TLS, or after an anonymous key exchange.
    pub fingerprint: Option<Fingerprint>,
    /// The TLS version as text, such as `TLSv1_3`; `None` without TLS.
    pub tls_version: Option<String>,
    /// What speaks TLS, to be kept for the next [`Target`]; `None` without TLS.
    pub tls_stack: Option<TlsStack>,
    /// The handshake the router took.
    pub login_form: LoginForm,
}
