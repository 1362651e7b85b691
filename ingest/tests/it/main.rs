//! The one integration test binary of this crate.

mod corpus;
mod fleet;
mod node;
mod outcomes;
mod producer;
mod support;
mod surprising;
