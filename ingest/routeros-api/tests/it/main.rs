//! Both sides of the API over real sockets and real TLS, and transcripts word by word.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its premise fails"
)]

mod deadlines;
mod encoding;
mod handshakes;
mod hostile;
mod legacy_tls;
mod listening;
mod logins;
mod pipelining;
mod stalls;
mod support;
mod tls;
mod transcripts;
