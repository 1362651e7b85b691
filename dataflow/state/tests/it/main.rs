//! The steps wired as the flow wires them, against the oracle.

mod compare;
mod fleet;
mod inputs;
