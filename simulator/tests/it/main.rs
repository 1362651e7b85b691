//! The simulator from outside: the world over time, replies without sockets, real sessions.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuring;
mod cost;
mod faults;
mod following;
mod live;
mod network;
mod peers;
mod replies;
mod scenes;
mod sessions;
mod support;
