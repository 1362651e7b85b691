//! The steps wired as the flow wires them, against the oracle.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compare;
mod figures;
mod fleet;
mod inputs;
