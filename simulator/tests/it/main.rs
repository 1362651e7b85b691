//! The simulator from outside: the world over time, replies without sockets, real sessions.

mod replies;
mod scenes;
mod sessions;
mod support;
