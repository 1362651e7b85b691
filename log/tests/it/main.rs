//! The embedded log as its users meet it: real files, real processes, real kills.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stand outside of test functions"
)]

mod conformance;
mod damage;
mod kill;
mod limits;
mod owner;
mod served;
mod support;
