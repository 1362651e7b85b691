//! A log that another process owns, asked over a unix socket.
//!
//! The embedded log has one owner. Where parts run as processes of their own, the owner serves it ([`LogServer`]) and the
//! others ask ([`ServedLog`]). Only processes of the same user may: the socket has mode 600.
//!
//! The trap avoided: an answer that was lost is no refusal. Appends whose connection broke may be there; they fail with
//! [`LogError::Away`], and whoever repeats them must be able to stand a second copy, as behind a broker.

mod client;
mod server;
mod wire;

pub use client::ServedLog;
pub use server::LogServer;
