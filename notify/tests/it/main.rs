//! Notifications with real parts: PostgreSQL, HTTP and SMTP servers on sockets, TLS.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world fails"
)]

mod crashes;
mod hook;
mod http;
mod queue;
mod smtp;
mod tenants;
mod world;
