//! The one integration test binary of this crate.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod corpus;
mod defects;
mod faults;
mod fleet;
mod moves;
mod node;
mod outcomes;
mod poller;
mod producer;
mod sharing;
mod slower;
mod spool;
mod support;
mod surprising;
mod troubles;
