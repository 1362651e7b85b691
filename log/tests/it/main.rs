//! The logs as their users meet them: real files, real processes, a real broker, real kills.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of test functions"
)]

mod conformance;
mod damage;
mod kafka;
mod kill;
mod limits;
mod owner;
mod served;
mod support;
